//! One thread writes the lines of all others: a queue without a lock, and a write every few
//! milliseconds at most.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use tracing_subscriber::fmt::MakeWriter;

use super::{LogConfig, SetLevels};

/// Lines that can wait. More are counted and left out rather than held up.
const LINES_MAX: usize = 65_536;
/// Lines that come within this time are written together.
const GATHER: Duration = Duration::from_millis(5);

struct Shared {
    lines: ArrayQueue<Box<[u8]>>,
    lost: AtomicU64,
    /// The writing thread sleeps and must be woken.
    sleeps: AtomicBool,
    ended: AtomicBool,
}

/// Puts lines into the queue.
pub(super) struct Lines {
    shared: Arc<Shared>,
    thread: Thread,
}

/// Writes what is queued when it is dropped: keep it until the program ends.
#[must_use = "dropping it ends the log"]
pub struct Flush {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    pub(super) levels: Option<SetLevels>,
}

impl Flush {
    /// From now on, the log has these levels. How lines look stays.
    pub fn set_levels(&self, config: &LogConfig) {
        if let Some(set) = &self.levels {
            set(config);
        }
    }
}

pub(super) fn start() -> (Lines, Flush) {
    let shared = Arc::new(Shared {
        lines: ArrayQueue::new(LINES_MAX),
        lost: AtomicU64::new(0),
        sleeps: AtomicBool::new(false),
        ended: AtomicBool::new(false),
    });
    let for_thread = Arc::clone(&shared);
    let thread = thread::spawn(move || write_lines(&for_thread));
    let lines = Lines { shared: Arc::clone(&shared), thread: thread.thread().clone() };
    (lines, Flush { shared, thread: Some(thread), levels: None })
}

fn write_lines(shared: &Shared) {
    let mut gathered = Vec::with_capacity(64 * 1024);
    loop {
        let ended = shared.ended.load(Ordering::Acquire);
        while let Some(line) = shared.lines.pop() {
            gathered.extend_from_slice(&line);
        }
        match shared.lost.swap(0, Ordering::Relaxed) {
            0 => {}
            lost => {
                gathered.extend_from_slice(format!("# {lost} log lines were lost\n").as_bytes())
            }
        }
        if !gathered.is_empty() {
            // Nobody reads any more: lines are dropped, requests go on.
            let _ = io::stdout().lock().write_all(&gathered).and_then(|()| io::stdout().flush());
            gathered.clear();
        }
        if ended {
            return;
        }
        shared.sleeps.store(true, Ordering::SeqCst);
        if shared.lines.is_empty() && !shared.ended.load(Ordering::Acquire) {
            thread::park();
        }
        shared.sleeps.store(false, Ordering::SeqCst);
        thread::sleep(GATHER);
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

impl Write for &Lines {
    /// Takes a whole line: the formatter writes each in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.shared.lines.push(line.into()).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
        if self.shared.sleeps.load(Ordering::SeqCst) {
            self.shared.sleeps.store(false, Ordering::SeqCst);
            self.thread.unpark();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}
