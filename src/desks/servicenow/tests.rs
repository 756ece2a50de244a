//! Kind `servicenow` against a fake held to the published Table API.
//!
//! Owns the fake: one table with journal fields, queries, display values, and the two traps of the API,
//! fields that are dropped with a 200 and a query that is ignored. What the engine makes of it is in
//! the engine's tests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::super::tests::{Asked, Counter, Fake, basic, call, note, order, secret, task};
use crate::domain::desk::Stands;
use crate::domain::outcome::FailureClass;

const BASE: &str = "/api/now/table/incident";

/// An instance.
#[derive(Debug, Default)]
pub(crate) struct Instance {
    records: Mutex<Vec<Map<String, Value>>>,
    /// An access rule hides `correlation_id`, so a query by it is ignored.
    blind: AtomicBool,
    /// A business rule drops `correlation_id`.
    drops_key: AtomicBool,
    /// An access rule hides all records.
    pub(crate) hides: AtomicBool,
}

impl Fake for Instance {
    fn keys(&self) -> &'static str {
        "kind = \"servicenow\"\nusername = \"clawback\"\nfields = { assignment_group = \"IAM\" }\n"
    }

    fn known(&self, asked: &Asked) -> bool {
        basic(asked, "clawback")
    }

    fn answer(&self, asked: &Asked, deaf: bool) -> (u16, Value) {
        let mut records = self.records.lock().expect("not poisoned");
        let Some(rest) = asked.path.strip_prefix(BASE) else {
            let error = json!({ "error": { "message": "Invalid table", "detail": null }, "status": "failure" });
            return (400, error);
        };
        let id = rest.trim_start_matches('/');
        if asked.method == Method::POST {
            let number = records.len() + 1;
            let mut record: Map<_, _> = asked.json().as_object().expect("fields").clone();
            if self.drops_key.load(Ordering::Relaxed) {
                record.remove("correlation_id");
            }
            record.insert("sys_id".to_owned(), format!("{number:032x}").into());
            record.insert("number".to_owned(), format!("INC{number:07}").into());
            record.insert("state".to_owned(), "1".into());
            record.insert("work_notes".to_owned(), "".into());
            records.push(record.clone());
            return (201, json!({ "result": shown(&record, asked) }));
        }
        let hides = self.hides.load(Ordering::Relaxed);
        if id.is_empty() {
            let found: Vec<_> = records
                .iter()
                .filter(|record| !hides && self.fits(record, asked))
                .map(|record| shown(record, asked))
                .collect();
            return (200, json!({ "result": found }));
        }
        let mut shown_ones = records.iter_mut().filter(|_| !hides);
        let Some(record) = shown_ones.find(|record| record["sys_id"] == id) else {
            let error = json!({ "error": { "message": "No Record found", "detail":
                "Record doesn't exist or ACL restricts the record retrieval" }, "status": "failure" });
            return (404, error);
        };
        if asked.method == Method::PATCH && !deaf {
            for (field, value) in asked.json().as_object().expect("fields") {
                if field == "work_notes" {
                    // Journal fields grow; the newest entry is on top.
                    let text = value.as_str().expect("text");
                    let before = record["work_notes"].as_str().expect("text");
                    let entry =
                        format!("2027-01-15 08:00:00 - Clawback (Work notes)\n{text}\n\n{before}");
                    record.insert(field.clone(), entry.into());
                } else {
                    record.insert(field.clone(), value.clone());
                }
            }
        }
        (200, json!({ "result": shown(record, asked) }))
    }

    fn tickets(&self) -> usize {
        self.records.lock().expect("not poisoned").len()
    }

    fn closed(&self) -> bool {
        ["6", "7", "8"]
            .iter()
            .any(|state| self.first()["state"] == *state)
    }

    fn texts(&self) -> String {
        let first = self.first();
        format!("{}\n{}", first["description"], first["work_notes"])
    }

    fn jane_closes(&self) {
        let mut records = self.records.lock().expect("not poisoned");
        let first = records.first_mut().expect("a record");
        first.insert("state".to_owned(), "6".into());
        first.insert("resolved_by".to_owned(), "Jane Doe".into());
        first.insert("close_notes".to_owned(), "removed by hand".into());
    }
}

impl Instance {
    fn first(&self) -> Map<String, Value> {
        let records = self.records.lock().expect("not poisoned");
        records.first().expect("a record").clone()
    }

    /// Terms that cannot be read are left out of a query, which then finds more.
    fn fits(&self, record: &Map<String, Value>, asked: &Asked) -> bool {
        let query = asked.parameter("sysparm_query").unwrap_or_default();
        let terms = query.split('^').filter_map(|term| term.split_once('='));
        let mut terms = terms.filter(|_| !self.blind.load(Ordering::Relaxed));
        terms.all(|(field, value)| record.get(field).is_some_and(|known| known == value))
    }
}

/// The fields that were asked for, as values, display values, or both.
fn shown(record: &Map<String, Value>, asked: &Asked) -> Value {
    let fields = asked.parameter("sysparm_fields").expect("fields are named");
    let display = asked.parameter("sysparm_display_value").unwrap_or_default();
    let mut shown = Map::new();
    for field in fields.split(',') {
        let value = record.get(field).cloned().unwrap_or_else(|| "".into());
        let value = match display.as_str() {
            "all" => json!({ "display_value": value, "value": value }),
            // Journal fields are empty unless display values are asked for.
            "" | "false" if field == "work_notes" => "".into(),
            _ => value,
        };
        shown.insert(field.to_owned(), value);
    }
    Value::Object(shown)
}

async fn opened() -> (Arc<Instance>, Counter) {
    let instance = Arc::new(Instance::default());
    let counter = Counter::open(instance.clone()).await;
    (instance, counter)
}

#[tokio::test]
async fn f2_servicenow_a_ticket_is_made_found_noted_closed_and_opened_again() {
    let (instance, counter) = opened().await;
    let (secret, desk) = (secret(), &counter.entry.desk);
    let found = desk.check(call(&secret)).await;
    assert_eq!(found.as_deref(), Ok("table incident"));
    assert_eq!(desk.find(call(&secret), task()).await, Ok(None));
    let ticket = desk.create(call(&secret), &order()).await.expect("made");
    assert_eq!((ticket.shown.as_str(), ticket.keyed), ("INC0000001", true));
    let page = ticket.page.clone().expect("a page");
    let place = format!("/nav_to.do?uri=incident.do%3Fsys_id%3D{}", ticket.id);
    assert!(page.starts_with("http") && page.ends_with(&place), "{page}");
    assert_eq!(instance.first()["assignment_group"], "IAM");
    let again = desk.find(call(&secret), task()).await;
    assert_eq!(again, Ok(Some(ticket.clone())));
    desk.note(call(&secret), &ticket, &note("m-1"))
        .await
        .expect("noted");
    assert_eq!(
        desk.noted(call(&secret), &ticket, "m-1").await,
        Ok(Some(true))
    );
    assert_eq!(
        desk.noted(call(&secret), &ticket, "m-2").await,
        Ok(Some(false))
    );
    let texts = instance.first()["work_notes"].to_string().to_lowercase();
    assert!(
        texts.contains("<b>x</b>") && !texts.contains("[code]"),
        "{texts}"
    );
    assert!(!texts.contains("[/code]"), "{texts}");
    desk.close(call(&secret), &ticket, &note("m-3"))
        .await
        .expect("closed");
    assert_eq!(instance.first()["close_code"], "Solution provided");
    let seen = desk
        .look(call(&secret), &ticket)
        .await
        .expect("seen")
        .expect("told");
    assert_eq!(seen.stands, Stands::Closed);
    desk.reopen(call(&secret), &ticket, &note("m-4"))
        .await
        .expect("open");
    let seen = desk
        .look(call(&secret), &ticket)
        .await
        .expect("seen")
        .expect("told");
    assert_eq!(seen.stands, Stands::Open);
    instance.records.lock().expect("not poisoned").clear();
    let seen = desk
        .look(call(&secret), &ticket)
        .await
        .expect("seen")
        .expect("told");
    assert_eq!(seen.stands, Stands::Gone);
}

#[tokio::test]
async fn f2_servicenow_an_ignored_query_finds_nothing_of_ours() {
    let (instance, counter) = opened().await;
    let (secret, desk) = (secret(), &counter.entry.desk);
    desk.create(call(&secret), &order()).await.expect("made");
    instance.blind.store(true, Ordering::Relaxed);
    let other = crate::domain::id::TaskId(uuid::Uuid::from_u128(8));
    let failure = desk
        .find(call(&secret), other)
        .await
        .expect_err("not asked for");
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (FailureClass::Drifted, "CB-DESK-7")
    );
}

#[tokio::test]
async fn f2_servicenow_a_key_that_is_dropped_is_noticed() {
    let (instance, counter) = opened().await;
    instance.drops_key.store(true, Ordering::Relaxed);
    let (secret, desk) = (secret(), &counter.entry.desk);
    let ticket = desk.create(call(&secret), &order()).await.expect("made");
    assert!(!ticket.keyed);
}

#[tokio::test]
async fn f2_servicenow_trouble_has_its_class() {
    let (_, counter) = opened().await;
    super::super::tests::classes_are_right(&counter).await;
}
