CREATE INDEX articles_title ON articles USING gin (to_tsvector('simple', translate("title", '!"#$%&()*+,-./:;<=>?@[\]^_`{|}~''', '                                ')));
