//! The review of a case that was stopped after it had begun: what it tells the person who has it.
//!
//! Owns where the departure goes on, which reviews a decision makes say something else, and the list of
//! what was done, each account with its state before. A departure that was put off goes on in a case of
//! its own, so nothing that a person does with the review takes its new date away. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::access::Account;
use super::event::EventKind;
use super::id::CaseId;
use super::outcome::{Failure, FailureClass};
use super::run::{CaseBody, Run, RunBody};
use super::settlement::{Admission, AdmissionDecision, CaseRow, ExistingCase, JournalEntry};
use super::time::Timestamp;
use super::workflow::{Action, OutcomeKey, Workflow};

/// The code of a case whose departure was called off after access had been touched.
const CALLED_OFF: &str = "CB-CASE-2";
/// The code of one whose subject was back by then.
const BACK: &str = "CB-CASE-5";
/// The code of one that was put off by then.
const PUT_OFF: &str = "CB-CASE-3";
/// More accounts than this are not listed one by one.
const MOST_ACCOUNTS: usize = 40;

/// Where the departure of a stopped case goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutOff {
    /// The case that takes access away then, all of it.
    pub case: CaseId,
    /// When.
    pub effective: Timestamp,
    /// The revision that says so.
    pub revision: u64,
}

impl PutOff {
    fn to(row: &CaseRow) -> Self {
        Self {
            case: row.id,
            effective: row.effective,
            revision: row.revision,
        }
    }
}

/// Why a person has the stopped case.
pub fn why(case: &CaseBody) -> Failure {
    let (code, words) = match (&case.put_off, &case.back) {
        (None, Some(back)) => (
            BACK,
            format!(
                "the subject is back (case {back}), and access had been touched: review what was done"
            ),
        ),
        (None, None) => (
            CALLED_OFF,
            "the departure was called off after access had been touched: review what was done"
                .to_owned(),
        ),
        (
            Some(PutOff {
                case,
                effective,
                revision,
            }),
            _,
        ) => (
            PUT_OFF,
            format!(
                "revision {revision} put the departure off to {effective} after access had been touched; \
                 case {case} goes on with it then, whatever becomes of this review: review what was done"
            ),
        ),
    };
    Failure::new(FailureClass::PartialSuccess, code, words)
}

/// What the person does with the stopped case, given what its runs did; `None` while they still stop.
pub fn steps(case: &CaseBody, done: Option<&[String]>) -> Vec<String> {
    let mut steps = match done {
        None => vec![
            "Its runs are stopping: what they did is listed here as soon as they have".to_owned(),
        ],
        Some([]) => vec!["Nothing was changed at any target".to_owned()],
        Some(lines) => lines.to_vec(),
    };
    let until = case.put_off.as_ref().map_or(String::new(), |put_off| {
        format!(" until {}", put_off.effective)
    });
    steps.push(format!(
        "Have restored by those who may grant it what should be there{until}: nothing is given back by \
         itself"
    ));
    steps.push("Close this task with an attestation".to_owned());
    steps
}

/// What the runs of a case changed at their targets, one line for each account: what was sent and what
/// came of it, in order, and what the account could do before.
pub fn done(runs: &[Run], journal: &[JournalEntry], workflow: &Workflow) -> Vec<String> {
    let mut acts = BTreeMap::<_, Vec<String>>::new();
    for entry in journal {
        let run = runs.iter().find(|run| run.id == entry.run);
        let state = run.and_then(|run| workflow.state(run.kind, &entry.state));
        let Some(act) = state.and_then(|state| act(&state.action, entry)) else {
            continue;
        };
        let lines = acts.entry(entry.run).or_default();
        if !lines.contains(&act) {
            lines.push(act);
        }
    }
    let touched = runs.iter().filter_map(|run| {
        let acts = acts.get(&run.id)?.join("; ");
        let target = run.connector.as_ref().map_or("", |name| name.as_str());
        Some(match &run.body {
            RunBody::Removal(body) => format!(
                "{target}, {} ({}): {acts}. Before, as of {}: {}",
                body.account.login,
                body.account.id,
                body.account_as_of,
                before(&body.account)
            ),
            RunBody::Case(_) | RunBody::Discovery(_) | RunBody::Rotation(_) | RunBody::Care(_) => {
                format!("{target}: {acts}")
            }
        })
    });
    let mut lines: Vec<_> = touched.collect();
    lines.sort();
    let more = lines.len().saturating_sub(MOST_ACCOUNTS);
    if more > 0 {
        lines.truncate(MOST_ACCOUNTS);
        lines.push(format!("{more} more accounts; the case tells of each"));
    }
    lines
}

/// A write that was done, or that may have been.
fn act(action: &Action, entry: &JournalEntry) -> Option<String> {
    let what = match action {
        Action::Act(operation) | Action::Each { operation, .. } => operation.as_str(),
        Action::CutUpstream => "cut upstream",
        _ => return None,
    };
    let came_to = match entry.outcome {
        OutcomeKey::Done => "done",
        OutcomeKey::Failed(FailureClass::PartialSuccess) => "done in part",
        OutcomeKey::Failed(FailureClass::UnknownOutcome) => "may or may not have been done",
        _ => return None,
    };
    let item = entry.item.as_ref();
    let item = item.map_or(String::new(), |item| format!(" {item}"));
    Some(format!("{what}{item} {came_to}"))
}

fn before(account: &Account) -> String {
    let mut had = vec![format!("{:?}", account.state).to_ascii_lowercase()];
    had.extend(account.sessions.map(|count| format!("{count} sessions")));
    had.extend(account.entitlements.iter().map(|one| one.name.clone()));
    had.join(", ")
}

/// The runs of stopped cases whose reviews say something else by this decision: when, and in which
/// case, the departure goes on. `existing` is what the decision was made with.
pub fn reviews(admission: &Admission, existing: &[ExistingCase]) -> Vec<Run> {
    let known = |id: CaseId| existing.iter().find(|case| case.row.id == id);
    let row = |id: CaseId| known(id).map(|case| &case.row);
    let (of, stopped, on) = match &admission.decision {
        AdmissionDecision::Stop { case, first, stops } if is_back(&first.run) => {
            return of_return(case.id, stops, existing);
        }
        AdmissionDecision::Stop { case, stops, .. } => {
            let stopped = stops.iter().find_map(|stop| match stop {
                AdmissionDecision::Halt { case, .. } => Some(*case),
                _ => None,
            });
            (Some(&**case), stopped, None)
        }
        AdmissionDecision::Open { case, first } if departs(&first.run) => {
            let on = first.case_ended.is_none().then(|| PutOff::to(case));
            (Some(&**case), None, on)
        }
        AdmissionDecision::PutOff { case, again, .. } => {
            (Some(&**again), Some(*case), Some(PutOff::to(again)))
        }
        AdmissionDecision::Reschedule { case, run } => (
            Some(&**case),
            None,
            (!dropped(run)).then(|| PutOff::to(case)),
        ),
        AdmissionDecision::Rescind { settlement, .. } => {
            (settlement.run.case.and_then(row), None, None)
        }
        AdmissionDecision::Halt { case, .. } => (row(*case), Some(*case), None),
        AdmissionDecision::Open { .. }
        | AdmissionDecision::Revise { .. }
        | AdmissionDecision::Rotate { .. }
        | AdmissionDecision::Ignore => (None, None, None),
    };
    let Some(of) = of else {
        return Vec::new();
    };
    let told_by = match &admission.decision {
        AdmissionDecision::Stop { first, .. }
        | AdmissionDecision::Open { first, .. }
        | AdmissionDecision::PutOff { first, .. } => Some(&first.run),
        AdmissionDecision::Reschedule { run, .. } => Some(&**run),
        _ => known(of.id).map(|case| &case.run),
    };
    let source = told_by.map_or("", source_of);
    let same = |case: &ExistingCase| {
        case.row.subject_key == of.subject_key
            && case.row.hr_case == of.hr_case
            && is_told_by(&case.run, source)
    };
    let open = existing.iter().filter(|case| case.ended.is_none());
    let stops = |case: &CaseId| stopped.as_ref() == Some(case) || admission.halts.contains(case);
    let reviewed = open
        .filter(|case| same(case) && departs(&case.run) && (case.halted || stops(&case.row.id)));
    let told = reviewed.filter_map(|case| {
        let mut run = case.run.clone();
        run.halted = true;
        let RunBody::Case(body) = &mut run.body else {
            return None;
        };
        let other = body.put_off != on;
        body.put_off.clone_from(&on);
        other.then_some(run)
    });
    told.collect()
}

/// The same where the subject is back, as `case` tells: none of the departures goes on.
fn of_return(case: CaseId, stops: &[AdmissionDecision], existing: &[ExistingCase]) -> Vec<Run> {
    let (mut stopped, mut gone) = (Vec::new(), Vec::new());
    for stop in stops {
        match stop {
            AdmissionDecision::Halt { case, .. } => stopped.push(*case),
            AdmissionDecision::Reschedule { case, .. } => gone.push(case.id),
            AdmissionDecision::Rescind { settlement, .. } => gone.extend(settlement.run.case),
            AdmissionDecision::Open { .. }
            | AdmissionDecision::PutOff { .. }
            | AdmissionDecision::Stop { .. }
            | AdmissionDecision::Revise { .. }
            | AdmissionDecision::Rotate { .. }
            | AdmissionDecision::Ignore => {}
        }
    }
    let open = existing.iter().filter(|one| one.ended.is_none());
    let told = open.filter_map(|one| {
        let mut run = one.run.clone();
        let RunBody::Case(body) = &mut run.body else {
            return None;
        };
        let went_on = body.put_off.as_ref().map(|put_off| put_off.case);
        let with = went_on.is_some_and(|on| gone.contains(&on) || stopped.contains(&on));
        if !(stopped.contains(&one.row.id) || (one.halted && with)) {
            return None;
        }
        body.put_off = None;
        body.back = Some(case);
        run.halted = true;
        Some(run)
    });
    told.collect()
}

fn is_back(run: &Run) -> bool {
    matches!(&run.body, RunBody::Case(body) if body.kind == Some(EventKind::Rehired))
}

/// The runs of cases that stop when this one, which was held, is released and begins later: its departure
/// goes on in it. `existing` are all cases of its HR case.
pub fn released(case: CaseId, existing: &[ExistingCase]) -> Vec<Run> {
    let Some(own) = existing.iter().find(|one| one.row.id == case) else {
        return Vec::new();
    };
    let on = PutOff::to(&own.row);
    let others = existing.iter().filter(|other| {
        let same = other.row.subject_key == own.row.subject_key
            && other.row.hr_case == own.row.hr_case
            && is_told_by(&other.run, source_of(&own.run))
            && other.row.id != case;
        same && other.ended.is_none()
            && other.row.revision <= own.row.revision
            && departs(&other.run)
    });
    let stopped = others.filter_map(|other| {
        let mut run = other.run.clone();
        let RunBody::Case(body) = &mut run.body else {
            return None;
        };
        body.put_off = Some(on.clone());
        run.halted = true;
        Some(run)
    });
    stopped.collect()
}

/// The source of a case's run; empty where it was not kept.
fn source_of(run: &Run) -> &str {
    match &run.body {
        RunBody::Case(body) => &body.source,
        RunBody::Discovery(_) | RunBody::Removal(_) | RunBody::Rotation(_) | RunBody::Care(_) => "",
    }
}

/// Each source counts its HR cases for itself.
fn is_told_by(run: &Run, source: &str) -> bool {
    source.is_empty() || matches!(&run.body, RunBody::Case(body) if body.is_told_by(source))
}

/// The run of a case that takes access away because somebody or something leaves.
fn departs(run: &Run) -> bool {
    matches!(&run.body, RunBody::Case(body) if body.departs())
}

/// A held case that ends with its next step, for nothing is to be done for it.
fn dropped(run: &Run) -> bool {
    let RunBody::Case(body) = &run.body else {
        return false;
    };
    body.ruling.as_ref().is_some_and(|ruling| !ruling.release)
}
