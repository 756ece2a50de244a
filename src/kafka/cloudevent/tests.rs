//! The binding against the specification's own examples, and against what breaks readers.
//!
//! Examples are from the Kafka protocol binding §3 and the JSON event format §3.2 and §4 of
//! CloudEvents 1.0.2. Does not test lifecycle events.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, Option<Vec<u8>>)> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), Some(value.as_bytes().to_vec())))
        .collect()
}

#[test]
fn the_specs_structured_example() {
    let value = br#"{
        "specversion" : "1.0", "type" : "com.example.someevent",
        "source" : "/mycontext/subcontext", "id" : "1234-1234-1234",
        "time" : "2018-04-05T03:56:24Z", "datacontenttype" : "application/xml",
        "data" : "<much wow=\"xml\"/>" }"#;
    for content_type in [
        "application/cloudevents+json; charset=UTF-8",
        "Application/CloudEvents+JSON",
        "application/cloudevents",
    ] {
        let headers = headers(&[("Content-Type", content_type)]);
        let event = CloudEvent::read(&headers, Some(value)).expect("an event");
        assert_eq!(event.id, "1234-1234-1234");
        assert_eq!(event.source, "/mycontext/subcontext");
        assert_eq!(event.kind, "com.example.someevent");
        assert_eq!(event.attribute("time"), Some("2018-04-05T03:56:24Z"));
        assert_eq!(
            event.data,
            Some(Data::Bytes(br#"<much wow="xml"/>"#.to_vec()))
        );
    }
}

#[test]
fn the_specs_binary_example() {
    let headers = headers(&[
        ("ce_specversion", "1.0"),
        ("ce_type", "com.example.someevent"),
        ("ce_source", "/mycontext/subcontext"),
        ("ce_id", "1234-1234-1234"),
        ("ce_time", "2018-04-05T03:56:24Z"),
        ("content-type", "application/avro"),
    ]);
    let event = CloudEvent::read(&headers, Some(&[0, 159, 146, 150])).expect("an event");
    assert_eq!(event.kind, "com.example.someevent");
    assert_eq!(event.attribute("datacontenttype"), Some("application/avro"));
    assert_eq!(event.data, Some(Data::Bytes(vec![0, 159, 146, 150])));
}

#[test]
fn the_specs_json_examples() {
    let base = json!({"specversion": "1.0", "type": "com.example.someevent", "source": "/mycontext",
        "subject": null, "id": "C234-1234-1234", "time": "2018-04-05T17:31:00Z",
        "comexampleextension1": "value", "comexampleothervalue": 5, "unsetextension": null});
    let read = |extra: Value| {
        let mut map = base.as_object().expect("an object").clone();
        map.extend(extra.as_object().expect("an object").clone());
        CloudEvent::from_object(map)
    };
    let event = read(json!({"datacontenttype": "application/json",
        "data": {"appinfoA": "abc", "appinfoB": 123, "appinfoC": true}}))
    .expect("an event");
    assert_eq!(
        event.data,
        Some(Data::Json(
            json!({"appinfoA": "abc", "appinfoB": 123, "appinfoC": true})
        ))
    );
    assert_eq!(event.attribute("comexampleothervalue"), Some("5"));
    assert_eq!(event.attribute("subject"), None);
    assert_eq!(event.attribute("unsetextension"), None);
    let text = read(json!({"data": "I'm just a string"})).expect("an event");
    assert_eq!(text.data, Some(Data::Json("I'm just a string".into())));
    let thrift = read(
        json!({"datacontenttype": "application/vnd.apache.thrift.binary",
        "data_base64": "AAEC"}),
    )
    .expect("an event");
    assert_eq!(thrift.data, Some(Data::Bytes(vec![0, 1, 2])));
    let json = read(json!({"data_base64": "eyJhIjoxfQ=="})).expect("an event");
    assert_eq!(json.data, Some(Data::Json(json!({"a": 1}))));
    for wrong in [
        json!({"data": 1, "data_base64": "AAEC"}),
        json!({"data_base64": "?"}),
        json!({"data_base64": 3}),
    ] {
        assert_eq!(read(wrong), Err(Unreadable::Base64));
    }
}

#[test]
fn repeated_and_null_headers_are_safe_and_the_last_one_counts() {
    let mut all = headers(&[
        ("CE_SpecVersion", "1.0"),
        ("ce_id", "1"),
        ("ce_type", "t"),
        ("ce_source", "/s"),
        ("ce_subject", "a"),
        ("CE_ID", "2"),
    ]);
    all.push(("ce_id".to_owned(), None));
    all.push(("ce_subject".to_owned(), None));
    all.push(("content-type".to_owned(), None));
    let event = CloudEvent::read(&all, Some(b"{}")).expect("an event");
    assert_eq!(event.id, "2");
    assert_eq!(event.data, Some(Data::Json(json!({}))));
    assert_eq!(CloudEvent::read(&all, None).expect("an event").data, None);
}

#[test]
fn what_is_no_event_says_what_to_do() {
    let structured = headers(&[("content-type", "application/cloudevents+json")]);
    let read = |value: &str| CloudEvent::read(&structured, Some(value.as_bytes()));
    assert_eq!(
        CloudEvent::read(&[], Some(b"{}")),
        Err(Unreadable::NotACloudEvent)
    );
    assert_eq!(CloudEvent::read(&[], None), Err(Unreadable::NotACloudEvent));
    assert!(matches!(read(""), Err(Unreadable::NotJson(..))));
    assert!(matches!(
        read("{\"id\": \"Ada"),
        Err(Unreadable::NotJson(..))
    ));
    assert_eq!(read("[]"), Err(Unreadable::Format));
    assert_eq!(read("3"), Err(Unreadable::NotACloudEvent));
    assert_eq!(
        read(r#"{"specversion":"0.3"}"#),
        Err(Unreadable::SpecVersion)
    );
    assert_eq!(read("{}"), Err(Unreadable::Missing("specversion")));
    assert_eq!(
        read(r#"{"specversion":"1.0","id":" ","source":"/","type":"t"}"#),
        Err(Unreadable::Missing("id"))
    );
    for wrong in [
        r#"{"specversion":"1.0","id":"1","source":"/","type":"t","sub":{"a":1}}"#,
        r#"{"specversion":"1.0","id":"1","source":"/","type":"t","Sub":"x"}"#,
        r#"{"specversion":"1.0","id":"1\u0000","source":"/","type":"t"}"#,
    ] {
        assert!(
            matches!(read(wrong), Err(Unreadable::Attribute(..))),
            "{wrong}"
        );
    }
    for format in [
        "application/cloudevents-batch+json",
        "application/cloudevents+avro",
    ] {
        assert_eq!(
            CloudEvent::read(&headers(&[("content-type", format)]), Some(b"[]")),
            Err(Unreadable::Format)
        );
    }
    let binary = headers(&[
        ("ce_specversion", "1.0"),
        ("ce_id", "1"),
        ("ce_type", "t"),
        ("ce_source", "/"),
    ]);
    assert!(matches!(
        CloudEvent::read(&binary, Some(b"{oh")),
        Err(Unreadable::NotJson("the event's data", ..))
    ));
}

#[test]
fn the_words_never_repeat_the_payload() {
    let structured = headers(&[("content-type", "application/cloudevents+json")]);
    for value in [
        r#"{"specversion":"1.0","id":"1","Ada Lovelace":{"x":1}}"#,
        r#"{"specversion":"1.0","id":"Ada Lovelace""#,
        r#"{"specversion":"1.0","id":"Ada Lovelace\n","source":"/","type":"t"}"#,
        r#"{"specversion":"Ada Lovelace"}"#,
    ] {
        let error = CloudEvent::read(&structured, Some(value.as_bytes())).expect_err(value);
        assert!(!error.to_string().contains("Lovelace\""), "{error}");
    }
}

fn event() -> impl Strategy<Value = CloudEvent> {
    let text = "[^\\p{C}]{0,12}";
    let filled = "[a-zA-Z0-9:/._-]{1,12}";
    (
        filled,
        filled,
        filled,
        proptest::collection::btree_map("[a-z][a-z0-9]{0,8}", text, 0..4),
        proptest::option::of(text.prop_map(|t| Data::Json(json!({ "t": t })))),
    )
        .prop_map(|(id, source, kind, mut attributes, data)| {
            for taken in [
                "specversion",
                "id",
                "source",
                "type",
                "data",
                "datacontenttype",
            ] {
                attributes.remove(taken);
            }
            if data.is_some() {
                attributes.insert("datacontenttype".into(), "application/json".into());
            }
            CloudEvent {
                id,
                source,
                kind,
                attributes,
                data,
            }
        })
}

proptest! {
    #[test]
    fn what_is_written_in_either_mode_is_read_back(event in event()) {
        for mode in [Mode::Structured, Mode::Binary] {
            let record = event.write(mode);
            let headers: Vec<_> = record.headers.into_iter().map(|(k, v)| (k, Some(v))).collect();
            prop_assert_eq!(CloudEvent::read(&headers, record.value.as_deref()), Ok(event.clone()));
        }
    }

    #[test]
    fn arbitrary_records_never_panic(
        headers in proptest::collection::vec(
            ("(?i)(ce_[a-z]{0,8}|content-type|.{0,8})", proptest::option::of(any::<Vec<u8>>())), 0..8),
        value in proptest::option::of(any::<Vec<u8>>()),
    ) {
        let _ = CloudEvent::read(&headers, value.as_deref());
    }
}
