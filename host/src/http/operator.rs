//! `/platform/v1`: what operators ask, and who is one.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::response::Response;
use http::header::{AUTHORIZATION, CONTENT_TYPE, VIA};
use http::{HeaderMap, HeaderValue, Uri};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::arrival::{self, Arrival};
use super::{App, chain};
use crate::capabilities::tenancy::{Quarantine, QuarantineQuery};
use crate::error::{Error, ErrorKind, Result};
use crate::names::{ModuleName, TenantSlug};
use crate::usage::{UsageOfDay, UsageQuery};

/// Lets operators through.
///
/// # Errors
/// `unauthenticated` without the token, `invalid-credentials` with another.
fn operator(app: &App, request: &Request) -> Result<()> {
    if is_operator(app, request.headers()) {
        return Ok(());
    }
    let (code, message) = match request.headers().contains_key(AUTHORIZATION) {
        true => ("invalid-credentials", "these credentials are not the operator's"),
        false => (
            "unauthenticated",
            "this needs the operator's token, which `hostel key operator-token` shows",
        ),
    };
    Err(Error::new(ErrorKind::Unauthenticated, code, message))
}

/// Whether the operator's token was sent (RFC 6750, section 2.1).
pub(super) fn is_operator(app: &App, headers: &HeaderMap) -> bool {
    let sent = headers.get(AUTHORIZATION).and_then(|sent| sent.to_str().ok());
    sent.and_then(|sent| sent.split_once(' ')).is_some_and(|(scheme, token)| {
        scheme.eq_ignore_ascii_case("bearer") && app.operator.is(token.trim())
    })
}

/// Lets operators through, and programs on this machine that ask without a proxy.
///
/// # Errors
/// As [`operator`].
pub(super) fn local_or_operator(app: &App, request: &Request) -> Result<()> {
    // Not by what the program's own server says of the connection: it may stand behind anything.
    let arrival = request.extensions().get::<Arrival>();
    let is_local = arrival.is_some_and(|it| it.peer.ip().to_canonical().is_loopback());
    // What a proxy on this machine adds: then the peer is not who asks.
    let is_forwarded =
        request.headers().keys().any(|name| *name == VIA || arrival::is_of_proxies(name));
    if is_local && !is_forwarded {
        return Ok(());
    }
    operator(app, request)
}

/// The most lines in one answer, and those when nobody says.
const LINES_MAX: u32 = 1_000;

/// Which usage is asked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UsageParameters {
    /// One tenant's only.
    #[schemars(with = "Option<String>")]
    tenant: Option<TenantSlug>,
    /// From this day on, as `2026-01-31`.
    from: Option<String>,
    /// Until this day, included.
    to: Option<String>,
    /// What follows an earlier answer: its `next`.
    after: Option<String>,
    /// How many lines the answer has at most.
    #[schemars(range(min = 1, max = LINES_MAX))]
    limit: Option<u32>,
}

/// A part of the usage.
#[derive(Serialize, JsonSchema)]
pub(super) struct UsagePage {
    items: Vec<UsageOfDay>,
    /// To be sent as `after` for what follows.
    next: Option<String>,
}

/// `GET /platform/v1/usage?tenant=&from=&to=&after=&limit=`: what was used, by day (UTC), tenant and
/// module.
pub(super) async fn usage(State(app): State<Arc<App>>, request: Request) -> Response {
    chain::frame(&app, request, async |request, _, _| {
        operator(&app, &request)?;
        let query = usage_query(request.uri())?;
        check_tenant(&app, query.tenant.as_ref()).await?;
        // What this process has counted is in the answer, to the last request.
        app.services.flush_usage().await?;
        let items = app.services.usage.read(&query).await?;
        let next = items
            .last()
            .filter(|_| items.len() == query.limit as usize)
            .map(|last| format!("{}~{}~{}", last.day, last.tenant, last.module));
        json(&UsagePage { items, next })
    })
    .await
}

/// # Errors
/// `tenant-not-found`.
async fn check_tenant(app: &App, slug: Option<&TenantSlug>) -> Result<()> {
    match slug {
        Some(slug) if app.services.tenants.find(slug).await?.is_none() => Err(Error::new(
            ErrorKind::NotFound,
            "tenant-not-found",
            format!("there is no tenant `{slug}`"),
        )),
        _ => Ok(()),
    }
}

fn json(answer: &impl Serialize) -> Result<Response> {
    let body = serde_json::to_vec(answer)
        .map_err(|error| Error::internal("an answer cannot be written").because(error))?;
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn invalid_query(what: String) -> Error {
    Error::new(ErrorKind::Invalid, "invalid-query", what)
}

fn parameters<T: DeserializeOwned>(uri: &Uri) -> Result<T> {
    let Query(parameters) =
        Query::try_from_uri(uri).map_err(|error| invalid_query(error.body_text()))?;
    Ok(parameters)
}

fn lines(limit: Option<u32>) -> Result<u32> {
    let limit = limit.unwrap_or(LINES_MAX);
    if (1..=LINES_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(invalid_query(format!(
        "`limit`: found {limit}, expected a whole number from 1 to {LINES_MAX}"
    )))
}

fn no_next(after: &str) -> Error {
    invalid_query(format!("`after`: `{after}` is no `next` of an earlier answer"))
}

fn usage_query(uri: &Uri) -> Result<UsageQuery> {
    let UsageParameters { tenant, from, to, after, limit } = parameters(uri)?;
    let after = after.map(|after| {
        let mut parts = after.splitn(3, '~').map(ToOwned::to_owned);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(day), Some(tenant), Some(module)) => Ok((day, tenant, module)),
            _ => Err(no_next(&after)),
        }
    });
    let limit = lines(limit)?;
    Ok(UsageQuery { tenant, from, to, after: after.transpose()?, limit })
}

/// Which modules in quarantine are asked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QuarantineParameters {
    /// One tenant's only.
    #[schemars(with = "Option<String>")]
    tenant: Option<TenantSlug>,
    /// One module only.
    #[schemars(with = "Option<String>")]
    module: Option<ModuleName>,
    /// What follows an earlier answer: its `next`.
    after: Option<String>,
    /// How many the answer has at most.
    #[schemars(range(min = 1, max = LINES_MAX))]
    limit: Option<u32>,
}

/// A module that a tenant is not served, because a migration of its tables failed or was taken back.
#[derive(Serialize, JsonSchema)]
pub(super) struct QuarantinedModule {
    /// The tenant's slug.
    tenant: String,
    /// The module's name.
    module: String,
    /// The code that its clients are told.
    code: &'static str,
    /// The migration that it is about.
    migration: Option<String>,
    /// What happened.
    cause: String,
    /// How often it was tried.
    attempts: u32,
    /// Since when.
    since: String,
    /// When it was last tried.
    tried_at: String,
    /// When it is tried again with the next request; none where an operator has to say so.
    retry_at: Option<String>,
}

/// Some of the modules in quarantine.
#[derive(Serialize, JsonSchema)]
pub(super) struct QuarantinePage {
    items: Vec<QuarantinedModule>,
    /// To be sent as `after` for what follows.
    next: Option<String>,
}

/// `GET /platform/v1/quarantine?tenant=&module=&after=&limit=`: who is not served what, by tenant and
/// module.
pub(super) async fn quarantine(State(app): State<Arc<App>>, request: Request) -> Response {
    chain::frame(&app, request, async |request, _, _| {
        operator(&app, &request)?;
        let query = quarantine_query(request.uri())?;
        check_tenant(&app, query.tenant.as_ref()).await?;
        let found = app.registry.quarantines(&query).await?;
        let last = found.last().filter(|_| found.len() == query.limit as usize);
        let next = last.map(|last| format!("{}~{}", last.tenant, last.module));
        json(&QuarantinePage { items: found.into_iter().map(quarantined).collect(), next })
    })
    .await
}

fn quarantine_query(uri: &Uri) -> Result<QuarantineQuery> {
    let QuarantineParameters { tenant, module, after, limit } = parameters(uri)?;
    let after = after.map(|after| {
        let parts = after.split_once('~').ok_or_else(|| no_next(&after))?;
        match (parts.0.parse(), parts.1.parse()) {
            (Ok(tenant), Ok(module)) => Ok((tenant, module)),
            _ => Err(no_next(&after)),
        }
    });
    Ok(QuarantineQuery { tenant, module, after: after.transpose()?, limit: lines(limit)? })
}

fn quarantined(found: Quarantine) -> QuarantinedModule {
    let time = |micros| {
        jiff::Timestamp::from_microsecond(micros).map(|time| time.to_string()).unwrap_or_default()
    };
    QuarantinedModule {
        tenant: found.tenant.to_string(),
        module: found.module.to_string(),
        code: found.reason.code(),
        migration: found.migration,
        cause: found.cause,
        attempts: found.attempts,
        since: time(found.since),
        tried_at: time(found.tried_at),
        retry_at: found.retry_at.map(time),
    }
}
