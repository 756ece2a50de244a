//! One claimed run, driven for as long as its next step is due.
//!
//! Owns the loop decide, perform, settle, and the waves of independent items in it. Every step is
//! committed before the next begins. When the run waits, gathers, ends or is no longer this
//! worker's, the loop is over and the place is given back.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use crate::connectors::PAUSED;
use crate::domain::access::{Entitlement, Operation};
use crate::domain::approval::Under;
use crate::domain::outcome::Failure;
use crate::domain::review::done;
use crate::domain::run::{Run, RunBody, Stage};
use crate::domain::settlement::{Outcome, Settlement};
use crate::domain::step::{Decision, Effect, Woken, decide, settle};
use crate::domain::task::FallbackTask;
use crate::domain::time::Timestamp;
use crate::domain::verdict::Verdict;
use crate::domain::workflow::{RunKind, Workflow};
use crate::store::{Claimed, Fenced};
use crate::telemetry::metrics;

use super::crew::Place;
use super::perform::{Answer, Item};
use super::{Engine, EngineError, Writer, tell};

/// How long until it is tried again to let go of a run that cannot go on.
const PAUSE: Duration = Duration::from_secs(2);

/// A run under way, with what its next step needs.
#[derive(Debug)]
struct Ride {
    run: Run,
    task: Option<FallbackTask>,
    woken: Woken,
    token: crate::domain::id::FencingToken,
}

/// What a step leads to.
enum Next {
    /// The next step is due.
    On(Box<Ride>),
    /// The run waits, has ended, or is no longer this worker's.
    Rests,
    /// Nothing may be begun at its target: the run goes back to the store as it is.
    Back,
}

impl From<Option<Box<Ride>>> for Next {
    fn from(held: Option<Box<Ride>>) -> Self {
        held.map_or(Self::Rests, Self::On)
    }
}

impl Engine {
    /// Drives one claimed run until it rests; `place` is given back at the end.
    ///
    /// A run that cannot go on is let go and is due again after a pause, later each time, here or at
    /// another worker, for as long as it is owed: this worker lives, so no lease would run out, and as the
    /// oldest that are due such runs would take the turns of all others at their target.
    pub(super) async fn drive(self: Arc<Self>, claimed: Claimed, writer: Writer, place: Place) {
        let (run, case, token) = (claimed.run.id, claimed.run.case, claimed.token);
        let ride = AssertUnwindSafe(self.ride(claimed, &writer, &place));
        let error = match ride.catch_unwind().await {
            Ok(Ok(())) => {
                self.stalled.goes_on(run);
                return;
            }
            Ok(Err(error)) => error,
            Err(_) => EngineError::Panicked,
        };
        metrics::run_failed();
        tracing::error!(
            %run, case = ?case,
            error = &error as &dyn std::error::Error,
            "a run cannot go on; it is tried again"
        );
        let until = self
            .stalled
            .until(run, error.is_passing(), self.clock.now());
        let let_go = async {
            loop {
                let held = (run, token);
                match self.store.put_back(place.worker(), held, until).await {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(
                        %run, error = &error as &dyn std::error::Error, "not let go yet"
                    ),
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            () = let_go => {}
            // All leases are given back then.
            () = place.drained() => {}
        }
    }

    async fn ride(
        &self,
        claimed: Claimed,
        writer: &Writer,
        place: &Place,
    ) -> Result<(), EngineError> {
        let workflow = self.workflow(&claimed.run.definition).await?;
        let woken = self.woken(&claimed, &workflow).await?;
        let mut ride = Ride {
            run: claimed.run,
            task: claimed.task,
            woken,
            token: claimed.token,
        };
        loop {
            let serving = self.serving();
            let given = self.given(&workflow, &serving, None);
            let known = ride.run.verdict;
            let (run, token) = (ride.run.id, ride.token);
            let next = match decide(ride.run, ride.task.clone(), ride.woken.clone(), &given)? {
                Decision::Settle(settlement) => {
                    let held = self
                        .commit(settlement, known, ride.task, ride.token, writer)
                        .await?;
                    held.into()
                }
                Decision::Perform { run, .. } if self.is_held_back(&run) => Next::Back,
                Decision::Perform { run, effect } => {
                    let under_way = Ride { run: *run, ..ride };
                    self.perform_and_settle(under_way, effect, &workflow, writer)
                        .await?
                }
            };
            match next {
                Next::On(next) if !place.is_draining() => ride = *next,
                Next::On(_) | Next::Rests => return Ok(()),
                Next::Back => {
                    tracing::debug!(%run, "held back: its target is paused");
                    self.store.release(place.worker(), &[(run, token)]).await?;
                    return Ok(());
                }
            }
        }
    }

    /// What the run must know of its children; asked of the store once in the life of a case that goes
    /// its way.
    async fn woken(&self, claimed: &Claimed, workflow: &Workflow) -> Result<Woken, EngineError> {
        let mut woken = Woken {
            open_children: claimed.open_children,
            ..Woken::default()
        };
        let run = &claimed.run;
        let (RunKind::Case, Some(case), 0) = (run.kind, run.case, claimed.open_children) else {
            return Ok(woken);
        };
        if run.halted {
            let story = self.store.case(case).await?;
            woken.done = story.map(|story| done(&story.runs, &story.journal, workflow));
        } else if matches!(run.stage, Stage::Gathering { .. }) {
            woken.parts = Some(self.store.parts_of(case).await?);
        }
        Ok(woken)
    }

    async fn perform_and_settle(
        &self,
        mut ride: Ride,
        effect: Effect,
        workflow: &Workflow,
        writer: &Writer,
    ) -> Result<Next, EngineError> {
        let known = ride.run.verdict;
        if let Some(held) = self.held(&ride.run, &effect).await? {
            let serving = self.serving();
            let given = self.given(workflow, &serving, None);
            let settlement = settle(ride.run, ride.task.clone(), held, &given)?;
            let held = self
                .commit(settlement.into(), known, ride.task, ride.token, writer)
                .await?;
            return Ok(held.into());
        }
        let (outcome, under) = match effect {
            Effect::Each {
                operation,
                items,
                side_by_side,
            } => {
                return self
                    .wave(ride, operation, items, side_by_side, workflow, writer)
                    .await;
            }
            effect => self.perform(&mut ride.run, &effect).await,
        };
        // Where an upstream is paused and not the target itself, the run goes its way without the cut.
        if matches!(&outcome, Outcome::Failed(failure) if was_paused(failure))
            && self.is_held_back(&ride.run)
        {
            return Ok(Next::Back);
        }
        let serving = self.serving();
        let given = self.given(workflow, &serving, under.as_ref());
        let settlement = settle(ride.run, ride.task.clone(), outcome, &given)?;
        let held = self
            .commit(settlement.into(), known, ride.task, ride.token, writer)
            .await?;
        Ok(held.into())
    }

    fn is_held_back(&self, run: &Run) -> bool {
        let connector = run.connector.as_ref();
        connector.is_some_and(|connector| self.holds_back(connector))
    }

    /// Performs independent items, side by side or one by one; whatever has come in is committed
    /// together, so a wave of quick answers costs one commit and a slow one loses nothing.
    async fn wave(
        &self,
        mut ride: Ride,
        operation: Operation,
        items: Vec<Entitlement>,
        side_by_side: bool,
        workflow: &Workflow,
        writer: &Writer,
    ) -> Result<Next, EngineError> {
        let mut paused = false;
        let at_once = if side_by_side { items.len() } else { 1 };
        let subject = ride.run.clone();
        let mut owed = items.iter();
        let mut under_way: FuturesUnordered<_> = owed
            .by_ref()
            .take(at_once)
            .map(|item| self.perform_item(&subject, operation, item))
            .collect();
        loop {
            let Some(first) = under_way.next().await else {
                return Ok(Next::Rests);
            };
            let mut answers = vec![first];
            while let Some(Some(answer)) = under_way.next().now_or_never() {
                answers.push(answer);
            }
            let all = answers.len();
            // What a pause kept from being sent is still owed.
            answers.retain(|((_, answer), _)| !answer.as_ref().is_err_and(was_paused));
            paused |= answers.len() < all;
            for (under, answers) in by_manifest(answers) {
                let serving = self.serving();
                let given = self.given(workflow, &serving, under.as_ref());
                let outcome = Outcome::Items(answers);
                let known = ride.run.verdict;
                let settlement = settle(ride.run, ride.task.clone(), outcome, &given)?;
                match self
                    .commit(settlement.into(), known, ride.task, ride.token, writer)
                    .await?
                {
                    Some(next) => ride = *next,
                    None => return Ok(Next::Rests),
                }
            }
            // One by one: the next begins when the last is durable.
            if under_way.is_empty() {
                match owed.next() {
                    _ if paused => return Ok(Next::Back),
                    Some(item) => under_way.push(self.perform_item(&subject, operation, item)),
                    None => return Ok(Next::On(Box::new(ride))),
                }
            }
        }
    }

    /// Commits; the ride goes on if the run is still held, that is, if its next step was due when the
    /// store committed.
    async fn commit(
        &self,
        mut settlement: Box<Settlement>,
        known: Option<Verdict>,
        task: Option<FallbackTask>,
        token: crate::domain::id::FencingToken,
        writer: &Writer,
    ) -> Result<Option<Box<Ride>>, EngineError> {
        self.warn(&mut settlement).await;
        let Some((committed, settlement)) = writer.settle(Fenced { token, settlement }).await?
        else {
            return Ok(None);
        };
        let Settlement {
            run, task: told, ..
        } = *settlement;
        tell::committed(&run, known, committed);
        if !is_held(&run, committed) {
            return Ok(None);
        }
        Ok(Some(Box::new(Ride {
            run,
            task: told.or(task),
            woken: Woken::default(),
            token,
        })))
    }

    /// One step for a caller who commits it: the simulation, which breaks in between the verbs.
    ///
    /// # Errors
    /// When the run does not fit its definition, or the store fails.
    pub async fn step(&self, claimed: &Claimed) -> Result<Fenced, EngineError> {
        let workflow = self.workflow(&claimed.run.definition).await?;
        let woken = self.woken(claimed, &workflow).await?;
        let serving = self.serving();
        let given = self.given(&workflow, &serving, None);
        let task = claimed.task.clone();
        let mut settlement = match decide(claimed.run.clone(), task.clone(), woken, &given)? {
            Decision::Settle(settlement) => settlement,
            Decision::Perform { run, effect } => {
                let mut run = *run;
                let held = self.held(&run, &effect).await?;
                let (outcome, under) = match (held, &effect) {
                    (Some(held), _) => (held, None),
                    (
                        None,
                        Effect::Each {
                            operation, items, ..
                        },
                    ) => {
                        let mut answers = Vec::new();
                        for item in items {
                            answers.push(self.perform_item(&run, *operation, item).await);
                        }
                        // Items of a later manifest are not settled here, and so still owed.
                        let first = by_manifest(answers).into_iter().next();
                        let (under, answers) = first.unwrap_or_default();
                        (Outcome::Items(answers), under)
                    }
                    (None, effect) => self.perform(&mut run, effect).await,
                };
                let given = self.given(&workflow, &serving, under.as_ref());
                settle(run, task, outcome, &given)?.into()
            }
        };
        self.warn(&mut settlement).await;
        Ok(Fenced {
            token: claimed.token,
            settlement,
        })
    }
}

/// The guard sent nothing, because an operator had paused.
fn was_paused(failure: &Failure) -> bool {
    failure.code == PAUSED
}

/// What a wave's items came to, apart for each manifest that they were let through under: nearly
/// always one, and two when another began to bind in the middle of the wave.
fn by_manifest(answers: Vec<Answer>) -> Vec<(Option<Under>, Vec<Item>)> {
    let mut groups: Vec<(Option<Under>, Vec<Item>)> = Vec::new();
    for (item, under) in answers {
        match groups.iter_mut().find(|(other, _)| *other == under) {
            Some((_, items)) => items.push(item),
            None => groups.push((under, vec![item])),
        }
    }
    groups
}

/// The store's rule, said once more on this side: a run whose next step is due stays leased.
fn is_held(run: &Run, committed: Timestamp) -> bool {
    run.stage.due().is_some_and(|due| due <= committed)
}

/// The subject of a removal, for the connectors' calls.
pub(super) fn removal(run: &Run) -> Option<&crate::domain::run::RemovalBody> {
    match &run.body {
        RunBody::Removal(body) => Some(body),
        RunBody::Case(_) | RunBody::Discovery(_) | RunBody::Rotation(_) | RunBody::Care(_) => None,
    }
}
