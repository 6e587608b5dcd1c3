//! Tells that something changed below folders, once it is quiet there again.

use std::path::Path;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::error::{Error, Result};

/// Who copies a file, or saves many, is done when nothing happened for so long.
const QUIET: Duration = Duration::from_millis(100);
/// Where it is never quiet, this is waited for and no longer.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// What happens below folders. It says that something changed, never what: events get lost and come
/// twice, so whoever is told looks at the files.
pub struct Changes {
    watcher: RecommendedWatcher,
    /// One place: a change that was not looked at yet stands for all that follow.
    happened: mpsc::Receiver<()>,
}

impl Changes {
    /// Of files that `matters` is true for.
    ///
    /// # Errors
    /// When the system gives no more watches.
    pub fn new(matters: impl Fn(&Path) -> bool + Send + 'static) -> Result<Self> {
        let (tell, happened) = mpsc::channel(1);
        let on_event = move |event: notify::Result<notify::Event>| {
            let is_change = event.is_ok_and(|event| match event.kind {
                // To look at the files is no change, or every look would be followed by another.
                EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write) => false,
                _ => event.need_rescan() || event.paths.iter().any(|path| matters(path)),
            });
            if is_change {
                let _ = tell.try_send(());
            }
        };
        Ok(Self { watcher: notify::recommended_watcher(on_event).map_err(cannot)?, happened })
    }

    /// Watches a folder too, with all below it when `deep`.
    ///
    /// # Errors
    /// When it is not there, or the system gives no more watches.
    pub fn watch(&mut self, folder: &Path, deep: bool) -> Result<()> {
        let mode = if deep { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        self.watcher.watch(folder, mode).map_err(cannot)
    }

    /// Waits until something changed and it is quiet again.
    pub async fn next(&mut self) {
        if self.happened.recv().await.is_none() {
            // The watcher lives as long as this, so nobody else ends it.
            std::future::pending::<()>().await;
        }
        let until = Instant::now() + WAIT_MAX;
        while Instant::now() < until && timeout(QUIET, self.happened.recv()).await.is_ok() {}
    }
}

fn cannot(error: notify::Error) -> Error {
    let where_ = error.paths.first().map(|path| format!("{}: ", path.display()));
    Error::invalid(format!("{}changes cannot be watched: {error}", where_.unwrap_or_default()))
}
