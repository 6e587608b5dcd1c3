//! What a unit's tables are: columns, constraints and indexes, in the same words on both databases, so
//! that two of them can be compared. `sqlite.rs` and `postgres.rs` read them, `text.rs` reads SQL.

mod postgres;
mod sqlite;
mod text;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use self::text::{
    Expression, first_text, identifiers, is_anew, literal, renamed_identifiers,
};

/// The tables of a unit, by name; those of the host are not among them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Layout {
    pub(crate) tables: BTreeMap<String, TableLayout>,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TableLayout {
    /// In no order that means anything.
    pub(crate) columns: BTreeMap<String, ColumnLayout>,
    /// The order in which they were made.
    pub(crate) order: Order,
    /// The columns that rows are known by.
    pub(crate) key: Vec<String>,
    pub(crate) uniques: BTreeMap<String, Vec<String>>,
    pub(crate) checks: BTreeMap<String, Expression>,
    pub(crate) references: BTreeMap<String, ReferenceLayout>,
    pub(crate) indexes: BTreeMap<String, IndexLayout>,
    /// What else there is of it, which these words do not say.
    pub(crate) others: BTreeSet<String>,
}

/// Names in an order. It makes no difference.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order(pub(crate) Vec<String>);

impl PartialEq for Order {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ColumnLayout {
    /// The type, in the words of [`canonical_type`].
    pub(crate) kind: String,
    pub(crate) is_nullable: bool,
    /// What a row has that does not say.
    pub(crate) default: Option<Expression>,
    /// Its value comes from the database: of other columns, or as a number.
    pub(crate) is_computed: bool,
}

/// What a foreign key says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReferenceLayout {
    pub(crate) columns: Vec<String>,
    pub(crate) to: String,
    pub(crate) to_columns: Vec<String>,
    /// What follows `ON DELETE`; nothing for what is refused.
    pub(crate) on_delete: &'static str,
}

/// An index that is no constraint's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexLayout {
    pub(crate) columns: Vec<String>,
    pub(crate) is_unique: bool,
    /// The statement that makes it, where that says more than its columns.
    pub(crate) statement: Option<String>,
}

impl TableLayout {
    /// The columns, in the order in which they were made.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (&String, &ColumnLayout)> {
        self.order.0.iter().filter_map(|name| self.columns.get_key_value(name))
    }

    /// Whether a constraint or an index has this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.uniques.contains_key(name)
            || self.checks.contains_key(name)
            || self.references.contains_key(name)
            || self.indexes.contains_key(name)
    }

    /// The name that PostgreSQL, and an entity, gives a constraint that is given none.
    fn free_name(&self, wanted: String) -> String {
        let mut numbers = 0_u32..;
        let mut name = wanted.clone();
        while self.has(&name) {
            name = format!("{wanted}{}", numbers.next().map_or(1, |number| number + 1));
        }
        name
    }
}

/// The name of a constraint or index that nobody named.
pub(crate) fn usual_name(table: &str, columns: &[String], end: &str) -> String {
    format!("{table}_{}_{end}", columns.join("_"))
}

/// A type in one of the ways to write it.
pub(crate) fn canonical_type(written: &str) -> String {
    let written = written.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let (base, rest) = match written.find('(') {
        Some(at) => (written[..at].trim_end(), written[at..].replace(' ', "")),
        None => (written.as_str(), String::new()),
    };
    // `timestamp(3) with time zone` has its precision in the middle.
    let canonical = match base {
        "bool" => "boolean",
        "int" | "int4" => "integer",
        "int8" => "bigint",
        "int2" => "smallint",
        "float8" => "double precision",
        "float4" => "real",
        "numeric" => "decimal",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        "character varying" => "varchar",
        "character" => "char",
        other => other,
    };
    format!("{canonical}{rest}")
}

/// What `ON DELETE` is followed by.
fn on_delete(said: &str) -> &'static str {
    match said.to_ascii_uppercase().as_str() {
        "C" | "CASCADE" => "CASCADE",
        "N" | "SET NULL" => "SET NULL",
        "D" | "SET DEFAULT" => "SET DEFAULT",
        "R" | "RESTRICT" => "RESTRICT",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_the_same_however_they_are_written() {
        for (one, other) in [
            ("INT", "integer"),
            ("int8", "bigint"),
            ("Timestamp  with time zone", "timestamptz"),
            ("numeric(12, 2)", "decimal(12,2)"),
            ("character varying(20)", "varchar(20)"),
            ("tsvector", "tsvector"),
        ] {
            assert_eq!(canonical_type(one), other);
        }
    }
}
