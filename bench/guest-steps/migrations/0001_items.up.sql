CREATE TABLE items (
    id   integer PRIMARY KEY,
    name text    NOT NULL
);
INSERT INTO items (id, name)
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
SELECT i, 'item ' || i FROM n;
