//! From a CloudEvent to the canonical lifecycle event.
//!
//! Owns the shape of `data` (published in `docs/schemas`) and what is strict about it: everything
//! that decides whose access ends, when, and in which order. All faults are reported at once. Does
//! not know Kafka, and does not judge plausibility; that is admission.

use std::collections::BTreeSet;

use jiff::civil::DateTime;
use serde_json::Value;

use crate::domain::correlation::ACCOUNT;
use crate::domain::event::{EventKind, LifecycleEvent, Urgency};
use crate::domain::id::ConnectorName;
use crate::domain::subject::{Identifier, Subject, SubjectKind};
use crate::domain::time::{Effective, Timestamp};
use crate::kafka::{CloudEvent, Data};

use super::fields::{Faults, Fields, TEXT};
use super::rejection::{Code, Rejection};

/// The fields of `data`; `extra` may hold anything and is not read.
pub(super) const DATA: [&str; 8] = [
    "subject",
    "case_id",
    "revision",
    "effective",
    "urgency",
    "reason",
    "connectors",
    "extra",
];
/// The fields of `data.subject`.
pub(super) const SUBJECT: [&str; 6] = [
    "kind",
    "tenant",
    "id",
    "display_name",
    "privileged",
    "identifiers",
];
/// The fields of `data.effective`.
pub(super) const EFFECTIVE: [&str; 2] = ["local", "zone"];
/// The fields of a member of `data.subject.identifiers`.
pub(super) const IDENTIFIER: [&str; 2] = ["type", "value"];

const IDENTIFIERS: usize = 64;
const CONNECTORS: usize = 256;

/// Reads the event. `recorded` only serves to try the effective instant.
pub(super) fn lifecycle_event(
    event: &CloudEvent,
    recorded: Timestamp,
) -> Result<LifecycleEvent, Rejection> {
    let kind = kind(&event.kind)?;
    let faults = Faults::default();
    let occurred = occurred(event, &faults);
    for (name, value) in [("id", &event.id), ("source", &event.source)] {
        if value.chars().count() > TEXT {
            faults.add(
                Code::Attribute,
                format!("the CloudEvents attribute `{name}` is longer than {TEXT} characters"),
            );
        }
    }
    let map = match &event.data {
        Some(Data::Json(Value::Object(map))) => map,
        Some(Data::Json(_)) => {
            return Err(Rejection::new(
                Code::Field,
                "`data` is not an object: see the schema of the type",
            ));
        }
        Some(Data::Bytes(_)) => {
            return Err(Rejection::new(
                Code::NotJson,
                "`datacontenttype` is not JSON: send application/json",
            ));
        }
        None => {
            return Err(Rejection::new(
                Code::NotJson,
                "the event has no data: a tombstone or an empty event says nothing",
            ));
        }
    };
    let data = Fields::new(map, "data", Code::Field, &faults);
    data.only(&DATA);
    let subject = subject(&data, kind, &faults);
    let urgency = urgency(&data, kind, &faults);
    let effective = effective(&data, kind, urgency, recorded, &faults);
    let revision = revision(&data, &faults);
    let hr_case = data.text("case_id", TEXT);
    let reason = data.words("reason", 2000);
    let connectors = connectors(&data, &faults);
    let whole = match (subject, revision, effective) {
        (Some(subject), Some(revision), Some(effective)) => Some(LifecycleEvent {
            source: event.source.clone(),
            id: event.id.clone(),
            kind,
            occurred,
            hr_case: hr_case.unwrap_or_else(|| subject.id.clone()),
            subject,
            revision,
            effective,
            urgency,
            reason,
            connectors,
        }),
        _ => None,
    };
    faults.or(whole)
}

fn kind(text: &str) -> Result<EventKind, Rejection> {
    if let Some(kind) = EventKind::from_type(text) {
        return Ok(kind);
    }
    let stem = text
        .rsplit_once(".v")
        .filter(|(_, version)| version.parse::<u32>().is_ok())
        .map(|(stem, _)| stem);
    let known = |stem: &str| {
        let mut kinds = EventKind::ALL.iter();
        kinds.any(|kind| kind.as_str().strip_suffix(".v1") == Some(stem))
    };
    if stem.is_some_and(known) {
        return Err(Rejection::new(
            Code::UnknownVersion,
            "the version of this event type is newer or older than this program knows: \
             send v1, or update Clawback",
        ));
    }
    let types: Vec<_> = EventKind::ALL.iter().map(|k| k.as_str()).collect();
    Err(Rejection::new(
        Code::UnknownType,
        format!("the event type is none of {}", types.join(", ")),
    ))
}

fn occurred(event: &CloudEvent, faults: &Faults) -> Option<Timestamp> {
    let text = event.attribute("time")?;
    let parsed = text.parse::<Timestamp>().ok();
    if parsed.is_none() {
        faults.add(
            Code::Attribute,
            "the CloudEvents attribute `time` is not an RFC 3339 time: correct it or leave it out",
        );
    }
    parsed
}

fn subject(data: &Fields<'_>, event: EventKind, faults: &Faults) -> Option<Subject> {
    let Some(fields) = data.object("subject", Code::Subject) else {
        if data.get("subject").is_none() {
            faults.add(Code::Subject, "`data.subject` is missing: say who leaves");
        }
        return None;
    };
    fields.only(&SUBJECT);
    let kind = subject_kind(&fields, event);
    let tenant = fields.required("tenant", 64);
    if let Some(tenant) = &tenant
        && !tenant
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    {
        fields.fault("tenant", "may hold letters, digits, `.`, `_` and `-` only");
    }
    let id = fields.required("id", TEXT);
    let display_name = fields.words("display_name", TEXT);
    let privileged = fields.boolean("privileged");
    let identifiers = identifiers(&fields, id.as_deref(), faults);
    Some(Subject {
        kind: kind?,
        tenant: tenant?,
        id: id?,
        identifiers,
        display_name,
        privileged,
    })
}

fn subject_kind(fields: &Fields<'_>, event: EventKind) -> Option<SubjectKind> {
    let text = fields.required("kind", TEXT)?;
    let kind = match text.as_str() {
        "person" => SubjectKind::Person,
        "nhi" => SubjectKind::Nhi,
        "application" => SubjectKind::Application,
        _ => {
            fields.fault("kind", "is none of person, nhi, application");
            return None;
        }
    };
    let allowed: &[SubjectKind] = match event {
        EventKind::WorkerTerminated
        | EventKind::TerminationChanged
        | EventKind::TerminationCancelled
        | EventKind::Rehired
        | EventKind::WorkerMoved => &[SubjectKind::Person],
        EventKind::NhiRetired | EventKind::NhiSilent => &[SubjectKind::Nhi],
        EventKind::ApplicationRetired => &[SubjectKind::Application],
        EventKind::CredentialCompromised | EventKind::IdentifierRecycled => {
            &[SubjectKind::Person, SubjectKind::Nhi]
        }
        EventKind::LegalHoldPlaced | EventKind::LegalHoldLifted => &[
            SubjectKind::Person,
            SubjectKind::Nhi,
            SubjectKind::Application,
        ],
    };
    if !allowed.contains(&kind) {
        fields.fault("kind", "does not go with the event type: see its schema");
        return None;
    }
    Some(kind)
}

/// All identifiers, the subject's id under `id` among them, sorted so that order means nothing.
fn identifiers(subject: &Fields<'_>, id: Option<&str>, faults: &Faults) -> Vec<Identifier> {
    let mut found = BTreeSet::new();
    let members = subject.list("identifiers", IDENTIFIERS, Code::Identifier);
    for (place, member) in members.iter().enumerate() {
        let path = format!("data.subject.identifiers[{place}]");
        let Some(map) = member.as_object() else {
            faults.add(
                Code::Identifier,
                format!("`{path}` is not an object: send type and value"),
            );
            continue;
        };
        let fields = Fields::new(map, &path, Code::Identifier, faults);
        fields.only(&IDENTIFIER);
        let kind = fields.required("type", 64);
        let value = fields.required("value", TEXT);
        let (Some(kind), Some(value)) = (kind, value) else {
            continue;
        };
        if !kind
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        {
            fields.fault("type", "may hold lower-case letters, digits and `_` only");
        }
        if kind == ACCOUNT && !names_an_account(&value) {
            fields.fault(
                "value",
                "names no account: send the connector and its own id as `connector/id`",
            );
        }
        if kind == "id" && id.is_some_and(|id| id != value) {
            fields.fault("value", "contradicts `data.subject.id`: send the same id");
        }
        found.insert(Identifier { kind, value });
    }
    if let Some(id) = id {
        found.insert(Identifier {
            kind: "id".to_owned(),
            value: id.to_owned(),
        });
    }
    found.into_iter().collect()
}

fn names_an_account(value: &str) -> bool {
    let parts = value.split_once('/');
    parts.is_some_and(|(connector, id)| !connector.trim().is_empty() && !id.trim().is_empty())
}

fn revision(data: &Fields<'_>, faults: &Faults) -> Option<u64> {
    let revision = data
        .get("revision")
        .and_then(Value::as_u64)
        .filter(|revision| i64::try_from(*revision).is_ok());
    if revision.is_none() {
        faults.add(
            Code::Revision,
            "`data.revision` is missing or not a whole number from 0: number the revisions of the \
             case, since the order of arrival decides nothing",
        );
    }
    revision
}

fn urgency(data: &Fields<'_>, kind: EventKind, faults: &Faults) -> Urgency {
    match data.get("urgency").map(Value::as_str) {
        Some(Some("for_cause")) => Urgency::ForCause,
        Some(Some("planned")) => Urgency::Planned,
        Some(_) => {
            faults.add(
                Code::Urgency,
                "`data.urgency` is neither planned nor for_cause",
            );
            Urgency::Planned
        }
        None if kind == EventKind::CredentialCompromised => Urgency::ForCause,
        None => Urgency::Planned,
    }
}

fn effective(
    data: &Fields<'_>,
    kind: EventKind,
    urgency: Urgency,
    recorded: Timestamp,
    faults: &Faults,
) -> Option<Effective> {
    match data.get("effective") {
        None => {
            let decides = match kind {
                EventKind::WorkerTerminated
                | EventKind::TerminationChanged
                | EventKind::WorkerMoved
                | EventKind::NhiRetired
                | EventKind::ApplicationRetired => true,
                EventKind::TerminationCancelled
                | EventKind::Rehired
                | EventKind::NhiSilent
                | EventKind::IdentifierRecycled
                | EventKind::CredentialCompromised
                | EventKind::LegalHoldPlaced
                | EventKind::LegalHoldLifted => false,
            };
            if decides && urgency == Urgency::Planned {
                faults.add(
                    Code::Effective,
                    "`data.effective` is missing: send local time and zone, \"immediately\", or \
                     urgency for_cause",
                );
                return None;
            }
            Some(Effective::Immediately)
        }
        Some(Value::String(word)) if word == "immediately" => Some(Effective::Immediately),
        Some(_) => {
            let fields = data.object("effective", Code::Effective)?;
            fields.only(&EFFECTIVE);
            let local = local(&fields);
            let zone = fields.required("zone", 64);
            let effective = Effective::At {
                local: local?,
                zone: zone?,
            };
            if effective.instant(recorded).is_err() {
                fields.fault(
                    "zone",
                    "is not an IANA time zone, such as Europe/Berlin (an offset is not a zone)",
                );
                return None;
            }
            Some(effective)
        }
    }
}

/// Date and time to the minute or finer, without offset: the parser would ignore an offset.
fn local(fields: &Fields<'_>) -> Option<DateTime> {
    let text = fields.required("local", 64)?;
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    let plain = ["0000-00-00T00:00", "0000-00-00T00:00:00"].contains(&shape.as_str())
        || shape
            .strip_prefix("0000-00-00T00:00:00.")
            .is_some_and(|f| (1..=9).contains(&f.len()) && f.bytes().all(|b| b == b'0'));
    let parsed = if plain { text.parse().ok() } else { None };
    if parsed.is_none() {
        fields.fault(
            "local",
            "is not a local date and time such as 2026-11-28T18:00:00: send it without offset, \
             and the zone beside it",
        );
    }
    parsed
}

fn connectors(data: &Fields<'_>, faults: &Faults) -> Vec<ConnectorName> {
    let mut names = BTreeSet::new();
    let empty = data.get("connectors").and_then(Value::as_array);
    if empty.is_some_and(Vec::is_empty) {
        faults.add(
            Code::Connector,
            "`data.connectors` is empty, which could mean all or none: leave it out for all",
        );
    }
    for member in data.list("connectors", CONNECTORS, Code::Connector) {
        let name = member.as_str().filter(|name| {
            (1..=64).contains(&name.len())
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        });
        match name {
            Some(name) => drop(names.insert(ConnectorName::from(name))),
            None => faults.add(
                Code::Connector,
                "`data.connectors` has a member that is no connector's name: names are lower-case \
                 letters, digits and `-`",
            ),
        }
    }
    names.into_iter().collect()
}

#[cfg(test)]
mod tests;
