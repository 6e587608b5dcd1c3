-- Tells hosts that share a folder of modules when to look at it.
INSERT INTO revisions (name, value) VALUES ('modules', 0);
