//! From one entity to others: what a row refers to, and what refers to it.

use std::fmt;
use std::marker::PhantomData;

use super::cells::{Cells, Selected};
use super::column::{Column, Order, OrderBy, column};
use super::error::{Attempt, EntityError};
use super::expression::{Node, Operator};
use super::filter::Filter;
use super::loading::Relations;
use super::select::rows;
use super::statement::{Builder, Join, Query};
use super::{Entity, SingleKey, Table};
use crate::Error;
use crate::sql::{Connection, Row, ToValue, Value};

/// How many keys one statement asks for.
const KEYS_MAX: usize = 1_000;

/// A way from one entity to another. A derive makes them constants: `Book::AUTHOR`.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// #[derive(Entity)]
/// #[entity(table = "authors", has_many(books: Book, by = author_id))]
/// struct Author {
///     #[entity(key)]
///     id: Id<Author>,
///     name: String,
/// }
///
/// #[derive(Entity)]
/// #[entity(table = "books", has_one(cover: Cover, by = book_id))]
/// #[entity(many_to_many(tags: Tag, through = BookTag, by = book_id, to = tag_id))]
/// struct Book {
///     #[entity(key)]
///     id: Id<Book>,
///     title: String,
///     #[entity(belongs_to(author: Author))]
///     author_id: Option<Id<Author>>,
/// }
///
/// #[derive(Entity)]
/// #[entity(table = "covers")]
/// struct Cover {
///     #[entity(key, belongs_to(book: Book, on_delete = cascade))]
///     book_id: Id<Book>,
///     colour: String,
/// }
///
/// #[derive(Entity)]
/// #[entity(table = "tags")]
/// struct Tag {
///     #[entity(key)]
///     name: String,
/// }
///
/// #[derive(Entity)]
/// #[entity(table = "book_tags")]
/// struct BookTag {
///     #[entity(key, belongs_to(book: Book, on_delete = cascade))]
///     book_id: Id<Book>,
///     #[entity(key, column = "tag", belongs_to(tag: Tag))]
///     tag_id: String,
/// }
///
/// /// Each relation is one statement, however many books there are.
/// fn books(
///     db: &impl Connection,
/// ) -> Result<Vec<(Book, (Option<Author>, Option<Cover>, Vec<Tag>))>, EntityError> {
///     Book::all().with((Book::AUTHOR, Book::COVER, Book::TAGS)).list(db)
/// }
///
/// /// Only where somebody asks.
/// fn later(db: &impl Connection, author: &Author) -> Result<Vec<Book>, EntityError> {
///     Author::BOOKS.load(db, author)
/// }
///
/// /// Authors, with those of their books that are tagged so, each with its cover.
/// fn tagged(
///     db: &impl Connection,
///     tag: &str,
/// ) -> Result<Vec<(Author, Vec<(Book, Option<Cover>)>)>, EntityError> {
///     let so = || Book::TAGS.any(Tag::NAME.eq(tag.to_owned()));
///     let books = Author::BOOKS.filter(so()).order(Book::TITLE.asc()).with(Book::COVER);
///     Author::filter(Author::BOOKS.any(so())).with(books).list(db)
/// }
///
/// fn without_books(db: &impl Connection) -> Result<Vec<Author>, EntityError> {
///     Author::filter(Author::BOOKS.exists().not()).list(db)
/// }
/// ```
pub trait Relation: Sized {
    /// Where it begins.
    type From: Entity;
    /// Where it leads.
    type To: Entity;
    /// What a row is in the relation with: a `Vec`, or an `Option`.
    type Found: Holder<Item = Self::To>;

    #[doc(hidden)]
    fn joins(&self, is_left: bool) -> Vec<Join>;

    /// The column of `From`, and the one that it is found by in the query that gives it.
    #[doc(hidden)]
    fn found_by(&self) -> (Node, Query, Node);

    #[doc(hidden)]
    fn load_all(
        &self,
        db: &impl Connection,
        from: &[Self::From],
        scope: &Scope,
    ) -> Result<Vec<Self::Found>, EntityError>;

    /// What a row is in this relation with, by a statement of its own.
    ///
    /// # Errors
    /// When the database does not answer.
    fn load(self, db: &impl Connection, from: &Self::From) -> Result<Self::Found, EntityError> {
        let found = self.load_all(db, std::slice::from_ref(from), &Scope::default())?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    /// Rows that are in this relation with one for which that holds.
    fn any(self, filter: Filter<Self::To>) -> Filter<Self::From> {
        let (column, mut query, found) = self.found_by();
        query.filters.push(filter.node);
        query.filters.push(Node::Not(Box::new(Node::IsNull(Box::new(found.clone())))));
        // Nothing is in no list, and not outside of one either: that it is something makes `not` work.
        let is_some = Node::Not(Box::new(Node::IsNull(Box::new(column.clone()))));
        let is_in = Node::InQuery(Box::new(column), Box::new(query), Box::new(found));
        Filter::of_node(Node::All(vec![is_some, is_in]))
    }

    /// Rows that are in this relation with any.
    fn exists(self) -> Filter<Self::From> {
        self.any(Filter::all([]))
    }

    /// The relation with those alone for which this holds.
    fn filter(self, filter: Filter<Self::To>) -> Scoped<Self> {
        Scoped::new(self).filter(filter)
    }

    /// The relation, in this order.
    fn order(self, order: Order<Self::To>) -> Scoped<Self> {
        Scoped::new(self).order(order)
    }

    /// The relation, and for each that is found, what it is in that one with.
    fn with<N: Relations<Self::To>>(self, next: N) -> Nested<Scoped<Self>, N> {
        Scoped::new(self).with(next)
    }
}

/// Which rows of a relation, and in which order.
#[doc(hidden)]
#[derive(Clone, Debug, Default)]
pub struct Scope {
    filters: Vec<Node>,
    orders: Vec<OrderBy>,
}

impl Scope {
    fn on(&self, mut query: Query) -> Query {
        query.filters.extend(self.filters.iter().cloned());
        query.orders.extend(self.orders.iter().cloned());
        if self.orders.is_empty() {
            let table = query.table;
            query.orders.extend(table.key.iter().map(|key| OrderBy {
                node: Node::Column { table: table.name, name: key },
                is_descending: false,
                is_nullable: false,
            }));
        }
        query
    }
}

/// A relation with some rows alone. [`Relation::filter`] makes it.
#[doc(hidden)]
#[derive(Clone, Debug)]
#[must_use]
pub struct Scoped<R> {
    pub(super) relation: R,
    pub(super) scope: Scope,
}

impl<R: Relation> Scoped<R> {
    fn new(relation: R) -> Self {
        Self { relation, scope: Scope::default() }
    }

    /// Only those for which this holds, too.
    #[doc(hidden)]
    pub fn filter(mut self, filter: Filter<R::To>) -> Self {
        self.scope.filters.push(filter.node);
        self
    }

    /// In this order; where it leaves rows alike, in the next one.
    #[doc(hidden)]
    pub fn order(mut self, order: Order<R::To>) -> Self {
        self.scope.orders.push(order.by);
        self
    }

    #[doc(hidden)]
    pub fn with<N: Relations<R::To>>(self, next: N) -> Nested<Self, N> {
        Nested { relation: self, next }
    }
}

/// A relation, and one from there. [`Relation::with`] makes it.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # #[derive(Entity)]
/// # #[entity(table = "shelves", has_many(books: Book, by = shelf_id))]
/// # struct Shelf {
/// #     #[entity(key)]
/// #     id: Id<Shelf>,
/// # }
/// # #[derive(Entity)]
/// # #[entity(table = "books", has_many(pages: Page, by = book_id))]
/// # struct Book {
/// #     #[entity(key)]
/// #     id: Id<Book>,
/// #     #[entity(belongs_to(shelf: Shelf))]
/// #     shelf_id: Id<Shelf>,
/// # }
/// # #[derive(Entity)]
/// # #[entity(table = "pages")]
/// # struct Page {
/// #     #[entity(key)]
/// #     id: Id<Page>,
/// #     #[entity(belongs_to(book: Book))]
/// #     book_id: Id<Book>,
/// # }
/// type Filled = (Shelf, Vec<(Book, Vec<Page>)>);
///
/// fn shelves(db: &impl Connection) -> Result<Vec<Filled>, EntityError> {
///     Shelf::all().with(Shelf::BOOKS.with(Book::PAGES)).list(db)
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Nested<R, N> {
    pub(super) relation: R,
    pub(super) next: N,
}

/// What a row is in a relation with: any number, or one at most.
#[doc(hidden)]
pub trait Holder: Default {
    type Item;
    type Of<T>: Default;

    fn count(&self) -> usize;
    fn pour(self, into: &mut Vec<Self::Item>);
    fn refill<T>(count: usize, from: &mut impl Iterator<Item = T>) -> Self::Of<T>;
}

impl<I> Holder for Vec<I> {
    type Item = I;
    type Of<T> = Vec<T>;

    fn count(&self) -> usize {
        self.len()
    }

    fn pour(self, into: &mut Vec<I>) {
        into.extend(self);
    }

    fn refill<T>(count: usize, from: &mut impl Iterator<Item = T>) -> Vec<T> {
        from.take(count).collect()
    }
}

impl<I> Holder for Option<I> {
    type Item = I;
    type Of<T> = Option<T>;

    fn count(&self) -> usize {
        usize::from(self.is_some())
    }

    fn pour(self, into: &mut Vec<I>) {
        into.extend(self);
    }

    fn refill<T>(count: usize, from: &mut impl Iterator<Item = T>) -> Option<T> {
        from.take(count).next()
    }
}

/// A column's type that refers to rows of key `K`: the key, or an `Option` of it.
///
/// ```
/// # use hostel_sdk::Id;
/// # use hostel_sdk::entity::References;
/// fn refers_to<K, F: References<K>>() {}
/// refers_to::<Id<()>, Option<Id<()>>>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not refer to rows that are known by `{K}`",
    note = "the key's own type does, and an `Option` of it"
)]
pub trait References<K> {
    #[doc(hidden)]
    fn parent(&self) -> Option<K>;
}

impl<K: SingleKey> References<K> for K {
    fn parent(&self) -> Option<K> {
        Some(self.clone())
    }
}

impl<K: SingleKey> References<K> for Option<K> {
    fn parent(&self) -> Option<K> {
        self.clone()
    }
}

/// Each row of `C` refers to one of `P`, or may.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::entity::BelongsTo;
/// # #[derive(Entity)]
/// # #[entity(table = "shelves")]
/// # struct Shelf {
/// #     #[entity(key)]
/// #     id: i64,
/// # }
/// #[derive(Entity)]
/// #[entity(table = "books")]
/// struct Book {
///     #[entity(key)]
///     id: i64,
///     #[entity(belongs_to(shelf: Shelf))]
///     shelf_id: i64,
/// }
///
/// let shelf: BelongsTo<Book, Shelf> = Book::SHELF;
/// ```
pub struct BelongsTo<C: Entity, P: Entity> {
    column: &'static str,
    parent: fn(&C) -> Option<P::Key>,
}

impl<C: Entity, P: Entity> BelongsTo<C, P> {
    #[doc(hidden)]
    #[must_use]
    pub const fn new<F: References<P::Key>>(
        by: Column<C, F>,
        parent: fn(&C) -> Option<P::Key>,
    ) -> Self {
        assert!(P::TABLE.key.len() == 1, "a relation needs a key of one column");
        Self { column: by.name(), parent }
    }
}

/// The one column that rows are known by.
fn key<E: Entity>() -> Node {
    // A relation cannot be made where there is not exactly one.
    column::<E>(E::TABLE.key.first().copied().unwrap_or_default())
}

fn equal(one: Node, other: Node) -> Node {
    Node::Compare(Box::new(one), Operator::Equal, Box::new(other))
}

impl<C: Entity, P: Entity> Relation for BelongsTo<C, P>
where
    P::Key: SingleKey,
{
    type From = C;
    type To = P;
    type Found = Option<P>;

    fn joins(&self, is_left: bool) -> Vec<Join> {
        let on = equal(column::<C>(self.column), key::<P>());
        vec![Join { table: P::TABLE, on, is_left }]
    }

    fn found_by(&self) -> (Node, Query, Node) {
        (column::<C>(self.column), Query::of(P::TABLE), key::<P>())
    }

    fn load_all(
        &self,
        db: &impl Connection,
        from: &[C],
        scope: &Scope,
    ) -> Result<Vec<Option<P>>, EntityError> {
        let failed = |error| EntityError::of(P::TABLE, Attempt::Read, error);
        let asked: Vec<Option<P::Key>> = from.iter().map(|row| (self.parent)(row)).collect();
        let keys = sorted(asked.iter().flatten().cloned());
        let mut parents: Vec<(P::Key, Row)> = Vec::with_capacity(keys.len());
        let known_by = P::TABLE.key.first().copied().unwrap_or_default();
        for keys in keys.chunks(KEYS_MAX) {
            let (_, query, by) = self.found_by();
            for row in found::<P>(db, scope, query, by, keys, &[]).map_err(failed)? {
                parents.push((row.get(known_by).map_err(failed)?, row));
            }
        }
        parents.sort_by(|one, other| one.0.cmp(&other.0));
        // Many may have the same one: each gets its own, read from the row that they share.
        let of = |key: P::Key| {
            let place = parents.binary_search_by(|(other, _)| other.cmp(&key)).ok()?;
            parents.get(place).map(|(_, row)| P::read(&mut Cells::in_order(row)))
        };
        let found = asked.into_iter().map(|key| key.and_then(of).transpose());
        found.collect::<Result<_, _>>().map_err(failed)
    }
}

macro_rules! to_children {
    ($($(#[$doc:meta])* $name:ident $found:ident;)*) => {$(
        $(#[$doc])*
        pub struct $name<P: Entity, C: Entity> {
            column: &'static str,
            parent: fn(&C) -> Option<P::Key>,
        }

        impl<P: Entity, C: Entity> $name<P, C> {
            #[doc(hidden)]
            #[must_use]
            pub const fn new<F: References<P::Key>>(
                by: Column<C, F>,
                parent: fn(&C) -> Option<P::Key>,
            ) -> Self {
                assert!(P::TABLE.key.len() == 1, "a relation needs a key of one column");
                Self { column: by.name(), parent }
            }
        }

        impl<P: Entity, C: Entity> Relation for $name<P, C>
        where
            P::Key: SingleKey,
        {
            type From = P;
            type To = C;
            type Found = $found<C>;

            fn joins(&self, is_left: bool) -> Vec<Join> {
                let on = equal(column::<C>(self.column), key::<P>());
                vec![Join { table: C::TABLE, on, is_left }]
            }

            fn found_by(&self) -> (Node, Query, Node) {
                (key::<P>(), Query::of(C::TABLE), column::<C>(self.column))
            }

            fn load_all(
                &self,
                db: &impl Connection,
                from: &[P],
                scope: &Scope,
            ) -> Result<Vec<$found<C>>, EntityError> {
                let mut all: Vec<$found<C>> = from.iter().map(|_| $found::default()).collect();
                let places = Places::of(from);
                for keys in places.keys().chunks(KEYS_MAX) {
                    let (_, query, by) = self.found_by();
                    for child in children::<C>(db, scope, query, by, keys)? {
                        let key = (self.parent)(&child);
                        if let Some(of_parent) = key.and_then(|key| all.get_mut(places.find(&key)?)) {
                            of_parent.take_in(child);
                        }
                    }
                }
                Ok(all)
            }
        }
    )*};
}

to_children! {
    /// Any number of rows of `C` refer to one of `P`. [`Relation`] has an example.
    HasMany Vec;
    /// One row of `C` at most refers to one of `P`. [`Relation`] has an example.
    HasOne Option;
}

/// Takes one more; where there is one already and only one may be, that one stays.
trait TakeIn<T> {
    fn take_in(&mut self, one: T);
}

impl<T> TakeIn<T> for Vec<T> {
    fn take_in(&mut self, one: T) {
        self.push(one);
    }
}

impl<T> TakeIn<T> for Option<T> {
    fn take_in(&mut self, one: T) {
        self.get_or_insert(one);
    }
}

/// Rows of `L` and of `R`, any number of each with any number of the other, by rows between them.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::entity::ManyToMany;
/// # #[derive(Entity)]
/// # #[entity(table = "tags")]
/// # struct Tag {
/// #     #[entity(key)]
/// #     id: i64,
/// # }
/// #[derive(Entity)]
/// #[entity(table = "books")]
/// #[entity(many_to_many(tags: Tag, through = BookTag, by = book_id, to = tag_id))]
/// struct Book {
///     #[entity(key)]
///     id: i64,
/// }
///
/// #[derive(Entity)]
/// #[entity(table = "book_tags")]
/// struct BookTag {
///     #[entity(key, belongs_to(book: Book))]
///     book_id: i64,
///     #[entity(key, belongs_to(tag: Tag))]
///     tag_id: i64,
/// }
///
/// let tags: ManyToMany<Book, Tag> = Book::TAGS;
/// ```
pub struct ManyToMany<L, R> {
    between: fn() -> &'static Table,
    by: &'static str,
    to: &'static str,
    of: PhantomData<fn() -> (L, R)>,
}

impl<L: Entity, R: Entity> ManyToMany<L, R> {
    #[doc(hidden)]
    #[must_use]
    pub const fn new<T: Entity, A: References<L::Key>, B: References<R::Key>>(
        by: Column<T, A>,
        to: Column<T, B>,
    ) -> Self {
        assert!(
            L::TABLE.key.len() == 1 && R::TABLE.key.len() == 1,
            "a relation needs a key of one column"
        );
        Self { between: || T::TABLE, by: by.name(), to: to.name(), of: PhantomData }
    }

    fn between(&self, name: &'static str) -> Node {
        Node::Column { table: (self.between)().name, name }
    }

    /// From `R` back to what is between.
    fn back(&self) -> Join {
        let on = equal(self.between(self.to), key::<R>());
        Join { table: (self.between)(), on, is_left: false }
    }
}

/// The column that says to whom a row belongs.
const OF: &str = "belongs to";

impl<L: Entity, R: Entity> Relation for ManyToMany<L, R>
where
    L::Key: SingleKey,
{
    type From = L;
    type To = R;
    type Found = Vec<R>;

    fn joins(&self, is_left: bool) -> Vec<Join> {
        let on = equal(self.between(self.by), key::<L>());
        vec![
            Join { table: (self.between)(), on, is_left },
            Join { table: R::TABLE, is_left, ..self.back() },
        ]
    }

    fn found_by(&self) -> (Node, Query, Node) {
        let query = Query { joins: vec![self.back()], ..Query::of(R::TABLE) };
        (key::<L>(), query, self.between(self.by))
    }

    fn load_all(
        &self,
        db: &impl Connection,
        from: &[L],
        scope: &Scope,
    ) -> Result<Vec<Vec<R>>, EntityError> {
        let failed = |error| EntityError::of(R::TABLE, Attempt::Read, error);
        let mut all: Vec<Vec<R>> = from.iter().map(|_| Vec::new()).collect();
        let places = Places::of(from);
        for keys in places.keys().chunks(KEYS_MAX) {
            let (_, query, by) = self.found_by();
            let extra = [(&by, OF.to_owned())];
            for row in found::<R>(db, scope, query, by.clone(), keys, &extra).map_err(failed)? {
                let of = row.get::<L::Key>(OF).map_err(failed)?;
                if let Some(of_left) = places.find(&of).and_then(|place| all.get_mut(place)) {
                    of_left.push(R::read(&mut Cells::in_order(&row)).map_err(failed)?);
                }
            }
        }
        Ok(all)
    }
}

/// Where the rows of each key are, in the order of the keys.
struct Places<K> {
    keys: Vec<K>,
    places: Vec<usize>,
}

impl<K: SingleKey> Places<K> {
    fn of<E: Entity<Key = K>>(rows: &[E]) -> Self {
        let mut all: Vec<_> =
            rows.iter().enumerate().map(|(place, row)| (row.key(), place)).collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        let (keys, places) = all.into_iter().unzip();
        Self { keys, places }
    }

    fn keys(&self) -> &[K] {
        &self.keys
    }

    fn find(&self, key: &K) -> Option<usize> {
        let index = self.keys.binary_search(key).ok()?;
        self.places.get(index).copied()
    }
}

fn sorted<K: Ord>(keys: impl Iterator<Item = K>) -> Vec<K> {
    let mut keys: Vec<K> = keys.collect();
    keys.sort();
    keys.dedup();
    keys
}

fn children<E: Entity>(
    db: &impl Connection,
    scope: &Scope,
    query: Query,
    by: Node,
    keys: &[impl ToValue],
) -> Result<Vec<E>, EntityError> {
    let found = found::<E>(db, scope, query, by, keys, &[]).and_then(|rows| {
        rows.map(|row| E::read(&mut Cells::in_order(&row))).collect::<Result<Vec<_>, _>>()
    });
    found.map_err(|error| EntityError::of(E::TABLE, Attempt::Read, error))
}

/// The rows of which a column is one of these keys.
fn found<E: Entity>(
    db: &impl Connection,
    scope: &Scope,
    query: Query,
    by: Node,
    keys: &[impl ToValue],
    extra: &[(&Node, String)],
) -> Result<impl Iterator<Item = Row>, Error> {
    let keys: Vec<Value> = keys.iter().map(ToValue::to_value).collect();
    let mut query = scope.on(query);
    query.filters.push(Node::In(Box::new(by), keys));
    let selection = [Selected::Entity(E::TABLE, E::TEXTS.columns)];
    let built = Builder::new().select(&query, &selection, extra);
    rows(db.query_encoded(&built.text, &built.values)?)
}

macro_rules! copied {
    ($($name:ident)*) => {$(
        impl<A: Entity, B: Entity> Clone for $name<A, B> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<A: Entity, B: Entity> Copy for $name<A, B> {}

        impl<A: Entity, B: Entity> fmt::Debug for $name<A, B> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("one", &A::TABLE.entity)
                    .field("other", &B::TABLE.entity)
                    .finish()
            }
        }
    )*};
}

copied!(BelongsTo HasMany HasOne ManyToMany);
