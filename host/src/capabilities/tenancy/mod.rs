//! Tenancy: which tenants there are, how a request finds its own, and what a module may know of it.

mod admin;
mod importing;
mod lifecycle;
mod quarantine;
mod secrets;
mod settings;
mod store;

use serde::{Deserialize, Serialize};
use wasmtime::component::{HasData, Linker};

pub(crate) use self::admin::AdminView;
pub(crate) use self::importing::{Arrival, Importing};
pub(crate) use self::quarantine::MigrationFailed;
pub use self::quarantine::{Quarantine, QuarantineQuery, QuarantineReason};
pub use self::secrets::Secrets;
pub use self::settings::TenantSettings;
pub(crate) use self::store::wrong_status;
pub use self::store::{NewTenant, TenantChange, TenantQuery, Tenants};
use crate::bindings::hostel::tenancy::{admin as wit_admin, secrets as wit_secrets, tenancy};
use crate::bounded::Bounded;
use crate::call::CallContext;
use crate::error::Result;
use crate::names::TenantSlug;

/// `[tenancy]`: how requests find their tenant.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenancyConfig {
    /// The header that names the tenant.
    #[serde(with = "header_name")]
    pub header: http::HeaderName,
    /// Tenants are subdomains of this name; empty when they are not.
    pub base_domain: String,
    /// The tenant of requests that name none, made at the first start; empty when there is none.
    #[serde(with = "optional_slug")]
    pub default_tenant: Option<TenantSlug>,
    /// How long a deleted tenant can be taken back before everything of it is removed.
    pub delete_grace_ms: Bounded<0, 31_536_000_000>,
}

impl Default for TenancyConfig {
    fn default() -> Self {
        Self {
            header: http::HeaderName::from_static("x-tenant"),
            base_domain: String::new(),
            default_tenant: "default".parse().ok(),
            delete_grace_ms: Bounded::of::<604_800_000>(),
        }
    }
}

/// What one call may know of its tenant.
pub struct TenancyView<'a> {
    pub(crate) call: &'a CallContext,
}

struct TenancyData;

impl HasData for TenancyData {
    type Data<'a> = TenancyView<'a>;
}

/// Links `hostel:tenancy`.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> TenancyView<'_>,
) -> Result<(), wasmtime::Error> {
    tenancy::add_to_linker::<T, TenancyData>(linker, view)
}

/// What one call may read of its tenant's secrets.
pub struct SecretsView<'a> {
    pub(crate) call: &'a CallContext,
    pub(crate) secrets: &'a Secrets,
}

struct SecretsData;

impl HasData for SecretsData {
    type Data<'a> = SecretsView<'a>;
}

/// Links `hostel:tenancy/secrets`.
pub(crate) fn add_secrets_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> SecretsView<'_>,
) -> Result<(), wasmtime::Error> {
    wit_secrets::add_to_linker::<T, SecretsData>(linker, view)
}

struct AdminData;

impl HasData for AdminData {
    type Data<'a> = AdminView<'a>;
}

/// Links `hostel:tenancy/admin`.
pub(crate) fn add_admin_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> AdminView<'_>,
) -> Result<(), wasmtime::Error> {
    wit_admin::add_to_linker::<T, AdminData>(linker, view)
}

impl wit_secrets::Host for SecretsView<'_> {
    async fn get(&mut self, name: String) -> Result<Option<String>> {
        self.call.within_deadline(self.secrets.read(self.call.tenant.id, &name)).await
    }
}

impl tenancy::Host for TenancyView<'_> {
    fn current(&mut self) -> wasmtime::Result<tenancy::Tenant> {
        let tenant = &self.call.tenant;
        Ok(tenancy::Tenant {
            id: tenant.id.to_string(),
            slug: tenant.slug.to_string(),
            display_name: tenant.display_name.clone(),
        })
    }
}

mod header_name {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        name: &http::HeaderName,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.serialize_str(name.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<http::HeaderName, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(|_| {
            de::Error::custom(format!("`{text}` is no header's name, such as `x-tenant`"))
        })
    }
}

mod optional_slug {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::names::TenantSlug;

    pub(super) fn serialize<S: Serializer>(
        slug: &Option<TenantSlug>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.serialize_str(slug.as_ref().map_or("", TenantSlug::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<TenantSlug>, D::Error> {
        let text = String::deserialize(d)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(de::Error::custom)
    }
}
