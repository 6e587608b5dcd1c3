//! Measures Hostel beside a native program that does the same work, in one go and interleaved, so
//! that whatever else the machine does meets all of them alike.
//!
//! The server is pinned to one core and the load to another. What counts is the CPU time that the
//! server's process spends on a request, as a ratio to the native program's in the same round.

mod cpu;
mod load;
mod neighbours;
mod report;
mod subjects;
mod swaps;
mod works;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};

use crate::report::{Report, Row};
use crate::subjects::{Running, Setup, Subject};
use crate::works::Work;

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
    #[arg(long, default_value_t = 32)]
    connections: usize,
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
    /// What a tenant feels of neighbours that spin: its latency beside none, one and ten of them.
    HostileNeighbour,
    /// How far a call that spins gets beyond its limit, in CPU time and in time.
    TimeToStop {
        #[arg(long, default_value_t = 200)]
        samples: u32,
    },
    /// What tenants that take turns leave behind: memory and open files after each round.
    ManyTenants {
        #[arg(long, default_value_t = 1_000)]
        tenants: u32,
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
        Some(Command::HostileNeighbour) => {
            neighbours::hostile_neighbour(window(arguments.seconds)?, arguments.rounds)
        }
        Some(Command::TimeToStop { samples }) => neighbours::time_to_stop(*samples),
        Some(Command::ManyTenants { tenants }) => {
            neighbours::many_tenants(*tenants, arguments.rounds)
        }
        Some(Command::SwapUnderLoad { swaps }) => swaps::under_load(*swaps, arguments.connections),
        Some(Command::Hold { subject, work }) => hold(&arguments, *subject, *work),
        None => measure(&arguments),
    }
}

fn window(seconds: f64) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(seconds).context("--seconds is not a time")
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
    let start = |subject: &Subject| Running::start(*subject, &Setup::default());
    let running: Vec<Running> = Subject::ALL.iter().map(start).collect::<Result<_, _>>()?;
    let mut report = Report::new();
    for work in works {
        for _ in 0..arguments.rounds {
            for server in running.iter().filter(|server| server.subject.does(work)) {
                let row =
                    one_window(server, work, arguments.connections, window(arguments.seconds)?)?;
                report.add(work, server.subject, row);
            }
        }
    }
    report.print()?;
    match &arguments.json {
        Some(file) => report.write(file),
        None => Ok(()),
    }
}

fn one_window(
    server: &Running,
    work: Work,
    connections: usize,
    window: Duration,
) -> anyhow::Result<Row> {
    let name = || format!("{} on {}", work.name(), server.subject.name());
    load::run(server.address, work, connections, WARM_UP).with_context(name)?;
    let before = cpu::time_of(server.pid())?;
    let done = load::run(server.address, work, connections, window).with_context(name)?;
    let used = cpu::time_of(server.pid())?.saturating_sub(before);
    Ok(Row::new(&done, used))
}

fn hold(arguments: &Arguments, subject: Subject, work: Work) -> anyhow::Result<()> {
    cpu::pin(LOAD_CORE)?;
    let server = Running::start(subject, &Setup::default())?;
    report::say(&format!("{} runs as process {}", subject.name(), server.pid()))?;
    let row = one_window(&server, work, arguments.connections, window(arguments.seconds)?)?;
    report::say(&format!("{:.0} req/s, {:.1} us of CPU each", row.req_per_s, row.cpu_us_per_req))
}
