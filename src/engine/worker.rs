//! The life of one worker: enlist, work, drain, be discharged.
//!
//! Owns the loop around the five verbs, its heart-beat and its drain. A worker that was buried by
//! others (it was stopped too long) drops everything it held and enlists under a new name; the
//! fencing tokens see to it that nothing it still had in hand is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::domain::id::WorkerId;
use crate::domain::time::Timestamp;
use crate::store::Claimed;

use super::{Crew, Engine, EngineError, Hands, Writer};

/// When the worker last proved that it lives: read by the readiness probe.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Unix seconds; 0 before the first.
    beat: AtomicI64,
    turn: AtomicI64,
}

impl Pulse {
    /// Seconds since the store last confirmed the worker, or `None` before the first time.
    pub fn age_seconds(&self, now: Timestamp) -> Option<u64> {
        age(&self.beat, now)
    }

    /// Seconds since the worker's loop last turned, whatever the store said; `None` before that.
    pub fn turn_age_seconds(&self, now: Timestamp) -> Option<u64> {
        age(&self.turn, now)
    }

    fn beat(&self, now: Timestamp) {
        self.beat.store(now.as_second(), Ordering::Relaxed);
    }

    fn turn(&self, now: Timestamp) {
        self.turn.store(now.as_second(), Ordering::Relaxed);
    }
}

fn age(second: &AtomicI64, now: Timestamp) -> Option<u64> {
    let second = second.load(Ordering::Relaxed);
    (second != 0).then(|| now.as_second().saturating_sub(second).unsigned_abs())
}

/// Why a life ended.
enum Parting {
    /// Asked to stop; everything in hand is settled.
    Drained,
    /// Others took the runs over.
    Buried,
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
            match self.store.enlist(worker, self.clock.now(), lease).await {
                Ok(()) => {}
                Err(error) if error.is_passing() && !shutdown.is_cancelled() => {
                    pulse.turn(self.clock.now());
                    tracing::warn!(code = "CB-STORE-1", "the store is away, the worker waits");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            tracing::info!(%worker, "enlisted");
            match Life::new(self.clone(), worker)
                .live(&pulse, &shutdown)
                .await
            {
                Parting::Drained => {
                    if let Err(error) = self.store.discharge(worker).await {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "leases run out by themselves"
                        );
                    }
                    tracing::info!(%worker, "drained");
                    return Ok(());
                }
                Parting::Buried => tracing::warn!(%worker, "others took over; enlisting anew"),
            }
        }
    }
}

/// One life, from enlisting to parting.
struct Life {
    engine: Arc<Engine>,
    crew: Arc<Crew>,
    writer: Writer,
    kept: mpsc::UnboundedReceiver<Vec<Claimed>>,
    runs: JoinSet<()>,
    scribe: JoinSet<()>,
    /// The last look ended because the hands were full: there is more.
    full: bool,
}

impl Life {
    fn new(engine: Arc<Engine>, worker: WorkerId) -> Self {
        let settings = &engine.settings;
        let crew = Crew::new(worker, settings.runs_at_once, settings.runs_per_connector);
        let (kept_in, kept) = mpsc::unbounded_channel();
        let hands = Hands {
            crew: crew.clone(),
            kept: kept_in,
        };
        engine.show_hands(Some(hands.clone()));
        let (writer, commits) = Writer::new(engine.clone(), hands);
        let mut scribe = JoinSet::new();
        scribe.spawn(commits.run());
        Self {
            engine,
            crew,
            writer,
            kept,
            runs: JoinSet::new(),
            scribe,
            full: false,
        }
    }

    async fn live(mut self, pulse: &Pulse, shutdown: &CancellationToken) -> Parting {
        let settings = self.engine.settings.clone();
        let every = |milliseconds| {
            let mut ticks = tokio::time::interval(Duration::from_millis(milliseconds));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let mut beat = every(settings.lease_seconds * 1000 / 4);
        let mut bury = every(settings.bury_milliseconds);
        let mut sweep = every(settings.sweep_seconds * 1000);
        let poll = Duration::from_millis(settings.poll_milliseconds);
        // A tick of its own: under load the other branches would starve the wait for a wake-up.
        let mut look = every(settings.poll_milliseconds);
        loop {
            let engine = self.engine.clone();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.drain().await,
                _ = beat.tick() => {
                    if !self.beat(pulse).await {
                        return self.abandon().await;
                    }
                }
                _ = bury.tick() => {
                    let _ = warned(engine.bury(self.crew.worker()).await);
                }
                _ = sweep.tick() => {
                    let _ = warned(engine.sweep_secrets().await);
                    let _ = warned(engine.tell_figures().await);
                }
                Some(kept) = self.kept.recv() => self.take_on(kept),
                _ = look.tick() => self.look().await,
                Some(_) = self.runs.join_next(), if !self.runs.is_empty() => {
                    if self.full && self.crew.in_hand() <= settings.runs_at_once / 2 {
                        self.look().await;
                    }
                }
                () = engine.store.woken(poll) => self.look().await,
            }
        }
    }

    /// Looks for work until there is none or the hands are full.
    async fn look(&mut self) {
        self.full = false;
        if warned(self.engine.obey().await).is_none() {
            // The store is away: the next poll is soon enough.
            return;
        }
        loop {
            let keep = self.crew.keep();
            if keep.at_most == 0 {
                self.full = true;
                return;
            }
            let Some(admitted) = warned(self.engine.admit(&keep).await) else {
                return;
            };
            let events = admitted.events;
            self.take_on(admitted.kept);
            let keep = self.crew.keep();
            let now = self.engine.clock.now();
            let claimed = self.engine.store.claim(now, &keep).await;
            let Some(claimed) = warned(claimed.map_err(EngineError::from)) else {
                return;
            };
            let found = claimed.len();
            self.take_on(claimed);
            if events == 0 && found == 0 {
                return;
            }
        }
    }

    fn take_on(&mut self, claimed: Vec<Claimed>) {
        for claimed in claimed {
            let place = self.crew.take(claimed.run.connector.as_ref());
            let writer = self.writer.clone();
            self.runs
                .spawn(self.engine.clone().drive(claimed, writer, place));
        }
    }

    async fn beat(&self, pulse: &Pulse) -> bool {
        let now = self.engine.clock.now();
        pulse.turn(now);
        match self.engine.store.heartbeat(self.crew.worker(), now).await {
            Ok(true) => {
                pulse.beat(now);
                true
            }
            Ok(false) => false,
            Err(error) => {
                // Away: the lease may run out meanwhile; fencing covers that.
                tracing::warn!(error = &error as &dyn std::error::Error, "no heart-beat");
                true
            }
        }
    }

    /// Stops taking on, lets what is in hand settle its step, gives the rest back.
    async fn drain(mut self) -> Parting {
        let bound = Duration::from_secs(self.engine.settings.lease_seconds);
        self.engine.show_hands(None);
        self.crew.drain();
        let settled = async {
            while self.runs.join_next().await.is_some() {
                // Children and parents that were kept meanwhile go back unused.
                while self.kept.try_recv().is_ok() {}
            }
        };
        if tokio::time::timeout(bound, settled).await.is_err() {
            tracing::warn!(
                "some runs did not finish their step in time; their leases are given back"
            );
            self.runs.shutdown().await;
        }
        drop(self.writer);
        while self.scribe.join_next().await.is_some() {}
        Parting::Drained
    }

    async fn abandon(mut self) -> Parting {
        self.runs.shutdown().await;
        self.scribe.shutdown().await;
        Parting::Buried
    }
}

/// Logs a failure that the next round repeats.
fn warned<T>(result: Result<T, EngineError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a verb failed; it is tried again"
            );
            None
        }
    }
}
