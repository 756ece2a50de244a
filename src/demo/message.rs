//! Lifecycle events as the company's HR system would put them on Kafka.
//!
//! Owns the form: CloudEvents 1.0 in structured mode with canonical data. Says nothing of which
//! event comes when.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Unit};
use serde_json::{Value, json};

use crate::domain::event::EventKind;
use crate::domain::time::Timestamp;

use super::company::{Person, TENANT};

/// One message for the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// How long after the start, or after the message before it.
    pub after: Duration,
    /// The key: tenant and subject.
    pub key: String,
    /// The value.
    pub payload: String,
    /// What it is, for the story in the terminal.
    pub about: String,
}

/// Where the events say that they come from.
const SOURCE: &str = "urn:acme:hr";

/// One event in the making.
#[derive(Debug, Clone)]
pub(super) struct Draft<'p> {
    pub(super) id: String,
    pub(super) kind: EventKind,
    pub(super) person: &'p Person,
    pub(super) case: String,
    pub(super) revision: u64,
    /// Access ends then; `None` means at once.
    pub(super) effective: Option<Timestamp>,
    pub(super) for_cause: bool,
    pub(super) reason: &'p str,
}

impl Draft<'_> {
    /// The CloudEvent.
    pub(super) fn event(&self, now: Timestamp) -> Value {
        let mut data = json!({
            "subject": self.person.as_subject(),
            "case_id": self.case,
            "revision": self.revision,
            "urgency": if self.for_cause { "for_cause" } else { "planned" },
            "reason": self.reason,
        });
        data["effective"] = match self.effective {
            None => "immediately".into(),
            Some(at) => local(at, self.person.zone),
        };
        json!({
            "specversion": "1.0",
            "id": self.id,
            "source": SOURCE,
            "type": self.kind.as_str(),
            "subject": format!("{TENANT}/{}", self.person.number),
            "time": now.to_string(),
            "datacontenttype": "application/json",
            "data": data,
        })
    }

    /// The message, `after` the one before it.
    pub(super) fn message(&self, now: Timestamp, after: Duration, about: &str) -> Message {
        Message {
            after,
            key: format!("{TENANT}/{}", self.person.number),
            payload: self.event(now).to_string(),
            about: format!("{} {about}", self.person.display_name()),
        }
    }
}

/// Wall-clock time in a zone, as HR systems keep it: whole seconds, rounded up, so that it is not
/// before `at`.
fn local(at: Timestamp, zone: &str) -> Value {
    let up = at
        .saturating_add(SignedDuration::from_millis(999))
        .unwrap_or(at);
    let tz = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let local = up.to_zoned(tz).datetime();
    let whole = local
        .round(
            jiff::civil::DateTimeRound::new()
                .smallest(Unit::Second)
                .mode(jiff::RoundMode::Trunc),
        )
        .unwrap_or(local);
    json!({"local": whole.to_string(), "zone": zone})
}

/// The instant `seconds` after `now`.
pub(super) fn in_seconds(now: Timestamp, seconds: u64) -> Timestamp {
    crate::domain::time::after(now, seconds)
}
