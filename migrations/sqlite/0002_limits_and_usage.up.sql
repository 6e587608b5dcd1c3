-- What a tenant may use, beside what the platform allows to all: the name of a plan in the
-- configuration, and limits of its own, as JSON.
ALTER TABLE tenants ADD COLUMN plan TEXT;
ALTER TABLE tenants ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';

-- What tenants' modules were asked and used, added up by day (UTC).
CREATE TABLE usage (
    tenant_id    TEXT    NOT NULL,
    module       TEXT    NOT NULL,
    day          TEXT    NOT NULL,
    requests     INTEGER NOT NULL,
    failures     INTEGER NOT NULL,
    cpu_us       INTEGER NOT NULL,
    host_calls   INTEGER NOT NULL,
    answer_bytes INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, module, day)
) STRICT, WITHOUT ROWID;
