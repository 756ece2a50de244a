//! The CRM's requests: members in pages by cursor, changes one by one, API keys.
//!
//! Owns its answer shapes (`data`, `page.next`, `error.code`), which follow no standard, as with most
//! applications. Clients sign in with an API key in `X-Api-Key`. A writer changes members, a
//! verifier reads them, a rotator manages API keys.

use std::collections::HashMap;
use std::ops::Bound;

use axum::Router;
use axum::extract::{Json, Path, Query, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde_json::{Value, json};

use crate::demo::tokens::role_named;
use crate::domain::verdict::CredentialRole;

use super::{Changed, Member, Shared};

/// The largest page.
const PAGE: usize = 20;

/// All routes: the API behind the check of the key, and the administrator's own page, which stands
/// for somebody who sits at the machine.
pub(super) fn router(shared: Shared) -> Router {
    let by_hand = Router::new()
        .route("/admin/members/{id}/offboard", post(offboard))
        .with_state(shared.clone());
    api(shared).merge(by_hand)
}

fn api(shared: Shared) -> Router {
    Router::new()
        .route("/v1/members", get(list))
        .route("/v1/members/{id}", get(read).patch(modify).delete(remove))
        .route("/v1/members/{id}/sessions", delete(end_sessions))
        .route("/v1/members/{id}/roles/{role}", delete(take_role))
        .route("/v1/members/{id}/keys/{key}", delete(take_key))
        .route("/v1/api-keys", get(list_keys).post(issue_key))
        .route("/v1/api-keys/{id}", delete(remove_key))
        .fallback(|| async { error(StatusCode::NOT_FOUND, "no_such_address") })
        .layer(from_fn_with_state(shared.clone(), admit))
        .with_state(shared)
}

fn error(status: StatusCode, code: &str) -> Response {
    (status, Json(json!({"error": {"code": code}}))).into_response()
}

fn data(status: StatusCode, body: &Value) -> Response {
    (status, Json(json!({ "data": body }))).into_response()
}

async fn admit(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let key = request.headers().get("x-api-key");
    let role = key
        .and_then(|value| value.to_str().ok())
        .and_then(|value| shared.state().keys.admit(value));
    let admin = request.uri().path().starts_with("/v1/api-keys");
    let allowed = match role {
        None => return error(StatusCode::UNAUTHORIZED, "invalid_api_key"),
        Some(CredentialRole::Rotator) => admin,
        Some(CredentialRole::Verifier) => !admin && request.method() == Method::GET,
        Some(CredentialRole::Writer) => !admin,
    };
    if allowed {
        next.run(request).await
    } else {
        error(StatusCode::FORBIDDEN, "not_allowed")
    }
}

async fn list(
    State(shared): State<Shared>,
    Query(params): Query<HashMap<String, String>>,
) -> Response {
    let limit = match params.get("limit").map(|text| text.parse::<usize>()) {
        None => PAGE,
        Some(Ok(limit @ 1..)) => limit.min(PAGE),
        Some(_) => return error(StatusCode::BAD_REQUEST, "bad_limit"),
    };
    let state = shared.state();
    let after = match params.get("cursor") {
        None => Bound::Unbounded,
        Some(cursor) => match cursor.strip_prefix("after-") {
            Some(id) => Bound::Excluded(id.to_owned()),
            None => return error(StatusCode::BAD_REQUEST, "bad_cursor"),
        },
    };
    let mut rest = state.members.range((after, Bound::Unbounded)).peekable();
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    // The last page says so with `null`: a client that stops at a short page is not told otherwise.
    let next = match (page.last(), rest.peek()) {
        (Some((id, _)), Some(_)) => Some(format!("after-{id}")),
        _ => None,
    };
    let shown: Vec<Value> = page.iter().map(|(id, member)| member.shown(id)).collect();
    let page = json!({"next": next, "total": state.members.len()});
    Json(json!({"data": shown, "page": page})).into_response()
}

async fn read(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    match shared.state().members.get(&id) {
        Some(member) => data(StatusCode::OK, &member.shown(&id)),
        None => error(StatusCode::NOT_FOUND, "no_such_member"),
    }
}

fn answer(changed: Changed) -> Response {
    match changed {
        Changed::Yes(shown) => data(StatusCode::OK, &shown),
        Changed::NoSuchMember => error(StatusCode::NOT_FOUND, "no_such_member"),
        Changed::NothingThere => error(StatusCode::NOT_FOUND, "nothing_there"),
    }
}

async fn modify(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Json(wanted): Json<Value>,
) -> Response {
    let suspended = match wanted["status"].as_str() {
        Some("suspended") => true,
        Some("active") => false,
        _ => return error(StatusCode::BAD_REQUEST, "bad_status"),
    };
    answer(shared.change(&id, |member| {
        member.suspended = suspended;
        true
    }))
}

async fn offboard(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    match shared.state().members.get_mut(&id) {
        Some(member) => {
            member.offboard();
            data(StatusCode::OK, &member.shown(&id))
        }
        None => error(StatusCode::NOT_FOUND, "no_such_member"),
    }
}

async fn remove(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let mut state = shared.state();
    if state.members.remove(&id).is_some() {
        StatusCode::NO_CONTENT.into_response()
    } else {
        error(StatusCode::NOT_FOUND, "no_such_member")
    }
}

async fn end_sessions(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    answer(shared.change(&id, |member| {
        member.sessions = 0;
        true
    }))
}

async fn take_role(
    State(shared): State<Shared>,
    Path((id, role)): Path<(String, String)>,
) -> Response {
    answer(shared.change(&id, |member| took(&mut member.roles, |held| *held == role)))
}

async fn take_key(
    State(shared): State<Shared>,
    Path((id, key)): Path<(String, String)>,
) -> Response {
    answer(shared.change(&id, |member: &mut Member| {
        took(&mut member.keys, |(held, _)| *held == key)
    }))
}

/// True when there was something to take.
fn took<T>(held: &mut Vec<T>, is_it: impl Fn(&T) -> bool) -> bool {
    let before = held.len();
    held.retain(|one| !is_it(one));
    held.len() < before
}

async fn list_keys(State(shared): State<Shared>) -> Response {
    let state = shared.state();
    let keys: Vec<Value> = state
        .keys
        .all()
        .iter()
        .map(|key| {
            json!({"id": key.id, "label": key.label, "role": key.role.as_str(), "expired": key.expired})
        })
        .collect();
    data(StatusCode::OK, &Value::Array(keys))
}

async fn issue_key(State(shared): State<Shared>, Json(wanted): Json<Value>) -> Response {
    let role = wanted["role"].as_str().and_then(role_named);
    let (Some(role), Some(label)) = (role, wanted["label"].as_str()) else {
        return error(StatusCode::BAD_REQUEST, "label_and_role_needed");
    };
    let mut state = shared.state();
    let key = state.keys.issue(role, label, &*shared.chance);
    let body = json!({"id": key.id, "value": key.value, "label": label, "role": role.as_str()});
    data(StatusCode::CREATED, &body)
}

async fn remove_key(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    if shared.state().keys.remove(&id) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        error(StatusCode::NOT_FOUND, "no_such_key")
    }
}
