//! The servers: each a process of its own, this program started again.

pub(crate) mod fastapi;
mod hosted;
mod native;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use tokio::net::TcpStream;

use self::hosted::Guest;
use crate::load::{ask, with_runtime};
use crate::works::{Database, Task, Work, one_of_many};
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
    /// Fresh instances of a guest that has the small answer alone.
    SmallFresh,
    /// Kept instances of a guest that has the small answer alone.
    SmallReused,
    /// Fresh instances of a guest without the SDK.
    ByHandFresh,
    /// Kept instances of a guest without the SDK.
    ByHandReused,
    /// Fresh instances of a guest whose data are entities.
    EntitiesFresh,
    /// Kept instances of a guest whose data are entities.
    EntitiesReused,
    /// FastAPI, SQLModel and asyncpg.
    #[value(name = "fastapi")]
    FastApi,
}

impl Subject {
    /// Native first: the others are compared with it.
    pub(crate) const ALL: [Self; 10] = [
        Self::Native,
        Self::HostelFresh,
        Self::SmallFresh,
        Self::ByHandFresh,
        Self::EntitiesFresh,
        Self::HostelReused,
        Self::SmallReused,
        Self::ByHandReused,
        Self::EntitiesReused,
        Self::FastApi,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::HostelFresh => "hostel-fresh",
            Self::HostelReused => "hostel-reused",
            Self::SmallFresh => "small-fresh",
            Self::SmallReused => "small-reused",
            Self::ByHandFresh => "by-hand-fresh",
            Self::ByHandReused => "by-hand-reused",
            Self::EntitiesFresh => "entities-fresh",
            Self::EntitiesReused => "entities-reused",
            Self::FastApi => "fastapi",
        }
    }

    /// Whether it knows how. What the SDK costs shows best where there is nothing else to do, and what
    /// entities cost where there is data.
    pub(crate) fn does(self, work: Work) -> bool {
        match self {
            Self::SmallFresh | Self::SmallReused | Self::ByHandFresh | Self::ByHandReused => {
                work == Work::SmallJson
            }
            Self::EntitiesFresh | Self::EntitiesReused => {
                !matches!(work, Work::SmallJson | Work::Tenants | Work::Upload | Work::Download)
            }
            // What a list can be asked for is declared of entities.
            Self::HostelFresh | Self::HostelReused => work != Work::List,
            Self::Native | Self::FastApi => true,
        }
    }

    /// Whether it keeps its data there.
    pub(crate) fn runs_on(self, database: Database) -> bool {
        self != Self::FastApi || database == Database::Postgres
    }

    /// Whether it is a platform of ours.
    pub(crate) fn is_hosted(self) -> bool {
        !matches!(self, Self::Native | Self::FastApi)
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
    /// It runs on whichever core is free.
    #[arg(long)]
    pub(crate) all_cores: bool,
    /// All of the tenants' databases stay open.
    #[arg(long)]
    pub(crate) keep_open: bool,
    /// A PostgreSQL database; without one it is SQLite.
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
}

/// A server that runs; it ends when this is dropped.
pub(crate) struct Running {
    pub(crate) subject: Subject,
    pub(crate) address: SocketAddr,
    /// How long each swap took; it ends with the last.
    pub(crate) swaps: mpsc::Receiver<Duration>,
    child: Child,
}

impl Running {
    /// Starts a server on a folder and waits until it can be asked.
    pub(crate) fn start(subject: Subject, data: &Path, setup: &Setup) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", subject.name()])
            .arg(data)
            .args(["--tenants", &setup.tenants.to_string()])
            .args(["--swaps", &setup.swaps.to_string()])
            .args(setup.limit.first().map(|_| "--limit"))
            .args(&setup.limit)
            .args(setup.all_cores.then_some("--all-cores"))
            .args(setup.keep_open.then_some("--keep-open"))
            .args(setup.database_url.as_ref().map(|url| format!("--database-url={url}")))
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
        Ok(Self { subject, address, swaps, child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Makes the rows that a task needs.
    pub(crate) fn fill(&self, task: &Task) -> anyhow::Result<()> {
        if task.rows() == 0 {
            return Ok(());
        }
        with_runtime(async {
            let mut stream = TcpStream::connect(self.address).await?;
            let (path, body) = task.fill()?;
            for tenant in tenants_of(task) {
                let answer = ask(&mut stream, "POST", path, tenant.as_deref(), &body).await?;
                ensure!(answer.status == 204, "status {}: {}", answer.status, answer.text());
            }
            Ok(())
        })
        .with_context(|| format!("making the rows of {}", self.subject.name()))
    }

    /// Asks each tenant for something once, and says how long it took each.
    pub(crate) fn open_tenants(&self, task: &Task) -> anyhow::Result<Vec<Duration>> {
        with_runtime(async {
            let mut stream = TcpStream::connect(self.address).await?;
            let mut times = Vec::new();
            for tenant in tenants_of(task) {
                let begun = Instant::now();
                let answer = ask(&mut stream, "GET", "rows/1", tenant.as_deref(), "").await?;
                times.push(begun.elapsed());
                ensure!(answer.status == 200, "status {}: {}", answer.status, answer.text());
            }
            Ok(times)
        })
        .with_context(|| format!("opening the tenants of {}", self.subject.name()))
    }
}

/// The tenants that a task asks for; none is the default tenant.
fn tenants_of(task: &Task) -> impl Iterator<Item = Option<String>> {
    (0..task.tenants).map(one_of_many).map(Some).chain((task.tenants == 0).then_some(None))
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

/// Is a server until it is killed: one worker, and on one core, alike for all subjects.
pub(crate) fn serve(subject: Subject, data: &Path, setup: &Setup) -> anyhow::Result<()> {
    cpu::be_a_server()?;
    if !setup.all_cores {
        cpu::pin(SERVER_CORE)?;
    }
    if subject == Subject::FastApi {
        return fastapi::serve(setup);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        match subject {
            Subject::Native => native::serve(data, setup).await,
            Subject::HostelFresh => hosted::serve(data, setup, Guest::WithSdk, "fresh").await,
            Subject::HostelReused => hosted::serve(data, setup, Guest::WithSdk, "reused").await,
            Subject::SmallFresh => hosted::serve(data, setup, Guest::Small, "fresh").await,
            Subject::SmallReused => hosted::serve(data, setup, Guest::Small, "reused").await,
            Subject::ByHandFresh => hosted::serve(data, setup, Guest::ByHand, "fresh").await,
            Subject::ByHandReused => hosted::serve(data, setup, Guest::ByHand, "reused").await,
            Subject::EntitiesFresh => hosted::serve(data, setup, Guest::Entities, "fresh").await,
            Subject::EntitiesReused => hosted::serve(data, setup, Guest::Entities, "reused").await,
            Subject::FastApi => unreachable!("this process has become Python"),
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
