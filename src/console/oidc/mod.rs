//! Signing in through an identity provider: OpenID Connect, authorization code with PKCE.
//!
//! Owns the way there and back (OpenID Connect Core 1.0, section 3.1; RFC 7636; RFC 9207), and which
//! user somebody becomes. What a provider says is believed only with its signature, for this client
//! and this very sign-in. Roles come from claims at each sign-in.

mod claims;
mod provider;
#[cfg(test)]
mod tests;

use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect};
use secrecy::SecretString;
use serde::Deserialize;

use super::cookies::{self, AWAY};
use super::doors::{self, Next};
use super::office::{Office, Shared, Who};
use super::page;
use super::pages::Answer;
use super::password::{same, secret};
use super::problem::Problem;
use super::sign_in::nobody;
use crate::domain::user::{ProviderIdentity, User};

pub use claims::Claims;
pub use provider::{Provider, ProviderError};

/// How long somebody may take at the provider.
const AWAY_SECONDS: u64 = 600;

/// What a sign-in that is under way is bound to; lies in a cookie of the browser that began it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Away {
    state: String,
    nonce: String,
    verifier: String,
    back: String,
}

impl Away {
    fn encode(&self) -> String {
        let back = hex::encode(&self.back);
        format!("{}.{}.{}.{back}", self.state, self.nonce, self.verifier)
    }

    fn decode(value: &str) -> Option<Self> {
        let mut parts = value.split('.').map(str::to_owned);
        let (state, nonce, verifier) = (parts.next()?, parts.next()?, parts.next()?);
        let back = String::from_utf8(hex::decode(parts.next()?).ok()?).ok()?;
        Some(Self {
            state,
            nonce,
            verifier,
            back,
        })
    }
}

/// What the provider sends back.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Back {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

fn failed(words: impl Into<String>) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, Some("CB-CONSOLE-11"), words)
}

impl From<ProviderError> for Problem {
    fn from(error: ProviderError) -> Self {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "a sign-in through the provider did not work"
        );
        let status = match error {
            ProviderError::Away(_) => StatusCode::SERVICE_UNAVAILABLE,
            ProviderError::Refused(_) | ProviderError::Untrue(_) => StatusCode::FORBIDDEN,
        };
        let words = error.to_string();
        let (code, words) = words.split_once(": ").unwrap_or(("", &words));
        Self::new(status, Some(code), words)
    }
}

/// Sends somebody to the provider.
pub(super) async fn begin(State(office): State<Shared>, Query(next): Query<Next>) -> Answer {
    let provider = office.provider.as_ref();
    let provider = provider.ok_or_else(|| Problem::missing("page"))?;
    // Asked before anybody is sent away: they would come back to be refused.
    office.client_secret(provider).await?;
    let away = Away {
        state: secret()?,
        nonce: secret()?,
        verifier: secret()?,
        back: page::local(&next.next).to_owned(),
    };
    let there = provider
        .authorization(&away.state, &away.nonce, &away.verifier)
        .await?;
    let mut response = Redirect::to(&there).into_response();
    cookies::set(response.headers_mut(), AWAY, &away.encode(), AWAY_SECONDS);
    Ok(response)
}

/// Takes somebody back from the provider.
pub(super) async fn back(
    State(office): State<Shared>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
    Query(back): Query<Back>,
) -> Answer {
    let provider = office.provider.as_ref();
    let provider = provider.ok_or_else(|| Problem::missing("page"))?;
    let away = cookies::cookie(&headers, AWAY).and_then(Away::decode);
    let state = back.state.as_deref().unwrap_or_default();
    let Some(away) = away.filter(|away| same(&away.state, state)) else {
        return Err(failed(
            "this sign-in was not begun in this browser, or took too long; begin again",
        ));
    };
    if back
        .iss
        .as_deref()
        .is_some_and(|iss| iss != provider.issuer())
    {
        return Err(failed("the answer is of another provider"));
    }
    let Some(code) = back.code.filter(|_| back.error.is_none()) else {
        let why = back.error.unwrap_or_else(|| "no code".to_owned());
        let words = format!(
            "the provider did not sign you in: {}",
            super::office::plain(&why)
        );
        return Err(failed(words));
    };
    let secret = office.client_secret(provider).await?;
    let bound = (away.verifier.as_str(), away.nonce.as_str());
    let claims = provider.claims(&code, bound, secret.as_ref(), office.now());
    let claims = claims.await?;
    let user = office.known_by(&claims, &who.address).await?;
    let begun = office.begin(&user, &who.address).await?;
    let who = Who::of(&user, &who.address);
    office
        .note(&who, "sign_in", "", "done, by the identity provider")
        .await?;
    let mut response = doors::entered(&office, &begun, &away.back);
    cookies::set(response.headers_mut(), AWAY, "", 0);
    Ok(response)
}

impl Office {
    /// The client's secret at the provider, where it has one. Looked up at each sign-in: one that was put
    /// in or replaced holds at once, and one that is missing keeps nothing but this from going on.
    async fn client_secret(&self, provider: &Provider) -> Result<Option<SecretString>, Problem> {
        let Some(reference) = provider.client_secret() else {
            return Ok(None);
        };
        let secret = self.backing.platform_secret(reference).await;
        secret.map(Some).map_err(|trouble| {
            let words = &trouble.words;
            tracing::error!(code = "CB-CONSOLE-16", "nobody signs in through the provider: {words}");
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                Some("CB-CONSOLE-16"),
                "the console's secret at the identity provider cannot be read, so nobody signs in that way; \
                 tell whoever runs Clawback, and sign in with a password where you have one",
            )
        })
    }

    /// The user that somebody is by what the provider says. A name that a local user has is theirs.
    pub(super) async fn known_by(&self, claims: &Claims, address: &str) -> Result<User, Problem> {
        let identity = ProviderIdentity {
            issuer: claims.issuer.clone(),
            subject: claims.subject.clone(),
        };
        let name = User::canonical(&claims.name);
        let who = nobody(&claims.name, address);
        let refused = async |why: &str| {
            self.note(&who, "sign_in", &claims.subject, &format!("refused: {why}"))
                .await?;
            Err::<User, Problem>(failed(why))
        };
        if claims.roles.is_empty() {
            self.strip(&identity).await?;
            return refused("the provider gives you no role here").await;
        }
        if name.is_none() {
            return refused("the provider gives you no name that could stand in the record").await;
        }
        let users = self.store.users().await?;
        let bound = users
            .iter()
            .find(|user| user.provider.as_ref() == Some(&identity));
        let named = name.and_then(|name| {
            let known = users.iter().find(|user| user.name == name);
            known.map_or_else(
                || Some((name.clone(), false)),
                |user| {
                    let waits = user.password.is_none() && user.provider.is_none();
                    waits.then(|| (user.name.clone(), true))
                },
            )
        });
        let name = match (bound, named) {
            (Some(user), _) => user.name.clone(),
            (None, Some((name, true))) => name,
            (None, Some((name, false))) => {
                self.store.add_user(&self.newcomer(&name, claims)).await?;
                name
            }
            (None, None) => return refused("your name is somebody else's here").await,
        };
        let bind = |user: &mut User| {
            // Another request may have bound it meanwhile.
            if user
                .provider
                .as_ref()
                .is_some_and(|known| *known != identity)
            {
                return false;
            }
            user.provider = Some(identity.clone());
            user.roles.clone_from(&claims.roles);
            user.display_name.clone_from(&claims.display_name);
            true
        };
        match self.store.change_user(&name, &bind).await? {
            Some(user) if user.provider.as_ref() != Some(&identity) => {
                refused("your name is somebody else's here").await
            }
            Some(user) if user.disabled.is_some() => refused("you may not sign in any more").await,
            Some(user) => Ok(user),
            None => refused("your name is not known any more").await,
        }
    }

    /// Takes the roles of whom the provider gives none any more: tokens can do no more than their user,
    /// and the sessions of earlier sign-ins end.
    async fn strip(&self, identity: &ProviderIdentity) -> Result<(), Problem> {
        let users = self.store.users().await?;
        let known = |user: &User| user.provider.as_ref() == Some(identity);
        for user in users.iter().filter(|user| known(user)) {
            let bare = |user: &mut User| {
                let changes = known(user) && !user.roles.is_empty();
                if changes {
                    user.roles.clear();
                }
                changes
            };
            self.store.change_user(&user.name, &bare).await?;
            self.store.end_sessions(&user.name, None).await?;
        }
        Ok(())
    }

    fn newcomer(&self, name: &str, claims: &Claims) -> User {
        User {
            name: name.to_owned(),
            display_name: claims.display_name.clone(),
            roles: claims.roles.clone(),
            password: None,
            provider: None,
            subject: None,
            disabled: None,
            enabled: None,
            failures: 0,
            locked_until: None,
            created: self.now(),
        }
    }
}
