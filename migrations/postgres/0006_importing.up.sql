-- A tenant that is being filled from an archive is not served; should that end half-way, it is
-- removed when its time in purge_at has come.
ALTER TABLE tenants DROP CONSTRAINT tenants_status_check;
ALTER TABLE tenants ADD CONSTRAINT tenants_status_check
    CHECK (status IN ('active', 'suspended', 'deleting', 'purging', 'importing'));
