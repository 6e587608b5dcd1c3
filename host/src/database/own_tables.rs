//! The migrations of the platform's own tables, one by one: for whoever wants to see what a new
//! version does, or to go back to an older one. A platform that starts applies them by itself.

use std::collections::HashMap;
use std::path::Path;

use sqlx::Row as _;
use sqlx::migrate::{Migrate as _, Migration, Migrator};

use super::platform::{ON_POSTGRES, ON_SQLITE, SCHEMA, connect};
use super::{DatabaseConfig, PlatformDatabase};
use crate::error::{Error, ErrorKind, Result};

/// Where it is written which were applied.
const LEDGER: &str = "_sqlx_migrations";

/// The platform's own tables.
pub struct OwnTables {
    database: PlatformDatabase,
    is_server: bool,
}

/// A migration of the platform's own tables.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OwnMigration {
    /// Its number and its name: `0001_platform`.
    pub id: String,
    /// Its number.
    pub number: i64,
    /// Whether it was applied.
    pub is_applied: bool,
    /// Whether it was applied and is another one now.
    pub is_changed: bool,
    /// SQL that applies it; none when only a later version knows it.
    pub up: Option<&'static str>,
    /// SQL that takes it back.
    pub down: Option<&'static str>,
}

impl OwnTables {
    /// Looks at the database as it is.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) async fn open(config: &DatabaseConfig, file: &Path) -> Result<Self> {
        let database = connect(config, file).await?;
        Ok(Self { database, is_server: config.url.is_some() })
    }

    fn migrator(&self) -> &'static Migrator {
        if self.is_server { &ON_POSTGRES } else { &ON_SQLITE }
    }

    /// All migrations, in their order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn migrations(&self) -> Result<Vec<OwnMigration>> {
        let mut applied = self.applied().await?;
        let mut all: Vec<OwnMigration> = Vec::new();
        for step in self.migrator().iter() {
            if step.migration_type.is_down_migration() {
                continue;
            }
            let checksum = applied.remove(&step.version);
            all.push(OwnMigration {
                id: id(step),
                number: step.version,
                is_applied: checksum.is_some(),
                is_changed: checksum.is_some_and(|checksum| checksum != *step.checksum),
                up: Some(step.sql.as_str()),
                down: self.way_back(step.version),
            });
        }
        all.extend(applied.into_keys().map(|number| OwnMigration {
            id: format!("{number:04}"),
            number,
            is_applied: true,
            is_changed: false,
            up: None,
            down: None,
        }));
        all.sort_unstable_by_key(|step| step.number);
        Ok(all)
    }

    fn way_back(&self, number: i64) -> Option<&'static str> {
        let mut steps = self.migrator().iter();
        let step = steps.find(|it| it.version == number && it.migration_type.is_down_migration());
        step.map(|step| step.sql.as_str())
    }

    /// The checksums of those that were applied.
    async fn applied(&self) -> Result<HashMap<i64, Vec<u8>>> {
        let exists = if self.is_server {
            "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = $2"
        } else {
            "SELECT count(*) FROM sqlite_schema WHERE $1 <> '' AND name = $2"
        };
        let exists: i64 =
            sqlx::query_scalar(exists).bind(SCHEMA).bind(LEDGER).fetch_one(&self.database).await?;
        if exists == 0 {
            return Ok(HashMap::new());
        }
        let rows = sqlx::query("SELECT version, checksum FROM _sqlx_migrations")
            .fetch_all(&self.database)
            .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Takes the last migrations back, until `last` is the last one that is applied; `0` is none. An
    /// older version of the platform can work with what is left, and this one must not run on it: its
    /// next start applies them again. Says which were taken back.
    ///
    /// # Errors
    /// When one has changed since it was applied, or a later version has applied more.
    pub async fn take_back(&self, last: i64) -> Result<Vec<String>> {
        let all = self.migrations().await?;
        if let Some(step) = all.iter().find(|step| step.is_changed || step.up.is_none()) {
            let what = if step.is_changed { "has changed since" } else { "is not known here" };
            let message = format!("migration `{}` was applied, and {what}", step.id);
            return Err(Error::new(ErrorKind::Conflict, "migration-changed", message)
                .hint("use the version of the platform that has it"));
        }
        let is_applied = |number| all.iter().any(|it| it.number == number && it.is_applied);
        let back = self.migrator().iter().rev().filter(|step| {
            step.migration_type.is_down_migration()
                && step.version > last
                && is_applied(step.version)
        });
        let mut connection = self.database.acquire().await?;
        let mut done = Vec::new();
        for step in back {
            // In one transaction with what is written of it.
            let reverted = connection.revert(LEDGER, step).await;
            reverted.map_err(|error| {
                Error::internal(format!("migration `{}` cannot be taken back: {error}", id(step)))
            })?;
            done.push(id(step));
        }
        Ok(done)
    }
}

/// As its files are called.
fn id(step: &Migration) -> String {
    format!("{:04}_{}", step.version, step.description.replace(' ', "_"))
}
