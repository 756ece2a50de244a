//! What a worker does at intervals beside its loop: its heartbeat, and its look at clocks, pauses,
//! manifests and dead workers.
//!
//! Each is a task of its own, so that none waits for another: a database that answers one question
//! slowly costs no worker its lease. Ends a life when its lease is lost. Takes nothing on.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};

use crate::domain::time::Timestamp;
use crate::telemetry::metrics;

use super::worker::{Pulse, warned};
use super::{Crew, Engine, EngineError};

/// How often a worker looks what may be served.
const FOLLOW_MILLISECONDS: u64 = 1000;

/// How often it looks which pauses are in force.
const PAUSES_MILLISECONDS: u64 = 250;

/// A worker whose clock is farther than this from the database's, in milliseconds, begins nothing.
pub const APART_MILLISECONDS: u64 = 5000;

/// An answer that took longer says too little of what time it is now.
const PROMPT: SignedDuration = SignedDuration::from_secs(2);

/// The rounds of one life.
pub(super) struct Rounds {
    beat: JoinSet<()>,
    others: JoinSet<()>,
}

/// Why they ended.
pub(super) enum Ended {
    /// Others have buried the worker.
    Buried,
    /// One of them panicked.
    Broken,
}

impl Rounds {
    pub(super) fn begin(engine: &Arc<Engine>, crew: &Arc<Crew>, pulse: &Arc<Pulse>) -> Self {
        let settings = &engine.settings;
        let beats = settings.lease_seconds * 1000 / 4;
        let mut beat = JoinSet::new();
        let (own, worker, of) = (engine.clone(), crew.worker(), pulse.clone());
        beat.spawn(until(beats, move || {
            let (engine, pulse) = (own.clone(), of.clone());
            async move {
                let now = engine.clock.now();
                match engine.store.heartbeat(worker, now).await {
                    Ok(true) => pulse.beat(now),
                    Ok(false) => return false,
                    // Away: the lease may run out meanwhile; fencing covers that.
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "no heart-beat");
                    }
                }
                true
            }
        }));
        let mut others = JoinSet::new();
        let (own, hands, of) = (engine.clone(), crew.clone(), pulse.clone());
        others.spawn(until(beats, move || {
            let (engine, crew, pulse) = (own.clone(), hands.clone(), of.clone());
            async move {
                let _ = warned(engine.compare_clocks(&crew, &pulse).await);
                true
            }
        }));
        let (own, hands) = (engine.clone(), crew.clone());
        others.spawn(until(PAUSES_MILLISECONDS, move || {
            let (engine, crew) = (own.clone(), hands.clone());
            async move {
                let _ = warned(engine.follow_pauses(crew.worker()).await);
                engine.spare(&crew);
                true
            }
        }));
        let own = engine.clone();
        others.spawn(until(settings.bury_milliseconds, move || {
            let engine = own.clone();
            async move {
                let _ = warned(engine.bury(worker).await);
                true
            }
        }));
        let own = engine.clone();
        others.spawn(until(FOLLOW_MILLISECONDS, move || {
            let engine = own.clone();
            async move {
                let _ = warned(engine.follow_manifests().await);
                true
            }
        }));
        Self { beat, others }
    }

    /// Waits until the life has to end.
    pub(super) async fn ended(&mut self) -> Ended {
        tokio::select! {
            biased;
            ended = self.beat.join_next() => match ended {
                Some(Ok(())) => Ended::Buried,
                Some(Err(_)) | None => Ended::Broken,
            },
            _ = self.others.join_next() => Ended::Broken,
        }
    }

    /// Ends them, for a life that ends for another reason.
    pub(super) async fn shutdown(mut self) {
        self.others.shutdown().await;
        self.beat.shutdown().await;
    }
}

/// Every so often, for as long as it answers true.
async fn until<F, R>(milliseconds: u64, mut round: F)
where
    F: FnMut() -> R,
    R: Future<Output = bool>,
{
    let mut ticks = ticks(milliseconds);
    loop {
        ticks.tick().await;
        if !round().await {
            return;
        }
    }
}

/// A tick at once and then every so often.
pub(super) fn ticks(milliseconds: u64) -> Interval {
    let mut ticks = tokio::time::interval(Duration::from_millis(milliseconds.max(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl Engine {
    /// Compares this machine's clock with the database's. While they are apart, nothing is begun:
    /// departures would begin before their time or after it, and secrets look old that are not.
    pub(super) async fn compare_clocks(
        &self,
        crew: &Crew,
        pulse: &Pulse,
    ) -> Result<(), EngineError> {
        let (before, shown) = (self.clock.now(), self.clock.reading());
        let Some(there) = self.store.clock().await? else {
            self.hold_off(crew, false).await;
            return Ok(());
        };
        let after = self.clock.now();
        if before.duration_until(after) <= PROMPT {
            self.clock.heed(there);
        }
        let apart = apart_milliseconds(before, there, after);
        // A jump that is not believed is still to be put right: one of the two clocks is wrong.
        let shown = apart_milliseconds(shown, there, self.clock.reading()).max(apart);
        let wrong = apart > APART_MILLISECONDS;
        if wrong {
            tracing::error!(
                code = "CB-ENGINE-13",
                apart_milliseconds = apart,
                "this machine's clock and the database's are apart: nothing is begun here"
            );
        } else if shown > APART_MILLISECONDS {
            tracing::error!(
                code = "CB-ENGINE-13",
                apart_milliseconds = shown,
                "this machine's clock jumped, and the database's did not: the database's is gone by"
            );
        } else if pulse.clock_apart_milliseconds().is_some() {
            tracing::warn!("this machine's clock agrees with the database's again");
        }
        metrics::clock_apart(shown);
        pulse.clock_apart(wrong.then_some(apart));
        self.hold_off(crew, wrong).await;
        Ok(())
    }

    /// Nothing is begun, or anything again: not before it is known which targets are distrusted.
    async fn hold_off(&self, crew: &Crew, off: bool) {
        if crew.holds_off() && !off {
            let _ = warned(self.heed_health().await);
        }
        crew.hold_off(off);
    }
}

/// How far `there` lies outside of the time in which it was read.
pub fn apart_milliseconds(before: Timestamp, there: Timestamp, after: Timestamp) -> u64 {
    let late = before.as_millisecond() - there.as_millisecond();
    let early = there.as_millisecond() - after.as_millisecond();
    u64::try_from(late.max(early)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn b3_a_round_that_hangs_keeps_no_heartbeat_waiting() {
        let beats = Arc::new(AtomicU32::new(0));
        let (mut beat, mut others) = (JoinSet::new(), JoinSet::new());
        let counted = beats.clone();
        beat.spawn(until(1, move || {
            let beaten = counted.fetch_add(1, Ordering::SeqCst);
            async move { beaten < 4 }
        }));
        others.spawn(until(1, std::future::pending::<bool>));
        let mut rounds = Rounds { beat, others };
        let ended = rounds.ended();
        let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
        assert!(matches!(ended, Ok(Ended::Buried)), "the lease was lost");
        assert_eq!(beats.load(Ordering::SeqCst), 5);
    }

    #[test]
    fn b7_a_slow_answer_is_no_wrong_clock() {
        let at = |second| Timestamp::from_second(second).expect("valid");
        assert_eq!(apart_milliseconds(at(100), at(103), at(109)), 0);
        assert_eq!(apart_milliseconds(at(100), at(90), at(101)), 10_000);
        assert_eq!(apart_milliseconds(at(100), at(107), at(101)), 6_000);
    }
}
