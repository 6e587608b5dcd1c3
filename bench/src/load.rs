//! The load: as many connections as are asked for, each of which sends its next request when the
//! last one was answered.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::works::{Task, write_request};

/// What came of a window.
pub(crate) struct Done {
    pub(crate) requests: u64,
    pub(crate) time: Duration,
    /// In nanoseconds.
    pub(crate) latencies: Histogram<u64>,
}

/// Keeps `connections` busy for `window`.
pub(crate) fn run(
    address: SocketAddr,
    task: &Rc<Task>,
    connections: u32,
    window: Duration,
) -> anyhow::Result<Done> {
    with_runtime(async {
        let started = Instant::now();
        let until = started + window;
        let clients: Vec<_> = (0..connections)
            .map(|client| {
                let turns = (client..).step_by(connections as usize);
                tokio::task::spawn_local(client_loop(address, Rc::clone(task), turns, until))
            })
            .collect();
        let mut latencies = Histogram::new(3)?;
        for client in clients {
            latencies.add(client.await??)?;
        }
        Ok(Done { requests: latencies.len(), time: started.elapsed(), latencies })
    })
}

/// Runs the load's side on one thread, which never sleeps: waking another core costs the server
/// several microseconds, which only those that are slower than the load would pay.
pub(crate) fn with_runtime<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let awake = async {
        loop {
            tokio::task::yield_now().await;
        }
    };
    with_sleeping_runtime(async {
        tokio::select! {
            done = work => done,
            () = awake => unreachable!("it never ends"),
        }
    })
}

/// Runs the load's side on one thread, which leaves its core to others while it waits.
pub(crate) fn with_sleeping_runtime<T>(
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::task::LocalSet::new().run_until(work))
}

/// An answer, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: u16,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

/// Asks for `path` in a tenant's name, and reads the answer.
pub(crate) async fn send(
    stream: &mut TcpStream,
    path: &str,
    tenant: &str,
) -> anyhow::Result<Answer> {
    ask(stream, "GET", path, Some(tenant), "").await
}

/// Sends one request and reads its answer.
pub(crate) async fn ask(
    stream: &mut TcpStream,
    method: &str,
    path: &str,
    tenant: Option<&str>,
    body: &str,
) -> anyhow::Result<Answer> {
    let mut request = String::new();
    write_request(method, path, tenant, body, &mut request);
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = Vec::new();
    let (status, body) = read_any(stream, &mut buffer).await?;
    Ok(Answer { status, body: buffer[body].to_vec() })
}

async fn client_loop(
    address: SocketAddr,
    task: Rc<Task>,
    turns: impl Iterator<Item = u32>,
    until: Instant,
) -> anyhow::Result<Histogram<u64>> {
    let mut stream = TcpStream::connect(address).await.context("connecting")?;
    stream.set_nodelay(true)?;
    let mut latencies = Histogram::new(3)?;
    let (mut request, mut answer) = (String::with_capacity(256), Vec::with_capacity(4096));
    for (turn, sent) in turns.zip(0_u32..) {
        let begun = Instant::now();
        if begun >= until {
            break;
        }
        request.clear();
        task.write_request(turn, &mut request);
        stream.write_all(request.as_bytes()).await?;
        stream.write_all(task.large_body()).await?;
        let (status, body) = read_any(&mut stream, &mut answer).await?;
        latencies.record(u64::try_from(begun.elapsed().as_nanos())?)?;
        let body = &answer[body];
        let is_wrong = || !task.is_answered_by(turn, status, body);
        if !(200..300).contains(&status) || sent % task.work.check_every() == 0 && is_wrong() {
            bail!("a wrong answer, status {status}: {}", String::from_utf8_lossy(body));
        }
    }
    Ok(latencies)
}

/// Reads one answer, and says where in the buffer its body is.
async fn read_any(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> anyhow::Result<(u16, std::ops::Range<usize>)> {
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        if let Some(answer) = parse(buffer)? {
            return Ok(answer);
        }
    }
}

/// The status, and where the body is; none while something is missing.
fn parse(answer: &[u8]) -> anyhow::Result<Option<(u16, std::ops::Range<usize>)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(answer)? else { return Ok(None) };
    let length: usize = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .map_or(Ok(0), |header| {
            std::str::from_utf8(header.value)?.parse().map_err(anyhow::Error::from)
        })?;
    let end = head + length;
    Ok((answer.len() >= end).then_some((response.code.unwrap_or(0), head..end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(parse(answer).unwrap(), Some((200, 38..40)));
        assert_eq!(parse(&answer[..39]).unwrap(), None);
        assert_eq!(parse(&answer[..20]).unwrap(), None);
        assert!(parse(b"nonsense\r\n\r\n").is_err());
    }
}
