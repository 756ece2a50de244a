//! Disabling and deleting a user.
//!
//! Owns the ladder from PATCH to a guarded PUT. Reads the user first, so that the login is asserted
//! and nothing is sent for what is already so; only a trial sends a change of whom nobody is. That one
//! never becomes a PUT, which could make the user. An answer of 2xx, 202 too, is `Accepted` and no more:
//! whether it took effect is for a later read with other eyes.

use reqwest::Method;
use serde_json::{Value, json};

use super::super::contract::{Answered, Change};
use super::super::http::{HttpAnswer, HttpRequest, segment};
use super::client::{Found, Session};
use super::resource::{field, flag};
use super::{classify, render};
use crate::domain::outcome::{Failure, FailureClass};

/// Sets `active` to false.
pub(super) async fn disable(session: &Session<'_>, change: &Change) -> Result<Answered, Failure> {
    let Some(user) = session.user_to_change(change).await? else {
        return Ok(Answered::Absent);
    };
    let active = field(&user.body, "active");
    if active.and_then(flag) == Some(false) {
        return Ok(Answered::Absent);
    }
    // Answered in the target's own spelling: some keep the flag as a string.
    let off = match active {
        Some(Value::String(_)) => json!("false"),
        Some(_) | None => json!(false),
    };
    let path = format!("/Users/{}", segment(change.account.as_str())?);
    if session.abilities().await?.patch != Some(false) {
        let operation = json!({ "op": "replace", "path": "active", "value": off });
        let mut answer = session
            .change(change, render::patch(&path, &operation), &user)
            .await?;
        if answer.status == 400 {
            // The other spelling of the same (RFC 7644 §3.5.2.3), the only one that some take.
            let operation = json!({ "op": "replace", "value": { "active": off } });
            answer = session
                .change(change, render::patch(&path, &operation), &user)
                .await?;
        }
        if session.call.trial && matches!(answer.status, 404 | 410) {
            return Ok(Answered::Absent);
        }
        if !classify::no_patch(&answer) {
            return accepted(&answer);
        }
    }
    let mut changed = user.body.clone();
    let key = user.body.as_object().and_then(|fields| {
        let mut keys = fields.keys();
        keys.find(|key| key.eq_ignore_ascii_case("active")).cloned()
    });
    changed[key.as_deref().unwrap_or("active")] = off;
    replace(session, change, &path, &user, &changed).await
}

/// Replaces a resource by one that differs in what is to go, if nobody else changed it meanwhile.
/// Without a version that is looked at there is no telling, and a stale copy could bring back what was just removed.
pub(super) async fn replace(
    session: &Session<'_>,
    change: &Change,
    path: &str,
    as_read: &Found,
    changed: &Value,
) -> Result<Answered, Failure> {
    let mut request = render::put(path, changed);
    let named = render::only_at(&mut request, as_read.etag.as_deref());
    if !named || !session.may_replace(as_read).await? {
        return Err(classify::no_safe_way(change.operation.as_str()));
    }
    let answer = session.change(change, request, as_read).await?;
    accepted(&answer)
}

/// Removes the user.
pub(super) async fn delete(session: &Session<'_>, change: &Change) -> Result<Answered, Failure> {
    let Some(user) = session.user_to_change(change).await? else {
        return Ok(Answered::Absent);
    };
    let path = format!("/Users/{}", segment(change.account.as_str())?);
    let answer = session
        .change(change, HttpRequest::new(Method::DELETE, path), &user)
        .await?;
    // Who is gone already is answered 404 by some servers and 500 by others.
    if !matches!(answer.status, 404 | 410 | 500) {
        return accepted(&answer);
    }
    match session.user(&change.account).await? {
        None => Ok(Answered::Absent),
        Some(_) if answer.status == 500 => Err(classify::failure(&answer)),
        Some(_) => Err(Failure::new(
            FailureClass::WriteFailure,
            "CB-SCIM-3",
            "the deletion was answered \"not found\" and the user is there",
        )),
    }
}

/// 2xx or the failure.
pub(super) fn accepted(answer: &HttpAnswer) -> Result<Answered, Failure> {
    if answer.is_success() {
        Ok(Answered::Accepted)
    } else if answer.status == 412 {
        Err(classify::stale("it was changed by someone else meanwhile"))
    } else {
        Err(classify::failure(answer))
    }
}
