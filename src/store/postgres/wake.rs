//! Waiting for work: `LISTEN` on a connection of its own.
//!
//! Owns the listening task, which begins with the first wait and ends with the store. After a lost
//! connection everybody is woken once, since a notification may have been missed meanwhile.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::gate;

/// How long to wait before listening again after the connection was lost.
const AGAIN: Duration = Duration::from_millis(500);

/// Wakes those that wait for work.
#[derive(Debug)]
pub(super) struct Bell {
    url: String,
    rung: Arc<Notify>,
    listener: Mutex<JoinSet<()>>,
}

impl Bell {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            rung: Arc::new(Notify::new()),
            listener: Mutex::new(JoinSet::new()),
        }
    }

    /// Waits for a notification, or `at_most`.
    pub(super) async fn wait(&self, at_most: Duration) {
        self.listen();
        tokio::select! {
            () = self.rung.notified() => {}
            () = tokio::time::sleep(at_most) => {}
        }
    }

    fn listen(&self) {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if listener.is_empty() {
            listener.spawn(listen(self.url.clone(), Arc::clone(&self.rung)));
        }
    }
}

async fn listen(url: String, rung: Arc<Notify>) {
    loop {
        match until_lost(&url, &rung).await {
            Ok(()) => tracing::debug!("the listening connection was lost"),
            Err(error) => tracing::debug!(error = %error, "cannot listen for work"),
        }
        ring(&rung);
        tokio::time::sleep(AGAIN).await;
    }
}

async fn until_lost(url: &str, rung: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect(url).await?;
    listener.listen(gate::CHANNEL).await?;
    // What was written before the ear was open is found by looking.
    ring(rung);
    while listener.try_recv().await?.is_some() {
        ring(rung);
    }
    Ok(())
}

/// Wakes all that wait, and the next that would: nobody misses what was written just before.
fn ring(rung: &Notify) {
    rung.notify_waiters();
    rung.notify_one();
}
