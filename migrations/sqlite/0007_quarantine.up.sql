-- Modules that a tenant is not served, because its tables are not what they expect: a migration
-- failed, or was taken back.
CREATE TABLE quarantine (
    tenant_id  TEXT    NOT NULL,
    module     TEXT    NOT NULL,
    -- What clients are told.
    code       TEXT    NOT NULL
               CHECK (code IN ('migration-failed', 'migration-changed', 'migration-undone')),
    -- The digest of the module's migrations: with others, it is tried at once.
    migrations TEXT    NOT NULL,
    -- The one that it is about, and what operators are told of it.
    migration  TEXT,
    cause      TEXT    NOT NULL,
    attempts   INTEGER NOT NULL,
    since      INTEGER NOT NULL,
    tried_at   INTEGER NOT NULL,
    -- When it is tried again; null when somebody has to say so.
    retry_at   INTEGER,
    PRIMARY KEY (tenant_id, module)
) STRICT, WITHOUT ROWID;
