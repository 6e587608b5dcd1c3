//! Modules that a tenant is not served, because its tables are not what they expect: a migration
//! failed, or somebody took one back. All others go on.
//!
//! What failed is tried again after a pause that grows, and at once when the module has other
//! migrations; what was taken back stays so until somebody says otherwise.

use std::str::FromStr;
use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::store::{REVISION, Tenants};
use crate::database::next_revision;
use crate::error::{Error, ErrorKind, Result};
use crate::names::{ModuleName, TenantId, TenantSlug};

/// After the first failure it is tried again this soon, and after each further one the pause is twice
/// as long.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// What clients are told where nobody knows when it ends.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(60);
/// Characters of a cause: a database may repeat a whole script.
const CAUSE_LENGTH_MAX: usize = 2_000;

/// Why a module is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuarantineReason {
    /// A migration failed.
    Failed,
    /// A migration that was applied is another one now.
    Changed,
    /// Somebody took a migration back.
    Undone,
}

impl QuarantineReason {
    const ALL: [Self; 3] = [Self::Failed, Self::Changed, Self::Undone];

    /// The code that clients are told.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Failed => "migration-failed",
            Self::Changed => "migration-changed",
            Self::Undone => "migration-undone",
        }
    }
}

impl FromStr for QuarantineReason {
    type Err = Error;

    fn from_str(code: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|reason| reason.code() == code);
        found.ok_or_else(|| Error::invalid(format!("`{code}` is no reason of a quarantine")))
    }
}

/// A module that a tenant is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quarantine {
    /// Whom.
    pub tenant: TenantSlug,
    /// Which.
    pub module: ModuleName,
    /// Why.
    pub reason: QuarantineReason,
    /// The migration that it is about.
    pub migration: Option<String>,
    /// What happened, for operators.
    pub cause: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Since when, in microseconds since the Unix epoch.
    pub since: i64,
    /// When it was last tried, in microseconds since the Unix epoch.
    pub tried_at: i64,
    /// When it is tried again, in microseconds since the Unix epoch; none where somebody has to say
    /// so.
    pub retry_at: Option<i64>,
    pub(crate) tenant_id: TenantId,
    /// The digest of the migrations that the module had.
    pub(crate) migrations: String,
}

/// Which quarantines are asked for, by the tenant's slug and the module's name.
#[derive(Clone, Debug, Default)]
pub struct QuarantineQuery {
    /// One tenant's only.
    pub tenant: Option<TenantSlug>,
    /// One module's only.
    pub module: Option<ModuleName>,
    /// Those after this one only.
    pub after: Option<(TenantSlug, ModuleName)>,
    /// At most so many.
    pub limit: u32,
}

/// What is to be remembered of a failure.
pub(crate) struct MigrationFailed<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) module: &'a ModuleName,
    pub(crate) reason: QuarantineReason,
    /// The digest of the module's migrations.
    pub(crate) migrations: &'a str,
    pub(crate) migration: Option<&'a str>,
    pub(crate) cause: String,
}

impl Quarantine {
    /// Whether it may be tried again.
    pub(crate) fn is_over(&self, now: i64) -> bool {
        self.retry_at.is_some_and(|at| at <= now)
    }

    /// What clients are told.
    pub(crate) fn error(&self, now: i64) -> Error {
        let message = match self.reason {
            QuarantineReason::Failed | QuarantineReason::Changed => {
                "the module's tables could not be brought up to date"
            }
            QuarantineReason::Undone => "the module's tables were taken back to an earlier state",
        };
        let left = self.retry_at.map_or(UNKNOWN_PAUSE, |at| {
            Duration::from_micros(u64::try_from(at.saturating_sub(now)).unwrap_or(0))
        });
        Error::new(ErrorKind::Unavailable, self.reason.code(), message)
            .retry_after(left)
            .because(self.cause.clone())
    }
}

/// How long it is waited after so many failures.
fn pause(attempts: u32) -> Duration {
    let doubled = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    PAUSE_MIN.saturating_mul(doubled).min(PAUSE_MAX)
}

const SELECT: &str =
    "SELECT tenant_id, slug, module, code, quarantine.migrations, migration, cause,
        attempts, since, tried_at, retry_at
    FROM quarantine JOIN tenants ON tenants.id = quarantine.tenant_id";

impl Tenants {
    /// Modules that tenants are not served.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn quarantines(&self, query: &QuarantineQuery) -> Result<Vec<Quarantine>> {
        let (slug, module) = match &query.after {
            Some((slug, module)) => (slug.as_str(), module.as_str()),
            None => ("", ""),
        };
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{SELECT} WHERE ($1 IS NULL OR slug = $1) AND ($2 IS NULL OR module = $2)
                AND (slug, module) > ($3, $4)
             ORDER BY slug, module LIMIT $5"
        )))
        .bind(query.tenant.as_ref().map(TenantSlug::as_str))
        .bind(query.module.as_ref().map(ModuleName::as_str))
        .bind(slug)
        .bind(module)
        .bind(i64::from(query.limit))
        .fetch_all(&self.database)
        .await?;
        rows.iter().map(from_row).collect()
    }

    /// Those of all tenants whose slugs are from `first` to `last`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn quarantines_between(
        &self,
        first: &TenantSlug,
        last: &TenantSlug,
    ) -> Result<Vec<Quarantine>> {
        let select = format!("{SELECT} WHERE slug >= $1 AND slug <= $2");
        let select = sqlx::query(sqlx::AssertSqlSafe(select));
        let rows = select.bind(first.as_str()).bind(last.as_str());
        rows.fetch_all(&self.database).await?.iter().map(from_row).collect()
    }

    /// Whether a tenant is not served a module with these migrations.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn quarantine_of(
        &self,
        tenant: TenantId,
        module: &ModuleName,
        migrations: &str,
    ) -> Result<Option<Quarantine>> {
        let select = format!("{SELECT} WHERE tenant_id = $1 AND module = $2");
        let row = sqlx::query(sqlx::AssertSqlSafe(select))
            .bind(tenant.to_string())
            .bind(module.as_str())
            .fetch_optional(&self.database)
            .await?;
        let found = row.map(|row| from_row(&row)).transpose()?;
        Ok(found.filter(|found| found.migrations == migrations))
    }

    /// Serves a tenant a module no longer, until it is tried again.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn quarantine(&self, failed: MigrationFailed<'_>) -> Result<Quarantine> {
        let now = self.clock.now_micros();
        let mut transaction = self.database.begin().await?;
        let before = lock(&mut transaction, failed.tenant, failed.module).await?;
        let before = before.filter(|(migrations, _, _)| migrations == failed.migrations);
        let (attempts, since) = match before {
            Some((_, attempts, since)) => (attempts.saturating_add(1), since),
            None => (1, now),
        };
        let pause = i64::try_from(pause(attempts).as_micros()).unwrap_or(i64::MAX);
        let retry_at = Some(now.saturating_add(pause));
        write(&mut transaction, &failed, (attempts, since, now, retry_at)).await?;
        transaction.commit().await?;
        let found = self.quarantine_of(failed.tenant, failed.module, failed.migrations).await?;
        found.ok_or_else(|| Error::not_found("the tenant is gone"))
    }

    /// Serves a tenant a module no longer, until somebody says otherwise; every process within a
    /// second.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn hold(
        &self,
        tenant: TenantId,
        module: &ModuleName,
        migrations: &str,
    ) -> Result<()> {
        let now = self.clock.now_micros();
        let held = MigrationFailed {
            tenant,
            module,
            reason: QuarantineReason::Undone,
            migrations,
            migration: None,
            cause: "its migrations were taken back: `hostel migrate up` applies them again"
                .to_owned(),
        };
        let mut transaction = self.database.begin().await?;
        touch(&mut transaction, tenant).await?;
        write(&mut transaction, &held, (0, now, now, None)).await?;
        self.bus.commit(transaction).await
    }

    /// Serves a tenant a module again, if it was not; every process within a second.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn release(&self, tenant: TenantId, module: &ModuleName) -> Result<()> {
        let mut transaction = self.database.begin().await?;
        touch(&mut transaction, tenant).await?;
        let released = sqlx::query("DELETE FROM quarantine WHERE tenant_id = $1 AND module = $2")
            .bind(tenant.to_string())
            .bind(module.as_str())
            .execute(&mut *transaction)
            .await?;
        if released.rows_affected() == 0 {
            return Ok(());
        }
        self.bus.commit(transaction).await
    }
}

/// Lets everybody look at the tenant anew. First in its transaction: whoever changes one waits here.
async fn touch(transaction: &mut AnyConnection, tenant: TenantId) -> Result<()> {
    let revision = next_revision(transaction, REVISION).await?;
    sqlx::query("UPDATE tenants SET revision = $2 WHERE id = $1")
        .bind(tenant.to_string())
        .bind(revision)
        .execute(transaction)
        .await?;
    Ok(())
}

/// The digest, the attempts and the beginning of what there is, which nobody else writes meanwhile.
async fn lock(
    transaction: &mut AnyConnection,
    tenant: TenantId,
    module: &ModuleName,
) -> Result<Option<(String, u32, i64)>> {
    // A write that changes nothing takes the row, or on SQLite the file.
    let row = sqlx::query(
        "UPDATE quarantine SET attempts = attempts WHERE tenant_id = $1 AND module = $2
         RETURNING migrations, attempts, since",
    )
    .bind(tenant.to_string())
    .bind(module.as_str())
    .fetch_optional(transaction)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let attempts: i64 = row.try_get(1)?;
    Ok(Some((row.try_get(0)?, u32::try_from(attempts).unwrap_or(u32::MAX), row.try_get(2)?)))
}

/// `times` are the attempts, and since when, when last and when again it is tried.
async fn write(
    transaction: &mut AnyConnection,
    failed: &MigrationFailed<'_>,
    times: (u32, i64, i64, Option<i64>),
) -> Result<()> {
    let (attempts, since, tried_at, retry_at) = times;
    let cause: String = failed.cause.chars().take(CAUSE_LENGTH_MAX).collect();
    sqlx::query(
        "INSERT INTO quarantine (tenant_id, module, code, migrations, migration, cause, attempts, since, tried_at, retry_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
         -- Nothing is kept of a tenant that is gone.
         WHERE EXISTS (SELECT 1 FROM tenants WHERE id = $1)
         ON CONFLICT (tenant_id, module) DO UPDATE SET
             code = excluded.code, migrations = excluded.migrations, migration = excluded.migration,
             cause = excluded.cause, attempts = excluded.attempts, since = excluded.since,
             tried_at = excluded.tried_at, retry_at = excluded.retry_at",
    )
    .bind(failed.tenant.to_string())
    .bind(failed.module.as_str())
    .bind(failed.reason.code())
    .bind(failed.migrations)
    .bind(failed.migration)
    .bind(cause)
    .bind(i64::from(attempts))
    .bind(since)
    .bind(tried_at)
    .bind(retry_at)
    .execute(transaction)
    .await?;
    Ok(())
}

fn from_row(row: &AnyRow) -> Result<Quarantine> {
    let attempts: i64 = row.try_get(7)?;
    Ok(Quarantine {
        tenant_id: row.try_get::<String, _>(0)?.parse()?,
        tenant: row.try_get::<String, _>(1)?.parse()?,
        module: row.try_get::<String, _>(2)?.parse()?,
        reason: row.try_get::<String, _>(3)?.parse()?,
        migrations: row.try_get(4)?,
        migration: row.try_get(5)?,
        cause: row.try_get(6)?,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        since: row.try_get(8)?,
        tried_at: row.try_get(9)?,
        retry_at: row.try_get(10)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_and_ends() {
        let seconds = |attempts| pause(attempts).as_secs();
        assert_eq!([1, 2, 3, 4, 9, 10, u32::MAX].map(seconds), [1, 2, 4, 8, 256, 300, 300]);
    }
}
