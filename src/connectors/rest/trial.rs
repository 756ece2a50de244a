//! A change of an account that nobody has, sent to see whether the credential may make it.
//!
//! Owns what may be sent so. The target has just been asked for that very id and has said that there is
//! nobody. Sent is what names the account in its path or its body: a target that does not take an id
//! in a query may take all accounts. A PUT is not, because it may make what it does not find. A
//! version that nothing has goes along, so that a target that minds versions changes nothing at all.

use http::header::{HeaderValue, IF_MATCH};
use reqwest::Method;

use super::classify::{self, Told};
use super::client::Session;
use super::render::{self, Version};
use super::request::Request;
use super::settings::Look;
use super::template::{Place, body_uses};
use crate::connectors::{Answered, Change};
use crate::domain::outcome::Failure;

/// Sends the change, where that is safe; one that is not tried is answered like one that found nobody.
///
/// # Errors
/// `refused` by the guard, and what the answer means.
pub async fn send(
    session: Session<'_>,
    request: &Request,
    change: &Change,
) -> Result<Answered, Failure> {
    if !is_safe(session, request) {
        return Ok(Answered::Absent);
    }
    let version = Version {
        text: "0".to_owned(),
        tag: false,
    };
    let rendered = render::write(session.settings, request, change, Some(&version), None);
    let tag = HeaderValue::from_str(&format!("\"{}\"", change.account));
    // A made-up id may be no number, where the request needs one.
    let (Ok(mut rendered), Ok(tag)) = (rendered, tag) else {
        return Ok(Answered::Absent);
    };
    rendered.wire.headers.insert(IF_MATCH, tag);
    let answer = session.send(rendered).await?;
    if request.conflict.contains(&answer.status) {
        return Ok(Answered::Absent);
    }
    match classify::told(session.settings, request, &answer, true)? {
        Told::NotThere => Ok(Answered::Absent),
        Told::Yes(_) => Ok(Answered::Accepted),
    }
}

fn is_safe(session: Session<'_>, request: &Request) -> bool {
    let in_body = |body| body_uses(body, Place::AccountId);
    let mut reads = session.settings.reads.iter();
    request.method != Method::PUT
        && (request.path.leads_to(Place::AccountId) || request.body.as_ref().is_some_and(in_body))
        // A list of others says less of an id than a target that was asked for it.
        && reads.any(|look| matches!(look, Look::Single { .. }))
}
