//! The library: entities of every kind, asked for and written in every way. `docs/data.md` shows what
//! stands here, and tests say what it does.
//!
//! `model` has the entities, `asking` queries, `related` goes from one to others, `writing` writes,
//! `listing` is for lists, `seeds` makes rows up, and `counted` counts statements.

mod asking;
mod counted;
mod listing;
mod model;
mod related;
mod seeds;
mod writing;

use hostel_sdk::prelude::*;

hostel_sdk::module!(library);

fn library() -> Module {
    let module = Module::new("library", env!("CARGO_PKG_VERSION"))
        .about("Books, and who wrote them")
        .migrations(migrations!("0001_library"))
        .migrations(SEARCH)
        .entity::<model::Author>()
        .entity::<model::Book>()
        .entity::<model::Cover>()
        .entity::<model::Tag>()
        .entity::<model::BookTag>()
        .entity::<model::Loan>()
        .seed("books", "Books, ten of each author", seeds::books);
    with_lists(with_writing(with_asking(module)))
}

/// What makes the search fast, where the database has something for it.
const SEARCH: &[hostel_sdk::Migration] = &[hostel_sdk::Migration::per_dialect(
    "0002_search",
    (
        "CREATE INDEX library_books_search ON library_books (title)",
        "DROP INDEX library_books_search",
    ),
    (include_str!("../migrations/0002_search.postgres.sql"), "DROP INDEX library_books_search"),
)];

fn with_asking(module: Module) -> Module {
    module
        .route(get("/books/{id}", asking::read).public())
        .route(get("/long", asking::long).public())
        .route(get("/filtered/{which}", asking::filtered).public())
        .route(get("/numbers", asking::numbers).public())
        .route(get("/by-status", asking::by_status).public())
        .route(get("/titles", asking::titles).public())
        .route(get("/search", asking::search_books).public())
        .route(get("/pages/{order}", asking::paged).public())
        .route(get("/raw", asking::raw).public())
        .route(get("/with-authors", related::with_authors).public())
        .route(get("/of-authors", related::of_authors).public())
        .route(get("/relations", related::relations).public())
        .route(get("/statements/{how}", related::statements).public())
        .route(get("/authors/{id}/books", related::books_of).public())
}

fn with_writing(module: Module) -> Module {
    module
        .route(post("/authors", writing::add_author).public())
        .route(delete("/authors/{id}", writing::remove_author).public())
        .route(post("/books", writing::create).public())
        .route(patch("/books/{id}", writing::change).public())
        .route(put("/books/{id}/stale", writing::change_stale).public())
        .route(delete("/books/{id}", writing::remove).public())
        .route(post("/books/{id}/restored", writing::restore).public())
        .route(post("/books/{id}/cover", writing::cover).public())
        .route(post("/books/{id}/tags", writing::tag).public())
        .route(post("/books/{id}/loans", writing::lend).public())
        .route(post("/tags", writing::count_tag).public())
        .route(post("/bulk", writing::bulk).public())
        .route(post("/sale", writing::sale).public())
        .route(post("/swap", writing::swap).public())
        .route(delete("/drafts", writing::remove_drafts).public())
        .route(delete("/deleted", writing::remove_deleted).public())
}

fn with_lists(module: Module) -> Module {
    module
        .route(get("/books", listing::books).public().id("list_books"))
        .route(get("/authors/{id}/list", listing::of_author).public())
        .route(get("/shelf", listing::shelf).public())
}
