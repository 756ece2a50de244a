//! What people do about their own account: sessions, tokens, password.
//!
//! Owns these handlers. A token can never do more than its user, nor live longer than a year; the
//! token itself is in one answer and nowhere else.

use std::collections::BTreeSet;

use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};

use super::cookies::{self, SESSION, Told};
use super::gate::{Fields, Flash};
use super::office::{Office, Shared, Who, plain};
use super::page::{self, MadeToken};
use super::pages::{Answer, onward};
use super::password;
use super::problem::Problem;
use crate::domain::id::TokenId;
use crate::domain::time::after;
use crate::domain::user::{ApiToken, Role, SecretDigest};

const DAY_SECONDS: u64 = 86_400;
/// A token lives no longer.
const MOST_DAYS: u64 = 365;

/// What a new token is to be.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What it is for.
    pub label: String,
    /// What it may do.
    pub scopes: BTreeSet<Role>,
    /// How many days it lives.
    pub days: u64,
}

impl Office {
    /// Makes a token for a user; it comes back once.
    async fn make_token(&self, who: &Who, new: NewToken) -> Result<(ApiToken, String), Problem> {
        let wrong = |words: &str| {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Problem::new(status, Some("CB-CONSOLE-6"), words)
        };
        let scopes: BTreeSet<_> = new.scopes.intersection(&who.roles).copied().collect();
        if scopes.is_empty() {
            return Err(wrong("choose at least one of your roles for the token"));
        }
        if !(1..=MOST_DAYS).contains(&new.days) || new.label.is_empty() {
            return Err(wrong("say what it is for, and for 1 to 365 days"));
        }
        let now = self.now();
        let secret = format!("cbt_{}", password::secret()?);
        let token = ApiToken {
            id: TokenId(self.chance.id()),
            digest: SecretDigest::of(&secret),
            user: who.name.clone(),
            label: plain(&new.label),
            scopes,
            created: now,
            ends: after(now, new.days * DAY_SECONDS),
            used: None,
            revoked: None,
        };
        self.store.add_token(&token).await?;
        self.note(who, "make_token", &token.id.to_string(), &token.label)
            .await?;
        Ok((token, secret))
    }

    async fn shown(&self, who: &Who, told: Option<&Told>, made: Option<MadeToken<'_>>) -> Answer {
        let sessions = self.store.sessions(&who.name).await?;
        let tokens = self.store.tokens(Some(&who.name)).await?;
        let both = (sessions.as_slice(), tokens.as_slice());
        Ok(page::account(who, told, both, made.as_ref(), self.now()).into_response())
    }
}

pub(super) async fn page(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Extension(flash): Extension<Flash>,
) -> Answer {
    office.shown(&who, flash.0.as_ref(), None).await
}

pub(super) async fn make(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Extension(fields): Extension<Fields>,
) -> Answer {
    let scopes = fields.all("scope").into_iter();
    let new = NewToken {
        label: fields.get("label").to_owned(),
        scopes: scopes.filter_map(Role::from_name).collect(),
        days: fields.get("days").parse().unwrap_or_default(),
    };
    match office.make_token(&who, new).await {
        // Shown in this very answer: the token must not lie in an address or a cookie.
        Ok((token, secret)) => {
            let made = MadeToken {
                label: &token.label,
                token: &secret,
            };
            office.shown(&who, None, Some(made)).await
        }
        Err(problem) if problem.status == 422 => Ok(onward("/account", &ill(problem.detail))),
        Err(problem) => Err(problem),
    }
}

fn ill(words: String) -> Told {
    Told { well: false, words }
}

fn well(words: &str) -> Told {
    Told {
        well: true,
        words: words.to_owned(),
    }
}

pub(super) async fn revoke(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<TokenId>,
) -> Answer {
    let tokens = office.store.tokens(Some(&who.name)).await?;
    let token = tokens.into_iter().find(|token| token.id == id);
    let token = token.ok_or_else(|| Problem::missing("token of yours"))?;
    let revoked = ApiToken {
        revoked: Some(office.now()),
        ..token
    };
    office.store.save_token(&revoked).await?;
    office
        .note(&who, "revoke_token", &id.to_string(), "done")
        .await?;
    Ok(onward("/account", &well("the token is taken back")))
}

pub(super) async fn end(State(office): State<Shared>, Extension(who): Extension<Who>) -> Answer {
    office.store.end_sessions(&who.name, None).await?;
    office.note(&who, "end_sessions", &who.name, "done").await?;
    let mut response = Redirect::to("/sign-in").into_response();
    cookies::set(response.headers_mut(), SESSION, "", 0);
    Ok(response)
}

pub(super) async fn password(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    Extension(fields): Extension<Fields>,
) -> Answer {
    let (old, new) = (fields.whole("old"), fields.whole("new"));
    match office.change_password(&who, old, new).await {
        Ok(()) => {
            let words = "the password is changed; your other sessions have ended";
            Ok(onward("/account", &well(words)))
        }
        Err(problem) if matches!(problem.status, 409 | 422) => {
            Ok(onward("/account", &ill(problem.detail)))
        }
        Err(problem) => Err(problem),
    }
}
