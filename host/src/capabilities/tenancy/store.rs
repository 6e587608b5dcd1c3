//! The platform's list of tenants.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::call::{Tenant, TenantStatus};
use crate::clock::Clock;
use crate::database::PlatformDatabase;
use crate::error::{Error, ErrorKind, Result};
use crate::names::{TenantId, TenantSlug};

const DISPLAY_NAME_LENGTH_MAX: usize = 200;

/// Reads and writes the list of tenants. Nothing is cached here.
#[derive(Clone)]
pub struct Tenants {
    database: PlatformDatabase,
    clock: Clock,
}

/// A tenant to be made.
pub struct NewTenant {
    /// Its name in URLs and headers.
    pub slug: TenantSlug,
    /// Its name for people; the slug when empty.
    pub display_name: String,
}

impl Tenants {
    pub(crate) fn new(database: PlatformDatabase, clock: Clock) -> Self {
        Self { database, clock }
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
        };
        sqlx::query(
            "INSERT INTO tenants (id, slug, display_name, status, created_at, revision)
             VALUES ($1, $2, $3, 'active', $4, (SELECT 1 + coalesce(max(revision), 0) FROM tenants))",
        )
        .bind(tenant.id.to_string())
        .bind(tenant.slug.to_string())
        .bind(&tenant.display_name)
        .bind(self.clock.now_micros())
        .execute(&self.database)
        .await
        .map_err(|error| match error.as_database_error() {
            Some(database) if database.is_unique_violation() => {
                Error::new(ErrorKind::Conflict, "tenant-exists", format!("there is a tenant `{}` already", tenant.slug))
                    .hint("choose another slug; `hostel tenant list` shows those that are taken")
            }
            _ => error.into(),
        })?;
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
        match self.create(NewTenant { slug: slug.clone(), display_name: String::new() }).await {
            Err(error) if error.kind() != ErrorKind::Conflict => Err(error),
            // Another process was quicker.
            _ => Ok(()),
        }
    }

    /// The tenant of that slug.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find(&self, slug: &TenantSlug) -> Result<Option<Tenant>> {
        sqlx::query("SELECT id, slug, display_name, status FROM tenants WHERE slug = $1")
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
            "SELECT id, slug, display_name, status FROM tenants
             WHERE slug > $1 ORDER BY slug LIMIT $2",
        )
        .bind(after.map_or("", TenantSlug::as_str))
        .bind(limit)
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

fn from_row(row: &SqliteRow) -> Result<Tenant> {
    Ok(Tenant {
        id: row.try_get::<String, _>(0)?.parse()?,
        slug: row.try_get::<String, _>(1)?.parse()?,
        display_name: row.try_get(2)?,
        status: match row.try_get::<String, _>(3)?.as_str() {
            "active" => TenantStatus::Active,
            _ => TenantStatus::Suspended,
        },
    })
}
