//! A request whose head is sent and whose body is not: it runs for as long as a test wants it to.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const BODY: &[u8] = b"at last";

/// A `POST` that waits for its body.
pub struct HalfSent(TcpStream);

impl HalfSent {
    /// Sends the head, and waits until the host asks for the body: then the request is running.
    ///
    /// # Panics
    /// When the host does not ask.
    pub async fn to(address: SocketAddr, path: &str, tenant: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nx-tenant: {tenant}\r\n\
             content-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
            BODY.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut asked = [0; 25];
        stream.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
        Self(stream)
    }

    /// Sends the body, and reads the whole answer.
    pub async fn finish(&mut self) -> String {
        self.0.write_all(BODY).await.unwrap();
        self.read().await
    }

    /// Reads the whole answer.
    pub async fn read(&mut self) -> String {
        let mut answer = Vec::new();
        self.0.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}
