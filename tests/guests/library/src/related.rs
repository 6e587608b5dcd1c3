//! From one entity to others.

use hostel_sdk::entity::count;
use hostel_sdk::prelude::*;
use serde_json::{Value, json};

use crate::counted::Counted;
use crate::model::{Author, Book, Cover, Loan, Tag};

/// A book with all that belongs to it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Whole {
    #[serde(flatten)]
    book: Book,
    written_by: Option<Author>,
    cover: Option<Cover>,
    tags: Vec<Tag>,
}

/// Four statements, however many books there are.
fn whole(db: &impl Connection) -> Result<Vec<Whole>, EntityError> {
    let books = Book::all()
        .order(Book::TITLE.asc())
        .with((Book::AUTHOR, Book::COVER, Book::TAGS.order(Tag::NAME.desc())))
        .list(db)?;
    let whole = books.into_iter().map(|(book, (written_by, cover, tags))| Whole {
        book,
        written_by,
        cover,
        tags,
    });
    Ok(whole.collect())
}

pub(crate) fn relations(db: Db) -> Result<Json<Vec<Whole>>, Problem> {
    Ok(Json(whole(&db)?))
}

pub(crate) fn with_authors(db: Db) -> Result<Json<Vec<(Book, Author)>>, Problem> {
    let pairs = Book::all()
        .join(Book::AUTHOR)
        .filter(Author::BORN.lt(Date::new(1800, 1, 1)))
        .order(Author::NAME.asc())
        .order(Book::TITLE.asc())
        .select::<(Book, Author)>();
    Ok(Json(pairs.list(&db)?))
}

/// What an author has written.
#[derive(Projection, Serialize, JsonSchema)]
#[projection(of = Author)]
pub(crate) struct Shelf {
    name: Line<100>,
    #[projection(from = count::<Book>())]
    books: i64,
}

pub(crate) fn of_authors(db: Db) -> Result<Json<Vec<Shelf>>, Problem> {
    let shelves = Author::all()
        .join(Author::BOOKS)
        .group_by((Author::ID, Author::NAME))
        .order(Author::NAME.asc())
        .select::<Shelf>();
    Ok(Json(shelves.list(&db)?))
}

/// The books of an author, where somebody asks for them.
pub(crate) fn books_of(Path(author): Path<Id<Author>>, db: Db) -> Result<Json<Vec<Book>>, Problem> {
    let author: Author = db.get(author)?;
    Ok(Json(Author::BOOKS.load(&db, &author)?))
}

/// Counts the statements of one way to ask.
pub(crate) fn statements(Path(how): Path<String>, db: Db) -> Result<Json<Value>, Problem> {
    let db = Counted::new(&db);
    let found: Value = match how.as_str() {
        "one" => json!(Book::all().with(Book::AUTHOR).list(&db)?),
        "all" => json!(whole(&db)?),
        "nested" => {
            let books = Author::BOOKS
                .filter(Book::PAGES.gt(10))
                .order(Book::TITLE.asc())
                .with((Book::TAGS, Book::LOANS));
            json!(Author::all().order(Author::NAME.asc()).with(books).list(&db)?)
        }
        "lazy" => {
            let mut found = Vec::new();
            for author in Author::all().list(&db)? {
                found.push(Author::BOOKS.load(&db, &author)?);
            }
            json!(found)
        }
        "nothing" => json!(Book::filter(Filter::any([])).with(Book::AUTHOR).list(&db)?),
        "tagged" => {
            let tagged = Author::BOOKS.any(Book::TAGS.any(Tag::NAME.eq("classic")));
            json!(Author::filter(tagged).order(Author::NAME.asc()).list(&db)?)
        }
        "untagged" => json!(Book::filter(Book::TAGS.exists().not()).list(&db)?),
        "lent" => {
            let lent = Loan::all().with(Loan::BOOK.with(Book::AUTHOR)).list(&db)?;
            json!(lent)
        }
        _ => return Err(Problem::not_found("way to ask")),
    };
    Ok(Json(json!({ "statements": db.statements(), "found": found })))
}
