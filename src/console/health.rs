//! Whether the program is alive, and whether it can do its work.
//!
//! Owns the checks and what they come to as JSON. `live` means that the process should be left
//! alone, `ready` that work gets done: a dead database makes it not ready, and restarting the process
//! would not help. Each check has two seconds; one that hangs has failed. Repairs nothing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::domain::time::Clock;
use crate::store::Store;

/// Longest wait for one check.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// One part of the program that can be well or not.
#[async_trait]
pub trait Check: Send + Sync + fmt::Debug {
    /// Its name in answers: `store`, `intake`, `engine`.
    fn part(&self) -> &'static str;
    /// # Errors
    /// Why it is not well, in words without secrets.
    async fn check(&self) -> Result<(), String>;
}

/// Beats as long as a loop turns.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    clock: Arc<dyn Clock>,
    /// Milliseconds since the epoch; `i64::MIN` before the first beat.
    last: Arc<AtomicI64>,
}

impl Heartbeat {
    /// One that has not beaten yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            last: Arc::new(AtomicI64::new(i64::MIN)),
        }
    }

    /// The loop turns.
    pub fn beat(&self) {
        let now = self.clock.now().as_millisecond();
        self.last.store(now, Ordering::Relaxed);
    }

    /// How long ago it last did; `None` before the first time.
    pub fn age(&self) -> Option<Duration> {
        let last = self.last.load(Ordering::Relaxed);
        let age = (last != i64::MIN).then(|| self.clock.now().as_millisecond() - last)?;
        Some(Duration::from_millis(u64::try_from(age).unwrap_or(0)))
    }
}

/// Well while a heart has beaten lately.
#[derive(Debug)]
pub struct Fresh {
    part: &'static str,
    heart: Heartbeat,
    at_most: Duration,
}

impl Fresh {
    /// A part whose loop must turn at least so often.
    pub fn new(part: &'static str, heart: Heartbeat, at_most: Duration) -> Self {
        Self {
            part,
            heart,
            at_most,
        }
    }
}

#[async_trait]
impl Check for Fresh {
    fn part(&self) -> &'static str {
        self.part
    }

    async fn check(&self) -> Result<(), String> {
        match self.heart.age() {
            None => Err("has not begun".to_owned()),
            Some(age) if age > self.at_most => Err(format!(
                "last heard of {} s ago, expected every {} s",
                age.as_secs(),
                self.at_most.as_secs()
            )),
            Some(_) => Ok(()),
        }
    }
}

/// Well while the store answers and its schema fits.
#[derive(Debug)]
pub struct StorePing(pub Arc<dyn Store>);

#[async_trait]
impl Check for StorePing {
    fn part(&self) -> &'static str {
        "store"
    }

    async fn check(&self) -> Result<(), String> {
        self.0.ping().await.map_err(|error| error.to_string())
    }
}

/// What liveness and readiness depend on.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// Without these the process should be restarted.
    pub live: Vec<Arc<dyn Check>>,
    /// Without these no work gets done.
    pub ready: Vec<Arc<dyn Check>>,
}

/// Asks all at once; true and the answer if all are well.
pub(super) async fn ask(checks: &[Arc<dyn Check>], patience: Duration) -> (bool, Value) {
    let answers = join_all(checks.iter().map(|check| async move {
        let answer = match tokio::time::timeout(patience, check.check()).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} ms", patience.as_millis())),
        };
        (check.part(), answer)
    }))
    .await;
    let well = answers.iter().all(|(_, answer)| answer.is_ok());
    let parts: Vec<_> = answers
        .into_iter()
        .map(|(part, answer)| match answer {
            Ok(()) => json!({ "part": part, "ok": true }),
            Err(reason) => json!({ "part": part, "ok": false, "reason": reason }),
        })
        .collect();
    (well, json!({ "ok": well, "parts": parts }))
}
