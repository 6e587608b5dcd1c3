//! What is written to the log, kept by tenant until a test asks.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use hostel::logging::{self, Level, LogConfig};
use serde_json::Value;

/// Lines of one tenant. A test that writes more than this reads none of them.
const LINES_MAX: usize = 10_000;

/// Every tenant's lines.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<HashMap<String, Vec<Value>>>>);

impl Lines {
    /// Keeps the program's log: all that modules write, and what goes wrong in the host.
    pub(super) fn kept() -> hostel::Result<Self> {
        let lines = Self::default();
        let levels = [("hostel::guest", Level::Trace), ("hostel::access", Level::Off)];
        let config = LogConfig {
            level: Level::Warn,
            levels: levels.map(|(target, level)| (target.to_owned(), level)).into(),
            ..LogConfig::default()
        };
        let keeping = lines.clone();
        logging::init_taken(&config, move |line| keeping.take(line))?;
        Ok(lines)
    }

    fn take(&self, line: &[u8]) {
        let Ok(Value::Object(mut line)) = serde_json::from_slice(line) else { return };
        let Some(Value::String(tenant)) = line.remove("tenant") else {
            // It is about no test, but somebody should see it; if nobody can, so be it.
            let _ = writeln!(std::io::stderr(), "hostel: {}", Value::Object(line));
            return;
        };
        if let Some(lines) = self.all().get_mut(&tenant)
            && lines.len() < LINES_MAX
        {
            lines.push(Value::Object(line));
        }
    }

    /// Keeps a tenant's lines from now on.
    pub(super) fn begin(&self, tenant: &str) {
        self.all().insert(tenant.to_owned(), Vec::new());
    }

    pub(super) fn of(&self, tenant: &str) -> Vec<Value> {
        self.all().get(tenant).cloned().unwrap_or_default()
    }

    pub(super) fn forget(&self, tenant: &str) {
        self.all().remove(tenant);
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<Value>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
