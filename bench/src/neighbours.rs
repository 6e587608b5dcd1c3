//! What tenants feel of each other: one that asks for little, beside others that attack, and thousands
//! that take turns.
//!
//! These are figures about Hostel alone, so they have no native peer: the quiet host is the measure.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::ValueEnum;
use hdrhistogram::Histogram;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::cpu;
use crate::load::{ask, send, with_runtime, with_sleeping_runtime};
use crate::postgres::Postgres;
use crate::report::{median, say};
use crate::subjects::{Running, Setup, Subject};
use crate::works::one_of_many;

/// The tenant that asks for little.
const FRIENDLY: &str = "friendly";
/// The most that attack beside it.
const HOSTILE_MAX: usize = 10;
/// Connections of the friendly tenant, and the pause of each between an answer and the next request:
/// at most 1,600 requests a second.
const FRIENDLY_CONNECTIONS: usize = 8;
const FRIENDLY_PAUSE: Duration = Duration::from_millis(5);
/// As many as one tenant may have calls at once.
const HOSTILE_CONNECTIONS: usize = 200;

/// The limit in [`time_to_stop`].
const LIMIT: Duration = Duration::from_millis(50);

fn hostile(index: usize) -> String {
    format!("hostile-{index}")
}

pub(crate) fn is_hostile(slug: &str) -> bool {
    slug.starts_with("hostile-")
}

/// The tenants that a server needs for all of this, and `more` that take turns.
pub(crate) fn tenants(more: u32) -> impl Iterator<Item = String> {
    let hostile = (0..HOSTILE_MAX).map(self::hostile);
    [FRIENDLY.to_owned()].into_iter().chain(hostile).chain((0..more).map(one_of_many))
}

/// What hostile tenants do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attack {
    /// Computes for ever.
    Spin,
    /// Asks the database what has no end.
    Query,
    /// Has the database sort more than there is room for.
    Sort,
    /// Keeps a transaction that writes open, and computes.
    Lock,
}

impl Attack {
    fn path(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::Query => "query",
            Self::Sort => "sort",
            Self::Lock => "lock",
        }
    }

    /// What the friendly tenant asks for: where the database is attacked, something of it.
    fn friendly_path(self) -> &'static str {
        match self {
            Self::Spin => "hello/friend",
            Self::Query | Self::Sort | Self::Lock => "rows/1",
        }
    }
}

/// Friendly tenant's latency: quiet, beside one hostile tenant, beside ten.
pub(crate) fn hostile_neighbour(
    attack: Attack,
    database: Option<&Postgres>,
    window: Duration,
    rounds: u32,
) -> anyhow::Result<()> {
    // What is long on a server of its own takes a core, and nobody is to be tied to that one.
    let all_cores = database.is_some();
    if !all_cores {
        cpu::pin(crate::LOAD_CORE)?;
    }
    let data = tempfile::tempdir()?;
    let database_url = prepared(database, "neighbours")?;
    let setup = Setup { database_url, all_cores, ..Setup::default() };
    let server = Running::start(Subject::HostelFresh, data.path(), &setup)?;
    with_runtime(fill(server.address))?;
    let scenarios = [0, 1, HOSTILE_MAX];
    let mut figures = vec![Vec::new(); scenarios.len()];
    for _ in 0..rounds {
        for (scenario, neighbours) in scenarios.iter().enumerate() {
            let felt = beside(server.address, attack, *neighbours, window);
            figures[scenario].push(match all_cores {
                true => with_sleeping_runtime(felt)?,
                false => with_runtime(felt)?,
            });
        }
    }
    say(&format!(
        "{:<12} {:>9} {:>9} {:>9} {:>9} {:>12}",
        "neighbours", "answers", "refused", "p50 ms", "p99 ms", "p99/quiet"
    ))?;
    let of = |scenario: usize, figure: fn(&Felt) -> f64| {
        median(figures[scenario].iter().map(figure).collect())
    };
    for (scenario, neighbours) in scenarios.iter().enumerate() {
        let p99 = of(scenario, |felt| felt.p99_ms);
        say(&format!(
            "{neighbours:<12} {:>9.0} {:>9.0} {:>9.3} {:>9.3} {:>12.2}",
            of(scenario, |felt| felt.answers),
            of(scenario, |felt| felt.refused),
            of(scenario, |felt| felt.p50_ms),
            p99,
            p99 / of(0, |felt| felt.p99_ms)
        ))?;
    }
    Ok(())
}

/// A database for a platform, where there is a server for it.
fn prepared(database: Option<&Postgres>, name: &str) -> anyhow::Result<Option<String>> {
    database.map(|postgres| with_runtime(postgres.prepare_database(name))).transpose()
}

/// Makes the rows that are asked for and kept locked.
async fn fill(address: SocketAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    for tenant in tenants(0) {
        let answer = ask(&mut stream, "POST", "rows", Some(&tenant), "{\"count\":100}").await?;
        ensure!(answer.status == 204, "{tenant} got {}: {}", answer.status, answer.text());
    }
    Ok(())
}

/// What the friendly tenant felt.
#[derive(Clone)]
struct Felt {
    answers: f64,
    /// Answers that were none of its own: it was too busy, or too slow.
    refused: f64,
    p50_ms: f64,
    p99_ms: f64,
}

async fn beside(
    address: SocketAddr,
    attack: Attack,
    neighbours: usize,
    window: Duration,
) -> anyhow::Result<Felt> {
    let attacking: Vec<JoinHandle<()>> = (0..neighbours * HOSTILE_CONNECTIONS)
        .map(|index| {
            let tenant = hostile(index % HOSTILE_MAX.min(neighbours));
            tokio::task::spawn_local(attacked_by(address, attack, tenant))
        })
        .collect();
    // Until they spin there is nothing to be felt, and while thousands connect, too much.
    tokio::time::sleep(crate::WARM_UP * if neighbours > 0 { 8 } else { 1 }).await;
    let until = Instant::now() + window;
    let friends: Vec<_> = (0..FRIENDLY_CONNECTIONS)
        .map(|_| tokio::task::spawn_local(friend(address, attack, until)))
        .collect();
    let (mut latencies, mut refused) = (Histogram::<u64>::new(3)?, 0);
    for friend in friends {
        let (of_one, refused_to_one) = friend.await??;
        latencies.add(of_one)?;
        refused += refused_to_one;
    }
    attacking.iter().for_each(JoinHandle::abort);
    for attacking in attacking {
        let _ = attacking.await;
    }
    let millis = |quantile| latencies.value_at_quantile(quantile) as f64 / 1e6;
    Ok(Felt {
        answers: latencies.len() as f64,
        refused: f64::from(refused),
        p50_ms: millis(0.5),
        p99_ms: millis(0.99),
    })
}

async fn friend(
    address: SocketAddr,
    attack: Attack,
    until: Instant,
) -> anyhow::Result<(Histogram<u64>, u32)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut latencies, mut refused) = (Histogram::new(3)?, 0);
    while Instant::now() < until {
        let begun = Instant::now();
        let answer = send(&mut stream, attack.friendly_path(), FRIENDLY).await?;
        refused += u32::from(answer.status != 200);
        latencies.record(u64::try_from(begun.elapsed().as_nanos())?)?;
        tokio::time::sleep(FRIENDLY_PAUSE).await;
    }
    Ok((latencies, refused))
}

/// Attacks again and again.
async fn attacked_by(address: SocketAddr, attack: Attack, tenant: String) {
    let Ok(mut stream) = TcpStream::connect(address).await else { return };
    while send(&mut stream, attack.path(), &tenant).await.is_ok() {}
}

/// What a call that spins meets.
#[derive(Clone, Copy)]
enum Limited {
    Cpu,
    Time,
}

impl Limited {
    fn key(self) -> &'static str {
        match self {
            Self::Cpu => "cpu_ms",
            Self::Time => "call_timeout_ms",
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Cpu => "cpu-limit",
            Self::Time => "call-timeout",
        }
    }

    /// What was spent of it, since the server or the measurement began.
    fn spent(self, server: u32, began: Instant) -> anyhow::Result<Duration> {
        match self {
            Self::Cpu => cpu::precise_time_of(server),
            Self::Time => Ok(began.elapsed()),
        }
    }
}

/// How far a call that spins gets beyond its limit: in CPU time, and from its begin to the answer.
pub(crate) fn time_to_stop(samples: u32) -> anyhow::Result<()> {
    cpu::pin(crate::LOAD_CORE)?;
    say(&format!("{:<24} {:>12} {:>9} {:>9}", "limit", "code", "p50 ms", "p99 ms"))?;
    for (name, limited, at_once) in [
        ("50 ms of CPU, alone", Limited::Cpu, 1),
        ("50 ms, alone", Limited::Time, 1),
        ("50 ms, 20 at once", Limited::Time, 20),
    ] {
        let limit = vec![limited.key().to_owned(), LIMIT.as_millis().to_string()];
        let setup = Setup { limit, ..Setup::default() };
        let data = tempfile::tempdir()?;
        let server = Running::start(Subject::HostelFresh, data.path(), &setup)?;
        let over = with_runtime(async {
            let each = samples.div_ceil(at_once);
            let callers: Vec<_> = (0..at_once)
                .map(|_| {
                    tokio::task::spawn_local(overruns(server.address, server.pid(), limited, each))
                })
                .collect();
            let mut over = Histogram::<u64>::new(3)?;
            for caller in callers {
                over.add(caller.await??)?;
            }
            Ok(over)
        })?;
        let millis = |quantile| over.value_at_quantile(quantile) as f64 / 1e6;
        let code = limited.code();
        say(&format!("{name:<24} {code:>12} {:>9.1} {:>9.1}", millis(0.5), millis(0.99)))?;
    }
    Ok(())
}

async fn overruns(
    address: SocketAddr,
    server: u32,
    limited: Limited,
    samples: u32,
) -> anyhow::Result<Histogram<u64>> {
    let mut stream = TcpStream::connect(address).await?;
    let mut over = Histogram::new(3)?;
    let (began, code) = (Instant::now(), limited.code());
    for _ in 0..samples {
        let before = limited.spent(server, began)?;
        let answer = send(&mut stream, "spin", &hostile(0)).await?;
        let spent = limited.spent(server, began)?.saturating_sub(before);
        ensure!(answer.text().contains(code), "expected {code}: {}", answer.text());
        over.record(u64::try_from(spent.saturating_sub(LIMIT).as_nanos())?)?;
    }
    Ok(over)
}

/// Many tenants with a database each, one after the other, again and again: what a start takes, a
/// first request to each, one to each that is known, and what is left behind.
pub(crate) fn many_tenants(
    tenants: u32,
    database: Option<&Postgres>,
    rounds: u32,
) -> anyhow::Result<()> {
    cpu::pin(crate::LOAD_CORE)?;
    for instances in [Subject::HostelFresh, Subject::HostelReused] {
        let database_url = prepared(database, instances.name())?;
        let setup = Setup { tenants, database_url, ..Setup::default() };
        let data = tempfile::tempdir()?;
        // Makes the tenants.
        drop(Running::start(instances, data.path(), &setup)?);
        let begun = Instant::now();
        let server = Running::start(instances, data.path(), &setup)?;
        let ready = begun.elapsed();
        say(&format!(
            "{}: {tenants} tenants, round robin; ready after {} ms",
            instances.name(),
            ready.as_millis()
        ))?;
        let before = cpu::footprint_of(server.pid())?;
        for round in 0..=rounds {
            let latencies = match round {
                0 => Histogram::new(3)?,
                _ => with_runtime(round_robin(server.address, tenants))?,
            };
            let footprint = cpu::footprint_of(server.pid())?;
            let grown = footprint.rss_bytes.saturating_sub(before.rss_bytes);
            let millis = |quantile| latencies.value_at_quantile(quantile) as f64 / 1e6;
            say(&format!(
                "  after round {round}: {:>7} KiB, {:>6.1} KiB a tenant, {:>5} files, read p50 {:>7.3} ms, p99 {:>7.3} ms",
                footprint.rss_bytes / 1024,
                grown as f64 / 1024.0 / f64::from(tenants),
                footprint.files,
                millis(0.5),
                millis(0.99)
            ))?;
        }
    }
    Ok(())
}

/// How long an answer from each tenant's database takes.
async fn round_robin(address: SocketAddr, tenants: u32) -> anyhow::Result<Histogram<u64>> {
    let mut stream = TcpStream::connect(address).await?;
    let mut latencies = Histogram::new(3)?;
    for index in 0..tenants {
        let begun = Instant::now();
        let answer = send(&mut stream, "count", &one_of_many(index)).await?;
        latencies.record(u64::try_from(begun.elapsed().as_nanos())?)?;
        ensure!(answer.status == 200, "tenant {index} got {}: {}", answer.status, answer.text());
    }
    Ok(latencies)
}
