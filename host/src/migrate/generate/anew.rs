//! Tables that SQLite can only change by making them anew:
//! <https://www.sqlite.org/lang_altertable.html#otheralter>. The host looks at foreign keys in the end.

use std::collections::BTreeSet;

use super::compare::{Change, Part};
use super::sql::{create_index, create_table, list};
use super::write::{Way, Written};
use crate::database::{Layout, TableLayout, quoted};
use crate::error::{Error, Result};

impl Way<'_> {
    /// The tables that SQLite can only make anew.
    pub(super) fn made_anew(&self, renamed: &Layout) -> Result<BTreeSet<String>> {
        let mut anew = BTreeSet::new();
        let said = self.renames.iter().chain(self.changes);
        for change in said {
            let table = self.last_name(change.table());
            let Some((before, after)) = renamed.tables.get(table).zip(self.to.tables.get(table))
            else {
                continue;
            };
            let is_anew = match change {
                Change::RenameConstraint { .. } | Change::AlterColumn { .. } => true,
                Change::AddColumn { column, .. } => !self.is_added_simply(table, after, column),
                Change::DropColumn { column, .. } => !self.is_dropped_simply(before, column),
                Change::Add { part: Part::Index, .. } | Change::Drop { part: Part::Index, .. } => {
                    false
                }
                Change::Add { name, .. } => self.column_with(table, name).is_none(),
                Change::Drop { .. } => true,
                _ => false,
            };
            if is_anew {
                if let Some(other) = before.others.first() {
                    return Err(Error::invalid(format!(
                        "on SQLite, table `{table}` would have to be made anew, and that loses what nobody wrote into it but by hand: {other}"
                    ))
                    .hint("write this step by hand: `hostel migrate new`"));
                }
                anew.insert(table.to_owned());
            }
        }
        Ok(anew)
    }

    /// Makes one of them anew.
    pub(super) fn make_anew(
        &self,
        name: &str,
        renamed: &Layout,
        written: &mut Written,
    ) -> Result<()> {
        let Some((before, after)) = renamed.tables.get(name).zip(self.to.tables.get(name)) else {
            return Ok(());
        };
        let mut new = format!("{name}_new");
        while renamed.tables.contains_key(&new) || self.to.tables.contains_key(&new) {
            new.push('_');
        }
        let (mut columns, mut values, mut comments) = (Vec::new(), Vec::new(), Vec::new());
        for column in after.in_order().map(|(column, _)| column) {
            let value = self.value_anew(name, (before, after), column, &mut comments, written)?;
            // What gets no value gets its default.
            if let Some(value) = value {
                columns.push(column.clone());
                values.push(value);
            }
        }
        written.say_with(
            format!("SQLite changes `{name}` by making it anew."),
            create_table(&new, after, &BTreeSet::new()),
        );
        let insert = format!(
            "INSERT INTO {} ({})\nSELECT {}\nFROM {}",
            quoted(&new),
            list(&columns),
            values.join(", "),
            quoted(name)
        );
        match comments.is_empty() {
            true => written.say(insert),
            false => written.say_with(comments.join("\n-- "), insert),
        }
        written.say(format!("DROP TABLE {}", quoted(name)));
        written.say(format!("ALTER TABLE {} RENAME TO {}", quoted(&new), quoted(name)));
        let indexes = after.indexes.keys();
        let indexes = indexes.filter_map(|index| create_index(name, index, after));
        indexes.for_each(|statement| written.say(statement));
        Ok(())
    }

    /// What rows have in a column of the new table; none for its default.
    fn value_anew(
        &self,
        table: &str,
        (before, after): (&TableLayout, &TableLayout),
        name: &str,
        comments: &mut Vec<String>,
        written: &mut Written,
    ) -> Result<Option<String>> {
        let Some(new) = after.columns.get(name) else { return Ok(None) };
        let Some(old) = before.columns.get(name) else {
            let value = self.value_for_rows(table, after, name);
            let said = value.iter();
            comments.extend(said.map(|it| format!("Rows that are there get {it} in `{name}`.")));
            return Ok(value);
        };
        let value = match old.kind == new.kind {
            true => Some(quoted(name)),
            false => self.converted(table, name, &old.kind, &new.kind, written)?,
        };
        let Some(value) = value else {
            comments.push(format!("What is in `{name}` is lost."));
            return Ok(self.value_for_rows(table, after, name));
        };
        if !old.is_nullable || new.is_nullable {
            return Ok(Some(value));
        }
        let Some(empty) = self.value_for_empty(table, name, new, written) else {
            return Ok(Some(value));
        };
        comments.push(format!("Rows that have nothing in `{name}` get {empty}."));
        Ok(Some(format!("coalesce({value}, {empty})")))
    }
}
