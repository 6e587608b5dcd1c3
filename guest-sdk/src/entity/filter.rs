//! Which rows are meant.

use std::marker::PhantomData;

use super::expression::Node;
use crate::sql::Value;

/// A condition on the rows of an entity. [`Expression`](super::Expression) shows how it is made.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # #[derive(Entity)]
/// # #[entity(table = "teas")]
/// # struct Tea {
/// #     #[entity(key)]
/// #     id: Id<Tea>,
/// #     name: String,
/// #     stars: i32,
/// # }
/// fn good(min: Option<i32>, names: &[String]) -> Filter<Tea> {
///     let enough = Filter::all(min.map(|min| Tea::STARS.gte(min)));
///     let named = Filter::any(names.iter().map(|name| Tea::NAME.starts_with(name)));
///     enough.and(named.not()).or(Filter::raw("length(name) = $1", params![3]))
/// }
/// # let _ = good(None, &[]);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Filter<E> {
    pub(super) node: Node,
    of: PhantomData<fn() -> E>,
}

impl<E> Filter<E> {
    pub(super) fn of_node(node: Node) -> Self {
        Self { node, of: PhantomData }
    }

    /// Rows for which both hold.
    pub fn and(self, other: Self) -> Self {
        Self::of_node(match self.node {
            Node::All(mut parts) => {
                parts.push(other.node);
                Node::All(parts)
            }
            node => Node::All(vec![node, other.node]),
        })
    }

    /// Rows for which one of the two holds, or both.
    pub fn or(self, other: Self) -> Self {
        Self::of_node(match self.node {
            Node::Any(mut parts) => {
                parts.push(other.node);
                Node::Any(parts)
            }
            node => Node::Any(vec![node, other.node]),
        })
    }

    /// Rows for which it does not hold.
    #[expect(clippy::should_implement_trait, reason = "it reads like `and` and `or`")]
    pub fn not(self) -> Self {
        Self::of_node(Node::Not(Box::new(self.node)))
    }

    /// Rows for which all of these hold: every row, where there are none.
    pub fn all(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::of_node(Node::All(filters.into_iter().map(|filter| filter.node).collect()))
    }

    /// Rows for which one of these holds: no row, where there are none.
    pub fn any(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::of_node(Node::Any(filters.into_iter().map(|filter| filter.node).collect()))
    }

    /// A condition in SQL, whose `$1`, `$2` … are bound to these.
    pub fn raw(text: &'static str, parameters: &[Value]) -> Self {
        Self::of_node(Node::Raw { text: text.to_owned(), values: parameters.to_vec() })
    }
}
