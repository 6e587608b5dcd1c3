DROP TABLE prices;
DROP TABLE things;
