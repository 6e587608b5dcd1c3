CREATE TABLE notes (
    id         uuid        NOT NULL PRIMARY KEY,
    title      text        NOT NULL,
    body       text        NOT NULL,
    version    integer     NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
