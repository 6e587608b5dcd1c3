//! Full-text search, with one meaning on both databases: every word that is asked for begins a word
//! of the text, whatever the case. Words are letters and digits; all else is between them.
//!
//! PostgreSQL does it with its own text search, for which there can be an index; on SQLite the host
//! has a function, and reads every row that other conditions leave.

use super::Entity;
use super::column::{Columns, column};
use super::expression::Node;
use super::filter::Filter;
use super::schema::quoted;
use crate::sql::Dialect;

/// More than these are left out: who types that many words has found it.
const WORDS_MAX: usize = 8;

/// What is between words on PostgreSQL, whose parser takes some of it for a part of them. Single
/// quotes aside, which come last, twice, as SQL writes one.
const BETWEEN: &str = r##"!"#$%&()*+,-./:;<=>?@[\]^_`{|}~''"##;

/// Rows in which every word of `text` begins a word of one of the columns.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::entity::search;
/// # #[derive(Entity)]
/// # #[entity(table = "teas")]
/// # struct Tea {
/// #     #[entity(key)]
/// #     id: Id<Tea>,
/// #     name: String,
/// #     story: Option<String>,
/// # }
/// fn find(db: &impl Connection, words: &str) -> Result<Vec<Tea>, EntityError> {
///     Tea::filter(search((Tea::NAME, Tea::STORY), words)).limit(20).list(db)
/// }
/// ```
///
/// A text without words finds everything. Of more than eight words, the first eight count.
pub fn search<E: Entity>(columns: impl Columns<E>, text: &str) -> Filter<E> {
    Filter::of_node(node::<E>(&columns.names(), text))
}

pub(super) fn node<E: Entity>(columns: &[&'static str], text: &str) -> Node {
    let columns = columns.iter().map(|name| {
        let is_nullable = E::TABLE.column(name).is_none_or(|column| column.is_nullable);
        (column::<E>(name), is_nullable)
    });
    Node::Search { columns: columns.collect(), words: words(text) }
}

/// Letters and digits, so that no word is a sign of a query's.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|it: char| !it.is_alphanumeric()).filter(|word| !word.is_empty());
    words.take(WORDS_MAX).map(str::to_lowercase).collect()
}

/// The expression of an index that makes [`search`] fast on PostgreSQL, for a migration there: the
/// columns must be the same, in the same order.
///
/// ```
/// # use hostel_sdk::prelude::*;
/// # use hostel_sdk::entity::search_index;
/// # #[derive(Entity)]
/// # #[entity(table = "teas")]
/// # struct Tea {
/// #     #[entity(key)]
/// #     id: Id<Tea>,
/// #     name: String,
/// # }
/// let index = format!("CREATE INDEX teas_search ON teas USING gin ({})", search_index(Tea::NAME));
/// assert!(index.contains(r#"gin (to_tsvector('simple', translate("name", "#), "{index}");
/// ```
#[must_use]
pub fn search_index<E: Entity>(columns: impl Columns<E>) -> String {
    let names = columns.names();
    let parts = names.iter().map(|name| {
        let is_nullable = E::TABLE.column(name).is_none_or(|column| column.is_nullable);
        let quoted = quoted(name);
        if is_nullable { format!("coalesce({quoted}, '')") } else { quoted }
    });
    vector(&parts.collect::<Vec<_>>().join(" || ' ' || "))
}

fn vector(document: &str) -> String {
    let spaces = " ".repeat(BETWEEN.len() - 1);
    format!("to_tsvector('simple', translate({document}, '{BETWEEN}', '{spaces}'))")
}

/// What all the columns say, on PostgreSQL as its index has it.
pub(super) fn document(dialect: Dialect, columns: &[(Node, bool)]) -> String {
    let parts = columns.iter().map(|(column, is_nullable)| {
        let Node::Column { table, name } = column else { return "''".to_owned() };
        let quoted = format!("{}.{}", quoted(table), quoted(name));
        if *is_nullable { format!("coalesce({quoted}, '')") } else { quoted }
    });
    let document = parts.collect::<Vec<_>>().join(" || ' ' || ");
    match dialect {
        Dialect::Sqlite => document,
        Dialect::Postgres => vector(&document),
    }
}

/// What is asked for, in the words of each database's function.
pub(super) fn asked(dialect: Dialect, words: &[String]) -> String {
    match dialect {
        Dialect::Sqlite => words.join(" "),
        Dialect::Postgres => {
            let words: Vec<_> = words.iter().map(|word| format!("{word}:*")).collect();
            words.join(" & ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_letters_and_digits() {
        assert_eq!(words("  Milk, & (BREAD): größe* "), ["milk", "bread", "größe"]);
        assert_eq!(words("' | ! :* \\"), [""; 0]);
        assert_eq!(words(&"a ".repeat(100)).len(), WORDS_MAX);
    }
}
