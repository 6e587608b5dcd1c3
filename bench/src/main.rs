//! Measures Hostel beside a native program that does the same work, in one go and interleaved, so
//! that whatever else the machine does meets all of them alike.
//!
//! The server is pinned to one core and the load to another. What counts is the CPU time that the
//! server's process spends on a request, as a ratio to the native program's in the same round; with
//! workers, that of all of them. PostgreSQL, started for the purpose, shares the server's core, and
//! what it takes is told beside that.

mod articles;
mod cpu;
mod load;
mod migrations;
mod neighbours;
mod postgres;
mod report;
mod subjects;
mod swaps;
mod works;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand, ValueEnum};

use crate::postgres::Postgres;
use crate::report::{Report, Row};
use crate::subjects::{Running, Setup, Subject, fastapi};
use crate::works::{Database, Task, Work};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The core of the server, and that of the load.
const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;
/// Before each window, so that code is mapped and statements are prepared.
const WARM_UP: Duration = Duration::from_millis(500);

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Measure this work alone.
    #[arg(long, value_name = "WORK")]
    only: Option<Work>,
    /// Where the data is. PostgreSQL is started for the purpose, on the server's core.
    #[arg(long, global = true, value_enum, default_value = "sqlite")]
    database: Database,
    /// Measure another peer, too.
    #[arg(long, value_name = "PEER")]
    peer: Option<Peer>,
    /// Write the figures to a file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How long each subject is measured in each round.
    #[arg(long, global = true, default_value_t = 3.0)]
    seconds: f64,
    /// How often each subject has its turn.
    #[arg(long, global = true, default_value_t = 5)]
    rounds: u32,
    /// Connections at once.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
}

/// What Hostel is measured beside when it is asked for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// FastAPI, SQLModel and asyncpg, on PostgreSQL. It is installed into the cache.
    #[value(name = "fastapi")]
    FastApi,
}

#[derive(Subcommand)]
enum Command {
    /// Be one of the servers.
    #[command(hide = true)]
    Serve {
        subject: Subject,
        data: PathBuf,
        #[command(flatten)]
        setup: Setup,
    },
    /// What a tenant feels of hostile neighbours: its latency beside none, one and ten of them.
    HostileNeighbour {
        /// What they do.
        #[arg(long, value_enum, default_value = "spin")]
        attack: neighbours::Attack,
    },
    /// How far a call that spins gets beyond its limit, in CPU time and in time.
    TimeToStop {
        #[arg(long, default_value_t = 200)]
        samples: u32,
    },
    /// What tenants that take turns cost: a start, first requests and further ones, memory and open
    /// files after each round.
    ManyTenants {
        #[arg(long, default_value_t = 1_000)]
        tenants: u32,
    },
    /// Add a column and an index to each tenant's table, and take them back.
    Migrate {
        #[arg(long, default_value_t = 1_000)]
        tenants: u32,
        /// Tenants at once.
        #[arg(long, default_value_t = 4)]
        workers: u16,
    },
    /// Swap two versions of a module while it is asked: no request may fail.
    SwapUnderLoad {
        #[arg(long, default_value_t = 100)]
        swaps: u32,
    },
    /// Keep one subject under load, for a profiler.
    Hold { subject: Subject, work: Work },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match &arguments.command {
        Some(Command::Serve { subject, data, setup }) => subjects::serve(*subject, data, setup),
        Some(Command::HostileNeighbour { attack }) => {
            let window = window(arguments.seconds)?;
            // A server whose only core is taken could keep nobody from waiting.
            let postgres = start_postgres(arguments.database)?;
            neighbours::hostile_neighbour(*attack, postgres.as_ref(), window, arguments.rounds)
        }
        Some(Command::TimeToStop { samples }) => neighbours::time_to_stop(*samples),
        Some(Command::ManyTenants { tenants }) => {
            let postgres = postgres(arguments.database)?;
            neighbours::many_tenants(*tenants, postgres.as_ref(), arguments.rounds)
        }
        Some(Command::Migrate { tenants, workers }) => {
            let postgres = start_postgres(arguments.database)?;
            migrations::of_many_tenants(*tenants, *workers, postgres.as_ref(), arguments.rounds)
        }
        Some(Command::SwapUnderLoad { swaps }) => swaps::under_load(*swaps, arguments.connections),
        Some(Command::Hold { subject, work }) => hold(&arguments, *subject, *work),
        None => measure(&arguments),
    }
}

fn window(seconds: f64) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(seconds).context("--seconds is not a time")
}

/// A PostgreSQL, where that is measured. It shares the core of the servers, which would else wait for
/// another's turn.
fn postgres(database: Database) -> anyhow::Result<Option<Postgres>> {
    cpu::pin(SERVER_CORE)?;
    let postgres = start_postgres(database);
    cpu::pin(LOAD_CORE)?;
    postgres
}

/// A PostgreSQL, where that is measured, on the cores of this process.
fn start_postgres(database: Database) -> anyhow::Result<Option<Postgres>> {
    match database {
        Database::Sqlite => Ok(None),
        Database::Postgres => Postgres::start().map(Some),
    }
}

fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    if std::thread::available_parallelism()?.get() < 2 {
        bail!("this needs two cores: one for the server, one for the load");
    }
    cpu::pin(LOAD_CORE)?;
    let works: Vec<Work> = match arguments.only {
        Some(work) => vec![work],
        None => Work::ALL.to_vec(),
    };
    let mut bench = Bench::new(arguments)?;
    for work in works {
        bench.measure(work)?;
    }
    let report = bench.report;
    report.print()?;
    match &arguments.json {
        Some(file) => report.write(file),
        None => Ok(()),
    }
}

/// What all works share.
struct Bench<'a> {
    arguments: &'a Arguments,
    window: Duration,
    postgres: Option<Postgres>,
    subjects: Vec<Subject>,
    report: Report,
}

impl<'a> Bench<'a> {
    fn new(arguments: &'a Arguments) -> anyhow::Result<Self> {
        let (database, peer) = (arguments.database, arguments.peer);
        if peer == Some(Peer::FastApi) && database != Database::Postgres {
            bail!("FastAPI runs on PostgreSQL only\nhint: add `--database postgres`");
        }
        let is_wanted = |subject: &Subject| {
            subject.runs_on(database) && (*subject != Subject::FastApi || peer.is_some())
        };
        Ok(Self {
            arguments,
            window: window(arguments.seconds)?,
            postgres: postgres(database)?,
            subjects: Subject::ALL.into_iter().filter(is_wanted).collect(),
            report: Report::default(),
        })
    }

    /// All subjects that do a work, each with data of its own that no other work has seen.
    fn measure(&mut self, work: Work) -> anyhow::Result<()> {
        let task = Rc::new(Task::new(work, self.arguments.database));
        let mut servers = Vec::new();
        for subject in self.subjects.clone() {
            if subject.does(work) {
                let data = tempfile::tempdir()?;
                servers.push((self.prepare(subject, &task, data.path())?, data));
            }
        }
        for _ in 0..self.arguments.rounds {
            for (server, _) in &servers {
                let row = self.one_window(server, &task)?;
                self.report.add(work, server.subject, row);
            }
        }
        Ok(())
    }

    /// Starts a server and makes its rows.
    fn prepare(&mut self, subject: Subject, task: &Task, data: &Path) -> anyhow::Result<Running> {
        if subject == Subject::FastApi {
            fastapi::install()?;
        }
        let database_url = match &self.postgres {
            Some(postgres) => {
                let name = format!("{}-{}", subject.name(), task.work.name());
                Some(load::with_runtime(async {
                    match subject.is_hosted() {
                        true => postgres.prepare_database(&name).await,
                        false => postgres.create_database(&name).await,
                    }
                })?)
            }
            None => None,
        };
        let keep_open = task.tenants > 0;
        let setup = Setup { tenants: task.tenants, keep_open, database_url, ..Setup::default() };
        let server = Running::start(subject, data, &setup)?;
        server.fill(task)?;
        if task.tenants == 0 {
            return Ok(server);
        }
        // Another has made them: what is seen now is what opening costs.
        drop(server);
        let server = Running::start(subject, data, &setup)?;
        let times = server.open_tenants(task)?;
        self.report.add_opened(task.work, subject, &times);
        Ok(server)
    }

    fn one_window(&self, server: &Running, task: &Rc<Task>) -> anyhow::Result<Row> {
        let name = || format!("{} on {}", task.work.name(), server.subject.name());
        let connections = self.arguments.connections;
        load::run(server.address, task, connections, WARM_UP).with_context(name)?;
        let before = self.cpu_times(server)?;
        let done = load::run(server.address, task, connections, self.window).with_context(name)?;
        let after = self.cpu_times(server)?;
        let database = after.1.zip(before.1).map(|(after, before)| after.saturating_sub(before));
        Ok(Row::new(&done, after.0.saturating_sub(before.0), database))
    }

    /// Of a server, and of PostgreSQL.
    fn cpu_times(&self, server: &Running) -> anyhow::Result<(Duration, Option<Duration>)> {
        let database = self.postgres.as_ref().map(|postgres| cpu::time_of(postgres.pid()));
        Ok((cpu::time_of(server.pid())?, database.transpose()?))
    }
}

fn hold(arguments: &Arguments, subject: Subject, work: Work) -> anyhow::Result<()> {
    cpu::pin(LOAD_CORE)?;
    let mut bench = Bench::new(arguments)?;
    if !subject.does(work) || !subject.runs_on(arguments.database) {
        bail!("{} does not do {} there", subject.name(), work.name());
    }
    let task = Rc::new(Task::new(work, arguments.database));
    let data = tempfile::tempdir()?;
    let server = bench.prepare(subject, &task, data.path())?;
    report::say(&format!("{} runs as process {}", subject.name(), server.pid()))?;
    let row = bench.one_window(&server, &task)?;
    report::say(&format!("{:.0} req/s, {:.1} us of CPU each", row.req_per_s, row.cpu_us_per_req))
}
