//! What operators stop and what they settle together: pauses, many tasks at once, the second person.
//!
//! Owns these deeds with their pages' forms and their API; the checks of what was typed are `deeds`,
//! what a wish comes to is the engine's.

use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, Path, State};
use axum::response::Json;
use schemars::JsonSchema;
use serde::Deserialize;

use super::api;
use super::deeds::{Outcome, Reason, done, typed};
use super::gate::Fields;
use super::office::{Office, Shared, Who};
use super::page;
use super::pages::{Answer, came_to};
use super::problem::Problem;
use crate::domain::command::{Command, Wish};
use crate::domain::id::{CommandId, ConnectorName, ContentDigest, TaskId};
use crate::domain::task::{Attestation, Bulk};
use crate::store::TaskFilter;

/// Tasks that are closed at once at most.
const MOST: u32 = 1000;

/// A claim that all open tasks of one target are done.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CloseAll {
    /// Of which connector.
    #[schemars(length(min = 1, max = 63))]
    pub connector: String,
    /// What was done.
    #[schemars(length(min = 1, max = 500), regex(pattern = r"\S"))]
    pub note: String,
    /// Why all at once; it stands on each of them.
    #[schemars(length(min = 1, max = 500), regex(pattern = r"\S"))]
    pub reason: String,
    /// One's own statement, for targets that cannot be read.
    #[serde(default)]
    pub attest: Option<String>,
    /// The tasks that were read and are meant; what is open besides stays so. Absent: all that are open.
    #[serde(default)]
    #[schemars(
        with = "Option<Vec<String>>",
        inner(regex(pattern = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"))
    )]
    pub tasks: Option<Vec<TaskId>>,
}

/// What a second person states.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirm {
    /// In one's own words.
    #[schemars(length(min = 1, max = 500), regex(pattern = r"\S"))]
    pub reason: String,
    /// What the task asked when it was read (`meant` of the task); confirmed is nothing else.
    #[serde(default)]
    pub meant: Option<String>,
}

impl Office {
    /// Stands, as a second person, for what another attested; the machine looks once more.
    pub(super) async fn confirm(
        &self,
        who: &Who,
        id: TaskId,
        given: &Confirm,
    ) -> Result<Outcome, Problem> {
        let known = self.task(id).await?.history.len();
        let statement = typed("the statement", &given.reason)?;
        let wish = Wish::ConfirmTask {
            task: id,
            statement,
            meant: given.meant.clone().map(ContentDigest),
        };
        let about = id.to_string();
        let wished = self
            .wished(who, ("confirm_task", &about, None), wish)
            .await?;
        self.looked(id, known, wished).await
    }

    /// Has the machine try now what it would try later.
    pub(super) async fn retry(&self, who: &Who, id: TaskId) -> Result<Outcome, Problem> {
        self.task(id).await?;
        let wish = Wish::RetryTask { task: id };
        self.wished(who, ("retry_task", &id.to_string(), None), wish)
            .await
    }

    /// Says of all open tasks of one target that they are done; each is checked like any other.
    pub(super) async fn close_all(&self, who: &Who, given: &CloseAll) -> Result<Outcome, Problem> {
        let note = typed("the note", &given.note)?;
        let reason = typed("the reason", &given.reason)?;
        let stated = given.attest.as_deref().filter(|text| !text.is_empty());
        let stated = stated
            .map(|text| typed("the statement", text))
            .transpose()?;
        let attestation = stated.map(|statement| Attestation {
            by: who.name.clone(),
            statement,
        });
        let filter = TaskFilter {
            closed: false,
            connector: Some(ConnectorName(given.connector.clone())),
            limit: MOST + 1,
            ..TaskFilter::default()
        };
        let mut tasks = self.store.tasks(&filter).await?;
        let more = tasks.len() > MOST as usize;
        tasks.truncate(MOST as usize);
        let open = tasks.len();
        if let Some(meant) = &given.tasks {
            tasks.retain(|task| meant.contains(&task.id));
        }
        let others = open - tasks.len();
        if tasks.is_empty() {
            return Err(Problem::missing("open task of this connector"));
        }
        let bulk = Bulk {
            id: CommandId(self.chance.id()),
            of: tasks.len() as u32,
            reason: reason.clone(),
        };
        for task in &tasks {
            let command = Command {
                id: CommandId(self.chance.id()),
                by: who.name.clone(),
                at: self.now(),
                wish: Wish::CloseInBulk {
                    task: task.id,
                    note: note.clone(),
                    attestation: attestation.clone(),
                    bulk: bulk.clone(),
                },
            };
            self.store.wish(&command).await?;
        }
        let of = bulk.of;
        let words = format!("{of} in line, bulk {}: {reason}", bulk.id);
        self.note(who, "close_tasks_at_once", &given.connector, &words)
            .await?;
        let besides = match others {
            0 if more => format!("; these are the first {MOST}: the same once more takes the next"),
            0 => String::new(),
            1 => "; 1 other was not meant and stays open".to_owned(),
            others => format!("; {others} others were not meant and stay open"),
        };
        Ok(done(format!(
            "{of} tasks are said to be done; the machine looks at each{besides}"
        )))
    }

    /// Stops all work at a target, or at all of them.
    pub(super) async fn pause(
        &self,
        who: &Who,
        connector: Option<&str>,
        given: &Reason,
    ) -> Result<Outcome, Problem> {
        let reason = typed("the reason", &given.reason)?;
        let connector = self.known(connector)?;
        let about = about(connector.as_ref());
        let wish = Wish::Pause { connector, reason };
        self.wished(who, ("pause", &about, None), wish).await
    }

    /// Ends a pause.
    pub(super) async fn resume(
        &self,
        who: &Who,
        connector: Option<&str>,
        given: &Reason,
    ) -> Result<Outcome, Problem> {
        let reason = typed("the reason", &given.reason)?;
        let connector = connector.map(|name| ConnectorName(name.to_owned()));
        let pauses = self.store.pauses().await?;
        if !pauses.0.iter().any(|pause| pause.connector == connector) {
            let words = "there is no such pause";
            return Err(Problem::refused(Some("CB-PAUSE-1".to_owned()), words));
        }
        let about = about(connector.as_ref());
        let wish = Wish::Resume { connector, reason };
        self.wished(who, ("resume", &about, None), wish).await
    }

    fn known(&self, connector: Option<&str>) -> Result<Option<ConnectorName>, Problem> {
        let Some(name) = connector else {
            return Ok(None);
        };
        let facts = self.backing.connectors();
        if facts.iter().all(|fact| fact.name != name) {
            return Err(Problem::missing("connector"));
        }
        Ok(Some(ConnectorName(name.to_owned())))
    }
}

fn about(connector: Option<&ConnectorName>) -> String {
    connector.map_or_else(|| "all connectors".to_owned(), ToString::to_string)
}

type Sent = (Extension<Who>, Extension<Fields>);
type Body<T> = Result<Json<T>, JsonRejection>;

/// The tasks that a form was made for.
fn read_tasks(text: &str) -> Result<Vec<TaskId>, Problem> {
    let ids = text.split_whitespace().map(|id| id.parse().map(TaskId));
    let ids: Result<Vec<_>, uuid::Error> = ids.collect();
    ids.map_err(|_| {
        Problem::refused(
            None,
            "the form does not say which tasks it means: open the list again",
        )
    })
}

fn reason(fields: &Fields) -> Reason {
    Reason {
        reason: fields.get("reason").to_owned(),
    }
}

pub(super) async fn confirm_form(
    State(office): State<Shared>,
    (who, fields): Sent,
    Path(id): Path<TaskId>,
) -> Answer {
    let given = Confirm {
        reason: fields.get("reason").to_owned(),
        meant: Some(fields.get("meant").to_owned()),
    };
    let confirmed = office.confirm(&who, id, &given).await;
    came_to(&format!("/tasks/{id}"), confirmed)
}

pub(super) async fn retry_form(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<TaskId>,
) -> Answer {
    came_to(&format!("/tasks/{id}"), office.retry(&who, id).await)
}

pub(super) async fn close_all_form(State(office): State<Shared>, (who, fields): Sent) -> Answer {
    let given = CloseAll {
        connector: fields.get("connector").to_owned(),
        note: fields.get("note").to_owned(),
        reason: fields.get("reason").to_owned(),
        attest: Some(fields.get("attest").to_owned()),
        tasks: Some(read_tasks(fields.get("tasks"))?),
    };
    let path = format!("/tasks?connector={}", page::escape(&given.connector));
    came_to(&path, office.close_all(&who, &given).await)
}

pub(super) async fn pause_form(
    State(office): State<Shared>,
    (who, fields): Sent,
    Path(name): Path<String>,
) -> Answer {
    let path = format!("/connectors/{}", page::escape(&name));
    let paused = office.pause(&who, Some(&name), &reason(&fields)).await;
    came_to(&path, paused)
}

pub(super) async fn resume_form(
    State(office): State<Shared>,
    (who, fields): Sent,
    Path(name): Path<String>,
) -> Answer {
    let path = format!("/connectors/{}", page::escape(&name));
    let resumed = office.resume(&who, Some(&name), &reason(&fields)).await;
    came_to(&path, resumed)
}

pub(super) async fn pause_all_form(State(office): State<Shared>, (who, fields): Sent) -> Answer {
    let paused = office.pause(&who, None, &reason(&fields)).await;
    came_to("/connectors", paused)
}

pub(super) async fn resume_all_form(State(office): State<Shared>, (who, fields): Sent) -> Answer {
    let resumed = office.resume(&who, None, &reason(&fields)).await;
    came_to("/connectors", resumed)
}

pub(super) async fn confirm(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<TaskId>,
    body: Body<Confirm>,
) -> Answer {
    api::done(office.confirm(&who, id, &api::read(body)?).await)
}

pub(super) async fn retry(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<TaskId>,
) -> Answer {
    api::done(office.retry(&who, id).await)
}

pub(super) async fn close_all(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    body: Body<CloseAll>,
) -> Answer {
    api::done(office.close_all(&who, &api::read(body)?).await)
}

pub(super) async fn pause(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
    body: Body<Reason>,
) -> Answer {
    api::done(office.pause(&who, Some(&name), &api::read(body)?).await)
}

pub(super) async fn resume(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
    body: Body<Reason>,
) -> Answer {
    api::done(office.resume(&who, Some(&name), &api::read(body)?).await)
}

pub(super) async fn pause_all(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    body: Body<Reason>,
) -> Answer {
    api::done(office.pause(&who, None, &api::read(body)?).await)
}

pub(super) async fn resume_all(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    body: Body<Reason>,
) -> Answer {
    api::done(office.resume(&who, None, &api::read(body)?).await)
}
