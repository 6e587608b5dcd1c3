//! SQL as a text, whichever database reads it: names as it writes them, and where its tokens stand.

use sqlparser::tokenizer::{Location, Token, Whitespace};

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
