//! Tables in SQL, as a first migration needs them.

use super::table::{Check, ColumnInfo, Index, Kind, OnDelete, Table, Unique};

/// An identifier as SQL writes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL writes it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Table {
    /// The statements that make the table, its constraints and its indexes, on both databases: what
    /// an entity's first migration says.
    ///
    /// ```
    /// # use hostel_sdk::prelude::*;
    /// #[derive(Entity)]
    /// #[entity(table = "teas")]
    /// struct Tea {
    ///     #[entity(key)]
    ///     id: Id<Tea>,
    ///     #[entity(unique)]
    ///     name: Line<100>,
    ///     #[entity(index, default = "0", check = "stars >= 0")]
    ///     stars: i32,
    /// }
    ///
    /// assert_eq!(
    ///     Tea::TABLE.create(),
    ///     r#"CREATE TABLE "teas" (
    ///     "id" uuid NOT NULL,
    ///     "name" text NOT NULL,
    ///     "stars" integer DEFAULT 0 NOT NULL,
    ///     PRIMARY KEY ("id"),
    ///     CONSTRAINT "teas_name_key" UNIQUE ("name"),
    ///     CONSTRAINT "teas_stars_check" CHECK (stars >= 0)
    /// );
    /// CREATE INDEX "teas_stars_idx" ON "teas" ("stars");
    /// "#
    /// );
    /// ```
    #[must_use]
    pub fn create(&self) -> String {
        let table = quoted(self.name);
        let mut parts: Vec<String> = self.columns.iter().map(column).collect();
        parts.push(format!("PRIMARY KEY ({})", list(self.key)));
        parts.extend(self.uniques.iter().map(|Unique { name, columns }| {
            format!("CONSTRAINT {} UNIQUE ({})", quoted(name), list(columns))
        }));
        parts.extend(self.references.iter().map(|reference| {
            let to = (reference.to)();
            format!(
                "CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}){}",
                quoted(reference.name),
                quoted(reference.column),
                quoted(to.name),
                list(to.key),
                match reference.on_delete {
                    OnDelete::Refuse => "",
                    OnDelete::Cascade => " ON DELETE CASCADE",
                    OnDelete::SetNull => " ON DELETE SET NULL",
                }
            )
        }));
        let checks = self.checks.iter().map(|Check { name, sql, .. }| (*name, (*sql).to_owned()));
        let kept = self.columns.iter().filter_map(|column| self.kept(column));
        let checks: Vec<_> = checks.map(|(name, sql)| (name.to_owned(), sql)).chain(kept).collect();
        parts.extend(
            checks.iter().map(|(name, sql)| format!("CONSTRAINT {} CHECK ({sql})", quoted(name))),
        );
        let mut text = format!("CREATE TABLE {table} (\n    {}\n);\n", parts.join(",\n    "));
        for Index { name, columns } in self.indexes {
            text += &format!("CREATE INDEX {} ON {table} ({});\n", quoted(name), list(columns));
        }
        text
    }

    /// What the type of a column says that SQL's does not.
    fn kept(&self, column: &ColumnInfo) -> Option<(String, String)> {
        let Kind::Enum(names) = column.kind else { return None };
        let names: Vec<_> = names.iter().map(|name| literal(name)).collect();
        let name = format!("{}_{}_one_of", self.name, column.name);
        Some((name, format!("{} IN ({})", quoted(column.name), names.join(", "))))
    }
}

fn column(column: &ColumnInfo) -> String {
    let default = column.default.map(|sql| format!(" DEFAULT {sql}")).unwrap_or_default();
    let not_null = if column.is_nullable { "" } else { " NOT NULL" };
    format!("{} {}{default}{not_null}", quoted(column.name), column.kind.sql())
}

fn list(columns: &[&str]) -> String {
    columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
}
