-- Tables that modules of all tenants read, and operators load.
CREATE TABLE lookups (
    name       text   COLLATE "C" NOT NULL PRIMARY KEY,
    -- A revision: no two loads bear the same, of one look-up or of two.
    version    bigint NOT NULL UNIQUE,
    -- A list of texts, as JSON.
    columns    text   NOT NULL,
    key_column text   NOT NULL,
    row_count  bigint NOT NULL,
    loaded_at  bigint NOT NULL
);

-- The rows of the version that is read, each an object as JSON.
CREATE TABLE lookup_rows (
    version bigint NOT NULL,
    key     text   COLLATE "C" NOT NULL,
    value   text   NOT NULL,
    PRIMARY KEY (version, key)
);

INSERT INTO revisions (name, value) VALUES ('lookups', 0);
