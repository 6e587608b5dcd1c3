//! An attack on a live host, and what it must leave as it was.

use rustix::process::{Pid, getpid};

use crate::platform::Setup;
use crate::{Client, Friendly, TestPlatform, eventually};

/// Memory that a host may have kept: each slot of the pool keeps 2 MiB, and the allocator what it
/// likes. An attack that leaks takes more with each of its calls.
const KEPT_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A platform with a tenant `hostile` that may do anything, and one beside it that is served all the
/// while.
pub struct Attack {
    /// The platform.
    pub platform: TestPlatform,
    /// The tenant `hostile`.
    pub hostile: Client,
    friendly: Friendly,
    before: u64,
}

impl Attack {
    /// Prepares one.
    pub async fn on(config: &str) -> Self {
        Self::with(TestPlatform::setup().config(config)).await
    }

    /// Prepares one on a platform that differs.
    pub async fn with(setup: Setup) -> Self {
        Self::try_with(setup).await.unwrap()
    }

    /// Prepares one, if the platform starts.
    ///
    /// # Errors
    /// The platform's.
    pub async fn try_with(setup: Setup) -> hostel::Result<Self> {
        let platform = setup.try_start().await?;
        let hostile = platform.tenant("hostile").await;
        // What is made once is made before anybody measures.
        for path in ["/api/hostile/counter", "/api/probe/counter"] {
            hostile.warm(path).await;
        }
        let friendly = Friendly::beside(&platform, "friendly").await;
        Ok(Self { platform, hostile, friendly, before: resident_bytes(getpid()) })
    }

    /// The attack is over: nobody else noticed, nothing is kept, and even its own tenant is served.
    ///
    /// # Panics
    /// When something is not as it was.
    #[expect(clippy::print_stdout, reason = "a test's output is where its figures belong")]
    pub async fn end(self) {
        let Self { platform, hostile, friendly, before } = self;
        eventually("the hostile tenant is served", async || {
            (hostile.get("/api/probe/counter").await.status() == 200).then_some(())
        })
        .await;
        let answered = friendly.finish().await;
        let during = resident_bytes(getpid());
        let after = eventually("its memory is free again", async || {
            let now = resident_bytes(getpid());
            (now < before + KEPT_MAX_BYTES).then_some(now)
        })
        .await;
        println!(
            "friendly: {answered} answers; RSS in KiB: {} before, {} at the end of the attack, {} after",
            before / 1024,
            during / 1024,
            after / 1024
        );
        drop(platform);
    }
}

/// The most memory that `work` takes of this process, beyond what it had before, in bytes.
///
/// # Panics
/// Where the kernel does not tell.
pub async fn taken_at_most<T>(work: impl Future<Output = T>) -> (T, u64) {
    taken_at_most_of(getpid(), work).await
}

/// The most memory that `work` takes of a process, beyond what it had before, in bytes.
///
/// # Panics
/// Where the kernel does not tell.
pub async fn taken_at_most_of<T>(process: Pid, work: impl Future<Output = T>) -> (T, u64) {
    let before = resident_bytes(process);
    let place = format!("/proc/{}", process.as_raw_nonzero());
    // Forgets how much it was until now.
    std::fs::write(format!("{place}/clear_refs"), "5").unwrap();
    let done = work.await;
    let status = std::fs::read_to_string(format!("{place}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    (done, (peak * 1024).saturating_sub(before))
}

/// Memory of a process that is neither swapped out nor untouched, in bytes.
///
/// # Panics
/// When there is no such process.
pub fn resident_bytes(process: Pid) -> u64 {
    let statm = format!("/proc/{}/statm", process.as_raw_nonzero());
    let statm = std::fs::read_to_string(statm).unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}
