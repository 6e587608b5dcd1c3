-- The platform's own tables, in the schema `hostel`. No guest's role has any right here.
-- Names compare by their bytes, as they do on SQLite.

CREATE TABLE tenants (
    id           text   COLLATE "C" NOT NULL PRIMARY KEY,
    slug         text   COLLATE "C" NOT NULL UNIQUE,
    display_name text   NOT NULL,
    status       text   NOT NULL CHECK (status IN ('active', 'suspended')),
    created_at   bigint NOT NULL,
    -- Grows with every change of any tenant, so that nodes learn of changes by asking for what is
    -- newer than what they know.
    revision     bigint NOT NULL UNIQUE
);

-- What a module said of itself when it was first seen, by the digest of its file.
CREATE TABLE manifests (
    digest       text   COLLATE "C" NOT NULL PRIMARY KEY,
    contract     text   NOT NULL,
    manifest     text   NOT NULL,
    described_at bigint NOT NULL
);
