//! Who may sign in to the console and the API, and what they may do there.
//!
//! Owns users, their roles, sessions, API tokens and acts, and the decisions about them: when a name
//! is locked, when a session is over, when its secret is replaced. Secrets are known by their SHA-256
//! alone. Pure: hashing passwords and drawing secrets is the console's.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::id::{SessionId, TokenId};
use super::subject::Subject;
use super::time::{Timestamp, after};

/// Wrong passwords after which a name is locked.
const TRIES: u32 = 5;
/// The first lock in seconds; each further wrong password doubles it.
const FIRST_LOCK_SECONDS: u64 = 30;
/// The longest lock in seconds.
const LONGEST_LOCK_SECONDS: u64 = 3600;

/// What a user may do. Everybody who has a role may read what is not the auditors' own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Works on tasks, replays dead letters, rotates secrets, proposes manifests.
    Operator,
    /// Approves or turns down what somebody else has proposed.
    Approver,
    /// Reads who did what.
    Auditor,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Auditor];

    /// The name in files, claims and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
        }
    }

    /// The role with this name.
    pub fn from_name(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A password as argon2id hashed it (PHC string format); does not show itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// SHA-256 of a session's or token's secret, as lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretDigest(pub String);

impl SecretDigest {
    /// The digest of this secret. A secret has 256 random bits, so no salt is needed.
    pub fn of(secret: &str) -> Self {
        Self(hex::encode(Sha256::digest(secret.as_bytes())))
    }
}

/// Who somebody is to an identity provider (OpenID Connect Core 1.0, section 2: `iss` and `sub`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderIdentity {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
}

/// One person, or machine, that may sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name that stands in the record; lower case, unique.
    pub name: String,
    /// For people to read.
    pub display_name: String,
    /// What they may do.
    pub roles: BTreeSet<Role>,
    /// Absent where an identity provider signs them in.
    pub password: Option<PasswordHash>,
    /// Whom an identity provider has signed in under this name.
    pub provider: Option<ProviderIdentity>,
    /// `tenant/id` under which HR knows this person, so that their own departure ends their access.
    pub subject: Option<String>,
    /// Since when they may not sign in any more.
    pub disabled: Option<Timestamp>,
    /// When somebody let them in again: departures from before that are over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<Timestamp>,
    /// Wrong passwords in a row.
    pub failures: u32,
    /// Until when no password is looked at.
    pub locked_until: Option<Timestamp>,
    /// When the user was added.
    pub created: Timestamp,
}

impl User {
    /// The name as it is kept: without blanks around it, lower case; `None` where it cannot be one.
    pub fn canonical(name: &str) -> Option<String> {
        let name = name.trim().to_lowercase();
        let fits = |c: char| c.is_alphanumeric() || "._-@+".contains(c);
        (!name.is_empty() && name.len() <= 128 && name.chars().all(fits)).then_some(name)
    }

    /// True while no password is looked at.
    pub fn is_locked(&self, now: Timestamp) -> bool {
        self.locked_until.is_some_and(|until| now < until)
    }

    /// A wrong password was given.
    pub fn missed(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        if let Some(beyond) = self.failures.checked_sub(TRIES) {
            let doubled = FIRST_LOCK_SECONDS << beyond.min(16);
            self.locked_until = Some(after(now, doubled.min(LONGEST_LOCK_SECONDS)));
        }
    }

    /// The right password was given, or a new one was set.
    pub fn unlock(&mut self) {
        self.failures = 0;
        self.locked_until = None;
    }

    /// True when the one who leaves is this user: by the key of HR, or by a name of sign-in.
    pub fn is(&self, subject: &Subject) -> bool {
        let key = subject.key();
        if self.subject.as_deref() == Some(key.as_str()) {
            return true;
        }
        let named = ["username", "upn", "login", "email"];
        subject
            .identifiers
            .iter()
            .any(|one| named.contains(&one.kind.as_str()) && one.value.to_lowercase() == self.name)
            || self.provider.as_ref().is_some_and(|provider| {
                subject.identifier("iss_sub")
                    == Some(format!("{} {}", provider.issuer, provider.subject).as_str())
            })
    }
}

/// How long sessions live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionBounds {
    /// Without a request, in seconds.
    pub idle_seconds: u64,
    /// In all, in seconds.
    pub longest_seconds: u64,
    /// After which its secret is replaced, in seconds.
    pub rotate_seconds: u64,
    /// How long a replaced secret is still taken, for requests under way, in seconds.
    pub grace_seconds: u64,
}

impl Default for SessionBounds {
    fn default() -> Self {
        Self {
            idle_seconds: 1800,
            longest_seconds: 12 * 3600,
            rotate_seconds: 900,
            grace_seconds: 30,
        }
    }
}

/// One sign-in of one user, as one browser holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Of the secret in the cookie.
    pub digest: SecretDigest,
    /// The same for all secrets of one sign-in.
    pub id: SessionId,
    /// Whose.
    pub user: String,
    /// When they signed in.
    pub begun: Timestamp,
    /// When this secret was drawn.
    pub issued: Timestamp,
    /// When it was last shown.
    pub seen: Timestamp,
    /// When it ends whatever happens.
    pub ends: Timestamp,
    /// From where they signed in.
    pub address: String,
}

/// What becomes of a session with this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// It goes on.
    Alive,
    /// It goes on, and its secret is old enough to be replaced.
    Worn,
    /// It is over.
    Over,
}

impl Session {
    /// How the session stands at `now`.
    pub fn judged(&self, bounds: &SessionBounds, now: Timestamp) -> SessionState {
        if now >= self.ends || now >= after(self.seen, bounds.idle_seconds) {
            SessionState::Over
        } else if now >= after(self.issued, bounds.rotate_seconds) {
            SessionState::Worn
        } else {
            SessionState::Alive
        }
    }

    /// The same sign-in under a new secret.
    pub fn renewed(&self, digest: SecretDigest, now: Timestamp) -> Self {
        Self {
            digest,
            issued: now,
            seen: now,
            ..self.clone()
        }
    }
}

/// A secret by which a program uses the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Its id.
    pub id: TokenId,
    /// Of the token itself.
    pub digest: SecretDigest,
    /// In whose name it acts.
    pub user: String,
    /// What it is for, in their words.
    pub label: String,
    /// What it may do; never more than its user.
    pub scopes: BTreeSet<Role>,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub ends: Timestamp,
    /// When it was last used, to the minute or so.
    pub used: Option<Timestamp>,
    /// When it was taken back.
    pub revoked: Option<Timestamp>,
}

impl ApiToken {
    /// True while it may be used.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && now < self.ends
    }
}

/// Something that somebody did, or tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// When.
    pub at: Timestamp,
    /// Who; the name that was given where nobody was signed in.
    pub by: String,
    /// From where: an address, or `cli`.
    pub from: String,
    /// What: `sign_in`, `claim_task`, …
    pub what: String,
    /// About what: a task's id, a connector's name, a user.
    pub about: String,
    /// What it came to, in words: `done`, or why not.
    pub came_to: String,
}

#[cfg(test)]
mod tests {
    use super::super::subject::{Identifier, SubjectKind};
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn ada() -> User {
        User {
            name: "ada".to_owned(),
            display_name: "Ada".to_owned(),
            roles: BTreeSet::from([Role::Operator]),
            password: None,
            provider: None,
            subject: Some("acme/17".to_owned()),
            disabled: None,
            enabled: None,
            failures: 0,
            locked_until: None,
            created: at(0),
        }
    }

    #[test]
    fn h1_wrong_passwords_lock_a_name_for_longer_and_longer() {
        let mut user = ada();
        for _ in 1..TRIES {
            user.missed(at(100));
            assert!(!user.is_locked(at(100)));
        }
        user.missed(at(100));
        assert!(user.is_locked(at(129)) && !user.is_locked(at(130)));
        user.missed(at(200));
        assert!(user.is_locked(at(259)) && !user.is_locked(at(260)));
        for _ in 0..40 {
            user.missed(at(300));
        }
        assert!(!user.is_locked(at(300 + 3600)), "an hour at most");
        user.unlock();
        assert!(!user.is_locked(at(300)));
    }

    #[test]
    fn h1_a_session_wears_idles_and_ends() {
        let bounds = SessionBounds::default();
        let session = Session {
            digest: SecretDigest::of("x"),
            id: SessionId(uuid::Uuid::nil()),
            user: "ada".to_owned(),
            begun: at(0),
            issued: at(0),
            seen: at(0),
            ends: at(43_200),
            address: String::new(),
        };
        assert_eq!(session.judged(&bounds, at(899)), SessionState::Alive);
        assert_eq!(session.judged(&bounds, at(900)), SessionState::Worn);
        assert_eq!(session.judged(&bounds, at(1800)), SessionState::Over);
        let renewed = session.renewed(SecretDigest::of("y"), at(43_000));
        assert_eq!(renewed.judged(&bounds, at(43_199)), SessionState::Alive);
        assert_eq!(renewed.judged(&bounds, at(43_200)), SessionState::Over);
        assert_ne!(renewed.digest, session.digest);
    }

    #[test]
    fn h1_a_leaver_is_known_by_key_or_name_of_sign_in() {
        let mut subject = Subject {
            kind: SubjectKind::Person,
            tenant: "acme".to_owned(),
            id: "17".to_owned(),
            identifiers: Vec::new(),
            display_name: None,
            privileged: false,
        };
        assert!(ada().is(&subject));
        subject.id = "18".to_owned();
        assert!(!ada().is(&subject));
        subject.identifiers.push(Identifier {
            kind: "employee_number".to_owned(),
            value: "ada".to_owned(),
        });
        assert!(!ada().is(&subject), "a number is no name of sign-in");
        subject.identifiers.push(Identifier {
            kind: "username".to_owned(),
            value: "Ada".to_owned(),
        });
        assert!(ada().is(&subject));
    }

    #[test]
    fn names_are_kept_in_one_form() {
        assert_eq!(User::canonical(" Ada@Acme "), Some("ada@acme".to_owned()));
        assert_eq!(User::canonical("a b"), None);
        assert_eq!(User::canonical("<script>"), None);
        assert_eq!(User::canonical(""), None);
    }
}
