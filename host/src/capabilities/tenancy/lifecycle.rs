//! A tenant's end: suspended, deleted, taken back, and removed with everything that it had.
//!
//! A tenant that is being removed has a status that is never served, from before the first of its
//! data goes until the last has gone. So it does not matter where removing is cut short: whoever
//! looks next goes on.

use super::store::{Tenants, check_not_reserved, must_be_there, wrong_status};
use crate::call::{Tenant, TenantStatus};
use crate::error::Result;
use crate::names::{TenantId, TenantSlug};

/// Tenants whose time has come, that are removed in one go.
const PURGE_BATCH: i64 = 100;

impl Tenants {
    /// Refuses a tenant's requests from now on, in every process within a second.
    ///
    /// # Errors
    /// `tenant-not-found`, or `conflict` where it is being deleted.
    pub async fn suspend(&self, slug: &TenantSlug) -> Result<Tenant> {
        check_not_reserved(slug)?;
        self.set_status(slug, TenantStatus::Suspended).await
    }

    /// Answers a suspended tenant's requests again.
    ///
    /// # Errors
    /// As [`suspend`](Self::suspend).
    pub async fn resume(&self, slug: &TenantSlug) -> Result<Tenant> {
        self.set_status(slug, TenantStatus::Active).await
    }

    async fn set_status(&self, slug: &TenantSlug, status: TenantStatus) -> Result<Tenant> {
        self.update(slug, |tenant| {
            must_be_there(tenant)?;
            tenant.status = status;
            Ok(())
        })
        .await
    }

    /// Marks a tenant for removal. Requests are told from now on that there is no such tenant; until
    /// [`purge_at`](Tenant::purge_at), `[tenancy] delete_grace_ms` from now, it can be taken back.
    /// Its slug stays taken as long.
    ///
    /// # Errors
    /// `tenant-not-found`, or `conflict` where it is being deleted already.
    pub async fn delete(&self, slug: &TenantSlug) -> Result<Tenant> {
        check_not_reserved(slug)?;
        let purge_at = self.clock.now_micros().saturating_add(self.delete_grace);
        self.update(slug, |tenant| {
            must_be_there(tenant)?;
            tenant.status_before = Some(tenant.status);
            tenant.status = TenantStatus::Deleting;
            tenant.purge_at = Some(purge_at);
            Ok(())
        })
        .await
    }

    /// Takes a deleted tenant back: it is again what it was.
    ///
    /// # Errors
    /// `tenant-not-found`, or `conflict` where it is not deleted, or being removed already.
    pub async fn undelete(&self, slug: &TenantSlug) -> Result<Tenant> {
        self.update(slug, |tenant| {
            if tenant.status != TenantStatus::Deleting {
                return Err(wrong_status(tenant, "deleting"));
            }
            tenant.status = tenant.status_before.take().unwrap_or(TenantStatus::Suspended);
            tenant.purge_at = None;
            Ok(())
        })
        .await
    }

    /// Removes everything of a deleted tenant now: its tables, settings, secrets and usage. There is
    /// no way back. What is cut short is gone on with by the next call, or by any platform that runs
    /// on the same data.
    ///
    /// # Errors
    /// `tenant-not-found`, or `conflict` where it is not deleted.
    pub async fn purge(&self, slug: &TenantSlug) -> Result<()> {
        let now = self.clock.now_micros();
        let tenant = self
            .update(slug, |tenant| {
                if tenant.status.is_there() {
                    return Err(
                        wrong_status(tenant, "deleting").hint("delete it first, or with `--now`")
                    );
                }
                tenant.status = TenantStatus::Purging;
                tenant.purge_at = Some(now);
                Ok(())
            })
            .await?;
        self.finish_purge(tenant.id).await
    }

    /// Deletes a tenant, and removes everything of it now, whatever its status. There is no way back.
    /// What is cut short is gone on with as [`purge`](Self::purge)'s.
    ///
    /// # Errors
    /// `tenant-not-found`, or `invalid` for the platform's own tenant.
    pub async fn delete_now(&self, slug: &TenantSlug) -> Result<()> {
        check_not_reserved(slug)?;
        let now = self.clock.now_micros();
        let tenant = self
            .update(slug, |tenant| {
                tenant.status = TenantStatus::Purging;
                tenant.purge_at = Some(now);
                Ok(())
            })
            .await?;
        self.finish_purge(tenant.id).await
    }

    /// Removes what is left of tenants whose time has come, and goes on where it was cut short.
    pub(crate) async fn purge_due(&self) -> Result<()> {
        let due: Vec<String> = sqlx::query_scalar(
            "SELECT slug FROM tenants WHERE purge_at <= $1 ORDER BY purge_at LIMIT $2",
        )
        .bind(self.clock.now_micros())
        .bind(PURGE_BATCH)
        .fetch_all(&self.database)
        .await?;
        for slug in due {
            let slug: TenantSlug = slug.parse()?;
            match self.purge_if_due(&slug).await {
                Ok(()) => tracing::info!(tenant = slug.as_str(), "removed"),
                Err(error) => tracing::warn!(
                    tenant = slug.as_str(),
                    cause = error.causes(),
                    "cannot be removed yet: {error}"
                ),
            }
        }
        Ok(())
    }

    /// The tenant may have been taken back, or another may bear its slug, since somebody looked.
    async fn purge_if_due(&self, slug: &TenantSlug) -> Result<()> {
        let now = self.clock.now_micros();
        let tenant = self
            .update(slug, |tenant| {
                if tenant.purge_at.is_none_or(|at| at > now) || tenant.status.is_there() {
                    return Err(wrong_status(tenant, "deleting"));
                }
                tenant.status = TenantStatus::Purging;
                Ok(())
            })
            .await?;
        self.finish_purge(tenant.id).await
    }

    /// The tenant is marked as one of which anything may be missing.
    async fn finish_purge(&self, id: TenantId) -> Result<()> {
        self.units.remove(id).await?;
        let mut transaction = self.database.begin().await?;
        self.bury(&mut transaction, id).await?;
        for statement in [
            "DELETE FROM usage WHERE tenant_id = $1",
            "DELETE FROM tenant_settings WHERE tenant_id = $1",
            "DELETE FROM tenant_secrets WHERE tenant_id = $1",
            "DELETE FROM quarantine WHERE tenant_id = $1",
            "DELETE FROM tenants WHERE id = $1",
        ] {
            sqlx::query(statement).bind(id.to_string()).execute(&mut *transaction).await?;
        }
        self.bus.commit(transaction).await?;
        Ok(())
    }
}
