//! Tables as entities declare them.

use std::collections::BTreeMap;

use crate::database::{
    ColumnLayout, Expression, IndexLayout, Layout, Order, ReferenceLayout, TableLayout, literal,
    quoted, usual_name,
};
use crate::runtime::{ColumnType, Entity, EntityColumn, NamedColumns, OnDelete};

/// The tables of a module's entities.
pub(super) fn layout(entities: &[Entity]) -> Layout {
    let tables = entities.iter().map(|entity| (entity.table.clone(), table(entity)));
    Layout { tables: tables.collect() }
}

/// The columns that may be an `integer` where `bigint` is declared, by table: no row is changed so many
/// times.
pub(super) fn versions(entities: &[Entity]) -> BTreeMap<String, String> {
    let versions = entities.iter().filter_map(|it| Some((it.table.clone(), it.version.clone()?)));
    versions.collect()
}

fn table(entity: &Entity) -> TableLayout {
    let column = |column: &EntityColumn| {
        let layout = ColumnLayout {
            kind: sql_type(&column.kind).to_owned(),
            is_nullable: column.nullable && !entity.key.contains(&column.name),
            default: column.default.as_deref().map(Expression::new),
            is_computed: false,
        };
        (column.name.clone(), layout)
    };
    let named = |it: &NamedColumns| (it.name.clone(), it.columns.clone());
    let index = |it: &NamedColumns| {
        let (columns, is_unique) = (it.columns.clone(), false);
        (it.name.clone(), IndexLayout { columns, is_unique, statement: None })
    };
    let checks = entity.checks.iter().map(|it| (it.name.clone(), Expression::new(&*it.sql)));
    let kept = entity.columns.iter().filter_map(|column| one_of(&entity.table, column));
    let references = entity.references.iter().map(|it| {
        let layout = ReferenceLayout {
            columns: vec![it.column.clone()],
            to: it.to_table.clone(),
            to_columns: vec![it.to_column.clone()],
            on_delete: match it.on_delete {
                OnDelete::Refuse => "",
                OnDelete::Cascade => "CASCADE",
                OnDelete::SetNull => "SET NULL",
            },
        };
        (it.name.clone(), layout)
    });
    TableLayout {
        columns: entity.columns.iter().map(column).collect(),
        order: Order(entity.columns.iter().map(|column| column.name.clone()).collect()),
        key: entity.key.clone(),
        uniques: entity.uniques.iter().map(named).collect(),
        checks: checks.chain(kept).collect(),
        references: references.collect(),
        indexes: entity.indexes.iter().map(index).collect(),
        others: Default::default(),
    }
}

/// What the type of a column says that SQL's does not.
fn one_of(table: &str, column: &EntityColumn) -> Option<(String, Expression)> {
    let ColumnType::OneOf(names) = &column.kind else { return None };
    let names: Vec<_> = names.iter().map(|name| literal(name)).collect();
    let name = usual_name(table, std::slice::from_ref(&column.name), "one_of");
    let sql = format!("{} IN ({})", quoted(&column.name), names.join(", "));
    Some((name, Expression::new(sql)))
}

fn sql_type(kind: &ColumnType) -> &'static str {
    match kind {
        ColumnType::Boolean => "boolean",
        ColumnType::Integer(min, max)
            if *min >= i64::from(i32::MIN) && *max <= i64::from(i32::MAX) =>
        {
            "integer"
        }
        ColumnType::Integer(..) => "bigint",
        ColumnType::Real => "double precision",
        ColumnType::Decimal => "decimal",
        ColumnType::Text(_) | ColumnType::OneOf(_) => "text",
        ColumnType::Bytes => "bytea",
        ColumnType::Uuid => "uuid",
        ColumnType::Timestamp => "timestamptz",
        ColumnType::Date => "date",
        ColumnType::Json => "jsonb",
    }
}
