//! Questions.

use hostel_sdk::entity::{Select, avg, count, count_distinct, max, min, search, sum};
use hostel_sdk::prelude::*;
use serde_json::{Value, json};

use crate::model::{Author, Book, Status};

pub(crate) fn read(Path(id): Path<Id<Book>>, db: Db) -> Result<Json<Book>, Problem> {
    Ok(Json(db.get(id)?))
}

/// The longest books that can be bought.
pub(crate) fn longest(db: &impl Connection) -> Result<Vec<Book>, EntityError> {
    Book::filter(Book::STATUS.eq(Status::InPrint))
        .filter(Book::PAGES.gte(100))
        .order(Book::PAGES.desc())
        .order(Book::TITLE.asc())
        .limit(3)
        .list(db)
}

pub(crate) fn long(db: Db) -> Result<Json<Vec<Book>>, Problem> {
    Ok(Json(longest(&db)?))
}

/// A filter of each kind.
fn filter(which: &str) -> Result<Filter<Book>, Problem> {
    Ok(match which {
        "equal" => Book::TITLE.eq("Emma"),
        "unequal" => Book::WEIGHT.ne(0.5),
        "nothing" => Book::WEIGHT.is_null(),
        "nothing-as-value" => Book::WEIGHT.eq(None),
        "something" => Book::WEIGHT.is_some(),
        "between" => Book::PAGES.between(100, 300),
        "one-of" => Book::TITLE.is_in(["Emma", "Ulysses", "Nobody"]),
        "none-of" => Book::TITLE.is_in([""; 0]),
        "contains" => Book::TITLE.contains("MM"),
        "starts" => Book::TITLE.starts_with("u"),
        "percent" => Book::TITLE.contains("%"),
        "both" => Book::PAGES.gt(100).and(Book::IS_LENT.eq(false)),
        "either" => Book::TITLE.eq("Emma").or(Book::PAGES.gt(700)).or(Book::PAGES.lt(20)),
        "not" => Book::TITLE.eq("Emma").or(Book::TITLE.eq("Ulysses")).not(),
        "columns" => Book::CREATED_AT.lt(Book::UPDATED_AT),
        "date" => Book::PUBLISHED_ON.lt(Date::new(1900, 1, 1)),
        "time" => Book::CREATED_AT.lte(clock::now()),
        "decimal" => Book::PRICE.gte(Decimal::new(995, 2)),
        "raw" => Filter::raw("length(title) = $1 AND pages > $2", params![4, 100]),
        "all" => Filter::all([]),
        "any" => Filter::any([]),
        "author" => Book::AUTHOR.any(Author::NAME.starts_with("Jane")),
        "no-author" => Book::AUTHOR.any(Author::NAME.starts_with("Jane")).not(),
        _ => return Err(Problem::not_found("filter")),
    })
}

pub(crate) fn filtered(Path(which): Path<String>, db: Db) -> Result<Json<Vec<String>>, Problem> {
    let books = Book::filter(filter(&which)?).order(Book::TITLE.asc());
    let titles = books.values(&db, Book::TITLE)?;
    Ok(Json(titles.into_iter().map(Line::into_string).collect()))
}

pub(crate) fn numbers(db: Db) -> Result<Json<Value>, Problem> {
    let books = || Book::filter(Book::STATUS.ne(Status::Draft));
    Ok(Json(json!({
        "count": books().count(&db)?,
        "any": books().exists(&db)?,
        "none": Book::filter(Book::TITLE.eq("Nobody")).exists(&db)?,
        "pages": books().get(&db, sum(Book::PAGES))?,
        "mean": books().get(&db, avg(Book::PAGES))?,
        "cheapest": books().get(&db, min(Book::PRICE))?,
        "dearest": books().get(&db, max(Book::PRICE))?,
        "worth": books().get(&db, sum(Book::PRICE))?,
        "authors": books().get(&db, count_distinct(Book::AUTHOR_ID))?,
        "newest": books().get(&db, max(Book::PUBLISHED_ON))?,
        "of_none": Book::filter(Filter::any([])).get(&db, sum(Book::PAGES))?,
    })))
}

/// How many books there are of each status, and how long they are.
#[derive(Projection, Serialize, JsonSchema)]
#[projection(of = Book)]
pub(crate) struct OfStatus {
    status: Status,
    #[projection(from = count::<Book>())]
    books: i64,
    #[projection(from = sum(Book::PAGES))]
    pages: Option<i64>,
}

pub(crate) fn by_status(db: Db) -> Result<Json<Vec<OfStatus>>, Problem> {
    let groups = Book::all()
        .group_by(Book::STATUS)
        .having(count::<Book>().gte(1).and(max(Book::PRICE).gt(Decimal::ONE)))
        .order(count::<Book>().desc())
        .order(Book::STATUS.asc())
        .select::<OfStatus>();
    Ok(Json(groups.list(&db)?))
}

/// What a shelf shows.
#[derive(Projection, Serialize, JsonSchema)]
#[projection(of = Book)]
pub(crate) struct Shown {
    title: Line<200>,
    #[projection(from = Author::NAME.optional())]
    author: Option<Line<100>>,
}

/// Books with the names of their authors, in one statement.
pub(crate) fn shown() -> Select<Book, (Book, Author), Shown> {
    Book::all().left_join(Book::AUTHOR).select::<Shown>()
}

pub(crate) fn titles(db: Db) -> Result<Json<Vec<Shown>>, Problem> {
    Ok(Json(shown().order(Book::TITLE.asc()).list(&db)?))
}

/// What to look for.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Words {
    words: String,
}

pub(crate) fn search_books(
    Query(Words { words }): Query<Words>,
    db: Db,
) -> Result<Json<Vec<String>>, Problem> {
    let found = Book::filter(search((Book::TITLE, Book::SUMMARY), &words));
    let titles = found.order(Book::TITLE.asc()).values(&db, Book::TITLE)?;
    Ok(Json(titles.into_iter().map(Line::into_string).collect()))
}

pub(crate) fn paged(
    Path(order): Path<String>,
    page: Page,
    db: Db,
) -> Result<Paged<String>, Problem> {
    let books = match order.as_str() {
        "key" => Book::all(),
        "newest" => Book::all().order(Book::ID.desc()),
        // Many books are alike in these, or know nothing of it.
        "pages" => Book::all().order(Book::PAGES.desc()),
        "weight" => Book::all().order(Book::WEIGHT.asc()),
        "lightest-last" => Book::all().order(Book::WEIGHT.desc()).order(Book::PRICE.asc()),
        "published" => Book::all().order(Book::PUBLISHED_ON.asc()).order(Book::CREATED_AT.desc()),
        "joined" => {
            let joined = Book::all().left_join(Book::AUTHOR).order(Author::NAME.asc());
            let shown = joined.select::<Shown>().counted_page(&db, &page)?;
            return Ok(shown.map(|book| book.title.into_string()));
        }
        _ => return Err(Problem::not_found("order")),
    };
    Ok(books.page(&db, &page)?.map(|book| book.title.into_string()))
}

/// What SQL says of an author.
#[derive(FromRow, Serialize, JsonSchema)]
pub(crate) struct Written {
    name: String,
    #[row(column = "n")]
    books: i64,
}

/// Authors of more than so many books.
pub(crate) fn busy(db: &impl Connection, more_than: i64) -> Result<Vec<Written>, Error> {
    db.query(
        "SELECT a.name, count(*) AS n FROM library_authors a
         JOIN library_books b ON b.author_id = a.id
         GROUP BY a.name HAVING count(*) > $1 ORDER BY a.name",
        params![more_than],
    )
}

pub(crate) fn raw(db: Db) -> Result<Json<Vec<Written>>, Problem> {
    Ok(Json(busy(&db, 1)?))
}
