//! Rows with what they are in relations with: one statement for the rows, and one for each relation.

use super::error::EntityError;
use super::relation::{Holder, Nested, Relation, Scope, Scoped};
use super::{Entity, Select};
use crate::page::{Page, Paged};
use crate::sql::Connection;

/// Relations from `E`: one, or a tuple of up to four.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::entity::Relations;
/// # #[derive(Clone, Entity)]
/// # #[entity(table = "authors", has_many(books: Book, by = author_id))]
/// # struct Author {
/// #     #[entity(key)]
/// #     id: Id<Author>,
/// # }
/// # #[derive(Clone, Entity)]
/// # #[entity(table = "books")]
/// # struct Book {
/// #     #[entity(key)]
/// #     id: Id<Book>,
/// #     title: String,
/// #     #[entity(belongs_to(author: Author))]
/// #     author_id: Option<Id<Author>>,
/// # }
/// fn books() -> impl Relations<Author, Found = Vec<Book>> {
///     Author::BOOKS.order(Book::TITLE.asc())
/// }
/// ```
pub trait Relations<E: Entity> {
    /// What a row is with.
    type Found;

    #[doc(hidden)]
    fn find(&self, db: &impl Connection, rows: &[E]) -> Result<Vec<Self::Found>, EntityError>;
}

impl<E: Entity, R: Relation<From = E>> Relations<E> for R {
    type Found = R::Found;

    fn find(&self, db: &impl Connection, rows: &[E]) -> Result<Vec<R::Found>, EntityError> {
        self.load_all(db, rows, &Scope::default())
    }
}

impl<E: Entity, R: Relation<From = E>> Relations<E> for Scoped<R> {
    type Found = R::Found;

    fn find(&self, db: &impl Connection, rows: &[E]) -> Result<Vec<R::Found>, EntityError> {
        self.relation.load_all(db, rows, &self.scope)
    }
}

impl<E: Entity, R: Relation<From = E>, N: Relations<R::To>> Relations<E> for Nested<Scoped<R>, N> {
    type Found = <R::Found as Holder>::Of<(R::To, N::Found)>;

    fn find(&self, db: &impl Connection, rows: &[E]) -> Result<Vec<Self::Found>, EntityError> {
        let found = self.relation.find(db, rows)?;
        let counts: Vec<_> = found.iter().map(Holder::count).collect();
        let mut all = Vec::with_capacity(counts.iter().sum());
        found.into_iter().for_each(|some| some.pour(&mut all));
        let next = self.next.find(db, &all)?;
        let mut pairs = all.into_iter().zip(next);
        Ok(counts.into_iter().map(|count| R::Found::refill(count, &mut pairs)).collect())
    }
}

macro_rules! tuple {
    ($($part:ident)+) => {
        impl<E: Entity, $($part: Relations<E>),+> Relations<E> for ($($part,)+) {
            type Found = ($($part::Found,)+);

            #[allow(non_snake_case, reason = "the parts are named like their types")]
            fn find(
                &self,
                db: &impl Connection,
                rows: &[E],
            ) -> Result<Vec<Self::Found>, EntityError> {
                let ($($part,)+) = self;
                $(let mut $part = $part.find(db, rows)?.into_iter();)+
                Ok(std::iter::from_fn(|| Some(($($part.next()?,)+))).collect())
            }
        }
    };
}

tuple!(A B);
tuple!(A B C);
tuple!(A B C D);

/// Rows, each with what it is in relations with. [`Select::with`] makes it.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # #[derive(Entity, Serialize, JsonSchema)]
/// # #[entity(table = "authors", has_many(books: Book, by = author_id))]
/// # struct Author {
/// #     #[entity(key)]
/// #     id: i64,
/// # }
/// # #[derive(Entity, Serialize, JsonSchema)]
/// # #[entity(table = "books")]
/// # struct Book {
/// #     #[entity(key)]
/// #     id: i64,
/// #     #[entity(belongs_to(author: Author))]
/// #     author_id: i64,
/// # }
/// type Filled = (Author, Vec<Book>);
///
/// fn one(db: &impl Connection, id: i64) -> Result<Filled, EntityError> {
///     Author::filter(Author::ID.eq(id)).with(Author::BOOKS).one(db)
/// }
///
/// fn page(page: Page, db: Db) -> Result<Paged<Filled>, Problem> {
///     Ok(Author::all().with(Author::BOOKS).counted_page(&db, &page)?)
/// }
/// # let _ = get("/", page);
/// ```
#[derive(Debug)]
#[must_use]
pub struct Loaded<E, S, R> {
    pub(super) select: Select<E, S>,
    relations: R,
}

impl<E: Entity, S, R: Relations<E>> Loaded<E, S, R> {
    pub(super) fn new(select: Select<E, S>, relations: R) -> Self {
        Self { select, relations }
    }

    /// All of them.
    ///
    /// # Errors
    /// As for [`Select::list`].
    pub fn list(self, db: &impl Connection) -> Result<Vec<(E, R::Found)>, EntityError> {
        let rows = self.select.list(db)?;
        loaded(db, rows, &self.relations)
    }

    /// The first of them, if there is any.
    ///
    /// # Errors
    /// As for [`Select::list`].
    pub fn first(self, db: &impl Connection) -> Result<Option<(E, R::Found)>, EntityError> {
        let rows = self.select.limit(1).list(db)?;
        Ok(loaded(db, rows, &self.relations)?.into_iter().next())
    }

    /// The first of them.
    ///
    /// # Errors
    /// As for [`Select::one`].
    pub fn one(self, db: &impl Connection) -> Result<(E, R::Found), EntityError> {
        self.first(db)?.ok_or_else(|| EntityError::not_found(E::TABLE))
    }

    /// A page of them.
    ///
    /// # Errors
    /// As for [`Select::page`].
    pub fn page(
        self,
        db: &impl Connection,
        page: &Page,
    ) -> Result<Paged<(E, R::Found)>, EntityError> {
        let paged = self.select.page(db, page)?;
        paged.try_map_all(|rows| loaded(db, rows, &self.relations))
    }

    /// A page of them, and how many there are in all.
    ///
    /// # Errors
    /// As for [`Select::page`].
    pub fn counted_page(
        self,
        db: &impl Connection,
        page: &Page,
    ) -> Result<Paged<(E, R::Found)>, EntityError> {
        let paged = self.select.counted_page(db, page)?;
        paged.try_map_all(|rows| loaded(db, rows, &self.relations))
    }
}

fn loaded<E: Entity, R: Relations<E>>(
    db: &impl Connection,
    rows: Vec<E>,
    relations: &R,
) -> Result<Vec<(E, R::Found)>, EntityError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let found = relations.find(db, &rows)?;
    Ok(rows.into_iter().zip(found).collect())
}
