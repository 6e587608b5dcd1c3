//! The server's process behind a connection, and what is asked of it by others.

use crate::database::PlatformDatabase;

/// A process of the server's.
pub(super) struct Process {
    id: i32,
    /// Who is logged in there.
    role: String,
    platform: PlatformDatabase,
}

impl Process {
    /// That of this number, where `role` is logged in.
    pub(super) fn new(id: i32, role: String, platform: PlatformDatabase) -> Self {
        Self { id, role, platform }
    }

    /// Whether the statement that runs there computes, or writes down what it has no memory for: it
    /// neither waits for a lock, nor for a disk, nor for us. Where the server does not tell, it does.
    pub(super) async fn is_computing(&self) -> bool {
        let asked = sqlx::query_scalar(
            "SELECT wait_event_type IS NULL OR wait_event LIKE 'BufFile%'
             FROM pg_catalog.pg_stat_activity WHERE pid = $1 AND usename = $2",
        );
        let asked = asked.bind(self.id).bind(&self.role).fetch_optional(&self.platform).await;
        asked.ok().flatten().unwrap_or(false)
    }

    /// Ends it, whatever runs there.
    pub(super) async fn end(&self) {
        let end = "SELECT pg_catalog.pg_terminate_backend(pid) AS done
             FROM pg_catalog.pg_stat_activity WHERE pid = $1 AND usename = $2";
        self.ask(end).await;
    }

    /// Ends the statement that runs there, which then fails. When this returns, no later one can be
    /// meant: the server passes over what reaches it between two statements.
    pub(super) async fn cancel(&self) {
        let cancel = "SELECT pg_catalog.pg_cancel_backend(pid) AS done
             FROM pg_catalog.pg_stat_activity WHERE pid = $1 AND usename = $2";
        self.ask(cancel).await;
    }

    /// Numbers of processes come again: only one of this role is meant.
    async fn ask(&self, statement: &'static str) {
        let asked =
            sqlx::query(statement).bind(self.id).bind(&self.role).execute(&self.platform).await;
        if let Err(error) = asked {
            tracing::warn!(%error, "a statement that runs for too long cannot be ended");
        }
    }
}
