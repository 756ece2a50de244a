//! Tries by token introspection (RFC 7662).
//!
//! Owns the two requests: what the authorization server says of a token, and a token of the
//! verifier's own that must be active. An answer that lacks `active` tells nothing (§2.2), and
//! `false` alone tells little: a server says it of every token that the asker may not see. So a
//! token that is known to be alive must be active at the same time.

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::super::contract::Call;
use super::http::{Incoming, Outgoing, own, send};
use super::{Answer, Caller, IntrospectionDoor, OwnSignIn, TokenControl, not_let_in};
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;
use crate::domain::probe::ProbeFinding;

/// One token of the leaver's.
pub(super) async fn knock(
    client: &reqwest::Client,
    call: &Call<'_>,
    door: &IntrospectionDoor,
    caller: &Caller<'_>,
) -> Result<Answer, Failure> {
    let token = caller.secret.map_or("", |secret| secret.expose_secret());
    let came = ask(client, call, door, caller.account, token).await?;
    let (finding, words) = read(&came);
    Ok(Answer {
        finding,
        words,
        method: format!("POST {} (RFC 7662)", door.path),
    })
}

/// A token that must be active.
pub(super) async fn control(
    client: &reqwest::Client,
    call: &Call<'_>,
    door: &IntrospectionDoor,
    secret: Option<&SecretString>,
) -> Result<String, Failure> {
    let own_token;
    let (token, whose) = match (&door.control, secret) {
        (TokenControl::Own(path), _) => {
            own_token = own_token_from(client, call, door, path).await?;
            (own_token.expose_secret(), "the verifier's own token")
        }
        (TokenControl::Kept(_), Some(kept)) => (kept.expose_secret(), "the kept token"),
        (TokenControl::Kept(_), None) => return Err(not_let_in("our vault keeps no such token")),
    };
    let came = ask(client, call, door, None, token).await?;
    match read(&came) {
        (ProbeFinding::LetIn, _) => Ok(format!("{whose} is active")),
        (_, words) => Err(not_let_in(&format!("{whose}: {words}"))),
    }
}

/// §2.2: `active` is the one member that must be there.
fn read(came: &Incoming) -> (ProbeFinding, String) {
    let told: Option<Value> = serde_json::from_str(&came.body).ok();
    let active = told.as_ref().and_then(|told| told.get("active")?.as_bool());
    match (came.status, active) {
        (200, Some(false)) => (ProbeFinding::Refused, "active is false".to_owned()),
        (200, Some(true)) => (ProbeFinding::LetIn, "active is true".to_owned()),
        (status, _) => (
            ProbeFinding::CouldNotTell,
            format!("answered {status} without telling whether it is active"),
        ),
    }
}

async fn ask(
    client: &reqwest::Client,
    call: &Call<'_>,
    door: &IntrospectionDoor,
    account: Option<&AccountId>,
    token: &str,
) -> Result<Incoming, Failure> {
    let outgoing = Outgoing {
        method: Method::POST,
        base: door.base.clone(),
        path: door.path.clone(),
        line: format!("POST {}", door.path),
        headers: own(OwnSignIn::Basic, call)?,
        form: vec![("token".to_owned(), token.to_owned())],
    };
    send(client, call, account, outgoing).await
}

async fn own_token_from(
    client: &reqwest::Client,
    call: &Call<'_>,
    door: &IntrospectionDoor,
    path: &str,
) -> Result<SecretString, Failure> {
    let grant = ("grant_type".to_owned(), "client_credentials".to_owned());
    let outgoing = Outgoing {
        method: Method::POST,
        base: door.base.clone(),
        path: path.to_owned(),
        line: format!("POST {path}"),
        headers: own(OwnSignIn::Basic, call)?,
        form: vec![grant],
    };
    let came = send(client, call, None, outgoing).await?;
    let told: Option<Value> = serde_json::from_str(&came.body).ok();
    let token = told
        .as_ref()
        .and_then(|told| told.get("access_token")?.as_str());
    token
        .map(SecretString::from)
        .ok_or_else(|| not_let_in(&format!("the token endpoint answered {}", came.status)))
}
