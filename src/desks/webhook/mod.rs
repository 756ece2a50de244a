//! A signed webhook: any system that takes a POST, and tells by a callback what became of it.
//!
//! Owns the messages and their signing (Standard Webhooks 1.0). The receiver cannot be asked, so a
//! message repeats under the same `webhook-id` after a lost answer and does nothing a second time
//! there; what becomes of the ticket comes in by the callback. The secret signs and never travels.

use std::sync::Arc;

use async_trait::async_trait;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Method;
use serde_json::{Value, json};

use super::contract::{Call, Desk, key};
use super::http::{Client, Request};
use super::order::WorkOrder;
use super::settings::Common;
use super::signature::sign;
use crate::document::Table;
use crate::domain::desk::{Note, Seen, Ticket};
use crate::domain::id::TaskId;
use crate::domain::outcome::{Failure, FailureClass};

/// As in `kind = "…"`.
pub(super) const KIND: &str = "webhook";

/// One receiver.
#[derive(Debug)]
struct Webhook {
    client: Client,
    fields: serde_json::Map<String, Value>,
}

/// Reads the kind's own keys: there are none, but a callback must be possible.
pub(super) fn build(table: &Table<'_>, common: Common) -> Option<Arc<dyn Desk>> {
    if !table.has("callback_secret") {
        table.report(
            table.line(),
            "a webhook without `callback_secret`: nothing would ever come back",
            "add the reference of the secret by which the receiver signs its callbacks",
        );
        return None;
    }
    Some(Arc::new(Webhook {
        client: common.client,
        fields: common.fields,
    }))
}

#[async_trait]
impl Desk for Webhook {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn can_find(&self) -> bool {
        false
    }

    async fn check(&self, call: Call<'_>) -> Result<String, Failure> {
        let id = format!("clawback-check-{}", call.now.as_microsecond());
        self.post(call, &id, "check", json!({})).await?;
        Ok("the receiver takes our signature".to_owned())
    }

    async fn find(&self, _: Call<'_>, _: TaskId) -> Result<Option<Ticket>, Failure> {
        Ok(None)
    }

    async fn create(&self, call: Call<'_>, order: &WorkOrder) -> Result<Ticket, Failure> {
        let key = key(order.task);
        let sections = order.sections.iter();
        let sections: Vec<_> = sections
            .map(|section| json!({ "heading": section.heading, "lines": section.lines }))
            .collect();
        let data = json!({
            "task": order.task,
            "title": order.title,
            "target": order.target,
            "privileged": order.privileged,
            "deadline": order.deadline,
            "sections": sections,
            "fields": self.fields,
        });
        let answer = self
            .post(call, &format!("{key}-opened"), "task.opened", data)
            .await?;
        // A receiver may say what it calls the ticket; it need not.
        let shown = answer.get("reference").and_then(Value::as_str);
        let shown = shown.filter(|shown| !shown.is_empty() && shown.len() <= 100);
        Ok(Ticket {
            shown: shown.unwrap_or(&key).to_owned(),
            id: order.task.to_string(),
            keyed: true,
            page: None,
        })
    }

    async fn look(&self, _: Call<'_>, _: &Ticket) -> Result<Option<Seen>, Failure> {
        Ok(None)
    }

    async fn note(&self, call: Call<'_>, ticket: &Ticket, note: &Note) -> Result<(), Failure> {
        self.tell(call, "task.noted", ticket, note).await
    }

    async fn noted(&self, _: Call<'_>, _: &Ticket, _: &str) -> Result<Option<bool>, Failure> {
        Ok(None)
    }

    async fn close(&self, call: Call<'_>, ticket: &Ticket, note: &Note) -> Result<(), Failure> {
        self.tell(call, "task.closed", ticket, note).await
    }

    async fn reopen(&self, call: Call<'_>, ticket: &Ticket, note: &Note) -> Result<(), Failure> {
        self.tell(call, "task.reopened", ticket, note).await
    }
}

impl Webhook {
    async fn tell(
        &self,
        call: Call<'_>,
        event: &str,
        ticket: &Ticket,
        note: &Note,
    ) -> Result<(), Failure> {
        let lines: Vec<_> = note.text.lines().collect();
        let data = json!({ "task": ticket.id, "reference": ticket.shown, "lines": lines });
        let id = format!("clawback-{}-{}", ticket.id, note.mark);
        self.post(call, &id, event, data).await.map(|_| ())
    }

    async fn post(
        &self,
        call: Call<'_>,
        id: &str,
        event: &str,
        data: Value,
    ) -> Result<Value, Failure> {
        let body = json!({ "type": event, "timestamp": call.now.to_string(), "data": data });
        let body = body.to_string();
        let mut headers = HeaderMap::new();
        let signature = sign(call.secret, id, call.now, body.as_bytes());
        let timestamp = call.now.as_second().to_string();
        for (name, value) in [
            ("webhook-id", id),
            ("webhook-timestamp", &timestamp),
            ("webhook-signature", &signature),
        ] {
            let value = HeaderValue::from_str(value).map_err(|_| {
                let what = "the message's id cannot be a header";
                Failure::new(FailureClass::Refused, "CB-DESK-8", what)
            })?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let request = Request {
            headers,
            ..Request::change(Method::POST, "", body.as_bytes())
        };
        let answer = self.client.ask(call, request).await?;
        Ok(answer.json().unwrap_or(Value::Null))
    }
}

#[cfg(test)]
pub(crate) mod tests;
