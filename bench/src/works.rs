//! What is asked of the servers.

use clap::ValueEnum;

/// Rows in the table that `read-one` reads.
pub(crate) const ROWS: u32 = 1_000;

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// A small JSON answer, a parameter of the path in it, no I/O.
    SmallJson,
    /// One row by its key from SQLite, as JSON.
    ReadOne,
}

impl Work {
    pub(crate) const ALL: [Self; 2] = [Self::SmallJson, Self::ReadOne];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SmallJson => "small-json",
            Self::ReadOne => "read-one",
        }
    }

    /// Writes the next request of this work; `turn` varies what is asked for.
    pub(crate) fn write_request(self, turn: u32, request: &mut Vec<u8>) {
        use std::io::Write as _;

        let key = 1 + turn % ROWS;
        // Writing to a vector cannot fail.
        let _ = match self {
            Self::SmallJson => {
                write!(request, "GET /api/bench/hello/n{key} HTTP/1.1\r\nhost: bench\r\n\r\n")
            }
            Self::ReadOne => {
                write!(request, "GET /api/bench/rows/{key} HTTP/1.1\r\nhost: bench\r\n\r\n")
            }
        };
    }

    /// Whether `body` answers the request of that turn.
    pub(crate) fn is_answered_by(self, turn: u32, body: &[u8]) -> bool {
        let key = 1 + turn % ROWS;
        let Ok(json) = serde_json::from_slice::<serde_json::Value>(body) else { return false };
        match self {
            Self::SmallJson => json["hello"] == format!("n{key}") && json["words"] == 2,
            Self::ReadOne => {
                json["id"] == key && json["amount"] == key * 7 && json["created_at"].is_string()
            }
        }
    }
}
