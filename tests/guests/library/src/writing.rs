//! What is written.

use hostel_sdk::prelude::*;
use serde_json::{Value, json};

use crate::model::{
    Author, Book, BookChange, BookDraft, BookTag, Cover, Details, Loan, Status, Tag,
};

/// What a client says of an author.
#[derive(Debug, Deserialize, JsonSchema, Draft)]
#[draft(of = Author)]
pub(crate) struct AuthorDraft {
    name: Line<100>,
    born: Option<Date>,
}

pub(crate) fn add_author(
    Json(draft): Json<AuthorDraft>,
    db: Db,
) -> Result<Created<Author>, Problem> {
    let author = db.create(&draft)?;
    Ok(Created::below(author.id, author))
}

pub(crate) fn remove_author(Path(id): Path<Id<Author>>, db: Db) -> Result<NoContent, Problem> {
    db.delete::<Author>(id)?;
    Ok(NoContent)
}

pub(crate) fn create(Json(draft): Json<BookDraft>, db: Db) -> Result<Created<Book>, Problem> {
    let book = db.create(&draft)?;
    Ok(Created::below(book.id, book))
}

pub(crate) fn change(
    Path(id): Path<Id<Book>>,
    Json(change): Json<BookChange>,
    db: Db,
) -> Result<Json<Book>, Problem> {
    Ok(Json(db.change(id, &change)?))
}

/// Reads a book, lets somebody else change it, and writes it.
pub(crate) fn change_stale(Path(id): Path<Id<Book>>, db: Db) -> Result<Json<Book>, Problem> {
    let mut book: Book = db.get(id)?;
    let mut other = book.clone();
    other.pages = Whole::new(7).unwrap_or(other.pages);
    db.update(&mut other)?;
    book.is_lent = true;
    db.update(&mut book)?;
    Ok(Json(book))
}

pub(crate) fn remove(Path(id): Path<Id<Book>>, db: Db) -> Result<NoContent, Problem> {
    db.delete::<Book>(id)?;
    Ok(NoContent)
}

pub(crate) fn restore(Path(id): Path<Id<Book>>, db: Db) -> Result<Json<Book>, Problem> {
    db.restore::<Book>(id)?;
    Ok(Json(db.get(id)?))
}

pub(crate) fn cover(
    Path(book_id): Path<Id<Book>>,
    Json(colour): Json<String>,
    db: Db,
) -> Result<Json<Cover>, Problem> {
    Ok(Json(db.upsert(&Cover { book_id, colour }, Cover::BOOK_ID)?))
}

/// Says what a book is about: all of it, or nothing.
pub(crate) fn tag(
    Path(book_id): Path<Id<Book>>,
    Json(names): Json<Vec<String>>,
    db: Db,
) -> Result<NoContent, Problem> {
    db.transaction(|tx| {
        BookTag::filter(BookTag::BOOK_ID.eq(book_id)).delete(tx)?;
        for name in names {
            tx.upsert(&Tag { name: name.clone(), uses: 0 }, Tag::NAME)?;
            Tag::filter(Tag::NAME.eq(&name)).update(tx, [Tag::USES.increase_by(1)])?;
            tx.insert(&BookTag { book_id, tag: name })?;
        }
        Ok(NoContent)
    })
}

pub(crate) fn lend(
    Path(book_id): Path<Id<Book>>,
    Json(reader): Json<Line<100>>,
    db: Db,
) -> Result<Json<Loan>, Problem> {
    let loan = Loan { id: Id::generate()?, book_id, reader };
    db.insert(&loan)?;
    Ok(Json(loan))
}

/// Adds a tag, or sets how often it is used.
pub(crate) fn count_tag(
    Json((name, uses)): Json<(String, i64)>,
    db: Db,
) -> Result<Json<Tag>, Problem> {
    Ok(Json(db.upsert(&Tag { name, uses }, Tag::NAME)?))
}

/// How many to add, as `?count=…`.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Bulk {
    count: u32,
}

pub(crate) fn bulk(Query(Bulk { count }): Query<Bulk>, db: Db) -> Result<Json<u64>, Problem> {
    let now = clock::now();
    let books = (0..count).map(|number| Book {
        // Ids of one's own: ten thousand calls for random bytes would be measured too.
        id: Id::from_uuid(hostel_sdk::sql::Uuid::from_u128(u128::from(number) + 1)),
        author_id: None,
        title: Line::new(format!("Volume {number}")).unwrap_or_else(|_| unreachable!("a line")),
        summary: None,
        pages: Whole::new(1).unwrap_or_else(|_| unreachable!("one page")),
        price: Decimal::ONE,
        weight: None,
        status: Status::Draft,
        is_lent: false,
        scan: Some(vec![1, 2, 3]),
        details: Json(Details::default()),
        published_on: None,
        version: 1,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    });
    Ok(Json(db.insert_all(books)?))
}

/// Everything that is long becomes cheaper.
pub(crate) fn sale(db: Db) -> Result<Json<Value>, Problem> {
    let long = || Book::filter(Book::PAGES.gt(300));
    let cheaper = long().update(
        &db,
        [Book::PRICE.increase_by(Decimal::NEGATIVE_ONE), Book::STATUS.set(Status::InPrint)],
    )?;
    let books = long().limit(1).order(Book::TITLE.asc());
    let first = books.update_returning(&db, [Book::IS_LENT.set(true)])?;
    Ok(Json(json!({ "cheaper": cheaper, "first": first })))
}

/// Two books change their prices, or neither does.
pub(crate) fn swap(
    Json((one, other)): Json<(Id<Book>, Id<Book>)>,
    db: Db,
) -> Result<Json<(Book, Book)>, Problem> {
    db.transaction(|tx| {
        let mut one: Book = tx.get(one)?;
        let mut other: Book = tx.get(other)?;
        std::mem::swap(&mut one.price, &mut other.price);
        tx.update(&mut one)?;
        tx.update(&mut other)?;
        Ok(Json((one, other)))
    })
}

pub(crate) fn remove_drafts(db: Db) -> Result<Json<u64>, Problem> {
    Ok(Json(Book::filter(Book::STATUS.eq(Status::Draft)).delete(&db)?))
}

pub(crate) fn remove_deleted(db: Db) -> Result<Json<Value>, Problem> {
    let deleted = || Book::all().only_deleted();
    let titles = deleted().order(Book::TITLE.asc()).values(&db, Book::TITLE)?;
    let all = Book::all().with_deleted().count(&db)?;
    let gone = deleted().delete_for_good(&db)?;
    Ok(Json(json!({ "titles": titles, "all": all, "gone": gone })))
}
