//! From an event to what happens: open, move, call off, stop, or leave be.
//!
//! Owns admission. Decided by subject, HR case and revision, never by order of arrival: late, early and
//! repeated events of one case come to the same end. An event that no machine can act on opens a
//! case for a person; none is dropped.

mod news;
mod silent;

use std::collections::BTreeMap;

use super::doubt::{Ruling, doubt, is_held};
use super::drill::Pass;
use super::event::{EventKind, LifecycleEvent, RecordedEvent};
use super::id::CaseId;
use super::outcome::{Failure, FailureClass};
use super::rotation::Trigger;
use super::run::{CaseBody, Run, RunBody, Stage, priority};
use super::settlement::{Admission, AdmissionDecision, CaseRow, ExistingCase, Settlement};
use super::step::{Decision, Given, Inconsistent, Woken, decide, rotation_run};
use super::time::Timestamp;
use super::verdict::CredentialRole;
use super::workflow::{Action, End, RunKind};

use news::News;
pub(super) use news::{newest, tells_of_departure};

/// Decides what one recorded event comes to, given the cases of the same subject or HR case, newest first.
/// `given.workflow` is the one that the event opens.
///
/// # Errors
/// When the workflow has no machine for cases: a definition that was never proved.
pub fn admit(
    recorded: &RecordedEvent,
    existing: &[ExistingCase],
    given: &Given<'_>,
) -> Result<Admission, Inconsistent> {
    let event = &recorded.event;
    let admission = |decision, reason: &str| Admission {
        event: event.key(),
        decision,
        reason: reason.to_owned(),
    };
    let opening = Opening {
        recorded,
        existing,
        given,
    };
    match event.kind {
        EventKind::WorkerTerminated | EventKind::NhiRetired | EventKind::TerminationChanged => {
            let news = News::of_departure(event, existing);
            match news.under_way {
                _ if news.knows(event) => Ok(admission(
                    AdmissionDecision::Ignore,
                    "an equal or newer revision is known",
                )),
                Some(case) => opening.changed(case, admission),
                // A halted one removes nothing any more, and one that made no sense never did: what is
                // on again is a departure of its own.
                None => Ok(admission(opening.open(None)?, "access is to be removed")),
            }
        }
        EventKind::NhiSilent => opening.silent(&News::of_silence(event, existing), admission),
        EventKind::TerminationCancelled => {
            let news = News::of_departure(event, existing);
            opening.cancelled(news.newest, admission)
        }
        EventKind::CredentialCompromised if !event.connectors.is_empty() => {
            let runs: Vec<_> = rotations(event, given);
            if runs.is_empty() {
                let why = "no manifest declares how the machine can replace this credential";
                return Ok(admission(
                    opening.open(Some(person("CB-ADMIT-4", why)))?,
                    why,
                ));
            }
            Ok(admission(
                AdmissionDecision::Rotate { runs },
                "the secrets are known to others",
            ))
        }
        EventKind::CredentialCompromised => Ok(admission(
            opening.open(Some(person(
                "CB-ADMIT-4",
                "a credential is known to others, and the event names no connector",
            )))?,
            "no connector named",
        )),
        EventKind::Rehired
        | EventKind::WorkerMoved
        | EventKind::IdentifierRecycled
        | EventKind::ApplicationRetired
        | EventKind::LegalHoldPlaced
        | EventKind::LegalHoldLifted => {
            let why = for_person(event.kind);
            Ok(admission(
                opening.open(Some(person("CB-ADMIT-2", why)))?,
                why,
            ))
        }
    }
}

/// True once the case has begun to act: its effective instant has passed.
fn acted(case: &ExistingCase, given: &Given<'_>) -> bool {
    let Stage::Due { state, .. } = &case.run.stage else {
        return true;
    };
    let state = given.workflow.state(RunKind::Case, state);
    !state.is_some_and(|state| state.action == Action::AwaitEffective)
}

/// It waits for an answer to a doubt, and nothing was done for it.
fn is_held_with_person(run: &Run) -> bool {
    matches!((&run.body, &run.stage), (RunBody::Case(body), Stage::WithPerson { .. }) if is_held(body))
}

fn rescinded(mut run: Run, given: &Given<'_>) -> Settlement {
    run.step += 1;
    let case_ended = run.case.map(|case| (case, End::Rescinded, given.now));
    run.stage = Stage::Ended {
        end: End::Rescinded,
        at: given.now,
    };
    Settlement {
        run,
        journal: Vec::new(),
        children: Vec::new(),
        task: None,
        rotations: Vec::new(),
        messages: Vec::new(),
        case_ended,
    }
}

fn rotations(event: &LifecycleEvent, given: &Given<'_>) -> Vec<Run> {
    let cause = event.key().to_string();
    let roles = [CredentialRole::Writer, CredentialRole::Verifier];
    event
        .connectors
        .iter()
        .flat_map(|connector| roles.map(|role| (connector, role)))
        .filter_map(|(connector, role)| {
            rotation_run(given, connector, role, Trigger::Compromised, &cause)
        })
        .collect()
}

fn person(code: &str, why: &str) -> Failure {
    Failure::new(FailureClass::Unsupported, code, why)
}

fn for_person(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Rehired => {
            "the subject is back: review what an earlier case removed or still owes"
        }
        EventKind::WorkerMoved => {
            "the subject changed role: decide which access the new role keeps"
        }
        EventKind::IdentifierRecycled => {
            "a name or address of the subject now belongs to somebody else: see that no account is \
             matched by it and that nothing of the former holder is left under it"
        }
        EventKind::ApplicationRetired => {
            "an application is retired: all access in it goes, which needs a person's approval"
        }
        EventKind::LegalHoldPlaced => {
            "a legal hold was placed: nothing of the subject may be destroyed until it is lifted"
        }
        EventKind::LegalHoldLifted => "a legal hold was lifted: decide what may be destroyed now",
        EventKind::WorkerTerminated
        | EventKind::TerminationChanged
        | EventKind::TerminationCancelled
        | EventKind::NhiRetired
        | EventKind::NhiSilent
        | EventKind::CredentialCompromised => "a person must decide",
    }
}

struct Opening<'a> {
    recorded: &'a RecordedEvent,
    existing: &'a [ExistingCase],
    given: &'a Given<'a>,
}

impl Opening<'_> {
    /// A changed departure: moved while it waits; stopped if it moved away after it began, and begun
    /// anew by a case of its own, which waits for the new date like any other.
    fn changed(
        &self,
        case: &ExistingCase,
        admission: impl Fn(AdmissionDecision, &str) -> Admission,
    ) -> Result<Admission, Inconsistent> {
        let (row, mut run) = self.fresh(None)?;
        let held = is_held_with_person(&case.run);
        if !held && acted(case, self.given) {
            if row.effective <= self.given.now {
                let decision = AdmissionDecision::Revise {
                    case: case.row.id,
                    revision: row.revision,
                };
                return Ok(admission(decision, "access is being removed already"));
            }
            let (again, first) = self.opened(None)?;
            let decision = AdmissionDecision::PutOff {
                case: case.row.id,
                again: Box::new(again),
                first: Box::new(first),
            };
            return Ok(admission(decision, "put off after access had been touched"));
        }
        let case_row = CaseRow {
            id: case.row.id,
            opened: case.row.opened,
            ..row
        };
        run.id = case.run.id;
        run.case = case.run.case;
        run.step = case.run.step + 1;
        run.definition = case.run.definition.clone();
        let doubted = matches!(&run.body, RunBody::Case(body) if body.for_person.is_some());
        run.task = case.run.task;
        if doubted {
            run.stage = Stage::Due {
                state: self.fallback(&run)?,
                due: self.given.now,
            };
            let decision = AdmissionDecision::Reschedule {
                case: Box::new(case_row),
                run: Box::new(run),
            };
            return Ok(admission(decision, "moved, and held for a person"));
        }
        if let (true, RunBody::Case(body), RunBody::Case(before)) =
            (held, &mut run.body, &case.run.body)
        {
            body.for_person.clone_from(&before.for_person);
            body.ruling = Some(Ruling {
                release: true,
                by: self.recorded.event.source.clone(),
                note: format!("corrected by revision {}", case_row.revision),
            });
        }
        // Still waiting: the start state of the definition that the case began with decides anew.
        run.stage = match &case.run.stage {
            Stage::Due { state, .. } => Stage::Due {
                state: state.clone(),
                due: self.given.now.max(case_row.effective),
            },
            Stage::WithPerson { state, tries, .. } => Stage::WithPerson {
                state: state.clone(),
                next_try: Some(self.given.now),
                tries: *tries,
            },
            other => other.clone(),
        };
        let decision = AdmissionDecision::Reschedule {
            case: Box::new(case_row),
            run: Box::new(run),
        };
        Ok(admission(decision, "moved"))
    }

    /// A departure that was called off: ended if it had not begun, else stopped and reviewed.
    fn cancelled(
        &self,
        newest: Option<&ExistingCase>,
        admission: impl Fn(AdmissionDecision, &str) -> Admission,
    ) -> Result<Admission, Inconsistent> {
        let revision = self.recorded.event.revision;
        let (decision, reason) = match newest {
            Some(case) if revision <= case.row.revision => (
                AdmissionDecision::Ignore,
                "an equal or newer revision is known",
            ),
            // The departure may still be on its way, or be news again: remember the revision that
            // called it off.
            None
            | Some(ExistingCase {
                ended: Some(End::Rescinded),
                ..
            }) => (self.called_off()?, "called off with nothing to stop"),
            Some(case) if case.halted => {
                let case = case.row.id;
                let decision = AdmissionDecision::Revise { case, revision };
                (decision, "called off once more")
            }
            Some(case) if case.ended.is_some() => {
                let why = "the departure was called off after its case had ended: review what was \
                    removed";
                let decision = self.open(Some(person("CB-ADMIT-3", why)))?;
                (decision, "called off too late")
            }
            Some(case) if acted(case, self.given) && !is_held_with_person(&case.run) => {
                let case = case.row.id;
                let decision = AdmissionDecision::Halt { case, revision };
                (decision, "called off after access had been touched")
            }
            Some(case) if is_held_with_person(&case.run) => {
                let decision = self.dropped(case);
                (decision, "called off while it was held")
            }
            Some(case) => {
                let settlement = Box::new(rescinded(case.run.clone(), self.given));
                let decision = AdmissionDecision::Rescind {
                    settlement,
                    revision,
                };
                (decision, "called off in time")
            }
        };
        Ok(admission(decision, reason))
    }

    fn open(&self, for_person: Option<Failure>) -> Result<AdmissionDecision, Inconsistent> {
        let (case, first) = self.opened(for_person)?;
        Ok(AdmissionDecision::Open {
            case: Box::new(case),
            first: Box::new(first),
        })
    }

    /// A new case; its run walks at once to where it first has to wait.
    fn opened(&self, for_person: Option<Failure>) -> Result<(CaseRow, Settlement), Inconsistent> {
        let (row, mut run) = self.fresh(for_person)?;
        let handed = matches!(&run.body, RunBody::Case(body) if body.for_person.is_some());
        if handed {
            run.stage = Stage::Due {
                state: self.fallback(&run)?,
                due: self.given.now,
            };
        }
        let said = self.said(&run);
        let mut first = match decide(run, None, Woken::default(), self.given)? {
            Decision::Settle(first) => *first,
            Decision::Perform { run, .. } => Settlement {
                run: *run,
                journal: Vec::new(),
                children: Vec::new(),
                task: None,
                rotations: Vec::new(),
                messages: Vec::new(),
                case_ended: None,
            },
        };
        if let Some(mut said) = said {
            said.sequence = first.run.step;
            said.place = u32::try_from(first.journal.len()).unwrap_or(u32::MAX);
            first.journal.push(said);
        }
        Ok((row, first))
    }

    /// A held case ends with its next step, which closes its task.
    fn dropped(&self, case: &ExistingCase) -> AdmissionDecision {
        let event = &self.recorded.event;
        let mut run = case.run.clone();
        if let RunBody::Case(body) = &mut run.body {
            body.ruling = Some(Ruling {
                release: false,
                by: event.source.clone(),
                note: format!("called off by revision {}", event.revision),
            });
        }
        if let Stage::WithPerson { next_try, .. } = &mut run.stage {
            *next_try = Some(self.given.now);
        }
        run.step += 1;
        let row = CaseRow {
            revision: event.revision,
            ..case.row.clone()
        };
        AdmissionDecision::Reschedule {
            case: Box::new(row),
            run: Box::new(run),
        }
    }

    /// A case that was called off before it was heard of: recorded as ended.
    fn called_off(&self) -> Result<AdmissionDecision, Inconsistent> {
        let (row, run) = self.fresh(None)?;
        Ok(AdmissionDecision::Open {
            case: Box::new(row),
            first: Box::new(rescinded(run, self.given)),
        })
    }

    fn fallback(&self, run: &Run) -> Result<super::id::StateName, Inconsistent> {
        let machine = self.given.workflow.machines.get(&RunKind::Case);
        machine
            .and_then(|machine| {
                let mut states = machine.states.iter();
                states.find(|(_, state)| matches!(state.action, Action::Fallback(_)))
            })
            .map(|(name, _)| name.clone())
            .ok_or_else(|| Inconsistent {
                run: run.id,
                message: "the case machine has no fallback state".to_owned(),
            })
    }

    fn fresh(&self, for_person: Option<Failure>) -> Result<(CaseRow, Run), Inconsistent> {
        let event = &self.recorded.event;
        let id = CaseId::of(event.key(), self.recorded.recorded);
        let workflow = self.given.workflow;
        let machine = workflow
            .machines
            .get(&RunKind::Case)
            .ok_or_else(|| Inconsistent {
                run: id.run(),
                message: "the workflow has no case machine".to_owned(),
            })?;
        let instant = event.effective.instant(self.recorded.recorded);
        let zone = instant.as_ref().err();
        let senseless = zone.map(|error| person("CB-ADMIT-1", &error.to_string()));
        let for_person = for_person.or(senseless).or_else(|| {
            let trust = &self.given.estate.trust;
            doubt(self.recorded, self.existing, trust, self.given.now)
        });
        let effective: Timestamp = instant.unwrap_or(self.given.now);
        let rank = priority(event.urgency, &event.subject);
        let row = CaseRow {
            id,
            subject_key: event.subject.key(),
            subject_name: event.subject.name().to_owned(),
            event: event.key(),
            hr_case: event.hr_case.clone(),
            revision: event.revision,
            workflow: workflow.name.to_string(),
            effective,
            opened: self.given.now,
            priority: rank,
        };
        let run = Run {
            id: id.run(),
            case: Some(id),
            parent: None,
            definition: workflow.digest.clone(),
            kind: RunKind::Case,
            connector: None,
            priority: rank,
            stage: Stage::Due {
                state: machine.start.clone(),
                due: self.given.now,
            },
            verdict: None,
            step: 0,
            halted: false,
            in_flight: false,
            attempts: BTreeMap::new(),
            task: None,
            body: RunBody::Case(CaseBody {
                subject: event.subject.clone(),
                event: event.key(),
                kind: Some(event.kind),
                source: event.source.clone(),
                recorded: self.recorded.recorded,
                effective: event.effective.clone(),
                urgency: event.urgency,
                connectors: event.connectors.clone(),
                traceparent: self.recorded.origin.traceparent.clone(),
                for_person,
                ruling: None,
                claim: None,
                put_off: None,
                on_word: false,
                drill: Pass::of(self.recorded),
            }),
        };
        Ok((row, run))
    }
}
