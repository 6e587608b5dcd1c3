CREATE TABLE things (
    id      uuid        NOT NULL PRIMARY KEY,
    name    text        NOT NULL CONSTRAINT things_name UNIQUE,
    amount  integer     NOT NULL CONSTRAINT things_amount CHECK (amount >= 0),
    done    boolean,
    data    json,
    made_at timestamptz,
    price   decimal(30, 4)
);
