//! HTTP client: modules' calls of other services, to hosts that they declare and the operator allows.
//!
//! Every rule is here and in the pure parts: `hosts` (which hosts), `address` (which addresses),
//! `outgoing` (which requests). `network` only resolves, dials and speaks.

mod address;
mod hosts;
mod network;
mod outgoing;
mod share;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::LOCATION;
use http::{HeaderMap, Request, Response};
use serde::{Deserialize, Serialize};
use url::Url;
use wasmtime::component::{HasData, Linker};

pub use self::hosts::HostPattern;
pub(crate) use self::network::Resolver;
use self::network::{Destination, Network};
use self::outgoing::Outgoing;
use self::share::{Running, Share};
use crate::bindings::hostel::http_client::http_client as wit;
use crate::call::{CallContext, Tenant};
use crate::error::{Error, ErrorKind, Result};
use crate::names::TenantId;
use crate::secret::Secret;

/// Each is a request of its own.
const REDIRECTS_MAX: usize = 5;

/// `[http_client]`: what modules may call.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpClientConfig {
    /// Hosts that modules may call, of those that they declare.
    pub allow: Vec<HostPattern>,
    /// Of these, hosts that may be called without TLS.
    pub http: Vec<HostPattern>,
    /// Of these, hosts that may have an address of a private network.
    pub internal: Vec<HostPattern>,
    /// Certificates in PEM that are trusted beside the machine's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl HttpClientConfig {
    /// Checks what no single key can say.
    ///
    /// # Errors
    /// Names the key, and what is allowed.
    pub(crate) fn check(&self) -> Result<()> {
        if self.internal.iter().any(HostPattern::is_all) {
            return Err(Error::invalid(
                "`http_client.internal` has `*`, which would open the whole private network to modules: name the services",
            ));
        }
        Ok(())
    }
}

/// Answers modules' calls in place of the network, for tests. What a module may call is checked
/// before, and an answer's size after, as ever.
///
/// ```
/// use bytes::Bytes;
/// use hostel::{Outbound, Result, Tenant};
/// use http::{Request, Response};
///
/// struct Rates;
///
/// impl Outbound for Rates {
///     fn answer(&self, _tenant: &Tenant, request: Request<Bytes>) -> Result<Response<Bytes>> {
///         assert_eq!(request.uri().host(), Some("api.example.org"));
///         Ok(Response::new(r#"{"EUR":1.0}"#.into()))
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// # let folder = tempfile::tempdir()?;
/// let platform = hostel::Platform::builder().outbound(Rates)
/// #   .data_dir(folder.path())
///     .build().await?;
/// # Ok(()) }
/// ```
pub trait Outbound: Send + Sync + 'static {
    /// The answer to a call for this tenant. Where a secret belongs, its name stands: `Bearer [KEY]`.
    ///
    /// # Errors
    /// Is what the module is told.
    fn answer(&self, tenant: &Tenant, request: Request<Bytes>) -> Result<Response<Bytes>>;
}

/// Reads a tenant's secret, which is another capability's.
pub(crate) type ReadSecret =
    Arc<dyn Fn(TenantId, String) -> BoxFuture<'static, Result<Option<Secret>>> + Send + Sync>;

/// What the builder of a platform may say.
#[derive(Default)]
pub(crate) struct Ways {
    pub(crate) resolver: Option<Resolver>,
    pub(crate) outbound: Option<Arc<dyn Outbound>>,
}

/// Sends modules' requests.
pub(crate) struct HttpClient {
    config: HttpClientConfig,
    network: Network,
    /// Asked instead of the network.
    outbound: Option<Arc<dyn Outbound>>,
    read_secret: ReadSecret,
    running: Arc<Running>,
}

impl HttpClient {
    pub(crate) fn new(
        config: &HttpClientConfig,
        ways: Ways,
        read_secret: ReadSecret,
    ) -> Result<Self> {
        Ok(Self {
            network: Network::new(ways.resolver, config.ca_file.as_deref())?,
            outbound: ways.outbound,
            config: config.clone(),
            read_secret,
            running: Arc::default(),
        })
    }

    /// What stands in a header for a secret of the tenant.
    async fn secret(&self, tenant: &Tenant, said: &wit::SecretHeader) -> Result<String> {
        let found = (self.read_secret)(tenant.id, said.secret.clone()).await?;
        let found = found.ok_or_else(|| {
            Error::not_found(format!("the tenant has no secret `{}`", said.secret))
                .about(said.secret.clone())
        })?;
        Ok(match &self.outbound {
            Some(_) => format!("{}[{}]", said.prefix, said.secret),
            None => format!("{}{}", said.prefix, found.expose()),
        })
    }

    /// Follows a request to its answer.
    async fn send(
        &self,
        call: &CallContext,
        hosts: &[HostPattern],
        mut request: Outgoing,
        body_max: usize,
        share: &Arc<Share>,
    ) -> Result<(Url, Response<Bytes>)> {
        for _ in 0..=REDIRECTS_MAX {
            self.may_call(&request.url, hosts)?;
            let began = Instant::now();
            let answered = self.exchange(call, &request, body_max, share).await;
            log(&request, &answered, began);
            let answer = answered?;
            let status = answer.status().as_u16();
            if !(200..600).contains(&status) {
                let message = format!("the server answered {status}, which is no answer");
                return Err(Error::new(ErrorKind::Unavailable, "http-client-answer", message));
            }
            match answer.headers().get(LOCATION) {
                Some(location) if outgoing::is_redirect(status) => {
                    request.redirected(status, &String::from_utf8_lossy(location.as_bytes()))?;
                }
                _ => return Ok((request.url, answer)),
            }
        }
        let message = format!("the answer is after more than {REDIRECTS_MAX} redirects");
        Err(Error::new(ErrorKind::Limit, "http-client-redirects", message))
    }

    /// Whether a module that declares these hosts may call this URL.
    fn may_call(&self, url: &Url, hosts: &[HostPattern]) -> Result<()> {
        let named = |patterns: &[HostPattern]| patterns.iter().any(|pattern| pattern.matches(url));
        let host = url.host_str().unwrap_or_default();
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let denied = |code, why: String| {
            tracing::info!(target: "hostel::http_client", host, code, "not called");
            let host = format!("{host}{port}");
            Err(Error::new(ErrorKind::Denied, code, format!("`{host}` {why}")).about(host))
        };
        if !named(hosts) {
            return denied(
                "http-client-undeclared",
                "is no host that this module declares to call".to_owned(),
            );
        }
        if !named(&self.config.allow) {
            return denied(
                "http-client-not-allowed",
                "is not allowed: the operator names it in `http_client.allow`".to_owned(),
            );
        }
        if url.scheme() != "https" && !named(&self.config.http) {
            return denied(
                "http-client-plain",
                "is called over https alone, unless the operator names it in `http_client.http`"
                    .to_owned(),
            );
        }
        Ok(())
    }

    async fn exchange(
        &self,
        call: &CallContext,
        request: &Outgoing,
        body_max: usize,
        share: &Arc<Share>,
    ) -> Result<Response<Bytes>> {
        let url = &request.url;
        let is_internal = self.config.internal.iter().any(|pattern| pattern.matches(url));
        let to = Destination { url, is_internal };
        if let Some(outbound) = &self.outbound {
            to.check_literal()?;
            let answer = outbound.answer(&call.tenant, request.request(url.as_str())?)?;
            return network::within(answer, body_max);
        }
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let mut sent: Request<_> = request.request(target)?;
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let host = host.parse().map_err(|_| Error::invalid("the URL's host is none of HTTP"))?;
        sent.headers_mut().insert(http::header::HOST, host);
        self.network.exchange(&to, sent, body_max, Arc::clone(share)).await
    }
}

/// One line for each request that went out, or would have. What stands in its path, query, headers
/// and body is nobody's business.
fn log(request: &Outgoing, answered: &Result<Response<Bytes>>, began: Instant) {
    let (host, method) = (request.url.host_str().unwrap_or_default(), request.method.as_str());
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    match answered {
        Ok(answer) => {
            let status = answer.status().as_u16();
            tracing::info!(target: "hostel::http_client", host, method, status, took_ms, "called");
        }
        Err(error) => {
            let code = error.code();
            tracing::info!(target: "hostel::http_client", host, method, code, took_ms, "not called");
        }
    }
}

/// What one call may do over HTTP.
pub struct HttpClientView<'a> {
    pub(crate) call: &'a mut CallContext,
    pub(crate) client: &'a HttpClient,
    /// Those that the module declares.
    pub(crate) hosts: &'a [HostPattern],
}

struct HttpClientData;

impl HasData for HttpClientData {
    type Data<'a> = HttpClientView<'a>;
}

/// Links `hostel:http-client`.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> HttpClientView<'_>,
) -> Result<(), wasmtime::Error> {
    wit::add_to_linker::<T, HttpClientData>(linker, view)
}

impl HttpClientView<'_> {
    /// Counts the call, and its bytes.
    fn pay(&mut self, request: &wit::Request) -> Result<()> {
        let limits = &self.call.limits;
        let (calls_max, bytes_max) =
            (limits.http_client_calls_max.get(), limits.http_client_request_max_bytes.as_usize());
        if self.call.budget.http_client_calls >= calls_max {
            let message = format!("a call sends at most {calls_max} requests to other services");
            return Err(Error::new(ErrorKind::Limit, "http-client-calls", message));
        }
        self.call.budget.http_client_calls += 1;
        let headers = request.headers.iter().map(|(name, value)| name.len() + value.len());
        let bytes = request.url.len() + headers.sum::<usize>() + request.body.len();
        if bytes > bytes_max {
            let message = format!("a request to another service has at most {bytes_max} bytes");
            return Err(Error::new(ErrorKind::Limit, "http-client-request", message));
        }
        self.call.budget.pay_for_bytes(bytes)
    }

    async fn answer(&self, said: wit::Request) -> Result<(Url, Response<Bytes>)> {
        let (call, client) = (&*self.call, self.client);
        let share = Share::take(&client.running, call)?;
        let secrets = said.secrets.clone();
        let mut request = Outgoing::checked(said)?;
        // Before a secret is read for it.
        client.may_call(&request.url, self.hosts)?;
        for said in &secrets {
            let value = client.secret(&call.tenant, said).await?;
            request.add_secret(&said.header, &said.secret, &value)?;
        }
        let limit = call.limits.http_client_response_max_bytes.get();
        let body_max = usize::try_from(limit.min(call.budget.hostcall_bytes_left));
        let body_max = body_max.unwrap_or(usize::MAX);
        client.send(call, self.hosts, request, body_max, &share).await
    }
}

impl wit::Host for HttpClientView<'_> {
    async fn send(&mut self, request: wit::Request) -> Result<wit::Response> {
        self.pay(&request)?;
        let most = self.call.limits.http_client_timeout_ms;
        let own = request.timeout_ms.map_or(u64::MAX, u64::from);
        let time = std::time::Duration::from_millis(own.min(most.get()));
        let until = self.call.deadline.min(Instant::now() + time);
        let answering = tokio::time::timeout_at(until.into(), self.answer(request));
        let (url, answer) = answering.await.map_err(|_| timed_out())??;
        let (head, body) = answer.into_parts();
        let headers = readable(&head.headers);
        let bytes = headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        self.call.budget.pay_for_bytes(bytes + url.as_str().len() + body.len())?;
        let (status, url) = (head.status.as_u16(), url.into());
        Ok(wit::Response { status, url, headers, body: body.into() })
    }
}

/// What a module is told when there was no answer in time.
pub fn timed_out() -> Error {
    let message = "the other service did not answer in time";
    Error::new(ErrorKind::Timeout, "http-client-timeout", message)
}

/// What a module is told when there is nobody at that place.
pub fn unreachable() -> Error {
    network::unreachable()
}

/// Those that a module sees.
fn readable(headers: &HeaderMap) -> Vec<(String, String)> {
    let own = headers.iter().filter(|(name, _)| !outgoing::is_of_connection(name));
    own.filter_map(|(name, value)| {
        Some((name.as_str().to_owned(), std::str::from_utf8(value.as_bytes()).ok()?.to_owned()))
    })
    .collect()
}
