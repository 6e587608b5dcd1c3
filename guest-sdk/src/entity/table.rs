//! What a table is, as its entity declares it: all of it known when the module is compiled.

/// A table.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::entity::{Kind, OnDelete};
/// #[derive(Entity)]
/// #[entity(table = "shelves")]
/// struct Shelf {
///     #[entity(key)]
///     id: Id<Shelf>,
/// }
///
/// #[derive(Entity)]
/// #[entity(table = "books", index(shelf_id, title))]
/// struct Book {
///     #[entity(key)]
///     id: Id<Book>,
///     #[entity(belongs_to(shelf: Shelf, on_delete = cascade))]
///     shelf_id: Id<Shelf>,
///     #[entity(unique, default = "''")]
///     title: Line<100>,
///     #[entity(check = "pages > 0")]
///     pages: Option<i32>,
/// }
///
/// let table = Book::TABLE;
/// assert_eq!((table.entity, table.noun, table.key), ("Book", "book", &["id"][..]));
/// assert_eq!(table.columns[2].kind, Kind::Text { max: Some(100) });
/// assert_eq!(table.columns[2].default, Some("''"));
/// assert!(table.columns[3].is_nullable);
/// assert_eq!(table.uniques[0].name, "books_title_key");
/// assert_eq!(table.indexes[0].columns, ["shelf_id", "title"]);
/// assert_eq!((table.checks[0].name, table.checks[0].sql), ("books_pages_check", "pages > 0"));
/// let reference = &table.references[0];
/// assert_eq!(((reference.to)().name, reference.on_delete), ("shelves", OnDelete::Cascade));
/// ```
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The struct's name.
    pub entity: &'static str,
    /// What people call one row.
    pub noun: &'static str,
    /// Its columns, in the order of the struct's fields.
    pub columns: &'static [ColumnInfo],
    /// The columns that rows are known by.
    pub key: &'static [&'static str],
    /// What is unique beside the key.
    pub uniques: &'static [Unique],
    /// What is found fast beside what is unique.
    pub indexes: &'static [Index],
    /// What holds for every row.
    pub checks: &'static [Check],
    /// What its columns refer to.
    pub references: &'static [Reference],
    /// The column that grows with every change.
    pub version: Option<&'static str>,
    /// The column that says when a row was made.
    pub created: Option<&'static str>,
    /// The column that says when it was changed last.
    pub updated: Option<&'static str>,
    /// The column that says when it was deleted, where it is kept all the same.
    pub deleted: Option<&'static str>,
}

/// A column.
///
/// ```
/// # use hostel_sdk::entity::{ColumnInfo, Table};
/// fn needed(table: &Table) -> Vec<&'static str> {
///     let is_needed = |it: &&ColumnInfo| !it.is_nullable && it.default.is_none();
///     table.columns.iter().filter(is_needed).map(|it| it.name).collect()
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ColumnInfo {
    /// Its name.
    pub name: &'static str,
    /// What clients call it.
    pub field: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may hold nothing.
    pub is_nullable: bool,
    /// What a row has that does not say, in SQL.
    pub default: Option<&'static str>,
}

/// What a column holds.
///
/// ```
/// # use hostel_sdk::entity::{ColumnType, Kind};
/// assert_eq!(<i32 as ColumnType>::KIND.sql(), "integer");
/// assert_eq!(Kind::Enum(&["open", "done"]).sql(), "text");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Boolean,
    /// A whole number of this range.
    Integer {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// A number.
    Real,
    /// A decimal number.
    Decimal,
    /// A text of at most so many characters, where that is limited.
    Text {
        /// How many.
        max: Option<usize>,
    },
    /// Bytes.
    Bytes,
    /// A UUID.
    Uuid,
    /// A point in time.
    Timestamp,
    /// A day.
    Date,
    /// A JSON document.
    Json,
    /// One of these texts.
    Enum(&'static [&'static str]),
}

impl Kind {
    /// The type in SQL, of both databases.
    #[must_use]
    pub const fn sql(&self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer { min, max } if *min >= i32::MIN as i64 && *max <= i32::MAX as i64 => {
                "integer"
            }
            Self::Integer { .. } => "bigint",
            Self::Real => "double precision",
            Self::Decimal => "decimal",
            Self::Text { .. } | Self::Enum(_) => "text",
            Self::Bytes => "bytea",
            Self::Uuid => "uuid",
            Self::Timestamp => "timestamptz",
            Self::Date => "date",
            Self::Json => "jsonb",
        }
    }
}

/// Columns that no two rows have alike.
///
/// ```
/// # use hostel_sdk::entity::Unique;
/// let unique = Unique { name: "books_title_key", columns: &["title"] };
/// # assert_eq!(unique.columns.len(), 1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Unique {
    /// The constraint's name.
    pub name: &'static str,
    /// Its columns.
    pub columns: &'static [&'static str],
}

/// An index.
///
/// ```
/// # use hostel_sdk::entity::Index;
/// let index = Index { name: "books_title_idx", columns: &["title", "pages"] };
/// # assert_eq!(index.columns.len(), 2);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Index {
    /// Its name.
    pub name: &'static str,
    /// Its columns.
    pub columns: &'static [&'static str],
}

/// What holds for every row.
///
/// ```
/// # use hostel_sdk::entity::Check;
/// let check = Check { name: "books_pages_check", sql: "pages > 0", columns: &["pages"] };
/// # assert_eq!(check.columns, ["pages"]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// The constraint's name.
    pub name: &'static str,
    /// The condition.
    pub sql: &'static str,
    /// The columns that it is about.
    pub columns: &'static [&'static str],
}

/// A column whose value is the key of another table's row.
///
/// ```
/// # use hostel_sdk::entity::{Reference, Table};
/// fn others(table: &Table) -> Vec<&'static str> {
///     table.references.iter().map(|it: &Reference| (it.to)().name).collect()
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    /// The constraint's name.
    pub name: &'static str,
    /// The column.
    pub column: &'static str,
    /// The other table.
    pub to: fn() -> &'static Table,
    /// What becomes of this row when the other is deleted.
    pub on_delete: OnDelete,
}

/// What becomes of a row when the one that it refers to is deleted.
///
/// ```
/// # use hostel_sdk::entity::{OnDelete, Table};
/// fn goes_with_others(table: &Table) -> bool {
///     table.references.iter().any(|it| it.on_delete == OnDelete::Cascade)
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// That one cannot be deleted.
    Refuse,
    /// It is deleted, too.
    Cascade,
    /// It refers to nothing.
    SetNull,
}

impl Table {
    /// Whether both are of one name. Texts are compared byte by byte where a program is compiled.
    pub(super) const fn is(&self, other: &Self) -> bool {
        let (one, other) = (self.name.as_bytes(), other.name.as_bytes());
        let mut at = 0;
        while at < one.len() && at < other.len() && one[at] == other[at] {
            at += 1;
        }
        at == one.len() && at == other.len()
    }

    pub(super) fn column(&self, name: &str) -> Option<&'static ColumnInfo> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// What clients call a column.
    pub(super) fn field(&self, column: &str) -> Option<&'static str> {
        self.column(column).map(|column| column.field)
    }
}
