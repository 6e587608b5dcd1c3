//! What a guest prints becomes lines of the log in its module's name, a bounded number per call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, async_trait};

/// Printed lines per call; a panic's message and backtrace fit well.
const LINES_MAX: u32 = 50;
/// Random bytes in one call: wasi's own limit would let each of many calls take 64 MiB of the host.
const RANDOM_MAX_BYTES: u64 = 64 * 1024;
/// The last line of a guest's panic. Guests have no environment, so nobody can follow the advice.
const USELESS_ADVICE: &[u8] = b"note: run with `RUST_BACKTRACE=1`";
/// A longer line is cut.
const LINE_LENGTH_MAX: usize = 8 * 1024;

/// wasi for one store, made when first asked for.
pub(super) struct Wasi {
    pub(super) ctx: WasiCtx,
    lines_left: Arc<AtomicU32>,
}

impl Wasi {
    pub(super) fn new() -> Self {
        let lines_left = Arc::new(AtomicU32::new(LINES_MAX));
        let output = Output { lines_left: Arc::clone(&lines_left) };
        let ctx = WasiCtx::builder()
            .stdout(output.clone())
            .stderr(output)
            .max_random_size(RANDOM_MAX_BYTES)
            .build();
        Self { ctx, lines_left }
    }

    /// A new call begins.
    pub(super) fn reset(&self) {
        self.lines_left.store(LINES_MAX, Ordering::Relaxed);
    }
}

#[derive(Clone)]
struct Output {
    lines_left: Arc<AtomicU32>,
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    /// For versions of wasi that are not linked.
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Lines { output: self.clone(), line: Vec::new() })
    }
}

/// Gathers bytes to lines.
struct Lines {
    output: Output,
    line: Vec<u8>,
}

impl Lines {
    fn end_line(&mut self) {
        if self.line.starts_with(USELESS_ADVICE) {
            self.line.clear();
            return;
        }
        let left = &self.output.lines_left;
        let may =
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if may.is_ok() && !self.line.is_empty() {
            let line = String::from_utf8_lossy(&self.line);
            tracing::info!(target: "hostel::guest", "{line}");
        }
        self.line.clear();
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        for &byte in &bytes {
            if byte == b'\n' {
                self.end_line();
            } else if self.line.len() < LINE_LENGTH_MAX {
                self.line.push(byte);
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(LINE_LENGTH_MAX)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }
}

#[async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}
