//! What is asked of the servers.

use std::fmt::Write as _;

use clap::ValueEnum;
use serde_json::Value;

use crate::articles::{self, Articles};

/// Rows in the table that is read, and in that of each tenant where there are many.
const ROWS: u32 = 1_000;
const ROWS_PER_TENANT: u32 = 100;
/// What a page has.
pub(crate) const PAGE: u32 = 20;
/// What a bulk insert has.
const BULK: u32 = 10_000;
/// What is large.
const LARGE_BYTES: u64 = 16 * 1024 * 1024;

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// A small JSON answer, a parameter of the path in it, no I/O.
    SmallJson,
    /// One row by its key, as JSON.
    ReadOne,
    /// 20 rows after a key, in its order.
    #[value(name = "page-20")]
    Page20,
    /// 20 articles with their authors: of a language, with a word in the title and more words than so
    /// many, in the order of these.
    List,
    /// One row more, and the answer with it.
    Insert,
    /// Reads a row, changes it and writes down what it was, in one transaction.
    UpdateInTransaction,
    /// 10,000 rows from one request.
    BulkInsert,
    /// `read-one`, of one tenant after the other.
    Tenants,
    /// 16 MiB are sent, and all of their bytes are looked at.
    Upload,
    /// 16 MiB are made and answered.
    Download,
}

/// Where the data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

impl Work {
    pub(crate) const ALL: [Self; 10] = [
        Self::SmallJson,
        Self::ReadOne,
        Self::Page20,
        Self::List,
        Self::Insert,
        Self::UpdateInTransaction,
        Self::BulkInsert,
        Self::Tenants,
        Self::Upload,
        Self::Download,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SmallJson => "small-json",
            Self::ReadOne => "read-one",
            Self::Page20 => "page-20",
            Self::List => "list",
            Self::Insert => "insert",
            Self::UpdateInTransaction => "update-in-transaction",
            Self::BulkInsert => "bulk-insert",
            Self::Tenants => "tenants",
            Self::Upload => "upload",
            Self::Download => "download",
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::SmallJson
            | Self::ReadOne
            | Self::Page20
            | Self::List
            | Self::Tenants
            | Self::Download => "GET",
            Self::Insert | Self::BulkInsert | Self::Upload => "POST",
            Self::UpdateInTransaction => "PATCH",
        }
    }

    fn success_status(self) -> u16 {
        if self.method() == "POST" { 201 } else { 200 }
    }

    /// One answer in so many is checked whole; of the others, the status and that it is complete.
    /// Where there are few requests, that costs the load nothing that a server could feel.
    pub(crate) fn check_every(self) -> u32 {
        match self {
            Self::SmallJson | Self::ReadOne | Self::Tenants => 256,
            Self::Page20 | Self::List | Self::Download => 16,
            Self::Insert | Self::UpdateInTransaction | Self::BulkInsert | Self::Upload => 1,
        }
    }
}

/// A work, and what it needs to be there.
pub(crate) struct Task {
    pub(crate) work: Work,
    /// Tenants that take turns; 0 where the default tenant has all of them.
    pub(crate) tenants: u32,
    bulk: String,
    /// What is sent, and what is answered: numbers that count up.
    numbers: Vec<u8>,
}

impl Task {
    pub(crate) fn new(work: Work, database: Database) -> Self {
        let tenants = match (work, database) {
            (Work::Tenants, Database::Sqlite) => 1_000,
            // Each keeps connections of its own open.
            (Work::Tenants, Database::Postgres) => 50,
            _ => 0,
        };
        let drafts: Vec<String> = (0..BULK).map(draft).collect();
        let numbers = match work {
            Work::Upload | Work::Download => {
                (0..LARGE_BYTES / 8).flat_map(u64::to_le_bytes).collect()
            }
            _ => Vec::new(),
        };
        Self { work, tenants, bulk: format!("{{\"items\":[{}]}}", drafts.join(",")), numbers }
    }

    /// Rows that each tenant has from the beginning.
    pub(crate) fn rows(&self) -> u32 {
        match self.work {
            Work::SmallJson | Work::Upload | Work::Download => 0,
            Work::Tenants => ROWS_PER_TENANT,
            _ => ROWS,
        }
    }

    /// The path and the body of the request that makes those rows.
    pub(crate) fn fill(&self) -> anyhow::Result<(&'static str, String)> {
        Ok(match self.work {
            Work::List => ("articles", serde_json::to_string(&Articles::of(self.rows()))?),
            _ => ("rows", format!("{{\"count\":{}}}", self.rows())),
        })
    }

    /// Writes the request of a turn; turns are counted over all connections.
    pub(crate) fn write_request(&self, turn: u32, request: &mut String) {
        let key = self.key(turn);
        let path = match self.work {
            Work::SmallJson => format!("hello/n{key}"),
            Work::ReadOne | Work::UpdateInTransaction | Work::Tenants => format!("rows/{key}"),
            Work::Page20 => format!("rows?cursor={key}&limit={PAGE}"),
            Work::List => articles::wanted(key),
            Work::Insert => "items".to_owned(),
            Work::BulkInsert => "items/bulk".to_owned(),
            Work::Upload => "upload".to_owned(),
            Work::Download => format!("download/{LARGE_BYTES}"),
        };
        let body = match self.work {
            Work::Insert => &draft(turn),
            Work::BulkInsert => self.bulk.as_str(),
            Work::UpdateInTransaction => &format!("{{\"amount\":{}}}", new_amount(turn)),
            _ => "",
        };
        let tenant = (self.tenants > 0).then(|| one_of_many(turn % self.tenants));
        if self.work == Work::Upload {
            let sent = Some(("application/octet-stream", self.numbers.len()));
            return write_head(self.work.method(), &path, None, sent, request);
        }
        write_request(self.work.method(), &path, tenant.as_deref(), body, request);
    }

    /// What follows a request, where that is large.
    pub(crate) fn large_body(&self) -> &[u8] {
        if self.work == Work::Upload { &self.numbers } else { &[] }
    }

    /// Whether this answers the request of that turn.
    pub(crate) fn is_answered_by(&self, turn: u32, status: u16, body: &[u8]) -> bool {
        if self.work == Work::Download {
            return status == self.work.success_status() && body == self.numbers;
        }
        let key = self.key(turn);
        let Ok(json) = serde_json::from_slice::<Value>(body) else { return false };
        let is_right = match self.work {
            Work::SmallJson => json["hello"] == format!("n{key}") && json["words"] == 2,
            Work::ReadOne | Work::Tenants => is_row(&json, key),
            Work::Page20 => is_page(&json, key),
            Work::List => articles::are_answered(self.rows(), key, &json),
            Work::Insert => {
                let draft = serde_json::from_str::<Value>(&draft(turn)).unwrap_or_default();
                json["name"] == draft["name"]
                    && json["amount"] == draft["amount"]
                    && json["id"].as_str().is_some_and(|id| id.len() == 36)
                    && json["created_at"].is_string()
            }
            Work::UpdateInTransaction => {
                json["row_id"] == key
                    && json["amount_after"] == new_amount(turn)
                    && json["amount_before"].as_u64().is_some_and(|amount| amount % 7 == 0)
                    && json["changed_at"].is_string()
            }
            Work::BulkInsert => json["inserted"] == BULK,
            Work::Upload => {
                let sum = (0..LARGE_BYTES / 8).fold(0, u64::wrapping_add);
                json["bytes"] == LARGE_BYTES && json["sum"] == sum
            }
            Work::Download => false,
        };
        is_right && status == self.work.success_status()
    }

    /// The key that a turn asks for: all of them, in no order that would help anybody.
    fn key(&self, turn: u32) -> u32 {
        // Knuth's multiplicative hash.
        let scattered = turn.wrapping_mul(2_654_435_761) >> 8;
        // A page that begins at one of the last keys would be shorter.
        let last = if self.work == Work::Page20 { ROWS - PAGE } else { self.rows().max(1) };
        1 + scattered % last
    }
}

/// Writes a request to the benchmarks' module.
pub(crate) fn write_request(
    method: &str,
    path: &str,
    tenant: Option<&str>,
    body: &str,
    request: &mut String,
) {
    let sent = (!body.is_empty()).then_some(("application/json", body.len()));
    write_head(method, path, tenant, sent, request);
    request.push_str(body);
}

/// Writes all of a request but its body, of which the type and the length are given.
fn write_head(
    method: &str,
    path: &str,
    tenant: Option<&str>,
    sent: Option<(&str, usize)>,
    request: &mut String,
) {
    // Writing to a text cannot fail.
    let _ = write!(request, "{method} /api/bench/{path} HTTP/1.1\r\nhost: bench\r\n");
    if let Some(tenant) = tenant {
        let _ = write!(request, "x-tenant: {tenant}\r\n");
    }
    if let Some((content_type, length)) = sent {
        let _ = write!(request, "content-type: {content_type}\r\ncontent-length: {length}\r\n");
    }
    request.push_str("\r\n");
}

/// The name of one of the tenants that take turns.
pub(crate) fn one_of_many(index: u32) -> String {
    format!("tenant-{index}")
}

fn draft(turn: u32) -> String {
    format!("{{\"name\":\"item {turn}\",\"amount\":{}}}", turn % 1_000)
}

/// A multiple of seven, as the amounts are from the beginning.
fn new_amount(turn: u32) -> u32 {
    turn % 1_000 * 7
}

fn is_row(json: &Value, key: u32) -> bool {
    json["id"] == key
        && json["name"] == format!("row {key}")
        && json["amount"] == key * 7
        && json["created_at"].is_string()
}

fn is_page(json: &Value, after: u32) -> bool {
    let is_right = |(item, key): (&Value, u32)| is_row(item, key);
    let last = after + PAGE;
    let next = last.to_string();
    json["items"].as_array().is_some_and(|items| {
        items.len() == PAGE as usize && items.iter().zip(after + 1..).all(is_right)
    }) && (json["next"] == next.as_str() || last == ROWS && json["next"].is_null())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(work: Work) -> Task {
        Task::new(work, Database::Sqlite)
    }

    #[test]
    fn a_page_is_whole_and_in_order() {
        let (work, turn) = (task(Work::Page20), 3);
        let after = work.key(turn);
        let row = |key: u32| {
            let name = format!("row {key}");
            serde_json::json!({"id": key, "name": name, "amount": key * 7, "created_at": "…"})
        };
        let page = |keys: Vec<u32>| {
            let items: Vec<Value> = keys.into_iter().map(row).collect();
            let next = (after + PAGE).to_string();
            serde_json::json!({"items": items, "next": next}).to_string()
        };
        let right: Vec<u32> = (after + 1..=after + PAGE).collect();
        assert!(work.is_answered_by(turn, 200, page(right.clone()).as_bytes()));
        assert!(!work.is_answered_by(turn, 200, page(right[1..].to_vec()).as_bytes()));
        assert!(!work.is_answered_by(
            turn,
            200,
            page(right.into_iter().rev().collect()).as_bytes()
        ));
    }

    #[test]
    fn tenants_take_turns_and_all_keys_are_there() {
        let tenants = task(Work::Tenants);
        for turn in [0, 999, 1_000, u32::MAX] {
            let mut request = String::new();
            tenants.write_request(turn, &mut request);
            assert!(request.contains(&format!("x-tenant: tenant-{}\r\n", turn % 1_000)));
            assert!((1..=ROWS_PER_TENANT).contains(&tenants.key(turn)));
        }
    }

    #[test]
    fn a_change_says_what_the_row_was() {
        let (work, turn) = (task(Work::UpdateInTransaction), 5);
        let answer = |before: u32| {
            let key = work.key(turn);
            let answer = serde_json::json!({
                "row_id": key, "amount_before": before, "amount_after": 35, "changed_at": "…"
            });
            answer.to_string()
        };
        assert!(work.is_answered_by(turn, 200, answer(14).as_bytes()));
        assert!(!work.is_answered_by(turn, 200, answer(15).as_bytes()));
        assert!(!work.is_answered_by(turn, 201, answer(14).as_bytes()));
    }
}
