//! Cores, and the time that a process spends on them.

use std::time::Duration;

use anyhow::Context as _;
use rustix::thread::{CpuSet, Pid, sched_setaffinity};

/// Keeps this process on one core.
pub(crate) fn pin(core: usize) -> anyhow::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None::<Pid>, &cores).with_context(|| format!("core {core} cannot be used"))
}

/// The CPU time of a process and of all its threads, those that have ended too. The kernel counts in
/// hundredths of a second: 0.3 % of a window of three seconds.
pub(crate) fn time_of(process: u32) -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is a name in parentheses that may hold anything; utime and stime are the 12th
    // and 13th after it (proc(5)).
    let (_, fields) = text.rsplit_once(')').context("no name in /proc/PID/stat")?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let mut next = || times.next().context("too few fields in /proc/PID/stat");
    let ticks = next()?? + next()??;
    Ok(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
}

/// The CPU time of a process' threads that have not ended, to the nanosecond.
pub(crate) fn precise_time_of(process: u32) -> anyhow::Result<Duration> {
    let mut nanos = 0;
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        nanos += text.split(' ').next().context("an empty schedstat")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// What a process holds.
pub(crate) struct Footprint {
    pub(crate) rss_bytes: u64,
    /// Open files, sockets among them.
    pub(crate) files: usize,
}

/// What a process holds now.
pub(crate) fn footprint_of(process: u32) -> anyhow::Result<Footprint> {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm"))?;
    let pages: u64 =
        text.split_whitespace().nth(1).context("no RSS in /proc/PID/statm")?.parse()?;
    let files = std::fs::read_dir(format!("/proc/{process}/fd"))?.count();
    Ok(Footprint { rss_bytes: pages * rustix::param::page_size() as u64, files })
}

/// Ends this process when the one that started it does.
pub(crate) fn end_with_parent() -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}
