//! A client that speaks TCP and decides by itself what to make of it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::DEADLINE;

/// How slow a slow client is: far from any timeout of a test, so that each byte comes in time.
const DRIP: Duration = Duration::from_millis(20);

/// One connection.
pub struct Peer(TcpStream);

impl Peer {
    /// Connects.
    pub async fn to(address: SocketAddr) -> Self {
        Self::over(soon("a connection", TcpStream::connect(address)).await.unwrap())
    }

    /// Connects; the system takes little for it that it has not read.
    pub async fn with_a_small_buffer(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self::over(soon("a connection", socket.connect(address)).await.unwrap())
    }

    fn over(stream: TcpStream) -> Self {
        // Small frames that wait for each other's receipt would take tens of milliseconds each.
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Connects and sends this.
    pub async fn sending(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Self {
        let mut peer = Self::to(address).await;
        peer.send(bytes).await;
        peer
    }

    /// Sends this.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap();
    }

    /// Sends this, if the connection still stands.
    ///
    /// # Errors
    /// When it does not.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.write_all(bytes.as_ref()).await
    }

    /// Reads exactly so many bytes.
    pub async fn read(&mut self, bytes: usize) -> Vec<u8> {
        self.try_read(bytes).await.unwrap()
    }

    /// Reads exactly so many bytes, if they come.
    ///
    /// # Errors
    /// When the connection ends before.
    pub async fn try_read(&mut self, bytes: usize) -> io::Result<Vec<u8>> {
        let mut read = vec![0; bytes];
        soon("bytes", self.0.read_exact(&mut read)).await?;
        Ok(read)
    }

    /// Reads one answer over HTTP/1, whose head says how long it is.
    pub async fn answer(&mut self) -> String {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.extend(self.read(1).await);
        }
        let head = String::from_utf8(answer.clone()).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        answer.extend(self.read(length.map_or(0, |length| length.parse().unwrap())).await);
        String::from_utf8(answer).unwrap()
    }

    /// Sends a byte now and then for as long as the connection stands; gives what came back.
    pub async fn drip(self) -> String {
        let (mut reading, mut writing) = self.0.into_split();
        let dripping = async {
            while writing.write_all(b"x").await.is_ok() {
                tokio::time::sleep(DRIP).await;
            }
            std::future::pending::<()>().await;
        };
        let mut answer = Vec::new();
        tokio::select! {
            // A reset ends it too.
            _ = soon("an end", reading.read_to_end(&mut answer)) => {}
            () = dripping => {}
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Reads until the host closes the connection, in whatever way.
    pub async fn until_closed(&mut self) -> String {
        String::from_utf8_lossy(&self.bytes_until_closed().await).into_owned()
    }

    /// Reads until the host closes the connection, in whatever way.
    pub async fn bytes_until_closed(&mut self) -> Vec<u8> {
        let mut read = Vec::new();
        let _ = soon("an end", self.0.read_to_end(&mut read)).await;
        read
    }

    /// Whether the host has closed the connection, as far as can be told without reading.
    pub async fn is_closed(&mut self) -> bool {
        self.try_send(b"x").await.is_err()
    }

    /// Whether the end of what the host sends has come already.
    pub fn has_ended(&self) -> bool {
        matches!(self.0.try_read(&mut [0]), Ok(0))
    }

    /// Throws away what has come already; whether there was any.
    pub fn try_read_now(&mut self) -> bool {
        matches!(self.0.try_read(&mut [0; 4096]), Ok(1..))
    }

    /// Closes its own side, and goes on reading.
    pub async fn close_own_side(&mut self) {
        self.0.shutdown().await.unwrap();
    }

    /// Ends the connection as a machine does that knows nothing of it.
    pub fn reset(self) {
        self.0.set_zero_linger().unwrap();
    }
}

/// # Panics
/// When it takes longer than anything should.
async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(DEADLINE, work).await;
    done.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}
