//! `hostel:tenancy/admin`: all tenants of the platform, for modules of its own tenant.
//!
//! Such a module is served to no other tenant (`runtime/registry.rs`), and what it asks is looked at
//! here once more: one mistake does not open every tenant to one of them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{NewTenant, Secrets, TenantChange, TenantQuery, Tenants};
use crate::bindings::hostel::tenancy::admin as wit;
use crate::call::{CallContext, Tenant, TenantStatus};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::TighterLimits;
use crate::names::{ModuleName, TenantSlug};
use crate::secret::Secret;

/// Tenants in one answer, at most.
const FIND_MAX: u32 = 1_000;

/// What one call may do with tenants.
pub(crate) struct AdminView<'a> {
    pub(crate) call: &'a mut CallContext,
    pub(crate) tenants: &'a Tenants,
    pub(crate) secrets: &'a Secrets,
}

impl AdminView<'_> {
    /// The slug of a tenant that should be there. None has a name that cannot be one.
    fn slug(&self, slug: &str) -> Result<TenantSlug> {
        self.must_be_platform()?;
        slug.parse().map_err(|_| {
            Error::new(ErrorKind::NotFound, "tenant-not-found", "there is no such tenant")
                .about("slug")
        })
    }

    fn must_be_platform(&self) -> Result<()> {
        if self.call.tenant.is_platform() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Denied, "denied", "this is for the platform's own tenant"))
    }

    /// Waits for what was begun, and says of it what guests may know.
    async fn entry(
        &mut self,
        work: impl Future<Output = Result<Tenant>>,
    ) -> Result<wit::TenantEntry> {
        let tenant = self.call.within_deadline(work).await?;
        let entry = entry_of(tenant)?;
        self.call.budget.pay_for_bytes(size_of_entry(&entry))?;
        Ok(entry)
    }
}

impl wit::Host for AdminView<'_> {
    async fn create(&mut self, new: wit::NewTenant) -> Result<wit::TenantEntry> {
        self.must_be_platform()?;
        let slug = parse_slug("slug", &new.slug)?;
        let new = NewTenant { slug, display_name: new.display_name, plan: new.plan };
        let tenants = self.tenants;
        self.entry(tenants.create(new)).await
    }

    async fn get(&mut self, slug: String) -> Result<wit::TenantEntry> {
        let (slug, tenants) = (self.slug(&slug)?, self.tenants);
        self.entry(tenants.get(&slug)).await
    }

    async fn find(&mut self, query: wit::TenantQuery) -> Result<Vec<wit::TenantEntry>> {
        self.must_be_platform()?;
        let query = TenantQuery {
            status: query.status.map(status_of_guest),
            plan: query.plan,
            name: query.name,
            after: query.after.map(|after| parse_slug("after", &after)).transpose()?,
            limit: query.limit.min(FIND_MAX),
        };
        let tenants = self.call.within_deadline(self.tenants.list(&query)).await?;
        let entries: Vec<_> = tenants.into_iter().map(entry_of).collect::<Result<_>>()?;
        self.call.budget.pay_for_bytes(entries.iter().map(size_of_entry).sum())?;
        Ok(entries)
    }

    async fn change(
        &mut self,
        slug: String,
        change: wit::TenantChange,
    ) -> Result<wit::TenantEntry> {
        let (slug, tenants) = (self.slug(&slug)?, self.tenants);
        let change = TenantChange {
            slug: change.slug.map(|slug| parse_slug("slug", &slug)).transpose()?,
            display_name: change.display_name,
            plan: change.plan,
            limits: change.limits.as_deref().map(parse_limits).transpose()?,
        };
        self.entry(tenants.change(&slug, change)).await
    }

    async fn suspend(&mut self, slug: String) -> Result<wit::TenantEntry> {
        let (slug, tenants) = (self.slug(&slug)?, self.tenants);
        self.entry(tenants.suspend(&slug)).await
    }

    async fn resume(&mut self, slug: String) -> Result<wit::TenantEntry> {
        let (slug, tenants) = (self.slug(&slug)?, self.tenants);
        self.entry(tenants.resume(&slug)).await
    }

    async fn delete(&mut self, slug: String) -> Result<wit::TenantEntry> {
        let (slug, tenants) = (self.slug(&slug)?, self.tenants);
        self.entry(tenants.delete(&slug)).await
    }

    async fn undelete(&mut self, slug: String) -> Result<wit::TenantEntry> {
        let (slug, tenants) = (self.slug(&slug)?, self.tenants);
        self.entry(tenants.undelete(&slug)).await
    }

    async fn purge(&mut self, slug: String) -> Result<()> {
        let slug = self.slug(&slug)?;
        self.call.within_deadline(self.tenants.purge(&slug)).await
    }

    async fn settings(&mut self, slug: String) -> Result<String> {
        let slug = self.slug(&slug)?;
        let settings = self.call.within_deadline(self.tenants.settings(&slug)).await?;
        let text = serde_json::to_string(&settings)
            .map_err(|error| Error::internal("settings cannot be told").because(error))?;
        self.call.budget.pay_for_bytes(text.len())?;
        Ok(text)
    }

    async fn set_settings(&mut self, slug: String, module: String, changes: String) -> Result<()> {
        let slug = self.slug(&slug)?;
        let module: ModuleName = module.parse()?;
        let changes: BTreeMap<String, Value> = serde_json::from_str(&changes)
            .map_err(|error| Error::invalid(format!("no object of settings: {error}")))?;
        let changes = changes
            .into_iter()
            .map(|(name, value)| (name, Some(value).filter(|value| !value.is_null())));
        let changing = self.tenants.set_settings(&slug, &module, changes.collect());
        self.call.within_deadline(changing).await
    }

    async fn secrets(&mut self, slug: String) -> Result<Vec<wit::SecretEntry>> {
        let slug = self.slug(&slug)?;
        let names = self.call.within_deadline(self.secrets.names(&slug)).await?;
        self.call.budget.pay_for_bytes(names.iter().map(|(name, _)| name.len() + 8).sum())?;
        let entries =
            names.into_iter().map(|(name, changed_at)| wit::SecretEntry { name, changed_at });
        Ok(entries.collect())
    }

    async fn set_secret(&mut self, slug: String, name: String, value: String) -> Result<()> {
        let slug = self.slug(&slug)?;
        let value = Secret::new(value);
        self.call.within_deadline(self.secrets.set(&slug, &name, &value)).await
    }

    async fn remove_secret(&mut self, slug: String, name: String) -> Result<()> {
        let slug = self.slug(&slug)?;
        self.call.within_deadline(self.secrets.remove(&slug, &name)).await
    }
}

/// The slug that a field holds.
fn parse_slug(field: &'static str, slug: &str) -> Result<TenantSlug> {
    slug.parse().map_err(|error: Error| error.about(field))
}

fn parse_limits(limits: &str) -> Result<TighterLimits> {
    // In two steps: where in the guest's text a limit stands says nothing to whoever sent it.
    let limits = serde_json::from_str::<Value>(limits).and_then(serde_json::from_value);
    limits.map_err(|error| Error::invalid(error.to_string()).about("limits"))
}

fn entry_of(tenant: Tenant) -> Result<wit::TenantEntry> {
    let limits = serde_json::to_string(&tenant.limits)
        .map_err(|error| Error::internal("limits cannot be told").because(error))?;
    Ok(wit::TenantEntry {
        id: tenant.id.to_string(),
        slug: tenant.slug.to_string(),
        display_name: tenant.display_name,
        status: status_for_guest(tenant.status),
        plan: tenant.plan,
        limits,
        created_at: tenant.created_at,
        purge_at: tenant.purge_at,
    })
}

/// Bytes that cross, near enough.
fn size_of_entry(entry: &wit::TenantEntry) -> usize {
    entry.slug.len() + entry.display_name.len() + entry.limits.len() + 100
}

fn status_for_guest(status: TenantStatus) -> wit::TenantStatus {
    match status {
        TenantStatus::Active => wit::TenantStatus::Active,
        TenantStatus::Suspended => wit::TenantStatus::Suspended,
        TenantStatus::Deleting => wit::TenantStatus::Deleting,
        TenantStatus::Purging => wit::TenantStatus::Purging,
        TenantStatus::Importing => wit::TenantStatus::Importing,
    }
}

fn status_of_guest(status: wit::TenantStatus) -> TenantStatus {
    match status {
        wit::TenantStatus::Active => TenantStatus::Active,
        wit::TenantStatus::Suspended => TenantStatus::Suspended,
        wit::TenantStatus::Deleting => TenantStatus::Deleting,
        wit::TenantStatus::Purging => TenantStatus::Purging,
        wit::TenantStatus::Importing => TenantStatus::Importing,
    }
}
