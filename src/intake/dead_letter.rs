//! What becomes of a message that was not taken: a row that keeps it whole, and a copy for others.
//!
//! Owns the dead letter and its copy on `<topic>.dlq`, with Kafka Connect's error headers (which
//! topic browsers show) and our own. Both go into the store with the batch; the outbox sends the
//! copy. Headers carry codes and rules, no stack traces and nothing of the payload.

use crate::domain::id::{DeadLetterId, MessageId};
use crate::domain::settlement::OutboxMessage;
use crate::domain::time::Timestamp;
use crate::kafka::cloudevent::header;
use crate::store::DeadLetter;

use super::decode::RawMessage;
use super::rejection::{Code, Rejection};

const CONNECT: &str = "__connect.errors.";
const OWN: &str = "clawback-dlq-";

/// The dead-letter topic of a topic.
pub(super) fn topic_of(topic: &str) -> String {
    format!("{topic}.dlq")
}

/// The row and the copy.
pub(super) fn bury(
    message: &RawMessage,
    rejection: &Rejection,
    group: &str,
    first_seen: Timestamp,
) -> (DeadLetter, OutboxMessage) {
    let payload = message.payload.clone().unwrap_or_default();
    let id = DeadLetterId::of(&message.topic, message.partition, message.offset, &payload);
    let headers: Vec<(String, Vec<u8>)> = message
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().unwrap_or_default()))
        .collect();
    let too_large = rejection.code == Code::TooLarge;
    let copy = OutboxMessage {
        id: MessageId(id.0),
        topic: topic_of(&message.topic),
        key: message.key.clone().unwrap_or_default(),
        headers: copy_headers(message, rejection, group, first_seen, &headers, too_large),
        // With the headers on top the copy could be larger than the brokers take.
        payload: if too_large {
            Vec::new()
        } else {
            payload.clone()
        },
        created: first_seen,
    };
    let letter = DeadLetter {
        id,
        origin: message.origin(),
        key: message.key.clone(),
        headers,
        payload,
        code: rejection.code.as_str().to_owned(),
        reason: rejection.reason.clone(),
        first_seen,
        replayed: None,
        aside: None,
    };
    (letter, copy)
}

fn copy_headers(
    message: &RawMessage,
    rejection: &Rejection,
    group: &str,
    first_seen: Timestamp,
    original: &[(String, Vec<u8>)],
    too_large: bool,
) -> Vec<(String, Vec<u8>)> {
    // A message that fails again after a replay must not carry two sets of reasons.
    let mut headers: Vec<_> = original
        .iter()
        .filter(|(name, _)| !name.starts_with(CONNECT) && !name.starts_with(OWN))
        .cloned()
        .collect();
    if too_large {
        headers.clear();
    }
    let attempts = header(&message.headers, &format!("{OWN}attempts"))
        .and_then(|value| std::str::from_utf8(value).ok()?.parse::<u32>().ok())
        .unwrap_or(0)
        .saturating_add(1);
    let mut put = |name: String, value: String| headers.push((name, value.into_bytes()));
    let code = rejection.code.as_str();
    put(format!("{CONNECT}topic"), message.topic.clone());
    put(format!("{CONNECT}partition"), message.partition.to_string());
    put(format!("{CONNECT}offset"), message.offset.to_string());
    put(format!("{CONNECT}stage"), "VALUE_CONVERTER".to_owned());
    put(format!("{CONNECT}exception.class.name"), code.to_owned());
    put(
        format!("{CONNECT}exception.message"),
        rejection.reason.clone(),
    );
    put(format!("{OWN}reason"), code.to_owned());
    put(format!("{OWN}attempts"), attempts.to_string());
    put(format!("{OWN}first-seen"), first_seen.to_string());
    put(format!("{OWN}consumer-group"), group.to_owned());
    if too_large {
        put(format!("{OWN}payload"), "left out: too large".to_owned());
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: &[(&str, &str)]) -> RawMessage {
        RawMessage {
            topic: "identity.lifecycle.v1".into(),
            partition: 3,
            offset: 7,
            key: Some(b"acme/E1".to_vec()),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Some(value.as_bytes().to_vec())))
                .collect(),
            payload: Some(b"{\"name\": \"Ada\"".to_vec()),
            headers_broken: false,
        }
    }

    fn text<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Vec<&'a str> {
        headers
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| std::str::from_utf8(value).expect("text"))
            .collect()
    }

    #[test]
    fn a4_the_message_is_kept_whole_and_its_copy_says_why() {
        let message = message(&[("x", "1"), ("x", "2")]);
        let rejection = Rejection::new(Code::NotJson, "the event's data is not JSON");
        let now = Timestamp::UNIX_EPOCH;
        let (letter, copy) = bury(&message, &rejection, "clawback", now);
        assert_eq!(Some(&letter.payload), message.payload.as_ref());
        assert_eq!(letter.headers.len(), 2);
        assert_eq!(letter.code, "CB-INTAKE-3");
        assert_eq!(copy.topic, "identity.lifecycle.v1.dlq");
        assert_eq!(copy.payload, letter.payload);
        assert_eq!(copy.key, b"acme/E1");
        assert_eq!(text(&copy.headers, "x"), ["1", "2"]);
        for (name, value) in [
            ("__connect.errors.topic", "identity.lifecycle.v1"),
            ("__connect.errors.partition", "3"),
            ("__connect.errors.offset", "7"),
            ("__connect.errors.stage", "VALUE_CONVERTER"),
            ("__connect.errors.exception.class.name", "CB-INTAKE-3"),
            (
                "__connect.errors.exception.message",
                "the event's data is not JSON",
            ),
            ("clawback-dlq-reason", "CB-INTAKE-3"),
            ("clawback-dlq-attempts", "1"),
            ("clawback-dlq-first-seen", "1970-01-01T00:00:00Z"),
            ("clawback-dlq-consumer-group", "clawback"),
        ] {
            assert_eq!(text(&copy.headers, name), [value], "{name}");
        }
        // The same place with the same content is the same letter; a topic made anew is not.
        assert_eq!(bury(&message, &rejection, "clawback", now).0.id, letter.id);
        let other = RawMessage {
            payload: Some(b"x".to_vec()),
            ..message
        };
        assert_ne!(bury(&other, &rejection, "clawback", now).0.id, letter.id);
    }

    #[test]
    fn a_replayed_message_that_fails_again_counts_its_attempts() {
        let first = message(&[("clawback-replay-of", "…"), ("x", "1")]);
        let rejection = Rejection::new(Code::Subject, "`data.subject` is missing");
        let now = Timestamp::UNIX_EPOCH;
        let (_, copy) = bury(&first, &rejection, "clawback", now);
        let again = RawMessage {
            headers: copy
                .headers
                .into_iter()
                .map(|(name, value)| (name, Some(value)))
                .collect(),
            ..first
        };
        let (_, copy) = bury(&again, &rejection, "clawback", now);
        assert_eq!(text(&copy.headers, "clawback-dlq-attempts"), ["2"]);
        assert_eq!(text(&copy.headers, "__connect.errors.offset"), ["7"]);
        assert_eq!(text(&copy.headers, "x"), ["1"]);
    }

    #[test]
    fn what_is_too_large_is_kept_whole_but_not_sent_on() {
        let rejection = Rejection::new(Code::TooLarge, "too large");
        let (letter, copy) = bury(
            &message(&[("x", "1")]),
            &rejection,
            "clawback",
            Timestamp::UNIX_EPOCH,
        );
        assert!(!letter.payload.is_empty());
        assert!(copy.payload.is_empty());
        assert_eq!(
            text(&copy.headers, "clawback-dlq-payload"),
            ["left out: too large"]
        );
    }
}
