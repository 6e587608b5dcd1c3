//! What a library knows.

use hostel_sdk::prelude::*;

/// Who writes books.
#[derive(Clone, Debug, Entity, Serialize, JsonSchema)]
#[entity(table = "library_authors", has_many(books: Book, by = author_id))]
pub(crate) struct Author {
    #[entity(key)]
    pub(crate) id: Id<Author>,
    #[entity(unique)]
    pub(crate) name: Line<100>,
    pub(crate) born: Option<Date>,
}

/// What is read.
#[derive(Clone, Debug, Entity, Serialize, JsonSchema)]
#[entity(table = "library_books", unique(author_id, title), index(status, pages))]
#[entity(has_one(cover: Cover, by = book_id), has_many(loans: Loan, by = book_id))]
#[entity(many_to_many(tags: Tag, through = BookTag, by = book_id, to = tag))]
pub(crate) struct Book {
    #[entity(key)]
    pub(crate) id: Id<Book>,
    #[serde(rename = "author")]
    #[entity(belongs_to(author: Author, on_delete = set_null))]
    pub(crate) author_id: Option<Id<Author>>,
    pub(crate) title: Line<200>,
    pub(crate) summary: Option<Text<2_000>>,
    pub(crate) pages: Whole<1, 10_000>,
    #[entity(check = "price >= 0")]
    pub(crate) price: Decimal,
    pub(crate) weight: Option<f64>,
    pub(crate) status: Status,
    #[entity(default = "false")]
    pub(crate) is_lent: bool,
    #[serde(skip)]
    pub(crate) scan: Option<Vec<u8>>,
    pub(crate) details: Json<Details>,
    pub(crate) published_on: Option<Date>,
    #[entity(version)]
    pub(crate) version: u32,
    #[entity(created)]
    pub(crate) created_at: Timestamp,
    #[entity(updated)]
    pub(crate) updated_at: Timestamp,
    #[serde(skip)]
    #[entity(deleted)]
    pub(crate) deleted_at: Option<Timestamp>,
}

/// What becomes of a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ColumnEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Draft,
    InPrint,
    #[column_enum(name = "gone")]
    #[serde(rename = "gone")]
    OutOfPrint,
}

/// What else is known of a book.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Details {
    #[serde(default)]
    pub(crate) languages: Vec<String>,
}

/// The one cover that a book may have.
#[derive(Clone, Debug, Entity, Serialize, JsonSchema)]
#[entity(table = "library_covers")]
pub(crate) struct Cover {
    #[entity(key, belongs_to(book: Book, on_delete = cascade))]
    pub(crate) book_id: Id<Book>,
    pub(crate) colour: String,
}

/// What books are about, and how often somebody said so.
#[derive(Clone, Debug, Entity, Serialize, JsonSchema)]
#[entity(table = "library_tags")]
pub(crate) struct Tag {
    #[entity(key)]
    pub(crate) name: String,
    pub(crate) uses: i64,
}

/// Which book is about what.
#[derive(Clone, Debug, Entity)]
#[entity(table = "library_book_tags")]
pub(crate) struct BookTag {
    #[entity(key, belongs_to(book: Book, on_delete = cascade))]
    pub(crate) book_id: Id<Book>,
    #[entity(key, belongs_to(of: Tag, on_delete = cascade))]
    pub(crate) tag: String,
}

/// Who has a book.
#[derive(Clone, Debug, Entity, Serialize, JsonSchema)]
#[entity(table = "library_loans")]
pub(crate) struct Loan {
    #[entity(key)]
    pub(crate) id: Id<Loan>,
    #[entity(index, belongs_to(book: Book))]
    pub(crate) book_id: Id<Book>,
    pub(crate) reader: Line<100>,
}

/// What a client says of a new book.
#[derive(Debug, Deserialize, JsonSchema, Draft)]
#[draft(of = Book)]
#[serde(deny_unknown_fields)]
pub(crate) struct BookDraft {
    #[draft(to = author_id)]
    pub(crate) author: Option<Id<Author>>,
    pub(crate) title: Line<200>,
    pub(crate) summary: Option<Text<2_000>>,
    pub(crate) pages: Whole<1, 10_000>,
    pub(crate) price: Decimal,
    pub(crate) weight: Option<f64>,
    #[serde(default = "in_print")]
    pub(crate) status: Status,
    #[serde(default)]
    pub(crate) details: Json<Details>,
    pub(crate) published_on: Option<Date>,
}

/// What a client changes of a book: what it leaves out stays as it is.
#[derive(Debug, Deserialize, JsonSchema, Draft)]
#[draft(of = Book)]
#[serde(deny_unknown_fields)]
pub(crate) struct BookChange {
    pub(crate) title: Option<Line<200>>,
    pub(crate) pages: Option<Whole<1, 10_000>>,
    pub(crate) price: Option<Decimal>,
    /// The version that the client has seen: another one is not overwritten.
    #[draft(version)]
    pub(crate) version: Option<u32>,
}

fn in_print() -> Status {
    Status::InPrint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migration_is_what_the_entities_say() {
        let tables =
            [Author::TABLE, Book::TABLE, Cover::TABLE, Tag::TABLE, BookTag::TABLE, Loan::TABLE];
        let text: String = tables.iter().map(|table| table.create()).collect();
        assert_eq!(text, include_str!("../migrations/0001_library.up.sql"));
    }

    #[test]
    fn the_index_of_the_search_is_what_the_search_asks_for() {
        let index = hostel_sdk::entity::search_index((Book::TITLE, Book::SUMMARY));
        let expected =
            format!("CREATE INDEX library_books_search ON library_books USING gin ({index});\n");
        assert_eq!(expected, include_str!("../migrations/0002_search.postgres.sql"));
    }
}
