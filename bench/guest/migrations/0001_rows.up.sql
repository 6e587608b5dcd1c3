CREATE TABLE rows (
    id         integer     NOT NULL PRIMARY KEY,
    name       text        NOT NULL,
    amount     integer     NOT NULL,
    created_at timestamptz NOT NULL
);
