//! Hands the host more than it should take, and keeps what it should give back.

use std::mem::{ManuallyDrop, forget};
use std::time::Duration;

use hostel_sdk::bindings::hostel::log::log as bindings;
use hostel_sdk::prelude::*;
use hostel_sdk::{log as host_log, sql};
use wasip2::clocks::monotonic_clock;

use crate::{Many, Size};

/// Keeps as many handles as it gets.
pub(crate) fn handles(Query(Many { count }): Query<Many>) -> Json<u64> {
    for _ in 0..count {
        forget(monotonic_clock::subscribe_duration(u64::MAX));
    }
    Json(count)
}

/// Begins transactions and ends none; says what the host said at last.
pub(crate) fn transactions(
    Query(Many { count }): Query<Many>,
    db: Db,
) -> Result<Json<u64>, Problem> {
    for _ in 0..count {
        forget(db.begin()?);
    }
    Ok(Json(count))
}

/// Begins transactions in one another and ends none.
pub(crate) fn nested(Query(Many { count }): Query<Many>, db: Db) -> Result<Json<u64>, Problem> {
    let mut innermost = db.begin()?;
    for _ in 0..count {
        let next = innermost.begin()?;
        forget(std::mem::replace(&mut innermost, next));
    }
    Ok(Json(count))
}

/// Opens streams and ends none.
pub(crate) fn streams(Query(Many { count }): Query<Many>, db: Db) -> Result<Json<u64>, Problem> {
    for _ in 0..count {
        forget(db.stream::<Row>("SELECT * FROM things", params![])?);
    }
    Ok(Json(count))
}

/// What a batch holds, as `?runs=…&statements=…&bytes=…`.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Huge {
    #[serde(default)]
    runs: u32,
    #[serde(default)]
    statements: u32,
    #[serde(default)]
    bytes: u32,
}

/// Hands over everything at once.
pub(crate) fn batch(Query(huge): Query<Huge>, db: Db) -> Result<Json<u64>, Problem> {
    let value = "x".repeat(huge.bytes as usize);
    let runs = (0..huge.runs)
        .map(|_| if value.is_empty() { params![].to_vec() } else { params![value].to_vec() });
    let text = if value.is_empty() {
        "UPDATE things SET amount = 1"
    } else {
        "UPDATE things SET data = $1"
    };
    let mut statements = vec![sql::Statement::many(text, runs)];
    for _ in 0..huge.statements {
        statements.push(sql::Statement::new(
            "UPDATE things SET amount = 1 WHERE amount = 1 AND name = 'a long one'",
            params![],
        ));
    }
    Ok(Json(db.batch(&statements)?.iter().sum()))
}

/// Writes in a transaction and sleeps in it.
pub(crate) fn hold(db: Db) -> Result<NoContent, Problem> {
    let transaction = db.begin()?;
    transaction.execute("DELETE FROM things", params![])?;
    std::thread::sleep(Duration::MAX);
    transaction.commit()?;
    Ok(NoContent)
}

/// What to write, as `?lines=…&bytes=…`.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Flood {
    lines: u32,
    #[serde(default)]
    bytes: usize,
}

pub(crate) fn log(Query(Flood { lines, bytes }): Query<Flood>) -> NoContent {
    let text = format!("a line of the flood {}", "x".repeat(bytes));
    for line in 1..=lines {
        host_log::info(&text, &[("line", &line), ("of", &lines)]);
    }
    NoContent
}

#[expect(clippy::print_stdout, reason = "what a guest prints is the host's to bound")]
pub(crate) fn print(Query(Flood { lines, bytes }): Query<Flood>) -> NoContent {
    for _ in 0..lines {
        println!("a printed line of the flood {}", "x".repeat(bytes));
    }
    NoContent
}

/// One text.
pub(crate) fn text(Query(size): Query<Size>) -> Result<NoContent, Problem> {
    host_log::info(&String::from_utf8(size.bytes()).map_err(|_| Problem::invalid())?, &[]);
    Ok(NoContent)
}

/// Very many texts, all of them the same one: it takes the host far more memory than the guest.
#[expect(unsafe_code, reason = "texts that share their memory are what the host must refuse")]
pub(crate) fn list(Query(Many { count }): Query<Many>) -> NoContent {
    let text = "x".repeat(1024 * 1024).leak();
    let fields: ManuallyDrop<Vec<_>> = ManuallyDrop::new(
        (0..count)
            .map(|_| {
                // SAFETY: nobody writes to the text, and nobody frees it.
                let same =
                    unsafe { String::from_raw_parts(text.as_mut_ptr(), text.len(), text.len()) };
                (String::new(), same)
            })
            .collect(),
    );
    bindings::write(bindings::Level::Info, "a list", &fields);
    NoContent
}

/// One statement.
pub(crate) fn statement(Query(size): Query<Size>, db: Db) -> Result<Json<u64>, Problem> {
    let text = String::from_utf8(size.bytes()).map_err(|_| Problem::invalid())?;
    let rows = db.query_encoded("SELECT length($1)", &[sql::Value::Text(text)])?;
    Ok(Json(rows.len() as u64))
}

/// More random bytes than there is memory.
pub(crate) fn random(Query(Many { count }): Query<Many>) -> Json<usize> {
    Json(wasip2::random::random::get_random_bytes(count).len())
}

#[expect(unsafe_code, reason = "a text that is no UTF-8 is what the host must refuse")]
pub(crate) fn log_no_utf8() -> NoContent {
    // SAFETY: it is not sound, which is the point; nothing in here reads it.
    let text = unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe, 0x80]) };
    host_log::info(&text, &[]);
    NoContent
}
