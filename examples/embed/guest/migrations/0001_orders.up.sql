CREATE TABLE shop_orders (
    reference    text    NOT NULL PRIMARY KEY,
    amount_cents bigint  NOT NULL
);
