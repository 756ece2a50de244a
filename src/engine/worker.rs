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

use super::courier::Courier;
use super::crew::{Hands, Place, Shares};
use super::drill::Driller;
use super::scout::Scout;
use super::settle::Scribe;
use super::survey::Surveyor;
use super::sweep::Sweeper;
use super::{Crew, Engine, EngineError, Writer};

/// How often a worker looks what may be served.
const FOLLOW_MILLISECONDS: u64 = 1000;

/// How often it looks which pauses are in force.
const PAUSES_MILLISECONDS: u64 = 250;

/// When the worker last proved that it lives: read by the readiness probe.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Unix seconds; 0 before the first.
    beat: AtomicI64,
    turn: AtomicI64,
    look: AtomicI64,
}

impl Pulse {
    /// Seconds since the store last confirmed the worker, or `None` before the first time.
    pub fn age_seconds(&self, now: Timestamp) -> Option<u64> {
        age(&self.beat, now)
    }

    /// Seconds since the slower of the worker's loop and its scout last turned, whatever the store
    /// said; `None` before that.
    pub fn turn_age_seconds(&self, now: Timestamp) -> Option<u64> {
        age(&self.turn, now).max(age(&self.look, now))
    }

    fn beat(&self, now: Timestamp) {
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
    (second != 0).then(|| now.as_second().saturating_sub(second).unsigned_abs())
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
                Parting::Broken => {
                    tracing::error!(%worker, "a part of the worker panicked; enlisting anew");
                    // Others need not wait for the lease. A store that is away frees it by time.
                    warned(
                        self.store
                            .discharge(worker)
                            .await
                            .map_err(EngineError::from),
                    );
                }
            }
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
        let (writer, scribes) = Writer::new(&engine, &hands);
        let scribes = scribes.into_iter().map(Scribe::run).collect();
        Self {
            engine,
            crew,
            writer,
            kept,
            runs: JoinSet::new(),
            scribes,
            scout,
            surveyor,
            courier,
            driller,
            sweeper,
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
        let mut follow = every(FOLLOW_MILLISECONDS);
        let mut pauses = every(PAUSES_MILLISECONDS);
        loop {
            let engine = self.engine.clone();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.drain().await,
                _ = beat.tick() => {
                    if !self.beat(pulse).await {
                        self.abandon().await;
                        return Parting::Buried;
                    }
                }
                _ = pauses.tick() => {
                    let _ = warned(engine.follow_pauses(self.crew.worker()).await);
                    engine.spare(&self.crew);
                }
                _ = bury.tick() => {
                    let _ = warned(engine.bury(self.crew.worker()).await);
                }
                _ = follow.tick() => {
                    let _ = warned(engine.follow_manifests().await);
                }
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
        if tokio::time::timeout(bound, settled).await.is_err() {
            tracing::warn!(
                "some runs did not finish their step in time; their leases are given back"
            );
            self.scout.shutdown().await;
            self.surveyor.shutdown().await;
            self.courier.shutdown().await;
            self.driller.shutdown().await;
            self.sweeper.shutdown().await;
            self.runs.shutdown().await;
        }
        drop(self.writer);
        while self.scribes.join_next().await.is_some() {}
        Parting::Drained
    }

    async fn abandon(mut self) {
        self.scout.shutdown().await;
        self.surveyor.shutdown().await;
        self.courier.shutdown().await;
        self.driller.shutdown().await;
        self.sweeper.shutdown().await;
        self.runs.shutdown().await;
        self.scribes.shutdown().await;
    }
}

/// Logs a failure that the next round repeats.
pub(super) fn warned<T>(result: Result<T, EngineError>) -> Option<T> {
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
