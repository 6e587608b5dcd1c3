//! What the tables of a schema are. Their owner asks, of the catalogue alone; how expressions are
//! written, the server says itself.

use serde::de::DeserializeOwned;

use super::{
    ColumnLayout, Expression, IndexLayout, Layout, ReferenceLayout, TableLayout, canonical_type,
    on_delete,
};
use crate::database::postgres::{Connection, Row};
use crate::database::units::Failure;
use crate::database::words::quoted;
use crate::error::{Error, Result};

/// Tables of modules are their owner's; those of the host belong to somebody else.
const COLUMNS: &str = "
    SELECT c.relname::pg_catalog.text, a.attname::pg_catalog.text,
           pg_catalog.format_type(a.atttypid, a.atttypmod),
           a.attnotnull::pg_catalog.text,
           pg_catalog.pg_get_expr(d.adbin, d.adrelid),
           (a.attidentity <> '' OR a.attgenerated <> '')::pg_catalog.text
    FROM pg_catalog.pg_class c
    LEFT JOIN pg_catalog.pg_attribute a
        ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = $1::pg_catalog.text::pg_catalog.regnamespace AND c.relkind IN ('r', 'p')
      AND pg_catalog.pg_get_userbyid(c.relowner) = current_user
    ORDER BY c.relname, a.attnum";
const CONSTRAINTS: &str = "
    SELECT c.relname::pg_catalog.text, k.conname::pg_catalog.text, k.contype::pg_catalog.text,
           (SELECT pg_catalog.json_agg(a.attname ORDER BY u.place)
            FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY u (number, place)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number
           )::pg_catalog.text,
           t.relname::pg_catalog.text,
           (SELECT pg_catalog.json_agg(a.attname ORDER BY u.place)
            FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY u (number, place)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number
           )::pg_catalog.text,
           k.confdeltype::pg_catalog.text,
           pg_catalog.pg_get_expr(k.conbin, k.conrelid),
           (k.condeferrable OR (k.contype = 'f' AND k.confupdtype <> 'a'))::pg_catalog.text
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
    LEFT JOIN pg_catalog.pg_class t ON t.oid = k.confrelid
    WHERE c.relnamespace = $1::pg_catalog.text::pg_catalog.regnamespace AND k.contype IN ('p', 'u', 'f', 'c')
    ORDER BY k.conname";
const INDEXES: &str = "
    SELECT t.relname::pg_catalog.text, c.relname::pg_catalog.text, i.indisunique::pg_catalog.text,
           (SELECT pg_catalog.json_agg(a.attname ORDER BY u.place)
            FROM pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY u (number, place)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.number
           )::pg_catalog.text,
           (i.indexprs IS NULL AND i.indpred IS NULL AND i.indnkeyatts = i.indnatts
            AND m.amname = 'btree'
            AND NOT EXISTS (SELECT 1 FROM pg_catalog.unnest(i.indoption::pg_catalog.int2[]) o
                            WHERE o <> 0)
            AND NOT EXISTS (SELECT 1 FROM pg_catalog.unnest(i.indclass::pg_catalog.oid[]) o
                            JOIN pg_catalog.pg_opclass p ON p.oid = o WHERE NOT p.opcdefault)
           )::pg_catalog.text,
           pg_catalog.pg_get_indexdef(i.indexrelid)
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
    JOIN pg_catalog.pg_am m ON m.oid = c.relam
    WHERE t.relnamespace = $1::pg_catalog.text::pg_catalog.regnamespace
      AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k
                      WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
    ORDER BY c.relname";
/// The table that is made to see how the server writes expressions. Nobody else sees it.
const SAMPLE: &str = "generate_sample";

impl Connection {
    /// What the unit's tables are. It is the owner of tables who asks.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn layout(&mut self) -> Result<Layout> {
        let mut layout = Layout::default();
        for row in self.ask_of_schema(COLUMNS).await? {
            let table = layout.tables.entry(text(&row, 0)?).or_default();
            let name = text(&row, 1)?;
            // A table may have no columns.
            if name.is_empty() {
                continue;
            }
            let default = text(&row, 4)?;
            let is_numbered = default.starts_with("nextval(");
            table.order.0.push(name.clone());
            table.columns.insert(
                name,
                ColumnLayout {
                    kind: canonical_type(&text(&row, 2)?),
                    is_nullable: text(&row, 3)? == "false",
                    is_computed: is_numbered || text(&row, 5)? == "true",
                    default: (!default.is_empty() && !is_numbered)
                        .then(|| Expression::new(default)),
                },
            );
        }
        for row in self.ask_of_schema(CONSTRAINTS).await? {
            let table = text(&row, 0)?;
            if let Some(table) = layout.tables.get_mut(&table) {
                add_constraint(table, &row)?;
            }
        }
        for row in self.ask_of_schema(INDEXES).await? {
            let (table, name) = (text(&row, 0)?, text(&row, 1)?);
            if let Some(table) = layout.tables.get_mut(&table) {
                let is_plain = text(&row, 4)? == "true";
                // Whoever makes it again is in another schema.
                let statement = text(&row, 5)?.replace(&format!(" ON {}.", self.schema), " ON ");
                let index = IndexLayout {
                    columns: list(&row, 3)?,
                    is_unique: text(&row, 2)? == "true",
                    statement: (!is_plain).then_some(statement),
                };
                table.indexes.insert(name, index);
            }
        }
        Ok(layout)
    }

    /// Has the server write the expressions of a table in its own way: in a transaction that is undone.
    ///
    /// # Errors
    /// When the server refuses one of them.
    pub(crate) async fn written_by_server(
        &mut self,
        name: &str,
        table: &mut TableLayout,
    ) -> Result<()> {
        let column = |(name, column): (&String, &ColumnLayout)| {
            let default = column.default.iter().map(|it| format!(" DEFAULT {}", it.sql));
            format!("{} {}{}", quoted(name), column.kind, default.collect::<String>())
        };
        let mut parts: Vec<String> = table.in_order().map(column).collect();
        let checks = table.checks.iter();
        parts.extend(
            checks.map(|(name, it)| format!("CONSTRAINT {} CHECK ({})", quoted(name), it.sql)),
        );
        let statement = format!("CREATE TABLE {}.{SAMPLE} ({})", self.schema, parts.join(", "));
        let made = self.say_once(&statement).await;
        made.map_err(|failure| refused(name, failure))?;
        let mut written = self.layout().await?;
        self.say_once(&format!("DROP TABLE {}.{SAMPLE}", self.schema))
            .await
            .map_err(|failure| refused(name, failure))?;
        let Some(sample) = written.tables.remove(SAMPLE) else {
            return Err(Error::internal("a table that was made is not there"));
        };
        for (name, column) in &mut table.columns {
            let default = sample.columns.get(name).and_then(|sample| sample.default.as_ref());
            if let (Some(own), Some(written)) = (&column.default, default) {
                column.default = Some(Expression::told_as(&own.sql, &written.sql));
            }
        }
        for (name, check) in &mut table.checks {
            if let Some(written) = sample.checks.get(name) {
                *check = Expression::told_as(&check.sql, &written.sql);
            }
        }
        Ok(())
    }

    async fn ask_of_schema(&mut self, statement: &str) -> Result<Vec<Row>> {
        let schema = self.schema.clone();
        self.asked(statement, &[schema.as_bytes()]).await.map(|(rows, _)| rows)
    }
}

fn refused(table: &str, failure: Failure) -> Error {
    match failure {
        Failure::Server(refusal) => Error::invalid(format!(
            "what the entity of `{table}` says is refused by PostgreSQL: {}",
            refusal.message
        )),
        other => Error::internal("the server does not answer").because(format!("{other:?}")),
    }
}

fn add_constraint(table: &mut TableLayout, row: &Row) -> Result<()> {
    let (name, kind) = (text(row, 1)?, text(row, 2)?);
    let columns = list(row, 3)?;
    if text(row, 8)? == "true" {
        table.others.insert(format!("the constraint `{name}`, which is more than its columns"));
    }
    match kind.as_str() {
        "p" => table.key = columns,
        "u" => drop(table.uniques.insert(name, columns)),
        "f" => {
            let on_delete = on_delete(&text(row, 6)?);
            let (to, to_columns) = (text(row, 4)?, list(row, 5)?);
            let reference = ReferenceLayout { columns, to, to_columns, on_delete };
            table.references.insert(name, reference);
        }
        _ => drop(table.checks.insert(name, Expression::new(text(row, 7)?))),
    }
    Ok(())
}

fn text(row: &Row, index: usize) -> Result<String> {
    let bytes = row.get(index).unwrap_or_default().to_vec();
    String::from_utf8(bytes)
        .map_err(|error| Error::internal("the catalogue holds no text").because(error))
}

fn list<T: DeserializeOwned>(row: &Row, index: usize) -> Result<Vec<T>> {
    let text = text(row, index)?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(&text)
        .map_err(|error| Error::internal("the catalogue holds no list").because(error))
}
