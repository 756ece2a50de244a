//! The life of one worker: enlist, work, drain, be discharged.
//!
//! Owns the loop around the five verbs and its drain; its heart-beat is one of its `rounds`. A worker that was buried by
//! others (it was stopped too long) drops everything it held and enlists under a new name; the
//! fencing tokens see to it that nothing it still had in hand is written.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::domain::id::WorkerId;
use crate::domain::time::Timestamp;
use crate::store::Claimed;
use crate::telemetry::Stopwatch;

use super::courier::Courier;
use super::crew::{Hands, Place, Shares};
use super::drill::Driller;
use super::rounds::{self, Rounds};
use super::scout::Scout;
use super::settle::Scribe;
use super::survey::Surveyor;
use super::sweep::Sweeper;
use super::{Crew, Engine, EngineError, Writer};

/// How often the loop shows that it turns, though nothing happens.
const TURN_MILLISECONDS: u64 = 1000;

/// What is left after a drain gets so long: settlements that the store has not taken, the farewell.
/// What is not committed then is owed and due.
const LAST: Duration = Duration::from_secs(5);

/// When the worker last proved that it lives: read by the readiness probe.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Unix seconds; 0 before the first.
    beat: AtomicI64,
    turn: AtomicI64,
    look: AtomicI64,
    /// Since when each scribe has been at its commit.
    commits: Mutex<BTreeMap<usize, i64>>,
    /// How far the clocks are apart, if they are too far; else 0.
    apart: AtomicU64,
}

impl Pulse {
    /// Seconds since the store last confirmed the worker, or `None` before the first time.
    pub fn age_seconds(&self, now: Timestamp) -> Option<u64> {
        age(&self.beat, now)
    }

    /// Seconds since the slowest of the worker's loop, its scout and its scribes last turned, whatever
    /// the store said; `None` before that.
    pub fn turn_age_seconds(&self, now: Timestamp) -> Option<u64> {
        let commits = self.commits();
        let commits = commits.values().map(|since| seconds_since(*since, now));
        age(&self.turn, now)
            .max(age(&self.look, now))
            .max(commits.max())
    }

    /// How far this machine's clock and the database's are apart, if that is too far.
    pub fn clock_apart_milliseconds(&self) -> Option<u64> {
        let apart = self.apart.load(Ordering::Relaxed);
        (apart > 0).then_some(apart)
    }

    pub(super) fn clock_apart(&self, milliseconds: Option<u64>) {
        let apart = milliseconds.unwrap_or(0);
        self.apart.store(apart, Ordering::Relaxed);
    }

    /// A scribe is at a commit, or at its next attempt, from `now` on.
    pub(super) fn commits_from(&self, scribe: usize, now: Timestamp) {
        self.commits().insert(scribe, now.as_second());
    }

    /// A scribe is through.
    pub(super) fn committed(&self, scribe: usize) {
        self.commits().remove(&scribe);
    }

    fn commits(&self) -> MutexGuard<'_, BTreeMap<usize, i64>> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store has confirmed the worker.
    pub(super) fn beat(&self, now: Timestamp) {
        self.beat.store(now.as_second(), Ordering::Relaxed);
    }

    /// The loop has turned at `now`; a start that waits for the store turns it as well.
    pub fn turn(&self, now: Timestamp) {
        self.turn.store(now.as_second(), Ordering::Relaxed);
    }

    /// The scout has looked for work, or waits for a free hand.
    pub(super) fn look(&self, now: Timestamp) {
        self.look.store(now.as_second(), Ordering::Relaxed);
    }
}

fn age(second: &AtomicI64, now: Timestamp) -> Option<u64> {
    let second = second.load(Ordering::Relaxed);
    (second != 0).then(|| seconds_since(second, now))
}

fn seconds_since(second: i64, now: Timestamp) -> u64 {
    now.as_second().saturating_sub(second).unsigned_abs()
}

/// Why a life ended.
enum Parting {
    /// Asked to stop; everything in hand is settled.
    Drained,
    /// Others took the runs over.
    Buried,
    /// A part of the worker panicked.
    Broken,
}

impl Engine {
    /// Works until `shutdown`, then drains: runs in hand finish their step, the rest is given back.
    ///
    /// # Errors
    /// When the store fails for good at the start.
    pub async fn run(
        self: Arc<Self>,
        pulse: Arc<Pulse>,
        shutdown: CancellationToken,
    ) -> Result<(), EngineError> {
        self.save_definitions().await?;
        loop {
            let worker = self.new_worker();
            let lease = self.settings.lease_seconds;
            // Before anything is taken on: what may be served, by what was approved.
            let begun = match self.follow_manifests().await {
                Ok(()) => {
                    let enlisted = self.store.enlist(worker, self.clock.now(), lease).await;
                    match enlisted {
                        Ok(()) => self.follow_pauses(worker).await,
                        Err(error) => Err(error.into()),
                    }
                }
                Err(error) => Err(error),
            };
            match begun {
                Ok(()) => {}
                Err(error) if error.is_passing() && !shutdown.is_cancelled() => {
                    pulse.turn(self.clock.now());
                    tracing::warn!(code = "CB-STORE-1", "the store is away, the worker waits");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            tracing::info!(%worker, "enlisted");
            match Life::new(self.clone(), worker, &pulse)
                .live(&pulse, &shutdown)
                .await
            {
                Parting::Drained => {
                    self.farewell(worker).await;
                    tracing::info!(%worker, "drained");
                    return Ok(());
                }
                Parting::Buried => tracing::warn!(%worker, "others took over; enlisting anew"),
                Parting::Broken => {
                    tracing::error!(%worker, "a part of the worker panicked; enlisting anew");
                    self.farewell(worker).await;
                }
            }
        }
    }

    /// Others need not wait for the lease. A store that is away frees it by time.
    async fn farewell(&self, worker: WorkerId) {
        let discharged = tokio::time::timeout(LAST, self.store.discharge(worker)).await;
        match discharged {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "leases run out by themselves"
            ),
            Err(_) => tracing::warn!("no answer to the farewell; leases run out by themselves"),
        }
    }
}

/// One life, from enlisting to parting.
struct Life {
    engine: Arc<Engine>,
    crew: Arc<Crew>,
    writer: Writer,
    kept: mpsc::UnboundedReceiver<Vec<(Claimed, Place)>>,
    runs: JoinSet<()>,
    scribes: JoinSet<()>,
    rounds: Rounds,
    scout: JoinSet<()>,
    surveyor: JoinSet<()>,
    courier: JoinSet<()>,
    driller: JoinSet<()>,
    sweeper: JoinSet<()>,
}

impl Life {
    fn new(engine: Arc<Engine>, worker: WorkerId, pulse: &Arc<Pulse>) -> Self {
        let settings = &engine.settings;
        let shares = Shares::new(&engine.serving().registry, settings.runs_per_connector);
        let crew = Crew::new(worker, settings.runs_at_once, shares);
        engine.spare(&crew);
        // Until the clocks have been compared.
        crew.hold_off(true);
        let rounds = Rounds::begin(&engine, &crew, pulse);
        let (kept_in, kept) = mpsc::unbounded_channel();
        let hands = Hands {
            crew: crew.clone(),
            kept: kept_in,
        };
        let mut scout = JoinSet::new();
        scout.spawn(Scout::new(engine.clone(), hands.clone(), pulse.clone()).run());
        let mut surveyor = JoinSet::new();
        surveyor.spawn(Surveyor::new(engine.clone(), crew.clone()).run());
        let mut courier = JoinSet::new();
        courier.spawn(Courier::new(engine.clone(), crew.clone()).run());
        let mut driller = JoinSet::new();
        driller.spawn(Driller::new(engine.clone(), crew.clone()).run());
        let mut sweeper = JoinSet::new();
        sweeper.spawn(Sweeper::new(engine.clone(), crew.clone()).run());
        let (writer, scribes) = Writer::new(&engine, &hands, pulse);
        let scribes = scribes.into_iter().map(Scribe::run).collect();
        Self {
            engine,
            crew,
            writer,
            kept,
            runs: JoinSet::new(),
            scribes,
            rounds,
            scout,
            surveyor,
            courier,
            driller,
            sweeper,
        }
    }

    async fn live(mut self, pulse: &Pulse, shutdown: &CancellationToken) -> Parting {
        let mut turns = rounds::ticks(TURN_MILLISECONDS);
        loop {
            let engine = self.engine.clone();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.drain().await,
                ended = self.rounds.ended() => {
                    self.abandon().await;
                    return match ended {
                        rounds::Ended::Buried => Parting::Buried,
                        rounds::Ended::Broken => Parting::Broken,
                    };
                }
                // Nothing here is waited for: the loop turns while the store is away.
                _ = turns.tick() => pulse.turn(engine.clock.now()),
                Some(kept) = self.kept.recv() => self.take_on(kept),
                Some(_) = self.runs.join_next(), if !self.runs.is_empty() => {}
                // Health is beside the work: it never ends a life.
                Some(_) = self.surveyor.join_next(), if !self.surveyor.is_empty() => {
                    tracing::error!("the surveyor panicked; it begins anew");
                    let surveyor = Surveyor::new(engine, self.crew.clone());
                    self.surveyor.spawn(surveyor.run());
                }
                // Copies are beside the work, too.
                Some(_) = self.courier.join_next(), if !self.courier.is_empty() => {
                    tracing::error!("the courier ended; it begins anew");
                    let courier = Courier::new(engine, self.crew.clone());
                    self.courier.spawn(courier.run());
                }
                Some(_) = self.driller.join_next(), if !self.driller.is_empty() => {
                    tracing::error!("the driller panicked; it begins anew");
                    let driller = Driller::new(engine, self.crew.clone());
                    self.driller.spawn(driller.run());
                }
                Some(_) = self.sweeper.join_next(), if !self.sweeper.is_empty() => {
                    tracing::error!("the sweeper panicked; it begins anew");
                    let sweeper = Sweeper::new(engine, self.crew.clone());
                    self.sweeper.spawn(sweeper.run());
                }
                // Both go on until the drain, unless they panic.
                Some(_) = self.scout.join_next() => {
                    self.abandon().await;
                    return Parting::Broken;
                }
                Some(_) = self.scribes.join_next() => {
                    self.abandon().await;
                    return Parting::Broken;
                }
            }
        }
    }

    fn take_on(&mut self, kept: Vec<(Claimed, Place)>) {
        for (claimed, place) in kept {
            let writer = self.writer.clone();
            // Boxed: a task is moved whole when it is made and when it ends, and this one is large.
            let drive = Box::pin(self.engine.clone().drive(claimed, writer, place));
            self.runs.spawn(drive);
        }
    }

    /// Stops taking on, lets what is in hand settle its step, gives the rest back. The heart goes on
    /// beating meanwhile, so that nobody takes over what is just being settled.
    async fn drain(mut self) -> Parting {
        let bound = Duration::from_secs(self.engine.settings.lease_seconds);
        self.crew.drain();
        let settled = async {
            while self.scout.join_next().await.is_some() {}
            while self.surveyor.join_next().await.is_some() {}
            while self.courier.join_next().await.is_some() {}
            while self.driller.join_next().await.is_some() {}
            while self.sweeper.join_next().await.is_some() {}
            while self.runs.join_next().await.is_some() {
                // Children and parents that were kept meanwhile go back unused.
                while self.kept.try_recv().is_ok() {}
            }
        };
        tokio::select! {
            settled = tokio::time::timeout(bound, settled) => if settled.is_err() {
                tracing::warn!(
                    "some runs did not finish their step in time; their leases are given back"
                );
            },
            _ = self.rounds.ended() => tracing::warn!("others took over while the worker drained"),
        }
        self.put_down().await;
        drop(self.writer);
        let committed = async { while self.scribes.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST, committed).await.is_err() {
            tracing::warn!(
                code = "CB-STORE-1",
                "the store did not take the last settlements; these runs are owed and due"
            );
            self.scribes.shutdown().await;
        }
        self.rounds.shutdown().await;
        Parting::Drained
    }

    async fn abandon(mut self) {
        self.put_down().await;
        self.scribes.shutdown().await;
        self.rounds.shutdown().await;
    }

    /// Ends everything but the scribes and the heartbeat; what has ended already is not waited for.
    async fn put_down(&mut self) {
        self.scout.shutdown().await;
        self.surveyor.shutdown().await;
        self.courier.shutdown().await;
        self.driller.shutdown().await;
        self.sweeper.shutdown().await;
        self.runs.shutdown().await;
    }
}

/// Logs a failure that the next round repeats: the same words once in a while, for while the store is away
/// every poll of every loop fails.
pub(super) fn warned<T>(result: Result<T, EngineError>) -> Option<T> {
    let error = match result {
        Ok(value) => return Some(value),
        Err(error) => error,
    };
    if let Some(left_out) = SAID.admit(&error.to_string()) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            left_out,
            "a verb failed; it is tried again"
        );
    }
    None
}

static SAID: Said = Said(Mutex::new(BTreeMap::new()));
/// The same words are not said again for so long.
const QUIET: Duration = Duration::from_secs(10);
/// Different words that are remembered.
const KINDS: usize = 64;

/// What was said, when, and how often it was left out since.
struct Said(Mutex<BTreeMap<String, (Stopwatch, u64)>>);

impl Said {
    /// How often the words were left out, if they are to be said now.
    fn admit(&self, words: &str) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, left_out)) = said.get_mut(words)
            && since.elapsed() < QUIET
        {
            *left_out += 1;
            return None;
        }
        if said.len() >= KINDS {
            said.retain(|_, (since, _)| since.elapsed() < QUIET);
        }
        let before = said.insert(words.to_owned(), (Stopwatch::start(), 0));
        Some(before.map_or(0, |(_, left_out)| left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2_a_scribe_that_hangs_shows_in_the_turn_of_the_worker() {
        let at = |second| Timestamp::from_second(second).expect("valid");
        let pulse = Pulse::default();
        pulse.turn(at(1000));
        pulse.look(at(1000));
        assert_eq!(pulse.turn_age_seconds(at(1001)), Some(1));
        pulse.commits_from(0, at(900));
        pulse.commits_from(1, at(1000));
        assert_eq!(pulse.turn_age_seconds(at(1001)), Some(101));
        // Through, or at its next attempt.
        pulse.committed(0);
        assert_eq!(pulse.turn_age_seconds(at(1001)), Some(1));
    }

    #[test]
    fn h2_a_store_that_is_away_fills_no_log() {
        let said = Said(Mutex::default());
        assert_eq!(said.admit("the store is away"), Some(0));
        for _ in 0..100 {
            assert_eq!(said.admit("the store is away"), None);
        }
        assert_eq!(said.admit("another thing"), Some(0));
        let lines = said.0.lock().expect("free");
        assert_eq!(lines["the store is away"].1, 100);
    }
}
