DROP TABLE tenant_secrets;
DROP TABLE tenant_settings;
DROP TABLE purged_tenants;
DROP INDEX tenants_by_purge;
-- A version that knows no other state must serve none of them.
UPDATE tenants SET status = 'suspended' WHERE status <> 'active';
ALTER TABLE tenants DROP COLUMN purge_at;
ALTER TABLE tenants DROP COLUMN status_before;
ALTER TABLE tenants DROP CONSTRAINT tenants_status_check;
ALTER TABLE tenants ADD CONSTRAINT tenants_status_check CHECK (status IN ('active', 'suspended'));
