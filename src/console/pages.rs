//! Pages and their forms: what each path shows, and where a form leads afterwards.
//!
//! Owns the thin way from request to view to page. A form changes something, then the browser is sent
//! to a page that can be opened again; what came of it is told there once.

use axum::extract::{Extension, Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};

use super::cookies::{self, TOLD, Told};
use super::deeds::{Approve, Close, Outcome, Reason, Rule};
use super::gate::{Fields, Flash};
use super::office::{Shared, Who};
use super::page;
use super::problem::Problem;
use super::view::{self, ActsAsked, CasesAsked, TasksAsked};
use crate::domain::id::{CaseId, DeadLetterId, TaskId};

/// A page, or why there is none.
pub(super) type Answer = Result<Response, Problem>;

type Here = (Extension<Who>, Extension<Flash>);

/// To a page, which tells this once.
pub(super) fn onward(path: &str, told: &Told) -> Response {
    let mut response = Redirect::to(path).into_response();
    cookies::set(response.headers_mut(), TOLD, &told.encode(), 60);
    response
}

/// To a page that tells what came of a deed. What the engine or the record refused is told there too;
/// anything else has a page of its own.
pub(super) fn came_to(path: &str, outcome: Result<Outcome, Problem>) -> Answer {
    let told = match outcome {
        Ok(outcome) => {
            let found = outcome.found.iter().map(|one| format!(" {one}."));
            Told {
                well: outcome.came_to != "sent_back",
                words: format!("{}.{}", outcome.message, found.collect::<String>()),
            }
        }
        Err(problem) if matches!(problem.status, 409 | 422) => Told {
            well: false,
            words: match &problem.code {
                Some(code) => format!("{} ({code})", problem.detail),
                None => problem.detail,
            },
        },
        Err(problem) => return Err(problem),
    };
    Ok(onward(path, &told))
}

pub(super) async fn overview(State(office): State<Shared>, (who, flash): Here) -> Answer {
    let view = view::overview(&office).await?;
    Ok(page::overview(&who, flash.0.0.as_ref(), &view).into_response())
}

pub(super) async fn cases(
    State(office): State<Shared>,
    (who, flash): Here,
    Query(asked): Query<CasesAsked>,
) -> Answer {
    let cases = view::cases(&office, &asked).await?;
    Ok(page::cases(&who, flash.0.0.as_ref(), &asked, &cases).into_response())
}

pub(super) async fn case(
    State(office): State<Shared>,
    (who, flash): Here,
    Path(id): Path<CaseId>,
) -> Answer {
    let view = view::one_case(&office, id).await?;
    Ok(page::case(&who, flash.0.0.as_ref(), &view, office.now()).into_response())
}

pub(super) async fn tasks(
    State(office): State<Shared>,
    (who, flash): Here,
    Query(asked): Query<TasksAsked>,
) -> Answer {
    let tasks = view::tasks(&office, &asked).await?;
    let shown = page::tasks(&who, flash.0.0.as_ref(), (&asked, &tasks), office.now());
    Ok(shown.into_response())
}

pub(super) async fn task(
    State(office): State<Shared>,
    (who, flash): Here,
    Path(id): Path<TaskId>,
) -> Answer {
    let view = view::one_task(&office, id).await?;
    Ok(page::task(&who, flash.0.0.as_ref(), &view, office.now()).into_response())
}

pub(super) async fn connectors(State(office): State<Shared>, (who, flash): Here) -> Answer {
    let all = view::connectors(&office).await?.items;
    Ok(page::connectors(&who, flash.0.0.as_ref(), &all, office.now()).into_response())
}

pub(super) async fn connector(
    State(office): State<Shared>,
    (who, flash): Here,
    Path(name): Path<String>,
) -> Answer {
    let view = view::one_connector(&office, &name).await?;
    Ok(page::connector(&who, flash.0.0.as_ref(), &view, office.now()).into_response())
}

pub(super) async fn approvals(State(office): State<Shared>, (who, flash): Here) -> Answer {
    let all = office.backing.governed().await?;
    let matters = view::matters(&office).await?;
    let shown = (all.as_slice(), matters.as_slice());
    Ok(page::approvals(&who, flash.0.0.as_ref(), shown, office.now()).into_response())
}

pub(super) async fn approval(
    State(office): State<Shared>,
    (who, flash): Here,
    Path(name): Path<String>,
) -> Answer {
    let view = view::approval(&office, &name).await?;
    Ok(page::approval(&who, flash.0.0.as_ref(), &view, office.now()).into_response())
}

pub(super) async fn letters(State(office): State<Shared>, (who, flash): Here) -> Answer {
    let letters = view::letters(&office, crate::store::Letters::All, 200).await?;
    Ok(page::letters(&who, flash.0.0.as_ref(), &letters).into_response())
}

pub(super) async fn letter(
    State(office): State<Shared>,
    (who, flash): Here,
    Path(id): Path<DeadLetterId>,
) -> Answer {
    let view = view::letter(&office, id).await?;
    Ok(page::letter(&who, flash.0.0.as_ref(), &view).into_response())
}

pub(super) async fn secrets(State(office): State<Shared>, (who, flash): Here) -> Answer {
    let secrets = view::secrets(&office).await?.items;
    Ok(page::secrets(&who, flash.0.0.as_ref(), &secrets).into_response())
}

pub(super) async fn acts(
    State(office): State<Shared>,
    (who, flash): Here,
    Query(asked): Query<ActsAsked>,
) -> Answer {
    let acts = view::acts(&office, &asked).await?.items;
    Ok(page::acts(&who, flash.0.0.as_ref(), &asked, &acts).into_response())
}

type Sent = (Extension<Who>, Extension<Fields>);

pub(super) fn reason(fields: &Fields) -> Reason {
    Reason {
        reason: fields.get("reason").to_owned(),
    }
}

pub(super) async fn claim(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<TaskId>,
) -> Answer {
    came_to(&format!("/tasks/{id}"), office.claim(&who, id).await)
}

pub(super) async fn close(
    State(office): State<Shared>,
    (who, fields): Sent,
    Path(id): Path<TaskId>,
) -> Answer {
    let close = Close {
        note: fields.get("note").to_owned(),
        statement: fields.get("statement").parse().ok(),
    };
    let closed = office.close(&who, id, &close).await;
    came_to(&format!("/tasks/{id}"), closed)
}

pub(super) async fn reject(
    State(office): State<Shared>,
    (who, fields): Sent,
    Path(id): Path<TaskId>,
) -> Answer {
    let rejected = office.reject_task(&who, id, &reason(&fields)).await;
    came_to(&format!("/tasks/{id}"), rejected)
}

pub(super) async fn rule(
    State(office): State<Shared>,
    (who, fields): Sent,
    Path(id): Path<TaskId>,
) -> Answer {
    let rule = Rule {
        release: fields.get("ruling") == "release",
        note: fields.get("reason").to_owned(),
        meant: Some(fields.get("meant").to_owned()),
    };
    came_to(&format!("/tasks/{id}"), office.rule(&who, id, &rule).await)
}

pub(super) async fn attest(
    State(office): State<Shared>,
    (who, fields): Sent,
    Path(id): Path<TaskId>,
) -> Answer {
    let attested = office.attest(&who, id, &reason(&fields)).await;
    came_to(&format!("/tasks/{id}"), attested)
}

fn of(connector: &str) -> String {
    format!("/approvals/{}", page::escape(connector))
}

pub(super) async fn propose(
    State(office): State<Shared>,
    (who, fields): Sent,
    Path(name): Path<String>,
) -> Answer {
    let proposed = office.propose(&who, &name, &reason(&fields)).await;
    came_to(&of(&name), proposed)
}

pub(super) async fn approve(
    State(office): State<Shared>,
    (who, fields): Sent,
    Path(name): Path<String>,
) -> Answer {
    let approve = Approve {
        digest: fields.get("digest").to_owned(),
        reason: fields.get("reason").to_owned(),
    };
    came_to(&of(&name), office.approve(&who, &name, &approve).await)
}

pub(super) async fn turn_down(
    State(office): State<Shared>,
    (who, fields): Sent,
    Path(name): Path<String>,
) -> Answer {
    let rejected = office.reject_manifest(&who, &name, &reason(&fields)).await;
    came_to(&of(&name), rejected)
}

pub(super) async fn replay(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<DeadLetterId>,
) -> Answer {
    let replayed = office.replay(&who, id).await;
    came_to(&format!("/dead-letters/{id}"), replayed)
}

pub(super) async fn set_aside(
    State(office): State<Shared>,
    (who, fields): Sent,
    Path(id): Path<DeadLetterId>,
) -> Answer {
    let aside = office.set_aside(&who, id, &reason(&fields)).await;
    came_to(&format!("/dead-letters/{id}"), aside)
}

pub(super) async fn drill(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Answer {
    let path = format!("/connectors/{}", page::escape(&name));
    came_to(&path, office.drill(&who, &name).await)
}

pub(super) async fn rotate(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path((connector, role)): Path<(String, String)>,
) -> Answer {
    let rotated = office.rotate(&who, &connector, &role).await;
    came_to("/secrets", rotated)
}
