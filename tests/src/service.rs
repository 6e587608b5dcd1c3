//! A service on this machine that modules call: over plain HTTP or TLS, and of good or bad will.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{self, Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::serve::Listener;
use futures_util::stream;
use http::StatusCode;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::server::TlsStream;

/// It answers by path: `/status/<status>`, `/redirect/<status>/<where to>`, `/bytes/<how many>`,
/// `/headers/<how many>`, `/endless`, `/hang`; anything else is echoed.
pub struct Service {
    address: SocketAddr,
    kept: Arc<Kept>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Kept {
    seen: Mutex<Vec<Seen>>,
    hanging: AtomicUsize,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Seen {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

impl Service {
    /// One on this machine's usual address for itself.
    pub async fn start() -> Self {
        Self::at([127, 0, 0, 1].into()).await
    }

    /// One on this address, on any port.
    pub async fn at(address: IpAddr) -> Self {
        Self::on((address, 0).into()).await
    }

    /// One on this address and port.
    pub async fn on(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::serve(listener, address)
    }

    /// One that speaks TLS under this name; gives the file with the certificate to trust.
    pub async fn with_tls(name: &str, folder: &Path) -> (Self, PathBuf) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let file = folder.join("service.pem");
        std::fs::write(&file, made.cert.pem()).unwrap();
        let key = made.signing_key.serialize_der().try_into().unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Self::serve(Tls(listener, Arc::new(config).into()), address), file)
    }

    fn serve<L>(listener: L, address: SocketAddr) -> Self
    where
        L: Listener,
        L::Addr: std::fmt::Debug,
    {
        let kept = Arc::new(Kept::default());
        let app = Router::new().fallback(answer).with_state(Arc::clone(&kept));
        #[expect(clippy::disallowed_methods, reason = "`Service` holds the handle and ends it")]
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, kept, serving }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// A URL of it, by address.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What came, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.kept.seen.lock().unwrap().clone()
    }

    /// How many requests hang now.
    pub fn hanging(&self) -> usize {
        self.kept.hanging.load(Ordering::SeqCst)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(State(kept): State<Arc<Kept>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body::to_bytes(body, usize::MAX).await.unwrap();
    let headers = parts.headers.iter().map(|(name, value)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    kept.seen.lock().unwrap().push(Seen {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers: headers.collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    let path = parts.uri.path().trim_start_matches('/');
    let (what, more) = path.split_once('/').unwrap_or((path, ""));
    let number = || more.parse::<usize>().unwrap();
    match what {
        "status" => StatusCode::from_u16(more.parse().unwrap()).unwrap().into_response(),
        "redirect" => {
            let (status, to) = more.split_once('/').unwrap();
            let status = StatusCode::from_u16(status.parse().unwrap()).unwrap();
            (status, [("location", to.to_owned())]).into_response()
        }
        "bytes" => vec![b'x'; number()].into_response(),
        "headers" => {
            let mut response = "many".into_response();
            for n in 0..number() {
                let name = format!("x-{n}").parse::<http::HeaderName>().unwrap();
                response.headers_mut().insert(name, http::HeaderValue::from_static("y"));
            }
            response
        }
        "endless" => {
            let chunk = || Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 65_536]));
            Body::from_stream(stream::repeat_with(chunk)).into_response()
        }
        "hang" => {
            let _hanging = Hanging::new(&kept);
            std::future::pending().await
        }
        _ => ([("x-service", "test"), ("set-cookie", "a=b")], body).into_response(),
    }
}

/// Counts while it lives.
struct Hanging<'a>(&'a Kept);

impl<'a> Hanging<'a> {
    fn new(kept: &'a Kept) -> Self {
        kept.hanging.fetch_add(1, Ordering::SeqCst);
        Self(kept)
    }
}

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.0.hanging.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Tls(TcpListener, TlsAcceptor);

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.0.accept().await.unwrap();
            // A client that does not trust it goes away.
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}
