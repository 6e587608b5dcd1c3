-- Tables that modules of all tenants read, and operators load.
CREATE TABLE lookups (
    name       TEXT    NOT NULL PRIMARY KEY,
    -- A revision: no two loads bear the same, of one look-up or of two.
    version    INTEGER NOT NULL UNIQUE,
    -- A list of texts, as JSON.
    columns    TEXT    NOT NULL,
    key_column TEXT    NOT NULL,
    row_count  INTEGER NOT NULL,
    loaded_at  INTEGER NOT NULL
) STRICT;

-- The rows of the version that is read, each an object as JSON.
CREATE TABLE lookup_rows (
    version INTEGER NOT NULL,
    key     TEXT    NOT NULL,
    value   TEXT    NOT NULL,
    PRIMARY KEY (version, key)
) STRICT;

INSERT INTO revisions (name, value) VALUES ('lookups', 0);
