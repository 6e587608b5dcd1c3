//! The ledger of a unit: which migrations of which module were applied, with their checksums.

use sha2::{Digest, Sha256};
use sqlx::Row as _;

use super::units::GuestConnection;
use crate::error::Result;

/// A row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AppliedMigration {
    /// The migration's id.
    pub id: String,
    /// SHA-256 of its `up` script.
    pub checksum: Vec<u8>,
}

/// All that the ledger says of a migration.
#[derive(Clone, Debug)]
pub(crate) struct LedgerRow {
    /// The module's name.
    pub module: String,
    /// The migration.
    pub migration: AppliedMigration,
    /// When it was applied, in microseconds since the Unix epoch.
    pub applied_at: i64,
}

/// What the ledger keeps of a script.
pub(crate) fn checksum(script: &str) -> Vec<u8> {
    Sha256::digest(script.as_bytes()).to_vec()
}

impl GuestConnection {
    /// The migrations of `module` that this unit has seen, in order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn applied(&mut self, module: &str) -> Result<Vec<AppliedMigration>> {
        self.as_host(
            "CREATE TABLE IF NOT EXISTS hostel_migrations (
                module     TEXT    NOT NULL,
                id         TEXT    NOT NULL,
                checksum   BLOB    NOT NULL,
                applied_at INTEGER NOT NULL DEFAULT (unixepoch()),
                PRIMARY KEY (module, id)
            ) STRICT",
        )
        .await?;
        let rows = self
            .fetch_as_host(
                sqlx::query(
                    "SELECT id, checksum FROM hostel_migrations WHERE module = $1 ORDER BY id",
                )
                .bind(module.to_owned()),
            )
            .await?;
        rows.iter()
            .map(|row| Ok(AppliedMigration { id: row.try_get(0)?, checksum: row.try_get(1)? }))
            .collect()
    }

    /// Writes a row of the ledger, in the transaction that is open, and says whether it was new.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn record(
        &mut self,
        module: &str,
        migration: &AppliedMigration,
    ) -> Result<bool> {
        let rows = self
            .fetch_as_host(
                sqlx::query(
                    "INSERT INTO hostel_migrations (module, id, checksum) VALUES ($1, $2, $3)
                     ON CONFLICT DO NOTHING RETURNING id",
                )
                .bind(module.to_owned())
                .bind(migration.id.clone())
                .bind(migration.checksum.clone()),
            )
            .await?;
        Ok(!rows.is_empty())
    }

    /// Takes a row out of the ledger, in the transaction that is open.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn unrecord(&mut self, module: &str, id: &str) -> Result<()> {
        let delete = sqlx::query("DELETE FROM hostel_migrations WHERE module = $1 AND id = $2");
        self.fetch_as_host(delete.bind(module.to_owned()).bind(id.to_owned())).await.map(|_| ())
    }

    /// The whole ledger, in the order in which migrations were applied. Nothing is made where there
    /// is none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn ledger(&mut self) -> Result<Vec<LedgerRow>> {
        let exists = "SELECT 1 FROM sqlite_schema WHERE name = 'hostel_migrations'";
        if self.fetch_as_host(sqlx::query(exists)).await?.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self
            .fetch_as_host(sqlx::query(
                "SELECT module, id, checksum, applied_at * 1000000 FROM hostel_migrations ORDER BY rowid",
            ))
            .await?;
        rows.iter()
            .map(|row| {
                let migration = AppliedMigration { id: row.try_get(1)?, checksum: row.try_get(2)? };
                let applied_at = row.try_get(3)?;
                Ok(LedgerRow { module: row.try_get(0)?, migration, applied_at })
            })
            .collect()
    }

    /// What there is of the host's in the unit, and what refers to it. A table whose foreign key leads
    /// to one of the host's decides whether the host can write there. Names of tables that SQLite
    /// makes up are the host's, too: `ALTER TABLE` does not ask whether one may be given.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn hosts_own(&mut self) -> Result<Vec<String>> {
        let rows = self
            .fetch_as_host(sqlx::query(
                r"SELECT format('%s %s on %s: %s', type, name, tbl_name, sql) FROM sqlite_schema
                  WHERE name LIKE 'hostel\_%' ESCAPE '\' OR tbl_name LIKE 'hostel\_%' ESCAPE '\'
                     OR name LIKE 'pragma\_%' ESCAPE '\' OR name LIKE 'dbstat%'
                     OR name LIKE 'bytecode%' OR name LIKE 'tables\_used%' ESCAPE '\'
                     OR name LIKE 'completion%' OR name LIKE 'generate\_series%' ESCAPE '\'
                  UNION ALL
                  SELECT format('%s refers to %s', m.name, f.`table`)
                  FROM sqlite_schema m, pragma_foreign_key_list(m.name) f
                  WHERE m.type = 'table' AND f.`table` LIKE 'hostel\_%' ESCAPE '\'
                  ORDER BY 1",
            ))
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}
