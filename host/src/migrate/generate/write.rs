//! The SQL that leads from one layout to another. What both databases understand is written in the same
//! words for both; PostgreSQL alters what is left in place, and on SQLite `anew.rs` makes the table anew.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::{Change, Part};
use super::sql::{
    check_sql, column_sql, create_index, create_table, default_sql, is_value, reference_sql,
    references_sql, unique_sql,
};
use super::target::{apply, parents};
use super::values::{blank, conversion};
use crate::database::{
    ColumnLayout, Dialect, Layout, ReferenceLayout, TableLayout, identifiers, quoted,
};
use crate::error::{Error, Result};

/// A way from one layout to another.
pub(super) struct Way<'a> {
    pub(super) dialect: Dialect,
    /// Where it begins, under the names of the beginning.
    pub(super) from: &'a Layout,
    pub(super) to: &'a Layout,
    /// What gives other names; it comes first.
    pub(super) renames: &'a [Change],
    pub(super) changes: &'a [Change],
    /// What rows that are there get in a column that may not be empty, by table and column.
    pub(super) fills: &'a BTreeMap<(String, String), String>,
    /// Columns whose values are not taken along when their type changes.
    pub(super) replaced: &'a BTreeSet<(String, String)>,
    /// Whether it is a way back, where what was removed comes again without its values.
    pub(super) is_back: bool,
}

/// Statements, each with what is to be known of it, and what whoever runs them should know.
#[derive(Debug, Default)]
pub(super) struct Written {
    statements: Vec<(Option<String>, String)>,
    pub(super) notes: Vec<String>,
}

impl Written {
    pub(super) fn say(&mut self, statement: String) {
        self.statements.push((None, statement));
    }

    pub(super) fn say_with(&mut self, comment: String, statement: String) {
        self.statements.push((Some(comment), statement));
    }

    /// As it stands in a file.
    pub(super) fn script(&self) -> String {
        let one = |(comment, statement): &(Option<String>, String)| {
            let comment = comment.iter().map(|it| format!("-- {it}\n")).collect::<String>();
            format!("{comment}{statement};\n")
        };
        match self.statements.is_empty() {
            // A way back that says nothing is taken for none.
            true => "-- Nothing is different on this database.\nSELECT 1;\n".to_owned(),
            false => self.statements.iter().map(one).collect(),
        }
    }
}

impl Way<'_> {
    /// Writes it.
    ///
    /// # Errors
    /// Names what nobody but a person can write.
    pub(super) fn write(&self) -> Result<Written> {
        let mut written = Written::default();
        let mut renamed = self.from.clone();
        self.renames.iter().for_each(|change| apply(&mut renamed, change));
        let anew = match self.dialect {
            Dialect::Sqlite => self.made_anew(&renamed)?,
            Dialect::Postgres => BTreeSet::new(),
        };
        self.check_dropped(&renamed)?;
        self.rename(&anew, &renamed, &mut written);
        self.drop_parts(&anew, &mut written);
        self.add_tables(&mut written);
        for change in self.changes {
            if !anew.contains(change.table()) {
                self.change_column(change, &renamed, &mut written)?;
            }
        }
        for table in &anew {
            self.make_anew(table, &renamed, &mut written)?;
        }
        self.add_parts(&anew, &renamed, &mut written);
        self.drop_tables(&renamed, &mut written);
        Ok(written)
    }

    /// A table's name once all of them have their new ones.
    pub(super) fn last_name<'n>(&'n self, table: &'n str) -> &'n str {
        let mut last = self.renames.iter().filter_map(|change| match change {
            Change::RenameTable { from, to } if from == table => Some(to.as_str()),
            _ => None,
        });
        last.next().unwrap_or(table)
    }

    fn fill(&self, table: &str, column: &str) -> Option<&String> {
        self.fills.get(&(table.to_owned(), column.to_owned()))
    }

    /// What rows that are there get in a column that is new and may not be empty.
    pub(super) fn value_for_rows(
        &self,
        table: &str,
        layout: &TableLayout,
        name: &str,
    ) -> Option<String> {
        let column = layout.columns.get(name)?;
        if column.is_nullable || column.default.is_some() {
            return None;
        }
        match self.fill(table, name) {
            Some(fill) => Some(fill_sql(fill, column, self.dialect)),
            None if self.is_back => blank(table, layout, name, column, self.dialect),
            None => None,
        }
    }

    /// Whether `ALTER TABLE` adds a column on both databases.
    pub(super) fn is_added_simply(&self, table: &str, layout: &TableLayout, name: &str) -> bool {
        let Some(column) = layout.columns.get(name) else { return false };
        let is_constant = column.default.as_ref().is_none_or(|it| is_value(it.sql.trim()));
        let needs_none = column.is_nullable || column.default.is_some();
        let is_new = |columns: &[String]| columns.iter().any(|it| it == name);
        let is_tied = layout.uniques.values().any(|columns| is_new(columns))
            || layout.references.iter().any(|(constraint, it)| {
                is_new(&it.columns) && self.column_with(table, constraint).is_none()
            });
        is_constant && needs_none && !is_tied
    }

    /// The new column that brings a check or a foreign key of its own along.
    pub(super) fn column_with(&self, table: &str, constraint: &str) -> Option<&String> {
        let layout = self.to.tables.get(table)?;
        let added = self.changes.iter().filter_map(|change| match change {
            Change::AddColumn { table: of, column } if of == table => Some(column),
            _ => None,
        });
        let mut added = added.filter(|column| {
            let Some(column) = layout.columns.get(*column) else { return false };
            let is_constant = column.default.as_ref().is_none_or(|it| is_value(it.sql.trim()));
            is_constant && (column.is_nullable || column.default.is_some())
        });
        if let Some(check) = layout.checks.get(constraint) {
            let names = identifiers(&check.sql);
            let mut about = layout.columns.keys().filter(|column| names.contains(column));
            let (only, None) = (about.next()?, about.next()) else { return None };
            return added.find(|column| *column == only);
        }
        let reference = layout.references.get(constraint)?;
        let [only] = reference.columns.as_slice() else { return None };
        // SQLite adds no column that refers to something from the beginning.
        added.find(|column| {
            *column == only && layout.columns.get(*column).is_some_and(|it| it.default.is_none())
        })
    }

    /// Whether `ALTER TABLE` drops a column on both databases.
    pub(super) fn is_dropped_simply(&self, before: &TableLayout, name: &str) -> bool {
        let has = |columns: &[String]| columns.iter().any(|it| it == name);
        let is_checked = before.checks.values().any(|check| has(&identifiers(&check.sql)));
        !is_checked
            && !has(&before.key)
            && !before.uniques.values().any(|columns| has(columns))
            && !before.references.values().any(|it| has(&it.columns))
            && before.others.is_empty()
    }

    /// Refuses to take away what something that stays refers to.
    fn check_dropped(&self, renamed: &Layout) -> Result<()> {
        for change in self.changes {
            let Change::DropTable(dropped) = change else { continue };
            if let Some(other) = renamed.tables.get(dropped).and_then(|it| it.others.first()) {
                return Err(Error::invalid(format!(
                    "table `{dropped}` has {other}, which the way back would not make again"
                ))
                .hint("write this step by hand: `hostel migrate new`"));
            }
            let refers = |(_, table): &(&String, &TableLayout)| parents(table).contains(&**dropped);
            if let Some((table, _)) = self.to.tables.iter().find(refers) {
                return Err(Error::invalid(format!(
                    "table `{dropped}` cannot be removed: `{table}` refers to it"
                )));
            }
        }
        Ok(())
    }

    fn rename(&self, anew: &BTreeSet<String>, renamed: &Layout, written: &mut Written) {
        // On SQLite, an index gets its last name at once.
        let mut indexes: Vec<(&String, &String, &String)> = Vec::new();
        for change in self.renames {
            match change {
                Change::RenameTable { from, to } => {
                    written.say(format!("ALTER TABLE {} RENAME TO {}", quoted(from), quoted(to)));
                }
                Change::RenameColumn { table, from, to } => written.say(format!(
                    "ALTER TABLE {} RENAME COLUMN {} TO {}",
                    quoted(table),
                    quoted(from),
                    quoted(to)
                )),
                Change::RenameConstraint { table, from, to }
                    if self.dialect == Dialect::Postgres =>
                {
                    written.say(format!(
                        "ALTER TABLE {} RENAME CONSTRAINT {} TO {}",
                        quoted(table),
                        quoted(from),
                        quoted(to)
                    ));
                }
                Change::RenameIndex { table, from, to } => match self.dialect {
                    Dialect::Postgres => {
                        let (from, to) = (quoted(from), quoted(to));
                        written.say(format!("ALTER INDEX {from} RENAME TO {to}"));
                    }
                    Dialect::Sqlite => match indexes.iter_mut().find(|(.., last)| *last == from) {
                        Some((.., last)) => *last = to,
                        None => indexes.push((table, from, to)),
                    },
                },
                _ => {}
            }
        }
        for (table, from, to) in indexes {
            let table = self.last_name(table);
            written.say(format!("DROP INDEX {}", quoted(from)));
            // What is made anew gets its indexes then.
            let layout = renamed.tables.get(table).filter(|_| !anew.contains(table));
            let made = layout.and_then(|layout| create_index(table, to, layout));
            made.into_iter().for_each(|statement| written.say(statement));
        }
    }

    fn drop_parts(&self, anew: &BTreeSet<String>, written: &mut Written) {
        // Keys go before what they refer to.
        for part in [Part::Reference, Part::Check, Part::Unique, Part::Index] {
            for change in self.changes {
                let Change::Drop { table, part: of, name } = change else { continue };
                if *of != part || anew.contains(table) {
                    continue;
                }
                written.say(match part {
                    Part::Index => format!("DROP INDEX {}", quoted(name)),
                    _ => {
                        format!("ALTER TABLE {} DROP CONSTRAINT {}", quoted(table), quoted(name))
                    }
                });
            }
        }
    }

    fn add_tables(&self, written: &mut Written) {
        let mut missing: Vec<&String> = self.changes.iter().filter_map(added_table).collect();
        let mut later = Vec::new();
        while !missing.is_empty() {
            // Those that refer to no other one that is missing come first.
            let is_ready = |name: &&String| {
                self.to.tables.get(*name).is_none_or(|table| {
                    let mut parents = parents(table).into_iter();
                    !parents.any(|to| to != name.as_str() && missing.iter().any(|it| *it == to))
                })
            };
            let next = missing.iter().position(is_ready);
            let name = missing.remove(next.unwrap_or_default());
            let Some(table) = self.to.tables.get(name) else { continue };
            let is_later = |reference: &ReferenceLayout| {
                self.dialect == Dialect::Postgres && missing.contains(&&reference.to)
            };
            let references = table.references.iter().filter(|(_, it)| is_later(it));
            let of_later: BTreeSet<&String> = references.map(|(name, _)| name).collect();
            written.say(create_table(name, table, &of_later));
            let indexes = table.indexes.keys();
            let indexes = indexes.filter_map(|index| create_index(name, index, table));
            indexes.for_each(|statement| written.say(statement));
            later.extend(of_later.into_iter().map(|constraint| (name, constraint)));
        }
        for (name, constraint) in later {
            let reference = self.to.tables.get(name).and_then(|it| it.references.get(constraint));
            if let Some(reference) = reference {
                let constraint = reference_sql(constraint, reference);
                written.say(format!("ALTER TABLE {} ADD {constraint}", quoted(name)));
            }
        }
    }

    /// A column of a table that stays where it is.
    fn change_column(
        &self,
        change: &Change,
        renamed: &Layout,
        written: &mut Written,
    ) -> Result<()> {
        match change {
            Change::AddColumn { table, column } => self.add_column(table, column, written),
            Change::DropColumn { table, column } => {
                written.say(format!(
                    "ALTER TABLE {} DROP COLUMN {}",
                    quoted(table),
                    quoted(column)
                ));
            }
            Change::AlterColumn { table, column, .. } => {
                let of = |layout: &Layout| {
                    layout.tables.get(table).and_then(|it| it.columns.get(column)).cloned()
                };
                if let Some((before, after)) = of(renamed).zip(of(self.to)) {
                    self.alter_column(table, column, &before, &after, written)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add_column(&self, table: &str, name: &str, written: &mut Written) {
        let Some(layout) = self.to.tables.get(table) else { return };
        let Some(column) = layout.columns.get(name) else { return };
        let table_sql = quoted(table);
        let brought = |constraint: &&String| {
            self.is_new(table, constraint)
                && self.column_with(table, constraint).is_some_and(|it| it == name)
        };
        let mut sql = column_sql(name, column);
        for constraint in layout.references.keys().filter(brought) {
            if let Some(reference) = layout.references.get(constraint) {
                let to = references_sql(reference);
                sql = format!("{sql} CONSTRAINT {} {to}", quoted(constraint));
            }
        }
        for constraint in layout.checks.keys().filter(brought) {
            if let Some(check) = layout.checks.get(constraint) {
                sql = format!("{sql} {}", check_sql(constraint, check));
            }
        }
        match self.value_for_rows(table, layout, name) {
            Some(value) => {
                let sql = format!("{} {} DEFAULT {value} NOT NULL", quoted(name), column.kind);
                written.say_with(
                    format!("Rows that are there get {value}."),
                    format!("ALTER TABLE {table_sql} ADD COLUMN {sql}"),
                );
                let name = quoted(name);
                written.say(format!("ALTER TABLE {table_sql} ALTER COLUMN {name} DROP DEFAULT"));
            }
            None => written.say(format!("ALTER TABLE {table_sql} ADD COLUMN {sql}")),
        }
    }

    fn is_new(&self, table: &str, constraint: &str) -> bool {
        self.changes.iter().any(|change| {
            matches!(change, Change::Add { table: of, name, .. } if of == table && name == constraint)
        })
    }

    /// How the values of a column that changes its type are taken along; none where they are not.
    ///
    /// # Errors
    /// When nobody knows how, and nobody said that they may go.
    pub(super) fn converted(
        &self,
        table: &str,
        name: &str,
        from: &str,
        to: &str,
        written: &mut Written,
    ) -> Result<Option<String>> {
        if self.replaced.contains(&(table.to_owned(), name.to_owned())) {
            return Ok(None);
        }
        // Both databases keep them, or none.
        let on_each = [Dialect::Sqlite, Dialect::Postgres];
        let is_known = on_each.iter().all(|dialect| conversion(name, from, to, *dialect).is_some());
        match conversion(name, from, to, self.dialect).filter(|_| is_known) {
            Some(conversion) => {
                if conversion.loses {
                    written.notes.push(format!(
                        "values of `{table}.{name}` that do not fit {to} are changed, or make the step fail"
                    ));
                }
                Ok(Some(conversion.sql))
            }
            None if self.is_back => Ok(None),
            None => Err(Error::invalid(format!(
                "nobody but you knows how values of `{table}.{name}` become {to} from {from}"
            ))
            .hint(format!(
                "add another column, fill it, and take the old one away later; or, where its values may be lost, say --replace {table}.{name}"
            ))),
        }
    }

    fn alter_column(
        &self,
        table: &str,
        name: &str,
        before: &ColumnLayout,
        after: &ColumnLayout,
        written: &mut Written,
    ) -> Result<()> {
        let alter = format!("ALTER TABLE {} ALTER COLUMN {}", quoted(table), quoted(name));
        let has_other_type = before.kind != after.kind;
        if has_other_type {
            let using = self.converted(table, name, &before.kind, &after.kind, written)?;
            if before.default.is_some() {
                written.say(format!("{alter} DROP DEFAULT"));
            }
            let kind = &after.kind;
            match using {
                Some(using) => written.say(format!("{alter} TYPE {kind} USING {using}")),
                // It stays in its place, and with it what is made of it.
                None => {
                    let layout = self.to.tables.get(table);
                    let value = layout.and_then(|it| self.value_for_rows(table, it, name));
                    let default = after.default.as_ref().map(|it| it.sql.clone());
                    let value = value.or(default).unwrap_or_else(|| "NULL".to_owned());
                    written.say_with(
                        format!("What is in `{name}` is lost."),
                        format!("{alter} TYPE {kind} USING ({value})::{kind}"),
                    );
                }
            }
        }
        match &after.default {
            Some(default) if has_other_type || before.default != after.default => {
                written.say(format!("{alter} SET DEFAULT {}", default_sql(default)));
            }
            None if !has_other_type && before.default.is_some() => {
                written.say(format!("{alter} DROP DEFAULT"));
            }
            _ => {}
        }
        match (before.is_nullable, after.is_nullable) {
            (true, false) => {
                if let Some(value) = self.value_for_empty(table, name, after, written) {
                    let name = quoted(name);
                    written.say_with(
                        format!("Rows that have nothing there get {value}."),
                        format!(
                            "UPDATE {} SET {name} = {value} WHERE {name} IS NULL",
                            quoted(table)
                        ),
                    );
                }
                written.say(format!("{alter} SET NOT NULL"));
            }
            (false, true) => written.say(format!("{alter} DROP NOT NULL")),
            _ => {}
        }
        Ok(())
    }

    /// What rows get that have nothing in a column which may not be empty any more.
    pub(super) fn value_for_empty(
        &self,
        table: &str,
        name: &str,
        after: &ColumnLayout,
        written: &mut Written,
    ) -> Option<String> {
        let layout = self.to.tables.get(table)?;
        match (self.fill(table, name), &after.default) {
            (Some(fill), _) => Some(fill_sql(fill, after, self.dialect)),
            (None, Some(default)) => Some(default.sql.clone()),
            (None, None) if self.is_back => blank(table, layout, name, after, self.dialect),
            (None, None) => {
                written.notes.push(format!(
                    "the step fails where rows have nothing in `{table}.{name}`: fill them first, or say --fill {table}.{name}=…"
                ));
                None
            }
        }
    }

    fn add_parts(&self, anew: &BTreeSet<String>, renamed: &Layout, written: &mut Written) {
        for part in [Part::Unique, Part::Check, Part::Reference, Part::Index] {
            for change in self.changes {
                let Change::Add { table, part: of, name } = change else { continue };
                let is_brought = self.column_with(table, name).is_some();
                let is_there = renamed.tables.contains_key(table);
                let Some(layout) = self.to.tables.get(table).filter(|_| is_there) else { continue };
                if *of != part || anew.contains(table) || is_brought {
                    continue;
                }
                let added = match part {
                    Part::Index => {
                        let made = create_index(table, name, layout);
                        made.into_iter().for_each(|statement| written.say(statement));
                        continue;
                    }
                    Part::Unique => layout.uniques.get(name).map(|it| unique_sql(name, it)),
                    Part::Check => layout.checks.get(name).map(|it| check_sql(name, it)),
                    Part::Reference => {
                        layout.references.get(name).map(|it| reference_sql(name, it))
                    }
                };
                if let Some(added) = added {
                    written.say(format!("ALTER TABLE {} ADD {added}", quoted(table)));
                }
            }
        }
    }

    fn drop_tables(&self, renamed: &Layout, written: &mut Written) {
        let dropped = self.changes.iter().filter_map(|change| match change {
            Change::DropTable(name) => Some(name),
            _ => None,
        });
        let mut dropped: Vec<&String> = dropped.collect();
        if self.dialect == Dialect::Postgres {
            // Those that refer to each other go when nothing refers to them any more.
            for name in &dropped {
                let Some(table) = renamed.tables.get(*name) else { continue };
                for (constraint, reference) in &table.references {
                    let is_other = reference.to != **name && dropped.contains(&&reference.to);
                    if is_other && reaches(renamed, &reference.to, name) {
                        let (name, constraint) = (quoted(name), quoted(constraint));
                        written.say(format!("ALTER TABLE {name} DROP CONSTRAINT {constraint}"));
                    }
                }
            }
        }
        while !dropped.is_empty() {
            // Those to which no other one refers that is left come first.
            let is_referred_to = |name: &String| {
                dropped.iter().any(|other| {
                    *other != name
                        && renamed
                            .tables
                            .get(*other)
                            .is_some_and(|it| parents(it).contains(&**name))
                })
            };
            let next = dropped.iter().position(|name| !is_referred_to(name));
            let name = dropped.remove(next.unwrap_or_default());
            written.say(format!("DROP TABLE {}", quoted(name)));
        }
    }
}

fn added_table(change: &Change) -> Option<&String> {
    match change {
        Change::AddTable(name) => Some(name),
        _ => None,
    }
}

/// Whether references lead from one table to another.
fn reaches(layout: &Layout, from: &str, to: &str) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(name) = next.pop() {
        if name == to {
            return true;
        }
        if seen.insert(name.clone())
            && let Some(table) = layout.tables.get(&name)
        {
            next.extend(parents(table).into_iter().map(str::to_owned));
        }
    }
    false
}

/// A value that somebody gave; `now` is the time, which each database keeps in its own way.
fn fill_sql(fill: &str, column: &ColumnLayout, dialect: Dialect) -> String {
    match (fill, column.kind.as_str(), dialect) {
        ("now", "timestamptz", Dialect::Postgres) => "now()".to_owned(),
        ("now", "timestamptz", Dialect::Sqlite) => {
            "CAST(unixepoch('subsec') * 1000000 AS integer)".to_owned()
        }
        _ => fill.to_owned(),
    }
}
