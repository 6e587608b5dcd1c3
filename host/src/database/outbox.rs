//! The outbox of a unit: what is to be delivered outside of the database, kept with the rows that it
//! belongs to, in one transaction with them.
//!
//! It is written on connections of guests, since those have the transactions. So a row proves by a
//! MAC that the host wrote it, for this unit, and what does not is thrown away. Who delivers, how
//! often and to whom, is not decided here.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite};

use super::full;
use super::transaction::OpenTransaction;
use super::unit::{Lease, Unit, Units};
use super::units::{Access, GuestConnection};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::names::{TenantId, UnitId};

/// What is larger belongs into a store, with a link to it in the message.
pub(super) const BODY_MAX_BYTES: usize = 1 << 20;
/// Of the name of what a message is for.
pub(super) const KIND_MAX_BYTES: usize = 64;
/// Of what is to be delivered in order: a UUID, or an address of mail (RFC 5321, 4.5.3.1).
pub(super) const KEY_MAX_BYTES: usize = 254;
/// Rows of the host's are few at a time; what a guest inserts may be many.
const FORGED_AT_ONCE_MAX: u32 = 1_000;

/// The id of a message. Later ones of one process are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(uuid::Uuid);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is to be delivered.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Tells it from every other one, so that whoever is given it twice can see that.
    pub id: MessageId,
    /// Who knows what it means: the name of a capability, or one of its parts.
    pub kind: String,
    /// Messages of one kind and key are to be delivered in their order.
    pub key: Option<String>,
    /// What it says.
    pub body: Vec<u8>,
    /// In microseconds since the Unix epoch.
    pub made_at: i64,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What it says is a tenant's own.
        let Self { id, kind, made_at, .. } = self;
        f.debug_struct("Message")
            .field("id", id)
            .field("kind", kind)
            .field("made_at", made_at)
            .finish_non_exhaustive()
    }
}

/// A row as it stands in a unit: nobody knows yet who wrote it.
pub(super) struct Stored {
    pub(super) id: Vec<u8>,
    pub(super) kind: String,
    pub(super) key: Option<String>,
    pub(super) body: Vec<u8>,
    pub(super) made_at: i64,
    pub(super) mac: Vec<u8>,
}

/// The outboxes of all units.
#[derive(Clone)]
pub(crate) struct Outbox {
    units: Arc<Units>,
    clock: Clock,
    key: [u8; 32],
}

impl Outbox {
    /// `key` is for the MACs alone.
    pub(crate) fn new(units: Arc<Units>, clock: Clock, key: [u8; 32]) -> Self {
        Self { units, clock, key }
    }

    /// The oldest messages of a tenant that nobody has removed, at most `limit`, of all its units.
    /// What a guest has put among them is removed. A unit that cannot be read keeps nothing of the
    /// others back.
    ///
    /// # Errors
    /// When none can be read.
    pub(crate) async fn pending(
        &self,
        tenant: TenantId,
        size_max: u64,
        limit: u32,
    ) -> Result<Vec<Message>> {
        let (mut pending, mut failed) = (Vec::new(), Vec::new());
        let units = self.units.of_tenants(&[tenant]).await?;
        for id in &units {
            match self.pending_in(id, size_max, limit).await {
                Ok(messages) => pending.extend(messages),
                Err(error) => failed.push(told(id, error)),
            }
        }
        if failed.len() == units.len()
            && let Some(error) = failed.pop()
        {
            return Err(error);
        }
        pending.sort_unstable_by_key(|message| message.id);
        pending.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(pending)
    }

    async fn pending_in(&self, id: &UnitId, size_max: u64, limit: u32) -> Result<Vec<Message>> {
        let unit = self.units.unit(id, size_max).await?;
        loop {
            let stored = unit.messages(limit.min(FORGED_AT_ONCE_MAX)).await?;
            let mut forged = Vec::new();
            let mut messages = Vec::with_capacity(stored.len());
            for one in stored {
                match self.verified(id, one) {
                    Ok(message) => messages.push(message),
                    Err(id) => forged.push(id),
                }
            }
            if forged.is_empty() {
                return Ok(messages);
            }
            tracing::warn!(
                tenant = %id.tenant,
                module = id.module.as_ref().map(tracing::field::display),
                count = forged.len(),
                "rows that the host did not write are removed from an outbox"
            );
            unit.remove_messages(forged).await?;
        }
    }

    /// Removes messages that were delivered, or are not to be, whichever of the tenant's units has
    /// them. Those that are gone stay so. A unit that cannot be written keeps nothing in the others.
    ///
    /// # Errors
    /// When a unit that may have some cannot be written.
    pub(crate) async fn remove(
        &self,
        tenant: TenantId,
        size_max: u64,
        messages: &[MessageId],
    ) -> Result<()> {
        let ids: Vec<_> = messages.iter().map(|id| id.0.as_bytes().to_vec()).collect();
        let mut outcome = Ok(());
        for id in self.units.of_tenants(&[tenant]).await? {
            if let Err(error) = self.remove_in(&id, size_max, ids.clone()).await {
                outcome = Err(told(&id, error));
            }
        }
        outcome
    }

    async fn remove_in(&self, id: &UnitId, size_max: u64, messages: Vec<Vec<u8>>) -> Result<()> {
        self.units.unit(id, size_max).await?.remove_messages(messages).await
    }

    fn sealed(&self, unit: &UnitId, message: &Message) -> Stored {
        Stored {
            id: message.id.0.as_bytes().to_vec(),
            kind: message.kind.clone(),
            key: message.key.clone(),
            body: message.body.clone(),
            made_at: message.made_at,
            mac: self.mac(unit, message).finalize().into_bytes().to_vec(),
        }
    }

    /// The message, or the id of a row that the host did not write.
    fn verified(&self, unit: &UnitId, stored: Stored) -> Result<Message, Vec<u8>> {
        let Ok(id) = uuid::Uuid::from_slice(&stored.id) else { return Err(stored.id) };
        let Stored { kind, key, body, made_at, mac, .. } = stored;
        let message = Message { id: MessageId(id), kind, key, body, made_at };
        match self.mac(unit, &message).verify_slice(&mac) {
            Ok(()) => Ok(message),
            Err(_) => Err(stored.id),
        }
    }

    /// Over everything that a row says, and whose it is: lengths stand before what has any.
    fn mac(&self, unit: &UnitId, message: &Message) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(unit.tenant.as_bytes());
        mac.update(message.id.0.as_bytes());
        mac.update(&message.made_at.to_be_bytes());
        mac.update(&[u8::from(message.key.is_some())]);
        let key = message.key.as_deref().unwrap_or_default();
        // Nothing where modules share the unit.
        let module = unit.module.as_ref().map(|module| module.as_str().as_bytes());
        let said = [message.kind.as_bytes(), key.as_bytes(), &message.body];
        for part in said.into_iter().chain(module) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

/// What one call may put into the outbox of the unit that it writes to.
pub struct CallOutbox {
    pub(crate) outbox: Outbox,
    pub(crate) unit: UnitId,
    pub(crate) size_max: u64,
    pub(crate) deadline: Instant,
    /// The transaction that the call has open and may write in.
    pub(crate) writing: Option<OpenTransaction>,
}

impl CallOutbox {
    /// Puts a message into the outbox: with the transaction that the module has open, or at once
    /// where there is none. It can be read once that is committed, and is gone if it never is.
    ///
    /// `kind` says who knows what it means, such as the name of the capability; messages of one
    /// `kind` and `key` are to be delivered in their order.
    ///
    /// # Errors
    /// `invalid` for what is too long, `limit` when the tenant's database is full, and `conflict`
    /// where the transaction cannot go on.
    pub async fn put(&self, kind: &str, key: Option<&str>, body: Vec<u8>) -> Result<MessageId> {
        check(kind, key, &body)?;
        let message = Message {
            id: MessageId(uuid::Uuid::now_v7()),
            kind: kind.to_owned(),
            key: key.map(str::to_owned),
            body,
            made_at: self.outbox.clock.now_micros(),
        };
        let stored = self.outbox.sealed(&self.unit, &message);
        match &self.writing {
            Some(transaction) => {
                let mut working = transaction.innermost().await?;
                let kept = working.connection()?.keep_message(stored, self.deadline).await;
                working.checked(kept).await?;
            }
            None => {
                let unit = self.outbox.units.unit(&self.unit, self.size_max).await?;
                let _turn = unit.writer(self.deadline).await?;
                let mut connection = unit.lease(self.deadline).await?;
                connection.keep_message(stored, self.deadline).await?;
            }
        }
        Ok(message.id)
    }
}

fn check(kind: &str, key: Option<&str>, body: &[u8]) -> Result<()> {
    let is_short = |text: &str, max: usize| {
        (1..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !is_short(kind, KIND_MAX_BYTES) {
        return Err(Error::invalid(format!(
            "the kind of a message has 1 to {KIND_MAX_BYTES} visible ASCII characters"
        )));
    }
    if key.is_some_and(|key| key.is_empty() || key.len() > KEY_MAX_BYTES || key.contains('\0')) {
        return Err(Error::invalid(format!("the key of a message has 1 to {KEY_MAX_BYTES} bytes")));
    }
    if body.len() > BODY_MAX_BYTES {
        return Err(Error::invalid(format!("a message has at most {BODY_MAX_BYTES} bytes")));
    }
    Ok(())
}

impl Lease {
    async fn keep_message(&mut self, message: Stored, deadline: Instant) -> Result<()> {
        let time = deadline.saturating_duration_since(Instant::now());
        match self {
            Self::Sqlite { connection, .. } => connection.keep_message(message).await,
            Self::Postgres(connection) => {
                connection.check_space("INSERT").await?;
                connection.keep_message(message, time).await
            }
        }
    }
}

impl Unit {
    async fn messages(&self, limit: u32) -> Result<Vec<Stored>> {
        match self {
            Self::Sqlite(unit) => unit.lease(later()).await?.messages(limit).await,
            Self::Postgres(unit) => unit.messages(limit).await,
        }
    }

    async fn remove_messages(&self, ids: Vec<Vec<u8>>) -> Result<()> {
        match self {
            Self::Sqlite(unit) => {
                // Who writes may do so for long, and nobody waits for that where nothing is to be done.
                if !unit.lease(later()).await?.has_any(&ids).await? {
                    return Ok(());
                }
                let _writer = unit.writer(later()).await?;
                unit.lease(later()).await?.remove_messages(ids).await
            }
            Self::Postgres(unit) => unit.remove_messages(ids).await,
        }
    }
}

/// Says in the log what is the matter with one of several units.
fn told(unit: &UnitId, error: Error) -> Error {
    let module = unit.module.as_ref().map(tracing::field::display);
    tracing::warn!(tenant = %unit.tenant, module, cause = error.causes(), "an outbox: {error}");
    error
}

/// The configuration bounds the wait.
fn later() -> Instant {
    Instant::now() + std::time::Duration::from_secs(3_600)
}

impl GuestConnection {
    async fn keep_message(&mut self, message: Stored) -> Result<()> {
        // Where there is one, this asks for the schema that SQLite has at hand.
        self.as_host(
            "CREATE TABLE IF NOT EXISTS hostel_outbox (
                id      BLOB    NOT NULL PRIMARY KEY,
                kind    TEXT    NOT NULL,
                key     TEXT,
                body    BLOB    NOT NULL,
                made_at INTEGER NOT NULL,
                mac     BLOB    NOT NULL
            ) STRICT, WITHOUT ROWID",
        )
        .await
        .map_err(explain)?;
        let insert = sqlx::query::<Sqlite>(
            "INSERT INTO hostel_outbox (id, kind, key, body, made_at, mac)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(message.id)
        .bind(message.kind)
        .bind(message.key)
        .bind(message.body)
        .bind(message.made_at)
        .bind(message.mac);
        self.fetch_as_host(insert).await.map(|_| ()).map_err(explain)
    }

    /// Whether a message was ever kept here.
    async fn has_outbox(&mut self) -> Result<bool> {
        let exists =
            sqlx::query("SELECT 1 FROM sqlite_schema WHERE name = 'hostel_outbox' LIMIT 1");
        Ok(!self.fetch_as_host(exists).await?.is_empty())
    }

    /// Whether any of these messages is here.
    async fn has_any(&mut self, ids: &[Vec<u8>]) -> Result<bool> {
        if self.has_outbox().await? {
            for id in ids {
                let asked = sqlx::query("SELECT 1 FROM hostel_outbox WHERE id = $1");
                if !self.fetch_as_host(asked.bind(id.clone())).await?.is_empty() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn messages(&mut self, limit: u32) -> Result<Vec<Stored>> {
        if !self.has_outbox().await? {
            return Ok(Vec::new());
        }
        let query = sqlx::query(
            "SELECT id, kind, key, body, made_at, mac FROM hostel_outbox ORDER BY id LIMIT $1",
        )
        .bind(limit);
        let stored = |row: &SqliteRow| {
            Ok(Stored {
                id: row.try_get(0)?,
                kind: row.try_get(1)?,
                key: row.try_get(2)?,
                body: row.try_get(3)?,
                made_at: row.try_get(4)?,
                mac: row.try_get(5)?,
            })
        };
        self.fetch_as_host(query).await?.iter().map(stored).collect()
    }

    async fn remove_messages(&mut self, ids: Vec<Vec<u8>>) -> Result<()> {
        self.begin(Access::Write).await?;
        for id in ids {
            let delete = sqlx::query("DELETE FROM hostel_outbox WHERE id = $1").bind(id);
            self.fetch_as_host(delete).await?;
        }
        self.end(true).await
    }
}

/// SQLite says of a full unit what the server measures.
fn explain(error: Error) -> Error {
    /// <https://www.sqlite.org/rescode.html#full>
    const FULL: &str = "13";

    let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref());
    let code = cause.and_then(sqlx::Error::as_database_error).and_then(|refusal| refusal.code());
    if code.as_deref() == Some(FULL) { full().because(error) } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::SqlConfig;

    fn outbox() -> Outbox {
        let units = Units::in_files("nowhere".into(), SqlConfig::default());
        Outbox::new(Arc::new(units), Clock::fixed(7), [7; 32])
    }

    fn message() -> Message {
        Message {
            id: MessageId(uuid::Uuid::from_u128(1)),
            kind: "mail".to_owned(),
            key: Some("ab".to_owned()),
            body: b"cd".to_vec(),
            made_at: 7,
        }
    }

    #[test]
    fn a_row_is_believed_as_the_host_wrote_it_and_in_no_other_way() {
        let (outbox, tenant) = (outbox(), TenantId::new());
        let unit = UnitId::shared(tenant);
        let own = UnitId::own(tenant, "mail".parse().unwrap());
        let stored = || outbox.sealed(&unit, &message());
        assert_eq!(outbox.verified(&unit, stored()), Ok(message()));
        let elsewhere = UnitId::shared(TenantId::new());
        assert!(outbox.verified(&elsewhere, stored()).is_err(), "another tenant's");
        assert!(outbox.verified(&own, stored()).is_err(), "another unit's");
        assert!(outbox.verified(&unit, outbox.sealed(&own, &message())).is_err());
        assert_eq!(outbox.verified(&own, outbox.sealed(&own, &message())), Ok(message()));
        let changes: [fn(&mut Stored); 8] = [
            |row| row.id[0] ^= 1,
            |row| row.id.push(0),
            |row| row.kind = "event".to_owned(),
            |row| row.key = None,
            |row| (row.key, row.body) = (Some("abc".to_owned()), b"d".to_vec()),
            |row| row.body.clear(),
            |row| row.made_at += 1,
            |row| row.mac.truncate(16),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut row = stored();
            change(&mut row);
            assert!(outbox.verified(&unit, row).is_err(), "change {number}");
        }
        let other = Outbox { key: [8; 32], ..outbox.clone() };
        assert!(other.verified(&unit, stored()).is_err(), "another platform's");
    }

    #[test]
    fn a_message_says_nothing_of_a_tenant_in_a_log() {
        assert!(!format!("{:?}", message()).contains("ab"));
    }
}
