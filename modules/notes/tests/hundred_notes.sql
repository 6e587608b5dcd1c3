-- A hundred notes; the last is the newest.
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100)
INSERT INTO notes (id, title, body, version, created_at, updated_at)
SELECT CAST(printf('%016d', n) AS BLOB), 'Note ' || n, '', 1, n, n FROM numbers;
