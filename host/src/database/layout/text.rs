//! SQL as a text: expressions that are compared by their words, names that are given, and what a
//! `CREATE TABLE` says that SQLite tells in no other way.

use sqlparser::dialect::SQLiteDialect;
use sqlparser::tokenizer::{Token, Tokenizer, Word};

use crate::database::words::{is_space, offset, quoted};
use crate::error::{Error, Result};

/// An expression. Two are the same when they have the same words, or the database says so.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    /// As it is written.
    pub(crate) sql: String,
    /// What it is compared by.
    same: String,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.same == other.same
    }
}

impl Expression {
    /// By its words.
    pub(crate) fn new(sql: impl Into<String>) -> Self {
        let sql = sql.into();
        Self { same: words_of(&sql), sql }
    }

    /// As a database writes what it was told as `sql`.
    pub(crate) fn told_as(sql: &str, written: &str) -> Self {
        Self { sql: sql.to_owned(), same: words_of(written) }
    }

    /// With other names for some of those in it.
    pub(crate) fn renamed(&self, renamed: &dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            sql: renamed_identifiers(&self.sql, renamed),
            same: words_of(&renamed_identifiers(&self.same, renamed)),
        }
    }
}

/// A text as SQL writes it.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A token, and where it stands.
struct Piece {
    token: Token,
    start: usize,
    end: usize,
}

impl Piece {
    fn is(&self, word: &str) -> bool {
        is_word(&self.token, word)
    }
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(it) if it.quote_style.is_none() && it.value.eq_ignore_ascii_case(word))
}

fn is_code(token: &Token) -> bool {
    !is_space(token) && *token != Token::EOF
}

fn pieces(sql: &str) -> Result<Vec<Piece>> {
    let tokens = Tokenizer::new(&SQLiteDialect {}, sql)
        .tokenize_with_location()
        .map_err(|error| Error::invalid(format!("`{sql}` cannot be read: {error}")))?;
    let tokens = tokens.into_iter().filter(|it| is_code(&it.token));
    Ok(tokens
        .map(|it| Piece {
            start: offset(sql, it.span.start),
            end: offset(sql, it.span.end),
            token: it.token,
        })
        .collect())
}

/// A name as the database knows it.
fn name_of(word: &Word) -> String {
    match word.quote_style {
        Some(_) => word.value.clone(),
        None => word.value.to_lowercase(),
    }
}

/// The words of an expression, without what makes no difference.
fn words_of(sql: &str) -> String {
    let Ok(pieces) = pieces(sql) else { return sql.trim().to_owned() };
    let mut pieces = pieces.as_slice();
    while let [first, inner @ .., last] = pieces
        && first.token == Token::LParen
        && last.token == Token::RParen
        && closes(pieces, 0) == Some(pieces.len() - 1)
    {
        pieces = inner;
    }
    let word = |piece: &Piece| match &piece.token {
        Token::Word(word) if is_plain(&name_of(word)) => name_of(word),
        Token::Word(word) => quoted(&name_of(word)),
        other => other.to_string(),
    };
    pieces.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn is_plain(name: &str) -> bool {
    name.bytes().all(|it| it == b'_' || it.is_ascii_lowercase() || it.is_ascii_digit())
}

/// Where the parenthesis that opens at `open` is closed.
fn closes(pieces: &[Piece], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, piece) in pieces.iter().enumerate().skip(open) {
        match piece.token {
            Token::LParen => depth += 1,
            Token::RParen => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// All names in an expression, and words that are none.
pub(crate) fn identifiers(sql: &str) -> Vec<String> {
    let pieces = pieces(sql).unwrap_or_default();
    let names = pieces.iter().filter_map(|piece| match &piece.token {
        Token::Word(word) => Some(name_of(word)),
        _ => None,
    });
    names.collect()
}

/// The first text that is written in an expression.
pub(crate) fn first_text(sql: &str) -> Option<String> {
    pieces(sql).ok()?.into_iter().find_map(|piece| match piece.token {
        Token::SingleQuotedString(text) => Some(text),
        _ => None,
    })
}

/// An expression with other names for some of those in it.
pub(crate) fn renamed_identifiers(sql: &str, renamed: &dyn Fn(&str) -> Option<String>) -> String {
    let Ok(pieces) = pieces(sql) else { return sql.to_owned() };
    let mut text = String::with_capacity(sql.len());
    let mut kept = 0;
    for piece in &pieces {
        if let Token::Word(word) = &piece.token
            && let Some(new) = renamed(&name_of(word))
        {
            text.push_str(&sql[kept..piece.start]);
            text.push_str(&if is_plain(&new) && word.quote_style.is_none() {
                new
            } else {
                quoted(&new)
            });
            kept = piece.end;
        }
    }
    text.push_str(&sql[kept..]);
    text
}

/// Whether a script for SQLite takes a table away and gives another one its name: so tables are
/// changed there in ways that `ALTER TABLE` does not know.
pub(crate) fn is_anew(script: &str) -> bool {
    // A script may be long: where its words stand is not looked for.
    let Ok(mut tokens) = Tokenizer::new(&SQLiteDialect {}, script).tokenize() else { return false };
    tokens.retain(is_code);
    let (mut gone, mut named) = (Vec::new(), Vec::new());
    for statement in tokens.split(|token| *token == Token::SemiColon) {
        let starts = |words: &[&str]| {
            statement.len() > words.len()
                && statement.iter().zip(words).all(|(token, word)| is_word(token, word))
        };
        let last = statement.last().and_then(|token| match token {
            Token::Word(word) => Some(word.value.to_lowercase()),
            // What quotes may hold a name.
            Token::SingleQuotedString(name) => Some(name.to_lowercase()),
            _ => None,
        });
        if starts(&["DROP", "TABLE"]) {
            gone.extend(last);
        } else if starts(&["ALTER", "TABLE"])
            && let [.., rename, to, _] = statement
            && is_word(rename, "RENAME")
            && is_word(to, "TO")
        {
            named.extend(last);
        }
    }
    gone.iter().any(|name| named.contains(name))
}

/// What only the text of a `CREATE TABLE` says.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Constraints' names, where they have any, and their conditions.
    pub(super) checks: Vec<(Option<String>, String)>,
    /// And their columns.
    pub(super) uniques: Vec<(Option<String>, Vec<String>)>,
    pub(super) references: Vec<(Option<String>, Vec<String>)>,
    /// What is not said in other words.
    pub(super) others: Vec<String>,
}

/// Words that change what a table or a column is, in ways that nothing else tells.
const OTHERS: &[&str] = &[
    "COLLATE",
    "AUTOINCREMENT",
    "DEFERRABLE",
    "CONFLICT",
    "STRICT",
    "ROWID",
    "GENERATED",
    "MATCH",
];
/// Constraints of a table begin with these, and columns with their names.
const OF_TABLES: &[&str] = &["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"];

impl Said {
    /// # Errors
    /// When it cannot be read.
    pub(super) fn of(sql: &str) -> Result<Self> {
        let pieces = pieces(sql)?;
        let unread = || Error::invalid(format!("`{sql}` cannot be read"));
        let open = pieces.iter().position(|piece| piece.token == Token::LParen);
        let open = open.ok_or_else(unread)?;
        let close = closes(&pieces, open).ok_or_else(unread)?;
        let mut said = Self::default();
        let words = pieces[close + 1..].iter();
        said.others.extend(words.filter_map(other));
        let mut rest = &pieces[open + 1..close];
        while !rest.is_empty() {
            let (mut at, mut depth) = (0, 0_usize);
            while at < rest.len() && (depth > 0 || rest[at].token != Token::Comma) {
                match rest[at].token {
                    Token::LParen => depth += 1,
                    Token::RParen => depth = depth.saturating_sub(1),
                    _ => {}
                }
                at += 1;
            }
            said.part(sql, &rest[..at]);
            rest = rest.get(at + 1..).unwrap_or_default();
        }
        Ok(said)
    }

    /// A column, or a constraint of the table.
    fn part(&mut self, sql: &str, part: &[Piece]) {
        let is_of_table = part.first().is_some_and(|it| OF_TABLES.iter().any(|word| it.is(word)));
        let column = match part.first() {
            Some(first) if !is_of_table => name_at(first),
            _ => None,
        };
        let mut at = usize::from(!is_of_table);
        let mut name = None;
        while let Some(piece) = part.get(at) {
            let list = || names(part, at + 1);
            let columns = || column.clone().map_or_else(list, |column| vec![column]);
            if piece.is("CONSTRAINT") {
                name = part.get(at + 1).and_then(name_at);
                at += 1;
            } else if piece.is("CHECK") {
                if let Some(close) = closes(part, at + 1) {
                    let text = &sql[part[at + 1].end..part[close].start];
                    self.checks.push((name.take(), text.trim().to_owned()));
                }
            } else if piece.is("UNIQUE") {
                self.uniques.push((name.take(), columns()));
            } else if piece.is("FOREIGN") {
                self.references.push((name.take(), names(part, at + 2)));
            } else if piece.is("REFERENCES") && column.is_some() {
                self.references.push((name.take(), columns()));
            } else if piece.is("PRIMARY") {
                name = None;
            }
            self.others.extend(other(piece));
            // What is inside parentheses was read.
            at = match part.get(at + 1) {
                Some(next) if next.token == Token::LParen => {
                    closes(part, at + 1).map_or(part.len(), |close| close + 1)
                }
                _ => at + 1,
            };
        }
    }
}

fn other(piece: &Piece) -> Option<String> {
    OTHERS.iter().find(|word| piece.is(word)).map(|word| (*word).to_owned())
}

fn name_at(piece: &Piece) -> Option<String> {
    match &piece.token {
        Token::Word(word) => Some(word.value.clone()),
        Token::SingleQuotedString(name) => Some(name.clone()),
        _ => None,
    }
}

/// The names in the parentheses that open at `open`.
fn names(part: &[Piece], open: usize) -> Vec<String> {
    match closes(part, open) {
        Some(close) => part[open..close].iter().filter_map(name_at).collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_compared_by_their_words() {
        let same = |one: &str, other: &str| Expression::new(one) == Expression::new(other);
        assert!(same("price >= 0", "( \"price\">=0 ) -- always"));
        assert!(same("Status IN ('a', 'b')", "status in ('a','b')"));
        assert!(!same("(a) OR (b)", "a) OR (b"));
        assert!(!same("status IN ('a')", "status IN ('A')"));
        assert!(!same("\"Price\" >= 0", "price >= 0"));
    }

    #[test]
    fn names_are_changed_and_texts_are_not() {
        let renamed = |name: &str| (name == "a").then(|| "b".to_owned());
        assert_eq!(
            renamed_identifiers("a > 0 AND \"a\" <> 'a' -- a\n OR A IN (1)", &renamed),
            "b > 0 AND \"b\" <> 'a' -- a\n OR b IN (1)"
        );
        let order = |name: &str| (name == "a").then(|| "Order".to_owned());
        assert_eq!(renamed_identifiers("a > 0", &order), "\"Order\" > 0");
    }

    #[test]
    fn a_table_that_takes_anothers_place_is_seen() {
        let anew = "CREATE TABLE b (x int); INSERT INTO b SELECT x FROM a; DROP TABLE a; ALTER TABLE b RENAME TO a";
        assert!(is_anew(anew));
        assert!(is_anew("drop table if exists \"A\"; -- then\nalter table 'b' rename to 'a';"));
        for other in [
            "DROP TABLE a; ALTER TABLE b RENAME TO c",
            "DROP TABLE a; ALTER TABLE b RENAME COLUMN c TO a",
            "INSERT INTO a VALUES ('DROP TABLE a; ALTER TABLE b RENAME TO a')",
            "DROP TABLE 'a",
            "",
        ] {
            assert!(!is_anew(other), "{other}");
        }
    }

    #[test]
    fn a_tables_text_tells_of_its_constraints() {
        let said = Said::of(
            "CREATE TABLE \"t\" (\n id uuid NOT NULL PRIMARY KEY, -- (\n
             a integer CONSTRAINT t_low CHECK (a > 0 AND (a < 9)) DEFAULT (1 + 2) UNIQUE,
             \"b c\" text COLLATE NOCASE CONSTRAINT x REFERENCES u (id) ON DELETE SET NULL,
             UNIQUE (a, \"b c\"), CONSTRAINT t_fk FOREIGN KEY (a) REFERENCES v (id),
             CHECK (a <> 5)) WITHOUT ROWID",
        );
        let said = said.unwrap();
        let named = |name: &str| Some(name.to_owned());
        let texts = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            said.checks,
            [(named("t_low"), "a > 0 AND (a < 9)".to_owned()), (None, "a <> 5".to_owned())]
        );
        assert_eq!(said.uniques, [(None, texts(&["a"])), (None, texts(&["a", "b c"]))]);
        assert_eq!(
            said.references,
            [(named("x"), texts(&["b c"])), (named("t_fk"), texts(&["a"]))]
        );
        assert_eq!(said.others, texts(&["ROWID", "COLLATE"]));
    }
}
