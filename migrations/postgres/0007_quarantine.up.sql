-- Modules that a tenant is not served, because its tables are not what they expect: a migration
-- failed, or was taken back.
CREATE TABLE quarantine (
    tenant_id  text   COLLATE "C" NOT NULL,
    module     text   COLLATE "C" NOT NULL,
    -- What clients are told.
    code       text   NOT NULL
               CHECK (code IN ('migration-failed', 'migration-changed', 'migration-undone')),
    -- The digest of the module's migrations: with others, it is tried at once.
    migrations text   NOT NULL,
    -- The one that it is about, and what operators are told of it.
    migration  text,
    cause      text   NOT NULL,
    attempts   bigint NOT NULL,
    since      bigint NOT NULL,
    tried_at   bigint NOT NULL,
    -- When it is tried again; null when somebody has to say so.
    retry_at   bigint,
    PRIMARY KEY (tenant_id, module)
);
