//! Access that is there again after its removal had ended: whether somebody has it in hand already.
//!
//! Owns what the cases of the subject say about it: its departure was called off, the subject is back,
//! or an open case looks there by itself. Whether access is there is said by `verdict`. Pure.

use super::admit::{newest, tells_of_departure, was_wrong};
use super::doubt::is_held;
use super::event::EventKind;
use super::id::{CaseId, ConnectorName, RunId};
use super::round::discovery_of;
use super::run::{CaseBody, Run, RunBody};
use super::settlement::ExistingCase;
use super::time::{Timestamp, after};
use super::workflow::End;

/// HR cases of Clawback's own begin so, and go on with the run whose access is there again.
const SEEN_AGAIN: &str = "seen-again/";
/// A departure that was called off when its case had ended already.
const TOO_LATE: &str = "CB-ADMIT-3";

/// A case that begins within so long need not be told what it finds by itself.
const SOON_SECONDS: u64 = 86_400;

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
/// returns led to it; `cases` are all of its subject, and `looking` are those of them that look at its
/// target before they settle.
pub fn again(
    run: &Run,
    hr_cases: &[String],
    cases: &[ExistingCase],
    looking: &[CaseId],
    now: Timestamp,
) -> Again {
    let mut told = hr_cases.iter();
    let source = departure(run, hr_cases, cases).map_or("", source_of);
    if let Some(why) = told.find_map(|hr_case| stopped(hr_case, source, cases)) {
        return Again::Left(why);
    }
    if is_back(run, hr_cases, cases, now) {
        return Again::Left("its subject is back");
    }
    let own = hr_case(run.id);
    let own = cases.iter().filter(|case| case.row.hr_case == own);
    let ended = own.filter(|case| case.ended.is_some());
    Again::Told {
        revision: 1 + ended.map(|case| case.row.revision).max().unwrap_or(0),
        looked_for: !looking.is_empty(),
    }
}

/// Why a departure does not go on, by the newest that is known of it.
fn stopped(hr_case: &str, source: &str, cases: &[ExistingCase]) -> Option<&'static str> {
    let told = || {
        let about = cases.iter().filter(|case| case.row.hr_case == hr_case);
        let about = about.filter(|case| seen_again(hr_case).is_some() || may_be_of(case, source));
        about.filter(|case| tells_of_departure(case) && !was_wrong(case))
    };
    let case = newest(told())?;
    if case.ended == Some(End::Rescinded) || case.halted || code(case) == Some(TOO_LATE) {
        return Some("its departure was called off");
    }
    (case.ended.is_none() && told().any(|other| other.halted))
        .then_some("its departure was put off, and goes on by itself")
}

/// The last word since the departure was told is that the subject is back, or never was to leave. As long
/// as a person has the task of a rehiring that was told later, it counts whenever it came in.
fn is_back(run: &Run, hr_cases: &[String], cases: &[ExistingCase], now: Timestamp) -> bool {
    let Some(departure) = departure(run, hr_cases, cases) else {
        return false;
    };
    let began = departure.row.opened;
    let told = |case: &ExistingCase| body(case).and_then(|body| body.occurred);
    let back = cases.iter().filter(|case| {
        if code(case) == Some(TOO_LATE) {
            let same =
                hr_cases.contains(&case.row.hr_case) && may_be_of(case, source_of(departure));
            return same && case.row.opened >= began;
        }
        let rehired = body(case).is_some_and(|body| body.kind == Some(EventKind::Rehired));
        let since = case.row.opened >= began;
        let counts = match told(case).zip(told(departure)) {
            Some((back, left)) => back >= left && (case.ended.is_none() || since),
            // Nobody says which was told first: the one that was heard of later is the later news.
            None => since,
        };
        rehired && counts && case.row.effective <= now
    });
    let Some(back) = back.map(|case| case.row.opened).max() else {
        return false;
    };
    !cases.iter().any(|case| has_left_again(case, back))
}

/// What the run took access away for, as the world outside told of it; a return that Clawback told of by
/// itself belongs to the departure before it.
fn departure<'a>(
    run: &Run,
    hr_cases: &[String],
    cases: &'a [ExistingCase],
) -> Option<&'a ExistingCase> {
    let own = cases.iter().find(|case| Some(case.row.id) == run.case)?;
    if seen_again(&own.row.hr_case).is_none() {
        return Some(own);
    }
    let outside = cases.iter().filter(|case| {
        let told = seen_again(&case.row.hr_case).is_none() && hr_cases.contains(&case.row.hr_case);
        told && case.row.opened <= own.row.opened && tells_of_departure(case) && !was_wrong(case)
    });
    outside.max_by_key(|case| case.row.opened).or(Some(own))
}

/// A whole departure that the world outside told of later, and that has come to its end.
fn has_left_again(case: &ExistingCase, since: Timestamp) -> bool {
    let ended = matches!(case.ended, Some(End::Verified | End::Attested));
    let own = seen_again(&case.row.hr_case).is_some();
    let whole = body(case).is_some_and(|body| departs(body) && body.connectors.is_empty());
    ended && !own && !case.halted && whole && case.row.opened > since
}

/// Where an open case looks for access at one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Nowhere there.
    Never,
    /// A person decides about it first.
    Held,
    /// By these runs, as long as one of them is open; by `soon` where there is none of them yet: it has
    /// not begun, and begins within a day.
    By {
        /// Its discoveries of the target, each round's.
        discoveries: Vec<RunId>,
        /// It begins soon.
        soon: bool,
    },
}

/// Where this case looks.
pub fn look(case: &ExistingCase, connector: &ConnectorName, now: Timestamp) -> Look {
    let Some(body) = body(case) else {
        return Look::Never;
    };
    let here = body.connectors.is_empty() || body.connectors.contains(connector);
    if case.ended.is_some() || case.halted || !here || !departs(body) {
        return Look::Never;
    }
    if body.for_person.is_some() {
        return if is_held(body) {
            Look::Held
        } else {
            Look::Never
        };
    }
    let rounds = 0..body.rounds.max(1);
    Look::By {
        discoveries: rounds
            .map(|round| discovery_of(case.row.id, connector, round))
            .collect(),
        soon: body.rounds == 0 && case.row.effective <= after(now, SOON_SECONDS),
    }
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

/// Each source counts its HR cases for itself.
fn may_be_of(case: &ExistingCase, source: &str) -> bool {
    source.is_empty() || body(case).is_none_or(|body| body.is_told_by(source))
}

fn source_of(case: &ExistingCase) -> &str {
    body(case).map_or("", |body| body.source.as_str())
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
