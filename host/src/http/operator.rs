//! `/platform/v1`: what operators ask, and who is one.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::response::Response;
use http::header::{AUTHORIZATION, CONTENT_TYPE, VIA};
use http::{HeaderMap, HeaderValue, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arrival::{self, Arrival};
use super::{App, chain};
use crate::error::{Error, ErrorKind, Result};
use crate::names::TenantSlug;
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
const USAGE_LINES_MAX: u32 = 1_000;

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
    #[schemars(range(min = 1, max = USAGE_LINES_MAX))]
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
        if let Some(tenant) = &query.tenant
            && app.services.tenants.find(tenant).await?.is_none()
        {
            return Err(Error::new(
                ErrorKind::NotFound,
                "tenant-not-found",
                format!("there is no tenant `{tenant}`"),
            ));
        }
        // What this process has counted is in the answer, to the last request.
        app.services.flush_usage().await?;
        let items = app.services.usage.read(&query).await?;
        let next = items
            .last()
            .filter(|_| items.len() == query.limit as usize)
            .map(|last| format!("{}~{}~{}", last.day, last.tenant, last.module));
        let body = serde_json::to_vec(&UsagePage { items, next })
            .map_err(|error| Error::internal("usage cannot be written").because(error))?;
        let mut response = Response::new(body.into());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    })
    .await
}

fn usage_query(uri: &Uri) -> Result<UsageQuery> {
    let invalid = |what: String| Error::new(ErrorKind::Invalid, "invalid-query", what);
    let Query(parameters) =
        Query::<UsageParameters>::try_from_uri(uri).map_err(|error| invalid(error.body_text()))?;
    let after = parameters.after.map(|after| {
        let mut parts = after.splitn(3, '~').map(ToOwned::to_owned);
        let parts = (parts.next(), parts.next(), parts.next());
        let (Some(day), Some(tenant), Some(module)) = parts else {
            return Err(invalid(format!("`after`: `{after}` is no `next` of an earlier answer")));
        };
        Ok((day, tenant, module))
    });
    let limit = parameters.limit.unwrap_or(USAGE_LINES_MAX);
    if !(1..=USAGE_LINES_MAX).contains(&limit) {
        return Err(invalid(format!(
            "`limit`: found {limit}, expected a whole number from 1 to {USAGE_LINES_MAX}"
        )));
    }
    let UsageParameters { tenant, from, to, .. } = parameters;
    Ok(UsageQuery { tenant, from, to, after: after.transpose()?, limit })
}
