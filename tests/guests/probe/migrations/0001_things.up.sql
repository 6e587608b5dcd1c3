CREATE TABLE things (
    id      uuid        NOT NULL PRIMARY KEY,
    name    text        NOT NULL CONSTRAINT things_name UNIQUE,
    amount  integer     NOT NULL CONSTRAINT things_amount CHECK (amount >= 0),
    done    boolean,
    data    json,
    made_at timestamptz
);

CREATE TABLE prices (
    name   text NOT NULL PRIMARY KEY,
    amount decimal(12, 2),
    exact  decimal text
);
