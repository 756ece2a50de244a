//! Sweep: what becomes due without anyone asking.
//!
//! Owns the search for secrets past their age or near their end, tasks past their deadline, and dead
//! workers, and the round in which a worker does it beside its work: a vault that hangs holds up no
//! heart-beat and nobody's task. What it finds becomes an ordinary run on the ordinary path.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::domain::id::WorkerId;
use crate::domain::rotation::{self, Rotations};
use crate::domain::step::{Given, rotation_run};
use crate::domain::task::FallbackTask;

use super::worker::warned;
use super::{Crew, Engine, EngineError, tell};

/// Rotations that one sweep begins. Where many secrets are due at once, as after an upgrade or under a shorter
/// `max_age_days`, their targets and the people who get the tasks are not flooded.
const ROTATIONS_AT_ONCE: usize = 16;
/// Overdue tasks written in one transaction.
const TASKS_AT_ONCE: u32 = 64;

/// One worker's sweeper.
pub(super) struct Sweeper {
    engine: Arc<Engine>,
    crew: Arc<Crew>,
}

impl Sweeper {
    pub(super) fn new(engine: Arc<Engine>, crew: Arc<Crew>) -> Self {
        Self { engine, crew }
    }

    /// Sweeps until the worker drains. What is under way then is given up: the next sweep finds it.
    pub(super) async fn run(self) {
        tokio::select! {
            biased;
            () = self.crew.drained() => {}
            () = self.secrets() => {}
            () = self.people() => {}
        }
    }

    async fn secrets(&self) {
        let mut ticks = self.ticks();
        loop {
            ticks.tick().await;
            // By a wrong clock every secret may look old.
            self.crew.may_begin().await;
            let _ = warned(self.engine.sweep_secrets().await);
        }
    }

    async fn people(&self) {
        let mut ticks = self.ticks();
        loop {
            ticks.tick().await;
            self.engine.forget_old();
            self.crew.may_begin().await;
            let _ = warned(self.engine.escalate().await);
            let _ = warned(self.engine.remind().await);
            let _ = warned(self.engine.tell_figures().await);
        }
    }

    fn ticks(&self) -> tokio::time::Interval {
        let every = Duration::from_secs(self.engine.settings.sweep_seconds);
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }
}

impl Engine {
    /// Lets go of listings and inventories that nobody is to use any more; each may be as large as its target.
    fn forget_old(&self) {
        for connector in self.serving().registry.iter() {
            connector.forget_old();
        }
        self.recalled.forget_old(self.clock.now());
    }

    /// Starts a rotation for each secret that is past its age or ends soon, the gravest first and not
    /// all at once; returns how many began. Those that waited behind another move up.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sweep_secrets(&self) -> Result<u32, EngineError> {
        let now = self.clock.now();
        let serving = self.serving();
        let given = Given {
            now,
            ..self.given(self.workflows.rotation(), &serving, None)
        };
        let moved = self.store.advance_rotations(now).await?;
        if moved > 0 {
            tracing::info!(
                moved,
                "replacements begin that waited for another of their secret"
            );
        }
        let rotations = Rotations::of(&self.store.rotations(None).await?);
        let connectors = serving.registry.iter();
        let manifests = connectors.map(|connector| connector.manifest());
        let ages = self.secrets.ages(manifests, &rotations).await;
        tell::secrets(&ages, now);
        let mut begun = 0;
        let due = rotation::sweep(&ages.known, now).into_iter();
        for (connector, role, trigger) in due.take(ROTATIONS_AT_ONCE) {
            let why = trigger.as_str();
            let cause = format!("{why}/{now}");
            let Some(run) = rotation_run(&given, &connector, role, trigger, &cause) else {
                continue;
            };
            if self.store.start(&run, now).await? {
                tracing::info!(
                    connector = connector.as_str(),
                    role = role.as_str(),
                    why,
                    "a secret is due to be replaced"
                );
                begun += 1;
            }
        }
        Ok(begun)
    }

    /// Tells what waits in the store, for whoever watches.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn tell_figures(&self) -> Result<(), EngineError> {
        tell::figures(&self.store.counts(self.clock.now()).await?);
        self.tell_paused().await
    }

    /// Tells somebody of each task whose time has come; returns how many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn escalate(&self) -> Result<u32, EngineError> {
        let now = self.clock.now();
        let serving = self.serving();
        let estate = &serving.estate;
        let topic = self.settings.status_topic.as_deref();
        let decide = |task: &FallbackTask| {
            let connector = task.connector.as_ref();
            let facts = connector.and_then(|name| estate.connectors.get(name));
            let escalated = estate.people.escalate(task, facts, topic, now)?;
            Some(escalated.with_copy(|desk| self.has_tickets(desk)))
        };
        let mut all = 0;
        loop {
            let escalated = self.store.escalate(TASKS_AT_ONCE, now, &decide).await?;
            escalated.iter().for_each(tell::escalated);
            all += escalated.len() as u32;
            if escalated.len() < TASKS_AT_ONCE as usize {
                return Ok(all);
            }
        }
    }

    /// Frees the runs of workers that are dead or thought dead; returns how many runs.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn bury(&self, by: WorkerId) -> Result<u64, EngineError> {
        let freed = self.store.bury(by, self.clock.now()).await?;
        if freed > 0 {
            tracing::warn!(runs = freed, "took over the runs of a worker that is gone");
        }
        Ok(freed)
    }
}
