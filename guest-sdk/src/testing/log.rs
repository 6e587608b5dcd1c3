//! What was written to the log.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::log::Level;

/// A line that the module wrote, by `hostel_sdk::log` or by printing.
///
/// ```no_run
/// # use hostel_sdk::testing::{App, Level};
/// # let app = App::new().start();
/// app.get("/").expect(200);
/// let line = &app.logs()[0];
/// assert_eq!((line.level, &*line.message), (Level::Info, "listed"));
/// assert_eq!(line.fields["notes"], "3");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How grave it is; what is printed is `Info`.
    pub level: Level,
    /// Its words.
    pub message: String,
    /// What it is about.
    pub fields: BTreeMap<String, String>,
}

/// A line as the host tells it.
#[derive(Deserialize)]
pub(super) struct RawLine {
    level: String,
    target: String,
    message: String,
    #[serde(default)]
    request_id: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl RawLine {
    /// The line, where the module wrote it.
    pub(super) fn of_module(self) -> Option<LogLine> {
        if self.target != "hostel::guest" {
            return None;
        }
        let level = match self.level.as_str() {
            "TRACE" => Level::Trace,
            "DEBUG" => Level::Debug,
            "INFO" => Level::Info,
            "WARN" => Level::Warn,
            _ => Level::Error,
        };
        let fields = self.rest.get("fields").and_then(Value::as_str).unwrap_or_default();
        let fields = serde_json::from_str(fields).unwrap_or_default();
        Some(LogLine { level, message: self.message, fields })
    }

    pub(super) fn is_of(&self, request: Option<&str>) -> bool {
        request.is_none_or(|request| self.request_id == request)
    }
}

impl fmt::Display for RawLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<5} {}", self.level, self.message)?;
        for (name, value) in &self.rest {
            if !matches!(name.as_str(), "time" | "module" | "version") && value != "" {
                write!(f, " {name}={value}")?;
            }
        }
        Ok(())
    }
}
