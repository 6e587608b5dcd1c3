//! What goes in and out.

use std::collections::BTreeMap;

use hostel_sdk::prelude::*;
use hostel_sdk::tenancy::admin;
use serde::Deserializer;

/// A tenant as its operators see it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct TenantEntry {
    pub(crate) id: String,
    /// Its name in URLs and headers.
    pub(crate) slug: String,
    /// Its name for people.
    display_name: String,
    status: Status,
    /// The plan that it is on.
    plan: Option<String>,
    /// Limits of its own, by their keys in `[limits]` of the configuration.
    limits: BTreeMap<String, u64>,
    created_at: Timestamp,
    /// From then on everything of it may be removed.
    purge_at: Option<Timestamp>,
}

/// Whether a tenant is served.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Its requests are answered.
    Active,
    /// Its requests are refused.
    Suspended,
    /// It looks as if it were not there, and can be taken back.
    Deleting,
    /// Everything of it is being removed.
    Purging,
    /// Its data is on its way in; nobody sees it yet.
    Importing,
}

/// A tenant to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTenant {
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub(crate) slug: String,
    /// The slug when it is not given.
    #[serde(default)]
    pub(crate) display_name: String,
    #[serde(default)]
    pub(crate) plan: Option<String>,
}

/// What is to be changed; what is not given stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    #[serde(default)]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub(crate) slug: Option<String>,
    #[serde(default)]
    pub(crate) display_name: Option<String>,
    /// Another plan, or null for none.
    #[serde(default, deserialize_with = "given")]
    pub(crate) plan: Option<Option<String>>,
    /// All limits of its own: those that are left out are taken away.
    #[serde(default)]
    pub(crate) limits: Option<BTreeMap<String, u64>>,
}

/// Null is something else than nothing.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// Which tenants are asked for.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Filter {
    pub(crate) status: Option<Status>,
    pub(crate) plan: Option<String>,
    /// A part of the slug or of the name for people.
    pub(crate) name: Option<String>,
}

/// A secret to be kept.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSecret {
    pub(crate) value: String,
}

/// A secret: its value is never told.
#[derive(Serialize, JsonSchema)]
pub(crate) struct SecretEntry {
    name: String,
    changed_at: Timestamp,
}

impl TryFrom<admin::TenantEntry> for TenantEntry {
    type Error = Problem;

    fn try_from(tenant: admin::TenantEntry) -> Result<Self, Problem> {
        let limits = serde_json::from_str(&tenant.limits)
            .map_err(|error| Problem::internal(format!("limits that are none: {error}")))?;
        Ok(Self {
            id: tenant.id,
            slug: tenant.slug,
            display_name: tenant.display_name,
            status: tenant.status.into(),
            plan: tenant.plan,
            limits,
            created_at: Timestamp::from_micros(tenant.created_at),
            purge_at: tenant.purge_at.map(Timestamp::from_micros),
        })
    }
}

impl From<admin::SecretEntry> for SecretEntry {
    fn from(secret: admin::SecretEntry) -> Self {
        Self { name: secret.name, changed_at: Timestamp::from_micros(secret.changed_at) }
    }
}

impl From<admin::TenantStatus> for Status {
    fn from(status: admin::TenantStatus) -> Self {
        match status {
            admin::TenantStatus::Active => Self::Active,
            admin::TenantStatus::Suspended => Self::Suspended,
            admin::TenantStatus::Deleting => Self::Deleting,
            admin::TenantStatus::Purging => Self::Purging,
            admin::TenantStatus::Importing => Self::Importing,
        }
    }
}

impl From<Status> for admin::TenantStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Active => Self::Active,
            Status::Suspended => Self::Suspended,
            Status::Deleting => Self::Deleting,
            Status::Purging => Self::Purging,
            Status::Importing => Self::Importing,
        }
    }
}
