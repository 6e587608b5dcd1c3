-- The order of changes: one number per kind of thing, drawn in the transaction of the change.
CREATE TABLE revisions (
    name  TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;

INSERT INTO revisions (name, value) SELECT 'tenants', coalesce(max(revision), 0) FROM tenants;
