//! The load: as many connections as are asked for, each of which sends its next request when the
//! last one was answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::works::Work;

/// One answer in so many is read and checked whole; of the others, status and length.
const CHECK_EVERY: u32 = 256;

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
    work: Work,
    connections: usize,
    window: Duration,
) -> anyhow::Result<Done> {
    with_runtime(async {
        let started = Instant::now();
        let until = started + window;
        let clients: Vec<_> = (0..connections)
            .map(|client| {
                let first_turn = u32::try_from(client * 31).unwrap_or(0);
                tokio::task::spawn_local(client_loop(address, work, first_turn, until))
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let awake = async {
        loop {
            tokio::task::yield_now().await;
        }
    };
    runtime.block_on(tokio::task::LocalSet::new().run_until(async {
        tokio::select! {
            done = work => done,
            () = awake => unreachable!("it never ends"),
        }
    }))
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
    let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\nx-tenant: {tenant}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = Vec::new();
    let (status, body) = read_any(stream, &mut buffer).await?;
    Ok(Answer { status, body: buffer[body].to_vec() })
}

async fn client_loop(
    address: SocketAddr,
    work: Work,
    mut turn: u32,
    until: Instant,
) -> anyhow::Result<Histogram<u64>> {
    let mut stream = TcpStream::connect(address).await.context("connecting")?;
    stream.set_nodelay(true)?;
    let mut latencies = Histogram::new(3)?;
    let (mut request, mut answer) = (Vec::with_capacity(256), Vec::with_capacity(4096));
    let mut sent = 0;
    loop {
        let begun = Instant::now();
        if begun >= until {
            return Ok(latencies);
        }
        request.clear();
        work.write_request(turn, &mut request);
        stream.write_all(&request).await?;
        let body = read_answer(&mut stream, &mut answer).await?;
        latencies.record(u64::try_from(begun.elapsed().as_nanos())?)?;
        if sent % CHECK_EVERY == 0 && !work.is_answered_by(turn, body) {
            bail!("a wrong answer: {}", String::from_utf8_lossy(body));
        }
        sent += 1;
        // A linear congruential step: cheap, and no cache is always right.
        turn = turn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    }
}

/// Reads one answer that must have succeeded, and gives its body.
pub(crate) async fn read_answer<'b>(
    stream: &mut TcpStream,
    buffer: &'b mut Vec<u8>,
) -> anyhow::Result<&'b [u8]> {
    let (status, body) = read_any(stream, buffer).await?;
    if !(200..300).contains(&status) {
        bail!("status {status}: {}", String::from_utf8_lossy(&buffer[body]));
    }
    Ok(&buffer[body])
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
