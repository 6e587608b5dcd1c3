use hostel_sdk::prelude::*;

#[derive(Clone, Entity)]
#[entity(table = "shelves", has_many(books: Book, by = shelf))]
struct Shelf {
    #[entity(key)]
    id: Id<Shelf>,
}

#[derive(Entity)]
#[entity(table = "books")]
struct Book {
    #[entity(key)]
    id: Id<Book>,
    shelf: i64,
}

fn main() {}
