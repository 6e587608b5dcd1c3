//! The platform's list of tenants: made, found, listed and changed.

use std::sync::Arc;

use arc_swap::ArcSwap;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::TenancyConfig;
use super::settings::Declarations;
use crate::call::{Tenant, TenantStatus};
use crate::clock::Clock;
use crate::database::{ChangeBus, PlatformDatabase, Units, newest_revision, next_revision};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{Plans, TighterLimits};
use crate::names::{TenantId, TenantSlug};

const DISPLAY_NAME_LENGTH_MAX: usize = 200;
/// The order of changes of tenants.
pub(super) const REVISION: &str = "tenants";

const COLUMNS: &str =
    "id, slug, display_name, status, plan, limits, created_at, purge_at, status_before, revision";

/// Reads and writes the list of tenants. Nothing is cached here.
#[derive(Clone)]
pub struct Tenants {
    pub(super) database: PlatformDatabase,
    pub(super) bus: ChangeBus,
    pub(super) clock: Clock,
    /// Microseconds.
    pub(super) delete_grace: i64,
    pub(super) units: Arc<Units>,
    pub(super) declared: Declarations,
    /// The names of the plans that there are.
    plans: Arc<ArcSwap<Vec<String>>>,
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
    /// Another name in URLs and headers. The old one is free then.
    pub slug: Option<TenantSlug>,
    /// Another name for people; the slug when empty.
    pub display_name: Option<String>,
    /// Another plan, or none.
    pub plan: Option<Option<String>>,
    /// Other limits of its own.
    pub limits: Option<TighterLimits>,
}

/// Which tenants are asked for, by slug.
#[derive(Clone, Debug, Default)]
pub struct TenantQuery {
    /// Those with this status only.
    pub status: Option<TenantStatus>,
    /// Those on this plan only.
    pub plan: Option<String>,
    /// Those whose slug or display name has this part, in upper or lower case.
    pub name: Option<String>,
    /// Those after this slug only.
    pub after: Option<TenantSlug>,
    /// At most so many.
    pub limit: u32,
}

impl Tenants {
    pub(crate) fn new(
        database: PlatformDatabase,
        bus: ChangeBus,
        clock: Clock,
        units: Arc<Units>,
        plans: &Plans,
        config: &TenancyConfig,
    ) -> Self {
        Self {
            database,
            bus,
            clock,
            delete_grace: i64::try_from(config.delete_grace_ms.get() * 1000).unwrap_or(i64::MAX),
            units,
            declared: Declarations::default(),
            plans: Arc::new(ArcSwap::from_pointee(plans.keys().cloned().collect())),
        }
    }

    /// What tells of their changes.
    pub(crate) fn bus(&self) -> &ChangeBus {
        &self.bus
    }

    /// Their databases.
    pub(crate) fn units(&self) -> &Arc<Units> {
        &self.units
    }

    pub(super) fn check_plan(&self, plan: Option<&str>) -> Result<()> {
        check_plan(&self.plans.load(), plan)
    }

    /// From now on, tenants can be on these plans.
    ///
    /// # Errors
    /// When there are tenants on a plan that is not among them.
    pub(crate) async fn set_plans(&self, plans: &Plans) -> Result<()> {
        let names: Vec<String> = plans.keys().cloned().collect();
        self.check_used(&names).await?;
        self.plans.store(Arc::new(names));
        Ok(())
    }

    /// Refuses a configuration that lacks a plan which tenants are on.
    pub(crate) async fn check_plans(&self) -> Result<()> {
        self.check_used(&self.plans.load()).await
    }

    async fn check_used(&self, plans: &[String]) -> Result<()> {
        let used: Vec<String> =
            sqlx::query_scalar("SELECT DISTINCT plan FROM tenants WHERE plan IS NOT NULL")
                .fetch_all(&self.database)
                .await?;
        used.iter().try_for_each(|plan| {
            check_plan(plans, Some(plan))
                .map_err(|error| Error::invalid(format!("tenants are on plan `{plan}`: {error}")))
        })
    }

    /// Makes a tenant. It is served from now on, by every process on this data folder; the files of
    /// its data are made when they are first needed.
    ///
    /// # Errors
    /// `conflict` when the slug is taken, `invalid` when it is kept for the platform.
    pub async fn create(&self, new: NewTenant) -> Result<Tenant> {
        check_not_reserved(&new.slug)?;
        self.insert(new).await
    }

    async fn insert(&self, new: NewTenant) -> Result<Tenant> {
        self.check_plan(new.plan.as_deref())?;
        let mut transaction = self.database.begin().await?;
        let tenant = Tenant {
            id: TenantId::new(),
            display_name: display_name(&new.display_name, &new.slug)?,
            slug: new.slug,
            status: TenantStatus::Active,
            plan: new.plan,
            limits: TighterLimits::default(),
            created_at: self.clock.now_micros(),
            purge_at: None,
            status_before: None,
            revision: next_revision(&mut transaction, REVISION).await?,
        };
        sqlx::query(
            "INSERT INTO tenants (id, slug, display_name, status, plan, created_at, revision)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(tenant.id.to_string())
        .bind(tenant.slug.to_string())
        .bind(&tenant.display_name)
        .bind(tenant.status.as_str())
        .bind(&tenant.plan)
        .bind(tenant.created_at)
        .bind(tenant.revision)
        .execute(&mut *transaction)
        .await
        .map_err(|error| taken(&tenant.slug, error))?;
        self.bus.commit(transaction).await?;
        Ok(tenant)
    }

    /// Makes a tenant unless there is one of that slug.
    ///
    /// # Errors
    /// When the database does not answer, or the slug is kept for the platform.
    pub async fn ensure(&self, slug: &TenantSlug) -> Result<()> {
        check_not_reserved(slug)?;
        self.ensure_there(slug.clone(), String::new()).await
    }

    /// Makes the platform's own tenant unless it is there.
    pub(crate) async fn ensure_platform(&self) -> Result<()> {
        self.ensure_there(Tenant::PLATFORM.parse()?, "The platform".to_owned()).await
    }

    async fn ensure_there(&self, slug: TenantSlug, display_name: String) -> Result<()> {
        if self.find(&slug).await?.is_some() {
            return Ok(());
        }
        match self.insert(NewTenant { slug, display_name, plan: None }).await {
            Err(error) if error.kind() != ErrorKind::Conflict => Err(error),
            // Another process was quicker.
            _ => Ok(()),
        }
    }

    /// Changes a tenant. Every process on this data folder acts by it within a second.
    ///
    /// # Errors
    /// `tenant-not-found`, `conflict` when another slug is taken, or `invalid` for a plan that there
    /// is not.
    pub async fn change(&self, slug: &TenantSlug, change: TenantChange) -> Result<Tenant> {
        if let Some(plan) = &change.plan {
            self.check_plan(plan.as_deref())?;
        }
        if let Some(new) = change.slug.as_ref().filter(|new| *new != slug) {
            check_not_reserved(slug)?;
            check_not_reserved(new)?;
        }
        self.update(slug, |tenant| {
            must_be_there(tenant)?;
            if let Some(new) = change.slug {
                // Nobody chose a name that is the slug.
                if tenant.display_name == tenant.slug.as_str() {
                    tenant.display_name = new.to_string();
                }
                tenant.slug = new;
            }
            if let Some(name) = &change.display_name {
                tenant.display_name = display_name(name, &tenant.slug)?;
            }
            if let Some(plan) = change.plan {
                tenant.plan = plan;
            }
            if let Some(limits) = change.limits {
                tenant.limits = limits;
            }
            Ok(())
        })
        .await
    }

    /// Reads a tenant, changes it and writes it again: nobody else's change comes in between.
    pub(super) async fn update(
        &self,
        slug: &TenantSlug,
        edit: impl FnOnce(&mut Tenant) -> Result<()>,
    ) -> Result<Tenant> {
        let mut transaction = self.database.begin().await?;
        let tenant = self.update_within(&mut transaction, slug, edit).await?;
        self.bus.commit(transaction).await?;
        Ok(tenant)
    }

    /// [`update`](Self::update) in a transaction that is open, as the first of what it writes.
    pub(super) async fn update_within(
        &self,
        transaction: &mut AnyConnection,
        slug: &TenantSlug,
        edit: impl FnOnce(&mut Tenant) -> Result<()>,
    ) -> Result<Tenant> {
        // Drawn first: whoever else draws one waits until this transaction has ended.
        let revision = next_revision(transaction, REVISION).await?;
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM tenants WHERE slug = $1"
        )))
        .bind(slug.as_str())
        .fetch_optional(&mut *transaction)
        .await?;
        let mut tenant = from_row(&row.ok_or_else(|| unknown(slug))?)?;
        edit(&mut tenant)?;
        tenant.revision = revision;
        let limits = serde_json::to_string(&tenant.limits)
            .map_err(|error| Error::internal("limits cannot be kept").because(error))?;
        sqlx::query(
            "UPDATE tenants SET slug = $2, display_name = $3, status = $4, plan = $5, limits = $6,
                 purge_at = $7, status_before = $8, revision = $9
             WHERE id = $1",
        )
        .bind(tenant.id.to_string())
        .bind(tenant.slug.as_str())
        .bind(&tenant.display_name)
        .bind(tenant.status.as_str())
        .bind(&tenant.plan)
        .bind(limits)
        .bind(tenant.purge_at)
        .bind(tenant.status_before.map(TenantStatus::as_str))
        .bind(tenant.revision)
        .execute(&mut *transaction)
        .await
        .map_err(|error| taken(&tenant.slug, error))?;
        Ok(tenant)
    }

    /// The tenant of that slug, whatever its status.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find(&self, slug: &TenantSlug) -> Result<Option<Tenant>> {
        sqlx::query(sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM tenants WHERE slug = $1")))
            .bind(slug.as_str())
            .fetch_optional(&self.database)
            .await?
            .map(|row| from_row(&row))
            .transpose()
    }

    /// The tenant of that id, whatever its status.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn find_by_id(&self, id: TenantId) -> Result<Option<Tenant>> {
        sqlx::query(sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM tenants WHERE id = $1")))
            .bind(id.to_string())
            .fetch_optional(&self.database)
            .await?
            .map(|row| from_row(&row))
            .transpose()
    }

    /// The tenant of that slug, whatever its status.
    ///
    /// # Errors
    /// `tenant-not-found`.
    pub async fn get(&self, slug: &TenantSlug) -> Result<Tenant> {
        self.find(slug).await?.ok_or_else(|| unknown(slug))
    }

    /// Tenants by slug.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list(&self, query: &TenantQuery) -> Result<Vec<Tenant>> {
        let part = query.name.as_ref().map(|name| {
            let name = name.to_lowercase().replace('\\', "\\\\");
            format!("%{}%", name.replace('%', "\\%").replace('_', "\\_"))
        });
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM tenants
             WHERE slug > $1 AND ($2 IS NULL OR status = $2) AND ($3 IS NULL OR plan = $3)
               AND ($4 IS NULL OR slug LIKE $4 ESCAPE '\\' OR lower(display_name) LIKE $4 ESCAPE '\\')
             ORDER BY slug LIMIT $5"
        )))
        .bind(query.after.as_ref().map_or("", TenantSlug::as_str))
        .bind(query.status.map(TenantStatus::as_str))
        .bind(&query.plan)
        .bind(part)
        .bind(i64::from(query.limit))
        .fetch_all(&self.database)
        .await?
        .iter()
        .map(from_row)
        .collect()
    }

    /// How many tenants are active or suspended.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn count(&self) -> Result<u64> {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM tenants WHERE status IN ('active', 'suspended')",
        )
        .fetch_one(&self.database)
        .await?;
        Ok(count.unsigned_abs())
    }

    /// The newest change of any tenant.
    pub(crate) async fn newest_revision(&self) -> Result<i64> {
        newest_revision(&self.database, REVISION).await
    }

    /// Tenants that changed after `revision`, each with whether it is gone, and the newest revision.
    pub(crate) async fn changed_since(
        &self,
        revision: i64,
    ) -> Result<(Vec<(TenantId, bool)>, i64)> {
        let rows = sqlx::query(
            "SELECT id, revision, 0 AS gone FROM tenants WHERE revision > $1
             UNION ALL
             SELECT id, revision, 1 AS gone FROM purged_tenants WHERE revision > $1
             ORDER BY revision",
        )
        .bind(revision)
        .fetch_all(&self.database)
        .await?;
        let mut newest = revision;
        let mut changed = Vec::with_capacity(rows.len());
        for row in &rows {
            newest = row.try_get(1)?;
            let gone: i64 = row.try_get(2)?;
            changed.push((row.try_get::<String, _>(0)?.parse()?, gone != 0));
        }
        Ok((changed, newest))
    }

    /// Writes that nothing is left of a tenant.
    pub(super) async fn bury(&self, transaction: &mut AnyConnection, id: TenantId) -> Result<()> {
        let revision = next_revision(transaction, REVISION).await?;
        sqlx::query(
            "INSERT INTO purged_tenants (id, purged_at, revision) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(id.to_string())
        .bind(self.clock.now_micros())
        .bind(revision)
        .execute(transaction)
        .await?;
        Ok(())
    }
}

pub(super) fn unknown(slug: &TenantSlug) -> Error {
    Error::new(ErrorKind::NotFound, "tenant-not-found", format!("there is no tenant `{slug}`"))
        .about("slug")
        .hint("`hostel tenant list` shows those that there are")
}

/// Only a tenant that is served, or could be, is changed.
pub(super) fn must_be_there(tenant: &Tenant) -> Result<()> {
    if tenant.status.is_there() {
        return Ok(());
    }
    Err(wrong_status(tenant, "active or suspended"))
}

pub(crate) fn wrong_status(tenant: &Tenant, expected: &str) -> Error {
    let Tenant { slug, status, .. } = tenant;
    Error::new(
        ErrorKind::Conflict,
        "tenant-status",
        format!("tenant `{slug}` is {status}: it must be {expected}"),
    )
    .about("status")
}

/// The platform's own tenant bears its name for ever, and no other does.
pub(super) fn check_not_reserved(slug: &TenantSlug) -> Result<()> {
    if slug.as_str() == Tenant::PLATFORM {
        return Err(Error::invalid(format!("`{slug}` is the platform's own tenant"))
            .about("slug")
            .hint("choose another slug"));
    }
    Ok(())
}

pub(super) fn display_name(name: &str, slug: &TenantSlug) -> Result<String> {
    let wrong = match name.trim() {
        "" => return Ok(slug.to_string()),
        name if name.chars().count() > DISPLAY_NAME_LENGTH_MAX => {
            format!("a tenant's display name has at most {DISPLAY_NAME_LENGTH_MAX} characters")
        }
        name if name.chars().any(char::is_control) => {
            "a tenant's display name is one line".to_owned()
        }
        name => return Ok(name.to_owned()),
    };
    Err(Error::invalid(wrong).about("display-name"))
}

pub(super) fn taken(slug: &TenantSlug, error: sqlx::Error) -> Error {
    match error.as_database_error() {
        Some(database) if database.is_unique_violation() => Error::new(
            ErrorKind::Conflict,
            "tenant-exists",
            format!("there is a tenant `{slug}` already"),
        )
        .about("slug")
        .hint("choose another slug; `hostel tenant list` shows those that are taken"),
        _ => error.into(),
    }
}

pub(super) fn from_row(row: &AnyRow) -> Result<Tenant> {
    Ok(Tenant {
        id: row.try_get::<String, _>(0)?.parse()?,
        slug: row.try_get::<String, _>(1)?.parse()?,
        display_name: row.try_get(2)?,
        status: row.try_get::<String, _>(3)?.parse()?,
        plan: row.try_get(4)?,
        // Limits of another version that this one does not know must not be dropped in silence.
        limits: serde_json::from_str(&row.try_get::<String, _>(5)?)
            .map_err(|error| Error::internal("a tenant's limits cannot be read").because(error))?,
        created_at: row.try_get(6)?,
        purge_at: row.try_get(7)?,
        status_before: row
            .try_get::<Option<String>, _>(8)?
            .map(|status| status.parse())
            .transpose()?,
        revision: row.try_get(9)?,
    })
}

fn check_plan(known_plans: &[String], plan: Option<&str>) -> Result<()> {
    match plan {
        Some(plan) if !known_plans.iter().any(|known| known == plan) => {
            let known = match known_plans.join(", ") {
                none if none.is_empty() => "it has no plans".to_owned(),
                some => format!("there are {some}"),
            };
            Err(Error::invalid(format!("there is no plan `{plan}` in the configuration: {known}"))
                .about("plan")
                .hint("plans are sections of the configuration: `[plans.small.limits]`"))
        }
        _ => Ok(()),
    }
}
