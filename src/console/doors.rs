//! Coming in and going out: the sign-in form, what it leads to, and the sign-out.
//!
//! Owns the cookies of the door and of the session. Whoever signs in gets a session of their own, with
//! a secret that no one else has ever seen.

use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::cookies::{self, DOOR, SESSION};
use super::gate::Fields;
use super::office::{Office, Shared, Who};
use super::page::{self, Door};
use super::pages::Answer;
use super::password::{form_token, secret};
use super::problem::Problem;
use super::sign_in::Begun;

/// Where somebody wanted to go.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    pub(super) next: String,
}

/// How long a sign-in form stays good.
const DOOR_SECONDS: u64 = 3600;

/// The sign-in form; whoever is signed in goes on.
pub(super) async fn open(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
    Query(next): Query<Next>,
) -> Answer {
    let back = page::local(&next.next);
    if who.session.is_some() {
        return Ok(Redirect::to(back).into_response());
    }
    form(&office, &headers, back, None)
}

/// The form, bound to this browser by a cookie of its own.
fn form(office: &Office, headers: &HeaderMap, back: &str, problem: Option<&Problem>) -> Answer {
    let known = cookies::cookie(headers, DOOR).map(str::to_owned);
    let door = match &known {
        Some(door) => door.clone(),
        None => secret()?,
    };
    let shown = page::sign_in(&Door {
        token: &form_token(&door),
        back,
        problem,
        provider: office.provider.is_some(),
    });
    let status = problem.map_or(StatusCode::OK, Problem::status);
    let mut response = (status, shown).into_response();
    if known.is_none() {
        cookies::set(response.headers_mut(), DOOR, &door, DOOR_SECONDS);
    }
    Ok(response)
}

/// Takes name and password.
pub(super) async fn enter(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
    Extension(fields): Extension<Fields>,
) -> Answer {
    let next = fields.whole("next");
    let back = page::local(&next);
    let password = fields.whole("password");
    match office
        .sign_in(fields.get("name"), password, &who.address)
        .await
    {
        Ok(begun) => Ok(entered(&office, &begun, back)),
        Err(problem) if problem.status == 401 => form(&office, &headers, back, Some(&problem)),
        Err(problem) => Err(problem),
    }
}

/// Goes on with a session that has just begun.
pub(super) fn entered(office: &Office, begun: &Begun, back: &str) -> Response {
    tracing::info!(session = %begun.session.id, "a session has begun");
    let mut response = Redirect::to(page::local(back)).into_response();
    let headers = response.headers_mut();
    cookies::set(
        headers,
        SESSION,
        &begun.secret,
        office.bounds.longest_seconds,
    );
    cookies::set(headers, DOOR, "", 0);
    response
}

/// Ends the session.
pub(super) async fn leave(State(office): State<Shared>, Extension(who): Extension<Who>) -> Answer {
    if let Some(session) = &who.session {
        office
            .store
            .end_sessions(&who.name, Some(session.id))
            .await?;
    }
    office.note(&who, "sign_out", "", "done").await?;
    let mut response = Redirect::to("/sign-in").into_response();
    cookies::set(response.headers_mut(), SESSION, "", 0);
    Ok(response)
}
