//! Cores, and the time that a process spends on them.

use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, sched_setaffinity};
use rustix::thread::CpuSet;

/// Keeps this process on one core.
pub(crate) fn pin(core: usize) -> anyhow::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None::<Pid>, &cores).with_context(|| format!("core {core} cannot be used"))
}

/// The CPU time of all threads of a process, in nanoseconds as the scheduler counts them.
pub(crate) fn time_of(process: u32) -> anyhow::Result<Duration> {
    let mut nanos = 0;
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let path = thread?.path().join("schedstat");
        // A thread may end while the others are being read.
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        let first = text.split_whitespace().next().unwrap_or_default();
        nanos += first.parse::<u64>().context("schedstat has no number")?;
    }
    Ok(Duration::from_nanos(nanos))
}
