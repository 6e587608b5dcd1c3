//! What can be compared, ordered and selected: columns, and what is computed over many rows.

use std::marker::PhantomData;

use rust_decimal::Decimal;

use super::Entity;
use super::column::{Column, Order};
use super::filter::Filter;
use super::statement::Query;
use crate::sql::{ToValue, Value};
use crate::text::{Line, Text};
use crate::whole::Whole;
use crate::{Date, Timestamp};

/// A part of a statement, before it is SQL.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub enum Node {
    Column {
        table: &'static str,
        name: &'static str,
    },
    Value(Value),
    /// What an upsert would have inserted.
    Excluded(&'static str),
    Compare(Box<Node>, Operator, Box<Node>),
    IsNull(Box<Node>),
    In(Box<Node>, Vec<Value>),
    InQuery(Box<Node>, Box<Query>, Box<Node>),
    Contains {
        text: Box<Node>,
        part: Box<Node>,
        at_start: bool,
    },
    Search {
        columns: Vec<(Node, bool)>,
        words: Vec<String>,
    },
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Call {
        function: Function,
        argument: Option<Box<Node>>,
    },
    Raw {
        text: String,
        values: Vec<Value>,
    },
    Tuple(Vec<Node>),
}

#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    /// As `NotEqual`, and nothing is something else than anything.
    DistinctFrom,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Plus,
}

#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Count,
    CountDistinct,
    Sum,
    Avg,
    Min,
    Max,
}

/// A column, or what is computed of one over many rows, such as [`max`].
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # #[derive(Entity)]
/// # #[entity(table = "teas")]
/// # struct Tea {
/// #     #[entity(key)]
/// #     id: Id<Tea>,
/// #     name: String,
/// #     stars: Option<i32>,
/// #     picked_at: Timestamp,
/// # }
/// fn teas(since: Timestamp) -> Filter<Tea> {
///     let good = Tea::STARS.gte(4).or(Tea::STARS.is_null());
///     let fresh = Tea::PICKED_AT.between(since, Timestamp::MAX);
///     let named = Tea::NAME.is_in(["Assam", "Sencha"]).or(Tea::NAME.contains("green"));
///     good.and(fresh).and(named).and(Tea::NAME.ne("Test"))
/// }
/// # let _ = teas(Timestamp::MIN);
/// ```
#[expect(
    clippy::wrong_self_convention,
    reason = "what is asked of a column makes a part of a statement, and takes the column with it"
)]
pub trait Expression: Sized {
    /// Whose it is.
    type Of;
    /// The type of its values.
    type Value;

    #[doc(hidden)]
    fn into_node(self) -> Node;

    /// Whether it may be nothing.
    #[doc(hidden)]
    fn is_nullable(&self) -> bool {
        true
    }

    /// Those that are equal to this; where it is nothing, those that are nothing.
    fn eq(self, other: impl Operand<Self::Value>) -> Filter<Self::Of> {
        match other.into_node() {
            Node::Value(Value::Null) => self.is_null(),
            other => compared(self, Operator::Equal, other),
        }
    }

    /// Those that are not equal to this: what is nothing is not equal to anything.
    fn ne(self, other: impl Operand<Self::Value>) -> Filter<Self::Of> {
        match other.into_node() {
            Node::Value(Value::Null) => self.is_some(),
            other if self.is_nullable() => compared(self, Operator::DistinctFrom, other),
            other => compared(self, Operator::NotEqual, other),
        }
    }

    /// Those that are less than this.
    fn lt(self, other: impl Operand<Self::Value>) -> Filter<Self::Of> {
        compared(self, Operator::Less, other.into_node())
    }

    /// Those that are at most this.
    fn lte(self, other: impl Operand<Self::Value>) -> Filter<Self::Of> {
        compared(self, Operator::LessOrEqual, other.into_node())
    }

    /// Those that are greater than this.
    fn gt(self, other: impl Operand<Self::Value>) -> Filter<Self::Of> {
        compared(self, Operator::Greater, other.into_node())
    }

    /// Those that are at least this.
    fn gte(self, other: impl Operand<Self::Value>) -> Filter<Self::Of> {
        compared(self, Operator::GreaterOrEqual, other.into_node())
    }

    /// Those from `min` to `max`, both included.
    fn between(
        self,
        min: impl Operand<Self::Value>,
        max: impl Operand<Self::Value>,
    ) -> Filter<Self::Of> {
        let node = self.into_node();
        let parts =
            [(Operator::GreaterOrEqual, min.into_node()), (Operator::LessOrEqual, max.into_node())];
        let parts = parts.map(|(operator, other)| {
            Node::Compare(Box::new(node.clone()), operator, Box::new(other))
        });
        Filter::of_node(Node::All(parts.into()))
    }

    /// Those that are one of these.
    fn is_in<V: ToValue + Operand<Self::Value>>(
        self,
        values: impl IntoIterator<Item = V>,
    ) -> Filter<Self::Of> {
        let values = values.into_iter().map(|value| value.to_value()).collect();
        Filter::of_node(Node::In(Box::new(self.into_node()), values))
    }

    /// Those that are nothing.
    fn is_null(self) -> Filter<Self::Of> {
        Filter::of_node(Node::IsNull(Box::new(self.into_node())))
    }

    /// Those that are something.
    fn is_some(self) -> Filter<Self::Of> {
        self.is_null().not()
    }

    /// Texts with this in them, in upper or lower case. Of letters other than A to Z, SQLite knows
    /// no case.
    fn contains(self, part: impl Into<String>) -> Filter<Self::Of>
    where
        Self::Value: TextLike,
    {
        contained(self, part.into(), false)
    }

    /// Texts that begin with this, in upper or lower case, as for [`contains`](Self::contains).
    fn starts_with(self, part: impl Into<String>) -> Filter<Self::Of>
    where
        Self::Value: TextLike,
    {
        contained(self, part.into(), true)
    }

    /// From the smallest to the largest. Nothing is the smallest of all.
    fn asc(self) -> Order<Self::Of> {
        Order::by(self, false)
    }

    /// From the largest to the smallest. Nothing comes last.
    fn desc(self) -> Order<Self::Of> {
        Order::by(self, true)
    }
}

fn compared<X: Expression>(one: X, operator: Operator, other: Node) -> Filter<X::Of> {
    Filter::of_node(Node::Compare(Box::new(one.into_node()), operator, Box::new(other)))
}

fn contained<X: Expression>(text: X, part: String, at_start: bool) -> Filter<X::Of> {
    let part = Box::new(Node::Value(Value::Text(part)));
    Filter::of_node(Node::Contains { text: Box::new(text.into_node()), part, at_start })
}

/// What can be compared with a `T`: a value of that type, what is alike (a `&str` with a
/// [`Line`](crate::text::Line), a value with one that may be nothing), or another column.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # #[derive(Entity)]
/// # #[entity(table = "stays")]
/// # struct Stay {
/// #     #[entity(key)]
/// #     id: Id<Stay>,
/// #     guest: Line<100>,
/// #     starts_at: Timestamp,
/// #     ends_at: Option<Timestamp>,
/// # }
/// let over = |now: Timestamp| Stay::ENDS_AT.lt(now);
/// let of_ada = Stay::GUEST.eq("Ada");
/// let broken = Stay::ENDS_AT.lt(Stay::STARTS_AT.optional());
/// # let _ = (over(Timestamp::MIN), of_ada, broken);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be compared with a column of `{T}`",
    note = "values of the column's own type can, and columns of that type"
)]
pub trait Operand<T> {
    #[doc(hidden)]
    fn into_node(self) -> Node;
}

macro_rules! operands {
    ($([$($parameter:tt)*] $one:ty => $other:ty;)*) => {$(
        impl<$($parameter)*> Operand<$other> for $one {
            fn into_node(self) -> Node {
                Node::Value(self.to_value())
            }
        }
    )*};
}

operands! {
    [T: ToValue] T => T;
    [T: ToValue] &T => T;
    [T: ToValue] T => Option<T>;
    [T: ToValue] &T => Option<T>;
    [] &str => String;
    [] &str => Option<String>;
    [const MAX: usize] &str => Line<MAX>;
    [const MAX: usize] &str => Option<Line<MAX>>;
    [const MAX: usize] &str => Text<MAX>;
    [const MAX: usize] &str => Option<Text<MAX>>;
    [const MIN: i64, const MAX: i64] i64 => Whole<MIN, MAX>;
    [const MIN: i64, const MAX: i64] i64 => Option<Whole<MIN, MAX>>;
}

impl<E: Entity, T> Operand<T> for Column<E, T> {
    fn into_node(self) -> Node {
        Expression::into_node(self)
    }
}

/// Types of columns that hold text.
///
/// ```
/// # use hostel_sdk::entity::TextLike;
/// fn is_text<T: TextLike>() {}
/// is_text::<Option<String>>();
/// ```
#[diagnostic::on_unimplemented(message = "a column of `{Self}` holds no text")]
pub trait TextLike {}

impl TextLike for String {}
impl<const MAX: usize> TextLike for Line<MAX> {}
impl<const MAX: usize> TextLike for Text<MAX> {}
impl<T: TextLike> TextLike for Option<T> {}

/// What is computed of many rows. [`count`] and the like make it.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::entity::{count, max};
/// # #[derive(Entity)]
/// # #[entity(table = "teas")]
/// # struct Tea {
/// #     #[entity(key)]
/// #     id: Id<Tea>,
/// #     country: String,
/// #     stars: i32,
/// # }
/// #[derive(Projection)]
/// #[projection(of = Tea)]
/// struct Country {
///     country: String,
///     #[projection(from = count::<Tea>())]
///     teas: i64,
///     #[projection(from = max(Tea::STARS))]
///     best: Option<i32>,
/// }
///
/// fn countries(db: &impl Connection) -> Result<Vec<Country>, EntityError> {
///     Tea::all()
///         .group_by(Tea::COUNTRY)
///         .having(count::<Tea>().gte(10))
///         .order(count::<Tea>().desc())
///         .select::<Country>()
///         .list(db)
/// }
///
/// fn best(db: &impl Connection) -> Result<Option<i32>, EntityError> {
///     Tea::all().get(db, max(Tea::STARS))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Aggregate<E, T> {
    node: Node,
    of: PhantomData<fn() -> (E, T)>,
}

impl<E, T> Aggregate<E, T> {
    fn of(function: Function, argument: Option<Node>) -> Self {
        let node = Node::Call { function, argument: argument.map(Box::new) };
        Self { node, of: PhantomData }
    }
}

impl<E, T> Expression for Aggregate<E, T> {
    type Of = E;
    type Value = T;

    fn into_node(self) -> Node {
        self.node
    }
}

/// How many rows there are.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::entity::count;
/// # #[derive(Entity)]
/// # #[entity(table = "teas")]
/// # struct Tea {
/// #     #[entity(key)]
/// #     id: Id<Tea>,
/// # }
/// fn many() -> Filter<Tea> {
///     count::<Tea>().gt(100)
/// }
/// # let _ = many();
/// ```
#[must_use]
pub fn count<E: Entity>() -> Aggregate<E, i64> {
    Aggregate::of(Function::Count, None)
}

macro_rules! aggregates {
    ($($(#[$doc:meta])* $name:ident $function:ident [$($bound:tt)*] $value:ty;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name<E: Entity, T: $($bound)*>(column: Column<E, T>) -> Aggregate<E, $value> {
            Aggregate::of(Function::$function, Some(Expression::into_node(column)))
        }
    )*};
}

aggregates! {
    /// In how many rows a column is something.
    count_of Count [Sized] i64;
    /// How many different values a column has.
    count_distinct CountDistinct [Sized] i64;
    /// The sum of a column; nothing, of no rows.
    sum Sum [Summed] Option<T::Sum>;
    /// The mean of a column; nothing, of no rows.
    avg Avg [Averaged] Option<f64>;
    /// The smallest value of a column; nothing, of no rows.
    min Min [Bare] Option<T::Bare>;
    /// The largest value of a column; nothing, of no rows.
    max Max [Bare] Option<T::Bare>;
}

/// Types of columns that can be added up.
///
/// ```
/// # use hostel_sdk::entity::Summed;
/// fn sum_of<T: Summed<Sum = i64>>() {}
/// sum_of::<i32>();
/// ```
#[diagnostic::on_unimplemented(message = "a column of `{Self}` cannot be added up")]
pub trait Summed {
    /// The type of the sum.
    type Sum;
}

macro_rules! summed {
    ($($type:ty => $sum:ty;)*) => {$(
        impl Summed for $type {
            type Sum = $sum;
        }
    )*};
}

summed! {
    i32 => i64;
    u32 => i64;
    i64 => i64;
    f64 => f64;
    Decimal => Decimal;
}

impl<const MIN: i64, const MAX: i64> Summed for Whole<MIN, MAX> {
    type Sum = i64;
}

impl<T: Summed> Summed for Option<T> {
    type Sum = T::Sum;
}

/// Types of columns that have a mean.
///
/// ```
/// # use hostel_sdk::entity::Averaged;
/// fn has_mean<T: Averaged>() {}
/// has_mean::<f64>();
/// ```
#[diagnostic::on_unimplemented(message = "a column of `{Self}` has no mean")]
pub trait Averaged {}

impl<T: Summed> Averaged for T {}

/// Types of columns that have a smallest value; what may be nothing has it, too.
///
/// ```
/// # use hostel_sdk::entity::Bare;
/// fn bare_of<T: Bare<Bare = i32>>() {}
/// bare_of::<Option<i32>>();
/// ```
#[diagnostic::on_unimplemented(message = "a column of `{Self}` has no smallest value")]
pub trait Bare {
    /// The type, where it is something.
    type Bare;
}

macro_rules! bare {
    ($([$($parameter:tt)*] $type:ty;)*) => {$(
        impl<$($parameter)*> Bare for $type {
            type Bare = Self;
        }
    )*};
}

bare! {
    [] i32;
    [] u32;
    [] i64;
    [] f64;
    [] String;
    [] Decimal;
    [] Timestamp;
    [] Date;
    [const MAX: usize] Line<MAX>;
    [const MAX: usize] Text<MAX>;
    [const MIN: i64, const MAX: i64] Whole<MIN, MAX>;
}

impl<T: Bare> Bare for Option<T> {
    type Bare = T::Bare;
}
