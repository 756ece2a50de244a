//! Kind `jira` against a fake held to the published REST API, version 3.
//!
//! Owns the fake: one project, a search that may lag, documents that are checked as Jira checks them,
//! and a workflow of two transitions. What the engine makes of it is in the engine's tests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::http::Method;
use serde_json::{Value, json};

use super::super::tests::{Asked, Counter, Fake, basic, call, note, order, secret, task};
use crate::domain::desk::Stands;
use crate::domain::outcome::FailureClass;

/// A site with the project HELP.
#[derive(Debug, Default)]
pub(crate) struct Site {
    issues: Mutex<Vec<Issue>>,
    /// The search does not know the newest issues yet.
    pub(crate) lags: AtomicBool,
}

#[derive(Debug, Clone)]
struct Issue {
    fields: Value,
    comments: Vec<Value>,
    done: bool,
    assignee: Option<&'static str>,
}

impl Fake for Site {
    fn keys(&self) -> &'static str {
        "kind = \"jira\"\nusername = \"bot@acme.example\"\nproject = \"HELP\"\n\
         fields = { labels = [\"access\"], priority = { name = \"High\" } }\n"
    }

    fn known(&self, asked: &Asked) -> bool {
        basic(asked, "bot@acme.example")
    }

    fn answer(&self, asked: &Asked, deaf: bool) -> (u16, Value) {
        let path = asked.path.strip_prefix("/rest/api/3/").expect("version 3");
        let parts: Vec<_> = path.split('/').collect();
        match (asked.method.as_str(), parts.as_slice()) {
            ("GET", ["project", "HELP"]) => {
                let types = json!([{ "name": "Task" }, { "name": "Bug" }]);
                (200, json!({ "key": "HELP", "issueTypes": types }))
            }
            ("POST", ["search", "jql"]) => self.search(&asked.json()),
            ("POST", ["issue"]) => self.create(&asked.json()),
            (_, ["issue", id, rest @ ..]) => self.issue(asked, id, rest, deaf),
            _ => (404, json!({ "errorMessages": ["nothing here"] })),
        }
    }

    fn tickets(&self) -> usize {
        self.issues.lock().expect("not poisoned").len()
    }

    fn closed(&self) -> bool {
        self.first().done
    }

    fn texts(&self) -> String {
        let first = self.first();
        format!("{}\n{:?}", first.fields["description"], first.comments)
    }

    fn jane_closes(&self) {
        let mut issues = self.issues.lock().expect("not poisoned");
        let first = issues.first_mut().expect("an issue");
        first.done = true;
        first.assignee = Some("Jane Doe");
    }
}

impl Site {
    fn first(&self) -> Issue {
        let issues = self.issues.lock().expect("not poisoned");
        issues.first().expect("an issue").clone()
    }

    fn search(&self, body: &Value) -> (u16, Value) {
        let jql = body["jql"].as_str().expect("a query");
        let label = jql
            .split("labels = \"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let label = label.expect("a label");
        let issues = self.issues.lock().expect("not poisoned");
        let lags = self.lags.load(Ordering::Relaxed);
        let found: Vec<_> = (1..)
            .zip(issues.iter())
            .filter(|_| !lags)
            .filter(|(_, issue)| {
                let labels = issue.fields["labels"].as_array().expect("labels");
                labels.iter().any(|one| one == label)
            })
            .map(|(number, issue)| {
                // Only what `fields` names is answered.
                json!({ "id": (10_000 + number).to_string(), "key": format!("HELP-{number}"),
                        "fields": { "labels": issue.fields["labels"] } })
            })
            .collect();
        (200, json!({ "issues": found, "isLast": true }))
    }

    fn create(&self, body: &Value) -> (u16, Value) {
        let fields = body["fields"].clone();
        assert_eq!(fields["project"]["key"], "HELP");
        assert_eq!(fields["issuetype"]["name"], "Task");
        let summary = fields["summary"].as_str().expect("a summary");
        if summary.len() > 255 || summary.contains('\n') || !is_document(&fields["description"]) {
            return (400, json!({ "errors": { "summary": "not valid" } }));
        }
        let mut issues = self.issues.lock().expect("not poisoned");
        issues.push(Issue {
            fields,
            comments: Vec::new(),
            done: false,
            assignee: None,
        });
        let number = issues.len();
        (
            201,
            json!({ "id": (10_000 + number).to_string(), "key": format!("HELP-{number}") }),
        )
    }

    fn issue(&self, asked: &Asked, id: &str, rest: &[&str], deaf: bool) -> (u16, Value) {
        let mut issues = self.issues.lock().expect("not poisoned");
        let number = id.parse::<usize>().expect("a number") - 10_001;
        let Some(issue) = issues.get_mut(number) else {
            return (404, json!({ "errorMessages": ["Issue does not exist"] }));
        };
        match (&asked.method, rest) {
            (&Method::GET, []) => (200, json!({ "id": id, "fields": issue.shown() })),
            (&Method::GET, ["comment"]) => (200, json!({ "comments": issue.comments })),
            (&Method::POST, ["comment"]) => {
                let body = asked.json();
                if !is_document(&body["body"]) {
                    return (400, json!({ "errorMessages": ["INVALID_INPUT"] }));
                }
                if !deaf {
                    issue.comments.insert(0, body);
                }
                (201, json!({ "id": "1" }))
            }
            (&Method::GET, ["transitions"]) => (200, issue.offered()),
            (&Method::POST, ["transitions"]) => {
                let wanted = asked.json()["transition"]["id"].clone();
                let done = match wanted.as_str() {
                    Some("31") => true,
                    Some("11") => false,
                    other => panic!("{other:?} was not offered"),
                };
                if done == issue.done {
                    return (400, json!({ "errorMessages": ["It is not on this step"] }));
                }
                if !deaf {
                    issue.done = done;
                }
                (204, Value::Null)
            }
            (method, rest) => panic!("{method} {rest:?}"),
        }
    }
}

impl Issue {
    fn shown(&self) -> Value {
        let (name, key) = if self.done {
            ("Done", "done")
        } else {
            ("To Do", "new")
        };
        json!({
            "status": { "name": name, "statusCategory": { "key": key } },
            "labels": self.fields["labels"],
            "assignee": self.assignee.map(|name| json!({ "displayName": name })),
            "resolution": null,
        })
    }

    fn offered(&self) -> Value {
        let wait = json!({ "id": "21", "name": "Wait", "to": { "statusCategory": { "key": "indeterminate" } } });
        if self.done {
            let open =
                json!({ "id": "11", "name": "Back", "to": { "statusCategory": { "key": "new" } } });
            return json!({ "transitions": [open] });
        }
        let done =
            json!({ "id": "31", "name": "Done", "to": { "statusCategory": { "key": "done" } } });
        json!({ "transitions": [wait, done] })
    }
}

/// As the published JSON schema of documents asks for: texts that are not empty, in known nodes.
fn is_document(value: &Value) -> bool {
    fn node(value: &Value) -> bool {
        let content = value["content"].as_array();
        match value["type"].as_str() {
            Some("text") => value["text"].as_str().is_some_and(|text| !text.is_empty()),
            Some("paragraph" | "heading" | "listItem" | "bulletList") => {
                content.is_some_and(|content| !content.is_empty() && content.iter().all(node))
            }
            _ => false,
        }
    }
    let content = value["content"].as_array();
    value["type"] == "doc"
        && value["version"] == 1
        && content.is_some_and(|content| content.iter().all(node))
}

async fn opened() -> (Arc<Site>, Counter) {
    let site = Arc::new(Site::default());
    let counter = Counter::open(site.clone()).await;
    (site, counter)
}

#[tokio::test]
async fn f2_jira_a_ticket_is_made_found_noted_closed_and_opened_again() {
    let (site, counter) = opened().await;
    let (secret, desk) = (secret(), &counter.entry.desk);
    assert_eq!(
        desk.check(call(&secret)).await.as_deref(),
        Ok("project HELP")
    );
    assert_eq!(desk.find(call(&secret), task()).await, Ok(None));
    let ticket = desk.create(call(&secret), &order()).await.expect("made");
    assert_eq!((ticket.shown.as_str(), ticket.keyed), ("HELP-1", true));
    let page = ticket.page.clone().expect("a page");
    assert!(
        page.starts_with("http") && page.ends_with("/browse/HELP-1"),
        "{page}"
    );
    let fields = site.first().fields;
    assert_eq!(
        (&fields["labels"][0], &fields["priority"]["name"]),
        (&json!("access"), &json!("High"))
    );
    assert_eq!(
        desk.find(call(&secret), task()).await,
        Ok(Some(ticket.clone()))
    );
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
    desk.close(call(&secret), &ticket, &note("m-3"))
        .await
        .expect("closed");
    assert!(site.closed());
    let seen = desk
        .look(call(&secret), &ticket)
        .await
        .expect("seen")
        .expect("told");
    assert_eq!(seen.stands, Stands::Closed);
    // What leads there already is offered no more.
    let failure = desk
        .close(call(&secret), &ticket, &note("m-3"))
        .await
        .expect_err("closed");
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (FailureClass::WriteFailure, "CB-DESK-8")
    );
    desk.reopen(call(&secret), &ticket, &note("m-4"))
        .await
        .expect("open");
    assert!(!site.closed());
    assert_eq!(site.first().comments.len(), 3, "each text once");
}

#[tokio::test]
async fn f2_jira_trouble_has_its_class() {
    let (_, counter) = opened().await;
    super::super::tests::classes_are_right(&counter).await;
}
