//! Log: a module's lines in the host's log, each with the module's name. The request's id and the
//! tenant are added by `logging.rs`, as to every other line.

use wasmtime::component::{HasData, Linker};

use crate::bindings::hostel::log::log::{self, Host, Level};
use crate::call::CallContext;

/// Longer messages are cut: a line is for people.
const MESSAGE_LENGTH_MAX: usize = 8 * 1024;
const FIELDS_MAX: usize = 32;

/// What one call may write to the log.
pub struct LogView<'a> {
    pub(crate) call: &'a mut CallContext,
}

struct LogData;

impl HasData for LogData {
    type Data<'a> = LogView<'a>;
}

/// Links `hostel:log`.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> LogView<'_>,
) -> Result<(), wasmtime::Error> {
    log::add_to_linker::<T, LogData>(linker, view)
}

impl LogView<'_> {
    /// Writes a line in the module's name, unless the call has written all it may.
    pub(crate) fn line(&mut self, level: tracing::Level, message: &str, fields: &str) {
        let budget = &mut self.call.budget;
        let bytes = message.len() + fields.len();
        if budget.log_lines_left == 0 || budget.pay_for_bytes(bytes).is_err() {
            if budget.log_lines_lost == 0 {
                self.call.meter.hit("log-lines");
            }
            budget.log_lines_lost += 1;
            return;
        }
        budget.log_lines_left -= 1;
        let message = cut(message, MESSAGE_LENGTH_MAX);
        // Levels are part of a line's static description, so each needs a line of its own.
        match level {
            tracing::Level::ERROR => {
                tracing::error!(target: "hostel::guest", fields, "{message}")
            }
            tracing::Level::WARN => {
                tracing::warn!(target: "hostel::guest", fields, "{message}")
            }
            tracing::Level::INFO => {
                tracing::info!(target: "hostel::guest", fields, "{message}")
            }
            tracing::Level::DEBUG => {
                tracing::debug!(target: "hostel::guest", fields, "{message}")
            }
            tracing::Level::TRACE => {
                tracing::trace!(target: "hostel::guest", fields, "{message}")
            }
        }
    }
}

impl Host for LogView<'_> {
    fn write(
        &mut self,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        let level = match level {
            Level::Trace => tracing::Level::TRACE,
            Level::Debug => tracing::Level::DEBUG,
            Level::Info => tracing::Level::INFO,
            Level::Warn => tracing::Level::WARN,
            Level::Error => tracing::Level::ERROR,
        };
        let fields: serde_json::Map<_, _> = fields
            .into_iter()
            .take(FIELDS_MAX)
            .map(|(name, value)| (name, cut(&value, MESSAGE_LENGTH_MAX).into()))
            .collect();
        let fields = if fields.is_empty() {
            String::new()
        } else {
            serde_json::Value::from(fields).to_string()
        };
        self.line(level, &message, &fields);
        Ok(())
    }
}

fn cut(text: &str, length_max: usize) -> &str {
    &text[..text.floor_char_boundary(length_max)]
}
