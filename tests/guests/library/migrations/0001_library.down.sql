DROP TABLE library_loans;
DROP TABLE library_book_tags;
DROP TABLE library_tags;
DROP TABLE library_covers;
DROP TABLE library_books;
DROP TABLE library_authors;
