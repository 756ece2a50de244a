//! What is doubtful about an event before anything is done for it.
//!
//! Owns the doubts for which an event is held for a person: identifiers that contradict what is known
//! of the subject, an identifier that another record has too, an instant absurdly far off, news that
//! is too old. Whether accounts contradict each other is seen later, in `correlation`. Pure.

use std::collections::BTreeSet;

use super::correlation::{ever_folded, folded};
use super::event::{EventKind, LifecycleEvent, RecordedEvent};
use super::outcome::{Failure, FailureClass};
use super::run::{CaseBody, RunBody};
use super::settlement::ExistingCase;
use super::subject::{Identifier, Subject, UNIT};
use super::time::{Effective, Timestamp};
use super::workflow::End;

/// Origins of events that Clawback writes by itself begin so; no Kafka topic can.
const OWN: &str = "urn:clawback:";
/// Kinds of identifiers that several subjects may share, or that name no subject.
const SHARED: [&str; 6] = ["account", "credential", "email", "id", UNIT, "phone"];
/// Kinds of identifiers that change in a person's life, besides those above.
const CHANGING: [&str; 3] = ["login", "upn", "username"];

/// The codes of the doubts.
const DOUBTS: [&str; 7] = [
    "CB-HOLD-1",
    "CB-HOLD-2",
    "CB-HOLD-3",
    "CB-HOLD-4",
    "CB-HOLD-7",
    "CB-HOLD-8",
    "CB-HOLD-9",
];

/// How far an event is trusted without a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trust {
    /// The oldest in days that an effective instant may be.
    pub past_days: u64,
    /// The furthest ahead in days that it may be.
    pub ahead_days: u64,
    /// The oldest in days that an event may be when it comes in, by its own `time`; `None`: any.
    pub event_age_days: Option<u64>,
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            past_days: 366,
            ahead_days: 731,
            event_age_days: None,
        }
    }
}

/// A person's answer to a held event.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ruling {
    /// True: it is as the event says. False: nothing is to be done for it.
    pub release: bool,
    /// Who says so; a source that corrected itself by a newer event is named by its own name.
    pub by: String,
    /// Which of the two; `None` in rulings from before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<Voice>,
    /// Why.
    pub note: String,
}

/// Who answers for a held event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Voice {
    /// Somebody who looked at it.
    Person,
    /// A later event.
    Event,
}

impl Ruling {
    /// True where a person answered; `source` is that of the event.
    pub fn is_of_a_person(&self, source: &str) -> bool {
        match self.voice {
            Some(voice) => voice == Voice::Person,
            None => self.by != source,
        }
    }
}

/// The subject's identifiers that no other subject should have, as one text each.
pub fn names(subject: &Subject) -> BTreeSet<String> {
    let own = identifying(subject);
    own.map(|one| name(subject, one, &folded(&one.value)))
        .collect()
}

/// The same in every form under which a case of any version may be kept, to be looked for.
pub fn names_ever(subject: &Subject) -> BTreeSet<String> {
    identifying(subject)
        .flat_map(|one| {
            let values = ever_folded(&one.value).into_iter();
            values.map(move |value| name(subject, one, &value))
        })
        .collect()
}

fn identifying(subject: &Subject) -> impl Iterator<Item = &Identifier> {
    let own = subject.identifiers.iter();
    own.filter(|one| !SHARED.contains(&one.kind.as_str()))
}

fn name(subject: &Subject, one: &Identifier, value: &str) -> String {
    format!("{}/{}/{value}", subject.tenant, one.kind)
}

/// True for a case that waits for an answer to a doubt.
pub fn is_held(body: &CaseBody) -> bool {
    let failure = body.for_person.as_ref();
    failure.is_some_and(|failure| DOUBTS.contains(&failure.code.as_str()))
}

/// Why a person has to look before anything is done for the event; `existing` are the cases of its
/// subject, and those of others that share an identifier with it.
pub fn doubt(
    recorded: &RecordedEvent,
    existing: &[ExistingCase],
    trust: &Trust,
    now: Timestamp,
) -> Option<Failure> {
    let removes = match recorded.event.kind {
        EventKind::WorkerTerminated
        | EventKind::TerminationChanged
        | EventKind::NhiRetired
        | EventKind::NhiSilent => true,
        EventKind::TerminationCancelled
        | EventKind::Rehired
        | EventKind::WorkerMoved
        | EventKind::IdentifierRecycled
        | EventKind::ApplicationRetired
        | EventKind::CredentialCompromised
        | EventKind::LegalHoldPlaced
        | EventKind::LegalHoldLifted => false,
    };
    if !removes || recorded.origin.topic.starts_with(OWN) {
        return None;
    }
    let subject = &recorded.event.subject;
    let mut others = existing.iter();
    others
        .find_map(|case| {
            contradicted(subject, case)
                .or_else(|| taken(subject, case))
                .or_else(|| corrected(recorded, case))
                .or_else(|| outlived(recorded, case))
        })
        .or_else(|| far_off(recorded, trust, now))
        .or_else(|| outdated(recorded, trust))
}

/// Why it is not certain whom the event means.
pub fn contradiction(subject: &Subject, existing: &[ExistingCase]) -> Option<Failure> {
    let mut cases = existing.iter();
    cases.find_map(|case| contradicted(subject, case).or_else(|| taken(subject, case)))
}

/// The same record had another value of an identifier that never changes.
fn contradicted(subject: &Subject, case: &ExistingCase) -> Option<Failure> {
    let known = subject_of(case).filter(|known| known.key() == subject.key())?;
    let lasting = |kind: &str| !SHARED.contains(&kind) && !CHANGING.contains(&kind);
    let kinds: BTreeSet<_> = subject.identifiers.iter().map(|one| &one.kind).collect();
    kinds
        .into_iter()
        .filter(|kind| lasting(kind))
        .find_map(|kind| {
            let values = |of: &Subject| -> BTreeSet<_> {
                let same = of.identifiers.iter().filter(|one| one.kind == *kind);
                same.map(|one| folded(&one.value)).collect()
            };
            let (now, before) = (values(subject), values(known));
            (!before.is_empty() && now.is_disjoint(&before)).then(|| {
                held(
                    FailureClass::Ambiguous,
                    "CB-HOLD-1",
                    format!(
                        "the event says that the {kind} of {} is {}, and case {} that it is {}",
                        subject.key(),
                        listed(&now),
                        case.row.id,
                        listed(&before)
                    ),
                )
            })
        })
}

/// Another record has one of the subject's identifiers.
pub(super) fn taken(subject: &Subject, case: &ExistingCase) -> Option<Failure> {
    let other = subject_of(case).filter(|other| other.key() != subject.key())?;
    if case.ended == Some(End::Rescinded) {
        return None;
    }
    let shared = names(subject);
    let shared: BTreeSet<_> = shared.intersection(&names(other)).cloned().collect();
    (!shared.is_empty()).then(|| {
        held(
            FailureClass::Ambiguous,
            "CB-HOLD-2",
            format!(
                "{} has {} too (case {}): the same person under two records, or an identifier that was \
                 given to somebody else",
                other.key(),
                listed(&shared),
                case.row.id
            ),
        )
    })
}

/// A newer revision of an HR case names somebody else than an earlier one that is still under way: a
/// correction, which must not cost both their access, or one HR case for several people.
fn corrected(recorded: &RecordedEvent, case: &ExistingCase) -> Option<Failure> {
    let event = &recorded.event;
    let other = subject_of(case).filter(|other| {
        other.tenant == event.subject.tenant && other.key() != event.subject.key()
    })?;
    let told = matches!(&case.run.body, RunBody::Case(body) if body.is_told_by(&event.source));
    let same = told && case.row.hr_case == event.hr_case && case.row.revision < event.revision;
    (same && case.ended.is_none() && !case.halted).then(|| {
        let words = format!(
            "revision {} of {} names {}, and revision {} named {} (case {}): a correction, or two who leave",
            event.revision,
            event.hr_case,
            event.subject.key(),
            case.row.revision,
            other.key(),
            case.row.id
        );
        held(FailureClass::Ambiguous, "CB-HOLD-7", words)
    })
}

/// The subject was back after this was told: late news of a departure that the rehiring ended.
fn outlived(recorded: &RecordedEvent, case: &ExistingCase) -> Option<Failure> {
    let event = &recorded.event;
    let RunBody::Case(body) = &case.run.body else {
        return None;
    };
    let same = case.row.subject_key == event.subject.key();
    let (left, back) = recorded.told_at().zip(body.occurred)?;
    let rehired = same && body.kind == Some(EventKind::Rehired);
    (rehired && left < back).then(|| {
        let words = format!(
            "the departure was told at {left}, and at {back} that {} is back (case {})",
            event.subject.key(),
            case.row.id
        );
        held(FailureClass::StaleData, "CB-HOLD-8", words)
    })
}

/// What is known by its revision alone, and comes after its subject was back: a source that counts anew for
/// each contract, or old news once more.
pub fn again(event: &LifecycleEvent, back: &ExistingCase) -> Failure {
    let words = format!(
        "revision {} of {} is known, but {} was back since (case {}): the next departure, or the last one told \
         once more",
        event.revision,
        event.hr_case,
        event.subject.key(),
        back.row.id
    );
    held(FailureClass::Ambiguous, "CB-HOLD-9", words)
}

fn far_off(recorded: &RecordedEvent, trust: &Trust, now: Timestamp) -> Option<Failure> {
    let effective = &recorded.event.effective;
    let Effective::At { .. } = effective else {
        return None;
    };
    let instant = effective.instant(recorded.recorded).ok()?;
    let days = instant.duration_since(now).as_hours() / 24;
    let most = |days: u64| i64::try_from(days).unwrap_or(i64::MAX);
    let (which, most) = if days < 0 {
        ("past", most(trust.past_days))
    } else {
        ("future", most(trust.ahead_days))
    };
    (days.abs() > most).then(|| {
        let days = days.abs();
        let words =
            format!("access is to end {days} days in the {which}, at most {most} are believed");
        held(FailureClass::Ambiguous, "CB-HOLD-3", words)
    })
}

fn outdated(recorded: &RecordedEvent, trust: &Trust) -> Option<Failure> {
    let (occurred, most) = recorded.event.occurred.zip(trust.event_age_days)?;
    let days = recorded.recorded.duration_since(occurred).as_hours() / 24;
    (u64::try_from(days).unwrap_or(0) > most).then(|| {
        let source = &recorded.event.source;
        let words =
            format!("the news of {source} was {days} days old, at most {most} are believed");
        held(FailureClass::StaleData, "CB-HOLD-4", words)
    })
}

fn subject_of(case: &ExistingCase) -> Option<&Subject> {
    match &case.run.body {
        RunBody::Case(body) => Some(&body.subject),
        RunBody::Discovery(_) | RunBody::Removal(_) | RunBody::Rotation(_) | RunBody::Care(_) => {
            None
        }
    }
}

fn listed(values: &BTreeSet<String>) -> String {
    let values: Vec<_> = values.iter().map(String::as_str).collect();
    values.join(", ")
}

fn held(class: FailureClass, code: &str, words: String) -> Failure {
    Failure::new(class, code, words)
}

#[cfg(test)]
mod tests {
    use super::super::subject::SubjectKind;
    use super::*;

    fn known_as(username: &str) -> Subject {
        Subject {
            kind: SubjectKind::Person,
            tenant: "acme".into(),
            id: username.into(),
            identifiers: vec![Identifier {
                kind: "username".into(),
                value: username.into(),
            }],
            display_name: None,
            privileged: false,
        }
    }

    #[test]
    fn a5_an_identifier_is_looked_for_as_every_version_kept_it() {
        // As they were kept: with ASCII letters small, with all letters small, and composed.
        for (kept, now) in [
            ("j\u{dc}rgen", "J\u{dc}RGEN"),
            ("j\u{fc}rgen", "J\u{dc}RGEN"),
            ("j\u{fc}rgen", "Ju\u{308}rgen"),
            ("ju\u{308}rgen", "J\u{fc}rgen"),
            ("stra\u{df}e", "Stra\u{df}e"),
            ("strasse", "Stra\u{df}e"),
        ] {
            let sought = names_ever(&known_as(now));
            let kept = format!("acme/username/{kept}");
            assert!(sought.contains(&kept), "{kept} is not in {sought:?}");
            assert!(sought.is_superset(&names(&known_as(now))));
        }
        let plain = names_ever(&known_as("ada"));
        assert_eq!(Vec::from_iter(plain), ["acme/username/ada"]);
    }
}
