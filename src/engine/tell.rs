//! What the engine tells of its work: metrics, and a span for each attempt in the story of its case.
//!
//! Owns the translation from runs and outcomes to names and numbers. Called after the commit for
//! whatever a commit decides, so that nothing is counted that did not happen. Decides nothing, fails
//! nothing, and names no person: ids, states, connectors and classes only.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::drill::Pass;
use crate::domain::expiry;
use crate::domain::health::{Advance, Standing, State, seconds_between};
use crate::domain::id::{CaseId, ConnectorName};
use crate::domain::pause::Pause;
use crate::domain::run::{Run, RunBody, Stage};
use crate::domain::settlement::{Admission, AdmissionDecision, Outcome};
use crate::domain::step::Effect;
use crate::domain::task::FallbackTask;
use crate::domain::time::Timestamp;
use crate::domain::verdict::Verdict;
use crate::domain::workflow::{End, RunKind};
use crate::secrets::Ages;
use crate::store::Counts;
use crate::telemetry::{SpanHandle, Stopwatch, StoryId, metrics, story};

/// One attempt under way.
pub(super) struct Attempt {
    span: SpanHandle,
    watch: Stopwatch,
    action: &'static str,
    connector: String,
    /// What a drill makes fail is no figure of the connector's.
    made_up: bool,
}

impl Attempt {
    /// `action` is about to be performed for `run`.
    pub(super) fn begin(run: &Run, action: &'static str) -> Self {
        let connector = run.connector.as_ref().map(ToString::to_string);
        let state = run.stage.name();
        let before = match &run.stage {
            Stage::Due { state, .. } => run.attempts.get(state).copied().unwrap_or(0),
            Stage::Gathering { .. } | Stage::WithPerson { .. } | Stage::Ended { .. } => 0,
        };
        let mut span = story::step(
            story_of(run),
            &run.id,
            state,
            connector.as_deref(),
            before + 1,
        );
        span.note("clawback.action", action);
        span.note("clawback.run.kind", run.kind.as_str());
        Self {
            span,
            watch: Stopwatch::start(),
            action,
            connector: connector.unwrap_or_default(),
            made_up: run.drill() == Some(Pass::Failing),
        }
    }

    /// It came to this; `failed` names the class where it did not work.
    pub(super) fn end(mut self, came_to: &'static str, failed: Option<&'static str>) {
        match failed {
            Some(class) => self.span.fail(class),
            None => self.span.note("clawback.outcome", came_to),
        }
        let seconds = self.watch.seconds();
        let outcome = failed.unwrap_or(came_to);
        if !self.made_up {
            metrics::step(&self.connector, self.action, outcome, seconds);
        }
    }
}

/// A run without a case, a rotation, is a story of its own.
fn story_of(run: &Run) -> StoryId {
    StoryId(run.case.map_or(run.id.0, |case| case.0))
}

/// What an effect is called.
pub(super) fn action(effect: &Effect) -> &'static str {
    match effect {
        Effect::Find { .. } => "find",
        Effect::Inspect => "inspect",
        Effect::Act { operation } | Effect::Each { operation, .. } => operation.as_str(),
        Effect::Observe => "observe",
        Effect::CutUpstream => "cut_upstream",
        Effect::Probe { .. } => "probe",
        Effect::Rotate { .. } => "rotate",
    }
}

/// What an outcome is called, and its class where it failed.
pub(super) fn outcome(outcome: &Outcome) -> (&'static str, Option<&'static str>) {
    match outcome {
        Outcome::Done => ("done", None),
        Outcome::Absent => ("absent", None),
        Outcome::Accounts(_) => ("listed", None),
        Outcome::Account(_) => ("read", None),
        Outcome::Items(_) => ("answered", None),
        Outcome::Observed(_) => ("observed", None),
        Outcome::Cut { .. } => ("cut", None),
        Outcome::Probed(_) => ("probed", None),
        Outcome::Rotated(_) => ("rotated", None),
        Outcome::Failed(failure) => ("failed", Some(failure.class.as_str())),
        Outcome::Held(failure) | Outcome::Forbidden { failure, .. } => {
            ("held", Some(failure.class.as_str()))
        }
    }
}

/// A settlement of `run` was committed at `at`; before it the removal was known so far.
pub(super) fn committed(run: &Run, before: Option<Verdict>, at: Timestamp) {
    let ended = match run.stage {
        Stage::Ended { end, .. } => Some(end),
        Stage::Due { .. } | Stage::Gathering { .. } | Stage::WithPerson { .. } => None,
    };
    let connector = run.connector.as_ref().map_or("", |name| name.as_str());
    match (&run.body, ended) {
        (RunBody::Removal(body), ended) => {
            let since = |from: Timestamp| at.duration_since(from).as_secs_f64().max(0.0);
            if before < Some(Verdict::Accepted) && run.verdict >= Some(Verdict::Accepted) {
                metrics::contained(connector, since(body.owed_since));
            }
            if let Some(end) = ended {
                metrics::removal_ended(connector, end.as_str());
            }
            if ended == Some(End::Verified) {
                metrics::proved(connector, since(body.owed_since));
                if let Some(write) = body.last_write {
                    metrics::verify_lag(connector, since(write));
                }
            }
        }
        (RunBody::Rotation(body), Some(end)) => {
            metrics::rotation_ended(connector, body.role.as_str(), end.as_str());
        }
        (RunBody::Case(body), Some(end)) => {
            metrics::case_ended(end.as_str());
            let traceparent = body.traceparent.as_deref();
            story::finish(story_of(run), body.recorded, at, end.as_str(), traceparent);
        }
        (RunBody::Case(_) | RunBody::Discovery(_) | RunBody::Rotation(_) | RunBody::Care(_), _) => {
        }
    }
}

/// What one transaction of admission did, to be told once it is committed. The store may call the
/// deciding closure again for the same event; the last word counts.
#[derive(Debug, Default)]
pub(super) struct Admissions(Mutex<BTreeMap<CaseId, Opened>>);

#[derive(Debug)]
struct Opened {
    workflow: Option<String>,
    run: Run,
}

impl Admissions {
    /// Remembers a decision.
    pub(super) fn note(&self, admission: &Admission) {
        self.remember(&admission.decision);
    }

    fn remember(&self, decision: &AdmissionDecision) {
        let (workflow, run) = match decision {
            AdmissionDecision::Open { case, first }
            | AdmissionDecision::PutOff {
                again: case, first, ..
            } => (Some(case.workflow.clone()), &first.run),
            AdmissionDecision::Stop { case, first, stops } => {
                for stop in stops {
                    self.remember(stop);
                }
                (Some(case.workflow.clone()), &first.run)
            }
            AdmissionDecision::Rescind { settlement, .. } => (None, &settlement.run),
            AdmissionDecision::Reschedule { .. }
            | AdmissionDecision::Halt { .. }
            | AdmissionDecision::Revise { .. }
            | AdmissionDecision::Rotate { .. }
            | AdmissionDecision::Ignore => return,
        };
        if let (RunKind::Case, Some(case)) = (run.kind, run.case) {
            let run = run.clone();
            let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            noted.insert(case, Opened { workflow, run });
        }
    }

    /// Tells what was remembered.
    pub(super) fn tell(self, at: Timestamp) {
        let noted = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        for Opened { workflow, run } in noted.into_values() {
            let RunBody::Case(body) = &run.body else {
                continue;
            };
            if let Some(workflow) = workflow {
                metrics::case_opened(&workflow);
                story::opened(story_of(&run), &workflow, body.traceparent.as_deref());
            }
            committed(&run, None, at);
        }
    }
}

/// How a connector stands, whoever surveyed it.
pub(super) fn health(connector: &ConnectorName, standing: &Standing, state: State, now: Timestamp) {
    let name = connector.as_str();
    for other in State::ALL {
        metrics::connector_state(name, other.as_str(), other == state);
    }
    let age = |at: Option<Timestamp>| at.map(|at| seconds_between(at, now));
    metrics::connector_ages(
        name,
        age(standing.surveyed),
        age(standing.read),
        age(standing.write),
    );
    if let Some(accounts) = standing.accounts {
        metrics::connector_accounts(name, accounts);
    }
    if let Some(nhis) = standing.nhis {
        metrics::connector_nhis(name, nhis, standing.silent());
    }
}

/// A survey was committed.
pub(super) fn surveyed(connector: &ConnectorName, before: &Standing, kept: &Advance) {
    let sample = &kept.sample;
    let failure = sample.failure.as_ref();
    let class = failure.map_or("ok", |(class, _)| class.as_str());
    if sample.state == before.state {
        tracing::debug!(%connector, state = %sample.state, class, "surveyed");
    } else if sample.state.is_away() {
        let (was, reason) = (before.state, sample.reason.as_str());
        tracing::warn!(%connector, %was, state = %sample.state, reason, "a connector is not well");
    } else {
        tracing::info!(%connector, was = %before.state, state = %sample.state, "a connector is well");
    }
    if sample.seen_again > 0 {
        let (count, came_back) = (sample.seen_again, sample.came_back);
        tracing::info!(%connector, count, came_back, "settled removals were seen again");
    }
}

/// A survey came to its end when its lease had moved on.
pub(super) fn not_kept(connector: &ConnectorName, seconds: u64) {
    tracing::warn!(
        %connector, seconds,
        "what a survey came to is not kept: it took too long, and another worker surveys"
    );
}

/// How old the connectors' secrets are, and of which of them the vault does not tell.
pub(super) fn secrets(ages: &Ages, now: Timestamp) {
    metrics::secrets(ages.known.iter().map(|secret| metrics::SecretTime {
        connector: secret.connector.as_str(),
        role: secret.role.as_str(),
        age: u64::try_from(now.duration_since(secret.created).as_secs()).unwrap_or(0),
        left: expiry::seconds_left(secret, now),
        overdue: expiry::seconds_overdue(secret, now),
    }));
    let unreadable = ages.unreadable.iter();
    metrics::unreadable_secrets(unreadable.map(|one| (one.connector.as_str(), one.role.as_str())));
    for one in &ages.unreadable {
        tracing::warn!(
            connector = %one.connector, role = one.role.as_str(), code = one.failure.code,
            why = one.failure.message, "the age of a secret is not known"
        );
    }
}

/// A task is overdue and somebody was told.
pub(super) fn escalated(task: &FallbackTask) {
    let connector = task.connector.as_ref().map_or("", |name| name.as_str());
    let to = task.escalation.to.as_ref();
    let role = to.map_or("", |rung| rung.role.as_str());
    metrics::task_escalated(connector, role);
    tracing::warn!(
        task = %task.id, connector, to = role, times = task.escalation.times,
        deadline = %task.deadline, "a task is overdue"
    );
}

/// A pause lasts, and somebody was told.
pub(super) fn reminded(pause: &Pause) {
    let connector = pause.connector.as_ref().map_or("all", |name| name.as_str());
    let told = &pause.escalation;
    let role = told.to.as_ref().map_or("", |rung| rung.role.as_str());
    metrics::pause_escalated(connector, role);
    tracing::warn!(
        connector, to = role, times = told.times, since = %pause.paused.at,
        "nobody has ended a pause"
    );
}

/// What waits in the store.
pub(super) fn figures(counts: &Counts) {
    let oldest = counts.oldest_task_seconds;
    metrics::tasks(counts.tasks_open, counts.tasks_overdue, oldest);
    metrics::waiting(counts.oldest_event_seconds, counts.outbox_waiting);
    metrics::letters(counts.letters_waiting);
}
