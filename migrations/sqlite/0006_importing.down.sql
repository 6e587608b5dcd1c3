-- A version that cannot import removes what an import left.
CREATE TABLE tenants_that_do_not_arrive (
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

INSERT INTO tenants_that_do_not_arrive
    (id, slug, display_name, status, status_before, purge_at, created_at, revision, plan, limits)
SELECT id, slug, display_name, CASE status WHEN 'importing' THEN 'purging' ELSE status END, status_before, purge_at, created_at, revision,
       plan, limits
FROM tenants;
DROP TABLE tenants;
ALTER TABLE tenants_that_do_not_arrive RENAME TO tenants;
CREATE INDEX tenants_by_purge ON tenants (purge_at) WHERE purge_at IS NOT NULL;
