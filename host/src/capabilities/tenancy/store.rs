//! The platform's list of tenants.

use std::sync::Arc;

use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::call::{Tenant, TenantStatus};
use crate::clock::Clock;
use crate::database::{PlatformDatabase, next_revision};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{Plans, TighterLimits};
use crate::names::{TenantId, TenantSlug};

const DISPLAY_NAME_LENGTH_MAX: usize = 200;
/// The order of changes of tenants.
const REVISION: &str = "tenants";

/// Reads and writes the list of tenants. Nothing is cached here.
#[derive(Clone)]
pub struct Tenants {
    database: PlatformDatabase,
    clock: Clock,
    /// The names of the plans that there are.
    plans: Arc<[String]>,
}

/// A tenant to be made.
pub struct NewTenant {
    /// Its name in URLs and headers.
    pub slug: TenantSlug,
    /// Its name for people; the slug when empty.
    pub display_name: String,
    /// The plan that it is on, if any.
    pub plan: Option<String>,
}

/// What is to be changed of a tenant; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct TenantChange {
    /// Another plan, or none.
    pub plan: Option<Option<String>>,
    /// Other limits of its own.
    pub limits: Option<TighterLimits>,
}

impl Tenants {
    pub(crate) fn new(database: PlatformDatabase, clock: Clock, plans: &Plans) -> Self {
        Self { database, clock, plans: plans.keys().cloned().collect() }
    }

    fn check_plan(&self, plan: Option<&str>) -> Result<()> {
        match plan {
            Some(plan) if !self.plans.iter().any(|known| known == plan) => {
                let known = match self.plans.join(", ") {
                    none if none.is_empty() => "it has no plans".to_owned(),
                    some => format!("there are {some}"),
                };
                Err(Error::invalid(format!(
                    "there is no plan `{plan}` in the configuration: {known}"
                ))
                .hint("plans are sections of the configuration: `[plans.small.limits]`"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a configuration that lacks a plan which tenants are on.
    pub(crate) async fn check_plans(&self) -> Result<()> {
        let used: Vec<String> =
            sqlx::query_scalar("SELECT DISTINCT plan FROM tenants WHERE plan IS NOT NULL")
                .fetch_all(&self.database)
                .await?;
        used.iter().try_for_each(|plan| {
            self.check_plan(Some(plan))
                .map_err(|error| Error::invalid(format!("tenants are on plan `{plan}`: {error}")))
        })
    }

    /// Makes a tenant. It is served from now on, by every process on this data folder; the files of
    /// its data are made when they are first needed.
    ///
    /// # Errors
    /// `conflict` when the slug is taken.
    pub async fn create(&self, new: NewTenant) -> Result<Tenant> {
        let display_name = match new.display_name.trim() {
            "" => new.slug.to_string(),
            name if name.chars().count() <= DISPLAY_NAME_LENGTH_MAX => name.to_owned(),
            _ => {
                return Err(Error::invalid(format!(
                    "a tenant's display name has at most {DISPLAY_NAME_LENGTH_MAX} characters"
                )));
            }
        };
        let tenant = Tenant {
            id: TenantId::new(),
            slug: new.slug,
            display_name,
            status: TenantStatus::Active,
            plan: new.plan,
            limits: TighterLimits::default(),
        };
        self.check_plan(tenant.plan.as_deref())?;
        let mut transaction = self.database.begin().await?;
        let revision = next_revision(&mut transaction, REVISION).await?;
        sqlx::query(
            "INSERT INTO tenants (id, slug, display_name, status, plan, created_at, revision)
             VALUES ($1, $2, $3, 'active', $4, $5, $6)",
        )
        .bind(tenant.id.to_string())
        .bind(tenant.slug.to_string())
        .bind(&tenant.display_name)
        .bind(&tenant.plan)
        .bind(self.clock.now_micros())
        .bind(revision)
        .execute(&mut *transaction)
        .await
        .map_err(|error| match error.as_database_error() {
            Some(database) if database.is_unique_violation() => Error::new(
                ErrorKind::Conflict,
                "tenant-exists",
                format!("there is a tenant `{}` already", tenant.slug),
            )
            .hint("choose another slug; `hostel tenant list` shows those that are taken"),
            _ => error.into(),
        })?;
        transaction.commit().await?;
        Ok(tenant)
    }

    /// Makes a tenant unless there is one of that slug.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn ensure(&self, slug: &TenantSlug) -> Result<()> {
        if self.find(slug).await?.is_some() {
            return Ok(());
        }
        match self
            .create(NewTenant { slug: slug.clone(), display_name: String::new(), plan: None })
            .await
        {
            Err(error) if error.kind() != ErrorKind::Conflict => Err(error),
            // Another process was quicker.
            _ => Ok(()),
        }
    }

    /// Changes a tenant. Every process on this data folder acts by it within a second.
    ///
    /// # Errors
    /// `tenant-not-found`, or `invalid` for a plan that there is not.
    pub async fn change(&self, slug: &TenantSlug, change: TenantChange) -> Result<Tenant> {
        let unknown = || {
            Error::new(
                ErrorKind::NotFound,
                "tenant-not-found",
                format!("there is no tenant `{slug}`"),
            )
            .hint("`hostel tenant list` shows those that there are")
        };
        let mut tenant = self.find(slug).await?.ok_or_else(unknown)?;
        if let Some(plan) = change.plan {
            self.check_plan(plan.as_deref())?;
            tenant.plan = plan;
        }
        if let Some(limits) = change.limits {
            tenant.limits = limits;
        }
        let limits = serde_json::to_string(&tenant.limits)
            .map_err(|error| Error::internal("limits cannot be kept").because(error))?;
        let mut transaction = self.database.begin().await?;
        let revision = next_revision(&mut transaction, REVISION).await?;
        sqlx::query("UPDATE tenants SET plan = $2, limits = $3, revision = $4 WHERE id = $1")
            .bind(tenant.id.to_string())
            .bind(&tenant.plan)
            .bind(limits)
            .bind(revision)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(tenant)
    }

    /// The tenant of that slug.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find(&self, slug: &TenantSlug) -> Result<Option<Tenant>> {
        sqlx::query(
            "SELECT id, slug, display_name, status, plan, limits FROM tenants WHERE slug = $1",
        )
        .bind(slug.as_str())
        .fetch_optional(&self.database)
        .await?
        .map(|row| from_row(&row))
        .transpose()
    }

    /// All tenants by slug, at most `limit` of them after `after`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list(&self, after: Option<&TenantSlug>, limit: u32) -> Result<Vec<Tenant>> {
        sqlx::query(
            "SELECT id, slug, display_name, status, plan, limits FROM tenants
             WHERE slug > $1 ORDER BY slug LIMIT $2",
        )
        .bind(after.map_or("", TenantSlug::as_str))
        .bind(i64::from(limit))
        .fetch_all(&self.database)
        .await?
        .iter()
        .map(from_row)
        .collect()
    }

    /// The slugs of tenants that changed after `revision`, and the newest revision.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn changed_since(&self, revision: i64) -> Result<(Vec<TenantSlug>, i64)> {
        let rows =
            sqlx::query("SELECT slug, revision FROM tenants WHERE revision > $1 ORDER BY revision")
                .bind(revision)
                .fetch_all(&self.database)
                .await?;
        let mut newest = revision;
        let mut slugs = Vec::with_capacity(rows.len());
        for row in &rows {
            slugs.push(row.try_get::<String, _>(0)?.parse()?);
            newest = row.try_get(1)?;
        }
        Ok((slugs, newest))
    }
}

fn from_row(row: &AnyRow) -> Result<Tenant> {
    Ok(Tenant {
        id: row.try_get::<String, _>(0)?.parse()?,
        slug: row.try_get::<String, _>(1)?.parse()?,
        display_name: row.try_get(2)?,
        status: match row.try_get::<String, _>(3)?.as_str() {
            "active" => TenantStatus::Active,
            _ => TenantStatus::Suspended,
        },
        plan: row.try_get(4)?,
        // Limits of another version that this one does not know must not be dropped in silence.
        limits: serde_json::from_str(&row.try_get::<String, _>(5)?)
            .map_err(|error| Error::internal("a tenant's limits cannot be read").because(error))?,
    })
}
