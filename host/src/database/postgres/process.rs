//! The server's process behind a connection, and what is asked of it by others.

use crate::database::PlatformDatabase;

/// A process of the server's.
pub(super) struct Process {
    id: i32,
    /// Who is logged in there.
    role: String,
    platform: PlatformDatabase,
}

/// What a statement does that runs.
pub(super) enum Load {
    /// It computes, or writes down what it has no memory for, as one of `all` that others than the platform
    /// have on the server.
    Computing {
        /// Itself included, where the server tells.
        all: usize,
    },
    /// It waits for a lock, for a disk, or for us.
    Waiting,
    /// The server could not be asked.
    Unknown,
}

impl Process {
    /// That of this number, where `role` is logged in.
    pub(super) fn new(id: i32, role: String, platform: PlatformDatabase) -> Self {
        Self { id, role, platform }
    }

    /// What the statement does that runs there. One of which the server does not tell computes.
    pub(super) async fn load(&self) -> Load {
        let asked = sqlx::query_as(
            "SELECT pg_catalog.bool_or(pid = $1 AND usename = $2) IS TRUE,
                    pg_catalog.count(*) FILTER (WHERE state = 'active' AND usename <> current_user)
             FROM pg_catalog.pg_stat_activity
             WHERE wait_event_type IS NULL OR wait_event LIKE 'BufFile%'",
        );
        let asked = asked.bind(self.id).bind(&self.role).fetch_one(&self.platform).await;
        let (is_computing, all): (bool, i64) = match asked {
            Ok(told) => told,
            Err(error) => {
                tracing::debug!(%error, "a statement cannot be looked at");
                return Load::Unknown;
            }
        };
        if is_computing {
            Load::Computing { all: usize::try_from(all).unwrap_or(usize::MAX) }
        } else {
            Load::Waiting
        }
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
