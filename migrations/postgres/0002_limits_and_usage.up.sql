-- What a tenant may use, beside what the platform allows to all: the name of a plan in the
-- configuration, and limits of its own, as JSON.
ALTER TABLE tenants ADD COLUMN plan text;
ALTER TABLE tenants ADD COLUMN limits text NOT NULL DEFAULT '{}';

-- What tenants' modules were asked and used, added up by day (UTC).
CREATE TABLE usage (
    tenant_id    text   COLLATE "C" NOT NULL,
    module       text   COLLATE "C" NOT NULL,
    day          text   COLLATE "C" NOT NULL,
    requests     bigint NOT NULL,
    failures     bigint NOT NULL,
    cpu_us       bigint NOT NULL,
    host_calls   bigint NOT NULL,
    answer_bytes bigint NOT NULL,
    PRIMARY KEY (tenant_id, module, day)
);
