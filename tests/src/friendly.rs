//! A tenant that does nothing wrong while others do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tokio::task::JoinHandle;

use crate::{Client, TestPlatform};

/// A tenant that asked only once or twice noticed nothing of anything.
const ANSWERS_MIN: u64 = 10;

/// Sends small requests, one after the other, until it is told to finish.
pub struct Friendly {
    enough: Arc<AtomicBool>,
    asking: JoinHandle<u64>,
}

impl Friendly {
    /// A new tenant of this platform.
    pub async fn beside(platform: &TestPlatform, slug: &str) -> Self {
        Self::of(platform.tenant(slug).await).await
    }

    /// This client, on connections of its own. Returns after its first answer.
    pub async fn of(client: Client) -> Self {
        let ask = async move || {
            let answer = client.get("/api/probe/counter").await;
            assert_eq!(answer.ok(), json!({ "count": 1 }));
        };
        ask().await;
        let enough = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&enough);
        #[expect(clippy::disallowed_methods, reason = "`Friendly` holds the handle")]
        let asking = tokio::spawn(async move {
            let mut answered = 0;
            // At least once after everything else is over.
            loop {
                let is_over = told.load(Ordering::Relaxed);
                ask().await;
                answered += 1;
                if is_over && answered >= ANSWERS_MIN {
                    return answered;
                }
            }
        });
        Self { enough, asking }
    }

    /// Stops asking, and gives how many requests were answered.
    ///
    /// # Panics
    /// When one was not answered as it should be.
    pub async fn finish(self) -> u64 {
        self.enough.store(true, Ordering::Relaxed);
        self.asking.await.unwrap()
    }
}
