//! Decoding: trace context, digest, size, and that no bytes make it panic.
//!
//! Owns records around one sound event. The canonical event has its own tests.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::event::EventKind;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const LIMIT: usize = 64 * 1024;

fn event() -> Value {
    json!({"specversion": "1.0", "id": "1", "source": "urn:hr", "type": "clawback.worker.terminated.v1",
        "data": {"subject": {"kind": "person", "tenant": "acme", "id": "E1",
            "identifiers": [{"type": "a", "value": "1"}, {"type": "b", "value": "2"}]},
        "revision": 1, "urgency": "for_cause"}})
}

fn record(event: &Value, headers: &[(&str, &str)]) -> RawMessage {
    let mut all = vec![(
        "content-type".to_owned(),
        Some(b"application/cloudevents+json".to_vec()),
    )];
    all.extend(
        headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Some(value.as_bytes().to_vec()))),
    );
    RawMessage {
        topic: "t".into(),
        partition: 2,
        offset: 40,
        headers: all,
        payload: Some(event.to_string().into_bytes()),
        ..RawMessage::default()
    }
}

fn read(event: &Value, headers: &[(&str, &str)]) -> RecordedEvent {
    decode(&record(event, headers), Timestamp::UNIX_EPOCH, LIMIT).expect("an event")
}

#[test]
fn a6_the_trace_context_of_the_headers_is_taken_over() {
    let origin = read(&event(), &[("Traceparent", TRACE), ("tracestate", "a=b")]).origin;
    assert_eq!((origin.partition, origin.offset), (2, 40));
    assert_eq!(origin.traceparent.as_deref(), Some(TRACE));
    assert_eq!(origin.tracestate.as_deref(), Some("a=b"));
    // The last header counts; the event's own attribute only where there is no header.
    let mut with = event();
    with["traceparent"] = json!(TRACE);
    assert_eq!(read(&with, &[]).origin.traceparent.as_deref(), Some(TRACE));
    let other = TRACE.replace("4bf9", "5bf9");
    let origin = read(&with, &[("traceparent", TRACE), ("traceparent", &other)]).origin;
    assert_eq!(origin.traceparent, Some(other));
    for wrong in [
        "",
        "00-0-0-0",
        &TRACE.to_uppercase(),
        &TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
        &format!("{TRACE}-more"),
        &TRACE.replacen("00", "ff", 1),
    ] {
        let origin = read(&event(), &[("traceparent", wrong), ("tracestate", "a=b")]).origin;
        assert_eq!(
            (origin.traceparent, origin.tracestate),
            (None, None),
            "{wrong}"
        );
    }
}

#[test]
fn a3_a_repeat_has_the_same_digest_and_another_payload_has_another() {
    let first = read(&event(), &[]);
    let mut again = event();
    again["time"] = json!("2026-11-20T08:00:00Z");
    again["data"]["subject"]["identifiers"] =
        json!([{"type": "b", "value": "2"}, {"type": "a", "value": "1"}]);
    let again = read(&again, &[("traceparent", TRACE)]);
    assert_eq!(again.event.key(), first.event.key());
    assert_eq!(again.payload_digest, first.payload_digest);
    let mut forged = event();
    forged["data"]["subject"]["id"] = json!("E2");
    assert_ne!(read(&forged, &[]).payload_digest, first.payload_digest);
}

#[test]
fn what_is_too_large_is_not_even_parsed() {
    let mut message = record(&event(), &[]);
    message.payload = Some(vec![b'['; LIMIT + 1]);
    let rejection = decode(&message, Timestamp::UNIX_EPOCH, LIMIT).expect_err("too large");
    assert_eq!(rejection.code, Code::TooLarge);
    // Deep nesting within the limit is refused and does not exhaust the stack.
    message.payload = Some(vec![b'['; LIMIT / 2]);
    let rejection = decode(&message, Timestamp::UNIX_EPOCH, LIMIT).expect_err("nested");
    assert_eq!(rejection.code, Code::NotJson);
}

#[test]
fn a_header_name_that_is_not_text_is_a_reason_and_not_the_end() {
    let mut message = record(&event(), &[]);
    message.headers_broken = true;
    let rejection = decode(&message, Timestamp::UNIX_EPOCH, LIMIT).expect_err("unreadable");
    assert_eq!(rejection.code, Code::Attribute);
}

#[test]
fn every_rejection_code_has_a_heading_in_the_error_page() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md"))
        .expect("the page");
    for code in Code::ALL {
        let heading = format!("### {}: ", code.as_str());
        assert!(page.contains(&heading), "{heading}");
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        "[0-9T:Z+.-]{0,25}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z_]{1,12}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a4_arbitrary_bytes_never_panic(
        headers in proptest::collection::vec(
            (prop_oneof!["ce_[a-z]{0,8}", Just("content-type".to_owned()), ".{0,12}"],
             proptest::option::of(prop_oneof![
                any::<Vec<u8>>(),
                Just(b"application/cloudevents+json".to_vec()),
                Just(b"1.0".to_vec())])), 0..8),
        payload in proptest::option::of(any::<Vec<u8>>()),
        key in proptest::option::of(any::<Vec<u8>>()),
    ) {
        let message = RawMessage { headers, payload, key, ..RawMessage::default() };
        if let Err(rejection) = decode(&message, Timestamp::UNIX_EPOCH, LIMIT) {
            prop_assert!(rejection.code.as_str().starts_with("CB-INTAKE-"));
        }
    }

    #[test]
    fn a4_arbitrary_data_never_panics_and_what_is_read_is_whole(
        kind in proptest::sample::select(EventKind::ALL.to_vec()),
        place in proptest::sample::select(vec!["/data", "/data/subject", "/data/effective", "/data/revision",
            "/data/subject/id", "/data/subject/identifiers", "/data/effective/local", "/data/effective/zone",
            "/data/connectors", "/data/urgency", "/time", "/id"]),
        value in json_value(),
    ) {
        let mut event = event();
        event["type"] = json!(kind.as_str());
        event["time"] = json!("2026-11-20T08:00:00Z");
        event["data"]["effective"] = json!({"local": "2026-11-28T18:00", "zone": "UTC"});
        event["data"]["connectors"] = json!(["a"]);
        *event.pointer_mut(place).expect("the place") = value;
        if let Ok(read) = decode(&record(&event, &[]), Timestamp::UNIX_EPOCH, LIMIT) {
            prop_assert!(!read.event.subject.id.trim().is_empty());
            prop_assert!(read.event.effective.instant(Timestamp::UNIX_EPOCH).is_ok());
            prop_assert!(!read.event.id.is_empty());
        }
    }
}
