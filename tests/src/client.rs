//! A client that speaks for one tenant.

use bytes::Bytes;
use futures_util::stream;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{Answer, eventually, postgres};

/// Sends requests for one tenant, or for none.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    tenant: Option<String>,
}

impl Client {
    pub(crate) fn new(base: String, tenant: Option<String>) -> Self {
        Self { http: reqwest::Client::builder().no_proxy().build().unwrap(), base, tenant }
    }

    /// A client of a running binary.
    pub fn of(address: std::net::SocketAddr, tenant: Option<&str>) -> Self {
        Self::new(format!("http://{address}"), tenant.map(ToOwned::to_owned))
    }

    /// One that speaks HTTP/2, and nothing else.
    #[must_use]
    pub fn over_http2(&self) -> Self {
        let http = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
        Self { http, ..self.clone() }
    }

    /// Begins a request.
    pub fn request(&self, method: &str, path: &str) -> Outgoing {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, format!("{}{path}", self.base));
        Outgoing(match &self.tenant {
            Some(tenant) => request.header("x-tenant", tenant),
            None => request,
        })
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Answer {
        self.request("GET", path).send().await
    }

    /// Waits until this path can be read: its module's tables are there from then on.
    pub async fn warm(&self, path: &str) {
        eventually("it can be called", async || {
            (self.get(path).await.status() == 200).then_some(())
        })
        .await;
    }

    /// Sends JSON.
    pub async fn post(&self, path: &str, mut body: Value) -> Answer {
        if path.contains("/sql/") && postgres::superuser().is_some() {
            postgres::spoken(&mut body);
        }
        self.request("POST", path).json(&body).send().await
    }

    /// The probe's answer to a statement that gives rows.
    pub async fn query(&self, statement: &str, parameters: Value) -> Answer {
        let body = json!({ "statement": statement, "parameters": parameters });
        self.post("/api/probe/sql/query", body).await
    }

    /// The probe's answer to a statement that changes rows.
    pub async fn execute(&self, statement: &str, parameters: Value) -> Answer {
        let body = json!({ "statement": statement, "parameters": parameters });
        self.post("/api/probe/sql/execute", body).await
    }

    /// The probe's answer to statements in one transaction, which ends in `end`.
    pub async fn transaction(&self, statements: &[&str], end: &str) -> Answer {
        let statements: Vec<Value> =
            statements.iter().map(|statement| json!({ "statement": statement })).collect();
        let body = json!({ "statements": statements, "end": end });
        self.post("/api/probe/sql/transaction", body).await
    }
}

/// A request in the making.
pub struct Outgoing(reqwest::RequestBuilder);

impl Outgoing {
    /// Adds a header.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    /// Bears a token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        Self(self.0.bearer_auth(token))
    }

    /// Sends JSON.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        Self(self.0.json(body))
    }

    /// Sends bytes, or a stream of them.
    #[must_use]
    pub fn body(self, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.body(body))
    }

    /// Sends the request and reads the answer.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(self) -> Answer {
        self.try_send().await.unwrap()
    }

    /// Sends the request and reads the head of the answer; the rest can be read as it comes.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn begin(self) -> reqwest::Response {
        self.0.send().await.unwrap()
    }

    /// Sends the request and reads the answer, if there is one.
    ///
    /// # Errors
    /// When the connection ends before.
    pub async fn try_send(self) -> Result<Answer, reqwest::Error> {
        Answer::of(self.0.send().await?).await
    }
}

/// A body of which only the sender knows how long it is.
pub fn chunked(chunks: usize, chunk_bytes: usize) -> reqwest::Body {
    let chunk = Bytes::from(vec![b'x'; chunk_bytes]);
    let chunks = std::iter::repeat_n(chunk, chunks).map(Ok::<_, std::io::Error>);
    reqwest::Body::wrap_stream(stream::iter(chunks))
}
