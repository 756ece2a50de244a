//! Copies of fallback tasks: brought to their desks, followed there, and closings brought back.
//!
//! Owns the round in which a worker takes due copies on, each desk apart, so that one that hangs holds
//! up its own copies and nothing else. Works on no copy itself; that is `visit`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use secrecy::SecretString;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::desks::{DeskEntry, Settings};
use crate::domain::id::WorkerId;
use crate::domain::outcome::Failure;
use crate::store::{CopiesWanted, CopyLease};
use crate::telemetry::metrics;

use super::worker::warned;
use super::{Crew, Engine, EngineError};

/// Copies of one desk that a worker works on at once.
const AT_ONCE: u32 = 4;

/// Looks up the secret that a reference names.
pub type Keyring =
    Arc<dyn Fn(&str) -> BoxFuture<'static, Result<SecretString, Failure>> + Send + Sync>;

/// The desks that are served, and where their secrets come from.
#[derive(Clone)]
pub struct Desks {
    /// As configured.
    pub settings: Settings,
    /// Their secrets, looked up for each visit, so that a replaced one is used at once.
    pub keyring: Keyring,
}

impl fmt::Debug for Desks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Desks").field(&self.settings).finish()
    }
}

impl Engine {
    /// True for the name of a desk that gets copies.
    pub(super) fn has_tickets(&self, name: &str) -> bool {
        let desks = self.desks.as_ref().map(|desks| desks.settings.iter());
        let mut desks = desks.into_iter().flatten();
        desks.any(|desk| desk.name.as_str() == name)
    }
}

/// One worker's courier.
pub(super) struct Courier {
    engine: Arc<Engine>,
    crew: Arc<Crew>,
}

impl Courier {
    pub(super) fn new(engine: Arc<Engine>, crew: Arc<Crew>) -> Self {
        Self { engine, crew }
    }

    /// Brings copies until the worker drains. A visit under way is then given up: whatever it had sent
    /// is looked for by whoever takes the copy on.
    pub(super) async fn run(self) {
        let mut rounds = JoinSet::new();
        if let Some(desks) = &self.engine.desks {
            for desk in desks.settings.iter() {
                let round = Round {
                    engine: self.engine.clone(),
                    desk: desk.clone(),
                    crew: self.crew.clone(),
                };
                rounds.spawn(round.go_on());
            }
        }
        let mut tells = tokio::time::interval(Duration::from_secs(
            self.engine.settings.sweep_seconds.min(15),
        ));
        tells.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.crew.drained() => break,
                Some(ended) = rounds.join_next(), if !rounds.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(error = &error as &dyn std::error::Error, "a desk's round panicked");
                        break;
                    }
                }
                _ = tells.tick(), if self.engine.desks.is_some() => {
                    let _ = warned(self.engine.tell_desks().await);
                }
            }
        }
        rounds.shutdown().await;
    }
}

/// The round of one desk.
struct Round {
    engine: Arc<Engine>,
    desk: Arc<DeskEntry>,
    crew: Arc<Crew>,
}

impl Round {
    async fn go_on(self) {
        let pause = Duration::from_millis(self.engine.settings.survey_milliseconds);
        loop {
            // A wrong clock would put the next visit, and what a desk has said, at a wrong time.
            self.crew.may_begin().await;
            let worker = self.crew.worker();
            let taken = self.engine.take_copies(&self.desk, worker).await;
            let leases = warned(taken).unwrap_or_default();
            if leases.is_empty() {
                tokio::time::sleep(pause).await;
                continue;
            }
            let visits = leases
                .into_iter()
                .map(|lease| self.engine.visit(&self.desk, lease));
            let mut rest = None;
            for visited in join_all(visits).await {
                match warned(visited) {
                    Some(until) => rest = rest.max(until),
                    None => tokio::time::sleep(pause).await,
                }
            }
            if let Some(until) = rest {
                let left = until.duration_since(self.engine.clock.now());
                tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
            }
        }
    }
}

impl Engine {
    /// Leases copies of this desk that are due.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn take_copies(
        &self,
        desk: &DeskEntry,
        worker: WorkerId,
    ) -> Result<Vec<CopyLease>, EngineError> {
        let want = CopiesWanted {
            worker,
            now: self.clock.now(),
            desk: desk.name.clone(),
            lease_seconds: desk.lease_seconds,
            at_most: AT_ONCE,
        };
        Ok(self.store.take_copies(&want).await?)
    }

    /// Tells how the copies stand, for whoever watches.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn tell_desks(&self) -> Result<(), EngineError> {
        let Some(desks) = &self.desks else {
            return Ok(());
        };
        let now = self.clock.now();
        let figures = self.store.desk_figures().await?;
        for desk in desks.settings.iter() {
            let of = figures.iter().find(|one| one.desk == desk.name);
            let since = of.and_then(|one| one.since);
            let lag = since.map_or(0, |since| now.duration_since(since).as_secs().max(0));
            let (open, troubled) = of.map_or((0, 0), |one| (one.open, one.troubled));
            metrics::desk_copies(desk.name.as_str(), open, troubled, lag.unsigned_abs());
        }
        Ok(())
    }
}
