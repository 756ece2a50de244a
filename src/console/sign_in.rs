//! Signing in by password, going on under a new secret, and signing out.
//!
//! Owns the order of the checks and the acts they leave. Whatever is wrong is told in the same words,
//! after the same time, so that nobody learns which names there are. Draws no page.

use axum::http::StatusCode;

use super::office::{Office, Who};
use super::password::{self, PasswordError};
use super::problem::Problem;
use super::turns::Turn;
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

/// What a password is given for, as the record tells it.
struct Asked<'a> {
    what: &'a str,
    about: &'a str,
    /// What it came to when the password is another.
    wrong: &'a str,
}

/// Stands for all addresses together where they are too many.
const EVERYWHERE: &str = "everywhere";

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
        let asked = Asked {
            what: "sign_in",
            about: "",
            wrong: "refused: name or password is not right",
        };
        let found = self.guess(&nobody(name, address), &asked, given).await?;
        let Some((user, _turn)) = found else {
            return Err(wrong());
        };
        let who = Who::of(&user, address);
        let begun = self.begin(&user, address).await?;
        self.note(&who, asked.what, "", "done, by password").await?;
        Ok(begun)
    }

    /// The user by this name whose password this is, and the turn in which it was looked at; `None` is
    /// in the record. All that can refuse a guess is asked within its turn, and what it came to is
    /// counted before the turn ends: however many wait, none is heard after the lock.
    async fn guess(
        &self,
        who: &Who,
        asked: &Asked<'_>,
        given: String,
    ) -> Result<Option<(User, Turn)>, Problem> {
        let Some(turn) = self.heard(who, asked).await? else {
            return Ok(None);
        };
        let now = self.now();
        let user = self.store.user(&who.name).await?;
        let locked = user.as_ref().is_some_and(|user| user.is_locked(now));
        let kept = user.filter(|_| !locked).and_then(|user| user.password);
        let verify = move || password::verify(&given, kept.as_ref());
        let (right, turn) = turn.spend(verify).await?;
        let count = |user: &mut User| {
            // Another turn, or another process, may have locked it meanwhile: this one is too late.
            let counts = !(user.is_locked(now) || right && user.disabled.is_some());
            let changes = counts && (!right || user.failures > 0);
            if changes && right {
                user.unlock();
            } else if changes {
                user.missed(now);
            }
            changes
        };
        let user = self.store.change_user(&who.name, &count).await?;
        let late = right && user.as_ref().is_some_and(|user| user.is_locked(now));
        let why = match user.filter(|_| right && !late) {
            Some(user) if user.disabled.is_none() => return Ok(Some((user, turn))),
            Some(_) => "refused: may not sign in any more",
            None if locked || late => "refused: locked",
            None => asked.wrong,
        };
        self.throttle.failed(&who.address, now);
        self.note(who, asked.what, asked.about, why).await?;
        Ok(None)
    }

    /// A turn to have a password looked at; `None` where nobody looks.
    async fn heard(&self, who: &Who, asked: &Asked<'_>) -> Result<Option<Turn>, Problem> {
        let shut = || self.throttle.is_shut(&who.address, self.now());
        let here = (who.address.as_str(), "refused: too many tries from here");
        // Asked before the line too: whoever is shut out takes no place from others.
        let (from, why) = if shut() {
            here
        } else {
            match self.turns.take().await {
                Some(turn) if !shut() => return Ok(Some(turn)),
                Some(_) => here,
                None => (EVERYWHERE, "refused: too many wait to be heard"),
            }
        };
        // No hashing slows these down, and what is in the log stays there: one of a window is enough.
        if self.throttle.turned_away(from, self.now()) {
            self.note(who, asked.what, asked.about, why).await?;
        }
        Ok(None)
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

    /// Replaces one's own password; every other session of theirs ends. A stolen session is no way
    /// around the bounds of guessing.
    pub(super) async fn change_password(
        &self,
        who: &Who,
        old: String,
        new: String,
    ) -> Result<(), Problem> {
        let asked = Asked {
            what: "change_password",
            about: &who.name,
            wrong: "refused: the old one is not right",
        };
        let Some((_, turn)) = self.guess(who, &asked, old).await? else {
            return Err(Problem::refused(
                Some("CB-CONSOLE-4".to_owned()),
                "the old password is not right, or there were too many wrong tries; wait a while",
            ));
        };
        let (hashed, _turn) = turn.spend(move || password::hash(&new)).await?;
        let hashed = hashed?;
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
