//! What a query selects, and how its rows are read: column by column, in the order in which they
//! were selected.

use super::expression::{Expression, Node};
use super::{Entity, Table};
use crate::sql::{Cell, FromValue, Row};
use crate::{Error, ErrorKind};

/// A type that a query can select: an entity, a `#[derive(Projection)]`, a tuple of these, or an
/// `Option` of an entity that a [left join](super::Select::left_join) may not find.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// #[derive(Entity)]
/// #[entity(table = "books")]
/// struct Book {
///     #[entity(key)]
///     id: Id<Book>,
///     title: Line<200>,
///     pages: i32,
/// }
///
/// /// What a list shows.
/// #[derive(Projection, Serialize, JsonSchema)]
/// #[projection(of = Book)]
/// struct Shown {
///     id: Id<Book>,
///     title: Line<200>,
/// }
///
/// fn titles(db: &impl Connection) -> Result<Vec<Shown>, EntityError> {
///     Book::all().select::<Shown>().list(db)
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that a query can select",
    note = "entities, `#[derive(Projection)]` structs, tuples of these and `Option`s of entities are"
)]
pub trait Shape: Sized {
    #[doc(hidden)]
    fn select(into: &mut Selection);

    #[doc(hidden)]
    fn read(cells: &mut Cells<'_>) -> Result<Self, Error>;
}

/// What is selected.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Selection {
    pub(super) parts: Vec<Selected>,
}

#[derive(Debug)]
pub(super) enum Selected {
    /// All columns of an entity, as SQL lists them.
    Entity(&'static Table, &'static str),
    Expression(Node, &'static str),
}

impl Selection {
    #[doc(hidden)]
    pub fn entity<E: Entity>(&mut self) {
        self.parts.push(Selected::Entity(E::TABLE, E::TEXTS.columns));
    }

    #[doc(hidden)]
    pub fn expression<T>(&mut self, expression: impl Expression<Value = T>, alias: &'static str) {
        self.parts.push(Selected::Expression(expression.into_node(), alias));
    }
}

/// The cells of a row, one after the other.
#[doc(hidden)]
#[derive(Debug)]
pub struct Cells<'a> {
    row: &'a Row,
    /// The next one; none where they are found by their names.
    next: Option<usize>,
}

impl<'a> Cells<'a> {
    #[doc(hidden)]
    #[must_use]
    pub fn by_name(row: &'a Row) -> Self {
        Self { row, next: None }
    }

    pub(super) fn in_order(row: &'a Row) -> Self {
        Self { row, next: Some(0) }
    }

    /// The value of a column of `of`.
    #[doc(hidden)]
    pub fn next<T: FromValue>(
        &mut self,
        of: &'static str,
        column: &'static str,
    ) -> Result<T, Error> {
        let cell = match &mut self.next {
            Some(next) => {
                *next += 1;
                self.row.cell(*next - 1)
            }
            None => self.row.find(column),
        };
        let cell = cell.map_err(|error| named(of, error))?;
        T::from_value(cell).map_err(|_| unreadable(of, column, cell, std::any::type_name::<T>()))
    }

    /// Passes over the next cells, if none of them holds anything.
    fn pass_over_nothing(&mut self, count: usize) -> bool {
        let Some(next) = &mut self.next else { return false };
        let mut cells = (*next..*next + count).map(|index| self.row.cell(index));
        let is_nothing = cells.all(|cell| matches!(cell, Ok(Cell::Null)));
        if is_nothing {
            *next += count;
        }
        is_nothing
    }
}

fn named(of: &str, error: Error) -> Error {
    Error { message: format!("`{of}` cannot be read: {}", error.message), ..error }
}

fn unreadable(of: &str, column: &str, cell: Cell<'_>, wanted: &str) -> Error {
    let message = format!(
        "`{of}` cannot be read: column `{column}` holds {}, which is no `{wanted}`",
        cell.kind()
    );
    Error { kind: ErrorKind::Other, message, subject: Some(format!("{of}.{column}")) }
}

/// What a left join may not find.
impl<E: Entity> Shape for Option<E> {
    fn select(into: &mut Selection) {
        E::select(into);
    }

    fn read(cells: &mut Cells<'_>) -> Result<Self, Error> {
        if cells.pass_over_nothing(E::TABLE.columns.len()) {
            return Ok(None);
        }
        E::read(cells).map(Some)
    }
}

macro_rules! tuple {
    ($($part:ident)+) => {
        impl<$($part: Shape),+> Shape for ($($part,)+) {
            fn select(into: &mut Selection) {
                $($part::select(into);)+
            }

            fn read(cells: &mut Cells<'_>) -> Result<Self, Error> {
                Ok(($($part::read(cells)?,)+))
            }
        }
    };
}

tuple!(A B);
tuple!(A B C);
tuple!(A B C D);
