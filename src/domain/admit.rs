//! From an event to what happens: open, move, call off, stop, or leave be.
//!
//! Owns admission. Decided by subject, HR case and revision, never by order of arrival: late, early and
//! repeated events of one case come to the same end. An event that no machine can act on opens a
//! case for a person; none is dropped.

mod changed;
mod compromised;
mod news;
mod rehired;
mod silent;

use std::collections::BTreeMap;

use super::doubt::{again, doubt};
use super::drill::Pass;
use super::event::{EventKind, RecordedEvent};
use super::id::CaseId;
use super::outcome::{Failure, FailureClass};
use super::run::{CaseBody, Run, RunBody, Stage, priority};
use super::settlement::{Admission, AdmissionDecision, CaseRow, ExistingCase, Settlement};
use super::step::{Decision, Given, Inconsistent, Woken, decide};
use super::time::Timestamp;
use super::workflow::{Action, RunKind, State, Workflow};

use news::{News, Since};
pub(super) use news::{newest, tells_of_departure, was_wrong};

/// Why what its revision says is known is no old news.
const LEFT_AGAIN: &str = "the subject was back since this revision was told first";

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
    let opening = Opening {
        recorded,
        existing,
        given,
    };
    match event.kind {
        EventKind::WorkerTerminated | EventKind::NhiRetired | EventKind::TerminationChanged => {
            let news = News::of_departure(event, existing);
            match news.under_way.split_first() {
                _ if news.knows(event) => match news.since_back(recorded) {
                    Since::Nothing => Ok(opening.ignored()),
                    Since::Left => Ok(opening.admission(opening.open(None)?, LEFT_AGAIN)),
                    Since::Unclear(back) => {
                        let doubt = again(event, back);
                        Ok(opening.admission(opening.open(Some(doubt))?, LEFT_AGAIN))
                    }
                },
                Some((case, others)) => opening.changed(case, others),
                // A halted one removes nothing any more, and one that made no sense never did: what is
                // on again is a departure of its own.
                None => Ok(opening.admission(opening.open(None)?, "access is to be removed")),
            }
        }
        EventKind::NhiSilent => opening.silent(&News::of_silence(event, existing)),
        EventKind::TerminationCancelled => opening.cancelled(&News::of_departure(event, existing)),
        EventKind::CredentialCompromised => opening.compromised(),
        EventKind::Rehired => opening.rehired(),
        EventKind::WorkerMoved
        | EventKind::IdentifierRecycled
        | EventKind::ApplicationRetired
        | EventKind::LegalHoldPlaced
        | EventKind::LegalHoldLifted => {
            let why = for_person(event.kind);
            let decision = opening.open(Some(person("CB-ADMIT-2", why)))?;
            Ok(opening.admission(decision, why))
        }
    }
}

/// True for a case that began before its rounds were counted: by its own definition, it is past its wait.
/// Where that is not at hand, its instant tells.
pub fn has_begun_uncounted(
    case: &ExistingCase,
    definition: Option<&Workflow>,
    now: Timestamp,
) -> bool {
    let (RunBody::Case(body), Stage::Due { state, .. }) = (&case.run.body, &case.run.stage) else {
        return false;
    };
    if body.rounds > 0 || body.anew {
        return false;
    }
    let machine = definition.and_then(|workflow| workflow.machines.get(&RunKind::Case));
    let Some(machine) = machine else {
        return case.row.effective <= now;
    };
    let waits = |state: &State| state.action == Action::AwaitEffective;
    *state != machine.start && !machine.states.get(state).is_some_and(waits)
}

fn person(code: &str, why: &str) -> Failure {
    Failure::new(FailureClass::Unsupported, code, why)
}

fn for_person(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Rehired => "the subject is back: review what an earlier case removed",
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
    fn admission(&self, decision: AdmissionDecision, reason: &str) -> Admission {
        Admission {
            event: self.recorded.event.key(),
            decision,
            reason: reason.to_owned(),
            halts: Vec::new(),
        }
    }

    fn ignored(&self) -> Admission {
        let known = "an equal or newer revision is known";
        self.admission(AdmissionDecision::Ignore, known)
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
        let (row, run) = self.fresh(for_person)?;
        self.begun(row, run)
    }

    fn begun(&self, row: CaseRow, mut run: Run) -> Result<(CaseRow, Settlement), Inconsistent> {
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
        let machine = workflow.machines.get(&RunKind::Case);
        let machine = machine.ok_or_else(|| Inconsistent {
            run: id.run(),
            message: "the workflow has no case machine".to_owned(),
        })?;
        let instant = event.effective.instant(self.recorded.recorded);
        let zone = instant.as_ref().err().map(ToString::to_string);
        let senseless = zone.map(|zone| person("CB-ADMIT-1", &zone));
        let for_person = for_person.or(senseless).or_else(|| {
            let given = self.given;
            doubt(self.recorded, self.existing, &given.estate.trust, given.now)
        });
        let rank = priority(event.urgency, &event.subject);
        let row = CaseRow {
            id,
            subject_key: event.subject.key(),
            subject_name: event.subject.name().to_owned(),
            event: event.key(),
            hr_case: event.hr_case.clone(),
            revision: event.revision,
            workflow: workflow.name.to_string(),
            effective: instant.unwrap_or(self.given.now),
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
                occurred: self.recorded.told_at(),
                effective: event.effective.clone(),
                urgency: event.urgency,
                connectors: event.connectors.clone(),
                traceparent: self.recorded.origin.traceparent.clone(),
                for_person,
                ruling: None,
                claim: None,
                rounds: 0,
                anew: false,
                put_off: None,
                back: None,
                on_word: false,
                drill: Pass::of(self.recorded),
            }),
        };
        Ok((row, run))
    }
}
