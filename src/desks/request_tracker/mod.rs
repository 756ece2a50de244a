//! Request Tracker 5, by its REST 2 interface.
//!
//! Owns the requests to `/REST/2.0` and what its answers mean. RT answers 200 to a change that it
//! refuses and says so in words only, so a change counts when the ticket shows it. The key stands in
//! the subject, where any RT finds it without a custom field. Texts go as `text/plain`, so that
//! nothing in them is markup. Facts are from RT's own `RT::REST2` documentation, 5.0.3.

mod settings;

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Method;
use serde_json::{Value, json};

use super::contract::{Call, Desk, key};
use super::http::{Client, Request, escape};
use super::order::WorkOrder;
use super::settings::Common;
use crate::document::Table;
use crate::domain::desk::{Note, Seen, Stands, Ticket};
use crate::domain::id::TaskId;
use crate::domain::outcome::{Failure, FailureClass};
use settings::Queue;

/// As in `kind = "…"`.
pub(super) const KIND: &str = "request_tracker";

/// Newest transactions among which a note is looked for.
const RECENT: u32 = 100;

/// One queue of an RT.
#[derive(Debug)]
struct RequestTracker {
    client: Client,
    fields: serde_json::Map<String, Value>,
    queue: Queue,
}

/// Reads the kind's own keys.
pub(super) fn build(table: &Table<'_>, common: Common) -> Option<Arc<dyn Desk>> {
    Some(Arc::new(RequestTracker {
        client: common.client,
        fields: common.fields,
        queue: Queue::read(table)?,
    }))
}

#[async_trait]
impl Desk for RequestTracker {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn check(&self, call: Call<'_>) -> Result<String, Failure> {
        let path = format!("/REST/2.0/queue/{}", escape(&self.queue.name));
        let answer = self.client.send(call, Request::get(path)).await?;
        if answer.status == 404 {
            return Err(Failure::new(
                FailureClass::Refused,
                "CB-DESK-8",
                format!(
                    "there is no queue `{}`, or it may not be seen",
                    self.queue.name
                ),
            ));
        }
        let answer = answer.good()?;
        let queue = answer.json()?;
        let name = answer.text_at(&queue, "/Name")?;
        // RT shows the link only to who may create tickets there.
        let links = queue["_hyperlinks"].as_array();
        let may = links.is_some_and(|links| {
            let mut links = links.iter();
            links.any(|link| link["ref"] == "create" && link["type"] == "ticket")
        });
        if !may {
            return Err(Failure::new(
                FailureClass::AuthFailure,
                "CB-DESK-8",
                format!("this user may not create tickets in the queue `{name}`"),
            ));
        }
        Ok(format!("queue {name}"))
    }

    async fn find(&self, call: Call<'_>, task: TaskId) -> Result<Option<Ticket>, Failure> {
        let key = key(task);
        let query = format!("Subject LIKE '{key}' AND Status != 'deleted'");
        let path = format!(
            "/REST/2.0/tickets?query={}&fields=Subject&orderby=id&order=ASC&per_page=20",
            escape(&query)
        );
        let answer = self.client.ask(call, Request::get(path)).await?;
        let found = answer.json()?;
        let items = found["items"].as_array();
        let items = items.ok_or_else(|| answer.drifted("it lacks `items`"))?;
        let ours = |item: &&Value| item["Subject"].as_str().is_some_and(|s| s.contains(&key));
        let Some(oldest) = items.iter().find(ours) else {
            if items.is_empty() {
                return Ok(None);
            }
            return Err(answer.drifted("it shows tickets that were not asked for"));
        };
        Ok(Some(self.ticket(answer.text_at(oldest, "/id")?)))
    }

    async fn create(&self, call: Call<'_>, order: &WorkOrder) -> Result<Ticket, Failure> {
        let mut body = self.fields.clone();
        let subject = format!("{} [{}]", order.title, key(order.task));
        body.insert("Queue".to_owned(), self.queue.name.clone().into());
        body.insert("Subject".to_owned(), subject.into());
        body.insert("Content".to_owned(), order.plain().into());
        body.insert("ContentType".to_owned(), "text/plain".into());
        body.insert("Due".to_owned(), order.deadline.clone().into());
        let body = Value::Object(body).to_string();
        let request = Request::change(Method::POST, "/REST/2.0/ticket", body.as_bytes());
        let answer = self.client.ask(call, request).await?;
        let made = answer.json()?;
        Ok(self.ticket(answer.text_at(&made, "/id")?))
    }

    async fn look(&self, call: Call<'_>, ticket: &Ticket) -> Result<Option<Seen>, Failure> {
        let request = Request::get(path(ticket, ""));
        let answer = self.client.send(call, request).await?;
        if answer.status == 404 {
            return Ok(Some(Seen {
                stands: Stands::Gone,
                ..Seen::default()
            }));
        }
        let answer = answer.good()?;
        let seen = answer.json()?;
        let status = answer.text_at(&seen, "/Status")?;
        let stands = match status.as_str() {
            "deleted" => Stands::Gone,
            status if self.queue.closed.iter().any(|one| one == status) => Stands::Closed,
            _ => Stands::Open,
        };
        let by = seen.pointer("/LastUpdatedBy/id").and_then(Value::as_str);
        Ok(Some(Seen {
            stands,
            by: by.unwrap_or_default().to_owned(),
            words: format!("status {status}"),
        }))
    }

    async fn note(&self, call: Call<'_>, ticket: &Ticket, note: &Note) -> Result<(), Failure> {
        let body = json!({
            "Subject": note.mark,
            "Content": note.text,
            "ContentType": "text/plain",
        });
        let body = body.to_string();
        let request = Request::change(Method::POST, path(ticket, "/comment"), body.as_bytes());
        self.client.ask(call, request).await.map(|_| ())
    }

    async fn noted(
        &self,
        call: Call<'_>,
        ticket: &Ticket,
        mark: &str,
    ) -> Result<Option<bool>, Failure> {
        let history = format!(
            "{}?fields=Type,Data&orderby=id&order=DESC&per_page={RECENT}",
            path(ticket, "/history")
        );
        let answer = self.client.ask(call, Request::get(history)).await?;
        let seen = answer.json()?;
        let items = seen["items"].as_array();
        let items = items.ok_or_else(|| answer.drifted("it lacks `items`"))?;
        // A comment's subject is its transaction's data.
        let marked = |item: &Value| item["Data"].as_str().map(str::trim) == Some(mark);
        Ok(Some(items.iter().any(marked)))
    }

    async fn close(&self, call: Call<'_>, ticket: &Ticket, note: &Note) -> Result<(), Failure> {
        self.set(call, ticket, &self.queue.close, note).await
    }

    async fn reopen(&self, call: Call<'_>, ticket: &Ticket, note: &Note) -> Result<(), Failure> {
        self.set(call, ticket, &self.queue.reopen, note).await
    }
}

impl RequestTracker {
    fn ticket(&self, id: String) -> Ticket {
        let page = format!("/Ticket/Display.html?id={}", escape(&id));
        Ticket {
            shown: format!("#{id}"),
            id,
            keyed: true,
            page: Some(self.client.page(&page)),
        }
    }

    /// The text first, since the change of status is what shows that it was said, unless it is there.
    async fn set(
        &self,
        call: Call<'_>,
        ticket: &Ticket,
        status: &str,
        note: &Note,
    ) -> Result<(), Failure> {
        if self.noted(call, ticket, &note.mark).await? != Some(true) {
            self.note(call, ticket, note).await?;
        }
        let body = json!({ "Status": status }).to_string();
        let request = Request::change(Method::PUT, path(ticket, ""), body.as_bytes());
        self.client.ask(call, request).await.map(|_| ())
    }
}

fn path(ticket: &Ticket, rest: &str) -> String {
    format!("/REST/2.0/ticket/{}{rest}", escape(&ticket.id))
}
