//! Whether the program is alive, and whether it can do its work.
//!
//! Owns the checks and what they come to as JSON. `live` means that the process should be left
//! alone, `ready` that work gets done: a dead database makes it not ready, and restarting the process
//! would not help. Each check has two seconds; one that hangs has failed. Repairs nothing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::{Value, json};

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
    /// Told beside those: removals go on without these, so they decide nothing.
    pub beside: Vec<Arc<dyn Check>>,
}

/// Whether each of these parts can do its work.
pub(super) async fn each(parts: &Parts, patience: Duration) -> Vec<(&'static str, bool)> {
    let all = parts.ready.iter().chain(&parts.beside);
    let answers = join_all(all.map(|check| asked(check, patience))).await;
    let told = answers.into_iter();
    told.map(|(part, answer)| (part, answer.is_ok())).collect()
}

async fn asked(check: &Arc<dyn Check>, patience: Duration) -> (&'static str, Result<(), String>) {
    let answer = match tokio::time::timeout(patience, check.check()).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} ms", patience.as_millis())),
    };
    (check.part(), answer)
}

/// Asks all at once; true if all of `checks` are well, and the answer, which tells `beside` too.
pub(super) async fn ask(
    checks: &[Arc<dyn Check>],
    beside: &[Arc<dyn Check>],
    patience: Duration,
) -> (bool, Value) {
    let all = checks.iter().chain(beside);
    let answers = join_all(all.map(|check| asked(check, patience))).await;
    let mut deciding = answers.iter().take(checks.len());
    let well = deciding.all(|(_, answer)| answer.is_ok());
    let parts: Vec<_> = answers
        .into_iter()
        .map(|(part, answer)| match answer {
            Ok(()) => json!({ "part": part, "ok": true }),
            Err(reason) => json!({ "part": part, "ok": false, "reason": reason }),
        })
        .collect();
    (well, json!({ "ok": well, "parts": parts }))
}
