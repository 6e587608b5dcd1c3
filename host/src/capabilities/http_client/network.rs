//! The way out: a name becomes addresses, one of those that were checked is dialled, and one request
//! is answered on a connection of its own.
//!
//! Connections are not kept: none is ever shared by two tenants, and each goes to an address that was
//! checked for this request.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{self, Either};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, Semaphore};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use url::{Host, Url};

use super::address::is_public;
use super::outgoing::is_redirect;
use crate::error::{Error, ErrorKind, Result};

/// Look-ups of names at once: each takes a thread until the system gives up.
const LOOKUPS_MAX: usize = 64;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;
/// How long one of them may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// An answer's headers.
const HEADERS_MAX: usize = 100;
const HEAD_MAX_BYTES: usize = 65_536;

/// Finds the addresses of a name. It may block.
pub(crate) type Resolver = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// The network, as this machine sees it.
pub(super) struct Network {
    resolver: Resolver,
    lookups: Arc<Semaphore>,
    /// Trusted beside the machine's own.
    certificates: Vec<CertificateDer<'static>>,
    /// Made when the first call needs it: the machine's certificates take time to read.
    tls: OnceCell<TlsConnector>,
}

/// Where one request goes.
pub(super) struct Destination<'a> {
    pub(super) url: &'a Url,
    /// Whether it may have an address of a private network.
    pub(super) is_internal: bool,
}

impl Destination<'_> {
    fn may_be(&self, address: IpAddr) -> bool {
        self.is_internal || is_public(address)
    }

    /// The address that stands in the URL itself, where there is one.
    fn literal(&self) -> Option<IpAddr> {
        match self.url.host()? {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }

    /// Refuses an address in the URL, where nobody will dial it.
    pub(super) fn check_literal(&self) -> Result<()> {
        match self.literal() {
            Some(address) if !self.may_be(address) => Err(refused_address()),
            _ => Ok(()),
        }
    }

    fn server_name(&self) -> Result<ServerName<'static>> {
        if let Some(address) = self.literal() {
            return Ok(address.into());
        }
        let name = self.url.host_str().unwrap_or_default().to_owned();
        ServerName::try_from(name)
            .map_err(|_| Error::invalid("the URL's host is no name that a server can show"))
    }
}

impl Network {
    pub(super) fn new(resolver: Option<Resolver>, ca_file: Option<&Path>) -> Result<Self> {
        let certificates = match ca_file {
            None => Vec::new(),
            Some(file) => certificates(file).map_err(|error| {
                Error::invalid(format!("`http_client.ca_file`: {}: {error}", file.display()))
            })?,
        };
        Ok(Self {
            resolver: resolver.unwrap_or_else(|| Arc::new(ask_the_system)),
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            certificates,
            tls: OnceCell::new(),
        })
    }

    /// Sends a request and reads the answer, its body at most `body_max` bytes; a redirect's is left
    /// out. Dropped, it closes the connection. `held` is let go when nothing of it is left, which may
    /// be later.
    pub(super) async fn exchange(
        &self,
        to: &Destination<'_>,
        request: Request<Full<Bytes>>,
        body_max: usize,
        held: impl Send + 'static,
    ) -> Result<Response<Bytes>> {
        let addresses = self.addresses(to, held).await?;
        let stream = connect(to, &addresses).await?;
        if to.url.scheme() != "https" {
            return speak(stream, request, body_max).await;
        }
        let stream = self.tls().await?.connect(to.server_name()?, stream).await;
        let stream = stream.map_err(|error| {
            let message = "the server cannot be trusted: it shows no certificate that is valid for its name, or speaks no TLS";
            unavailable("http-client-tls", message).because(error)
        })?;
        speak(stream, request, body_max).await
    }

    /// The addresses of the URL's host that may be dialled. There is one at least.
    async fn addresses(
        &self,
        to: &Destination<'_>,
        held: impl Send + 'static,
    ) -> Result<Vec<SocketAddr>> {
        let found = match to.literal() {
            Some(address) => vec![address],
            None => self.look_up(to.url.host_str().unwrap_or_default(), held).await?,
        };
        let port = to.url.port_or_known_default().unwrap_or_default();
        let allowed = found.iter().filter(|address| to.may_be(**address));
        let allowed: Vec<_> =
            allowed.take(ADDRESSES_MAX).map(|address| SocketAddr::new(*address, port)).collect();
        if allowed.is_empty() {
            return Err(refused_address());
        }
        Ok(allowed)
    }

    async fn look_up(&self, name: &str, held: impl Send + 'static) -> Result<Vec<IpAddr>> {
        let unknown = || unavailable("http-client-unreachable", "the host's name is not known");
        let turn = Arc::clone(&self.lookups).acquire_owned().await;
        let (resolver, name) = (Arc::clone(&self.resolver), name.to_owned());
        // Nobody can end it: what was given up holds its turn, and its tenant's, until it is over.
        let looking = tokio::task::spawn_blocking(move || {
            let found = resolver(&name);
            drop((turn, held));
            found
        });
        let found = looking.await.map_err(|error| unknown().because(error))?;
        let found = found.map_err(|error| unknown().because(error))?;
        if found.is_empty() { Err(unknown()) } else { Ok(found) }
    }

    async fn tls(&self) -> Result<&TlsConnector> {
        let load = async || {
            let own = self.certificates.clone();
            let broken = || unavailable("http-client-tls", "the host cannot speak TLS");
            let loading = tokio::task::spawn_blocking(move || tls_config(own));
            let config = loading.await.map_err(|error| broken().because(error))?;
            let config = config.map_err(|error| broken().because(error))?;
            Ok(TlsConnector::from(Arc::new(config)))
        };
        self.tls.get_or_try_init(load).await
    }
}

fn ask_the_system(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Box<dyn std::error::Error>> {
    let found = CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() { Err("it holds no certificates in PEM".into()) } else { Ok(found) }
}

fn tls_config(
    own: Vec<CertificateDer<'static>>,
) -> Result<ClientConfig, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    let machines = rustls_native_certs::load_native_certs();
    for error in &machines.errors {
        tracing::warn!(%error, "some of the machine's certificates cannot be read");
    }
    roots.add_parsable_certificates(machines.certs);
    for certificate in own {
        roots.add(certificate)?;
    }
    if roots.is_empty() {
        return Err("the machine has no certificates to trust: install `ca-certificates`".into());
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

async fn connect(to: &Destination<'_>, addresses: &[SocketAddr]) -> Result<TcpStream> {
    let mut failed = unreachable();
    for address in addresses {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // A public address may be this machine's own, behind which anything listens.
                let is_own = stream.local_addr().is_ok_and(|own| own.ip() == address.ip());
                if is_own && !to.is_internal {
                    return Err(refused_address());
                }
                stream.set_nodelay(true).map_err(|error| unreachable().because(error))?;
                return Ok(stream);
            }
            Ok(Err(error)) => failed = unreachable().because(error),
            Err(elapsed) => failed = unreachable().because(elapsed),
        }
    }
    Err(failed)
}

/// One request and its answer.
async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
    body_max: usize,
) -> Result<Response<Bytes>> {
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_MAX_BYTES)
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(no_answer)?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(no_answer)?;
        read(answer, body_max).await
    };
    match future::select(Box::pin(exchange), Box::pin(connection)).await {
        Either::Left((answer, _)) => answer,
        // The server has closed it; what came before is there to be read.
        Either::Right((_, exchange)) => exchange.await,
    }
}

async fn read(answer: Response<Incoming>, body_max: usize) -> Result<Response<Bytes>> {
    let (head, mut body) = answer.into_parts();
    let mut whole = Vec::new();
    if is_redirect(head.status.as_u16()) && head.headers.contains_key(http::header::LOCATION) {
        return Ok(Response::from_parts(head, Bytes::new()));
    }
    while let Some(frame) = body.frame().await {
        // Trailers are nobody's.
        let Ok(data) = frame.map_err(no_answer)?.into_data() else { continue };
        if whole.len() + data.len() > body_max {
            return Err(too_large(body_max));
        }
        whole.extend_from_slice(&data);
    }
    Ok(Response::from_parts(head, whole.into()))
}

/// An answer, if it has at most so many bytes.
pub(super) fn within(answer: Response<Bytes>, body_max: usize) -> Result<Response<Bytes>> {
    if answer.body().len() > body_max { Err(too_large(body_max)) } else { Ok(answer) }
}

fn too_large(body_max: usize) -> Error {
    let message = format!("the answer has more than {body_max} bytes");
    Error::new(ErrorKind::Limit, "http-client-response", message)
}

pub(super) fn unreachable() -> Error {
    unavailable("http-client-unreachable", "the host cannot be reached")
}

fn no_answer(error: hyper::Error) -> Error {
    let message = "the server did not answer as HTTP wants it";
    unavailable("http-client-answer", message).because(error)
}

fn refused_address() -> Error {
    let message = "the host has an address that modules may not reach: one of this machine or of a private network";
    Error::new(ErrorKind::Denied, "http-client-address", message)
}

fn unavailable(code: &'static str, message: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, code, message)
}
