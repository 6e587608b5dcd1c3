ALTER TABLE items ADD COLUMN amount integer NOT NULL DEFAULT 0;
CREATE INDEX items_by_amount ON items (amount);
