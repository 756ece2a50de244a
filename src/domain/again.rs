//! Access that is there again after its removal had ended: whether somebody has it in hand already.
//!
//! Owns what the cases of the subject say about it: its departure was called off, the subject is back,
//! or an open case looks there by itself. Whether access is there is said by `verdict`. Pure.

use super::admit::{newest, tells_of_departure};
use super::doubt::is_held;
use super::id::RunId;
use super::run::{CaseBody, Run, RunBody, Stage};
use super::settlement::ExistingCase;
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
        /// The first.
        revision: u64,
        /// An open case of the subject looks there before it settles.
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
    Again::Told {
        revision: 1,
        looked_for: cases.iter().any(|case| case.ended.is_none()),
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

/// A later case of the same subject is a person's: a return, for instance.
fn is_back(run: &Run, cases: &[ExistingCase]) -> bool {
    let Stage::Ended { at, .. } = run.stage else {
        return false;
    };
    let mut since = cases.iter().filter(|case| case.row.opened >= at);
    since.any(|case| code(case).is_some())
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
