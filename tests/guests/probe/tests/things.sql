-- Two; the first has all there is.
INSERT INTO things (id, name, amount, done, data, made_at)
VALUES (x'01010101010101010101010101010101', 'first', 3, true, '{"a":[1]}', 1000000);

INSERT INTO things (id, name, amount) VALUES (x'02020202020202020202020202020202', 'second', 4);
