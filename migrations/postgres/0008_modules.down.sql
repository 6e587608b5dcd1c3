DELETE FROM revisions WHERE name = 'modules';
