//! A departure that is known already: moved, told more of, put off or called off.
//!
//! Owns what a newer revision does to the cases of its departure. What has not begun is moved. What has
//! begun goes on, and looks anew where more is told than it knows; it stops when the departure is put
//! off or called off. What is doubtful stops nothing: it waits for a person beside what is under way.

use super::super::doubt::{Ruling, Voice, is_held};
use super::super::event::{LifecycleEvent, Urgency};
use super::super::id::ConnectorName;
use super::super::outcome::Failure;
use super::super::run::{CaseBody, Run, RunBody, Stage, priority};
use super::super::settlement::{
    Admission, AdmissionDecision, CaseRow, ExistingCase, JournalEntry, Settlement,
};
use super::super::step::{Given, Inconsistent};
use super::super::time::Timestamp;
use super::super::workflow::{End, OutcomeKey};
use super::news::News;
use super::rehired::goes_on;
use super::{Opening, person};

impl Opening<'_> {
    /// A changed departure. `others` are under way too.
    pub(super) fn changed(
        &self,
        case: &ExistingCase,
        others: &[&ExistingCase],
    ) -> Result<Admission, Inconsistent> {
        if !is_held_with_person(&case.run) && acted(case) {
            return self.changed_under_way(case, others);
        }
        let (decision, reason) = self.moved(case)?;
        let mut admission = self.admission(decision, reason);
        let put_off = matches!(&admission.decision,
            AdmissionDecision::Reschedule { case, .. } if case.effective > self.given.now);
        if put_off && reason == MOVED {
            admission.halts = ids(others);
        }
        Ok(admission)
    }

    fn changed_under_way(
        &self,
        case: &ExistingCase,
        others: &[&ExistingCase],
    ) -> Result<Admission, Inconsistent> {
        let (row, run) = self.fresh(None)?;
        let doubtful = matches!(&run.body, RunBody::Case(body) if body.for_person.is_some());
        let more = self.more(case);
        let later = row.effective > self.given.now;
        if doubtful && (later || more.is_some()) {
            let why =
                "what is told of a departure under way is doubtful: it goes on, and this is held";
            return Ok(self.admission(self.open(None)?, why));
        }
        if later {
            let (again, first) = self.opened(None)?;
            let decision = AdmissionDecision::PutOff {
                case: case.row.id,
                again: Box::new(again),
                first: Box::new(first),
            };
            let mut admission = self.admission(decision, "put off after access had been touched");
            admission.halts = ids(others);
            return Ok(admission);
        }
        let Some((row, run)) = more else {
            let decision = AdmissionDecision::Revise {
                case: case.row.id,
                revision: row.revision,
            };
            return Ok(self.admission(decision, "access is being removed already"));
        };
        let decision = AdmissionDecision::Reschedule {
            case: Box::new(row),
            run: Box::new(run),
        };
        let why = "more is told of a departure under way: it looks anew";
        Ok(self.admission(decision, why))
    }

    /// The case under way with what the event says and it did not know: a name, a target, haste. `None`
    /// where it knew all of it.
    fn more(&self, case: &ExistingCase) -> Option<(CaseRow, Run)> {
        let event = &self.recorded.event;
        let mut run = case.run.clone();
        let RunBody::Case(body) = &mut run.body else {
            return None;
        };
        if !add(body, event) {
            return None;
        }
        body.rounds = body.rounds.max(1);
        body.claim = None;
        body.occurred = self.recorded.told_at().max(body.occurred);
        let rank = priority(body.urgency, &body.subject).min(case.row.priority);
        match &mut run.stage {
            Stage::WithPerson { next_try, .. } => {
                body.ruling = Some(self.corrected());
                *next_try = Some(self.given.now);
            }
            Stage::Due { .. } | Stage::Gathering { .. } | Stage::Ended { .. } => {
                Self::begin_anew(&mut run, self.given.now);
            }
        }
        run.priority = rank;
        run.step += 1;
        let row = CaseRow {
            revision: event.revision,
            subject_name: event.subject.name().to_owned(),
            priority: rank,
            ..case.row.clone()
        };
        Some((row, run))
    }

    /// A case that has not begun, as the event tells it.
    fn moved(
        &self,
        case: &ExistingCase,
    ) -> Result<(AdmissionDecision, &'static str), Inconsistent> {
        let (row, mut run) = self.fresh(None)?;
        let held = is_held_with_person(&case.run);
        let case_row = CaseRow {
            id: case.row.id,
            opened: case.row.opened,
            workflow: case.row.workflow.clone(),
            ..row
        };
        run.id = case.run.id;
        run.case = case.run.case;
        run.step = case.run.step + 1;
        run.definition = case.run.definition.clone();
        run.task = case.run.task;
        run.stage = case.run.stage.clone();
        let doubted = matches!(&run.body, RunBody::Case(body) if body.for_person.is_some());
        if let (true, false, RunBody::Case(body), RunBody::Case(before)) =
            (held, doubted, &mut run.body, &case.run.body)
        {
            body.for_person.clone_from(&before.for_person);
            body.ruling = Some(self.corrected());
        }
        match &mut run.stage {
            Stage::WithPerson { next_try, .. } if !doubted => *next_try = Some(self.given.now),
            _ if doubted => Self::begin_anew(&mut run, self.given.now),
            _ => Self::begin_anew(&mut run, self.given.now.max(case_row.effective)),
        }
        let decision = AdmissionDecision::Reschedule {
            case: Box::new(case_row),
            run: Box::new(run),
        };
        let reason = if doubted {
            "moved, and held for a person"
        } else {
            MOVED
        };
        Ok((decision, reason))
    }

    /// Its next step begins where the definition that it began with does: which that is, it knows itself.
    fn begin_anew(run: &mut Run, due: Timestamp) {
        let (Stage::Due { state, .. }
        | Stage::Gathering { state }
        | Stage::WithPerson { state, .. }) = &run.stage
        else {
            return;
        };
        run.stage = Stage::Due {
            state: state.clone(),
            due,
        };
        run.attempts.clear();
        if let RunBody::Case(body) = &mut run.body {
            body.anew = true;
        }
    }

    fn corrected(&self) -> Ruling {
        let revision = self.recorded.event.revision;
        self.ruling(true, format!("corrected by revision {revision}"))
    }

    /// What this event says of one that is held.
    fn ruling(&self, release: bool, note: String) -> Ruling {
        Ruling {
            release,
            by: self.recorded.event.source.clone(),
            voice: Some(Voice::Event),
            note,
        }
    }

    /// A departure that was called off: ended if it had not begun, else stopped and reviewed.
    pub(super) fn cancelled(&self, news: &News<'_>) -> Result<Admission, Inconsistent> {
        let revision = self.recorded.event.revision;
        if news.knows(&self.recorded.event) {
            return Ok(self.ignored());
        }
        let (first, others) = match news.under_way.split_first() {
            Some((first, others)) => (Some(*first), others),
            None => (news.newest.filter(|case| !is_beside(case)), &[][..]),
        };
        let (decision, reason) = match first {
            // The departure may still be on its way, or be news again: remember the revision that
            // called it off.
            None
            | Some(ExistingCase {
                ended: Some(End::Rescinded),
                ..
            }) => match news.removed {
                // News of it was held and dropped meanwhile.
                Some(_) => (
                    self.open(Some(too_late(TOO_LATE_BEFORE)))?,
                    "called off too late",
                ),
                None => match self.beside()? {
                    Some(told) => (told, "called off, and another departure goes on"),
                    None => (self.called_off()?, "called off with nothing to stop"),
                },
            },
            Some(case) if case.halted => {
                let case = case.row.id;
                let decision = AdmissionDecision::Revise { case, revision };
                (decision, "called off once more")
            }
            Some(case) if case.ended.is_some() => {
                (self.open(Some(too_late(TOO_LATE)))?, "called off too late")
            }
            Some(case) => {
                let why = format!("called off by revision {revision}");
                let decision = self.stop(case, revision, &why);
                let reason = match &decision {
                    AdmissionDecision::Reschedule { .. } => "called off while it was held",
                    AdmissionDecision::Halt { .. } => "called off after access had been touched",
                    _ => "called off in time",
                };
                (decision, reason)
            }
        };
        let (decision, reason) = match (decision, news.removed) {
            (stop, Some(_)) if stops(&stop) => {
                let (case, first) = self.opened(Some(too_late(TOO_LATE_BEFORE)))?;
                let decision = AdmissionDecision::Stop {
                    case: Box::new(case),
                    first: Box::new(first),
                    stops: vec![stop],
                };
                (decision, "called off, and too late for an earlier case")
            }
            (decision, _) => (decision, reason),
        };
        let mut admission = self.admission(decision, reason);
        admission.halts = ids(others);
        Ok(admission)
    }

    /// Ends a departure that has not begun, and stops one that has before its next write. `revision` is
    /// the one in force from now on.
    pub(super) fn stop(&self, case: &ExistingCase, revision: u64, why: &str) -> AdmissionDecision {
        if is_held_with_person(&case.run) {
            return self.dropped(case, revision, why);
        }
        if acted(case) || case.run.task.is_some() {
            let case = case.row.id;
            return AdmissionDecision::Halt { case, revision };
        }
        let mut settlement = rescinded(case.run.clone(), self.given);
        if let RunBody::Case(body) = &mut settlement.run.body
            && is_held(body)
        {
            body.ruling = Some(self.ruling(false, why.to_owned()));
        }
        settlement.journal.push(JournalEntry {
            run: case.run.id,
            sequence: settlement.run.step,
            place: 0,
            at: self.given.now,
            state: case.run.stage.name().into(),
            item: None,
            outcome: OutcomeKey::Done,
            failure: None,
            detail: Some(serde_json::json!({
                "reason": why,
                "event": self.recorded.event.id,
                "source": self.recorded.event.source,
            })),
        });
        AdmissionDecision::Rescind {
            settlement: Box::new(settlement),
            revision,
        }
    }

    /// A held case ends with its next step, which closes its task.
    fn dropped(&self, case: &ExistingCase, revision: u64, why: &str) -> AdmissionDecision {
        let mut run = case.run.clone();
        if let RunBody::Case(body) = &mut run.body {
            body.ruling = Some(self.ruling(false, why.to_owned()));
        }
        if let Stage::WithPerson { next_try, .. } = &mut run.stage {
            *next_try = Some(self.given.now);
        }
        run.step += 1;
        let row = CaseRow {
            revision,
            ..case.row.clone()
        };
        AdmissionDecision::Reschedule {
            case: Box::new(row),
            run: Box::new(run),
        }
    }

    /// What is called off is not known, and another departure of the subject goes on: perhaps the one that was
    /// meant, under another case id or another source's. It goes on, and a person is told so.
    fn beside(&self) -> Result<Option<AdmissionDecision>, Inconsistent> {
        let own = self.departures().filter(|(case, _)| goes_on(case));
        let own = own.map(|(case, body)| {
            let (id, hr_case) = (case.row.id, &case.row.hr_case);
            format!("case {id} ({hr_case} of {})", body.source)
        });
        let others = self.of_other_records();
        let others = others.map(|(id, doubt)| format!("case {id} ({})", doubt.message));
        let told: Vec<_> = own.chain(others).collect();
        if told.is_empty() {
            return Ok(None);
        }
        let event = &self.recorded.event;
        let why = format!(
            "{} of {} is called off, of which nothing is known, and {} GOES ON TAKING ACCESS AWAY: if that is the \
             one which was meant, have its source call it off",
            event.hr_case,
            event.source,
            told.join(", ")
        );
        let (case, first) = self.loudly(person(BESIDE, &why))?;
        Ok(Some(AdmissionDecision::Open {
            case: Box::new(case),
            first: Box::new(first),
        }))
    }

    /// A case that was called off before it was heard of: recorded as ended.
    fn called_off(&self) -> Result<AdmissionDecision, Inconsistent> {
        let (row, run) = self.fresh(None)?;
        Ok(AdmissionDecision::Open {
            case: Box::new(row),
            first: Box::new(rescinded(run, self.given)),
        })
    }
}

/// The code of a cancellation beside which another departure goes on.
const BESIDE: &str = "CB-ADMIT-6";
const MOVED: &str = "moved";
const TOO_LATE: &str =
    "the departure was called off after its case had ended: review what was removed";
const TOO_LATE_BEFORE: &str =
    "the departure was called off after an earlier case of it had ended: review what was removed";

/// It told of a departure that nobody knows, and stopped none.
fn is_beside(case: &ExistingCase) -> bool {
    let RunBody::Case(body) = &case.run.body else {
        return false;
    };
    let failure = body.for_person.as_ref();
    failure.is_some_and(|failure| failure.code == BESIDE)
}

fn too_late(why: &str) -> Failure {
    person("CB-ADMIT-3", why)
}

fn stops(decision: &AdmissionDecision) -> bool {
    matches!(
        decision,
        AdmissionDecision::Halt { .. }
            | AdmissionDecision::Rescind { .. }
            | AdmissionDecision::Reschedule { .. }
    )
}

fn ids(cases: &[&ExistingCase]) -> Vec<super::CaseId> {
    cases.iter().map(|case| case.row.id).collect()
}

/// True once the case has begun to act. That its workflow file is another one by now changes nothing.
fn acted(case: &ExistingCase) -> bool {
    let RunBody::Case(body) = &case.run.body else {
        return true;
    };
    body.rounds > 0 || !matches!(case.run.stage, Stage::Due { .. })
}

/// It waits for an answer to a doubt, and nothing was done for it.
fn is_held_with_person(run: &Run) -> bool {
    matches!((&run.body, &run.stage), (RunBody::Case(body), Stage::WithPerson { .. }) if is_held(body))
}

/// Adds what the case did not know; false where it knew all of it.
fn add(case: &mut CaseBody, event: &LifecycleEvent) -> bool {
    let known = &mut case.subject;
    let names = event.subject.identifiers.iter();
    let names = names.filter(|name| !known.identifiers.contains(name));
    let names: Vec<_> = names.cloned().collect();
    let wider = is_wider(&event.connectors, &case.connectors);
    let sooner = event.urgency == Urgency::ForCause && case.urgency == Urgency::Planned;
    let graver = event.subject.privileged && !known.privileged;
    if names.is_empty() && !wider && !sooner && !graver {
        return false;
    }
    known.identifiers.extend(names);
    known.privileged |= graver;
    if event.subject.display_name.is_some() {
        known.display_name.clone_from(&event.subject.display_name);
    }
    if sooner {
        case.urgency = Urgency::ForCause;
    }
    if event.connectors.is_empty() {
        case.connectors.clear();
    } else if wider {
        let more = event.connectors.iter();
        let more = more.filter(|name| !case.connectors.contains(name));
        let more: Vec<_> = more.cloned().collect();
        case.connectors.extend(more);
    }
    true
}

/// No names mean every connector.
fn is_wider(told: &[ConnectorName], known: &[ConnectorName]) -> bool {
    !known.is_empty() && (told.is_empty() || told.iter().any(|name| !known.contains(name)))
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
