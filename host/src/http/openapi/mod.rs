//! `/openapi.json`: what a tenant's modules and the platform offer over HTTP, as OpenAPI 3.1 says it.
//!
//! The document follows from manifests alone. Tenants that are served the same modules share it.

mod components;
mod operation;
mod platform;
mod problems;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use self::components::Components;
use super::{App, chain, conditional};
use crate::call::Tenant;
use crate::capabilities::permissions::{Caller, Decision, PermissionName, Permissions};
use crate::capabilities::tenancy::TenancyConfig;
use crate::error::{Error, Result};
use crate::runtime::{Manifest, ModuleVersion, TenantState};

/// All documents that are kept.
const KEPT_MAX_BYTES: u64 = 32 * 1024 * 1024;

/// Documents that were written, by what they follow from.
pub(crate) struct Documents(moka::future::Cache<[u8; 32], Arc<Written>>);

/// A document as it is sent.
struct Written {
    text: Bytes,
    etag: HeaderValue,
}

impl Default for Documents {
    fn default() -> Self {
        let weight = |_: &[u8; 32], document: &Arc<Written>| {
            u32::try_from(document.text.len()).unwrap_or(u32::MAX)
        };
        Self(moka::future::Cache::builder().weigher(weight).max_capacity(KEPT_MAX_BYTES).build())
    }
}

/// Answers with the document of the request's tenant.
pub(super) async fn serve(State(app): State<Arc<App>>, request: Request) -> Response {
    chain::frame(&app, request, async |request, _, trail| {
        let (parts, _) = request.into_parts();
        let tenant = chain::tenant(&app, &parts, trail).await?;
        let document = written(&app, &tenant).await?;
        respond(&app, &document, &parts.headers)
    })
    .await
}

fn respond(app: &App, document: &Written, asked: &HeaderMap) -> Result<Response> {
    let mut response = Response::new(document.text.clone().into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ETAG, document.etag.clone());
    // Asked for again each time: it changes with the modules.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let vary = format!("{}, host", app.tenancy.header);
    headers.insert(VARY, HeaderValue::try_from(vary).map_err(unwritten)?);
    Ok(conditional::answer(asked, response))
}

async fn written(app: &Arc<App>, tenant: &Arc<TenantState>) -> Result<Arc<Written>> {
    let modules = tenant.modules();
    let mut key = Sha256::new();
    key.update([u8::from(tenant.tenant.is_platform())]);
    modules.iter().for_each(|module| key.update(module.manifest_digest));
    let write = async {
        let (app, tenant) = (Arc::clone(app), Arc::clone(&tenant.tenant));
        // A module may have a thousand routes.
        let writing = tokio::task::spawn_blocking(move || {
            serde_json::to_vec(&document(
                &app.tenancy,
                &app.services.permissions,
                &tenant,
                &modules,
            ))
        });
        let text = writing.await.map_err(unwritten)?.map_err(unwritten)?;
        let etag = format!("\"{}\"", HEXLOWER.encode(&Sha256::digest(&text)[..16]));
        let etag = HeaderValue::try_from(etag).map_err(unwritten)?;
        Ok(Arc::new(Written { text: text.into(), etag }))
    };
    let kept = &app.documents.0;
    kept.try_get_with(key.finalize().into(), write)
        .await
        .map_err(|error: Arc<Error>| unwritten(error))
}

fn unwritten(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::internal("the API's description cannot be written").because(cause)
}

/// The document, with its parts in the order in which people read them.
#[derive(Serialize)]
pub(crate) struct Document {
    openapi: &'static str,
    info: Value,
    servers: Value,
    tags: Vec<Value>,
    paths: BTreeMap<String, BTreeMap<&'static str, Value>>,
    components: Value,
}

/// What a document follows from.
struct Shape<'a> {
    tenancy: &'a TenancyConfig,
    permissions: &'a Permissions,
    tenant: &'a Tenant,
}

impl Shape<'_> {
    /// Whether requests may leave out the tenant's name.
    fn names_no_tenant(&self) -> bool {
        self.tenancy.default_tenant.is_some() || !self.tenancy.base_domain.is_empty()
    }

    fn is_everybodys(&self, permission: &PermissionName) -> bool {
        let decision = self.permissions.decide(self.tenant, &Caller::anonymous(), permission);
        decision == Decision::Allowed
    }
}

/// Describes what `tenant` is served.
pub(crate) fn document(
    tenancy: &TenancyConfig,
    permissions: &Permissions,
    tenant: &Tenant,
    modules: &[Arc<ModuleVersion>],
) -> Document {
    let shape = Shape { tenancy, permissions, tenant };
    let mut components = Components::new(&shape);
    let mut tags = Vec::new();
    let mut operations = Vec::new();
    for module in modules.iter().map(|module| &module.manifest) {
        tags.push(json!({
            "name": module.name.as_str(),
            "description": module.summary,
            "x-module-version": module.version.to_string(),
        }));
        tags.extend(inner_tags(module));
        operations.extend(operation::of_module(&shape, module, &mut components));
    }
    tags.push(json!({ "name": platform::TAG, "description": "What the platform itself offers" }));
    operations.extend(platform::operations(&mut components));
    let mut paths = BTreeMap::<_, BTreeMap<_, _>>::new();
    for operation in operations {
        let (path, method) = (operation.path.clone(), operation.method);
        paths.entry(path).or_default().insert(method, operation.into_value(&mut components));
    }
    Document {
        openapi: "3.1.0",
        info: json!({
            "title": "Hostel",
            "version": env!("CARGO_PKG_VERSION"),
            "description": about(&shape),
        }),
        servers: json!([{ "url": "/" }]),
        tags,
        paths,
        components: components.into_value(),
    }
}

/// Groups of routes inside of a module, in the order of its routes.
fn inner_tags(module: &Manifest) -> impl Iterator<Item = Value> {
    let mut seen = Vec::new();
    for tag in module.routes.iter().flat_map(|route| &route.tags) {
        let name = operation::inner_tag(module, tag);
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen.into_iter().map(|name| json!({ "name": name }))
}

fn about(shape: &Shape<'_>) -> String {
    let header = &shape.tenancy.header;
    let tenant = match &shape.tenancy.default_tenant {
        Some(default) => format!(
            "Requests are for the tenant that the header `{header}` names; for `{default}` where none is named."
        ),
        None => format!("Requests are for the tenant that the header `{header}` names."),
    };
    format!(
        "{tenant} Errors are `application/problem+json` (RFC 9457): `code` is for programs, `detail` \
         for people, `errors` names fields. Every answer of a module bears `x-request-id`, by which \
         the log knows it."
    )
}
