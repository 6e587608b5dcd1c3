//! HTTP in and out.

use std::collections::BTreeMap;

use hostel_sdk::prelude::*;
use hostel_sdk::tenancy::admin;

use crate::model::{Change, Filter, NewSecret, NewTenant, SecretEntry, TenantEntry};

/// The codes of problems.
pub(crate) const EXISTS: &str = "tenant-exists";
pub(crate) const STATUS: &str = "tenant-status";
const NOT_FOUND: &str = "tenant-not-found";

/// Settings of modules, by module and name.
type Settings = BTreeMap<String, BTreeMap<String, serde_json::Value>>;

pub(crate) fn list(
    page: Page<String>,
    Query(filter): Query<Filter>,
) -> Result<Paged<TenantEntry>, Problem> {
    let found = admin::find(&admin::TenantQuery {
        status: filter.status.map(Into::into),
        plan: filter.plan,
        name: filter.name,
        after: page.after.clone(),
        limit: page.look_ahead(),
    })
    .map_err(problem)?;
    let tenants: Vec<_> = found.into_iter().map(TenantEntry::try_from).collect::<Result<_, _>>()?;
    Ok(page.answer(tenants, |tenant| tenant.slug.clone()))
}

pub(crate) fn create(Json(new): Json<NewTenant>) -> Result<Created<TenantEntry>, Problem> {
    let NewTenant { slug, display_name, plan } = new;
    let tenant = admin::create(&admin::NewTenant { slug, display_name, plan }).map_err(problem)?;
    Ok(Created::below(tenant.slug.clone(), tenant.try_into()?))
}

pub(crate) fn read(Path(slug): Path<String>) -> Answer {
    answer(admin::get(&slug))
}

pub(crate) fn change(Path(slug): Path<String>, Json(change): Json<Change>) -> Answer {
    let change = admin::TenantChange {
        slug: change.slug,
        display_name: change.display_name,
        plan: change.plan,
        limits: change.limits.map(|limits| serde_json::json!(limits).to_string()),
    };
    answer(admin::change(&slug, &change))
}

pub(crate) fn remove(Path(slug): Path<String>) -> Answer {
    answer(admin::delete(&slug))
}

pub(crate) fn suspend(Path(slug): Path<String>) -> Answer {
    answer(admin::suspend(&slug))
}

pub(crate) fn resume(Path(slug): Path<String>) -> Answer {
    answer(admin::resume(&slug))
}

pub(crate) fn undelete(Path(slug): Path<String>) -> Answer {
    answer(admin::undelete(&slug))
}

pub(crate) fn purge(Path(slug): Path<String>) -> Result<NoContent, Problem> {
    admin::purge(&slug).map(|()| NoContent).map_err(problem)
}

pub(crate) fn settings(Path(slug): Path<String>) -> Result<Json<Settings>, Problem> {
    let settings = admin::settings(&slug).map_err(problem)?;
    serde_json::from_str(&settings)
        .map(Json)
        .map_err(|error| Problem::internal(format!("settings that are none: {error}")))
}

pub(crate) fn change_settings(
    Path((slug, module)): Path<(String, String)>,
    Json(changes): Json<BTreeMap<String, serde_json::Value>>,
) -> Result<Json<Settings>, Problem> {
    let changes = serde_json::json!(changes).to_string();
    admin::set_settings(&slug, &module, &changes).map_err(problem)?;
    settings(Path(slug))
}

pub(crate) fn secrets(Path(slug): Path<String>) -> Result<Json<Vec<SecretEntry>>, Problem> {
    let secrets = admin::secrets(&slug).map_err(problem)?;
    Ok(Json(secrets.into_iter().map(Into::into).collect()))
}

pub(crate) fn set_secret(
    Path((slug, name)): Path<(String, String)>,
    Json(secret): Json<NewSecret>,
) -> Result<NoContent, Problem> {
    admin::set_secret(&slug, &name, &secret.value).map(|()| NoContent).map_err(problem)
}

pub(crate) fn remove_secret(
    Path((slug, name)): Path<(String, String)>,
) -> Result<NoContent, Problem> {
    admin::remove_secret(&slug, &name).map(|()| NoContent).map_err(problem)
}

/// A tenant as it is now.
type Answer = Result<Json<TenantEntry>, Problem>;

fn answer(tenant: Result<admin::TenantEntry, Error>) -> Answer {
    Ok(Json(tenant.map_err(problem)?.try_into()?))
}

/// Says which field an error is about, where it is about one.
fn problem(error: Error) -> Problem {
    let subject = error.subject.as_deref();
    match (error.kind, subject) {
        (ErrorKind::Conflict, Some("slug")) => Problem::conflict(EXISTS, error.message),
        (ErrorKind::Conflict, Some("status")) => Problem::conflict(STATUS, error.message),
        (ErrorKind::NotFound, Some("slug")) => Problem::new(404, NOT_FOUND, error.message),
        (ErrorKind::Invalid, Some("settings")) => {
            Problem::new(422, "invalid-settings", error.message)
        }
        (ErrorKind::Invalid, Some("after")) => {
            Problem::invalid().field("query/cursor", "this is no cursor that an earlier page gave")
        }
        (ErrorKind::Invalid, Some(field)) => {
            let field = field.replace('-', "_");
            Problem::invalid().field(format!("/{field}"), error.message)
        }
        _ => error.into(),
    }
}
