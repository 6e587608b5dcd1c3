//! Tables in the words of the contract, for the module's manifest.

use super::table::{Check, ColumnInfo, Index, Kind, OnDelete, Reference, Table, Unique};
use crate::bindings::exports::hostel::module::guest;

impl Table {
    /// What the host is told.
    pub(crate) fn describe(&self) -> guest::Entity {
        let uniques = self.uniques.iter().map(|Unique { name, columns }| named(name, columns));
        let indexes = self.indexes.iter().map(|Index { name, columns }| named(name, columns));
        let checks = self.checks.iter().map(|Check { name, sql, .. }| guest::Check {
            name: (*name).to_owned(),
            sql: (*sql).to_owned(),
        });
        guest::Entity {
            table: self.name.to_owned(),
            columns: self.columns.iter().map(column).collect(),
            key: texts(self.key),
            uniques: uniques.collect(),
            indexes: indexes.collect(),
            checks: checks.collect(),
            references: self.references.iter().map(reference).collect(),
            version: self.version.map(str::to_owned),
        }
    }
}

fn column(column: &ColumnInfo) -> guest::Column {
    guest::Column {
        name: column.name.to_owned(),
        kind: kind(column.kind),
        nullable: column.is_nullable,
        default_value: column.default.map(str::to_owned),
    }
}

fn kind(kind: Kind) -> guest::ColumnKind {
    match kind {
        Kind::Boolean => guest::ColumnKind::Boolean,
        Kind::Integer { min, max } => guest::ColumnKind::Integer((min, max)),
        Kind::Real => guest::ColumnKind::Real,
        Kind::Decimal => guest::ColumnKind::Decimal,
        Kind::Text { max } => guest::ColumnKind::Text(max.map(|max| max as u64)),
        Kind::Bytes => guest::ColumnKind::Bytes,
        Kind::Uuid => guest::ColumnKind::Uuid,
        Kind::Timestamp => guest::ColumnKind::Timestamp,
        Kind::Date => guest::ColumnKind::Date,
        Kind::Json => guest::ColumnKind::Json,
        Kind::Enum(names) => guest::ColumnKind::OneOf(texts(names)),
    }
}

fn reference(reference: &Reference) -> guest::Reference {
    let to = (reference.to)();
    guest::Reference {
        name: reference.name.to_owned(),
        column: reference.column.to_owned(),
        to_table: to.name.to_owned(),
        // One column refers to a key of one.
        to_column: to.key.concat(),
        on_delete: match reference.on_delete {
            OnDelete::Refuse => guest::OnDelete::Refuse,
            OnDelete::Cascade => guest::OnDelete::Cascade,
            OnDelete::SetNull => guest::OnDelete::SetNull,
        },
    }
}

fn named(name: &str, columns: &[&str]) -> guest::Columns {
    guest::Columns { name: name.to_owned(), columns: texts(columns) }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
