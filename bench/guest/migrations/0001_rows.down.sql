DROP TABLE changes;
DROP TABLE items;
DROP TABLE rows;
