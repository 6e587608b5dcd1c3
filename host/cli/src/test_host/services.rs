//! Other services, as tests declare them: what they answer in place of the network, and what they were
//! sent.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use hostel::capabilities::http_client;
use hostel::{Error, ErrorKind, Outbound, Result, Tenant};
use serde::{Deserialize, Serialize};

/// What one service answers to one kind of request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fake {
    method: String,
    #[serde(deserialize_with = "url")]
    url: Uri,
    /// One after the other; the last one stays.
    answers: Vec<Given>,
    #[serde(skip)]
    answered: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    fails: Option<Failure>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Failure {
    Unreachable,
    TimesOut,
}

/// What a module sent.
#[derive(Clone, Serialize)]
pub(super) struct Sent {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The services of every tenant.
#[derive(Clone, Default)]
pub(super) struct Services(Arc<Mutex<HashMap<String, OfTenant>>>);

struct OfTenant {
    fakes: Vec<Fake>,
    sent: Vec<Sent>,
}

impl Services {
    /// Answers a new tenant's calls.
    pub(super) fn begin(&self, tenant: &str, fakes: Vec<Fake>) -> anyhow::Result<()> {
        for fake in &fakes {
            anyhow::ensure!(!fake.answers.is_empty(), "{fake} is not answered");
            for given in &fake.answers {
                given.response().with_context(|| format!("the answer to {fake}"))?;
            }
        }
        self.all().insert(tenant.to_owned(), OfTenant { fakes, sent: Vec::new() });
        Ok(())
    }

    pub(super) fn sent(&self, tenant: &str) -> Vec<Sent> {
        self.all().get(tenant).map(|of| of.sent.clone()).unwrap_or_default()
    }

    pub(super) fn forget(&self, tenant: &str) {
        self.all().remove(tenant);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, OfTenant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbound for Services {
    fn answer(&self, tenant: &Tenant, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let mut all = self.all();
        let of = all.get_mut(tenant.slug.as_str());
        let of = of.ok_or_else(|| Error::internal("nobody tests for this tenant"))?;
        of.sent.push(Sent::of(&request));
        match of.fakes.iter_mut().find(|fake| fake.is_for(&request)) {
            Some(fake) => fake.next(),
            None => Err(undeclared(&request, &of.fakes)),
        }
    }
}

impl Sent {
    fn of(request: &Request<Bytes>) -> Self {
        let headers = request.headers().iter().map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        Self {
            method: request.method().to_string(),
            url: request.uri().to_string(),
            headers: headers.collect(),
            body: request.body().to_vec(),
        }
    }
}

impl Fake {
    fn is_for(&self, request: &Request<Bytes>) -> bool {
        let (own, asked) = (&self.url, request.uri());
        let is_path = match own.path().strip_suffix('*') {
            Some(begin) => asked.path().starts_with(begin),
            None => own.path() == asked.path(),
        };
        self.method == request.method().as_str()
            && own.scheme() == asked.scheme()
            && own.authority() == asked.authority()
            && is_path
            && own.query().is_none_or(|query| asked.query() == Some(query))
    }

    fn next(&mut self) -> Result<Response<Bytes>> {
        let given = &self.answers[self.answered.min(self.answers.len() - 1)];
        self.answered += 1;
        match given.fails {
            Some(Failure::Unreachable) => Err(http_client::unreachable()),
            Some(Failure::TimesOut) => Err(http_client::timed_out()),
            None => given.response().map_err(|error| Error::internal(error.to_string())),
        }
    }
}

impl Given {
    fn response(&self) -> anyhow::Result<Response<Bytes>> {
        let mut response = Response::new(self.body.clone().into());
        *response.status_mut() = StatusCode::from_u16(self.status)?;
        for (name, value) in &self.headers {
            response
                .headers_mut()
                .append(name.parse::<HeaderName>()?, value.parse::<HeaderValue>()?);
        }
        Ok(response)
    }
}

impl fmt::Display for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url)
    }
}

/// Told to the module, and to whoever reads why the test fails.
fn undeclared(request: &Request<Bytes>, fakes: &[Fake]) -> Error {
    let declared = match fakes {
        [] => "nothing".to_owned(),
        some => some.iter().map(Fake::to_string).collect::<Vec<_>>().join(", "),
    };
    let message = format!(
        "no answer is declared for {} {}: this test declares {declared}; see `App::answering`",
        request.method(),
        request.uri()
    );
    tracing::warn!("{message}");
    Error::new(ErrorKind::Other, "undeclared-call", message)
}

fn url<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Uri, D::Error> {
    let text = String::deserialize(deserializer)?;
    let url = text.parse::<Uri>().ok().filter(|url| {
        matches!(url.scheme_str(), Some("https" | "http")) && url.authority().is_some()
    });
    url.ok_or_else(|| {
        serde::de::Error::custom(format!(
            "`{text}` is no URL such as `https://api.example.org/rates`"
        ))
    })
}
