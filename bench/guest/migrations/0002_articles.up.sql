-- What is listed: with a filter, an order, words to search for, and who wrote it.
CREATE TABLE authors (
    id   integer NOT NULL PRIMARY KEY,
    name text    NOT NULL
);

CREATE TABLE articles (
    id        integer NOT NULL PRIMARY KEY,
    author_id integer NOT NULL REFERENCES authors (id),
    title     text    NOT NULL,
    language  text    NOT NULL,
    words     integer NOT NULL
);
