//! The API's handlers: the same views and deeds as the pages, as JSON.
//!
//! Owns nothing but that way. What each takes and gives is described by the route table, and the
//! description is made from it.

use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::deeds::{Approve, Close, Outcome, Reason, Rule};
use super::office::{Shared, Who};
use super::openapi;
use super::problem::Problem;
use super::view::{self, ActsAsked, CasesAsked, List, ReportAsked, TasksAsked};
use crate::domain::id::{CaseId, DeadLetterId, TaskId};

type Answer = Result<Response, Problem>;
pub(super) type Body<T> = Result<Json<T>, JsonRejection>;

// Every handler ends with it, and they can fail.
#[allow(clippy::unnecessary_wraps)]
pub(super) fn json<T: Serialize>(value: &T) -> Answer {
    Ok(Json(value).into_response())
}

pub(super) fn done(outcome: Result<Outcome, Problem>) -> Answer {
    json(&outcome?)
}

/// The body, or what is wrong with it and where.
pub(super) fn read<T: DeserializeOwned>(body: Body<T>) -> Result<T, Problem> {
    body.map(|Json(value)| value).map_err(|rejection| {
        let status = match &rejection {
            JsonRejection::MissingJsonContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            JsonRejection::JsonDataError(_) => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::BAD_REQUEST,
        };
        Problem::new(status, Some("CB-CONSOLE-6"), rejection.body_text())
    })
}

/// A number of lines that the description allows.
fn bounded(limit: Option<u32>) -> Result<(), Problem> {
    match limit {
        Some(limit) if !(1..=1000).contains(&limit) => {
            Err(Problem::unreadable("`limit` is a number from 1 to 1000"))
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) async fn description() -> Answer {
    json(&*openapi::DESCRIPTION)
}

pub(super) async fn overview(State(office): State<Shared>) -> Answer {
    json(&view::overview(&office).await?)
}

pub(super) async fn cases(State(office): State<Shared>, Query(asked): Query<CasesAsked>) -> Answer {
    bounded(asked.limit)?;
    json(&view::cases(&office, &asked).await?)
}

pub(super) async fn case(State(office): State<Shared>, Path(id): Path<CaseId>) -> Answer {
    json(&view::one_case(&office, id).await?)
}

pub(super) async fn tasks(State(office): State<Shared>, Query(asked): Query<TasksAsked>) -> Answer {
    bounded(asked.limit)?;
    json(&view::tasks(&office, &asked).await?)
}

pub(super) async fn task(State(office): State<Shared>, Path(id): Path<TaskId>) -> Answer {
    json(&view::one_task(&office, id).await?)
}

pub(super) async fn claim(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<TaskId>,
) -> Answer {
    done(office.claim(&who, id).await)
}

pub(super) async fn close(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<TaskId>,
    body: Body<Close>,
) -> Answer {
    done(office.close(&who, id, &read(body)?).await)
}

pub(super) async fn reject(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<TaskId>,
    body: Body<Reason>,
) -> Answer {
    done(office.reject_task(&who, id, &read(body)?).await)
}

pub(super) async fn rule(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<TaskId>,
    body: Body<Rule>,
) -> Answer {
    done(office.rule(&who, id, &read(body)?).await)
}

pub(super) async fn attest(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<TaskId>,
    body: Body<Reason>,
) -> Answer {
    done(office.attest(&who, id, &read(body)?).await)
}

pub(super) async fn connectors(State(office): State<Shared>) -> Answer {
    json(&view::connectors(&office).await?)
}

pub(super) async fn connector(State(office): State<Shared>, Path(name): Path<String>) -> Answer {
    json(&view::one_connector(&office, &name).await?)
}

pub(super) async fn approvals(State(office): State<Shared>) -> Answer {
    let items = office.backing.governed().await?;
    json(&List::whole(items))
}

pub(super) async fn approval(State(office): State<Shared>, Path(name): Path<String>) -> Answer {
    json(&view::approval(&office, &name).await?)
}

pub(super) async fn propose(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
    body: Body<Reason>,
) -> Answer {
    done(office.propose(&who, &name, &read(body)?).await)
}

pub(super) async fn approve(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
    body: Body<Approve>,
) -> Answer {
    done(office.approve(&who, &name, &read(body)?).await)
}

pub(super) async fn turn_down(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
    body: Body<Reason>,
) -> Answer {
    done(office.reject_manifest(&who, &name, &read(body)?).await)
}

pub(super) async fn letters(State(office): State<Shared>) -> Answer {
    json(&view::letters(&office, crate::store::Letters::All, 1000).await?)
}

pub(super) async fn letter(State(office): State<Shared>, Path(id): Path<DeadLetterId>) -> Answer {
    json(&view::letter(&office, id).await?)
}

pub(super) async fn replay(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<DeadLetterId>,
) -> Answer {
    done(office.replay(&who, id).await)
}

pub(super) async fn set_aside(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<DeadLetterId>,
    body: Body<Reason>,
) -> Answer {
    done(office.set_aside(&who, id, &read(body)?).await)
}

pub(super) async fn secrets(State(office): State<Shared>) -> Answer {
    json(&view::secrets(&office).await?)
}

pub(super) async fn rotate(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path((connector, role)): Path<(String, String)>,
) -> Answer {
    done(office.rotate(&who, &connector, &role).await)
}

pub(super) async fn drill(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Answer {
    done(office.drill(&who, &name).await)
}

pub(super) async fn evidence(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<CaseId>,
) -> Answer {
    json(&office.evidence(&who, id).await?)
}

pub(super) async fn audit(State(office): State<Shared>) -> Answer {
    json(&view::audit(&office).await?)
}

pub(super) async fn verify(State(office): State<Shared>, Extension(who): Extension<Who>) -> Answer {
    done(office.verify_log(&who).await)
}

pub(super) async fn report(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Query(asked): Query<ReportAsked>,
) -> Answer {
    json(&office.report(&who, &asked).await?)
}

pub(super) async fn acts(State(office): State<Shared>, Query(asked): Query<ActsAsked>) -> Answer {
    bounded(asked.limit)?;
    let most = i64::MAX.unsigned_abs();
    if asked.before.is_some_and(|before| before > most) {
        return Err(Problem::unreadable("`before` is a number of the record"));
    }
    json(&view::acts(&office, &asked).await?)
}
