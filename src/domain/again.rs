//! Access that is there again after its removal had ended: whether somebody has it in hand already.
//!
//! Owns what the cases of the subject say about it: its departure was called off, the subject is back,
//! or an open case looks there by itself. Whether access is there is said by `verdict`. Pure.

use super::admit::{newest, tells_of_departure};
use super::doubt::is_held;
use super::event::EventKind;
use super::id::{ConnectorName, RunId};
use super::run::{CaseBody, Run, RunBody, Stage};
use super::settlement::ExistingCase;
use super::time::Timestamp;
use super::workflow::End;

/// HR cases of Clawback's own begin so, and go on with the run whose access is there again.
const SEEN_AGAIN: &str = "seen-again/";
/// A departure that was called off when its case had ended already.
const TOO_LATE: &str = "CB-ADMIT-3";

/// What is to be done about access that is there again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// It is told, as this revision of its HR case.
    Told {
        /// One more than what has ended so far.
        revision: u64,
        /// An open case of the subject looks there before it settles, or a person decides about one that
        /// would.
        looked_for: bool,
    },
    /// Nothing, for this reason.
    Left(&'static str),
}

/// The HR case under which the return of what this run removed is told.
pub fn hr_case(run: RunId) -> String {
    format!("{SEEN_AGAIN}{run}")
}

/// The run whose return an HR case tells; `None` for all that come from elsewhere.
pub fn seen_again(hr_case: &str) -> Option<RunId> {
    hr_case.strip_prefix(SEEN_AGAIN)?.parse().ok()
}

/// What is to be done about access that `run` had proved gone. `hr_cases` are its own and those whose
/// returns led to it; `cases` are all of its subject.
pub fn again(run: &Run, hr_cases: &[String], cases: &[ExistingCase]) -> Again {
    let mut told = hr_cases.iter();
    if let Some(why) = told.find_map(|hr_case| stopped(hr_case, cases)) {
        return Again::Left(why);
    }
    if is_back(run, cases) {
        return Again::Left("its subject is back");
    }
    let own = hr_case(run.id);
    let own = cases.iter().filter(|case| case.row.hr_case == own);
    let ended = own.filter(|case| case.ended.is_some());
    let looks = |case: &ExistingCase| looks_at(case, run.connector.as_ref());
    Again::Told {
        revision: 1 + ended.map(|case| case.row.revision).max().unwrap_or(0),
        looked_for: cases.iter().any(looks),
    }
}

/// Why a departure does not go on, by the newest that is known of it.
fn stopped(hr_case: &str, cases: &[ExistingCase]) -> Option<&'static str> {
    let told = || {
        let about = cases.iter().filter(|case| case.row.hr_case == hr_case);
        about.filter(|case| tells_of_departure(case) && !was_wrong(case))
    };
    let case = newest(told())?;
    if case.ended == Some(End::Rescinded) || case.halted || code(case) == Some(TOO_LATE) {
        return Some("its departure was called off");
    }
    (case.ended.is_none() && told().any(|other| other.halted))
        .then_some("its departure was put off, and goes on by itself")
}

/// Held for a doubt, and dropped by a person: it says nothing about the departure.
fn was_wrong(case: &ExistingCase) -> bool {
    let Some(body) = body(case).filter(|body| is_held(body)) else {
        return false;
    };
    // By its source: called off while it was held.
    let by_person = body.ruling.as_ref().is_some_and(|it| it.by != body.source);
    case.ended == Some(End::Rescinded) && by_person
}

/// The last word since then is that the subject is back, or never was to leave.
fn is_back(run: &Run, cases: &[ExistingCase]) -> bool {
    let Stage::Ended { at, .. } = run.stage else {
        return false;
    };
    let since = cases.iter().filter(|case| case.row.opened >= at);
    let back = |case: &&ExistingCase| {
        let rehired = body(case).is_some_and(|body| body.kind == Some(EventKind::Rehired));
        rehired || code(case) == Some(TOO_LATE)
    };
    let Some(back) = since.filter(back).map(|case| case.row.opened).max() else {
        return false;
    };
    !cases.iter().any(|case| has_left_again(case, back))
}

/// A whole departure that the world outside told of later, and that has come to its end.
fn has_left_again(case: &ExistingCase, since: Timestamp) -> bool {
    let ended = matches!(case.ended, Some(End::Verified | End::Attested));
    let own = seen_again(&case.row.hr_case).is_some();
    let whole = body(case).is_some_and(|body| departs(body) && body.connectors.is_empty());
    ended && !own && !case.halted && whole && case.row.opened > since
}

/// An open case that looks at this target before it settles, at the latest when a person has answered a
/// doubt about it.
fn looks_at(case: &ExistingCase, connector: Option<&ConnectorName>) -> bool {
    let looks = body(case).is_some_and(|body| {
        let limits = &body.connectors;
        let here = limits.is_empty() || connector.is_some_and(|name| limits.contains(name));
        here && departs(body) && (body.for_person.is_none() || is_held(body))
    });
    case.ended.is_none() && !case.halted && looks
}

fn departs(body: &CaseBody) -> bool {
    body.kind.is_none_or(|kind| {
        matches!(
            kind,
            EventKind::WorkerTerminated
                | EventKind::TerminationChanged
                | EventKind::NhiRetired
                | EventKind::NhiSilent
        )
    })
}

fn code(case: &ExistingCase) -> Option<&str> {
    let failure = body(case)?.for_person.as_ref()?;
    Some(failure.code.as_str())
}

fn body(case: &ExistingCase) -> Option<&CaseBody> {
    match &case.run.body {
        RunBody::Case(body) => Some(body),
        RunBody::Discovery(_) | RunBody::Removal(_) | RunBody::Rotation(_) | RunBody::Care(_) => {
            None
        }
    }
}
