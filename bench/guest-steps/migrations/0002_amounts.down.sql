DROP INDEX items_by_amount;
ALTER TABLE items DROP COLUMN amount;
