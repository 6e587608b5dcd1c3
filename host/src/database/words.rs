//! SQL as a text, whichever database reads it: names as it writes them, and where its tokens stand.

use std::collections::BTreeSet;

use sqlparser::dialect::SQLiteDialect;
use sqlparser::tokenizer::{Location, Token, Tokenizer, Whitespace};

/// A name as SQL writes it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Whether a token is space or a comment.
pub(super) fn is_space(token: &Token) -> bool {
    matches!(
        token,
        Token::Whitespace(
            Whitespace::Space
                | Whitespace::Newline
                | Whitespace::Tab
                | Whitespace::SingleLineComment { .. }
                | Whitespace::MultiLineComment(_)
        )
    )
}

/// Where in the text a line and a column are; both count from 1, columns in characters.
pub(super) fn offset(text: &str, at: Location) -> usize {
    let line = usize::try_from(at.line).unwrap_or(usize::MAX);
    let before: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let column = usize::try_from(at.column).unwrap_or(usize::MAX);
    text[before..].char_indices().nth(column - 1).map_or(text.len(), |(within, _)| before + within)
}

/// Whether `count` parameters of a statement for SQLite are numbered from one, `$1`, `$2` and so on,
/// or not numbered at all. SQLite takes any name for one; sqlx binds nothing to a number that is
/// missing, and panics at `$0`.
pub(super) fn are_numbered(statement: &str, count: usize) -> bool {
    if count == 0 {
        return true;
    }
    let Ok(tokens) = Tokenizer::new(&SQLiteDialect {}, statement).tokenize() else { return false };
    let names: Vec<&str> = tokens
        .iter()
        .filter_map(|token| match token {
            Token::Placeholder(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    let number = |name: &&str| name.strip_prefix(['$', '?'])?.parse::<usize>().ok();
    let numbers: BTreeSet<usize> = names.iter().filter_map(number).collect();
    if numbers.is_empty() {
        return names.len() == count && names.iter().all(|name| *name == "?");
    }
    names.iter().all(|name| number(name).is_some()) && numbers.into_iter().eq(1..=count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_from_one_without_gaps() {
        for (statement, count) in [
            ("SELECT 'no $0 here', \"$0\" -- $0", 0),
            ("SELECT $1, $2, $1", 2),
            ("SELECT $2 + $1 || '$7'", 2),
            ("SELECT ?, ?", 2),
            ("SELECT ?1, $2", 2),
        ] {
            assert!(are_numbered(statement, count), "{statement}");
        }
        for (statement, count) in [
            ("SELECT $0", 1),
            ("SELECT $00, $1", 2),
            ("SELECT $2", 1),
            ("SELECT $1, $3", 2),
            ("SELECT $1, ?", 2),
            ("SELECT $a$ || $0 || $a$", 3),
            ("SELECT $1x", 1),
            ("SELECT :name, $1", 2),
        ] {
            assert!(!are_numbered(statement, count), "{statement}");
        }
    }
}
