//! The change bus: what one process commits to the platform's tables, all others look at soon.
//!
//! It says that something changed, never what: whoever is told reads what is newer than what it
//! knows. In one process it is a channel; between processes on PostgreSQL, LISTEN and NOTIFY. Both
//! are hints. A notification can be lost with its connection, and other processes on SQLite send
//! none, so everybody looks once a second anyway.

use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{Any, Transaction};
use tokio::sync::watch;

use super::DatabaseConfig;
use crate::error::Result;
use crate::secret::Secret;

/// How long a change may stay unseen when nobody hears of it.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The channel on the server.
const CHANNEL: &str = "hostel_changes";
const NOTIFY: &str = "NOTIFY hostel_changes";

/// Tells processes on one platform database of each other's changes.
#[derive(Clone, Debug)]
pub(crate) struct ChangeBus {
    here: watch::Sender<()>,
    server: Option<Secret>,
}

impl ChangeBus {
    /// The bus of this platform's database.
    pub(crate) fn new(config: &DatabaseConfig) -> Self {
        Self { here: watch::Sender::new(()), server: config.url.clone() }
    }

    /// Commits a change, and tells of it.
    ///
    /// # Errors
    /// When the database does not commit.
    pub(crate) async fn commit(&self, mut transaction: Transaction<'static, Any>) -> Result<()> {
        if self.server.is_some() {
            // Sent by the server when the transaction is committed, and only then.
            sqlx::query(NOTIFY).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        self.here.send_replace(());
        Ok(())
    }

    /// Hears of changes from now on.
    pub(crate) fn subscribe(&self) -> Subscription {
        Subscription { bus: self.clone(), here: self.here.subscribe(), listener: None }
    }
}

/// One who hears of changes.
pub(crate) struct Subscription {
    bus: ChangeBus,
    here: watch::Receiver<()>,
    /// None until it is connected, and after a connection that failed.
    listener: Option<PgListener>,
}

impl Subscription {
    /// Waits until something may have changed: somebody said so, or nobody did for a second.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.here.changed() => {}
            () = heard(self.bus.server.as_ref(), &mut self.listener) => {}
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
}

/// Waits for a notification; for ever where no server can send one.
async fn heard(server: Option<&Secret>, listener: &mut Option<PgListener>) {
    let Some(url) = server else { return std::future::pending().await };
    match listen(url, listener).await {
        Ok(()) => {}
        Err(error) => {
            tracing::debug!(cause = %error, "changes of other processes are not heard of at once");
            *listener = None;
            std::future::pending().await
        }
    }
}

/// Something was committed, or may have been while there was no connection.
async fn listen(url: &Secret, listener: &mut Option<PgListener>) -> Result<(), sqlx::Error> {
    let listener = match listener {
        Some(listener) => listener,
        None => {
            let mut connected = PgListener::connect(url.expose()).await?;
            connected.listen(CHANNEL).await?;
            *listener = Some(connected);
            return Ok(());
        }
    };
    listener.try_recv().await.map(|_| ())
}
