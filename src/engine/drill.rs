//! Drills: begun when they are due, led on from pass to pass.
//!
//! Owns the round in which a worker takes drills on and looks at the cases of their passes. Those cases
//! go the ordinary road, with whatever worker claims them; here is only what a drill asks of them and
//! the events by which it opens and calls them off. What is to be seen is decided by `domain::drill`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::connectors::Guarded;
use crate::domain::correlation::Search;
use crate::domain::drill::{Drill, Ground, Move, Pass, Sight, Stage, begins, trouble};
use crate::domain::event::RecordedEvent;
use crate::domain::health::seconds_between;
use crate::domain::id::{ContentDigest, DrillId, EventKey, WorkerId};
use crate::domain::run::{Run, Stage as RunStage};
use crate::domain::time::Timestamp;
use crate::domain::workflow::{End, RunKind};
use crate::store::{CaseFilter, DrillLease, IntakeBatch};
use crate::telemetry::metrics;

use super::worker::warned;
use super::{Crew, Engine, EngineError};

/// Drills that a worker takes on at once.
const AT_ONCE: u32 = 8;
/// How long a worker may take for one look, beyond a listing.
const SLACK_SECONDS: u64 = 60;
/// Drills of one connector that are looked through for the last that ended.
const RECENT: u32 = 20;

/// One worker's part in drills.
pub(super) struct Driller {
    engine: Arc<Engine>,
    crew: Arc<Crew>,
}

impl Driller {
    pub(super) fn new(engine: Arc<Engine>, crew: Arc<Crew>) -> Self {
        Self { engine, crew }
    }

    /// Leads drills on until the worker drains; others take over what is under way.
    pub(super) async fn run(self) {
        let settings = &self.engine.settings;
        let every = |milliseconds| {
            let mut ticks = tokio::time::interval(Duration::from_millis(milliseconds));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let mut looks = every(settings.survey_milliseconds);
        let mut sweeps = every(settings.sweep_seconds * 1000);
        loop {
            let work = async {
                tokio::select! {
                    _ = sweeps.tick() => {
                        self.crew.may_begin().await;
                        let _ = warned(self.engine.sweep_drills().await);
                    }
                    _ = looks.tick() => {
                        self.crew.may_begin().await;
                        let _ = warned(self.engine.lead_drills(self.crew.worker()).await);
                    }
                }
            };
            tokio::select! {
                biased;
                () = self.crew.drained() => return,
                () = work => {}
            }
        }
    }
}

impl Engine {
    /// Begins the drills that are due; returns how many began.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sweep_drills(&self) -> Result<u32, EngineError> {
        let mut begun = 0;
        let serving = self.serving();
        for connector in serving.registry.iter() {
            let mandate = connector.mandate();
            let Some(terms) = &connector.manifest().drill else {
                continue;
            };
            let name = connector.name();
            let drills = self.store.drills(Some(name), RECENT).await?;
            let now = self.clock.now();
            told(name.as_str(), &drills, now);
            let every = self.every_seconds(terms.every_seconds);
            let drilled = mandate.undrilled.is_none();
            let manifest = in_force(connector);
            // What is paused is rehearsed when the pause is over.
            if mandate.barred.is_some() || self.holds_back(name) {
                continue;
            }
            if !begins(drills.first(), &manifest, drilled, every, now) {
                continue;
            }
            let id = DrillId(self.chance.id());
            let drill = Drill::new(id, name.clone(), "clawback", now);
            if self.store.begin_drill(&drill).await? {
                tracing::info!(connector = %name, drill = %id, "a drill is due");
                begun += 1;
            }
        }
        Ok(begun)
    }

    /// Leads on what is due, up to a handful; returns how many were looked at.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn lead_drills(&self, worker: WorkerId) -> Result<usize, EngineError> {
        let serving = self.serving();
        let limits = serving.registry.iter();
        let longest = limits.map(|one| one.manifest().limits.listing_timeout_seconds);
        let lease_seconds = longest.max().unwrap_or(0).saturating_add(SLACK_SECONDS);
        let now = self.clock.now();
        let taken = self.store.take_drills(worker, now, lease_seconds, AT_ONCE);
        let taken = taken.await?;
        // Side by side: a target that hangs holds up its own drill.
        let led = taken.iter().map(|lease| self.lead_drill(lease));
        for done in futures_util::future::join_all(led).await {
            done?;
        }
        Ok(taken.len())
    }

    async fn lead_drill(&self, lease: &DrillLease) -> Result<(), EngineError> {
        let next = self.move_drill(lease.drill.clone()).await?;
        if let Some(event) = next.event {
            self.record_event(event).await?;
        }
        let kept = self.store.keep_drill(lease, &next.drill, next.due).await?;
        if kept && next.drill.ended().is_some() {
            let Drill { connector, id, .. } = &next.drill;
            tracing::info!(%connector, drill = %id, came_to = next.drill.words(), "a drill is over");
            let recent = self.store.drills(Some(connector), RECENT).await?;
            told(connector.as_str(), &recent, self.clock.now());
        }
        Ok(())
    }

    async fn move_drill(&self, drill: Drill) -> Result<Move, EngineError> {
        let now = self.clock.now();
        let serving = self.serving();
        let Some(connector) = serving.registry.get(&drill.connector) else {
            return Ok(drill.given_up("no manifest names the connector any more", now));
        };
        let manifest = connector.manifest();
        let Some(terms) = &manifest.drill else {
            return Ok(drill.given_up("the manifest in force declares no canary", now));
        };
        let in_force = in_force(&connector);
        let ground = |now| Ground {
            terms,
            fallback: &manifest.fallback,
            people: &serving.estate.people,
            manifest: &in_force,
            now,
        };
        match drill.stage {
            Stage::Looking => {
                let well = connector.rehearsing(Pass::Well);
                let search = self.search(&well, &terms.canary, None, now).await;
                let found = search.and_then(Search::decided);
                Ok(drill.looked(found, &ground(self.clock.now())))
            }
            Stage::Passing { pass, .. } | Stage::Closing { pass, .. } => {
                let sight = self.sight(drill.opening(pass)).await?;
                Ok(drill.seen(sight.as_ref(), &ground(now)))
            }
            Stage::Ended { .. } => Ok(drill.seen(None, &ground(now))),
        }
    }

    /// What became of the event that opened a pass.
    async fn sight(&self, event: EventKey) -> Result<Option<Sight>, EngineError> {
        let filter = CaseFilter {
            event: Some(event),
            ..CaseFilter::default()
        };
        let Some(report) = self.store.cases(&filter).await?.into_iter().next() else {
            return Ok(None);
        };
        let Some(story) = self.store.case(report.row.id).await? else {
            return Ok(None);
        };
        let removals: Vec<_> = story
            .runs
            .iter()
            .filter(|run| run.kind == RunKind::Removal)
            .collect();
        let verified = removals.iter().filter(|run| is_verified(run)).count();
        Ok(Some(Sight {
            ended: story.report.ended,
            removals: u32::try_from(removals.len()).unwrap_or(u32::MAX),
            verified: u32::try_from(verified).unwrap_or(u32::MAX),
            tasks: story.tasks,
        }))
    }

    async fn record_event(&self, event: RecordedEvent) -> Result<(), EngineError> {
        let batch = IntakeBatch {
            events: vec![event],
            ..IntakeBatch::default()
        };
        self.store.record(&batch).await?;
        Ok(())
    }

    /// What is wrong with the drills of a connector that was first surveyed at `since`.
    pub(super) async fn drill_trouble(
        &self,
        connector: &Guarded,
        since: Option<Timestamp>,
    ) -> Result<Option<String>, EngineError> {
        let Some(terms) = &connector.manifest().drill else {
            // Nothing but two people will open the gate.
            let barred = connector.mandate().undrilled.as_ref();
            return Ok(barred.map(|failure| failure.message.clone()));
        };
        let drills = self.store.drills(Some(connector.name()), RECENT).await?;
        let every = self.every_seconds(terms.every_seconds);
        let now = self.clock.now();
        let within = terms.within_seconds;
        Ok(trouble(&drills, since, every, within, now))
    }

    fn every_seconds(&self, declared: Option<u64>) -> u64 {
        declared.unwrap_or(self.settings.drill_days * 86_400)
    }
}

/// Names what binds: what was approved, or the file where nobody governs.
fn in_force(connector: &Guarded) -> ContentDigest {
    let under = connector.mandate().under.as_ref();
    under.map_or_else(
        || ContentDigest(connector.manifest().digest.clone()),
        |under| under.digest.clone(),
    )
}

fn is_verified(run: &Run) -> bool {
    matches!(
        run.stage,
        RunStage::Ended {
            end: End::Verified,
            ..
        }
    )
}

fn told(connector: &str, drills: &[Drill], now: Timestamp) {
    let mut ended = drills.iter().filter_map(Drill::ended);
    let passed = drills.iter().filter_map(Drill::ended);
    let last_passed = passed
        .filter(|(_, passed)| *passed)
        .map(|(at, _)| at)
        .next();
    if let Some((_, passed)) = ended.next() {
        let age = last_passed.map(|at| seconds_between(at, now));
        metrics::drill(connector, passed, age);
    }
}
