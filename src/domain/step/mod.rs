//! One step of a run: `decide` what to do, `settle` what came of it. Pure.
//!
//! Owns what a step is given and what it may answer. States that only wait, spawn, open a task or
//! end are walked through at once, so a durable step is always worth its commit. Nothing here
//! grants: an effect reads, takes away, or replaces Clawback's own secret.

mod decide;
mod enter;
mod evidence;
mod fallback;
mod settle;
mod spawn;
mod upstream;

pub use decide::{Decision, Effect, Parts, Woken, decide};
pub use settle::settle;
pub use spawn::rotation_run;

use super::access::Operation;
use super::approval::Under;
use super::estate::{ConnectorFacts, Estate};
use super::id::{ConnectorName, EntitlementId, RunId, StateName};
use super::outcome::{Failure, FailureClass};
use super::run::{Run, RunBody, Stage};
use super::settlement::{JournalEntry, Settlement};
use super::status;
use super::task::{CloseClaim, FallbackTask};
use super::time::Timestamp;
use super::workflow::{Action, End, OutcomeKey, RunKind, State, Workflow};

/// What a step is decided with. Time and chance come in here.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// The exact definition that the run started with.
    pub workflow: &'a Workflow,
    /// What the connectors declare.
    pub estate: &'a Estate,
    /// Now.
    pub now: Timestamp,
    /// From 0 up to but not including 1; spreads retries.
    pub fraction: f64,
    /// Where status events go; `None` writes none.
    pub status_topic: Option<&'a str>,
    /// Under what the effect that is settled was let through; `None` where nobody governs.
    pub under: Option<&'a Under>,
}

/// The run and its definition do not fit each other: a bug or a damaged row. The run stays as it
/// is, owed and visible; the engine raises the alarm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("CB-ENGINE-1: run {run} cannot go on: {message}")]
pub struct Inconsistent {
    /// Which run.
    pub run: RunId,
    /// What does not fit.
    pub message: String,
}

/// A step under way: the run as it is becoming, and what else will be written with it.
struct Step<'a> {
    given: &'a Given<'a>,
    out: Settlement,
    task: Option<FallbackTask>,
    /// What a halted case's runs did, when they have stopped.
    done: Option<Vec<String>>,
    /// Where the discoveries of a case, which have just ended, had nothing to remove.
    empty: Option<Vec<(ConnectorName, Timestamp)>>,
}

impl<'a> Step<'a> {
    fn new(run: Run, task: Option<FallbackTask>, given: &'a Given<'a>) -> Self {
        let mut step = Self {
            given,
            out: Settlement {
                run,
                journal: Vec::new(),
                children: Vec::new(),
                task: None,
                rotations: Vec::new(),
                messages: Vec::new(),
                case_ended: None,
            },
            task,
            done: None,
            empty: None,
        };
        step.out.run.step += 1;
        step
    }

    fn run(&self) -> &Run {
        &self.out.run
    }

    fn run_mut(&mut self) -> &mut Run {
        &mut self.out.run
    }

    fn state(&self, name: &StateName) -> Result<&'a State, Inconsistent> {
        let run = &self.out.run;
        self.given
            .workflow
            .state(run.kind, name)
            .ok_or_else(|| self.broken(format!("no state `{name}` in {}", run.kind.as_str())))
    }

    /// The one fallback state of the run's machine.
    fn fallback_state(&self) -> Result<StateName, Inconsistent> {
        self.state_that(|action| matches!(action, Action::Fallback(_)))
            .ok_or_else(|| self.broken("its machine has no fallback state".to_owned()))
    }

    /// The first state of the run's machine with such an action.
    fn state_that(&self, is: fn(&Action) -> bool) -> Option<StateName> {
        let machine = self.given.workflow.machines.get(&self.out.run.kind)?;
        let mut states = machine.states.iter();
        states
            .find(|(_, state)| is(&state.action))
            .map(|(name, _)| name.clone())
    }

    fn broken(&self, message: String) -> Inconsistent {
        Inconsistent {
            run: self.out.run.id,
            message,
        }
    }

    fn facts(&self) -> Option<&'a ConnectorFacts> {
        let connector = self.out.run.connector.as_ref()?;
        let estate = self.given.estate;
        let retired = || match self.out.run.kind {
            RunKind::Rotation => estate.retired.get(connector),
            RunKind::Case | RunKind::Discovery | RunKind::Removal | RunKind::Care => None,
        };
        estate.connectors.get(connector).or_else(retired)
    }

    /// Writes one line into the journal.
    fn note(
        &mut self,
        state: &StateName,
        item: Option<EntitlementId>,
        outcome: OutcomeKey,
        failure: Option<Failure>,
        detail: Option<serde_json::Value>,
    ) {
        let entry = JournalEntry {
            run: self.out.run.id,
            sequence: self.out.run.step,
            place: self.out.journal.len() as u32,
            at: self.given.now,
            state: state.clone(),
            item,
            outcome,
            failure,
            detail,
        };
        self.out.journal.push(entry);
    }

    /// What is noted of an effect, with the manifest under which it was let through.
    fn under(&self, detail: Option<serde_json::Value>) -> Option<serde_json::Value> {
        let Some(under) = self.given.under else {
            return detail;
        };
        let mut detail = detail.unwrap_or_else(|| serde_json::json!({}));
        if let Some(facts) = detail.as_object_mut() {
            facts.insert("manifest".to_owned(), under.digest.as_str().into());
            if let Some(by) = &under.narrowed_by {
                facts.insert("narrowed_by".to_owned(), by.as_str().into());
            }
        }
        Some(detail)
    }

    fn end(&mut self, end: End) {
        let at = self.given.now;
        let end = match end {
            // However a halted run is closed: what it was opened for did not happen as meant.
            _ if self.out.run.halted => End::Halted,
            // A whole is known no better than its parts.
            End::Verified if self.on_word() => End::Attested,
            end => end,
        };
        self.out.run.stage = Stage::Ended { end, at };
        self.close_task(end);
        if let (RunBody::Case(_), Some(case)) = (&self.out.run.body, self.out.run.case) {
            self.out.case_ended = Some((case, end, at));
        }
        self.tell_end(end);
    }

    /// A part of the case ended on a person's word.
    fn on_word(&self) -> bool {
        matches!(&self.out.run.body, RunBody::Case(body) if body.on_word)
    }

    /// Where the run's news goes. A drill's goes nowhere: whoever acts on such news must not act on it.
    fn topic(&self) -> Option<&'a str> {
        self.given
            .status_topic
            .filter(|_| self.out.run.drill().is_none())
    }

    fn tell_end(&mut self, end: End) {
        if let Some(topic) = self.topic() {
            let message = status::ended(&self.out.run, end, topic, self.given.now);
            self.out.messages.push(message);
        }
    }

    fn tell_task(&mut self) {
        if let (Some(topic), Some(task)) = (self.topic(), &self.out.task) {
            let message = status::task(&self.out.run, task, topic, self.given.now);
            self.out.messages.push(message);
        }
    }

    fn finish(mut self) -> Settlement {
        self.tell_task();
        self.out
    }
}

/// The failure of an operation that the connector does not offer.
fn unsupported(operation: Operation) -> Failure {
    Failure::new(
        FailureClass::Unsupported,
        "CB-ENGINE-2",
        format!(
            "the connector's manifest offers no `{}`",
            operation.as_str()
        ),
    )
}

/// The claim that a person has made on this run's task, if one is being checked.
pub(in crate::domain) fn claim(body: &RunBody) -> Option<&CloseClaim> {
    match body {
        RunBody::Case(body) => body.claim.as_ref(),
        RunBody::Discovery(body) => body.claim.as_ref(),
        RunBody::Removal(body) => body.claim.as_ref(),
        RunBody::Rotation(body) => body.claim.as_ref(),
        RunBody::Care(body) => body.claim.as_ref(),
    }
}

/// Puts a claim on the run, or takes it off.
pub(in crate::domain) fn set_claim(body: &mut RunBody, claim: Option<CloseClaim>) {
    match body {
        RunBody::Case(body) => body.claim = claim,
        RunBody::Discovery(body) => body.claim = claim,
        RunBody::Removal(body) => body.claim = claim,
        RunBody::Rotation(body) => body.claim = claim,
        RunBody::Care(body) => body.claim = claim,
    }
}

fn set_failure(body: &mut RunBody, failure: Option<Failure>) {
    match body {
        RunBody::Case(body) => {
            if failure.is_some() {
                body.for_person = failure;
            }
        }
        RunBody::Discovery(body) => body.last_failure = failure,
        RunBody::Removal(body) => body.last_failure = failure,
        RunBody::Rotation(body) => body.last_failure = failure,
        // What is wrong with a connector is said by its standing.
        RunBody::Care(_) => {}
    }
}
