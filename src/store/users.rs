//! What is durable of those who may sign in: users, sessions, API tokens, and the record of acts.
//!
//! Owns this part of the store's trait and the statements and rows that both databases share. Secrets
//! come here as digests. Decides nothing: when a name is locked or a session is over is the domain's.

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::domain::id::SessionId;
use crate::domain::run::RunBody;
use crate::domain::subject::Subject;
use crate::domain::time::Timestamp;
use crate::domain::user::{Act, ApiToken, SecretDigest, Session, User};

use super::Stored;
use super::row::RunRow;
use super::shape::{corrupt, parsed};

/// Changes one user; `false` leaves the row as it is.
pub type ChangeFn<'a> = &'a (dyn Fn(&mut User) -> bool + Send + Sync);

/// Which acts to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActFilter {
    /// Only of this person.
    pub by: Option<String>,
    /// Only about this.
    pub about: Option<String>,
    /// Only those written before this one.
    pub before: Option<u64>,
    /// At most so many; 0 means 100.
    pub limit: u32,
}

/// Those who may sign in, and what they did.
#[async_trait]
pub trait Users: Send + Sync {
    /// Adds a user; `false` when the name is taken.
    async fn add_user(&self, user: &User) -> Stored<bool>;
    /// All users, by name.
    async fn users(&self) -> Stored<Vec<User>>;
    /// The user of this name.
    async fn user(&self, name: &str) -> Stored<Option<User>>;
    /// Changes one user; changes of one user follow each other. The user as it stands afterwards.
    async fn change_user(&self, name: &str, change: ChangeFn<'_>) -> Stored<Option<User>>;

    /// Begins a session, or goes on with it under a new secret: the one that it `replaces` ends at
    /// the given instant. Sessions that are over by `session.issued` are forgotten.
    async fn begin_session(
        &self,
        session: &Session,
        replaces: Option<(&SecretDigest, Timestamp)>,
    ) -> Stored<()>;
    /// The session with this secret, and its user.
    async fn session(&self, digest: &SecretDigest) -> Stored<Option<(Session, User)>>;
    /// The session was used.
    async fn saw_session(&self, session: &Session) -> Stored<()>;
    /// The sessions of one user, newest first.
    async fn sessions(&self, user: &str) -> Stored<Vec<Session>>;
    /// Ends one sign-in of a user, or all; returns how many secrets were forgotten.
    async fn end_sessions(&self, user: &str, only: Option<SessionId>) -> Stored<u64>;

    /// Adds a token.
    async fn add_token(&self, token: &ApiToken) -> Stored<()>;
    /// The token with this digest, and its user.
    async fn token(&self, digest: &SecretDigest) -> Stored<Option<(ApiToken, User)>>;
    /// Tokens of one user or of all, newest first.
    async fn tokens(&self, user: Option<&str>) -> Stored<Vec<ApiToken>>;
    /// Writes a token anew: used, or taken back. One that was taken back stays so.
    async fn save_token(&self, token: &ApiToken) -> Stored<()>;

    /// Adds to the record of what people did.
    async fn note_act(&self, act: &Act) -> Stored<()>;
    /// The record, newest first, each with its number.
    async fn acts(&self, filter: &ActFilter) -> Stored<Vec<(u64, Act)>>;

    /// Whose access has been ending since then: the subjects of cases that took effect, or were
    /// opened after they took effect, from `since` until `now`, and were not called off. A case that
    /// cannot be read is left out, and told.
    async fn leavers(&self, since: Timestamp, now: Timestamp) -> Stored<Vec<Leaver>>;
}

/// Somebody whose access has been ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaver {
    /// Who.
    pub subject: Subject,
    /// Since when: the case took effect, or was opened after it had.
    pub since: Timestamp,
}

pub(super) const ADD_USER: &str =
    "INSERT INTO users (name, body) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
pub(super) const ALL_USERS: &str = "SELECT name AS key, body FROM users ORDER BY name";
pub(super) const ONE_USER: &str = "SELECT name AS key, body FROM users WHERE name = $1";
pub(super) const LOCKED_USER: &str =
    "SELECT name AS key, body FROM users WHERE name = $1 FOR UPDATE";
pub(super) const SAVE_USER: &str = "UPDATE users SET body = $2 WHERE name = $1";
pub(super) const FORGET_SESSIONS: &str = "DELETE FROM sessions WHERE ends_us <= $1";
pub(super) const SESSION_BODY: &str = "SELECT digest AS key, body FROM sessions WHERE digest = $1";
pub(super) const ADD_SESSION: &str =
    "INSERT INTO sessions (digest, id, user_name, ends_us, body) VALUES ($1, $2, $3, $4, $5)";
pub(super) const ONE_SESSION: &str = "SELECT s.digest AS key, s.body AS body, u.body AS user_body \
     FROM sessions s JOIN users u ON u.name = s.user_name WHERE s.digest = $1";
pub(super) const SAW_SESSION: &str =
    "UPDATE sessions SET body = $2, ends_us = $3 WHERE digest = $1";
pub(super) const SESSIONS_OF: &str =
    "SELECT digest AS key, body FROM sessions WHERE user_name = $1";
pub(super) const END_ONE: &str = "DELETE FROM sessions WHERE user_name = $1 AND id = $2";
pub(super) const END_ALL: &str = "DELETE FROM sessions WHERE user_name = $1";
pub(super) const ADD_TOKEN: &str =
    "INSERT INTO api_tokens (id, digest, user_name, body) VALUES ($1, $2, $3, $4)";
pub(super) const ONE_TOKEN: &str = "SELECT t.digest AS key, t.body AS body, u.body AS user_body \
     FROM api_tokens t JOIN users u ON u.name = t.user_name WHERE t.digest = $1";
pub(super) const TOKENS_OF: &str =
    "SELECT digest AS key, body FROM api_tokens WHERE user_name = $1";
pub(super) const ALL_TOKENS: &str = "SELECT digest AS key, body FROM api_tokens";
pub(super) const TOKEN_BODY: &str = "SELECT digest AS key, body FROM api_tokens WHERE id = $1";
pub(super) const LOCKED_TOKEN: &str =
    "SELECT digest AS key, body FROM api_tokens WHERE id = $1 FOR UPDATE";
pub(super) const SAVE_TOKEN: &str = "UPDATE api_tokens SET body = $2 WHERE id = $1";
pub(super) const ADD_ACT: &str = "INSERT INTO acts (at_us, who, origin, what, about, came_to) \
     VALUES ($1, $2, $3, $4, $5, $6) RETURNING seq";
pub(super) const ACTS: &str = "SELECT seq, at_us, who, origin, what, about, came_to FROM acts \
     WHERE seq < $1 AND ($3 = '' OR who = $3) AND ($4 = '' OR about = $4) \
     ORDER BY seq DESC LIMIT $2";
pub(super) const LEAVERS: &str = "SELECT r.id, r.body, \
     CASE WHEN c.effective_us > c.opened_us THEN c.effective_us ELSE c.opened_us END AS since_us \
     FROM cases c JOIN runs r ON r.id = c.run_id \
     WHERE c.effective_us <= $2 AND (c.effective_us >= $1 OR c.opened_us >= $1) \
     AND NOT c.halted AND (c.ended IS NULL OR c.ended <> 'rescinded')";

/// One thing kept as JSON, under its key.
#[derive(sqlx::FromRow)]
pub(super) struct KeptRow {
    key: String,
    body: String,
}

impl KeptRow {
    pub(super) fn kept<T: DeserializeOwned>(&self, table: &'static str) -> Stored<T> {
        parsed(&self.body, table, "body", &self.key)
    }
}

/// A session or token with its user.
#[derive(sqlx::FromRow)]
pub(super) struct OwnedRow {
    key: String,
    body: String,
    user_body: String,
}

impl OwnedRow {
    pub(super) fn owned<T: DeserializeOwned>(&self, table: &'static str) -> Stored<(T, User)> {
        Ok((
            parsed(&self.body, table, "body", &self.key)?,
            parsed(&self.user_body, "users", "body", &self.key)?,
        ))
    }
}

/// One act.
#[derive(sqlx::FromRow)]
pub(super) struct ActRow {
    seq: i64,
    at_us: i64,
    who: String,
    origin: String,
    what: String,
    about: String,
    came_to: String,
}

impl ActRow {
    pub(super) fn act(self) -> Stored<(u64, Act)> {
        let at = Timestamp::from_microsecond(self.at_us);
        let act = Act {
            at: at.map_err(|error| corrupt("acts", "at_us", self.seq, &error))?,
            by: self.who,
            from: self.origin,
            what: self.what,
            about: self.about,
            came_to: self.came_to,
        };
        Ok((self.seq.unsigned_abs(), act))
    }
}

/// The run of a case, and since when its subject has been leaving.
#[derive(sqlx::FromRow)]
pub(super) struct LeaverRow {
    #[sqlx(flatten)]
    pub(super) run: RunRow,
    since_us: i64,
}

impl LeaverRow {
    /// Nobody leaves in a drill, and of what a person still has to decide nobody knows.
    pub(super) fn leaver(&self) -> Stored<Option<Leaver>> {
        let since = Timestamp::from_microsecond(self.since_us);
        let since = since.map_err(|error| corrupt("cases", "opened_us", self.run.id, &error))?;
        Ok(match self.run.run()?.body {
            RunBody::Case(body) if body.drill.is_some() || body.for_person.is_some() => None,
            RunBody::Case(body) => Some(Leaver {
                subject: body.subject,
                since,
            }),
            RunBody::Discovery(_)
            | RunBody::Removal(_)
            | RunBody::Rotation(_)
            | RunBody::Care(_) => None,
        })
    }
}

/// A session that ends at `ends`, as JSON is written of it.
pub(super) fn ending(session: Session, ends: Timestamp) -> Session {
    Session {
        ends: ends.min(session.ends),
        ..session
    }
}

/// Newest first.
pub(super) fn newest_sessions(mut sessions: Vec<Session>) -> Vec<Session> {
    sessions.sort_by_key(|session| std::cmp::Reverse(session.issued));
    sessions
}

/// Newest first.
pub(super) fn newest_tokens(mut tokens: Vec<ApiToken>) -> Vec<ApiToken> {
    tokens.sort_by_key(|token| std::cmp::Reverse(token.created));
    tokens
}

/// The token as it is to be kept: what was taken back stays so.
pub(super) fn kept_token(kept: ApiToken, new: &ApiToken) -> ApiToken {
    ApiToken {
        used: new.used.max(kept.used),
        revoked: kept.revoked.or(new.revoked),
        ..kept
    }
}

/// How many acts, and before which.
pub(super) fn page(filter: &ActFilter) -> (i64, i64) {
    let before = filter.before.map_or(i64::MAX, u64::cast_signed);
    let limit = if filter.limit == 0 { 100 } else { filter.limit };
    (before, i64::from(limit))
}

/// The id as the databases keep it.
pub(super) fn session_key(session: &Session) -> Uuid {
    session.id.0
}
