//! Changes at the lying server: what is refused, and what is done to a user or a group.
//!
//! Owns the traps of PATCH, PUT and DELETE. Leaves reading and tokens to the file above.

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::super::trap::Trap;
use super::{Estate, error, find};
use crate::connectors::scim::resource::{field, text};

/// What is refused before it is looked at.
pub(super) fn refuse(
    state: &mut Estate,
    kind: &str,
    id: &str,
    headers: &HeaderMap,
    body: &Value,
) -> Option<Response> {
    let expected = format!("W/\"{}\"", state.version);
    let named = headers.get("if-match");
    let named = named.map(|value| value.to_str().is_ok_and(|value| value == expected));
    let path = text(&body["Operations"][0], "path").unwrap_or("");
    let refusal = match state.trap {
        Trap::VersionRequired if named.is_none() => error(428, "", "name a version"),
        Trap::VersionRequired if named == Some(false) => error(412, "", "another version"),
        Trap::AlwaysRaced => error(412, "", "another version"),
        Trap::PathsRefused | Trap::PathsRefusedNoVersion if path.contains('[') => {
            error(400, "invalidPath", "no filters in paths")
        }
        Trap::AnnouncedOnly | Trap::AnnouncesNothing if body["Operations"].is_array() => {
            error(501, "", "no PATCH here")
        }
        Trap::ReadsOnly => error(403, "", "this token may read"),
        Trap::Fails => error(500, "", "boom"),
        Trap::SlowDown | Trap::SlowDownUntil => {
            let mut answer = error(429, "", "slow down");
            let (wait, sent) = match state.trap {
                Trap::SlowDown => ("60", "Fri, 20 Nov 2026 10:00:00 GMT"),
                _ => (
                    "Fri, 20 Nov 2026 10:01:00 GMT",
                    "Fri, 20 Nov 2026 10:00:00 GMT",
                ),
            };
            let headers = answer.headers_mut();
            headers.insert("retry-after", wait.parse().expect("a header"));
            headers.insert("date", sent.parse().expect("a header"));
            answer
        }
        Trap::SecondRemoval(status) => {
            if kind == "Users" {
                state.users.retain(|user| user["id"] != id);
            } else if let Some(group) = find(state, kind, id) {
                group["members"] = json!([]);
            }
            match status {
                204 => StatusCode::NO_CONTENT.into_response(),
                status => error(status, "", "it is gone already"),
            }
        }
        _ => return None,
    };
    state.fired += 1;
    Some(refusal)
}

pub(super) fn patch(state: &mut Estate, kind: &str, id: &str, body: &Value) -> Response {
    let trap = state.trap;
    let operation = body["Operations"][0].clone();
    let path = text(&operation, "path").unwrap_or("").to_owned();
    let by_value = operation.get("value").is_some();
    match trap {
        Trap::NoPatch => {
            state.fired += 1;
            return error(501, "", "no PATCH here");
        }
        Trap::PatchIgnored => {
            state.fired += 1;
            return StatusCode::OK.into_response();
        }
        Trap::RemovalIgnored if path.contains('[') => {
            state.fired += 1;
            return StatusCode::OK.into_response();
        }
        Trap::Peculiar if !path.is_empty() => {
            state.fired += 1;
            return error(400, "invalidPath", "no paths here");
        }
        Trap::Pending => {
            state.fired += 1;
            return StatusCode::ACCEPTED.into_response();
        }
        _ => {}
    }
    state.version += 1;
    let wipe = trap == Trap::ValueRemovesAll && by_value;
    let Some(target) = find(state, kind, id) else {
        return error(404, "", "not found");
    };
    if operation["op"] == "replace" {
        let value = field(&operation, "value").expect("a value");
        let active = if path == "active" {
            value
        } else {
            &value["active"]
        };
        target["active"] = active.clone();
        let whole = target.to_string();
        return done(state, whole);
    }
    let attribute = path.split('[').next().unwrap_or("").to_owned();
    let wanted = if by_value {
        operation["value"][0]["value"]
            .as_str()
            .expect("a value")
            .to_owned()
    } else {
        let quoted = path.split_once(" eq ").expect("a filter").1;
        serde_json::from_str(quoted.trim_end_matches(']')).expect("a JSON string")
    };
    let elements = target[&attribute].as_array_mut().expect("a list");
    elements.retain(|one| !wipe && one["value"] != wanted.as_str());
    let whole = target.to_string();
    done(state, whole)
}

/// The answer to a PATCH that was carried out: with or without a body, both are allowed.
fn done(state: &mut Estate, whole: String) -> Response {
    let half = whole.len() / 2;
    let body = match state.trap {
        Trap::AnswersWhole => whole,
        Trap::AnswersHalf => whole[..half].to_owned(),
        _ => return StatusCode::NO_CONTENT.into_response(),
    };
    state.fired += 1;
    body.into_response()
}

pub(super) fn put(
    state: &mut Estate,
    kind: &str,
    id: &str,
    headers: &HeaderMap,
    body: Value,
) -> Response {
    if state.trap == Trap::NoPatchAndRaced {
        state.version += 1;
        state.fired += 1;
    }
    let expected = format!("W/\"{}\"", state.version);
    let named = headers.get("if-match").and_then(|v| v.to_str().ok());
    if state.trap == Trap::VersionIgnored {
        state.fired += 1;
        let target = find(state, kind, id).expect("is there");
        if let Some(members) = target["members"].as_array_mut() {
            members.retain(|one| one["value"] != "bob");
        }
    }
    if named != Some(&expected) && state.trap != Trap::VersionIgnored {
        return error(412, "", "another version");
    }
    state.version += 1;
    *find(state, kind, id).expect("is there") = body;
    StatusCode::OK.into_response()
}

pub(super) fn delete(state: &mut Estate, id: &str) -> Response {
    if state.trap == Trap::DeleteLies {
        state.fired += 1;
        return error(404, "", "not found");
    }
    let before = state.users.len();
    state.users.retain(|user| user["id"] != id);
    if state.users.len() == before {
        return error(404, "", "not found");
    }
    StatusCode::NO_CONTENT.into_response()
}
