//! Calls of the capabilities other than SQL.

use std::collections::BTreeMap;

use hostel_sdk::Seed;
use hostel_sdk::bindings::hostel::settings::settings;
use hostel_sdk::prelude::*;
use hostel_sdk::{clock as host_clock, crypto, log as host_log, lookups};

/// The probe's settings, for tests to change.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct ProbeSettings {
    /// A text.
    greeting: String,
    /// A number from 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    limit: u32,
}

impl Default for ProbeSettings {
    fn default() -> Self {
        Self { greeting: "hello".to_owned(), limit: 10 }
    }
}

pub(crate) fn refuse_seed(seed: Seed) -> Result<(), Problem> {
    Err(Problem::conflict("seeded-already", format!("there are {} rows", seed.rows_or(0))))
}

/// How many lines to log, as `?lines=…`.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Lines {
    lines: u32,
}

pub(crate) fn log(Query(Lines { lines }): Query<Lines>) -> NoContent {
    for line in 1..=lines {
        host_log::info("a line of the probe", &[("line", &line), ("of", &lines)]);
    }
    NoContent
}

/// Any setting, declared or not, which only the bindings can ask for.
pub(crate) fn setting(Path(name): Path<String>) -> Result<Json<serde_json::Value>, Problem> {
    hostel_sdk::json::parse(settings::get(&name).map_err(reveal)?.as_bytes()).map(Json)
}

/// What no real module would tell.
pub(crate) fn secret(Path(name): Path<String>) -> Result<Json<Option<String>>, Problem> {
    hostel_sdk::tenancy::secret(&name).map(Json).map_err(reveal)
}

/// Where a page of a look-up begins and ends.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Part {
    after: Option<String>,
    limit: usize,
}

/// Cells as they are.
type Cells = BTreeMap<String, Option<String>>;

#[derive(Serialize, JsonSchema)]
pub(crate) struct Rows {
    version: u64,
    rows: Vec<Cells>,
    next: Option<String>,
}

pub(crate) fn lookup_page(
    Path(lookup): Path<String>,
    Query(Part { after, limit }): Query<Part>,
) -> Result<Json<Rows>, Problem> {
    let page = lookups::page(&lookup, after.as_deref(), limit).map_err(reveal)?;
    Ok(Json(Rows { version: page.version, rows: page.rows, next: page.next }))
}

pub(crate) fn lookup_all(Path(lookup): Path<String>) -> Result<Json<Vec<Cells>>, Problem> {
    lookups::all(&lookup).map(Json).map_err(reveal)
}

/// A key, as `?key=…`: it may have any characters.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Key {
    key: String,
}

pub(crate) fn lookup_row(
    Path(lookup): Path<String>,
    Query(Key { key }): Query<Key>,
) -> Result<Json<Option<Cells>>, Problem> {
    lookups::get(&lookup, &key).map(Json).map_err(reveal)
}

pub(crate) fn lookup_rows(
    Path(lookup): Path<String>,
    Json(keys): Json<Vec<String>>,
) -> Result<Json<Vec<Option<Cells>>>, Problem> {
    lookups::get_many(&lookup, &keys).map(Json).map_err(reveal)
}

pub(crate) fn lookup_version(Path(lookup): Path<String>) -> Result<Json<u64>, Problem> {
    lookups::version(&lookup).map(Json).map_err(reveal)
}

/// A moment, as a number and as a text.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Moment {
    micros: i64,
    time: Timestamp,
}

pub(crate) fn clock() -> Json<Moment> {
    let now = host_clock::now();
    Json(Moment { micros: now.as_micros(), time: now })
}

pub(crate) fn random(Path(n): Path<u32>) -> Result<Bytes, Problem> {
    let data = crypto::random_bytes(n).map_err(reveal)?;
    Ok(Bytes { content_type: "application/octet-stream".into(), data })
}

/// Shows a capability's error whole: its kind is the code, its message the detail, and its subject
/// the detail of a field `subject`. The status is what the SDK makes of that kind.
pub(crate) fn reveal(error: Error) -> Problem {
    let kind = match error.kind {
        ErrorKind::Denied => "denied",
        ErrorKind::NotFound => "not-found",
        ErrorKind::Conflict => "conflict",
        ErrorKind::Invalid => "invalid",
        ErrorKind::Limit => "limit",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Timeout => "timeout",
        ErrorKind::Other => "other",
    };
    let status = Problem::from(error.clone()).status();
    let problem = Problem::new(status, kind, error.message);
    match error.subject {
        Some(subject) => problem.field("subject", subject),
        None => problem,
    }
}
