//! Jira Cloud, by its REST API version 3.
//!
//! Owns the requests to `/rest/api/3` and what its answers mean. The key is a label, which every
//! project has and JQL finds. The search lags behind what was made, so a lost answer is settled only
//! after a while. Texts are Atlassian Document Format: nothing in them is markup. Facts are from
//! Atlassian's published API description; docs/desks.md names them one by one.

mod document;
mod settings;

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};

use super::contract::{Call, Desk, key};
use super::http::{Answer, Client, Request, escape};
use super::order::WorkOrder;
use super::settings::Common;
use crate::document::Table;
use crate::domain::desk::{Note, Seen, Stands, Ticket};
use crate::domain::id::TaskId;
use crate::domain::outcome::{Failure, FailureClass};
use settings::Project;

/// As in `kind = "…"`.
pub(super) const KIND: &str = "jira";

/// The search is told to be seconds behind; this is well beyond that.
const SEARCH_LAG_SECONDS: u64 = 60;
/// Newest comments among which a note is looked for.
const RECENT: u32 = 50;

/// One project of a site.
#[derive(Debug)]
struct Jira {
    client: Client,
    fields: serde_json::Map<String, Value>,
    project: Project,
}

/// Reads the kind's own keys.
pub(super) fn build(table: &Table<'_>, common: Common) -> Option<Arc<dyn Desk>> {
    Some(Arc::new(Jira {
        client: common.client,
        fields: common.fields,
        project: Project::read(table)?,
    }))
}

#[async_trait]
impl Desk for Jira {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn search_lag_seconds(&self) -> u64 {
        SEARCH_LAG_SECONDS
    }

    async fn check(&self, call: Call<'_>) -> Result<String, Failure> {
        let path = format!("/rest/api/3/project/{}", escape(&self.project.key));
        let answer = self.client.send(call, Request::get(path)).await?;
        if answer.status == 404 {
            let what = format!(
                "there is no project `{}`, or it may not be seen",
                self.project.key
            );
            return Err(Failure::new(FailureClass::Refused, "CB-DESK-8", what));
        }
        let answer = answer.good()?;
        let project = answer.json()?;
        let types = project["issueTypes"].as_array();
        let types = types.ok_or_else(|| answer.drifted("it lacks `issueTypes`"))?;
        if !types
            .iter()
            .any(|one| one["name"] == self.project.issue_type.as_str())
        {
            let what = format!(
                "the project has no issue type `{}`",
                self.project.issue_type
            );
            return Err(Failure::new(FailureClass::Refused, "CB-DESK-8", what));
        }
        Ok(format!("project {}", answer.text_at(&project, "/key")?))
    }

    async fn find(&self, call: Call<'_>, task: TaskId) -> Result<Option<Ticket>, Failure> {
        let key = key(task);
        let jql = format!(
            "project = \"{}\" AND labels = \"{key}\" ORDER BY created ASC",
            self.project.key
        );
        let body = json!({ "jql": jql, "fields": ["labels"], "maxResults": 2 }).to_string();
        let search = Request {
            changes: false,
            ..Request::change(Method::POST, "/rest/api/3/search/jql", body.as_bytes())
        };
        let answer = self.client.ask(call, search).await?;
        let found = answer.json()?;
        let issues = found["issues"].as_array();
        let issues = issues.ok_or_else(|| answer.drifted("it lacks `issues`"))?;
        let Some(oldest) = issues.first() else {
            return Ok(None);
        };
        if !labelled(oldest, &key) {
            return Err(answer.drifted("it shows issues that were not asked for"));
        }
        self.ticket(&answer, oldest).map(Some)
    }

    async fn create(&self, call: Call<'_>, order: &WorkOrder) -> Result<Ticket, Failure> {
        let mut fields = self.fields.clone();
        let mut labels = match fields.remove("labels") {
            Some(Value::Array(labels)) => labels,
            _ => Vec::new(),
        };
        labels.push(key(order.task).into());
        fields.insert("project".to_owned(), json!({ "key": self.project.key }));
        fields.insert(
            "issuetype".to_owned(),
            json!({ "name": self.project.issue_type }),
        );
        fields.insert("summary".to_owned(), order.title.clone().into());
        fields.insert("description".to_owned(), document::order(order));
        fields.insert("labels".to_owned(), labels.into());
        let body = json!({ "fields": fields }).to_string();
        let request = Request::change(Method::POST, "/rest/api/3/issue", body.as_bytes());
        let answer = self.client.ask(call, request).await?;
        let made = answer.json()?;
        // The answer names the issue only; whether the label was kept is seen at the issue.
        let mut ticket = self.ticket(&answer, &made)?;
        let path = format!("{}?fields=labels", path(&ticket, ""));
        if let Ok(answer) = self.client.ask(call, Request::get(path)).await {
            ticket.keyed = labelled(&answer.json()?, &key(order.task));
        }
        Ok(ticket)
    }

    async fn look(&self, call: Call<'_>, ticket: &Ticket) -> Result<Option<Seen>, Failure> {
        let path = format!("{}?fields=status,assignee,resolution", path(ticket, ""));
        let answer = self.client.send(call, Request::get(path)).await?;
        if answer.status == 404 {
            return Ok(Some(Seen {
                stands: Stands::Gone,
                ..Seen::default()
            }));
        }
        let answer = answer.good()?;
        let seen = answer.json()?;
        let category = answer.text_at(&seen, "/fields/status/statusCategory/key")?;
        let text = |pointer: &str| seen.pointer(pointer).and_then(Value::as_str);
        Ok(Some(Seen {
            stands: if category == "done" {
                Stands::Closed
            } else {
                Stands::Open
            },
            by: text("/fields/assignee/displayName")
                .unwrap_or_default()
                .to_owned(),
            words: text("/fields/resolution/name")
                .unwrap_or_default()
                .to_owned(),
        }))
    }

    async fn note(&self, call: Call<'_>, ticket: &Ticket, note: &Note) -> Result<(), Failure> {
        let text = format!("{}\n({})", note.text, note.mark);
        let body = json!({ "body": document::text(&text) }).to_string();
        let request = Request::change(Method::POST, path(ticket, "/comment"), body.as_bytes());
        self.client.ask(call, request).await.map(|_| ())
    }

    async fn noted(
        &self,
        call: Call<'_>,
        ticket: &Ticket,
        mark: &str,
    ) -> Result<Option<bool>, Failure> {
        let path = format!(
            "{}?orderBy=-created&maxResults={RECENT}",
            path(ticket, "/comment")
        );
        let answer = self.client.ask(call, Request::get(path)).await?;
        let seen = answer.json()?;
        let comments = seen["comments"].as_array();
        let comments = comments.ok_or_else(|| answer.drifted("it lacks `comments`"))?;
        let marked = |comment: &Value| comment["body"].to_string().contains(mark);
        Ok(Some(comments.iter().any(marked)))
    }

    async fn close(&self, call: Call<'_>, ticket: &Ticket, note: &Note) -> Result<(), Failure> {
        let transition = self.transition(call, ticket, true).await?;
        self.go(call, ticket, transition, note).await
    }

    async fn reopen(&self, call: Call<'_>, ticket: &Ticket, note: &Note) -> Result<(), Failure> {
        let transition = self.transition(call, ticket, false).await?;
        self.go(call, ticket, transition, note).await
    }
}

impl Jira {
    fn ticket(&self, answer: &Answer, issue: &Value) -> Result<Ticket, Failure> {
        let shown = answer.text_at(issue, "/key")?;
        Ok(Ticket {
            id: answer.text_at(issue, "/id")?,
            keyed: true,
            page: Some(self.client.page(&format!("/browse/{}", escape(&shown)))),
            shown,
        })
    }

    /// The transition of this issue, now, that leads to a status that is done, or to one that is not.
    async fn transition(
        &self,
        call: Call<'_>,
        ticket: &Ticket,
        done: bool,
    ) -> Result<Value, Failure> {
        let request = Request::get(path(ticket, "/transitions"));
        let answer = self.client.ask(call, request).await?;
        let mut offered = answer.json()?;
        let Some(Value::Array(offered)) = offered.get_mut("transitions").map(Value::take) else {
            return Err(answer.drifted("it lacks `transitions`"));
        };
        let named = if done {
            &self.project.close_transition
        } else {
            &self.project.reopen_transition
        };
        let fits = |one: &Value| {
            let leads = one
                .pointer("/to/statusCategory/key")
                .and_then(Value::as_str);
            leads.is_some_and(|category| (category == "done") == done)
                && named
                    .as_ref()
                    .is_none_or(|name| one["name"] == name.as_str())
        };
        let names: Vec<_> = offered
            .iter()
            .filter_map(|one| one["name"].as_str())
            .collect();
        let missing = format!(
            "no transition of {} leads there; it offers: {}",
            ticket.shown,
            names.join(", ")
        );
        let found = offered.iter().find(|one| fits(one)).cloned();
        found.ok_or_else(|| Failure::new(FailureClass::WriteFailure, "CB-DESK-8", missing))
    }

    async fn go(
        &self,
        call: Call<'_>,
        ticket: &Ticket,
        transition: Value,
        note: &Note,
    ) -> Result<(), Failure> {
        if self.noted(call, ticket, &note.mark).await? != Some(true) {
            self.note(call, ticket, note).await?;
        }
        let done = transition.pointer("/to/statusCategory/key") == Some(&json!("done"));
        let mut body = json!({ "transition": { "id": transition["id"] } });
        if let (true, Some(resolution)) = (done, &self.project.resolution) {
            body["fields"] = json!({ "resolution": { "name": resolution } });
        }
        let body = body.to_string();
        let request = Request::change(Method::POST, path(ticket, "/transitions"), body.as_bytes());
        self.client.ask(call, request).await.map(|_| ())
    }
}

fn labelled(issue: &Value, key: &str) -> bool {
    let labels = issue.pointer("/fields/labels").and_then(Value::as_array);
    labels.is_some_and(|labels| labels.iter().any(|label| label == key))
}

fn path(ticket: &Ticket, rest: &str) -> String {
    format!("/rest/api/3/issue/{}{rest}", escape(&ticket.id))
}

#[cfg(test)]
pub(crate) mod tests;
