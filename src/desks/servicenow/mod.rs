//! ServiceNow, by its Table API.
//!
//! Owns the requests to `/api/now/table` and what its answers mean. Access rules and business rules
//! drop single fields of a change and answer 200 all the same; a query that names a field which may not
//! be read is ignored and answers everything. So what comes back is compared with what was asked.
//! Facts are from ServiceNow's published "Table API" reference; docs/desks.md names them one by one.

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
use crate::domain::desk::{Note, Seen, Stands, Ticket, crop};
use crate::domain::id::TaskId;
use crate::domain::outcome::{Failure, FailureClass};
use settings::Records;

/// As in `kind = "…"`.
pub(super) const KIND: &str = "servicenow";

/// Longest `description`; what is longer would be cut without a word.
const LONGEST: usize = 4000;

/// One table of an instance.
#[derive(Debug)]
struct ServiceNow {
    client: Client,
    fields: serde_json::Map<String, Value>,
    records: Records,
}

/// Reads the kind's own keys.
pub(super) fn build(table: &Table<'_>, common: Common) -> Option<Arc<dyn Desk>> {
    Some(Arc::new(ServiceNow {
        client: common.client,
        fields: common.fields,
        records: Records::read(table)?,
    }))
}

#[async_trait]
impl Desk for ServiceNow {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn check(&self, call: Call<'_>) -> Result<String, Failure> {
        let path = format!("{}?sysparm_limit=1&sysparm_fields=sys_id", self.path(""));
        let answer = self.client.send(call, Request::get(path)).await?;
        if answer.status == 400 {
            return Err(Failure::new(
                FailureClass::Refused,
                "CB-DESK-8",
                format!("there is no table `{}`", self.records.table),
            ));
        }
        records(&answer.good()?)?;
        Ok(format!("table {}", self.records.table))
    }

    async fn find(&self, call: Call<'_>, task: TaskId) -> Result<Option<Ticket>, Failure> {
        let key = key(task);
        let query = format!("correlation_id={key}^ORDERBYsys_created_on");
        let path = format!(
            "{}?sysparm_query={}&sysparm_fields=sys_id,number,correlation_id&sysparm_limit=2",
            self.path(""),
            escape(&query)
        );
        let answer = self.client.ask(call, Request::get(path)).await?;
        let found = records(&answer)?;
        let Some(oldest) = found.first() else {
            return Ok(None);
        };
        if oldest["correlation_id"] != key.as_str() {
            let what = "records came that were not asked for: is `correlation_id` readable?";
            return Err(answer.drifted(what));
        }
        self.ticket(&answer, oldest, &key).map(Some)
    }

    async fn create(&self, call: Call<'_>, order: &WorkOrder) -> Result<Ticket, Failure> {
        let key = key(order.task);
        let mut body = self.fields.clone();
        body.insert("short_description".to_owned(), order.title.clone().into());
        body.insert(
            "description".to_owned(),
            crop(&order.plain(), LONGEST).into(),
        );
        body.insert("correlation_id".to_owned(), key.clone().into());
        body.insert("correlation_display".to_owned(), "Clawback".into());
        let body = Value::Object(body).to_string();
        let path = format!(
            "{}?sysparm_fields=sys_id,number,correlation_id",
            self.path("")
        );
        let request = Request::change(Method::POST, path, body.as_bytes());
        let answer = self.client.ask(call, request).await?;
        let made = answer.json()?;
        self.ticket(&answer, &made["result"], &key)
    }

    async fn look(&self, call: Call<'_>, ticket: &Ticket) -> Result<Option<Seen>, Failure> {
        let path = format!(
            "{}?sysparm_fields=state,closed_by,resolved_by,close_notes&sysparm_display_value=all\
             &sysparm_exclude_reference_link=true",
            self.path(&ticket.id)
        );
        let answer = self.client.send(call, Request::get(path)).await?;
        if answer.status == 404 {
            return Ok(Some(Seen {
                stands: Stands::Gone,
                ..Seen::default()
            }));
        }
        let answer = answer.good()?;
        let seen = answer.json()?;
        let state = answer.text_at(&seen, "/result/state/value")?;
        let shown = |field: &str| {
            let value = seen.pointer(&format!("/result/{field}/display_value"));
            value.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let by = [shown("resolved_by"), shown("closed_by")];
        Ok(Some(Seen {
            stands: if self.records.closed.contains(&state) {
                Stands::Closed
            } else {
                Stands::Open
            },
            by: by.into_iter().find(|by| !by.is_empty()).unwrap_or_default(),
            words: shown("close_notes"),
        }))
    }

    async fn note(&self, call: Call<'_>, ticket: &Ticket, note: &Note) -> Result<(), Failure> {
        self.patch(call, ticket, self.journal(note)).await
    }

    async fn noted(
        &self,
        call: Call<'_>,
        ticket: &Ticket,
        mark: &str,
    ) -> Result<Option<bool>, Failure> {
        let field = &self.records.journal;
        let path = format!(
            "{}?sysparm_fields={}&sysparm_display_value=true",
            self.path(&ticket.id),
            escape(field)
        );
        let answer = self.client.ask(call, Request::get(path)).await?;
        let seen = answer.json()?;
        let text = seen.pointer(&format!("/result/{field}"));
        // A field that may not be read is left out.
        let text = text
            .and_then(Value::as_str)
            .ok_or_else(|| answer.drifted(&format!("it lacks `{field}`: may it be read?")))?;
        Ok(Some(text.contains(mark)))
    }

    async fn close(&self, call: Call<'_>, ticket: &Ticket, note: &Note) -> Result<(), Failure> {
        let mut body = self.unless_noted(call, ticket, note).await;
        body["state"] = self.records.close.clone().into();
        body["close_code"] = self.records.close_code.clone().into();
        body["close_notes"] = plain(&note.text).into();
        self.patch(call, ticket, body).await
    }

    async fn reopen(&self, call: Call<'_>, ticket: &Ticket, note: &Note) -> Result<(), Failure> {
        let mut body = self.unless_noted(call, ticket, note).await;
        body["state"] = self.records.reopen.clone().into();
        self.patch(call, ticket, body).await
    }
}

impl ServiceNow {
    fn ticket(&self, answer: &Answer, record: &Value, key: &str) -> Result<Ticket, Failure> {
        let id = answer.text_at(record, "/sys_id")?;
        let place = format!("{}.do?sys_id={id}", self.records.table);
        Ok(Ticket {
            page: Some(
                self.client
                    .page(&format!("/nav_to.do?uri={}", escape(&place))),
            ),
            id,
            shown: answer.text_at(record, "/number")?,
            keyed: record["correlation_id"] == key,
        })
    }

    fn path(&self, id: &str) -> String {
        let table = escape(&self.records.table);
        if id.is_empty() {
            return format!("/api/now/table/{table}");
        }
        format!("/api/now/table/{table}/{}", escape(id))
    }

    /// A journal entry that carries its mark.
    fn journal(&self, note: &Note) -> Value {
        let text = format!("{}\n({})", plain(&note.text), note.mark);
        json!({ self.records.journal.as_str(): text })
    }

    /// The journal entry, unless an earlier try has left it: a state that is refused again and again
    /// must not fill the journal.
    async fn unless_noted(&self, call: Call<'_>, ticket: &Ticket, note: &Note) -> Value {
        match self.noted(call, ticket, &note.mark).await {
            Ok(Some(true)) => json!({}),
            Ok(_) | Err(_) => self.journal(note),
        }
    }

    async fn patch(&self, call: Call<'_>, ticket: &Ticket, body: Value) -> Result<(), Failure> {
        let path = format!("{}?sysparm_fields=sys_id", self.path(&ticket.id));
        let body = body.to_string();
        let request = Request::change(Method::PATCH, path, body.as_bytes());
        self.client.ask(call, request).await.map(|_| ())
    }
}

/// Journal fields render what stands between `[code]` and `[/code]` as HTML.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let lower = text.to_ascii_lowercase();
    let mut done = 0;
    for tag in lower.match_indices("code]").map(|(at, _)| at) {
        let opens = lower[..tag].ends_with('[') || lower[..tag].ends_with("[/");
        if opens {
            plain.push_str(&text[done..tag]);
            plain.push_str("code )");
            done = tag + "code]".len();
        }
    }
    plain.push_str(&text[done..]);
    plain
}

fn records(answer: &Answer) -> Result<Vec<Value>, Failure> {
    match answer.json()?.get_mut("result").map(Value::take) {
        Some(Value::Array(records)) => Ok(records),
        _ => Err(answer.drifted("it lacks `result`")),
    }
}

#[cfg(test)]
pub(crate) mod tests;
