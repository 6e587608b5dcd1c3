//! Where a migration leads: the layout that is there, with other names where they were given, and with
//! all that entities declare. What somebody made by hand, and no entity would have, is left alone.

use std::collections::{BTreeMap, BTreeSet};

use super::Decisions;
use super::compare::{Change, Part};
use super::values::base;
use crate::database::{
    ColumnLayout, IndexLayout, Layout, ReferenceLayout, TableLayout, identifiers,
    renamed_identifiers, usual_name,
};
use crate::error::{Error, Result};

/// Where a migration leads.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) layout: Layout,
    /// What was left alone, for people.
    pub(super) left: BTreeSet<String>,
}

/// What gives tables and columns their new names, and with them what is called after them.
///
/// # Errors
/// When there is no such table or column, or the new name is taken or not declared.
pub(super) fn renames(
    before: &Layout,
    declared: &Layout,
    decisions: &Decisions,
) -> Result<Vec<Change>> {
    let mut layout = before.clone();
    let mut changes = Vec::new();
    let mut say = |layout: &mut Layout, change: Change| {
        apply(layout, &change);
        changes.push(change);
    };
    for rename in decisions.renames.iter().filter(|rename| rename.column.is_none()) {
        let (from, to) = (rename.table.clone(), rename.to.clone());
        // Asked again after it was applied, it is done.
        if layout.tables.contains_key(&to) && !layout.tables.contains_key(&from) {
            continue;
        }
        if !layout.tables.contains_key(&from) || layout.tables.contains_key(&to) {
            let what = format!("table `{from}` cannot be renamed to `{to}`");
            return Err(Error::invalid(format!("{what}: {}", why(&layout.tables, &from))));
        }
        if !declared.tables.contains_key(&to) || declared.tables.contains_key(&from) {
            return Err(Error::invalid(format!(
                "table `{from}` cannot be renamed to `{to}`: `{to}` is to be an entity's, and `{from}` none's"
            )));
        }
        say(&mut layout, Change::RenameTable { from: from.clone(), to: to.clone() });
        let Some(table) = layout.tables.get(&to) else { continue };
        for change in called_after(&to, table, |name, columns, end| {
            (name == usual_name(&from, columns, end)).then(|| usual_name(&to, columns, end))
        }) {
            say(&mut layout, change);
        }
    }
    for rename in &decisions.renames {
        let (table, Some(from), to) = (&rename.table, &rename.column, &rename.to) else { continue };
        let wanted = declared.tables.get(table);
        let Some(there) = layout.tables.get(table).zip(wanted).map(|(there, _)| there) else {
            return Err(Error::invalid(format!("there is no entity of a table `{table}`")));
        };
        let (has_from, has_to) = (there.columns.contains_key(from), there.columns.contains_key(to));
        if has_to && !has_from {
            continue;
        }
        let is_declared = |name: &String| wanted.is_some_and(|it| it.columns.contains_key(name));
        if !has_from || has_to || !is_declared(to) || is_declared(from) {
            let why = why(&there.columns, from);
            return Err(Error::invalid(format!(
                "column `{from}` of `{table}` cannot be renamed to `{to}`: {why}, and the entity must have `{to}` and not `{from}`"
            )));
        }
        say(
            &mut layout,
            Change::RenameColumn { table: table.clone(), from: from.clone(), to: to.clone() },
        );
        let back = |column: &String| if column == to { from.clone() } else { column.clone() };
        let Some(there) = layout.tables.get(table) else { continue };
        for change in called_after(table, there, |name, columns, end| {
            let before: Vec<String> = columns.iter().map(back).collect();
            (name == usual_name(table, &before, end)).then(|| usual_name(table, columns, end))
        }) {
            say(&mut layout, change);
        }
    }
    Ok(changes)
}

fn why<T>(known: &BTreeMap<String, T>, from: &String) -> &'static str {
    match known.contains_key(from) {
        true => "the other name is taken",
        false => "it is not there",
    }
}

/// New names of what is called after its table and columns.
fn called_after(
    table: &str,
    layout: &TableLayout,
    new_name: impl Fn(&str, &[String], &str) -> Option<String>,
) -> Vec<Change> {
    let mut constraints: Vec<(String, String)> = Vec::new();
    let mut add = |name: &String, columns: &[String], end: &str| {
        if let Some(new) = new_name(name, columns, end).filter(|new| new != name) {
            constraints.push((name.clone(), new));
        }
    };
    layout.uniques.iter().for_each(|(name, columns)| add(name, columns, "key"));
    layout.references.iter().for_each(|(name, it)| add(name, &it.columns, "fkey"));
    for (name, check) in &layout.checks {
        let columns = of_table(layout, &identifiers(&check.sql));
        // The order of those that it is about stands in its name alone.
        for end in ["check", "one_of"] {
            add(name, &columns, end);
        }
    }
    let constraints = constraints.into_iter().map(|(from, to)| Change::RenameConstraint {
        table: table.to_owned(),
        from,
        to,
    });
    let indexes = layout.indexes.iter().filter(|(_, index)| index.statement.is_none());
    let indexes = indexes.filter_map(|(name, index)| {
        let to = new_name(name, &index.columns, "idx").filter(|new| new != name)?;
        Some(Change::RenameIndex { table: table.to_owned(), from: name.clone(), to })
    });
    constraints.chain(indexes).collect()
}

/// Those of the names that are columns, each once.
fn of_table(layout: &TableLayout, names: &[String]) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for name in names {
        if layout.columns.contains_key(name) && !columns.contains(name) {
            columns.push(name.clone());
        }
    }
    columns
}

/// Gives something another name.
pub(super) fn apply(layout: &mut Layout, change: &Change) {
    match change {
        Change::RenameTable { from, to } => {
            let renamed = |name: &str| (name == from).then(|| to.clone());
            if let Some(mut table) = layout.tables.remove(from) {
                for index in table.indexes.values_mut() {
                    index.rename(&renamed);
                }
                layout.tables.insert(to.clone(), table);
            }
            let references =
                layout.tables.values_mut().flat_map(|table| table.references.values_mut());
            for reference in references.filter(|reference| reference.to == *from) {
                reference.to.clone_from(to);
            }
        }
        Change::RenameColumn { table, from, to } => rename_column(layout, table, from, to),
        Change::RenameConstraint { table, from, to } => {
            let Some(table) = layout.tables.get_mut(table) else { return };
            rename_key(&mut table.uniques, from, to);
            rename_key(&mut table.checks, from, to);
            rename_key(&mut table.references, from, to);
        }
        Change::RenameIndex { table, from, to } => {
            if let Some(table) = layout.tables.get_mut(table) {
                rename_key(&mut table.indexes, from, to);
            }
        }
        _ => {}
    }
}

fn rename_column(layout: &mut Layout, table: &str, from: &str, to: &str) {
    let renamed = |name: &str| (name == from).then(|| to.to_owned());
    let rename = |names: &mut Vec<String>| {
        for name in names.iter_mut().filter(|name| *name == from) {
            to.clone_into(name);
        }
    };
    for reference in layout.tables.values_mut().flat_map(|table| table.references.values_mut()) {
        if reference.to == *table {
            rename(&mut reference.to_columns);
        }
    }
    let Some(table) = layout.tables.get_mut(table) else { return };
    rename_key(&mut table.columns, from, to);
    rename(&mut table.order.0);
    rename(&mut table.key);
    table.uniques.values_mut().for_each(rename);
    table.references.values_mut().for_each(|reference| rename(&mut reference.columns));
    for index in table.indexes.values_mut() {
        rename(&mut index.columns);
        index.rename(&renamed);
    }
    for check in table.checks.values_mut() {
        *check = check.renamed(&renamed);
    }
}

fn rename_key<T>(map: &mut BTreeMap<String, T>, from: &str, to: &str) {
    if let Some(value) = map.remove(from) {
        map.insert(to.to_owned(), value);
    }
}

/// Where a migration leads from `before`, in which names are the new ones already.
///
/// # Errors
/// When something that is to be removed is not there.
pub(super) fn target(
    before: &Layout,
    declared: &Layout,
    versions: &BTreeMap<String, String>,
    decisions: &Decisions,
) -> Result<Target> {
    let mut target = Target { layout: before.clone(), left: BTreeSet::new() };
    for (name, wanted) in &declared.tables {
        let mut wanted = wanted.clone();
        if let Some(there) = before.tables.get(name) {
            let version = versions.get(name).map(String::as_str);
            merge(name, there, &mut wanted, version, decisions, &mut target.left);
        }
        target.layout.tables.insert(name.clone(), wanted);
    }
    for dropped in &decisions.drops {
        if dropped.contains('.') {
            continue;
        }
        if declared.tables.contains_key(dropped) {
            let message = format!("table `{dropped}` is an entity's, and is not removed");
            return Err(Error::invalid(message));
        }
        target.layout.tables.remove(dropped);
    }
    Ok(target)
}

/// Adds to what is declared what is there and is not to go away.
fn merge(
    name: &str,
    there: &TableLayout,
    wanted: &mut TableLayout,
    version: Option<&str>,
    decisions: &Decisions,
    left: &mut BTreeSet<String>,
) {
    let dropped = |what: &str| decisions.drops.contains(&format!("{name}.{what}"));
    wanted.others.clone_from(&there.others);
    let mut order = Vec::new();
    for (column, old) in there.in_order() {
        match wanted.columns.get_mut(column) {
            Some(new) => {
                let is_key = there.key.as_slice() == std::slice::from_ref(column);
                if satisfies(old, new, is_key || version == Some(column.as_str())) {
                    new.kind.clone_from(&old.kind);
                }
                if old.is_computed {
                    *new = old.clone();
                }
            }
            None if old.is_computed && !dropped(column) => {
                left.insert(format!("column `{column}` of `{name}`"));
                wanted.columns.insert(column.clone(), old.clone());
            }
            None => continue,
        }
        order.push(column.clone());
    }
    let new = wanted.order.0.iter().filter(|column| !there.columns.contains_key(*column));
    order.extend(new.cloned().collect::<Vec<_>>());
    wanted.order.0 = order;
    merge_parts(name, there, wanted, &dropped, left);
}

/// Adds constraints and indexes that are there and stay: those that no entity would call so, unless
/// something that is declared takes their place, or a column goes that they are about.
fn merge_parts(
    name: &str,
    there: &TableLayout,
    wanted: &mut TableLayout,
    dropped: &dyn Fn(&str) -> bool,
    left: &mut BTreeSet<String>,
) {
    let TableLayout { columns, uniques, checks, references, indexes, .. } = wanted;
    let are_there = |about: &[String]| about.iter().all(|column| columns.contains_key(column));
    keep((name, Part::Unique), &there.uniques, uniques, left, |unique, old, declared| {
        let is_usual = unique == usual_name(name, old, "key");
        let is_same = declared.values().any(|new| new == old);
        are_there(old) && !is_usual && !is_same && !dropped(unique)
    });
    keep((name, Part::Index), &there.indexes, indexes, left, |index, old, declared| {
        let is_plain = old.statement.is_none() && !old.is_unique;
        let is_usual = is_plain && index == usual_name(name, &old.columns, "idx");
        let is_same = is_plain && declared.values().any(|new| new == old);
        let said = old.statement.as_deref().map(identifiers).unwrap_or_default();
        let is_there = are_there(&old.columns) && are_there(&of_table(there, &said));
        is_there && !is_usual && !is_same && !dropped(index)
    });
    keep((name, Part::Check), &there.checks, checks, left, |check, old, declared| {
        let is_same = declared.values().any(|new| new == old);
        let is_there = are_there(&of_table(there, &identifiers(&old.sql)));
        is_there && !is_usual_check(name, check, there) && !is_same && !dropped(check)
    });
    keep((name, Part::Reference), &there.references, references, left, |key, old, declared| {
        let is_usual = key == usual_name(name, &old.columns, "fkey");
        let is_same = declared.values().any(|new| new.columns == old.columns);
        are_there(&old.columns) && !is_usual && !is_same && !dropped(key)
    });
}

fn keep<T: Clone>(
    (table, part): (&str, Part),
    there: &BTreeMap<String, T>,
    wanted: &mut BTreeMap<String, T>,
    left: &mut BTreeSet<String>,
    stays: impl Fn(&str, &T, &BTreeMap<String, T>) -> bool,
) {
    for (name, old) in there {
        if !wanted.contains_key(name) && stays(name, old, wanted) {
            left.insert(format!("{} `{name}` of `{table}`", part.word()));
            wanted.insert(name.clone(), old.clone());
        }
    }
}

/// Whether an entity of this table may have given a check this name, or a database.
fn is_usual_check(table: &str, check: &str, layout: &TableLayout) -> bool {
    let Some(rest) = check.strip_prefix(table).and_then(|rest| rest.strip_prefix('_')) else {
        return false;
    };
    let is_numbered = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit());
    if rest.strip_prefix("check").is_some_and(is_numbered) {
        return true;
    }
    ["_check", "_one_of"].iter().any(|end| {
        let Some((columns, number)) = rest.rsplit_once(end) else { return false };
        is_numbered(number) && is_columns(columns, layout)
    })
}

/// Whether a text is names of columns, with `_` between them.
fn is_columns(text: &str, layout: &TableLayout) -> bool {
    layout.columns.keys().any(|column| match text.strip_prefix(column.as_str()) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('_').is_some_and(|rest| is_columns(rest, layout)),
        None => false,
    })
}

/// Whether a column can stay of the type that it has: one that says more of the same, or a number that
/// is large enough.
fn satisfies(there: &ColumnLayout, wanted: &ColumnLayout, may_be_small: bool) -> bool {
    let base = base(&there.kind);
    match wanted.kind.as_str() {
        "text" => ["text", "varchar", "char", "citext"].contains(&base),
        "decimal" => base == "decimal",
        "timestamptz" => base == "timestamptz",
        "jsonb" => ["json", "jsonb"].contains(&base),
        "bytea" => ["bytea", "blob"].contains(&base),
        "bigint" => base == "bigint" || (may_be_small && base == "integer"),
        kind => kind == there.kind,
    }
}

impl IndexLayout {
    fn rename(&mut self, renamed: &dyn Fn(&str) -> Option<String>) {
        if let Some(statement) = &mut self.statement {
            *statement = renamed_identifiers(statement, renamed);
        }
    }
}

/// The tables that others refer to, for each of those that refer.
pub(super) fn parents(table: &TableLayout) -> BTreeSet<&str> {
    table.references.values().map(|it: &ReferenceLayout| it.to.as_str()).collect()
}
