//! Which of the known cases an event is news of.
//!
//! Owns the rule that departures are told apart by source, subject and HR case (each source counts its
//! revisions for itself), and from everything else that is open about the subject: a legal hold, a new role or
//! another person of the same HR case neither outdates a departure nor stands for one. Decides nothing.

use super::super::doubt::is_held;
use super::super::event::{EventKind, LifecycleEvent, RecordedEvent};
use super::super::run::{CaseBody, RunBody};
use super::super::settlement::ExistingCase;
use super::super::time::Timestamp;
use super::super::workflow::End;

/// What is known of the departure that an event tells about.
pub(super) struct News<'a> {
    /// The case with the newest revision, whatever became of it.
    pub newest: Option<&'a ExistingCase>,
    /// Those that go on, the newest first: neither ended nor halted, and not with a person for want of
    /// sense. There are several where something doubtful was told of one.
    pub under_way: Vec<&'a ExistingCase>,
    /// The one that took access away before them, to its end, if nobody has reviewed it since.
    pub removed: Option<&'a ExistingCase>,
    /// A rehiring that was heard of after all of them.
    back: Option<&'a ExistingCase>,
}

/// What an event of which the revision is known tells, by the last rehiring of its subject. Sources without
/// an id for each departure count from 1 again.
pub(super) enum Since<'a> {
    /// Nothing new.
    Nothing,
    /// The subject leaves again: it was told after the rehiring.
    Left,
    /// Nothing says which was told first.
    Unclear(&'a ExistingCase),
}

impl<'a> News<'a> {
    /// Of a departure, from when it was told first to when it was called off.
    pub(super) fn of_departure(event: &'a LifecycleEvent, existing: &'a [ExistingCase]) -> Self {
        let told = || about(event, existing).filter(|case| tells_of_departure(case));
        let mut under_way: Vec<_> = told().filter(|case| goes_on(case)).collect();
        under_way.sort_by_key(|case| std::cmp::Reverse(case.row.revision));
        let over = newest(told().filter(|case| case.ended.is_some() && !was_wrong(case)));
        Self {
            newest: newest(told()),
            under_way,
            removed: over.filter(|case| has_removed(case)),
            back: back(event, existing, told().map(|case| case.row.opened).max()),
        }
    }

    /// Of an identity whose record stopped updating.
    pub(super) fn of_silence(event: &'a LifecycleEvent, existing: &'a [ExistingCase]) -> Self {
        let told = about(event, existing)
            .filter(|case| kind(case).is_none_or(|kind| kind == EventKind::NhiSilent));
        Self {
            newest: newest(told),
            under_way: Vec::new(),
            removed: None,
            back: None,
        }
    }

    /// True when the event says nothing that is not known already.
    pub(super) fn knows(&self, event: &LifecycleEvent) -> bool {
        self.newest
            .is_some_and(|case| event.revision <= case.row.revision)
    }

    /// Whether it is told nonetheless of a departure that begins now. What is under way is told of already.
    pub(super) fn since_back(&self, recorded: &RecordedEvent) -> Since<'a> {
        let told = self
            .newest
            .is_some_and(|case| case.row.event == recorded.event.key());
        let Some(back) = self.back.filter(|_| self.under_way.is_empty() && !told) else {
            return Since::Nothing;
        };
        let was_back = body(back).and_then(|body| body.occurred);
        match recorded.told_at().zip(was_back) {
            Some((left, back)) if left < back => Since::Nothing,
            Some((left, was_back)) if left > was_back => Since::Left,
            Some(_) | None => Since::Unclear(back),
        }
    }
}

/// Cases of the same subject and HR case, as this source counts them: another counts for itself.
fn about<'a>(
    event: &'a LifecycleEvent,
    existing: &'a [ExistingCase],
) -> impl Iterator<Item = &'a ExistingCase> {
    let (subject, hr_case) = (event.subject.key(), event.hr_case.clone());
    let same = existing
        .iter()
        .filter(move |case| case.row.subject_key == subject && case.row.hr_case == hr_case);
    same.filter(|case| body(case).is_none_or(|body| body.is_told_by(&event.source)))
}

/// The last rehiring of the event's subject that was heard of after `departed`.
fn back<'a>(
    event: &LifecycleEvent,
    existing: &'a [ExistingCase],
    departed: Option<Timestamp>,
) -> Option<&'a ExistingCase> {
    let (key, departed) = (event.subject.key(), departed?);
    let own = existing.iter().filter(|case| case.row.subject_key == key);
    let rehired = own.filter(|case| kind(case) == Some(EventKind::Rehired));
    rehired
        .filter(|case| case.row.opened > departed)
        .max_by_key(|case| case.row.opened)
}

pub(in super::super) fn newest<'a>(
    cases: impl Iterator<Item = &'a ExistingCase>,
) -> Option<&'a ExistingCase> {
    // The case that a departure goes on in knows the same revision as the one that was stopped for it.
    cases.max_by_key(|case| (case.row.revision, !case.halted, case.ended.is_none()))
}

pub(in super::super) fn tells_of_departure(case: &ExistingCase) -> bool {
    match kind(case) {
        Some(kind) => matches!(
            kind,
            EventKind::WorkerTerminated
                | EventKind::TerminationChanged
                | EventKind::TerminationCancelled
                | EventKind::NhiRetired
        ),
        // Opened before the kind was kept: all that was never a departure went to a person at once.
        None => {
            let failure = body(case).and_then(|body| body.for_person.as_ref());
            !failure.is_some_and(|failure| ["CB-ADMIT-2", "CB-ADMIT-4"].contains(&&*failure.code))
        }
    }
}

fn has_removed(case: &ExistingCase) -> bool {
    let ended = matches!(case.ended, Some(End::Verified | End::Attested));
    ended && body(case).is_some_and(CaseBody::departs)
}

/// Held for a doubt, and dropped by a person: it says nothing about the departure. Who dropped it was not
/// kept at first; what is told once too often is a person's, what is not told is lost.
pub(in super::super) fn was_wrong(case: &ExistingCase) -> bool {
    let Some(body) = body(case).filter(|body| is_held(body)) else {
        return false;
    };
    let ruling = body.ruling.as_ref();
    let by_person = ruling.is_none_or(|ruling| ruling.is_of_a_person(&body.source));
    case.ended == Some(End::Rescinded) && by_person
}

fn goes_on(case: &ExistingCase) -> bool {
    let sense = body(case).is_some_and(|body| body.for_person.is_none() || is_held(body));
    case.ended.is_none() && !case.halted && sense
}

fn kind(case: &ExistingCase) -> Option<EventKind> {
    body(case).and_then(|body| body.kind)
}

fn body(case: &ExistingCase) -> Option<&CaseBody> {
    match &case.run.body {
        RunBody::Case(body) => Some(body),
        RunBody::Discovery(_) | RunBody::Removal(_) | RunBody::Rotation(_) | RunBody::Care(_) => {
            None
        }
    }
}
