-- A tenant that is being deleted or removed is not served. A column's CHECK cannot be
-- changed in place.
CREATE TABLE tenants_with_a_life (
    id            TEXT    NOT NULL PRIMARY KEY,
    slug          TEXT    NOT NULL UNIQUE,
    display_name  TEXT    NOT NULL,
    status        TEXT    NOT NULL
                  CHECK (status IN ('active', 'suspended', 'deleting', 'purging')),
    -- What a deleted tenant is again when it is taken back.
    status_before TEXT    CHECK (status_before IN ('active', 'suspended')),
    -- From then on, everything of the tenant may be removed.
    purge_at      INTEGER,
    created_at    INTEGER NOT NULL,
    -- Grows with every change of any tenant, so that nodes learn of changes by asking for what is
    -- newer than what they know.
    revision      INTEGER NOT NULL UNIQUE,
    plan          TEXT,
    limits        TEXT    NOT NULL DEFAULT '{}'
) STRICT;

INSERT INTO tenants_with_a_life (id, slug, display_name, status, created_at, revision, plan, limits)
SELECT id, slug, display_name, status, created_at, revision, plan, limits FROM tenants;
DROP TABLE tenants;
ALTER TABLE tenants_with_a_life RENAME TO tenants;
CREATE INDEX tenants_by_purge ON tenants (purge_at) WHERE purge_at IS NOT NULL;

-- Tenants of which nothing is left, so that nodes learn of that too.
CREATE TABLE purged_tenants (
    id        TEXT    NOT NULL PRIMARY KEY,
    purged_at INTEGER NOT NULL,
    revision  INTEGER NOT NULL UNIQUE
) STRICT;

-- Values of modules' settings that hold for one tenant, as JSON.
CREATE TABLE tenant_settings (
    tenant_id TEXT NOT NULL,
    module    TEXT NOT NULL,
    name      TEXT NOT NULL,
    value     TEXT NOT NULL,
    PRIMARY KEY (tenant_id, module, name)
) STRICT, WITHOUT ROWID;

-- Secrets of tenants, encrypted under a key that is derived from the platform key.
CREATE TABLE tenant_secrets (
    tenant_id  TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    ciphertext BLOB    NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, name)
) STRICT, WITHOUT ROWID;
