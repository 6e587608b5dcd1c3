//! A cursor: a task that runs one statement and hands over its rows as fast as they are taken.

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::statement::Statement;
use crate::bindings::hostel::sql::sql::Value;
use crate::database::{Lease, Turn};
use crate::error::Result;
use crate::logging;

/// `cursor`: dropped, its task ends, which stops its statement and closes its connection.
pub struct Cursor {
    chunks: mpsc::Receiver<Result<Vec<u8>>>,
    task: JoinSet<()>,
    /// Whether it still counts in its call.
    pub(super) is_open: bool,
}

impl Cursor {
    pub(super) fn open(
        statement: Statement,
        parameters: Vec<Value>,
        mut connection: Lease,
        turn: Turn,
    ) -> Self {
        // One chunk waits to be taken while the next is made.
        let (sender, chunks) = mpsc::channel(1);
        let mut task = JoinSet::new();
        task.spawn(logging::carried(async move {
            let outcome = statement.chunks(parameters, &mut connection, &sender).await;
            drop((connection, turn));
            if let Err(error) = outcome {
                // Nobody may be there to be told any more.
                let _ = sender.send(Err(error)).await;
            }
        }));
        Self { chunks, task, is_open: true }
    }

    /// The next rows; none at the end, and after an error.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        self.chunks.recv().await.transpose()
    }

    /// Stops it, and waits until its connection is free.
    pub(super) async fn close(mut self) {
        self.task.shutdown().await;
    }
}
