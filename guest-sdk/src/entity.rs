//! Entities: structs that are rows, what is asked of them, and what is written.
//!
//! A struct says what its table is, and the derive makes the rest of it: a constant for each column
//! and relation, and the statements that are alike for every row. `docs/data.md` is the guide.
//!
//! ```
//! use hostel_sdk::prelude::*;
//!
//! #[derive(Entity, Serialize, JsonSchema)]
//! #[entity(table = "notes")]
//! struct Note {
//!     #[entity(key)]
//!     id: Id<Note>,
//!     title: Line<200>,
//!     stars: i32,
//!     #[entity(version)]
//!     version: u32,
//!     #[entity(created)]
//!     created_at: Timestamp,
//!     #[entity(updated)]
//!     updated_at: Timestamp,
//! }
//!
//! fn best(db: &impl Connection) -> Result<Vec<Note>, EntityError> {
//!     Note::filter(Note::STARS.gte(4)).order(Note::TITLE.asc()).limit(10).list(db)
//! }
//!
//! fn read(Path(id): Path<Id<Note>>, db: Db) -> Result<Json<Note>, Problem> {
//!     Ok(Json(db.get(id)?))
//! }
//!
//! fn star(db: &impl Connection, id: Id<Note>) -> Result<Note, EntityError> {
//!     let mut note: Note = db.get(id)?;
//!     note.stars += 1;
//!     db.update(&mut note)?; // refused where somebody else has changed it meanwhile
//!     Ok(note)
//! }
//! # let _ = get("/{id}", read);
//! ```
//!
//! `table` describes (`described` tells the host), `column` and `filter` say what is meant, `select` asks, `write` writes,
//! `relation` goes from one entity to others; `statement` makes SQL of it, by sea-query.

mod cells;
mod column;
mod cursor;
mod described;
mod error;
mod expression;
mod filter;
mod list;
mod loading;
mod plain;
mod relation;
mod schema;
mod search;
mod select;
mod statement;
mod table;
mod types;
mod write;

use crate::sql::{FromRow, FromValue, ToValue, Value};
use crate::{Error, Timestamp};

pub use self::cells::{Cells, Selection, Shape};
pub use self::column::{Assignment, Column, Columns, Order, SeenVersion, Stated};
pub use self::error::EntityError;
pub use self::expression::{
    Aggregate, Averaged, Bare, Expression, Operand, Summed, TextLike, avg, count, count_distinct,
    count_of, max, min, sum,
};
pub use self::filter::Filter;
pub use self::list::{Filterable, List, ListQuery, Listed, Pages};
pub use self::loading::{Loaded, Relations};
pub use self::relation::{BelongsTo, HasMany, HasOne, ManyToMany, Nested, References, Relation};
pub use self::search::{search, search_index};
pub use self::select::{Includes, Select};
pub use self::table::{Check, ColumnInfo, Index, Kind, OnDelete, Reference, Table, Unique};
pub use self::types::ColumnType;
pub use self::write::{Draft, Entities};
pub use hostel_sdk_derive::{ColumnEnum, Draft, Entity, Projection};

/// A struct that is a row of a table. `#[derive(Entity)]` makes it one; what can be said there stands
/// in `docs/data.md`.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// #[derive(Entity)]
/// #[entity(table = "shop_articles", unique(shelf, place))]
/// #[entity(check(price, sql = "price >= 0", name = "shop_articles_price"))]
/// struct Article {
///     #[entity(key)]
///     id: Id<Article>,
///     #[entity(unique)]
///     number: String,
///     shelf: i32,
///     place: i32,
///     price: Decimal,
///     #[entity(deleted)]
///     deleted_at: Option<Timestamp>,
/// }
///
/// assert_eq!(Article::TABLE.name, "shop_articles");
/// assert_eq!(Article::TABLE.columns.len(), 6);
/// assert_eq!(Article::NUMBER.name(), "number");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no entity",
    note = "`#[derive(Entity)]` makes a struct one"
)]
pub trait Entity: FromRow + Shape + 'static {
    /// What a row is known by: the type of its key, or a tuple of them.
    type Key: Key;

    /// What the table is.
    const TABLE: &'static Table;

    #[doc(hidden)]
    const TEXTS: Texts;

    /// What this row is known by.
    fn key(&self) -> Self::Key;

    #[doc(hidden)]
    fn values(&self) -> Vec<Value>;

    #[doc(hidden)]
    fn values_to_update(&self, now: Timestamp) -> Vec<Value>;

    #[doc(hidden)]
    fn mark_updated(&mut self, now: Timestamp);

    #[doc(hidden)]
    fn automatic(given: &[&'static str]) -> Result<Vec<(&'static str, Value)>, Error>;

    /// The time that a change bears; nobody is asked for it where no column keeps it.
    #[doc(hidden)]
    fn now() -> Timestamp {
        Timestamp::from_micros(0)
    }

    /// All rows, but those that are deleted softly.
    fn all() -> Select<Self> {
        Select::new()
    }

    /// The rows for which this holds.
    fn filter(filter: Filter<Self>) -> Select<Self> {
        Select::new().filter(filter)
    }
}

/// Statements that are alike for every row. Which of them a module uses is in it, and nothing else.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Texts {
    pub columns: &'static str,
    pub select: &'static str,
    pub find: &'static str,
    pub into: &'static str,
    pub insert: &'static str,
    pub update: &'static str,
    pub delete: &'static str,
    pub restore: &'static str,
}

/// What a row is known by: one value, or a tuple of two or three.
///
/// ```
/// # use hostel_sdk::entity::Key;
/// assert_eq!(("Assam", 1).to_values().len(), 2);
/// ```
pub trait Key {
    /// The values, in the order of the key's columns.
    fn to_values(&self) -> Vec<Value>;
}

impl<T: ToValue> Key for T {
    fn to_values(&self) -> Vec<Value> {
        vec![self.to_value()]
    }
}

impl<A: ToValue, B: ToValue> Key for (A, B) {
    fn to_values(&self) -> Vec<Value> {
        vec![self.0.to_value(), self.1.to_value()]
    }
}

impl<A: ToValue, B: ToValue, C: ToValue> Key for (A, B, C) {
    fn to_values(&self) -> Vec<Value> {
        vec![self.0.to_value(), self.1.to_value(), self.2.to_value()]
    }
}

/// A key of one column, by which rows of other tables refer to this one.
///
/// ```
/// # use hostel_sdk::Id;
/// # use hostel_sdk::entity::SingleKey;
/// fn is_key<K: SingleKey>() {}
/// is_key::<Id<()>>();
/// is_key::<String>();
/// ```
pub trait SingleKey: ToValue + FromValue + Clone + Ord {}

impl<K: ToValue + FromValue + Clone + Ord> SingleKey for K {}
