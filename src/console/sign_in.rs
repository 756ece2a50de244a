//! Signing in by password, going on under a new secret, and signing out.
//!
//! Owns the order of the checks and the acts they leave. Whatever is wrong is told in the same words,
//! after the same time, so that nobody learns which names there are. Draws no page.

use axum::http::StatusCode;

use super::office::{Office, Who};
use super::password::{self, PasswordError};
use super::problem::Problem;
use crate::domain::id::SessionId;
use crate::domain::time::after;
use crate::domain::user::{SecretDigest, Session, SessionState, User};

/// For what a session is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A person opens a page: the session is in use, and its secret may be replaced.
    Opens,
    /// A person sends a form: in use; streams and other tabs still hold the old secret.
    Sends,
    /// A page looks by itself whether something has changed, which is no use by a person.
    Watches,
}

/// A session that has just begun, and the secret that its cookie holds.
#[derive(Debug)]
pub(super) struct Begun {
    pub session: Session,
    pub secret: String,
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        let status = match error {
            PasswordError::Length => StatusCode::UNPROCESSABLE_ENTITY,
            PasswordError::Library => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let words = error.to_string();
        let (code, words) = words.split_once(": ").unwrap_or(("", &words));
        Self::new(status, Some(code), words)
    }
}

fn wrong() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        Some("CB-CONSOLE-4"),
        "name or password is not right, or the name is locked for a while after too many tries",
    )
}

impl Office {
    /// Signs somebody in by name and password.
    pub(super) async fn sign_in(
        &self,
        name: &str,
        given: String,
        address: &str,
    ) -> Result<Begun, Problem> {
        let now = self.now();
        let mut who = nobody(name, address);
        if self.throttle.is_shut(address, now) {
            self.note(&who, "sign_in", "", "refused: too many tries from here")
                .await?;
            return Err(wrong());
        }
        let user = self.store.user(&who.name).await?;
        let locked = user.as_ref().is_some_and(|user| user.is_locked(now));
        let kept = user.as_ref().filter(|_| !locked);
        let kept = kept.and_then(|user| user.password.clone());
        let right = self.verify(given, kept).await?;
        let Some(user) = user.filter(|user| right && user.disabled.is_none()) else {
            self.throttle.failed(address, now);
            if !locked && !right {
                let missed = |user: &mut User| {
                    user.missed(now);
                    true
                };
                self.store.change_user(&who.name, &missed).await?;
            }
            let why = match (locked, right) {
                (true, _) => "refused: locked",
                (false, true) => "refused: may not sign in any more",
                (false, false) => "refused: name or password is not right",
            };
            self.note(&who, "sign_in", "", why).await?;
            return Err(wrong());
        };
        let clean = |user: &mut User| {
            let was = user.failures > 0;
            user.unlock();
            was
        };
        self.store.change_user(&user.name, &clean).await?;
        who = Who::of(&user, address);
        let begun = self.begin(&user, address).await?;
        self.note(&who, "sign_in", "", "done, by password").await?;
        Ok(begun)
    }

    /// Begins a session with a secret of its own; whatever a browser showed before counts for nothing.
    pub(super) async fn begin(&self, user: &User, address: &str) -> Result<Begun, Problem> {
        let (now, secret) = (self.now(), password::secret()?);
        let session = Session {
            digest: SecretDigest::of(&secret),
            id: SessionId(self.chance.id()),
            user: user.name.clone(),
            begun: now,
            issued: now,
            seen: now,
            ends: after(now, self.bounds.longest_seconds),
            address: address.to_owned(),
        };
        self.store.begin_session(&session, None).await?;
        Ok(Begun { session, secret })
    }

    /// The session with this secret and its user, while both may go on; a worn one gets a new secret,
    /// which comes back.
    pub(super) async fn session(
        &self,
        secret: &str,
        how: Use,
    ) -> Result<Option<(Session, User, Option<String>)>, Problem> {
        let now = self.now();
        let found = self.store.session(&SecretDigest::of(secret)).await?;
        let Some((session, user)) = found else {
            return Ok(None);
        };
        if user.disabled.is_some() {
            return Ok(None);
        }
        match session.judged(&self.bounds, now) {
            SessionState::Over => Ok(None),
            // A secret that was replaced already is not replaced again: its end is near, and what
            // followed from it would end with it.
            SessionState::Worn
                if how == Use::Opens
                    && session.ends >= after(session.begun, self.bounds.longest_seconds) =>
            {
                let fresh = password::secret()?;
                let renewed = session.renewed(SecretDigest::of(&fresh), now);
                let until = after(now, self.bounds.grace_seconds);
                let replaces = Some((&session.digest, until));
                self.store.begin_session(&renewed, replaces).await?;
                Ok(Some((renewed, user, Some(fresh))))
            }
            SessionState::Worn | SessionState::Alive => {
                // To the minute is enough to know that it is in use.
                if how != Use::Watches && now >= after(session.seen, 60) {
                    let seen = Session {
                        seen: now,
                        ..session.clone()
                    };
                    self.store.saw_session(&seen).await?;
                }
                Ok(Some((session, user, None)))
            }
        }
    }

    async fn verify(
        &self,
        given: String,
        kept: Option<crate::domain::user::PasswordHash>,
    ) -> Result<bool, Problem> {
        let _turn = self.hashing.acquire().await;
        let done =
            tokio::task::spawn_blocking(move || password::verify(&given, kept.as_ref())).await;
        done.map_err(|_| PasswordError::Library.into())
    }

    /// Replaces one's own password; every other session of theirs ends.
    pub(super) async fn change_password(
        &self,
        who: &Who,
        old: String,
        new: String,
    ) -> Result<(), Problem> {
        let user = self.store.user(&who.name).await?;
        let kept = user.and_then(|user| user.password);
        if kept.is_none() || !self.verify(old, kept).await? {
            self.throttle.failed(&who.address, self.now());
            self.note(
                who,
                "change_password",
                &who.name,
                "refused: the old one is not right",
            )
            .await?;
            return Err(Problem::refused(
                Some("CB-CONSOLE-4".to_owned()),
                "the old password is not right",
            ));
        }
        let _turn = self.hashing.acquire().await;
        let hashed = tokio::task::spawn_blocking(move || password::hash(&new)).await;
        let hashed = hashed.map_err(|_| PasswordError::Library)??;
        let set = |user: &mut User| {
            user.password = Some(hashed.clone());
            user.unlock();
            true
        };
        self.store.change_user(&who.name, &set).await?;
        let own = who.session.as_ref().map(|session| session.id);
        for session in self.store.sessions(&who.name).await? {
            if Some(session.id) != own {
                self.store.end_sessions(&who.name, Some(session.id)).await?;
            }
        }
        self.note(who, "change_password", &who.name, "done").await
    }
}

/// Somebody who has given a name and nothing else.
pub(super) fn nobody(name: &str, address: &str) -> Who {
    Who {
        name: User::canonical(name).unwrap_or_else(|| "?".to_owned()),
        display_name: String::new(),
        roles: std::collections::BTreeSet::new(),
        address: address.to_owned(),
        form_token: String::new(),
        session: None,
        token: None,
    }
}
