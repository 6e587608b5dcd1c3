//! Lists.

use hostel_sdk::prelude::*;

use crate::asking::{Shown, shown};
use crate::model::{Author, Book};

impl Listed for Book {
    type Entity = Self;

    fn list() -> List<Self> {
        List::by(Book::CREATED_AT.desc())
            .filter(Book::STATUS)
            .filter(Book::AUTHOR_ID)
            .range(Book::PAGES)
            .range(Book::PUBLISHED_ON)
            .range(Book::PRICE)
            .sort(Book::TITLE)
            .sort(Book::PAGES)
            .sort_as("published", Book::PUBLISHED_ON)
            .search((Book::TITLE, Book::SUMMARY))
            .counted()
    }
}

pub(crate) fn books(list: ListQuery<Book>, db: Db) -> Result<Paged<Book>, Problem> {
    Ok(list.or_limit(10).page(&db)?)
}

type WithAuthor = (Book, Option<Author>);

pub(crate) fn of_author(
    Path(author): Path<Id<Author>>,
    list: ListQuery<Book>,
    db: Db,
) -> Result<Paged<WithAuthor>, Problem> {
    let books = Book::filter(Book::AUTHOR_ID.eq(author)).with(Book::AUTHOR);
    Ok(list.page_of(&db, books)?)
}

pub(crate) fn shelf(list: ListQuery<Book>, db: Db) -> Result<Paged<Shown>, Problem> {
    Ok(list.page_of(&db, shown())?)
}
