-- The order of changes: one number per kind of thing, drawn in the transaction of the change.
CREATE TABLE revisions (
    name  text   COLLATE "C" NOT NULL PRIMARY KEY,
    value bigint NOT NULL
);

INSERT INTO revisions (name, value) SELECT 'tenants', coalesce(max(revision), 0) FROM tenants;
