//! Lifecycle events in canonical form.
//!
//! Owns the event kinds and what intake hands to admission. Cases are decided by HR case and
//! revision, never by order of arrival. Does not know the wire format; that is `intake`.

use serde::{Deserialize, Serialize};

use super::id::EventKey;
use super::subject::Subject;
use super::time::{Effective, Timestamp, after};

/// What happened to the subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EventKind {
    /// A person leaves.
    #[serde(rename = "clawback.worker.terminated.v1")]
    WorkerTerminated,
    /// The instant or the manner of a termination changed.
    #[serde(rename = "clawback.worker.termination-changed.v1")]
    TerminationChanged,
    /// A termination was called off.
    #[serde(rename = "clawback.worker.termination-cancelled.v1")]
    TerminationCancelled,
    /// A former worker is back.
    #[serde(rename = "clawback.worker.rehired.v1")]
    Rehired,
    /// A worker changed role.
    #[serde(rename = "clawback.worker.moved.v1")]
    WorkerMoved,
    /// A service account, API client, bot or agent is retired.
    #[serde(rename = "clawback.nhi.retired.v1")]
    NhiRetired,
    /// The record of a service account, API client, bot or agent has stopped updating.
    #[serde(rename = "clawback.nhi.silent.v1")]
    NhiSilent,
    /// A name or address now belongs to somebody else.
    #[serde(rename = "clawback.identifier.recycled.v1")]
    IdentifierRecycled,
    /// An application is retired with all access in it.
    #[serde(rename = "clawback.application.retired.v1")]
    ApplicationRetired,
    /// A credential is known to others.
    #[serde(rename = "clawback.credential.compromised.v1")]
    CredentialCompromised,
    /// Data of the subject must be kept.
    #[serde(rename = "clawback.legal-hold.placed.v1")]
    LegalHoldPlaced,
    /// Data of the subject need no longer be kept.
    #[serde(rename = "clawback.legal-hold.lifted.v1")]
    LegalHoldLifted,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::WorkerTerminated,
        Self::TerminationChanged,
        Self::TerminationCancelled,
        Self::Rehired,
        Self::WorkerMoved,
        Self::NhiRetired,
        Self::NhiSilent,
        Self::IdentifierRecycled,
        Self::ApplicationRetired,
        Self::CredentialCompromised,
        Self::LegalHoldPlaced,
        Self::LegalHoldLifted,
    ];

    /// The CloudEvents `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WorkerTerminated => "clawback.worker.terminated.v1",
            Self::TerminationChanged => "clawback.worker.termination-changed.v1",
            Self::TerminationCancelled => "clawback.worker.termination-cancelled.v1",
            Self::Rehired => "clawback.worker.rehired.v1",
            Self::WorkerMoved => "clawback.worker.moved.v1",
            Self::NhiRetired => "clawback.nhi.retired.v1",
            Self::NhiSilent => "clawback.nhi.silent.v1",
            Self::IdentifierRecycled => "clawback.identifier.recycled.v1",
            Self::ApplicationRetired => "clawback.application.retired.v1",
            Self::CredentialCompromised => "clawback.credential.compromised.v1",
            Self::LegalHoldPlaced => "clawback.legal-hold.placed.v1",
            Self::LegalHoldLifted => "clawback.legal-hold.lifted.v1",
        }
    }

    /// The kind with this CloudEvents `type`.
    pub fn from_type(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// How soon access must go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// For cause: at once, before all planned departures.
    ForCause,
    /// At the effective instant.
    Planned,
}

/// One lifecycle event, decoded and mapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleEvent {
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `id`, unique within the source.
    pub id: String,
    /// What happened.
    pub kind: EventKind,
    /// CloudEvents `time`, when the source gave one.
    pub occurred: Option<Timestamp>,
    /// Whom or what it happened to.
    pub subject: Subject,
    /// The source's case, the same over all revisions; the subject's id where it has none.
    pub hr_case: String,
    /// Counts the revisions of the case; a lower one never overrules a higher one.
    pub revision: u64,
    /// When access ends.
    pub effective: Effective,
    /// For cause or planned.
    pub urgency: Urgency,
    /// Why, in the source's words; shown to operators.
    pub reason: Option<String>,
    /// Limits the case to these connectors; empty means every connector.
    #[serde(default)]
    pub connectors: Vec<super::id::ConnectorName>,
}

impl LifecycleEvent {
    /// The key under which the event is recorded.
    pub fn key(&self) -> EventKey {
        EventKey::of(&self.source, &self.id)
    }
}

/// Where on Kafka (or elsewhere) a message came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Topic, or `http` for the HTTP door.
    pub topic: String,
    /// Partition, 0 outside Kafka.
    pub partition: i32,
    /// Offset, -1 outside Kafka.
    pub offset: i64,
    /// W3C `traceparent` header as it came.
    pub traceparent: Option<String>,
    /// W3C `tracestate` header as it came.
    pub tracestate: Option<String>,
}

/// An event as intake records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedEvent {
    /// The event.
    pub event: LifecycleEvent,
    /// Where it came from.
    pub origin: Origin,
    /// When intake recorded it.
    pub recorded: Timestamp,
    /// SHA-256 of the canonical event as hex: the same id with another payload is an attack or a
    /// broken source, not a duplicate.
    pub payload_digest: String,
}

/// Clocks of sources may be ahead by so many seconds.
const AHEAD_SECONDS: u64 = 300;

impl RecordedEvent {
    /// When its source told it. A time after it was heard of says nothing about the order of news.
    pub fn told_at(&self) -> Option<Timestamp> {
        let latest = after(self.recorded, AHEAD_SECONDS);
        self.event.occurred.filter(|told| *told <= latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serialised_name_of_a_kind_is_its_cloudevents_type() {
        for kind in EventKind::ALL {
            assert_eq!(
                serde_json::to_value(kind).expect("serialises"),
                serde_json::Value::from(kind.as_str())
            );
            assert_eq!(EventKind::from_type(kind.as_str()), Some(kind));
        }
    }
}
