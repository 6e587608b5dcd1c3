//! How a line looks.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::CONTEXT;

/// Text or JSON.
pub(super) struct Format {
    pub(super) json: bool,
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (now, metadata) = (jiff::Timestamp::now(), event.metadata());
        let mut line =
            Line { writer: &mut writer, json: self.json, formatted: String::new(), result: Ok(()) };
        if self.json {
            write!(
                line.writer,
                r#"{{"time":"{now:.6}","level":"{}","target":"{}""#,
                metadata.level(),
                metadata.target()
            )?;
        } else {
            let time = now.strftime("%H:%M:%S%.3f");
            write!(line.writer, "{time} {:<5} ", metadata.level())?;
            event.record(&mut Message(&mut line));
        }
        let _ = CONTEXT.try_with(|context| {
            if let Some(tenant) = context.tenant.get() {
                line.text("tenant", tenant.as_str());
            }
            if let Some(account) = context.account.get() {
                line.text("account", account.as_str());
            }
            if let Some(module) = context.module.get() {
                line.text("module", module.name.as_str());
                line.display("version", &module.version);
            }
            line.text("request_id", context.request_id.as_str());
            if let Some(trace) = &context.trace_id {
                line.text("trace_id", trace);
            }
        });
        event.record(&mut line);
        line.result?;
        writer.write_str(if self.json { "}\n" } else { "\n" })
    }
}

/// The fields of a line, written as they are visited.
struct Line<'a, 'w> {
    writer: &'a mut Writer<'w>,
    json: bool,
    /// Where a value is formatted before it is looked at.
    formatted: String,
    result: fmt::Result,
}

impl Line<'_, '_> {
    fn text(&mut self, name: &str, value: &str) {
        let written = if self.json {
            write!(self.writer, ",\"{name}\":{}", Escaped(value))
        } else if value.is_empty()
            || value.contains(|c: char| c == ' ' || c == '"' || c.is_control())
        {
            write!(self.writer, " {name}={}", Escaped(value))
        } else {
            write!(self.writer, " {name}={value}")
        };
        self.result = self.result.and(written);
    }

    fn raw(&mut self, name: &str, value: impl fmt::Display) {
        let written = if self.json {
            write!(self.writer, ",\"{name}\":{value}")
        } else {
            write!(self.writer, " {name}={value}")
        };
        self.result = self.result.and(written);
    }

    fn display(&mut self, name: &str, value: impl fmt::Display) {
        let written = if self.json {
            write!(self.writer, ",\"{name}\":\"{value}\"")
        } else {
            write!(self.writer, " {name}={value}")
        };
        self.result = self.result.and(written);
    }

    /// In text, the message has been written already: it comes first.
    fn is_done(&self, field: &Field) -> bool {
        !self.json && field.name() == "message"
    }
}

impl Visit for Line<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !self.is_done(field) {
            let mut formatted = std::mem::take(&mut self.formatted);
            formatted.clear();
            self.result = self.result.and(write!(formatted, "{value:?}"));
            self.text(field.name(), &formatted);
            self.formatted = formatted;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if !self.is_done(field) {
            self.text(field.name(), value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.raw(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.raw(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.raw(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.raw(field.name(), value);
        }
    }
}

/// Picks the message out of an event's fields.
struct Message<'a, 'b, 'w>(&'a mut Line<'b, 'w>);

impl Visit for Message<'_, '_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Control characters of a client or a guest must not start a line of their own.
            let text = &mut self.0.formatted;
            self.0.result = self.0.result.and(write!(text, "{value:?}"));
            if text.contains(char::is_control) {
                *text = text.replace(char::is_control, " ");
            }
            self.0.result = self.0.result.and(self.0.writer.write_str(text));
        }
    }
}

/// A JSON string.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
            return f.write_str(&serde_json::to_string(self.0).map_err(|_| fmt::Error)?);
        }
        write!(f, "\"{}\"", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::capabilities::permissions::Caller;
    use crate::names::RequestId;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    async fn line(json: bool) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer()
            .event_format(Format { json })
            .with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        let id = RequestId::from_client(b"r-1").unwrap();
        super::super::within(id, None, async {
            super::super::set_tenant(&"acme".parse().unwrap());
            super::super::set_principal(&Caller::account("alice".parse().unwrap()).principal);
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!(count = 3, name = "a \"b\"\n", "two\nlines");
            });
        })
        .await;
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn every_line_bears_its_request_and_tenant() {
        let text = line(false).await;
        assert!(
            text.ends_with(
                "INFO  two lines tenant=acme account=alice request_id=r-1 count=3 name=\"a \\\"b\\\"\\n\"\n"
            ),
            "{text}"
        );
        let json: serde_json::Value = serde_json::from_str(&line(true).await).unwrap();
        assert_eq!(json["tenant"], "acme");
        assert_eq!(json["account"], "alice");
        assert_eq!(json["request_id"], "r-1");
        assert_eq!(json["message"], "two\nlines");
        assert_eq!(json["count"], 3);
    }
}
