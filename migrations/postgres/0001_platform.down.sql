DROP TABLE manifests;
DROP TABLE tenants;
