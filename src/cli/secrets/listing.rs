//! `clawback secrets list`: every secret by reference and age, of connectors and of the platform itself.
//!
//! Owns the table and its JSON. Nothing here knows a value. What the vault does not tell is said for itself
//! and keeps no other line back.

use serde_json::{Value, json};

use super::super::context::Context;
use super::super::exit::Exit;
use super::super::output::{Output, table};
use crate::app::platform::{self, PlatformSecret};
use crate::app::vault::{self, SecretListing};
use crate::config;
use crate::domain::expiry::Alarm;
use crate::domain::time::Timestamp;

const HEADINGS: [&str; 11] = [
    "owner",
    "purpose",
    "reference",
    "age",
    "at most",
    "expires",
    "alarm",
    "known by",
    "rotated",
    "proved",
    "rotation",
];

/// Carries out the command.
pub(super) async fn list(context: &Context) -> anyhow::Result<Exit> {
    let settings = context.settings()?;
    let registry = config::connectors(&settings, &context.clock)?;
    let vault = vault::open(&settings, &context.clock)?;
    let secrets = vault::list(&vault, &registry, &context.clock).await;
    let now = context.clock.now();
    let places = config::Places::read(&settings);
    let own = platform::list(&settings, &registry, &places, &vault, now).await;
    context.output.data(&as_json(&secrets, &own)?, || {
        let rows = secrets.iter().map(row).chain(own.iter().map(own_row));
        table(&HEADINGS, rows.collect(), "no secrets are declared")
    })?;
    let unreadable = secrets.iter().filter_map(|secret| {
        let failure = secret.unreadable.as_ref()?;
        Some(format!("{}: {failure}", secret.reference))
    });
    let own = own.iter().filter(|secret| secret.unreadable.is_some());
    let unreadable = unreadable.chain(own.filter_map(PlatformSecret::trouble));
    let unreadable: Vec<_> = unreadable.collect();
    for line in &unreadable {
        Output::note(line);
    }
    Ok(if unreadable.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// One list: each has `owner`, `purpose` and `reference`; what no connector owns has no `connector`.
fn as_json(secrets: &[SecretListing], own: &[PlatformSecret]) -> serde_json::Result<Value> {
    let mut lines = Vec::new();
    for secret in secrets {
        let mut line = serde_json::to_value(secret)?;
        line["owner"] = json!(secret.connector);
        line["purpose"] = json!(secret.role.as_str());
        lines.push(line);
    }
    for secret in own {
        let mut line = serde_json::to_value(secret)?;
        line["connector"] = Value::Null;
        line["role"] = Value::Null;
        line["rotation"] = Value::Null;
        lines.push(line);
    }
    Ok(lines.into())
}

fn row(secret: &SecretListing) -> Vec<String> {
    let record = secret.record.as_ref();
    let pending = record.is_some_and(|record| record.pending.is_some());
    let previous = record.is_some_and(|record| record.previous.is_some());
    vec![
        secret.connector.to_string(),
        secret.role.as_str().to_owned(),
        secret.reference.clone(),
        age(
            secret.age_seconds,
            secret.alarm,
            secret.unreadable.is_none(),
        ),
        secret.max_age_seconds.map_or(String::new(), days),
        secret.expires.map_or(String::new(), minute),
        alarm(secret.alarm, secret.unreadable.is_none()),
        secret.known_by.join(", "),
        secret.rotated.map_or(String::new(), minute),
        secret.proved.map_or(String::new(), minute),
        match (pending, previous) {
            (true, _) => "a new one is pending",
            (false, true) => "the old one is not yet shown to be refused",
            (false, false) => "",
        }
        .to_owned(),
    ]
}

fn own_row(secret: &PlatformSecret) -> Vec<String> {
    let is_readable = secret.unreadable.is_none();
    let age = match (secret.age_seconds, secret.alarm) {
        (None, None) if is_readable => "not drawn yet".to_owned(),
        (seconds, alarm) => age(seconds, alarm, is_readable),
    };
    vec![
        secret.owner.clone(),
        secret.purpose.clone(),
        secret.reference.clone(),
        age,
        String::new(),
        secret.expires.map_or(String::new(), minute),
        alarm(secret.alarm, is_readable),
        String::new(),
        String::new(),
        String::new(),
        format!("none; {}", secret.replaced),
    ]
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}

fn alarm(alarm: Option<Alarm>, is_readable: bool) -> String {
    if is_readable {
        alarm.map_or("", Alarm::as_str).to_owned()
    } else {
        "cannot be read".to_owned()
    }
}

fn days(seconds: u64) -> String {
    format!("{} d", seconds / 86_400)
}

/// What has no age is missed only where a secret is needed: not behind a reference of the kind `none:`.
fn age(seconds: Option<u64>, alarm: Option<Alarm>, readable: bool) -> String {
    match (seconds, alarm) {
        (Some(seconds), _) => days(seconds),
        (None, _) if !readable => "not known".to_owned(),
        (None, Some(_)) => "missing".to_owned(),
        (None, None) => "needs none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_missing_where_no_secret_is_needed_and_nothing_needless_that_cannot_be_read() {
        assert_eq!(age(Some(3 * 86_400), None, true), "3 d");
        assert_eq!(age(None, Some(Alarm::Missing), true), "missing");
        assert_eq!(age(None, None, false), "not known");
        assert_eq!(age(None, None, true), "needs none");
    }

    #[test]
    fn d5_a_secret_of_the_platform_stands_in_the_list_and_says_that_no_rotation_replaces_it() {
        let secret = PlatformSecret {
            owner: "kafka".to_owned(),
            purpose: "sasl.password".to_owned(),
            reference: "local:kafka/password".to_owned(),
            file: "clawback.toml".to_owned(),
            line: Some(8),
            key: "kafka.properties.sasl.password".to_owned(),
            age_seconds: Some(86_400),
            expires: None,
            alarm: None,
            replaced: "by a person",
            put_in_with: "clawback secrets set local:kafka/password".to_owned(),
            unreadable: None,
        };
        let row = own_row(&secret);
        assert_eq!(row.len(), HEADINGS.len());
        assert_eq!(
            row[..4],
            ["kafka", "sasl.password", "local:kafka/password", "1 d"]
        );
        assert_eq!(row[10], "none; by a person");
        let listed = as_json(&[], &[secret]).expect("JSON");
        let line = &listed[0];
        assert_eq!(
            (&line["owner"], &line["line"]),
            (&json!("kafka"), &json!(8))
        );
        assert!(line["connector"].is_null() && line["rotation"].is_null());
        assert_eq!(line["replaced"], "by a person");
    }
}
