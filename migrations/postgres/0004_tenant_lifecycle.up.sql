-- A tenant that is being deleted or removed is not served.
ALTER TABLE tenants DROP CONSTRAINT tenants_status_check;
ALTER TABLE tenants ADD CONSTRAINT tenants_status_check
    CHECK (status IN ('active', 'suspended', 'deleting', 'purging'));
-- What a deleted tenant is again when it is taken back.
ALTER TABLE tenants ADD COLUMN status_before text
    CHECK (status_before IN ('active', 'suspended'));
-- From then on, everything of the tenant may be removed.
ALTER TABLE tenants ADD COLUMN purge_at bigint;
CREATE INDEX tenants_by_purge ON tenants (purge_at) WHERE purge_at IS NOT NULL;

-- Tenants of which nothing is left, so that nodes learn of that too.
CREATE TABLE purged_tenants (
    id        text   COLLATE "C" NOT NULL PRIMARY KEY,
    purged_at bigint NOT NULL,
    revision  bigint NOT NULL UNIQUE
);

-- Values of modules' settings that hold for one tenant, as JSON.
CREATE TABLE tenant_settings (
    tenant_id text COLLATE "C" NOT NULL,
    module    text COLLATE "C" NOT NULL,
    name      text COLLATE "C" NOT NULL,
    value     text NOT NULL,
    PRIMARY KEY (tenant_id, module, name)
);

-- Secrets of tenants, encrypted under a key that is derived from the platform key.
CREATE TABLE tenant_secrets (
    tenant_id  text   COLLATE "C" NOT NULL,
    name       text   COLLATE "C" NOT NULL,
    ciphertext bytea  NOT NULL,
    changed_at bigint NOT NULL,
    PRIMARY KEY (tenant_id, name)
);
