-- The platform's own tables. Guests never reach this database.

CREATE TABLE tenants (
    id           TEXT    NOT NULL PRIMARY KEY,
    slug         TEXT    NOT NULL UNIQUE,
    display_name TEXT    NOT NULL,
    status       TEXT    NOT NULL CHECK (status IN ('active', 'suspended')),
    created_at   INTEGER NOT NULL,
    -- Grows with every change of any tenant, so that nodes learn of changes by asking for what is
    -- newer than what they know.
    revision     INTEGER NOT NULL UNIQUE
) STRICT;

-- What a module said of itself when it was first seen, by the digest of its file.
CREATE TABLE manifests (
    digest       TEXT    NOT NULL PRIMARY KEY,
    contract     TEXT    NOT NULL,
    manifest     TEXT    NOT NULL,
    described_at INTEGER NOT NULL
) STRICT;
