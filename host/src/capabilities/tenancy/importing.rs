//! A tenant on its way in: it has a row from before the first of its data comes, with a name that
//! nobody asks for and a time at which it is removed like a deleted one. Whoever fills it puts that
//! time off; the last step makes it a tenant like others.

use super::settings::TenantSettings;
use super::store::{REVISION, Tenants, check_not_reserved, display_name, taken};
use crate::call::{Tenant, TenantStatus};
use crate::database::next_revision;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::TighterLimits;
use crate::names::{TenantId, TenantSlug};

/// How long an import that nobody goes on with is left alone, in microseconds.
const LEASE_MICROS: i64 = 120_000_000;

/// What a tenant is to be once all of its data is there.
pub(crate) struct Arrival {
    pub(crate) slug: TenantSlug,
    pub(crate) display_name: String,
    pub(crate) plan: Option<String>,
    pub(crate) limits: TighterLimits,
    /// When it was first made, in microseconds since the Unix epoch.
    pub(crate) created_at: i64,
    pub(crate) settings: TenantSettings,
}

/// A tenant that is being filled.
pub(crate) struct Importing {
    /// With the plan and limits that it will have.
    pub(crate) tenant: Tenant,
    arrival: Arrival,
}

impl Tenants {
    /// Makes room for a tenant that nobody sees yet.
    ///
    /// # Errors
    /// `conflict` when the slug is taken, `invalid` for what no tenant may have here.
    pub(crate) async fn begin_import(&self, arrival: Arrival) -> Result<Importing> {
        check_not_reserved(&arrival.slug)?;
        self.check_plan(arrival.plan.as_deref())?;
        if self.find(&arrival.slug).await?.is_some() {
            return Err(taken_already(&arrival.slug));
        }
        let id = TenantId::new();
        let name = display_name(&arrival.display_name, &arrival.slug)?;
        let limits = serde_json::to_string(&arrival.limits)
            .map_err(|error| Error::internal("limits cannot be kept").because(error))?;
        let mut transaction = self.database.begin().await?;
        let tenant = Tenant {
            id,
            slug: format!("importing-{}", id.to_string().replace('-', "")).parse()?,
            display_name: name,
            status: TenantStatus::Importing,
            plan: arrival.plan.clone(),
            limits: arrival.limits.clone(),
            created_at: arrival.created_at,
            purge_at: Some(self.lease_end()),
            status_before: None,
            revision: next_revision(&mut transaction, REVISION).await?,
        };
        sqlx::query(
            "INSERT INTO tenants
                 (id, slug, display_name, status, plan, limits, created_at, purge_at, revision)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(tenant.id.to_string())
        .bind(tenant.slug.as_str())
        .bind(&tenant.display_name)
        .bind(tenant.status.as_str())
        .bind(&tenant.plan)
        .bind(limits)
        .bind(tenant.created_at)
        .bind(tenant.purge_at)
        .bind(tenant.revision)
        .execute(&mut *transaction)
        .await
        .map_err(|error| taken(&tenant.slug, error))?;
        self.bus.commit(transaction).await?;
        Ok(Importing { tenant, arrival })
    }

    /// Puts off the time at which what was imported until now is removed.
    ///
    /// # Errors
    /// `conflict` where it was taken for abandoned, and is being removed.
    pub(crate) async fn keep_import(&self, importing: &Importing) -> Result<()> {
        // No revision: nobody else has to know.
        let kept = sqlx::query("UPDATE tenants SET purge_at = $2 WHERE id = $1 AND status = $3")
            .bind(importing.tenant.id.to_string())
            .bind(self.lease_end())
            .bind(TenantStatus::Importing.as_str())
            .execute(&self.database)
            .await?
            .rows_affected();
        if kept == 0 { Err(abandoned()) } else { Ok(()) }
    }

    /// Serves the tenant from now on: it gets all that it is to be, or nothing.
    ///
    /// # Errors
    /// `conflict` when the slug was taken meanwhile, or the import for abandoned.
    pub(crate) async fn finish_import(&self, importing: &Importing) -> Result<Tenant> {
        let Importing { tenant, arrival } = importing;
        let mut transaction = self.database.begin().await?;
        let arrived = self
            .update_within(&mut transaction, &tenant.slug, |tenant| {
                if tenant.status != TenantStatus::Importing {
                    return Err(abandoned());
                }
                tenant.slug = arrival.slug.clone();
                tenant.status = TenantStatus::Active;
                tenant.purge_at = None;
                Ok(())
            })
            .await
            .map_err(
                |error| if error.kind() == ErrorKind::NotFound { abandoned() } else { error },
            )?;
        let settings = arrival.settings.iter().flat_map(|(module, values)| {
            values.iter().map(move |(name, value)| (module, name, value))
        });
        for (module, name, value) in settings {
            sqlx::query(
                "INSERT INTO tenant_settings (tenant_id, module, name, value)
                 VALUES ($1, $2, $3, $4)",
            )
            .bind(arrived.id.to_string())
            .bind(module)
            .bind(name)
            .bind(value.to_string())
            .execute(&mut *transaction)
            .await?;
        }
        self.bus.commit(transaction).await?;
        Ok(arrived)
    }

    fn lease_end(&self) -> i64 {
        self.clock.now_micros().saturating_add(LEASE_MICROS)
    }
}

fn taken_already(slug: &TenantSlug) -> Error {
    Error::new(ErrorKind::Conflict, "tenant-exists", format!("there is a tenant `{slug}` already"))
        .hint("choose another slug with --as; `hostel tenant list` shows those that are taken")
}

fn abandoned() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "import-abandoned",
        "the import stood still for so long that another process removed what it had brought",
    )
    .hint("begin it again")
}
