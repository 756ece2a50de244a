//! Admission without a database: the cases that a batch of events is about, as the events change
//! them one after the other.
//!
//! Owns the order of decisions: each event of a batch sees what the earlier ones did. Opened cases
//! are then written all at once, the rarer decisions one by one after them.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::domain::doubt::names;
use crate::domain::event::RecordedEvent;
use crate::domain::id::CaseId;
use crate::domain::legal::LegalMatter;
use crate::domain::review::reviews;
use crate::domain::run::{Run, RunBody};
use crate::domain::settlement::{AdmissionDecision, CaseRow, ExistingCase, Settlement};

use super::AdmitFn;

/// The cases known so far, with the tenant of each.
#[derive(Debug, Default)]
pub(super) struct Docket {
    cases: Vec<(String, ExistingCase)>,
    /// The identifiers of their subjects.
    names: HashMap<CaseId, BTreeSet<String>>,
}

/// A case to open.
#[derive(Debug)]
pub(super) struct Opened {
    pub tenant: String,
    pub case: Box<CaseRow>,
    pub first: Box<Settlement>,
}

/// A decision about what exists already, or about no case.
#[derive(Debug)]
pub(super) enum Change {
    /// The case's row and run as they should stand.
    Reschedule(Box<CaseRow>, Box<Run>),
    /// The case run's end, and the revision in force.
    Rescind(Box<Settlement>, CaseId, u64),
    /// No run of it writes again; the revision in force.
    Halt(CaseId, u64),
    /// The run of a halted case as it should stand, which tells something else from now on.
    Review(Box<Run>),
    /// The revision in force.
    Revise(CaseId, u64),
    /// Rotations to begin.
    Rotate(Vec<Run>),
    /// The key of a subject that came under a legal hold, or out of one: what the machine may do and what
    /// its tasks must say is another by now, so what a person has of theirs is tried at once.
    LookAgain(String),
}

/// What became of one event.
#[derive(Debug)]
pub(super) struct Ruling {
    pub seq: i64,
    pub decision: &'static str,
    pub reason: String,
}

/// All decisions of one batch.
#[derive(Debug, Default)]
pub(super) struct Rulings {
    pub opened: Vec<Opened>,
    pub changes: Vec<Change>,
    pub rulings: Vec<Ruling>,
    /// Cases of which every lease ends, even those begun in this batch.
    pub overruled: HashSet<CaseId>,
    /// Cases of which the own run is told something else, and whose children go on.
    pub rescheduled: HashSet<CaseId>,
}

impl Rulings {
    /// True where a run that was begun in this batch is still this worker's.
    pub(super) fn keeps(&self, run: &Run) -> bool {
        run.case.is_none_or(|case| {
            let own = matches!(run.body, RunBody::Case(_));
            let told_else = own && self.rescheduled.contains(&case);
            !told_else && !self.overruled.contains(&case)
        })
    }
}

impl Docket {
    pub(super) fn new(mut cases: Vec<(String, ExistingCase)>) -> Self {
        cases.sort_by_key(|(_, case)| (case.row.opened, case.row.id));
        let names = cases
            .iter()
            .map(|(_, case)| (case.row.id, names_of(&case.run)));
        let names = names.collect();
        Self { cases, names }
    }

    /// Decides the events in this order.
    pub(super) fn decide(
        mut self,
        events: Vec<(i64, RecordedEvent)>,
        decide: AdmitFn<'_>,
    ) -> Rulings {
        let mut rulings = Rulings::default();
        for (seq, event) in events {
            let about = self.about(&event);
            let admission = decide(&event, &about);
            let decision = name(&admission.decision);
            let reviews = reviews(&admission, &about);
            rulings.rulings.push(Ruling {
                seq,
                decision,
                reason: admission.reason,
            });
            self.note(&event, admission.decision, &mut rulings);
            let matter = LegalMatter::of(&event.event);
            let again = matter.map(|matter| Change::LookAgain(matter.subject));
            rulings.changes.extend(again);
            for case in admission.halts {
                self.halt(case, event.event.revision, &mut rulings);
            }
            for run in reviews {
                self.review(run, &mut rulings);
            }
        }
        rulings
    }

    /// Cases of the same HR case or subject, or of one that shares an identifier, newest first.
    fn about(&self, event: &RecordedEvent) -> Vec<ExistingCase> {
        let subject = &event.event.subject;
        let key = subject.key();
        let names = names(subject);
        let shares = |id: &CaseId| {
            let known = self.names.get(id);
            known.is_some_and(|known| !known.is_disjoint(&names))
        };
        self.cases
            .iter()
            .rev()
            .filter(|(tenant, case)| {
                case.row.subject_key == key
                    || shares(&case.row.id)
                    || (*tenant == subject.tenant && case.row.hr_case == event.event.hr_case)
            })
            .map(|(_, case)| case.clone())
            .collect()
    }

    fn note(&mut self, event: &RecordedEvent, decision: AdmissionDecision, out: &mut Rulings) {
        match decision {
            AdmissionDecision::Open { case, first } => self.open(event, case, first, out),
            AdmissionDecision::PutOff { case, again, first } => {
                self.halt(case, again.revision, out);
                self.open(event, again, first, out);
            }
            AdmissionDecision::Stop { case, first, stops } => {
                for stop in stops {
                    self.note(event, stop, out);
                }
                self.open(event, case, first, out);
            }
            AdmissionDecision::Reschedule { case, run } => {
                out.rescheduled.insert(case.id);
                self.names.insert(case.id, names_of(&run));
                if let Some(known) = self.known(case.id) {
                    known.row = (*case).clone();
                    known.run = (*run).clone();
                }
                out.changes.push(Change::Reschedule(case, run));
            }
            AdmissionDecision::Rescind {
                settlement,
                revision,
            } => {
                let Some(id) = settlement.run.case else {
                    return;
                };
                out.overruled.insert(id);
                if let Some(known) = self.known(id) {
                    known.run = settlement.run.clone();
                    known.ended = settlement.case_ended.map(|(_, end, _)| end);
                    known.row.revision = revision;
                }
                out.changes.push(Change::Rescind(settlement, id, revision));
            }
            AdmissionDecision::Halt { case, revision } => self.halt(case, revision, out),
            AdmissionDecision::Revise { case, revision } => {
                if let Some(known) = self.known(case) {
                    known.row.revision = revision;
                }
                out.changes.push(Change::Revise(case, revision));
            }
            AdmissionDecision::Rotate { runs } => out.changes.push(Change::Rotate(runs)),
            AdmissionDecision::Ignore => {}
        }
    }

    fn open(
        &mut self,
        event: &RecordedEvent,
        case: Box<CaseRow>,
        first: Box<Settlement>,
        out: &mut Rulings,
    ) {
        let tenant = tenant_of(&first.run).unwrap_or(&event.event.subject.tenant);
        let opened = ExistingCase {
            row: (*case).clone(),
            run: first.run.clone(),
            ended: first.case_ended.map(|(_, end, _)| end),
            halted: false,
        };
        self.names.insert(case.id, names_of(&first.run));
        self.cases.push((tenant.to_owned(), opened));
        out.opened.push(Opened {
            tenant: tenant.to_owned(),
            case,
            first,
        });
    }

    fn halt(&mut self, case: CaseId, revision: u64, out: &mut Rulings) {
        out.overruled.insert(case);
        if let Some(known) = self.known(case) {
            known.halted = true;
            known.run.halted = true;
            known.row.revision = revision;
        }
        out.changes.push(Change::Halt(case, revision));
    }

    fn review(&mut self, run: Run, out: &mut Rulings) {
        let Some(case) = run.case else {
            return;
        };
        out.overruled.insert(case);
        if let Some(known) = self.known(case) {
            known.run = run.clone();
        }
        out.changes.push(Change::Review(Box::new(run)));
    }

    fn known(&mut self, id: CaseId) -> Option<&mut ExistingCase> {
        self.cases
            .iter_mut()
            .map(|(_, case)| case)
            .find(|case| case.row.id == id)
    }
}

/// The identifiers of a case's subject, by which another's case is found.
pub(super) fn names_of(run: &Run) -> BTreeSet<String> {
    match &run.body {
        RunBody::Case(body) => names(&body.subject),
        RunBody::Discovery(_) | RunBody::Removal(_) | RunBody::Rotation(_) | RunBody::Care(_) => {
            BTreeSet::new()
        }
    }
}

/// The tenant of a case's run.
fn tenant_of(run: &Run) -> Option<&str> {
    match &run.body {
        RunBody::Case(body) => Some(&body.subject.tenant),
        RunBody::Discovery(body) => Some(&body.subject.tenant),
        RunBody::Removal(_) | RunBody::Rotation(_) | RunBody::Care(_) => None,
    }
}

fn name(decision: &AdmissionDecision) -> &'static str {
    match decision {
        AdmissionDecision::Open { .. } => "open",
        AdmissionDecision::Reschedule { .. } => "reschedule",
        AdmissionDecision::Rescind { .. } => "rescind",
        AdmissionDecision::Halt { .. } => "halt",
        AdmissionDecision::PutOff { .. } => "put_off",
        AdmissionDecision::Stop { .. } => "stop",
        AdmissionDecision::Revise { .. } => "revise",
        AdmissionDecision::Rotate { .. } => "rotate",
        AdmissionDecision::Ignore => "ignore",
    }
}
