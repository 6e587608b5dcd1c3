//! SQL functions that take SQLite longer than their arguments are long, written anew, and one that it
//! does not have: `hostel_search`, for modules' full-text search.
//!
//! `instr`, `replace` and the trims compare at every place of a text, so that two megabytes in two
//! others keep a thread for minutes, and nothing can interrupt a function. These find the same in one
//! pass. What they answer is SQLite's: <https://www.sqlite.org/lang_corefunc.html>. Where a text is no
//! UTF-8, they may see other characters in it than SQLite does.

#![allow(unsafe_code, reason = "SQL functions have no safe interface in sqlx")]

use std::collections::HashSet;
use std::ffi::{CStr, c_int};

use libsqlite3_sys as ffi;
use memchr::memmem;
use sqlx::sqlite::LockedSqliteHandle;

use crate::error::{Error, Result};

type Function =
    unsafe extern "C" fn(*mut ffi::sqlite3_context, c_int, *mut *mut ffi::sqlite3_value);

const FUNCTIONS: [(&CStr, c_int, Function); 6] = [
    (c"hostel_search", 2, search),
    (c"instr", 2, instr),
    (c"replace", 3, replace),
    (c"trim", 2, trim),
    (c"ltrim", 2, ltrim),
    (c"rtrim", 2, rtrim),
];

/// How many words a search may ask for, so that it takes no longer than its text is long.
const WORDS_MAX: usize = 16;

/// Puts these functions on a connection, in the place of SQLite's own where it has them.
///
/// # Errors
/// When SQLite does not take them.
pub(super) fn add(handle: &mut LockedSqliteHandle<'_>) -> Result<()> {
    let database = handle.as_raw_handle().as_ptr();
    for (name, arguments, function) in FUNCTIONS {
        // SAFETY: `database` is open, and nobody else uses it while `handle` holds its lock; the
        // function lives for ever and has no state.
        let code = unsafe {
            ffi::sqlite3_create_function_v2(
                database,
                name.as_ptr(),
                arguments,
                ffi::SQLITE_UTF8 | ffi::SQLITE_DETERMINISTIC | ffi::SQLITE_INNOCUOUS,
                std::ptr::null_mut(),
                Some(function),
                None,
                None,
                None,
            )
        };
        if code != ffi::SQLITE_OK {
            return Err(Error::internal("SQLite refused a function that protects tenants"));
        }
    }
    Ok(())
}

/// A call of a function by SQLite.
struct Call {
    context: *mut ffi::sqlite3_context,
    arguments: *mut *mut ffi::sqlite3_value,
}

impl Call {
    /// # Safety
    /// `index` is below the number of arguments with which the function was registered.
    unsafe fn argument(&self, index: usize) -> *mut ffi::sqlite3_value {
        // SAFETY: by this function's contract.
        unsafe { *self.arguments.add(index) }
    }

    /// # Safety
    /// As for [`argument`](Self::argument).
    unsafe fn is_blob(&self, index: usize) -> bool {
        // SAFETY: by this function's contract.
        unsafe { ffi::sqlite3_value_type(self.argument(index)) == ffi::SQLITE_BLOB }
    }

    /// The bytes of a blob, or of what is text or can be made one; none for null.
    ///
    /// # Safety
    /// As for [`argument`](Self::argument). The bytes live until the same argument is asked for in
    /// another form, at the latest until the call ends.
    unsafe fn bytes(&self, index: usize, as_blob: bool) -> Option<&[u8]> {
        // SAFETY: by this function's contract; a pointer of SQLite's is followed by as many bytes as it
        // says when it is asked after it.
        unsafe {
            let value = self.argument(index);
            if ffi::sqlite3_value_type(value) == ffi::SQLITE_NULL {
                return None;
            }
            let data = if as_blob {
                ffi::sqlite3_value_blob(value).cast::<u8>()
            } else {
                ffi::sqlite3_value_text(value)
            };
            let length = usize::try_from(ffi::sqlite3_value_bytes(value)).unwrap_or(0);
            // Null stands for what is empty.
            Some(if data.is_null() { &[] } else { std::slice::from_raw_parts(data, length) })
        }
    }

    /// # Safety
    /// As for [`argument`](Self::argument).
    unsafe fn text(&self, index: usize) -> Option<&[u8]> {
        // SAFETY: by this function's contract.
        unsafe { self.bytes(index, false) }
    }

    /// The longest value that there may be.
    fn length_max(&self) -> usize {
        // SAFETY: SQLite passes a context, which belongs to an open database.
        let limit = unsafe {
            let database = ffi::sqlite3_context_db_handle(self.context);
            ffi::sqlite3_limit(database, ffi::SQLITE_LIMIT_LENGTH, -1)
        };
        usize::try_from(limit).unwrap_or(0)
    }

    fn answer_text(&self, text: &[u8]) {
        // SAFETY: SQLite copies the bytes before this returns.
        unsafe {
            ffi::sqlite3_result_text64(
                self.context,
                text.as_ptr().cast(),
                text.len() as u64,
                ffi::SQLITE_TRANSIENT(),
                ffi::SQLITE_UTF8 as u8,
            );
        }
    }

    fn answer_integer(&self, value: usize) {
        // SAFETY: SQLite passes a context.
        unsafe {
            ffi::sqlite3_result_int64(self.context, i64::try_from(value).unwrap_or(i64::MAX));
        }
    }

    fn answer_too_large(&self) {
        // SAFETY: SQLite passes a context.
        unsafe { ffi::sqlite3_result_error_toobig(self.context) };
    }
}

/// Where a text begins in another, from 1: in characters, or in bytes where both are blobs.
unsafe extern "C" fn instr(
    context: *mut ffi::sqlite3_context,
    _count: c_int,
    arguments: *mut *mut ffi::sqlite3_value,
) {
    let call = Call { context, arguments };
    // SAFETY: SQLite passes two arguments.
    let (found, before) = unsafe {
        let as_blobs = call.is_blob(0) && call.is_blob(1);
        let (Some(needle), Some(haystack)) = (call.bytes(1, as_blobs), call.bytes(0, as_blobs))
        else {
            return;
        };
        let found = memmem::find(haystack, needle);
        let before = &haystack[..found.unwrap_or(0)];
        (found, if as_blobs { before.len() } else { characters(before).count() })
    };
    call.answer_integer(if found.is_some() { before + 1 } else { 0 });
}

/// A text with every occurrence of a second replaced by a third.
unsafe extern "C" fn replace(
    context: *mut ffi::sqlite3_context,
    _count: c_int,
    arguments: *mut *mut ffi::sqlite3_value,
) {
    let call = Call { context, arguments };
    // SAFETY: SQLite passes three arguments.
    let (text, from, to) = unsafe {
        let (Some(text), Some(from)) = (call.text(0), call.text(1)) else { return };
        if from.is_empty() {
            return call.answer_text(text);
        }
        let Some(to) = call.text(2) else { return };
        (text, from, to)
    };
    let length_max = call.length_max();
    let mut replaced = Vec::with_capacity(text.len());
    let mut rest = 0;
    for at in memmem::find_iter(text, from) {
        replaced.extend_from_slice(&text[rest..at]);
        replaced.extend_from_slice(to);
        rest = at + from.len();
        if replaced.len() > length_max {
            return call.answer_too_large();
        }
    }
    replaced.extend_from_slice(&text[rest..]);
    call.answer_text(&replaced);
}

/// Whether each word of a second text begins a word of a first, whatever the case. Words are letters
/// and digits, and all else is between them.
unsafe extern "C" fn search(
    context: *mut ffi::sqlite3_context,
    _count: c_int,
    arguments: *mut *mut ffi::sqlite3_value,
) {
    let call = Call { context, arguments };
    // SAFETY: SQLite passes two arguments.
    let found = unsafe {
        let (Some(text), Some(asked)) = (call.text(0), call.text(1)) else { return };
        all_begin_words(&String::from_utf8_lossy(text), &String::from_utf8_lossy(asked))
    };
    call.answer_integer(usize::from(found));
}

fn all_begin_words(text: &str, asked: &str) -> bool {
    let mut missing: Vec<Vec<char>> =
        words(asked).take(WORDS_MAX).map(|word| lower_case(word).collect()).collect();
    for word in words(text) {
        if missing.is_empty() {
            return true;
        }
        missing.retain(|asked| !begins(word, asked));
    }
    missing.is_empty()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|one: char| !one.is_alphanumeric()).filter(|word| !word.is_empty())
}

fn lower_case(word: &str) -> impl Iterator<Item = char> {
    word.chars().flat_map(char::to_lowercase)
}

fn begins(word: &str, asked: &[char]) -> bool {
    let mut letters = lower_case(word);
    asked.iter().all(|wanted| letters.next() == Some(*wanted))
}

unsafe extern "C" fn trim(
    context: *mut ffi::sqlite3_context,
    _count: c_int,
    arguments: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: SQLite passes two arguments.
    unsafe { trim_ends(&Call { context, arguments }, true, true) };
}

unsafe extern "C" fn ltrim(
    context: *mut ffi::sqlite3_context,
    _count: c_int,
    arguments: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: SQLite passes two arguments.
    unsafe { trim_ends(&Call { context, arguments }, true, false) };
}

unsafe extern "C" fn rtrim(
    context: *mut ffi::sqlite3_context,
    _count: c_int,
    arguments: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: SQLite passes two arguments.
    unsafe { trim_ends(&Call { context, arguments }, false, true) };
}

/// A text without the characters of a second at its ends.
///
/// # Safety
/// The call has two arguments.
unsafe fn trim_ends(call: &Call, left: bool, right: bool) {
    // SAFETY: by this function's contract.
    let (text, set) = unsafe {
        let (Some(text), Some(set)) = (call.text(0), call.text(1)) else { return };
        (text, set)
    };
    let set = Set::of(set);
    let mut text = text;
    if left {
        let gone = characters(text).take_while(|one| set.contains(one)).map(<[u8]>::len).sum();
        text = &text[gone..];
    }
    while right
        && let Some(last) = last_character(text)
        && set.contains(last)
    {
        text = &text[..text.len() - last.len()];
    }
    call.answer_text(text);
}

/// The characters of a text, to be asked for one after the other.
struct Set<'a> {
    short: [bool; 256],
    long: HashSet<&'a [u8]>,
}

impl<'a> Set<'a> {
    fn of(text: &'a [u8]) -> Self {
        let mut set = Self { short: [false; 256], long: HashSet::new() };
        for one in characters(text) {
            match one {
                [byte] => set.short[usize::from(*byte)] = true,
                _ => {
                    set.long.insert(one);
                }
            }
        }
        set
    }

    fn contains(&self, one: &[u8]) -> bool {
        match one {
            [byte] => self.short[usize::from(*byte)],
            _ => self.long.contains(one),
        }
    }
}

/// What SQLite takes for the characters of a text that may be no UTF-8: a byte, and where that is a
/// leading one, all continuation bytes after it.
fn characters(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (first, after) = rest.split_first()?;
        let more = if *first >= 0xc0 {
            after.iter().take_while(|byte| is_continuation(**byte)).count()
        } else {
            0
        };
        let (one, others) = rest.split_at(1 + more);
        rest = others;
        Some(one)
    })
}

fn last_character(text: &[u8]) -> Option<&[u8]> {
    let last = text.len().checked_sub(1)?;
    let more = text.iter().rev().take_while(|byte| is_continuation(**byte)).count();
    match last.checked_sub(more) {
        Some(lead) if more > 0 && text[lead] >= 0xc0 => Some(&text[lead..]),
        _ => Some(&text[last..]),
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, SqliteConnection};

    use super::*;

    async fn connection() -> SqliteConnection {
        sqlx::sqlite::SqliteConnectOptions::new().in_memory(true).connect().await.unwrap()
    }

    /// What an expression of `$1`, `$2` and `$3` comes to, in full.
    async fn evaluate(
        connection: &mut SqliteConnection,
        expression: &str,
        values: &[Vec<u8>],
    ) -> (String, Option<Vec<u8>>) {
        let statement =
            format!("SELECT typeof(v), CAST(v AS BLOB) FROM (SELECT {expression} AS v)");
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for value in values {
            query = query.bind(value.clone());
        }
        let row = query.fetch_one(connection).await.unwrap();
        (row.get(0), row.get(1))
    }

    /// Few pieces, so that they are found in each other.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = proptest::sample::select(vec!["a", "b", "aa", "ab", "é", "日", "\u{301}"]);
        proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat().into_bytes())
    }

    #[test]
    fn a_search_finds_what_begins_with_each_word() {
        for (text, asked, found) in [
            ("Fresh milk, and bread.", "milk", true),
            ("Fresh milk, and bread.", "bre MIL", true),
            ("Fresh milk, and bread.", "ilk", false),
            ("Fresh milk, and bread.", "milk butter", false),
            ("Größe 42b", "GRÖSSE", false),
            ("Größe 42b", "gröss", false),
            ("Größe 42b", "GRÖ 42", true),
            ("a_b-c/d@e", "b d e", true),
            ("", "a", false),
            ("anything", "", true),
            ("anything", " ,;- ", true),
        ] {
            assert_eq!(all_begin_words(text, asked), found, "{asked:?} in {text:?}");
        }
    }

    #[test]
    fn a_search_takes_no_longer_than_its_text_is_long() {
        let (text, asked) = ("a ".repeat(1_000_000), "b ".repeat(1_000_000));
        assert!(!all_begin_words(&text, &asked));
        assert!(!all_begin_words(&"a".repeat(2_000_000), &"a".repeat(2_000_001)));
    }

    proptest! {
        #[test]
        fn they_answer_what_sqlites_own_do(first in bytes(), second in bytes(), third in bytes()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (mut theirs, mut ours) = (connection().await, connection().await);
                add(&mut ours.lock_handle().await.unwrap()).unwrap();
                let values = [first, second, third];
                for expression in [
                    "instr($1, $2)",
                    "instr(CAST($1 AS TEXT), CAST($2 AS TEXT))",
                    "instr($1, CAST($2 AS TEXT))",
                    "instr(NULL, $1)",
                    "instr(12345, 34)",
                    "replace(CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT))",
                    "replace($1, $2, $3)",
                    "replace($1, $2, NULL)",
                    "replace(121, 1, 33)",
                    "trim(CAST($1 AS TEXT), CAST($2 AS TEXT))",
                    "ltrim(CAST($1 AS TEXT), CAST($2 AS TEXT))",
                    "rtrim(CAST($1 AS TEXT), CAST($2 AS TEXT))",
                    "trim($1, NULL)",
                    "trim(1001, 1)",
                ] {
                    let expected = evaluate(&mut theirs, expression, &values).await;
                    let answered = evaluate(&mut ours, expression, &values).await;
                    assert_eq!(answered, expected, "{expression} of {values:?}");
                }
            });
        }
    }
}
