//! What clients feel when a module is swapped while they ask: nothing, it is hoped.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc::TryRecvError;
use std::time::Duration;

use anyhow::{bail, ensure};
use hdrhistogram::Histogram;
use tokio::net::TcpStream;

use crate::cpu;
use crate::load::{send, with_runtime};
use crate::report::say;
use crate::subjects::{Running, Setup, Subject};

const PAUSE: Duration = Duration::from_millis(5);

/// Requests, those that failed, and how long the swaps took.
pub(crate) fn under_load(swaps: u32, connections: u32) -> anyhow::Result<()> {
    cpu::pin(crate::LOAD_CORE)?;
    say(&format!(
        "{:<14} {:>6} {:>9} {:>9} {:>12} {:>12}",
        "instances", "swaps", "requests", "failures", "swap p50 ms", "swap p99 ms"
    ))?;
    let mut failures = 0;
    for subject in [Subject::HostelFresh, Subject::HostelReused] {
        let data = tempfile::tempdir()?;
        let server = Running::start(subject, data.path(), &Setup { swaps, ..Setup::default() })?;
        let (asked, times) = with_runtime(ask_while_swapped(&server, swaps, connections))?;
        let millis = |quantile| times.value_at_quantile(quantile) as f64 / 1e6;
        say(&format!(
            "{:<14} {swaps:>6} {:>9} {:>9} {:>12.3} {:>12.3}",
            subject.name(),
            asked.requests.get(),
            asked.failures.get(),
            millis(0.5),
            millis(0.99)
        ))?;
        failures += asked.failures.get();
    }
    ensure!(failures == 0, "{failures} requests failed");
    Ok(())
}

#[derive(Default)]
struct Asked {
    requests: Cell<u64>,
    failures: Cell<u64>,
    is_over: Cell<bool>,
}

async fn ask_while_swapped(
    server: &Running,
    swaps: u32,
    connections: u32,
) -> anyhow::Result<(Rc<Asked>, Histogram<u64>)> {
    let asked = Rc::new(Asked::default());
    let clients: Vec<_> = (0..connections)
        .map(|_| tokio::task::spawn_local(ask(server.address, Rc::clone(&asked))))
        .collect();
    let mut times = Histogram::new(3)?;
    while times.len() < u64::from(swaps) {
        match server.swaps.try_recv() {
            Ok(time) => times.record(u64::try_from(time.as_nanos())?)?,
            Err(TryRecvError::Empty) => tokio::time::sleep(PAUSE).await,
            Err(TryRecvError::Disconnected) => bail!("the server ended before the last swap"),
        }
    }
    asked.is_over.set(true);
    for client in clients {
        client.await?;
    }
    Ok((asked, times))
}

/// Asks until it is over. Whatever is no answer of the module's is a failure, a lost connection
/// among them.
async fn ask(address: SocketAddr, asked: Rc<Asked>) {
    while !asked.is_over.get() {
        let Ok(mut stream) = TcpStream::connect(address).await else {
            asked.failures.set(asked.failures.get() + 1);
            continue;
        };
        while !asked.is_over.get() {
            asked.requests.set(asked.requests.get() + 1);
            let answer = send(&mut stream, "hello/swap", "friendly").await;
            if !answer.is_ok_and(|answer| answer.status == 200) {
                asked.failures.set(asked.failures.get() + 1);
                break;
            }
        }
    }
}
