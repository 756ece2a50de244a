//! Settings of the connection: what is refused, shown, passed on and added.
//!
//! Owns the tests of reading and of what clients are made from. No broker is needed.

use super::*;
use crate::document::{Document, Problems};

fn read(text: &str) -> (Connection, Problems) {
    let document = Document::parse("clawback.toml", text).expect("TOML");
    let table = document.root().table("kafka").expect("a table");
    let connection = Connection::read(&table);
    (connection, document.take_problems())
}

const GOOD: &str = r#"
[kafka]
bootstrap_servers = "a.example:9093, b.example:9093"
[kafka.properties]
"security.protocol" = "SASL_SSL"
"sasl.mechanism" = "SCRAM-SHA-512"
"sasl.username" = "clawback"
"sasl.password" = { secret = "local:kafka/password" }
"session.timeout.ms" = 10000
"compression.type" = "zstd"
"#;

const PATIENCE: Duration = Duration::from_secs(15);

#[test]
fn properties_are_passed_through_and_secrets_are_looked_up_by_the_caller() {
    let (mut connection, problems) = read(GOOD);
    assert!(problems.is_empty(), "{problems}");
    assert_eq!(
        connection.consumer("g").map(|_| ()),
        Err(Unresolved("sasl.password".into()))
    );
    assert_eq!(
        connection.references(),
        [("sasl.password".into(), "local:kafka/password".into())]
    );
    connection.resolve("sasl.password", "hunter2".into());
    let consumer = connection.consumer("g").expect("resolved");
    assert_eq!(consumer.get("sasl.password"), Some("hunter2"));
    assert_eq!(consumer.get("session.timeout.ms"), Some("10000"));
    assert_eq!(consumer.get("enable.auto.commit"), Some("false"));
    assert_eq!(consumer.get("auto.offset.reset"), Some("earliest"));
    assert_eq!(consumer.get("compression.type"), None);
    let producer = connection.producer(PATIENCE).expect("resolved");
    assert_eq!(producer.get("session.timeout.ms"), None);
    assert_eq!(producer.get("compression.type"), Some("zstd"));
    assert_eq!(producer.get("acks"), Some("all"));
    // What was configured makes real clients, TLS and SCRAM included.
    consumer.create_native_config().expect("a consumer");
    producer.create_native_config().expect("a producer");
}

#[test]
fn debug_shows_only_what_is_known_to_be_harmless() {
    let (mut connection, _) = read(GOOD);
    connection.resolve("sasl.password", "hunter2".into());
    let connection = connection.with("sasl.oauthbearer.config", "secret=hunter2");
    let shown = format!("{connection:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("SCRAM-SHA-512"), "{shown}");
}

#[test]
fn what_intake_owns_is_refused_with_the_reason_and_everything_at_once() {
    let (_, problems) = read(
        r#"
[kafka]
bootstrap_servers = "a.example"
[kafka.properties]
"enable.auto.commit" = true
"sasl.password" = "hunter2"
"no.such.key" = 1
"session.timeout.ms" = "soon"
"ssl.ca.location" = ["a"]
"#,
    );
    let shown = problems.to_string();
    let lines: Vec<_> = problems.0.iter().map(|p| p.line).collect();
    assert_eq!(lines, [3, 5, 6, 7, 8, 9], "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn the_embedded_broker_gets_one_protocol_and_small_records() {
    let connection = Connection::embedded("127.0.0.1:1");
    let consumer = connection.consumer("g").expect("nothing to look up");
    assert_eq!(consumer.get("group.protocol"), Some("consumer"));
    assert_eq!(consumer.get("partition.assignment.strategy"), None);
    let producer = connection.producer(PATIENCE).expect("nothing to look up");
    assert_eq!(producer.get("message.max.bytes"), Some("65536"));
    assert_eq!(producer.get("message.timeout.ms"), Some("15000"));
    // What people say comes first.
    let patient = connection.with("message.timeout.ms", "240000");
    let producer = patient.producer(PATIENCE).expect("nothing to look up");
    assert_eq!(producer.get("message.timeout.ms"), Some("240000"));
}

#[test]
fn d1_a_secret_under_a_name_that_is_none_is_a_problem_and_never_shown() {
    let (_, problems) = read(
        r#"
[kafka]
bootstrap_servers = "a.example:9093"
[kafka.properties]
"no.such" = { secret = "local:kafka/a" }
"sasl.jaas.config" = { secret = "local:kafka/b" }
"session.timeout.ms" = { secret = "local:kafka/c" }
"security.protocol" = { secret = "local:kafka/d" }
"enable.ssl.certificate.verification" = { secret = "local:kafka/e" }
"sasl.password" = { secret = "local:kafka/f" }
"#,
    );
    let lines: Vec<_> = problems.0.iter().map(|p| p.line).collect();
    assert_eq!(lines, [5, 6], "{problems}");

    for (key, value) in [("no.such", "hunter2"), ("security.protocol", " hunter2,x")] {
        let mut connection = Connection::to("a.example:9093");
        connection.resolve(key, value.into());
        let config = connection.consumer("g").expect("resolved");
        let error = config.create_native_config().err().expect("refused");
        assert!(error.to_string().contains("hunter2"), "nothing to hide");
        let error = without_value(error);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains(key), "{shown}");
    }
}
