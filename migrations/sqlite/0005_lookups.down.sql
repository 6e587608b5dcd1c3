DELETE FROM revisions WHERE name = 'lookups';
DROP TABLE lookup_rows;
DROP TABLE lookups;
