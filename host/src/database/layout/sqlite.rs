//! What the tables of a file are: its schema table and pragmas tell of columns and indexes, and the
//! text of each table of the rest.

use std::collections::BTreeMap;

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::text::{Said, identifiers};
use super::{
    ColumnLayout, Expression, IndexLayout, Layout, ReferenceLayout, TableLayout, canonical_type,
    on_delete, usual_name,
};
use crate::database::units::GuestConnection;
use crate::error::Result;

/// Tables of modules.
const TABLES: &str = r"SELECT name, sql FROM sqlite_schema
    WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name NOT LIKE 'hostel\_%' ESCAPE '\'";
const COLUMNS: &str = r#"SELECT m.name, c.name, c.type, c."notnull", c.dflt_value, c.pk, c.hidden
    FROM sqlite_schema m, pragma_table_xinfo(m.name) c WHERE m.type = 'table' ORDER BY m.name, c.cid"#;
const INDEXES: &str = r#"SELECT m.name, l.name, l."unique", l.origin, l.partial, s.sql, x.name, x."desc", x.coll
    FROM sqlite_schema m, pragma_index_list(m.name) l, pragma_index_xinfo(l.name) x
    LEFT JOIN sqlite_schema s ON s.type = 'index' AND s.name = l.name
    WHERE m.type = 'table' AND x.key ORDER BY m.name, l.name, x.seqno"#;
const REFERENCES: &str = r#"SELECT m.name, f.id, f."table", f."from", f."to", f.on_update, f.on_delete
    FROM sqlite_schema m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table'
    ORDER BY m.name, f.id DESC, f.seq"#;
const TRIGGERS_AND_VIEWS: &str =
    "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE type IN ('trigger', 'view')";

impl GuestConnection {
    /// What the unit's tables are.
    ///
    /// # Errors
    /// When the database does not answer, or the text of a table cannot be read.
    pub(crate) async fn layout(&mut self) -> Result<Layout> {
        let mut tables = BTreeMap::new();
        let mut texts = BTreeMap::new();
        for row in self.ask(TABLES).await? {
            let name: String = row.try_get(0)?;
            texts.insert(name.clone(), Said::of(row.try_get(1)?)?);
            tables.insert(name, TableLayout::default());
        }
        for row in self.ask(COLUMNS).await? {
            if let Some(table) = tables.get_mut(&row.try_get::<String, _>(0)?) {
                add_column(table, &row)?;
            }
        }
        for table in tables.values_mut() {
            // Numbers that count the columns of the key stood there.
            table.key.sort_unstable();
            for name in &mut table.key {
                *name = name.split_off(KEY_DIGITS);
            }
        }
        let mut layout = Layout { tables };
        self.add_references(&mut layout, &texts).await?;
        self.add_indexes(&mut layout, &texts).await?;
        for (name, said) in texts {
            if let Some(table) = layout.tables.get_mut(&name) {
                add_checks(&name, table, said);
            }
        }
        for row in self.ask(TRIGGERS_AND_VIEWS).await? {
            let (kind, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let mentioned = identifiers(row.try_get(3)?);
            for (table, layout) in &mut layout.tables {
                if row.try_get::<&str, _>(2)? == table || mentioned.contains(table) {
                    layout.others.insert(format!("the {kind} `{name}`"));
                }
            }
        }
        Ok(layout)
    }

    async fn ask(&mut self, statement: &'static str) -> Result<Vec<SqliteRow>> {
        self.fetch_as_host(sqlx::query(statement)).await
    }

    async fn add_references(
        &mut self,
        layout: &mut Layout,
        texts: &BTreeMap<String, Said>,
    ) -> Result<()> {
        let mut found: BTreeMap<(String, i64), ReferenceLayout> = BTreeMap::new();
        for row in self.ask(REFERENCES).await? {
            let (name, to): (String, String) = (row.try_get(0)?, row.try_get(2)?);
            let Some(table) = layout.tables.get_mut(&name) else { continue };
            if !row.try_get::<&str, _>(5)?.eq_ignore_ascii_case("NO ACTION") {
                table.others.insert("what happens ON UPDATE".to_owned());
            }
            let entry = found.entry((name, -row.try_get::<i64, _>(1)?));
            let reference = entry.or_insert(ReferenceLayout {
                columns: Vec::new(),
                to,
                to_columns: Vec::new(),
                on_delete: on_delete(row.try_get(6)?),
            });
            reference.columns.push(row.try_get(3)?);
            reference.to_columns.extend(row.try_get::<Option<String>, _>(4)?);
        }
        for ((name, _), mut reference) in found {
            if reference.to_columns.is_empty()
                && let Some(to) = layout.tables.get(&reference.to)
            {
                reference.to_columns.clone_from(&to.key);
            }
            let Some(table) = layout.tables.get_mut(&name) else { continue };
            let said = texts.get(&name).and_then(|said| {
                said.references.iter().find(|(_, columns)| *columns == reference.columns)
            });
            let given = said.and_then(|(name, _)| name.clone());
            let constraint = given
                .unwrap_or_else(|| table.free_name(usual_name(&name, &reference.columns, "fkey")));
            table.references.insert(constraint, reference);
        }
        Ok(())
    }

    async fn add_indexes(
        &mut self,
        layout: &mut Layout,
        texts: &BTreeMap<String, Said>,
    ) -> Result<()> {
        let mut of_constraints: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for row in self.ask(INDEXES).await? {
            let (name, index): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let Some(table) = layout.tables.get_mut(&name) else { continue };
            let column: Option<String> = row.try_get(6)?;
            match row.try_get(3)? {
                "u" => of_constraints.entry((name, index)).or_default().extend(column),
                "pk" => {}
                _ => {
                    let statement: Option<String> = row.try_get(5)?;
                    let entry = table.indexes.entry(index).or_insert(IndexLayout {
                        columns: Vec::new(),
                        is_unique: row.try_get(2)?,
                        statement: None,
                    });
                    let is_plain = column.is_some()
                        && !row.try_get::<bool, _>(4)?
                        && !row.try_get::<bool, _>(7)?
                        && row.try_get::<&str, _>(8)? == "BINARY";
                    if !is_plain {
                        entry.statement = statement;
                    }
                    entry.columns.extend(column);
                }
            }
        }
        for ((name, _), columns) in of_constraints {
            let Some(table) = layout.tables.get_mut(&name) else { continue };
            let said = texts
                .get(&name)
                .and_then(|said| said.uniques.iter().find(|(_, unique)| *unique == columns));
            let given = said.and_then(|(name, _)| name.clone());
            let constraint =
                given.unwrap_or_else(|| table.free_name(usual_name(&name, &columns, "key")));
            table.uniques.insert(constraint, columns);
        }
        Ok(())
    }
}

/// Digits before the names of a key's columns, while they are collected.
const KEY_DIGITS: usize = 5;

fn add_column(table: &mut TableLayout, row: &SqliteRow) -> Result<()> {
    let name: String = row.try_get(1)?;
    let place: i64 = row.try_get(5)?;
    let is_computed = row.try_get::<i64, _>(6)? != 0;
    let default: Option<String> = row.try_get(4)?;
    if place > 0 {
        table.key.push(format!("{place:0KEY_DIGITS$}{name}"));
    }
    if is_computed {
        table.others.insert(format!("the computed column `{name}`"));
    }
    table.order.0.push(name.clone());
    table.columns.insert(
        name,
        ColumnLayout {
            kind: canonical_type(row.try_get(2)?),
            // SQLite alone lets most keys be nothing.
            is_nullable: place == 0 && !row.try_get::<bool, _>(3)?,
            default: default
                .filter(|default| !default.eq_ignore_ascii_case("null"))
                .map(Expression::new),
            is_computed,
        },
    );
    Ok(())
}

fn add_checks(name: &str, table: &mut TableLayout, said: Said) {
    table.others.extend(said.others);
    for (given, sql) in said.checks {
        let constraint = given.unwrap_or_else(|| {
            let mut columns = identifiers(&sql);
            columns.retain(|column| table.columns.contains_key(column));
            columns.sort_unstable();
            columns.dedup();
            // As PostgreSQL does: after the column that it is about, where it is one.
            table.free_name(match columns.as_slice() {
                [column] => usual_name(name, std::slice::from_ref(column), "check"),
                _ => format!("{name}_check"),
            })
        });
        table.checks.insert(constraint, Expression::new(sql));
    }
}
