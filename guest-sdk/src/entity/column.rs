//! Columns as constants of their entity, and what is ordered and written by them.

use std::fmt;
use std::marker::PhantomData;

use super::Entity;
use super::expression::{Expression, Node, Operand, Operator, Summed};
use super::filter::Filter;
use super::table::ColumnInfo;
use crate::sql::{ToValue, Value};

/// A column of an entity, with the type of its values: `Note::TITLE`. What it can do beside being
/// set stands at [`Expression`].
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # #[derive(Entity)]
/// # #[entity(table = "teas")]
/// # struct Tea {
/// #     #[entity(key)]
/// #     id: Id<Tea>,
/// #     name: Line<100>,
/// #     stars: i32,
/// # }
/// fn praise(db: &impl Connection, name: &str) -> Result<u64, EntityError> {
///     Tea::filter(Tea::NAME.eq(name)).update(db, [Tea::STARS.increase_by(1)])
/// }
///
/// fn rename(db: &impl Connection, id: Id<Tea>, name: Line<100>) -> Result<u64, EntityError> {
///     Tea::filter(Tea::ID.eq(id)).update(db, [Tea::NAME.set(name), Tea::STARS.set(0)])
/// }
///
/// fn shown(tea: &Tea) -> (&str, &str) {
///     (Tea::NAME.name(), Tea::NAME.of(tea))
/// }
/// ```
pub struct Column<E, T> {
    name: &'static str,
    get: fn(&E) -> &T,
}

impl<E, T> Column<E, T> {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str, get: fn(&E) -> &T) -> Self {
        Self { name, get }
    }

    /// The column's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// Its value in a row.
    pub fn of(self, row: &E) -> &T {
        (self.get)(row)
    }
}

impl<E: Entity, T> Column<E, T> {
    /// What the column is.
    pub(super) fn info(self) -> Option<&'static ColumnInfo> {
        E::TABLE.column(self.name)
    }

    /// Gives it this value.
    pub fn set(self, value: impl Operand<T>) -> Assignment<E> {
        Assignment::of(self.name, value.into_node())
    }

    /// Adds this to its value; takes away, where it is negative.
    pub fn increase_by(self, value: impl Operand<T>) -> Assignment<E>
    where
        T: Summed,
    {
        let sum = Node::Compare(
            Box::new(Expression::into_node(self)),
            Operator::Plus,
            Box::new(value.into_node()),
        );
        Assignment::of(self.name, sum)
    }

    /// The column as one that may be nothing: for a projection over a
    /// [left join](super::Select::left_join), and to be compared with one that may be nothing.
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
    /// #[derive(Projection)]
    /// #[projection(of = Book)]
    /// struct Shown {
    ///     title: String,
    ///     #[projection(from = Author::NAME.optional())]
    ///     author: Option<String>,
    /// }
    ///
    /// fn all(db: &impl Connection) -> Result<Vec<Shown>, EntityError> {
    ///     Book::all().left_join(Book::AUTHOR).select::<Shown>().list(db)
    /// }
    /// ```
    #[must_use]
    pub fn optional(self) -> Optional<E, T> {
        Optional(self)
    }

    /// What a draft says of it; nothing, where it leaves it as it is.
    #[doc(hidden)]
    pub fn stated(self, value: &impl Stated<T>) -> Option<Assignment<E>> {
        value.stated().map(|value| Assignment::of(self.name, Node::Value(value)))
    }
}

// A derive would ask `E` and `T` for what only the name has to be.

impl<E, T> Clone for Column<E, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E, T> Copy for Column<E, T> {}

impl<E, T> fmt::Debug for Column<E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Column").field(&self.name).finish()
    }
}

impl<E: Entity, T> Expression for Column<E, T> {
    type Of = E;
    type Value = T;

    fn into_node(self) -> Node {
        Node::Column { table: E::TABLE.name, name: self.name }
    }

    fn is_nullable(&self) -> bool {
        self.info().is_none_or(|column| column.is_nullable)
    }
}

/// A column that may be nothing here. [`Column::optional`] makes it.
#[doc(hidden)]
#[derive(Debug)]
pub struct Optional<E, T>(Column<E, T>);

impl<E: Entity, T> Expression for Optional<E, T> {
    type Of = E;
    type Value = Option<T>;

    fn into_node(self) -> Node {
        Expression::into_node(self.0)
    }
}

impl<E: Entity, T> Operand<Option<T>> for Optional<E, T> {
    fn into_node(self) -> Node {
        Expression::into_node(self.0)
    }
}

/// By what rows are ordered. [`Expression::asc`] and [`Expression::desc`] make it.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::entity::Order;
/// # #[derive(Entity)]
/// # #[entity(table = "teas")]
/// # struct Tea {
/// #     #[entity(key)]
/// #     id: Id<Tea>,
/// #     stars: i32,
/// # }
/// fn best_first() -> Order<Tea> {
///     Tea::STARS.desc()
/// }
/// # let _ = best_first();
/// ```
#[derive(Clone, Debug)]
pub struct Order<E> {
    pub(super) by: OrderBy,
    of: PhantomData<fn() -> E>,
}

#[derive(Clone, Debug)]
pub(super) struct OrderBy {
    pub(super) node: Node,
    pub(super) is_descending: bool,
    pub(super) is_nullable: bool,
}

impl<E> Order<E> {
    pub(super) fn by<X: Expression<Of = E>>(expression: X, is_descending: bool) -> Self {
        let is_nullable = expression.is_nullable();
        let by = OrderBy { node: expression.into_node(), is_descending, is_nullable };
        Self { by, of: PhantomData }
    }
}

/// A column and what it becomes. [`Column::set`] makes it.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::entity::Assignment;
/// # #[derive(Entity)]
/// # #[entity(table = "teas")]
/// # struct Tea {
/// #     #[entity(key)]
/// #     id: Id<Tea>,
/// #     stars: i32,
/// # }
/// fn stars(count: i32) -> Assignment<Tea> {
///     Tea::STARS.set(count)
/// }
/// # let _ = stars(5);
/// ```
#[derive(Clone, Debug)]
pub struct Assignment<E> {
    pub(super) column: &'static str,
    pub(super) value: Node,
    of: PhantomData<fn() -> E>,
}

impl<E> Assignment<E> {
    pub(super) fn of(column: &'static str, value: Node) -> Self {
        Self { column, value, of: PhantomData }
    }
}

/// What a field of a draft can be, for a column of `T`: a `T`, or an `Option` of it, which leaves the
/// column as it is where it is nothing.
///
/// ```
/// # use hostel_sdk::entity::Stated;
/// fn may_be_said<T, S: Stated<T>>() {}
/// may_be_said::<String, Option<String>>();
/// // Nothing is what such a column may hold: an `Option` around it leaves it as it is.
/// may_be_said::<Option<String>, Option<String>>();
/// may_be_said::<Option<String>, Option<Option<String>>>();
/// ```
#[diagnostic::on_unimplemented(
    message = "a field of `{Self}` says nothing of a column of `{T}`",
    note = "the column's own type does, and an `Option` of it"
)]
pub trait Stated<T> {
    #[doc(hidden)]
    fn stated(&self) -> Option<Value>;
}

impl<T: ToValue> Stated<T> for T {
    fn stated(&self) -> Option<Value> {
        Some(self.to_value())
    }
}

impl<T: ToValue> Stated<T> for Option<T> {
    fn stated(&self) -> Option<Value> {
        self.as_ref().map(ToValue::to_value)
    }
}

impl<T: ToValue> Stated<Option<T>> for T {
    fn stated(&self) -> Option<Value> {
        Some(self.to_value())
    }
}

/// What a draft's version can be: a number, or an `Option` of it.
///
/// ```
/// # use hostel_sdk::entity::SeenVersion;
/// assert!(Some(3).seen().is_some());
/// ```
pub trait SeenVersion {
    #[doc(hidden)]
    fn seen(&self) -> Option<Value>;
}

macro_rules! versions {
    ($($type:ty)*) => {$(
        impl SeenVersion for $type {
            fn seen(&self) -> Option<Value> {
                Some(self.to_value())
            }
        }
    )*};
}

versions!(i32 u32 i64);

impl<T: SeenVersion> SeenVersion for Option<T> {
    fn seen(&self) -> Option<Value> {
        self.as_ref().and_then(SeenVersion::seen)
    }
}

/// Columns of one entity: one, or a tuple of them.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::entity::Columns;
/// # #[derive(Entity)]
/// # #[entity(table = "teas")]
/// # struct Tea {
/// #     #[entity(key)]
/// #     id: Id<Tea>,
/// #     name: String,
/// # }
/// assert_eq!((Tea::ID, Tea::NAME).names(), ["id", "name"]);
/// ```
pub trait Columns<E> {
    /// Their names.
    fn names(&self) -> Vec<&'static str>;
}

impl<E, T> Columns<E> for Column<E, T> {
    fn names(&self) -> Vec<&'static str> {
        vec![self.name]
    }
}

macro_rules! columns {
    ($($part:ident)+) => {
        impl<E, $($part),+> Columns<E> for ($(Column<E, $part>,)+) {
            fn names(&self) -> Vec<&'static str> {
                #[expect(non_snake_case, reason = "the parts are named like their types")]
                let ($($part,)+) = self;
                vec![$($part.name),+]
            }
        }
    };
}

columns!(A);
columns!(A B);
columns!(A B C);
columns!(A B C D);
columns!(A B C D F);
columns!(A B C D F G);

/// A column's filter, by its name alone.
pub(super) fn column<E: Entity>(name: &'static str) -> Node {
    Node::Column { table: E::TABLE.name, name }
}

/// Rows of which the column has this value.
pub(super) fn is<E: Entity>(name: &'static str, value: Value) -> Filter<E> {
    Filter::of_node(Node::Compare(
        Box::new(column::<E>(name)),
        Operator::Equal,
        Box::new(Node::Value(value)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_may_be_nothing_is_left_alone_by_another_option() {
        fn said<T, S: Stated<T>>(field: &S) -> String {
            format!("{:?}", field.stated())
        }
        assert_eq!(said::<i64, _>(&None::<i64>), "None");
        assert_eq!(said::<Option<i64>, _>(&None::<i64>), "Some(Value::Null)");
        assert_eq!(said::<Option<i64>, _>(&Some(None::<i64>)), "Some(Value::Null)");
        assert_eq!(said::<Option<i64>, _>(&None::<Option<i64>>), "None");
        assert_eq!(said::<Option<i64>, _>(&Some(Some(7_i64))), "Some(Value::Integer(7))");
    }
}
