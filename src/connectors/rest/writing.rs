//! One change: the look before it, the request, and what its answer means.
//!
//! Owns the order. The account is read first, with its entitlements only for a change to one of
//! them: its login is asserted, its version is taken for the guard against changes meanwhile, and
//! nothing is sent for what is already so. "Not found" and "it
//! was changed meanwhile" are looked at again before they are believed. A change that the target
//! puts off is followed by `jobs`.

use super::classify::{self, Told};
use super::client::Session;
use super::looking::{Look, look, look_at_account};
use super::{jobs, render, trial};
use crate::connectors::http::{HttpAnswer, HttpRequest};
use crate::connectors::{Answered, Change, unsupported};
use crate::domain::access::Operation;
use crate::domain::outcome::Failure;

/// Makes the change.
///
/// # Errors
/// `refused` before anything is sent, `ambiguous` for an account with another login, and what the
/// answer means.
pub async fn write(session: Session<'_>, change: &Change) -> Result<Answered, Failure> {
    let settings = session.settings;
    let Some(request) = settings.writes.get(&change.operation) else {
        return Err(unsupported(change.operation.as_str()));
    };
    let before = looked(session, change).await?;
    let done = is_done(&before, change)?;
    if session.call.trial {
        return match &before.account {
            None => trial::send(session, request, change).await,
            Some(_) => Err(classify::another_login()),
        };
    }
    if done {
        return Ok(Answered::Absent);
    }
    let secret = change.entitlement.as_ref();
    let secret = secret.and_then(|one| before.secrets.get(&one.id));
    let version = before.version.as_ref();
    let rendered = render::write(settings, request, change, version, secret)?;
    let asked = rendered.wire.clone();
    let answer = session.send(rendered).await?;
    if request.conflict.contains(&answer.status) {
        return again(session, change, classify::conflict(&answer)).await;
    }
    match classify::told(settings, request, &answer, true)? {
        Told::NotThere => again(session, change, classify::still_there(change.operation)).await,
        Told::Yes(_) => accepted(session, change, &asked, &answer).await,
    }
}

/// As much as the change needs to know.
async fn looked(session: Session<'_>, change: &Change) -> Result<Look, Failure> {
    match change.operation {
        Operation::Disable | Operation::EndSessions | Operation::Delete => {
            look_at_account(session, &change.account).await
        }
        Operation::RevokeEntitlement
        | Operation::RevokeCredential
        | Operation::List
        | Operation::Read => look(session, &change.account).await,
    }
}

async fn accepted(
    session: Session<'_>,
    change: &Change,
    asked: &HttpRequest,
    answer: &HttpAnswer,
) -> Result<Answered, Failure> {
    let request = session.settings.writes.get(&change.operation);
    match request.and_then(|request| request.job.as_ref()) {
        Some(job) if answer.status == 202 => {
            jobs::follow(session, change, job, (asked, answer)).await
        }
        Some(_) | None => Ok(Answered::Accepted),
    }
}

/// Whether a look leaves nothing to change; only a whole one can say so.
fn is_done(look: &Look, change: &Change) -> Result<bool, Failure> {
    let Some(account) = &look.account else {
        let outlives = look.left.iter().any(|one| change.takes(one))
            || (change.operation == Operation::EndSessions && look.sessions > 0);
        if !outlives && !look.is_whole() {
            return Err(classify::drifted(
                "the account is not shown, and the lists that were asked have no end",
            ));
        }
        return Ok(!outlives);
    };
    if account.login != change.login {
        return Err(classify::another_login());
    }
    Ok(look.is_whole() && change.is_done_in(account))
}

/// Looks again: what is there now decides what an answer meant.
async fn again(
    session: Session<'_>,
    change: &Change,
    otherwise: Failure,
) -> Result<Answered, Failure> {
    let after = looked(session, change).await?;
    if is_done(&after, change)? {
        Ok(Answered::Absent)
    } else {
        Err(otherwise)
    }
}
