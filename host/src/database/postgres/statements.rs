//! Which statements guests may send, by their first words.
//!
//! The wall is what a unit's role may do, and that one message of the extended protocol holds one
//! statement. This keeps out what a role cannot be denied: the end of the host's transaction,
//! settings of the session, a password of one's own. The text that is sent begins with the word that
//! was checked, so that nobody can read it in two ways.

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::database::guard::HOST_TABLE_PREFIX;
use crate::database::words::{is_space, offset};
use crate::error::{Error, ErrorKind, Result};

/// First words of what works with rows.
const ROWS: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES", "TABLE"];

/// What migrations may make, change and remove.
const OBJECTS: &[&str] = &["TABLE", "INDEX", "VIEW", "MATERIALIZED", "SEQUENCE", "TYPE", "DOMAIN"];

/// A guest's statement on rows, from its first word on.
///
/// # Errors
/// `denied` when it is something else.
pub(super) fn on_rows(text: &str) -> Result<&str> {
    let statement = text.trim_ascii_start();
    let word = first_word(statement);
    if is_one_of(word, ROWS) {
        return Ok(statement);
    }
    // Comments come first, or it is none of these.
    let tokens = tokens(text)?;
    let Some(first) = tokens.iter().find(|token| !is_space(&token.token)) else {
        return Err(Error::invalid("the statement is empty"));
    };
    let statement = &text[offset(text, first.span.start)..];
    if is_one_of(first_word(statement), ROWS) {
        return Ok(statement);
    }
    Err(refused(first_word(statement)))
}

/// Whether a statement on rows may make a unit larger: what deletes and what reads may not.
pub(super) fn may_grow(text: &str) -> bool {
    on_rows(text).is_ok_and(|statement| {
        !is_one_of(first_word(statement), &["SELECT", "DELETE", "VALUES", "TABLE"])
    })
}

/// The statements of a migration's script, each from its first word on.
///
/// # Errors
/// `denied` for one that migrations may not use.
pub(crate) fn of_migration(script: &str) -> Result<Vec<&str>> {
    let tokens = tokens(script)?;
    let mut statements = Vec::new();
    for part in tokens.split(|token| token.token == Token::SemiColon) {
        let mut words = part.iter().filter(|token| !is_space(&token.token));
        let Some(first) = words.next() else { continue };
        let start = offset(script, first.span.start);
        let end = part.last().map_or(script.len(), |last| offset(script, last.span.end));
        let statement = script[start..end].trim_ascii_end();
        let words: Vec<String> = std::iter::once(first)
            .chain(words.take(5))
            .map(|token| match &token.token {
                Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
                _ => String::new(),
            })
            .collect();
        if !is_migration(&words) {
            return Err(refused(&words.join(" ")));
        }
        statements.push(statement);
    }
    Ok(statements)
}

/// A statement that builds or removes an index while others write. No transaction may be around it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Concurrent<'s> {
    pub(super) text: &'s str,
    /// The index, as the catalogue has its name.
    pub(super) index: String,
    pub(super) removes: bool,
}

/// The statements of a script that works while others write; none of any other script.
///
/// # Errors
/// As for [`of_migration`], and `invalid` for one that holds other statements, too.
pub(super) fn concurrent(script: &str) -> Result<Option<Vec<Concurrent<'_>>>> {
    let statements = of_migration(script)?;
    let mut found = Vec::new();
    for text in &statements {
        found.extend(as_concurrent(text)?);
    }
    if found.is_empty() {
        return Ok(None);
    }
    if found.len() < statements.len() {
        return Err(Error::invalid(
            "what is done CONCURRENTLY is done outside of a transaction: put it into a migration that does nothing else",
        ));
    }
    Ok(Some(found))
}

/// Whether nothing but indexes is built or removed, while others write.
///
/// # Errors
/// As for [`concurrent`].
pub(crate) fn is_concurrent(script: &str) -> Result<bool> {
    Ok(concurrent(script)?.is_some())
}

fn as_concurrent(text: &str) -> Result<Option<Concurrent<'_>>> {
    let tokens = tokens(text)?;
    let mut words =
        tokens.iter().map(|token| &token.token).filter(|token| !is_space(token)).peekable();
    let is = |token: &Token, expected: &[&str]| match token {
        Token::Word(word) => word.quote_style.is_none() && is_one_of(&word.value, expected),
        _ => false,
    };
    let removes = first_word(text).eq_ignore_ascii_case("DROP");
    if words.next_if(|token| is(token, &["CREATE", "DROP"])).is_none() {
        return Ok(None);
    }
    words.next_if(|token| is(token, &["UNIQUE"]));
    for expected in ["INDEX", "CONCURRENTLY"] {
        if words.next_if(|token| is(token, &[expected])).is_none() {
            return Ok(None);
        }
    }
    while words.next_if(|token| is(token, &["IF", "NOT", "EXISTS"])).is_some() {}
    let index = match words.next() {
        Some(Token::Word(word)) if word.quote_style.is_some() => word.value.clone(),
        Some(Token::Word(word)) if !is_one_of(&word.value, &["ON"]) => word.value.to_lowercase(),
        _ => return Err(Error::invalid("an index that is built CONCURRENTLY needs a name")),
    };
    let is_alone = match words.next() {
        None => removes,
        Some(token) => !removes && is(token, &["ON"]),
    };
    if !is_alone {
        return Err(Error::invalid(format!(
            "`{index}`: name one index in each statement that works CONCURRENTLY, by its own name alone"
        )));
    }
    if index.starts_with(HOST_TABLE_PREFIX) {
        let what =
            format!("`{index}`: names that begin with `{HOST_TABLE_PREFIX}` are the platform's");
        return Err(Error::new(ErrorKind::Denied, "statement-refused", what));
    }
    Ok(Some(Concurrent { text, index, removes }))
}

/// Whether a migration's script may make a unit larger.
///
/// # Errors
/// As for [`of_migration`].
pub(super) fn migration_may_grow(script: &str) -> Result<bool> {
    const GROWING: &[&str] = &["CREATE", "REFRESH", "INSERT", "UPDATE", "MERGE", "WITH"];
    let statements = of_migration(script)?;
    Ok(statements.into_iter().any(|statement| is_one_of(first_word(statement), GROWING)))
}

fn is_migration(words: &[String]) -> bool {
    let mut words = words.iter().map(String::as_str);
    let first = words.next().unwrap_or_default();
    match first {
        "CREATE" => {
            let object = words.find(|word| !["OR", "REPLACE", "UNIQUE", "UNLOGGED"].contains(word));
            OBJECTS.contains(&object.unwrap_or_default())
        }
        "ALTER" | "DROP" => OBJECTS.contains(&words.next().unwrap_or_default()),
        "COMMENT" => words.next() == Some("ON"),
        "REFRESH" | "TRUNCATE" => true,
        _ => ROWS.contains(&first),
    }
}

fn tokens(text: &str) -> Result<Vec<TokenWithSpan>> {
    Tokenizer::new(&PostgreSqlDialect {}, text)
        .tokenize_with_location()
        .map_err(|error| Error::invalid(error.to_string()))
}

fn first_word(statement: &str) -> &str {
    let end = statement
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c.is_ascii())
        .unwrap_or(statement.len());
    &statement[..end]
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|one| word.eq_ignore_ascii_case(one))
}

fn refused(words: &str) -> Error {
    let words: String = words.trim().chars().take(60).collect();
    Error::new(
        ErrorKind::Denied,
        "statement-refused",
        format!(
            "a statement that begins with `{words}` uses what modules may not (transactions, settings, roles, COPY, LISTEN and the like)"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_begins_with_the_word_that_was_checked() {
        assert_eq!(on_rows(" \n select 1").unwrap(), "select 1");
        assert_eq!(
            on_rows("-- why\n/* a /* b */ c */ WITH x AS (SELECT 1) TABLE x").unwrap(),
            "WITH x AS (SELECT 1) TABLE x"
        );
        for refused in [
            "COMMIT",
            "commit;",
            "/**/ROLLBACK",
            "-- \nSET ROLE x",
            "begin",
            "\u{feff}SELECT 1",
            "(SELECT 1)",
            "selection",
            "SELECTé 1",
            "EXPLAIN SELECT 1",
            "COPY t TO PROGRAM 'x'",
            "DO $$ $$",
            "",
            "--",
            "LISTEN x",
            "\"select\" 1",
            "U&\"select\" 1",
            "\u{b}COMMIT",
        ] {
            assert!(on_rows(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_script_is_cut_where_its_statements_end() {
        let script = "-- first; not yet\nCREATE TABLE é (a text DEFAULT ';', b text DEFAULT $x$;$x$);\n\nCREATE UNIQUE INDEX i ON é (a) -- by; a\n; insert into é values ('é;', E'\\';') ;";
        let statements = of_migration(script).unwrap();
        assert_eq!(statements.len(), 3, "{statements:?}");
        assert_eq!(statements[0], "CREATE TABLE é (a text DEFAULT ';', b text DEFAULT $x$;$x$)");
        assert!(statements[2].starts_with("insert into é"), "{statements:?}");
    }

    #[test]
    fn what_works_while_others_write_is_told_from_the_rest() {
        let found = |script: &str| {
            let found = concurrent(script).unwrap().unwrap_or_default();
            found.into_iter().map(|it| (it.index, it.removes)).collect::<Vec<_>>()
        };
        let own = |index: &str| (index.to_owned(), false);
        let removed = |index: &str| (index.to_owned(), true);
        assert_eq!(found("CREATE INDEX CONCURRENTLY By_Name ON t (a)"), [own("by_name")]);
        assert_eq!(
            found("create unique index concurrently if not exists \"If\" on t (a);"),
            [own("If")]
        );
        assert_eq!(
            found("-- two\nDROP INDEX CONCURRENTLY a; DROP INDEX CONCURRENTLY IF EXISTS b"),
            [removed("a"), removed("b")]
        );
        for other in [
            "CREATE INDEX i ON t (a)",
            "CREATE TABLE concurrently (a int)",
            "DROP INDEX i",
            "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
            "",
        ] {
            assert_eq!(concurrent(other).unwrap(), None, "{other}");
        }
        for refused in [
            "CREATE INDEX CONCURRENTLY i ON t (a); CREATE TABLE u (a int)",
            "CREATE INDEX CONCURRENTLY ON t (a)",
            "DROP INDEX CONCURRENTLY a, b",
            "DROP INDEX CONCURRENTLY s.a",
            "CREATE INDEX CONCURRENTLY hostel_i ON t (a)",
        ] {
            assert!(concurrent(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn migrations_change_tables_and_nothing_else() {
        for refused in [
            "COMMIT",
            "CREATE TABLE a (b int); COMMIT; DROP TABLE a",
            "ALTER ROLE x PASSWORD 'y'",
            "ALTER USER CURRENT_USER PASSWORD 'y'",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "DO $$ BEGIN END $$",
            "SET search_path = x",
            "GRANT ALL ON t TO PUBLIC",
            "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC",
            "CREATE EXTENSION x",
            "CREATE RULE r AS ON SELECT TO t DO INSTEAD NOTHING",
            "CREATE TEMP TABLE t (a int)",
            "CREATE \"TABLE\" x",
            "VACUUM",
            "CREATE EVENT TRIGGER x",
            "DROP OWNED BY CURRENT_USER",
            "CREATE SCHEMA x",
            "CREATE UNIQUE RULE x",
            "LOCK TABLE x",
            "CREATE SERVER x",
            "CREATE POLICY p ON t",
        ] {
            assert!(of_migration(refused).is_err(), "{refused}");
        }
    }
}
