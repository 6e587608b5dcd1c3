//! Rows to try things with.

use std::collections::BTreeSet;

use hostel_sdk::Seed;
use hostel_sdk::fakes::Fakes;
use hostel_sdk::fakes::fake::faker::name::en::Name;
use hostel_sdk::prelude::*;

use crate::model::{Author, Book, Details, Status};

pub(crate) fn books(seed: Seed, db: Db) -> Result<(), Problem> {
    let (mut fakes, count) = (seed.fakes(), seed.rows_or(200) as usize);
    let mut names = BTreeSet::new();
    while names.len() < count.div_ceil(10) {
        names.insert(fakes.line_of(&Name()));
    }
    let author = |name| Ok(Author { id: Id::generate()?, name, born: None });
    let authors: Vec<Author> = names.into_iter().map(author).collect::<Result<_, Error>>()?;
    let of: Vec<_> = authors.iter().map(|author| author.id).collect();
    let book = |number: usize| book(&mut fakes, of[number / 10]);
    let books: Vec<Book> = (0..count).map(book).collect::<Result<_, Error>>()?;
    db.transaction(|tx| {
        tx.insert_all(authors)?;
        tx.insert_all(books)?;
        Ok(())
    })
}

fn book(fakes: &mut Fakes, author: Id<Author>) -> Result<Book, Error> {
    let now = clock::now();
    Ok(Book {
        id: Id::generate()?,
        author_id: Some(author),
        title: fakes.line(4..9),
        summary: fakes.chance(0.7).then(|| fakes.text(1..5)),
        pages: fakes.whole(),
        price: Decimal::new(fakes.number(500..5_000), 2),
        weight: None,
        status: *fakes.one_of(&[Status::Draft, Status::InPrint, Status::OutOfPrint]),
        is_lent: false,
        scan: None,
        details: Json(Details::default()),
        published_on: None,
        version: 1,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    })
}
