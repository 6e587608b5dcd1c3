CREATE TABLE rows (
    id         integer     NOT NULL PRIMARY KEY,
    name       text        NOT NULL,
    amount     integer     NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE items (
    id         uuid        NOT NULL PRIMARY KEY,
    name       text        NOT NULL,
    amount     integer     NOT NULL,
    created_at timestamptz NOT NULL
);

-- What became of the rows, and when.
CREATE TABLE changes (
    id            uuid        NOT NULL PRIMARY KEY,
    row_id        integer     NOT NULL REFERENCES rows (id),
    amount_before integer     NOT NULL,
    amount_after  integer     NOT NULL,
    changed_at    timestamptz NOT NULL
);
