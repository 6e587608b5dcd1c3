//! Answers that are written bit by bit, well and badly.

use hostel_sdk::prelude::*;

/// What is written at once.
const PIECE_BYTES: usize = 64 * 1024;

/// As many bytes as are asked for, none of which is a zero.
pub(crate) fn bytes(Path(bytes): Path<u64>) -> Result<Streamed, Problem> {
    let mut answer = Streamed::begin("application/octet-stream")?;
    let piece = [b'x'; PIECE_BYTES];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(PIECE_BYTES as u64);
        answer.send(&piece[..now as usize])?;
        left -= now;
    }
    Ok(answer)
}

/// What comes, as it comes.
pub(crate) fn echo(mut body: Body) -> Result<Streamed, Problem> {
    let content_type = body.content_type().unwrap_or("application/octet-stream").to_owned();
    let mut answer = Streamed::head(content_type).status(201).begin()?;
    while let Some(chunk) = body.next_chunk()? {
        answer.send(chunk)?;
        answer.flush()?;
    }
    Ok(answer)
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Lines {
    count: u32,
}

/// Lines of text, each of which is sent by itself; the table's rows beside them.
pub(crate) fn lines(Query(Lines { count }): Query<Lines>, db: Db) -> Result<Streamed, Problem> {
    use std::io::Write as _;
    let mut answer = Streamed::begin("text/plain")?;
    let failed = |error: std::io::Error| Problem::internal(error.to_string());
    for number in 0..count {
        let rows: i64 =
            db.query_one::<Row>("SELECT count(*) AS n FROM things", params![])?.get("n")?;
        writeln!(answer, "{number} {rows}").map_err(failed)?;
        answer.flush()?;
    }
    Ok(answer)
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Head {
    status: u16,
    name: String,
    value: String,
    length: Option<u64>,
}

/// Four bytes below a head of the test's own.
pub(crate) fn head(Query(wanted): Query<Head>) -> Result<Streamed, Problem> {
    let head = Streamed::head("text/plain").status(wanted.status).header(wanted.name, wanted.value);
    let head = match wanted.length {
        Some(length) => head.length(length),
        None => head,
    };
    let mut answer = head.begin()?;
    answer.send("four")?;
    Ok(answer)
}

/// Goes wrong after the head and more than one piece, so that the client has some of it.
pub(crate) fn broken(Path(how): Path<String>) -> Result<Streamed, Problem> {
    if how == "before" {
        let _answer = Streamed::begin("text/plain")?;
        return Err(Problem::conflict("too-late", "it went wrong before anything was sent"));
    }
    let mut answer = Streamed::begin("text/plain")?;
    for _ in 0..4 {
        answer.send([b'x'; PIECE_BYTES])?;
    }
    match how.as_str() {
        "problem" => Err(Problem::conflict("too-late", "it went wrong")),
        "trap" => panic!("it went wrong"),
        "spin" => loop {
            std::hint::black_box(());
        },
        "twice" => {
            let second = Streamed::begin("text/plain").map(drop);
            second.map(|()| answer).map_err(Into::into)
        }
        _ => {
            drop(answer);
            Err(Problem::not_found("way to go wrong"))
        }
    }
}
