//! From a Kafka record to a recorded event, or to the reason why not.
//!
//! Owns the steps in their order: size, CloudEvents binding, canonical event, trace context,
//! digest. Pure: bytes and a time in, a value out. Neither panics nor repeats what a payload holds,
//! whatever the bytes are.

use sha2::{Digest, Sha256};

use crate::domain::event::{LifecycleEvent, Origin, RecordedEvent};
use crate::domain::time::Timestamp;
use crate::kafka::CloudEvent;
use crate::kafka::cloudevent::header;

use super::canonical;
use super::rejection::{Code, Rejection};

/// A record as it came from Kafka.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawMessage {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Headers in order; `None` for a null header.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Value; `None` for a tombstone.
    pub payload: Option<Vec<u8>>,
    /// The headers could not be read: a name is not UTF-8.
    pub headers_broken: bool,
}

impl RawMessage {
    /// Key, headers and value together, in bytes.
    pub fn size(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len))
            .sum();
        headers + self.key.as_ref().map_or(0, Vec::len) + self.payload.as_ref().map_or(0, Vec::len)
    }

    /// Where it came from, with the trace context of its headers.
    pub fn origin(&self) -> Origin {
        self.origin_with(None)
    }

    /// As [`Self::origin`]; where the headers have no trace context the event's own attributes
    /// stand in (CloudEvents distributed tracing extension).
    fn origin_with(&self, event: Option<&CloudEvent>) -> Origin {
        let of = |name: &str| {
            header(&self.headers, name)
                .and_then(|value| std::str::from_utf8(value).ok())
                .or_else(|| event.and_then(|event| event.attribute(name)))
                .map(str::trim)
        };
        let traceparent = of("traceparent").filter(|text| is_traceparent(text));
        let tracestate = of("tracestate").filter(|text| {
            let visible = text.bytes().all(|b| (0x20..0x7f).contains(&b));
            visible && !text.is_empty() && text.len() <= 512
        });
        Origin {
            topic: self.topic.clone(),
            partition: self.partition,
            offset: self.offset,
            traceparent: traceparent.map(str::to_owned),
            // Without a traceparent a tracestate means nothing (Trace Context §3.3.1).
            tracestate: traceparent.and(tracestate).map(str::to_owned),
        }
    }
}

/// Decodes one record. `bytes_max` is the largest that is read at all.
pub fn decode(
    message: &RawMessage,
    recorded: Timestamp,
    bytes_max: usize,
) -> Result<RecordedEvent, Rejection> {
    if message.size() > bytes_max {
        return Err(Rejection::new(
            Code::TooLarge,
            format!(
                "the message is larger than {bytes_max} bytes: send the event without attachments"
            ),
        ));
    }
    if message.headers_broken {
        return Err(Rejection::new(
            Code::Attribute,
            "the name of a header is not UTF-8: send header names in ASCII",
        ));
    }
    let cloud_event = CloudEvent::read(&message.headers, message.payload.as_deref())?;
    let event = canonical::lifecycle_event(&cloud_event, recorded)?;
    Ok(RecordedEvent {
        payload_digest: digest(&event),
        origin: message.origin_with(Some(&cloud_event)),
        event,
        recorded,
    })
}

/// SHA-256 of the canonical event without its `time`: sources stamp a repeat anew, and nothing is
/// decided by that time.
fn digest(event: &LifecycleEvent) -> String {
    let timeless = LifecycleEvent {
        occurred: None,
        ..event.clone()
    };
    let bytes = serde_json::to_vec(&timeless).expect("plain data with text keys serialises");
    hex::encode(Sha256::digest(bytes))
}

/// `version-traceid-parentid-flags` in lower-case hex, no field all zero (Trace Context §3.2).
fn is_traceparent(text: &str) -> bool {
    let fields: Vec<_> = text.split('-').collect();
    let hex = |field: &str, length: usize| {
        field.len() == length
            && field
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let set = |field: &str| field.bytes().any(|b| b != b'0');
    match fields.as_slice() {
        [version, trace, parent, flags, rest @ ..] => {
            hex(version, 2)
                && *version != "ff"
                && (rest.is_empty() || *version != "00")
                && hex(trace, 32)
                && set(trace)
                && hex(parent, 16)
                && set(parent)
                && hex(flags, 2)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
