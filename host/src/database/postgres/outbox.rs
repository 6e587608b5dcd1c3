//! The outbox of a schema. It belongs to the platform: guests' role may insert into it, since the
//! host does so in their transactions, and can neither read nor change what is there.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Row as _};

use super::Unit;
use super::connection::{Connection, unanswered, watched};
use super::roles::{Names, Role};
use crate::database::outbox::{BODY_MAX_BYTES, KEY_MAX_BYTES, KIND_MAX_BYTES, Stored};
use crate::error::{Error, ErrorKind, Result};

/// The statements that make the outbox of a unit. What a guest inserts by itself is bounded here, and
/// told from the host's by its MAC.
pub(super) fn script(names: &Names) -> String {
    let (schema, runtime) = (names.schema(), names.role(Role::Runtime));
    format!(
        "CREATE TABLE {schema}.hostel_outbox (
             id      bytea  NOT NULL PRIMARY KEY CHECK (octet_length(id) = 16),
             kind    text   NOT NULL CHECK (octet_length(kind) <= {KIND_MAX_BYTES}),
             key     text   CHECK (octet_length(key) <= {KEY_MAX_BYTES}),
             body    bytea  NOT NULL CHECK (octet_length(body) <= {BODY_MAX_BYTES}),
             made_at bigint NOT NULL,
             mac     bytea  NOT NULL CHECK (octet_length(mac) = 32)
         );
         GRANT INSERT ON {schema}.hostel_outbox TO {runtime};"
    )
}

impl Connection {
    /// Keeps a message, in the transaction that is open or by itself.
    pub(in crate::database) async fn keep_message(
        &mut self,
        message: Stored,
        time: Duration,
    ) -> Result<()> {
        let statement = format!(
            "INSERT INTO {}.hostel_outbox (id, kind, key, body, made_at, mac)
             VALUES ($1, $2, NULLIF($3::pg_catalog.text, ''), $4, $5, $6)",
            self.schema
        );
        let Stored { id, kind, key, body, made_at, mac } = message;
        // No key is empty.
        let key = key.unwrap_or_default();
        let made_at = made_at.to_be_bytes();
        let values = [&*id, kind.as_bytes(), key.as_bytes(), &*body, &made_at, &*mac];
        match watched(&mut self.busy, time, self.inner.once(&statement, &values)).await {
            Some(kept) => kept.map(|_| ()).map_err(unanswered),
            None => Err(Error::new(
                ErrorKind::Timeout,
                "timeout",
                "the database did not answer before the call's end",
            )),
        }
    }
}

impl Unit {
    /// The oldest messages, as the platform that the table belongs to.
    pub(in crate::database) async fn messages(&self, limit: u32) -> Result<Vec<Stored>> {
        let statement = format!(
            "SELECT id, kind, key, body, made_at, mac FROM {}.hostel_outbox ORDER BY id LIMIT $1",
            self.names.schema()
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(i64::from(limit))
            .fetch_all(&self.server.roles.platform)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Stored {
                    id: row.try_get(0)?,
                    kind: row.try_get(1)?,
                    key: row.try_get(2)?,
                    body: row.try_get(3)?,
                    made_at: row.try_get(4)?,
                    mac: row.try_get(5)?,
                })
            })
            .collect()
    }

    pub(in crate::database) async fn remove_messages(&self, ids: Vec<Vec<u8>>) -> Result<()> {
        let schema = self.names.schema();
        let mut transaction = self.server.roles.platform.begin().await?;
        for id in ids {
            sqlx::query(AssertSqlSafe(format!("DELETE FROM {schema}.hostel_outbox WHERE id = $1")))
                .bind(id)
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }
}
