//! The canonical event: what decides is strict, and samples, schemas and decoder agree.
//!
//! Owns one sound event and the faults that can be planted in it. The samples and schemas under
//! `docs` are read as they are published.

mod texts;

use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;

fn sound() -> Value {
    json!({
        "subject": {
            "kind": "person", "tenant": "acme", "id": "E1", "display_name": "Ada",
            "identifiers": [{"type": "username", "value": "ada"}],
        },
        "case_id": "HR-1", "revision": 3,
        "effective": {"local": "2026-11-28T18:00:00", "zone": "Australia/Melbourne"},
        "urgency": "planned", "reason": "Resignation", "connectors": ["crm"], "extra": {"x": [1]},
    })
}

fn read_as(kind: &str, data: Value) -> Result<LifecycleEvent, Rejection> {
    let event = json!({"specversion": "1.0", "id": "1", "source": "urn:hr", "type": kind,
        "time": "2026-11-20T08:00:00Z", "data": data});
    let event = CloudEvent::from_json(event.to_string().as_bytes()).expect("a CloudEvent");
    lifecycle_event(&event, Timestamp::UNIX_EPOCH)
}

fn read(data: Value) -> Result<LifecycleEvent, Rejection> {
    read_as("clawback.worker.terminated.v1", data)
}

/// The code after `change`.
fn code(change: impl FnOnce(&mut Value)) -> Option<Code> {
    let mut data = sound();
    change(&mut data);
    read(data).err().map(|rejection| rejection.code)
}

#[test]
fn a_sound_event_is_read_whole() {
    let event = read(sound()).expect("an event");
    assert_eq!(event.kind, EventKind::WorkerTerminated);
    assert_eq!(
        event.occurred.map(|t| t.to_string()).as_deref(),
        Some("2026-11-20T08:00:00Z")
    );
    assert_eq!((event.hr_case.as_str(), event.revision), ("HR-1", 3));
    assert_eq!(event.urgency, Urgency::Planned);
    assert_eq!(event.connectors, [ConnectorName::from("crm")]);
    assert_eq!(event.subject.identifier("id"), Some("E1"));
    assert_eq!(event.subject.identifier("username"), Some("ada"));
    assert_eq!(
        event
            .effective
            .instant(Timestamp::UNIX_EPOCH)
            .expect("an instant")
            .to_string(),
        "2026-11-28T07:00:00Z"
    );
}

#[test]
fn what_may_be_left_out_has_a_meaning() {
    let mut data = sound();
    let map = data.as_object_mut().expect("an object");
    for key in ["case_id", "urgency", "reason", "connectors", "extra"] {
        map.remove(key);
    }
    let event = read(data).expect("an event");
    assert_eq!(event.hr_case, "E1");
    assert_eq!(event.urgency, Urgency::Planned);
    assert!(event.connectors.is_empty());
    let short = json!({"subject": {"kind": "nhi", "tenant": "acme", "id": "svc"}, "revision": 0});
    let event = read_as("clawback.credential.compromised.v1", short).expect("an event");
    assert_eq!(
        (event.urgency, event.effective),
        (Urgency::ForCause, Effective::Immediately)
    );
}

#[test]
fn a5_everything_that_decides_is_strict() {
    #[allow(clippy::type_complexity)] // A table of names and changes.
    let cases: [(Code, fn(&mut Value)); 33] = [
        (Code::Subject, |d| d["subject"] = Value::Null),
        (Code::Subject, |d| d["subject"] = json!("Ada")),
        (Code::Subject, |d| d["subject"]["id"] = Value::Null),
        (Code::Subject, |d| d["subject"]["id"] = json!(17)),
        (Code::Subject, |d| d["subject"]["id"] = json!(" E1")),
        (Code::Subject, |d| d["subject"]["id"] = json!("E1\u{0}")),
        (Code::Subject, |d| {
            d["subject"]["id"] = json!("x".repeat(513));
        }),
        (Code::Subject, |d| d["subject"]["tenant"] = json!("a/b")),
        (Code::Subject, |d| d["subject"]["kind"] = json!("nhi")),
        (Code::Subject, |d| d["subject"]["kind"] = json!("human")),
        (Code::Subject, |d| d["subject"]["privileged"] = json!("yes")),
        (Code::Identifier, |d| {
            d["subject"]["identifiers"] = json!({});
        }),
        (Code::Identifier, |d| {
            d["subject"]["identifiers"] = json!([3]);
        }),
        (Code::Identifier, |d| {
            d["subject"]["identifiers"] = json!([{"type": "upn"}]);
        }),
        (Code::Identifier, |d| {
            d["subject"]["identifiers"] = json!([{"type": "UPN", "value": "x"}]);
        }),
        (Code::Identifier, |d| {
            d["subject"]["identifiers"] = json!([{"type": "id", "value": "E2"}]);
        }),
        (Code::Revision, |d| d["revision"] = Value::Null),
        (Code::Revision, |d| d["revision"] = json!("3")),
        (Code::Revision, |d| d["revision"] = json!(-1)),
        (Code::Revision, |d| d["revision"] = json!(1.5)),
        (Code::Effective, |d| d["effective"] = Value::Null),
        (Code::Effective, |d| d["effective"] = json!("soon")),
        (Code::Effective, |d| {
            d["effective"]["zone"] = json!("Mars/Olympus");
        }),
        (Code::Effective, |d| {
            d["effective"]["zone"] = json!("+10:00");
        }),
        (Code::Effective, |d| d["effective"]["zone"] = Value::Null),
        (Code::Effective, |d| {
            d["effective"]["local"] = json!("2026-11-28");
        }),
        (Code::Effective, |d| {
            d["effective"]["local"] = json!("2026-11-28T18:00:00Z");
        }),
        (Code::Effective, |d| {
            d["effective"]["local"] = json!("2026-11-28T18:00:00+10:00");
        }),
        (Code::Effective, |d| {
            d["effective"]["local"] = json!("2026-02-30T18:00:00");
        }),
        (Code::Urgency, |d| d["urgency"] = json!("immediate")),
        (Code::Connector, |d| d["connectors"] = json!(["CRM"])),
        (Code::Connector, |d| d["connectors"] = json!([])),
        (Code::Field, |d| d["effectiv"] = json!({})),
    ];
    for (place, (expected, plant)) in cases.into_iter().enumerate() {
        assert_eq!(code(plant), Some(expected), "case {place}");
    }
    assert_eq!(
        code(|d| d["subject"]["name"] = json!("Ada")),
        Some(Code::Field)
    );
    assert_eq!(code(|_| {}), None);
}

#[test]
fn e5_an_account_is_named_with_its_target() {
    for (account, fault) in [
        ("17", true),
        ("/17", true),
        ("crm/", true),
        ("crm/17", false),
    ] {
        let told =
            code(|d| d["subject"]["identifiers"] = json!([{"type": "account", "value": account}]));
        assert_eq!(told, fault.then_some(Code::Identifier), "{account}");
    }
}

#[test]
fn only_a_departure_for_cause_may_leave_its_instant_out() {
    let leave_out = |urgency: &str| {
        code(|d| {
            d["effective"] = Value::Null;
            d["urgency"] = json!(urgency);
        })
    };
    assert_eq!(leave_out("planned"), Some(Code::Effective));
    assert_eq!(leave_out("for_cause"), None);
    assert_eq!(code(|d| d["effective"] = json!("immediately")), None);
}

#[test]
fn unknown_types_and_versions_are_told_apart() {
    let of = |kind| read_as(kind, sound()).expect_err("unknown").code;
    assert_eq!(of("clawback.worker.terminated.v2"), Code::UnknownVersion);
    assert_eq!(of("clawback.worker.promoted.v1"), Code::UnknownType);
    assert_eq!(of("com.example.order"), Code::UnknownType);
}

#[test]
fn unknown_fields_are_named_where_they_are_names() {
    let mut data = sound();
    data["effectiv"] = json!("immediately");
    data["subject"]["displayName"] = json!("Ada");
    data["subject"]["ada@example.com"] = json!(true);
    let rejection = read(data).expect_err("is refused");
    for words in [
        "`data` has `effectiv`, which",
        "`data.subject` has `displayName` and 1 more, which",
    ] {
        assert!(rejection.reason.contains(words), "{}", rejection.reason);
    }
    assert!(!rejection.reason.contains("ada@"), "{}", rejection.reason);
}

#[test]
fn a4_how_words_for_people_are_spaced_keeps_no_departure_back() {
    let mut data = sound();
    data["reason"] = json!("Resignation,\nby mutual consent ");
    data["subject"]["display_name"] = json!("\tAda Lovelace ");
    let event = read(data).expect("an event");
    let reason = event.reason.expect("told");
    assert_eq!(reason, "Resignation, by mutual consent");
    assert_eq!(event.subject.display_name.as_deref(), Some("Ada Lovelace"));
    let mut data = sound();
    data["reason"] = json!(" \n ");
    assert_eq!(read(data).expect("an event").reason, None);
}

#[test]
fn all_faults_are_told_at_once_and_none_repeats_the_payload() {
    let mut data = sound();
    data["subject"]["id"] = json!("Lovelace\n");
    data["subject"]["Lovelace"] = json!(1);
    data["revision"] = json!("Lovelace");
    data["effective"] = json!({"local": "Lovelace", "zone": "Lovelace"});
    data["urgency"] = json!("Lovelace");
    data["connectors"] = json!(["Lovelace"]);
    let rejection = read(data).expect_err("many faults");
    for field in [
        "subject.id",
        "revision",
        "effective.local",
        "urgency",
        "connectors",
    ] {
        assert!(rejection.reason.contains(field), "{field}: {rejection}");
    }
    assert!(!rejection.reason.contains("Lovelace"), "{rejection}");
}

fn docs(folder: &str) -> Vec<(String, Value)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(folder);
    let files = std::fs::read_dir(&folder).expect("the folder");
    let read = files.map(|file| {
        let file = file.expect("an entry").path();
        let text = std::fs::read_to_string(&file).expect("text");
        let name = file
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        (name, serde_json::from_str(&text).expect("JSON"))
    });
    read.collect()
}

#[test]
fn every_sample_decodes_and_every_type_has_one() {
    let samples = docs("samples");
    for (name, sample) in &samples {
        let event = CloudEvent::from_json(sample.to_string().as_bytes()).expect(name);
        let event = lifecycle_event(&event, Timestamp::UNIX_EPOCH);
        event.unwrap_or_else(|rejection| panic!("{name}: {rejection}"));
    }
    for kind in EventKind::ALL {
        let has = samples
            .iter()
            .any(|(_, sample)| sample["type"] == kind.as_str());
        assert!(has, "no sample of {}", kind.as_str());
    }
}

#[test]
fn h3_every_schema_names_the_fields_that_the_decoder_knows() {
    let mut schemas = docs("schemas");
    // What Clawback gives out, and does not read.
    schemas.retain(|(name, _)| name != "clawback.evidence.v1");
    assert_eq!(schemas.len(), EventKind::ALL.len());
    for kind in EventKind::ALL {
        let named = schemas.iter().find(|(name, _)| name == kind.as_str());
        let schema = &named.unwrap_or_else(|| panic!("{}", kind.as_str())).1;
        assert_eq!(schema["properties"]["type"]["const"], kind.as_str());
        let data = &schema["properties"]["data"];
        let subject = &data["properties"]["subject"];
        let identifier = &subject["properties"]["identifiers"]["items"];
        let effective = &data["properties"]["effective"]["oneOf"][1];
        for (object, known) in [
            (data, &DATA[..]),
            (subject, &SUBJECT),
            (identifier, &IDENTIFIER),
            (effective, &EFFECTIVE),
        ] {
            assert_eq!(object["additionalProperties"], false);
            let mut named: Vec<_> = object["properties"]
                .as_object()
                .expect("properties")
                .keys()
                .map(String::as_str)
                .collect();
            let mut known = known.to_vec();
            named.sort_unstable();
            known.sort_unstable();
            assert_eq!(named, known, "{}", kind.as_str());
        }
        for subject_kind in ["person", "nhi", "application"] {
            let mut sound = sound();
            sound["subject"]["kind"] = json!(subject_kind);
            let listed = subject["properties"]["kind"]["enum"]
                .as_array()
                .is_some_and(|kinds| kinds.contains(&json!(subject_kind)));
            assert_eq!(
                read_as(kind.as_str(), sound).is_ok(),
                listed,
                "{} {subject_kind}",
                kind.as_str()
            );
        }
        let mut without = sound();
        without["subject"]["kind"] = subject["properties"]["kind"]["enum"][0].clone();
        without["effective"] = Value::Null;
        assert_eq!(
            read_as(kind.as_str(), without).is_err(),
            data["then"]["required"][0] == "effective",
            "{}",
            kind.as_str()
        );
    }
}
