//! Questions: which rows, in which order, and what of them.

#![expect(clippy::type_complexity, reason = "a query's type says all that it is about")]

use std::marker::PhantomData;

use super::cells::{Cells, Selected, Selection, Shape};
use super::column::{Assignment, Columns, Order, OrderBy};
use super::cursor::Places;
use super::error::{Attempt, EntityError};
use super::expression::{Expression, Node};
use super::filter::Filter;
use super::loading::{Loaded, Relations};
use super::relation::Relation;
use super::statement::{Builder, Built, Deleted, Query};
use super::write::changes;
use super::{Entity, Table};
use crate::page::{Page, Paged};
use crate::sql::{Connection, FromValue, Row, ToValue, decode};
use crate::{Error, ErrorKind};

/// Rows of `E`, as they are asked for. `S` are the entities that take part, and `P` is what each row
/// becomes. [`Entity::all`] and [`Entity::filter`] begin one.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::entity::{Select, sum};
/// # #[derive(Entity, Serialize, JsonSchema)]
/// # #[entity(table = "teas")]
/// # struct Tea {
/// #     #[entity(key)]
/// #     id: Id<Tea>,
/// #     name: Line<100>,
/// #     country: String,
/// #     stars: i32,
/// #     #[entity(deleted)]
/// #     deleted_at: Option<Timestamp>,
/// # }
/// fn good() -> Select<Tea> {
///     Tea::filter(Tea::STARS.gte(4)).order(Tea::STARS.desc()).order(Tea::NAME.asc())
/// }
///
/// fn some(db: &impl Connection) -> Result<(), EntityError> {
///     let all: Vec<Tea> = good().list(db)?;
///     let three: Vec<Tea> = good().limit(3).list(db)?;
///     let best: Option<Tea> = good().first(db)?;
///     let one: Tea = good().one(db)?; // 404 where there is none
///     let how_many: u64 = good().count(db)?;
///     let any: bool = good().filter(Tea::COUNTRY.eq("India")).exists(db)?;
///     let stars: Option<i64> = good().get(db, sum(Tea::STARS))?;
///     let countries: Vec<String> = Tea::all().distinct().values(db, Tea::COUNTRY)?;
///     let gone: Vec<Tea> = Tea::all().only_deleted().list(db)?;
///     let ever: u64 = Tea::all().with_deleted().count(db)?;
///     # let _ = (all, three, best, one, how_many, any, stars, countries, gone, ever);
///     Ok(())
/// }
///
/// fn page(page: Page, db: Db) -> Result<Paged<Tea>, Problem> {
///     Ok(good().page(&db, &page)?)
/// }
///
/// fn counted(page: Page, db: Db) -> Result<Paged<Tea>, Problem> {
///     Ok(good().counted_page(&db, &page)?)
/// }
///
/// fn forget_bad_ones(db: &impl Connection) -> Result<u64, EntityError> {
///     let bad = || Tea::filter(Tea::STARS.eq(0));
///     let renamed: Vec<Tea> = bad().update_returning(db, [Tea::NAME.set("?")])?;
///     bad().update(db, [Tea::STARS.set(-1)])?;
///     let deleted = Tea::filter(Tea::STARS.eq(-1)).delete(db)?;
///     Tea::all().only_deleted().delete_for_good(db)?;
///     # let _ = renamed;
///     Ok(deleted)
/// }
/// # let _ = (get("/", page), get("/", counted));
/// ```
#[derive(Debug)]
#[must_use]
pub struct Select<E, S = (E,), P = E> {
    query: Query,
    of: PhantomData<fn() -> (E, S, P)>,
}

impl<E, S, P> Clone for Select<E, S, P> {
    fn clone(&self) -> Self {
        Self { query: self.query.clone(), of: PhantomData }
    }
}

impl<E: Entity> Select<E> {
    pub(super) fn new() -> Self {
        Self::from_query(Query::of(E::TABLE))
    }

    pub(super) fn from_query(query: Query) -> Self {
        Self { query, of: PhantomData }
    }
}

impl<E: Entity, S, P> Select<E, S, P> {
    pub(super) fn with_query<S2, P2>(self, change: impl FnOnce(&mut Query)) -> Select<E, S2, P2> {
        let mut query = self.query;
        change(&mut query);
        Select { query, of: PhantomData }
    }

    /// Only those for which this holds, too.
    pub fn filter<T, At>(self, filter: Filter<T>) -> Self
    where
        S: Includes<T, At>,
    {
        self.with_query(|query| query.filters.push(filter.node))
    }

    /// In this order; where it leaves rows alike, in the next one.
    pub fn order<T, At>(self, order: Order<T>) -> Self
    where
        S: Includes<T, At>,
    {
        self.with_query(|query| {
            let OrderBy { node, is_descending, is_nullable } = order.by;
            let is_nullable = is_nullable || query.may_miss(&node);
            query.orders.push(OrderBy { node, is_descending, is_nullable });
        })
    }

    /// One row for all that are alike in these columns. What is selected then is these, and what is
    /// computed of the others: [`Aggregate`](super::Aggregate) has an example.
    pub fn group_by<T: Entity, At>(self, columns: impl Columns<T>) -> Self
    where
        S: Includes<T, At>,
    {
        let columns = columns.names().into_iter().map(super::column::column::<T>);
        self.with_query(|query| query.groups.extend(columns))
    }

    /// Only those groups for which this holds.
    pub fn having<T, At>(self, filter: Filter<T>) -> Self
    where
        S: Includes<T, At>,
    {
        self.with_query(|query| query.having.push(filter.node))
    }

    /// At most so many.
    pub fn limit(self, limit: u64) -> Self {
        self.with_query(|query| query.limit = Some(limit))
    }

    /// None twice.
    pub fn distinct(self) -> Self {
        self.with_query(|query| query.is_distinct = true)
    }

    /// Those that are deleted softly, too.
    pub fn with_deleted(self) -> Self {
        self.with_query(|query| query.deleted = Deleted::Included)
    }

    /// Those that are deleted softly, and no others.
    pub fn only_deleted(self) -> Self {
        self.with_query(|query| query.deleted = Deleted::Alone)
    }

    /// Each with what it is in this relation with; those that are with nothing are left out. What
    /// is joined can be filtered, ordered and selected by.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// # #[derive(Entity)]
    /// # #[entity(table = "authors")]
    /// # struct Author {
    /// #     #[entity(key)]
    /// #     id: Id<Author>,
    /// #     name: String,
    /// # }
    /// # #[derive(Entity)]
    /// # #[entity(table = "books")]
    /// # struct Book {
    /// #     #[entity(key)]
    /// #     id: Id<Book>,
    /// #     title: String,
    /// #     #[entity(belongs_to(author: Author))]
    /// #     author_id: Option<Id<Author>>,
    /// # }
    /// fn of_ada(db: &impl Connection) -> Result<Vec<(Book, Author)>, EntityError> {
    ///     Book::all()
    ///         .join(Book::AUTHOR)
    ///         .filter(Author::NAME.starts_with("Ada"))
    ///         .order(Author::NAME.asc())
    ///         .order(Book::TITLE.asc())
    ///         .select::<(Book, Author)>()
    ///         .list(db)
    /// }
    ///
    /// fn all(db: &impl Connection) -> Result<Vec<(Book, Option<Author>)>, EntityError> {
    ///     Book::all().left_join(Book::AUTHOR).select::<(Book, Option<Author>)>().list(db)
    /// }
    /// ```
    ///
    /// What is in a relation with itself is asked by [`any`](Relation::any) and loaded by
    /// [`with`](Select::with): a join with itself does not compile.
    pub fn join<R: Relation, At>(
        self,
        relation: R,
    ) -> Select<E, <S as Includes<R::From, At>>::With<R::To>, P>
    where
        S: Includes<R::From, At>,
    {
        const { assert_of_two::<R>() };
        self.with_query(|query| query.joins.extend(relation.joins(false)))
    }

    /// As [`join`](Self::join), and what is with nothing is there all the same.
    pub fn left_join<R: Relation, At>(
        self,
        relation: R,
    ) -> Select<E, <S as Includes<R::From, At>>::With<R::To>, P>
    where
        S: Includes<R::From, At>,
    {
        const { assert_of_two::<R>() };
        self.with_query(|query| query.joins.extend(relation.joins(true)))
    }

    /// Something else of each row than all of it: a [`Projection`](super::Projection), or a tuple of
    /// what is joined.
    pub fn select<Q: Shape>(self) -> Select<E, S, Q> {
        self.with_query(|_| {})
    }

    /// How many there are, whatever the limit.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn count(self, db: &impl Connection) -> Result<u64, EntityError> {
        let count: i64 = scalar(db, Builder::new().count(&self.query), E::TABLE)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Whether there is any.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn exists(self, db: &impl Connection) -> Result<bool, EntityError> {
        let built = Builder::new().exists(&self.query);
        Ok(all_rows(db, &built, E::TABLE)?.next().is_some())
    }

    /// What is computed of all of them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn get<X>(self, db: &impl Connection, expression: X) -> Result<X::Value, EntityError>
    where
        X: Expression<Value: FromValue>,
    {
        let selection = [Selected::Expression(expression.into_node(), VALUE)];
        scalar(db, Builder::new().select(&self.query, &selection, &[]), E::TABLE)
    }

    /// One value of each.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn values<X>(
        self,
        db: &impl Connection,
        expression: X,
    ) -> Result<Vec<X::Value>, EntityError>
    where
        X: Expression<Value: FromValue>,
    {
        let selection = [Selected::Expression(expression.into_node(), VALUE)];
        let built = Builder::new().select(&self.query, &selection, &[]);
        let rows = all_rows(db, &built, E::TABLE)?;
        rows.map(|row| value(&row, E::TABLE)).collect()
    }

    /// Changes all of them, and returns how many there were. Their versions grow, and their time of
    /// change is now.
    ///
    /// # Errors
    /// As for [`Entities::insert`](super::Entities::insert).
    pub fn update(
        self,
        db: &impl Connection,
        assignments: impl IntoIterator<Item = Assignment<E>>,
    ) -> Result<u64, EntityError> {
        let sets = changes::<E>(assignments);
        let update = Builder::new().update(&self.query, &sets, None);
        db.execute(&update.text, &update.values)
            .map_err(|error| EntityError::of(E::TABLE, Attempt::Write, error))
    }

    /// Changes all of them, and returns them as they are then.
    ///
    /// # Errors
    /// As for [`update`](Self::update).
    pub fn update_returning(
        self,
        db: &impl Connection,
        assignments: impl IntoIterator<Item = Assignment<E>>,
    ) -> Result<Vec<E>, EntityError> {
        let sets = changes::<E>(assignments);
        let update = Builder::new().update(&self.query, &sets, Some(E::TEXTS.columns));
        let answer = db.query_encoded(&update.text, &update.values);
        let answer = answer.map_err(|error| EntityError::of(E::TABLE, Attempt::Write, error))?;
        read_all(answer, E::TABLE)
    }

    /// Deletes all of them, and returns how many there were: where the entity has a `deleted`
    /// column, they are kept, and left out from now on.
    ///
    /// # Errors
    /// Where something refers to one of them.
    pub fn delete(self, db: &impl Connection) -> Result<u64, EntityError> {
        let Some(deleted) = E::TABLE.deleted else { return self.delete_for_good(db) };
        let mut sets = changes::<E>([]);
        sets.retain(|(column, _)| !E::TABLE.key.contains(column));
        sets.push((deleted, Node::Value(E::now().to_value())));
        let update = Builder::new().update(&self.query, &sets, None);
        db.execute(&update.text, &update.values)
            .map_err(|error| EntityError::of(E::TABLE, Attempt::Delete, error))
    }

    /// Deletes all of them for good.
    ///
    /// # Errors
    /// Where something refers to one of them.
    pub fn delete_for_good(self, db: &impl Connection) -> Result<u64, EntityError> {
        let delete = Builder::new().delete(&self.query);
        db.execute(&delete.text, &delete.values)
            .map_err(|error| EntityError::of(E::TABLE, Attempt::Delete, error))
    }
}

impl<E: Entity, S, P: Shape> Select<E, S, P> {
    /// All of them.
    ///
    /// # Errors
    /// When the database does not answer, or a row is no `P`.
    pub fn list(self, db: &impl Connection) -> Result<Vec<P>, EntityError> {
        let built = Builder::new().select(&self.query, &selection::<P>(), &[]);
        let answer = db.query_encoded(&built.text, &built.values);
        let answer = answer.map_err(|error| EntityError::of(E::TABLE, Attempt::Read, error))?;
        read_all(answer, E::TABLE)
    }

    /// The first of them, if there is any.
    ///
    /// # Errors
    /// As for [`list`](Self::list).
    pub fn first(self, db: &impl Connection) -> Result<Option<P>, EntityError> {
        Ok(self.limit(1).list(db)?.into_iter().next())
    }

    /// The first of them.
    ///
    /// # Errors
    /// As for [`list`](Self::list), and where there is none: 404 for a client.
    pub fn one(self, db: &impl Connection) -> Result<P, EntityError> {
        self.first(db)?.ok_or_else(|| EntityError::not_found(E::TABLE))
    }

    /// A page of them. Where the order leaves rows alike, their keys decide, so that none is shown
    /// twice and none is left out, whatever others write meanwhile. What is grouped must be ordered
    /// by what it is grouped by.
    ///
    /// # Errors
    /// As for [`list`](Self::list), and where a client's cursor is none of this order: 422 for it.
    pub fn page(self, db: &impl Connection, page: &Page) -> Result<Paged<P>, EntityError> {
        let query = self.query;
        page_of::<P>(db, query, page)
    }

    /// A page of them, and how many there are in all.
    ///
    /// # Errors
    /// As for [`page`](Self::page).
    pub fn counted_page(self, db: &impl Connection, page: &Page) -> Result<Paged<P>, EntityError> {
        let total = self.clone().count(db)?;
        Ok(self.page(db, page)?.of_total(total))
    }
}

impl<E: Entity, S> Select<E, S> {
    /// Each with what it is in these relations with: one, or a tuple of them. Each relation is one
    /// statement more, however many rows there are.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// # #[derive(Entity)]
    /// # #[entity(table = "authors", has_many(books: Book, by = author_id))]
    /// # struct Author {
    /// #     #[entity(key)]
    /// #     id: Id<Author>,
    /// # }
    /// # #[derive(Entity)]
    /// # #[entity(table = "books")]
    /// # struct Book {
    /// #     #[entity(key)]
    /// #     id: Id<Book>,
    /// #     #[entity(belongs_to(author: Author))]
    /// #     author_id: Option<Id<Author>>,
    /// # }
    /// fn authors(db: &impl Connection) -> Result<Vec<(Author, Vec<Book>)>, EntityError> {
    ///     Author::all().with(Author::BOOKS).list(db)
    /// }
    /// ```
    pub fn with<R: Relations<E>>(self, relations: R) -> Loaded<E, S, R> {
        Loaded::new(self, relations)
    }
}

/// Refuses to compile a join of a table with itself, whose columns would be two tables'.
const fn assert_of_two<R: Relation>() {
    assert!(
        !R::From::TABLE.is(R::To::TABLE),
        "an entity cannot be joined with itself: ask it by `any`, or load it by `with`"
    );
}

/// The column under which a value alone is selected.
const VALUE: &str = "value";

fn selection<P: Shape>() -> Vec<Selected> {
    let mut selection = Selection::default();
    P::select(&mut selection);
    selection.parts
}

/// The rows of an answer.
pub(super) fn rows(answer: Vec<u8>) -> Result<impl Iterator<Item = Row>, Error> {
    decode(answer)
}

fn all_rows(
    db: &impl Connection,
    built: &Built,
    table: &'static Table,
) -> Result<impl Iterator<Item = Row>, EntityError> {
    let answer = db.query_encoded(&built.text, &built.values);
    answer.and_then(rows).map_err(|error| EntityError::of(table, Attempt::Read, error))
}

fn read_all<P: Shape>(answer: Vec<u8>, table: &'static Table) -> Result<Vec<P>, EntityError> {
    let read =
        rows(answer).and_then(|rows| rows.map(|row| P::read(&mut Cells::in_order(&row))).collect());
    read.map_err(|error| EntityError::of(table, Attempt::Read, error))
}

fn value<T: FromValue>(row: &Row, table: &'static Table) -> Result<T, EntityError> {
    let value = Cells::in_order(row).next(table.entity, VALUE);
    value.map_err(|error| EntityError::of(table, Attempt::Read, error))
}

fn scalar<T: FromValue>(
    db: &impl Connection,
    built: Built,
    table: &'static Table,
) -> Result<T, EntityError> {
    match all_rows(db, &built, table)?.next() {
        Some(row) => value(&row, table),
        None => Err(EntityError::not_found(table)),
    }
}

fn page_of<P: Shape>(
    db: &impl Connection,
    mut query: Query,
    page: &Page,
) -> Result<Paged<P>, EntityError> {
    let table = query.table;
    let failed = |error| EntityError::of(table, Attempt::Read, error);
    order_by_key(&mut query);
    let behind = {
        let places = Places::of(&query).ok_or_else(|| failed(computed()))?;
        let cursor = page.after.as_deref();
        cursor.map(|it| places.behind(it).ok_or_else(|| EntityError::cursor(table))).transpose()?
    };
    query.filters.extend(behind);
    query.limit = Some(u64::from(page.look_ahead()));

    let selection = selection::<P>();
    // The row of one entity has its columns under their names; other rows get what they lack.
    let is_whole =
        matches!(selection.as_slice(), [Selected::Entity(of, _)] if of.name == table.name);
    let (mut names, mut extra) = (Vec::new(), Vec::new());
    for (index, order) in query.orders.iter().enumerate() {
        match &order.node {
            Node::Column { table: of, name } if is_whole && *of == table.name => {
                names.push((*name).to_owned());
            }
            node => {
                names.push(format!("order {index}"));
                extra.push((node, format!("order {index}")));
            }
        }
    }
    let built = Builder::new().select(&query, &selection, &extra);

    let rows: Vec<_> = all_rows(db, &built, table)?.collect();
    let limit = page.limit() as usize;
    let last = rows.get(limit.saturating_sub(1)).filter(|_| rows.len() > limit);
    let places = Places::of(&query).ok_or_else(|| failed(computed()))?;
    let next = last.map(|row| places.write(row, &names)).transpose().map_err(failed)?;
    let items = rows.iter().take(limit).map(|row| P::read(&mut Cells::in_order(row)));
    let items = items.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    Ok(Paged::of(items, next, page.limit()))
}

/// Makes the order one in which no two rows are alike.
fn order_by_key(query: &mut Query) {
    if !query.groups.is_empty() {
        return;
    }
    let table = query.table;
    let is_descending = query.orders.last().is_some_and(|order| order.is_descending);
    for key in table.key {
        let is_key = |node: &Node| matches!(node, Node::Column { table: of, name } if *of == table.name && name == key);
        if !query.orders.iter().any(|order| is_key(&order.node)) {
            let node = Node::Column { table: table.name, name: key };
            query.orders.push(OrderBy { node, is_descending, is_nullable: false });
        }
    }
}

fn computed() -> Error {
    Error {
        kind: ErrorKind::Other,
        message: "pages are ordered by columns, not by what is computed of them".to_owned(),
        subject: None,
    }
}

/// Entities that take part in a query: `T` is one of them, and another can be added.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{T}` takes no part in this query",
    label = "this is about `{T}`",
    note = "`.join(…)` brings in what the query's entity is in a relation with"
)]
pub trait Includes<T, At> {
    type With<U>;
}

/// The place of an entity in a query.
#[doc(hidden)]
#[derive(Debug)]
pub struct At<const PLACE: usize>;

macro_rules! includes {
    ($([$($part:ident)+] $one:ident $place:literal => $with:ty;)*) => {$(
        impl<$($part),+> Includes<$one, At<$place>> for ($($part,)+) {
            type With<U> = $with;
        }
    )*};
}

// Of four, a fifth can be joined, and no longer be spoken of.
includes! {
    [A] A 0 => (A, U);
    [A B] A 0 => (A, B, U);
    [A B] B 1 => (A, B, U);
    [A B C] A 0 => (A, B, C, U);
    [A B C] B 1 => (A, B, C, U);
    [A B C] C 2 => (A, B, C, U);
    [A B C D] A 0 => (A, B, C, D);
    [A B C D] B 1 => (A, B, C, D);
    [A B C D] C 2 => (A, B, C, D);
    [A B C D] D 3 => (A, B, C, D);
}
