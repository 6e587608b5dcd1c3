//! What is different between two layouts, and how that is told.

use std::collections::BTreeMap;

use crate::database::{ColumnLayout, Layout, TableLayout};
use crate::error::{Error, Result};

/// Something that is different. Constraints and indexes that are others under the same name go away
/// and come again.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    RenameTable { from: String, to: String },
    RenameColumn { table: String, from: String, to: String },
    RenameConstraint { table: String, from: String, to: String },
    RenameIndex { table: String, from: String, to: String },
    AddTable(String),
    DropTable(String),
    AddColumn { table: String, column: String },
    DropColumn { table: String, column: String },
    AlterColumn { table: String, column: String, what: String },
    Add { table: String, part: Part, name: String },
    Drop { table: String, part: Part, name: String },
}

/// What a table has beside columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Unique,
    Check,
    Reference,
    Index,
}

impl Part {
    /// What people call it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Unique => "unique constraint",
            Self::Check => "check",
            Self::Reference => "foreign key",
            Self::Index => "index",
        }
    }
}

impl Change {
    /// The same change the other way round, of those that give other names.
    pub(super) fn renamed_back(&self) -> Option<Self> {
        let mut back = self.clone();
        match &mut back {
            Self::RenameTable { from, to }
            | Self::RenameColumn { from, to, .. }
            | Self::RenameConstraint { from, to, .. }
            | Self::RenameIndex { from, to, .. } => std::mem::swap(from, to),
            _ => return None,
        }
        Some(back)
    }

    /// The table that it is about, by its new name.
    pub(super) fn table(&self) -> &str {
        match self {
            Self::RenameTable { to: table, .. }
            | Self::AddTable(table)
            | Self::DropTable(table)
            | Self::RenameColumn { table, .. }
            | Self::RenameConstraint { table, .. }
            | Self::RenameIndex { table, .. }
            | Self::AddColumn { table, .. }
            | Self::DropColumn { table, .. }
            | Self::AlterColumn { table, .. }
            | Self::Add { table, .. }
            | Self::Drop { table, .. } => table,
        }
    }

    /// For people.
    pub(super) fn told(&self) -> String {
        match self {
            Self::RenameTable { from, to } => format!("table `{from}` is renamed to `{to}`"),
            Self::RenameColumn { table, from, to } => {
                format!("column `{from}` of `{table}` is renamed to `{to}`")
            }
            Self::RenameConstraint { table, from, to } => {
                format!("constraint `{from}` of `{table}` is renamed to `{to}`")
            }
            Self::RenameIndex { table, from, to } => {
                format!("index `{from}` of `{table}` is renamed to `{to}`")
            }
            Self::AddTable(table) => format!("table `{table}` is added"),
            Self::DropTable(table) => format!("table `{table}` is removed, with its rows"),
            Self::AddColumn { table, column } => format!("column `{column}` of `{table}` is added"),
            Self::DropColumn { table, column } => {
                format!("column `{column}` of `{table}` is removed, with what is in it")
            }
            Self::AlterColumn { table, column, what } => {
                format!("column `{column}` of `{table}` {what}")
            }
            Self::Add { table, part, name } => {
                format!("{} `{name}` of `{table}` is added", part.word())
            }
            Self::Drop { table, part, name } => {
                format!("{} `{name}` of `{table}` is removed", part.word())
            }
        }
    }
}

/// What leads from one layout to another.
///
/// # Errors
/// When a key is another one: what refers to it is not known.
pub(super) fn compare(from: &Layout, to: &Layout) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for (name, table) in &to.tables {
        match from.tables.get(name) {
            Some(before) => compare_tables(name, before, table, &mut changes)?,
            None => changes.push(Change::AddTable(name.clone())),
        }
    }
    let is_gone = |name: &&String| !to.tables.contains_key(*name);
    changes.extend(from.tables.keys().filter(is_gone).cloned().map(Change::DropTable));
    Ok(changes)
}

fn compare_tables(
    name: &str,
    before: &TableLayout,
    after: &TableLayout,
    changes: &mut Vec<Change>,
) -> Result<()> {
    if before.key != after.key {
        return Err(Error::invalid(format!(
            "the key of `{name}` is ({}) in the database, and ({}) is declared",
            before.key.join(", "),
            after.key.join(", ")
        ))
        .hint("write this step by hand: `hostel migrate new`"));
    }
    let table = || name.to_owned();
    for (column, layout) in after.in_order() {
        match before.columns.get(column) {
            None => changes.push(Change::AddColumn { table: table(), column: column.clone() }),
            Some(old) => {
                let what = altered(old, layout);
                if !what.is_empty() {
                    let (column, what) = (column.clone(), what.join(", "));
                    changes.push(Change::AlterColumn { table: table(), column, what });
                }
            }
        }
    }
    for (column, _) in before.in_order() {
        if !after.columns.contains_key(column) {
            changes.push(Change::DropColumn { table: table(), column: column.clone() });
        }
    }
    compare_parts(name, Part::Unique, &before.uniques, &after.uniques, changes);
    compare_parts(name, Part::Check, &before.checks, &after.checks, changes);
    compare_parts(name, Part::Reference, &before.references, &after.references, changes);
    compare_parts(name, Part::Index, &before.indexes, &after.indexes, changes);
    Ok(())
}

fn compare_parts<T: PartialEq>(
    table: &str,
    part: Part,
    before: &BTreeMap<String, T>,
    after: &BTreeMap<String, T>,
    changes: &mut Vec<Change>,
) {
    for (name, old) in before {
        if after.get(name) != Some(old) {
            changes.push(Change::Drop { table: table.to_owned(), part, name: name.clone() });
        }
    }
    for (name, new) in after {
        if before.get(name) != Some(new) {
            changes.push(Change::Add { table: table.to_owned(), part, name: name.clone() });
        }
    }
}

/// What is another about a column.
fn altered(before: &ColumnLayout, after: &ColumnLayout) -> Vec<String> {
    let mut what = Vec::new();
    if before.kind != after.kind {
        what.push(format!("becomes {} from {}", after.kind, before.kind));
    }
    if before.is_nullable != after.is_nullable {
        let now = if after.is_nullable { "may be empty" } else { "may not be empty any more" };
        what.push(now.to_owned());
    }
    if before.default != after.default {
        what.push(match &after.default {
            Some(default) => format!("gets the default {}", default.sql),
            None => "loses its default".to_owned(),
        });
    }
    what
}

/// What a migration of these changes is called.
pub(super) fn name(module: &str, changes: &[Change]) -> String {
    // What goes along with columns says nothing more.
    let mut said = changes.iter().filter(|change| {
        !matches!(
            change,
            Change::RenameConstraint { .. } | Change::RenameIndex { .. } | Change::Add { .. }
        )
    });
    let first = said.next().or(changes.first());
    let same_table = changes.windows(2).all(|pair| pair[0].table() == pair[1].table());
    match (first, said.next()) {
        (Some(change), None) => match change {
            Change::RenameTable { from, to } => format!("rename_{from}_to_{to}"),
            Change::RenameColumn { from, to, .. }
            | Change::RenameConstraint { from, to, .. }
            | Change::RenameIndex { from, to, .. } => format!("rename_{from}_to_{to}"),
            Change::AddTable(table) => format!("add_{table}"),
            Change::DropTable(table) => format!("remove_{table}"),
            Change::AddColumn { table, column } => format!("add_{column}_to_{table}"),
            Change::DropColumn { table, column } => format!("remove_{column}_from_{table}"),
            Change::AlterColumn { table, column, .. } => format!("change_{column}_of_{table}"),
            Change::Add { name, .. } => format!("add_{name}"),
            Change::Drop { name, .. } => format!("remove_{name}"),
        },
        (Some(change), Some(_)) if same_table => format!("change_{}", change.table()),
        _ => format!("change_{}", module.replace('-', "_")),
    }
}
