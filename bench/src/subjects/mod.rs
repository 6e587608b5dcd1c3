//! The servers: each a process of its own, this program started again.

mod hosted;
mod native;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tempfile::TempDir;

use self::hosted::Guest;
use crate::works::Work;
use crate::{SERVER_CORE, cpu};

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    /// axum and sqlx.
    Native,
    /// Hostel with a fresh instance for each request.
    HostelFresh,
    /// Hostel with instances that are kept.
    HostelReused,
    /// Fresh instances of a guest without the SDK.
    ByHandFresh,
    /// Kept instances of a guest without the SDK.
    ByHandReused,
}

impl Subject {
    /// Native first: the others are compared with it.
    pub(crate) const ALL: [Self; 5] = [
        Self::Native,
        Self::HostelFresh,
        Self::ByHandFresh,
        Self::HostelReused,
        Self::ByHandReused,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::HostelFresh => "hostel-fresh",
            Self::HostelReused => "hostel-reused",
            Self::ByHandFresh => "by-hand-fresh",
            Self::ByHandReused => "by-hand-reused",
        }
    }

    /// Whether it knows how. What the SDK costs shows best where there is nothing else to do.
    pub(crate) fn does(self, work: Work) -> bool {
        work == Work::SmallJson || !matches!(self, Self::ByHandFresh | Self::ByHandReused)
    }
}

/// What a server begins with.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Setup {
    /// A limit of the hostile tenants, in milliseconds: its key and its value.
    #[arg(long, num_args = 2)]
    pub(crate) limit: Vec<String>,
    /// Tenants that take turns.
    #[arg(long, default_value_t = 0)]
    pub(crate) tenants: u32,
    /// How often the module is swapped.
    #[arg(long, default_value_t = 0)]
    pub(crate) swaps: u32,
}

/// A server that runs; it ends when this is dropped.
pub(crate) struct Running {
    pub(crate) subject: Subject,
    pub(crate) address: SocketAddr,
    /// How long each swap took; it ends with the last.
    pub(crate) swaps: mpsc::Receiver<Duration>,
    child: Child,
    _data: TempDir,
}

impl Running {
    /// Starts a server and waits until it can be asked.
    pub(crate) fn start(subject: Subject, setup: &Setup) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", subject.name()])
            .arg(data.path())
            .args(["--tenants", &setup.tenants.to_string()])
            .args(["--swaps", &setup.swaps.to_string()])
            .args(setup.limit.first().map(|_| "--limit"))
            .args(&setup.limit)
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().context("the server's output")?;
        let mut lines = BufReader::new(output).lines();
        let address = loop {
            let line = lines.next().context("the server ended before it could be asked")??;
            if let Some(address) = line.strip_prefix(READY) {
                break address.parse()?;
            }
        };
        // Its log goes on; somebody must read it, or it would wait.
        let (swapped, swaps) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let took = line.strip_prefix(SWAPPED).and_then(|nanos| nanos.parse().ok());
                let _ = took.map(|nanos| swapped.send(Duration::from_nanos(nanos)));
            }
        });
        Ok(Self { subject, address, swaps, child, _data: data })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a server says when it can be asked, before its address.
const READY: &str = "ready at ";

/// What a server says when it has swapped a module, before the nanoseconds that it took.
const SWAPPED: &str = "swapped in ";

/// Is a server until it is killed: one worker on one core, alike for all subjects.
pub(crate) fn serve(subject: Subject, data: &Path, setup: &Setup) -> anyhow::Result<()> {
    cpu::end_with_parent()?;
    cpu::pin(SERVER_CORE)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        match subject {
            Subject::Native => native::serve(data).await,
            Subject::HostelFresh => hosted::serve(data, setup, Guest::WithSdk, "fresh").await,
            Subject::HostelReused => hosted::serve(data, setup, Guest::WithSdk, "reused").await,
            Subject::ByHandFresh => hosted::serve(data, setup, Guest::ByHand, "fresh").await,
            Subject::ByHandReused => hosted::serve(data, setup, Guest::ByHand, "reused").await,
        }
    })
}

fn tell_ready(address: SocketAddr) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{READY}{address}")?;
    Ok(())
}

fn tell_swapped(time: Duration) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{SWAPPED}{}", time.as_nanos())?;
    Ok(())
}
