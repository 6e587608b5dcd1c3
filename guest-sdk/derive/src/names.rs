//! Which names a database can bear without quotes, so that whoever writes SQL by hand needs none.

use proc_macro2::Span;
use syn::{Error, Result};

/// PostgreSQL cuts longer names off, and then two may be one.
const NAME_MAX_BYTES: usize = 63;

/// What PostgreSQL or SQLite takes for something else than a name. Sorted.
const KEYWORDS: &[&str] = &[
    "add",
    "all",
    "alter",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "autoincrement",
    "between",
    "binary",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "collation",
    "column",
    "commit",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "delete",
    "desc",
    "distinct",
    "do",
    "drop",
    "else",
    "end",
    "escape",
    "except",
    "exists",
    "false",
    "fetch",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "ilike",
    "in",
    "index",
    "initially",
    "inner",
    "insert",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "natural",
    "not",
    "nothing",
    "notnull",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "overlaps",
    "placing",
    "primary",
    "references",
    "returning",
    "right",
    "select",
    "session_user",
    "set",
    "similar",
    "some",
    "symmetric",
    "system_user",
    "table",
    "tablesample",
    "then",
    "to",
    "trailing",
    "transaction",
    "true",
    "union",
    "unique",
    "update",
    "user",
    "using",
    "values",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
];

/// Columns that a table has of itself.
const SYSTEM_COLUMNS: &[&str] =
    &["_rowid_", "cmax", "cmin", "ctid", "oid", "rowid", "tableoid", "xmax", "xmin"];

/// Beginnings of names that the databases and the host keep for themselves.
const RESERVED: &[&str] = &[
    "bytecode",
    "completion",
    "dbstat",
    "generate_series",
    "hostel_",
    "pragma_",
    "sqlite_",
    "tables_used",
];

/// Makes sure that a table can bear this name.
pub(crate) fn check_table(name: &str, span: Span) -> Result<()> {
    check(name, span, "table")?;
    match RESERVED.iter().find(|prefix| name.starts_with(**prefix)) {
        Some(prefix) => Err(Error::new(
            span,
            format!("tables cannot be called `{prefix}…`, as `{name}` is: these names are taken"),
        )),
        None => Ok(()),
    }
}

/// Makes sure that a column can bear this name.
pub(crate) fn check_column(name: &str, span: Span) -> Result<()> {
    check(name, span, "column")?;
    if SYSTEM_COLUMNS.contains(&name) {
        return Err(Error::new(
            span,
            format!(
                "every table has a `{name}` already: say `#[entity(column = \"another_name\")]`"
            ),
        ));
    }
    Ok(())
}

/// Makes sure that an index or a constraint can bear this name.
pub(crate) fn check_constraint(name: &str, span: Span) -> Result<()> {
    check(name, span, "constraint")
}

fn check(name: &str, span: Span, what: &str) -> Result<()> {
    let is_fine = |(at, it): (usize, char)| {
        it == '_' || it.is_ascii_lowercase() || (at > 0 && it.is_ascii_digit())
    };
    let wrong = if name.is_empty() || !name.chars().enumerate().all(is_fine) {
        format!(
            "`{name}` is no name for a {what}: lower-case letters, digits and `_`, no digit first"
        )
    } else if name.len() > NAME_MAX_BYTES {
        format!("`{name}` has {} bytes, and a {what}'s name at most {NAME_MAX_BYTES}", name.len())
    } else if KEYWORDS.binary_search(&name).is_ok() {
        let way_out = match what {
            "column" => "say `#[entity(column = \"another_name\")]`",
            _ => "call it something else",
        };
        format!("`{name}` is a keyword of SQL, and no {what} can be called so: {way_out}")
    } else {
        return Ok(());
    };
    Err(Error::new(span, wrong))
}

/// An identifier as SQL writes it. Names are checked, so there is no quote in them.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keywords_are_sorted_so_that_all_are_found() {
        assert!(KEYWORDS.is_sorted());
    }

    #[test]
    fn names_that_would_need_quotes_or_are_taken_are_refused() {
        let table = |name: &str| check_table(name, Span::call_site()).is_ok();
        let column = |name: &str| check_column(name, Span::call_site()).is_ok();
        for good in ["notes", "a", "_a1", &"a".repeat(63)] {
            assert!(table(good) && column(good), "{good}");
        }
        for bad in ["", "1a", "Notes", "a-b", "größe", "a b", "a\"", "order", &"a".repeat(64)] {
            assert!(!table(bad) && !column(bad), "{bad}");
        }
        for taken in ["hostel_migrations", "sqlite_master", "dbstat"] {
            assert!(!table(taken) && column(taken), "{taken}");
        }
        assert!(!column("rowid") && table("rowid"));
    }
}
