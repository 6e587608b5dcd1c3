//! Tables, columns and constraints as SQL writes them, in words of both databases.

use std::collections::BTreeSet;

use crate::database::{ColumnLayout, Expression, ReferenceLayout, TableLayout, quoted};

/// Columns as SQL lists them.
pub(super) fn list(columns: &[String]) -> String {
    columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
}

/// A default as it stands behind `DEFAULT`: SQLite wants parentheses around what is more than a value.
pub(super) fn default_sql(default: &Expression) -> String {
    let sql = default.sql.trim();
    if is_value(sql) || sql.starts_with('(') { sql.to_owned() } else { format!("({sql})") }
}

/// Whether it is one value, written out.
pub(super) fn is_value(sql: &str) -> bool {
    let number = sql.strip_prefix(['-', '+']).unwrap_or(sql);
    let is_number = number.starts_with(|it: char| it.is_ascii_digit())
        && number.chars().all(|it| it.is_ascii_alphanumeric() || it == '.');
    let is_text = sql.len() >= 2
        && sql.starts_with('\'')
        && sql.ends_with('\'')
        && !sql[1..sql.len() - 1].replace("''", "").contains('\'');
    is_number || is_text || ["true", "false"].iter().any(|word| sql.eq_ignore_ascii_case(word))
}

/// A column, in a table that is made or changed.
pub(super) fn column_sql(name: &str, column: &ColumnLayout) -> String {
    let default = column.default.iter().map(|it| format!(" DEFAULT {}", default_sql(it)));
    let default: String = default.collect();
    let not_null = if column.is_nullable { "" } else { " NOT NULL" };
    format!("{} {}{default}{not_null}", quoted(name), column.kind)
}

/// What is unique together.
pub(super) fn unique_sql(name: &str, columns: &[String]) -> String {
    format!("CONSTRAINT {} UNIQUE ({})", quoted(name), list(columns))
}

/// What holds for every row.
pub(super) fn check_sql(name: &str, check: &Expression) -> String {
    format!("CONSTRAINT {} CHECK ({})", quoted(name), check.sql)
}

/// What a column of its own refers to.
pub(super) fn references_sql(reference: &ReferenceLayout) -> String {
    let on_delete = match reference.on_delete {
        "" => String::new(),
        action => format!(" ON DELETE {action}"),
    };
    format!("REFERENCES {} ({}){on_delete}", quoted(&reference.to), list(&reference.to_columns))
}

/// What columns refer to.
pub(super) fn reference_sql(name: &str, reference: &ReferenceLayout) -> String {
    format!(
        "CONSTRAINT {} FOREIGN KEY ({}) {}",
        quoted(name),
        list(&reference.columns),
        references_sql(reference)
    )
}

/// A table under some name, without the foreign keys that are added later.
pub(super) fn create_table(name: &str, table: &TableLayout, later: &BTreeSet<&String>) -> String {
    let mut parts: Vec<String> =
        table.in_order().map(|(name, column)| column_sql(name, column)).collect();
    if !table.key.is_empty() {
        parts.push(format!("PRIMARY KEY ({})", list(&table.key)));
    }
    parts.extend(table.uniques.iter().map(|(name, columns)| unique_sql(name, columns)));
    let references = table.references.iter().filter(|(name, _)| !later.contains(name));
    parts.extend(references.map(|(name, reference)| reference_sql(name, reference)));
    parts.extend(table.checks.iter().map(|(name, check)| check_sql(name, check)));
    format!("CREATE TABLE {} (\n    {}\n)", quoted(name), parts.join(",\n    "))
}

/// The statement that makes an index; none where there is none of that name.
pub(super) fn create_index(table: &str, name: &str, layout: &TableLayout) -> Option<String> {
    let index = layout.indexes.get(name)?;
    if let Some(statement) = &index.statement {
        return Some(statement.clone());
    }
    let unique = if index.is_unique { "UNIQUE " } else { "" };
    let columns = list(&index.columns);
    Some(format!("CREATE {unique}INDEX {} ON {} ({columns})", quoted(name), quoted(table)))
}
