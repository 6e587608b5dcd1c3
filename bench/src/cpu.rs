//! Cores, and the time that a process spends on them.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use rustix::thread::{CpuSet, Pid, sched_setaffinity};

/// Keeps this process on one core.
pub(crate) fn pin(core: usize) -> anyhow::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None::<Pid>, &cores).with_context(|| format!("core {core} cannot be used"))
}

/// The CPU time of a process and of those that it started, with all their threads and those that
/// have ended too. The kernel counts in hundredths of a second: 0.3 % of a window of three seconds.
pub(crate) fn time_of(process: u32) -> anyhow::Result<Duration> {
    let all = running()?;
    let mut ticks = 0;
    let mut counted = vec![process];
    while let Some(id) = counted.pop() {
        ticks += all.get(&id).map_or(0, |it| it.ticks);
        counted.extend(all.iter().filter(|(_, it)| it.parent == id).map(|(child, _)| *child));
    }
    Ok(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
}

struct Process {
    parent: u32,
    /// Its own, and those of its children that have ended.
    ticks: u64,
}

fn running() -> anyhow::Result<HashMap<u32, Process>> {
    let mut all = HashMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Others may end meanwhile.
        if let Ok(text) = std::fs::read_to_string(entry.path().join("stat")) {
            all.insert(id, parse_stat(&text)?);
        }
    }
    Ok(all)
}

/// The second field is a name in parentheses that may hold anything. After it, the parent is the 2nd,
/// and utime, stime, cutime and cstime are the 12th to 15th (proc(5)).
fn parse_stat(text: &str) -> anyhow::Result<Process> {
    let (_, fields) = text.rsplit_once(')').context("no name in /proc/PID/stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |index: usize| fields.get(index).context("too few fields in /proc/PID/stat");
    let ticks =
        (11..15).map(|index| Ok(field(index)?.parse::<u64>()?)).sum::<anyhow::Result<_>>()?;
    Ok(Process { parent: field(1)?.parse()?, ticks })
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

/// Makes this process a server's: it ends when the one that started it does, and has a session of its own.
///
/// Where the kernel shares processors by sessions, as `sched_autogroup_enabled` says, it would else have
/// to share its part with the load, as nothing does that a service manager starts.
pub(crate) fn be_a_server() -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    rustix::process::setsid()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_counts_with_its_children() {
        let text = "7 (a ) b) S 3 7 7 0 -1 4 1 2 3 4 100 20 3 1 20 0 1 0 5";
        let process = parse_stat(text).unwrap();
        assert_eq!((process.parent, process.ticks), (3, 124));
        assert!(parse_stat("7 (a) S 3").is_err());
    }
}
