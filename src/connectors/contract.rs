//! The trait that each kind of connector implements, and what goes in and out of it.
//!
//! Owns calls, changes, listings and the permit: a kind can send a request only inside a
//! [`Permit`], and only the guard makes one, after it judged the rendered request. A connector
//! assigns every failure its class, next to the protocol. Does not retry: waiting is durable.

use std::collections::BTreeSet;
use std::fmt;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use super::manifest::Expect;
use crate::domain::access::{Account, AccountState, Entitlement, Operation};
use crate::domain::id::AccountId;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::time::Timestamp;
use crate::domain::verdict::{Completeness, CredentialRole};

/// One target, reached by its own protocol.
///
/// Implementations keep connections, never credentials, between calls.
#[async_trait]
pub trait Connector: Send + Sync + fmt::Debug {
    /// All accounts. Reads every page and says whether it is sure of that.
    async fn list(&self, call: &Call<'_>) -> Result<Listing, Failure>;

    /// One account with all its entitlements, asked where the target really keeps them.
    async fn read(&self, call: &Call<'_>, account: &AccountId) -> Result<Reading, Failure>;

    /// True where a read shows keys and tokens that are left without their account, or where none can be
    /// left: then one that was not revoked, or not with success, and that is not shown is gone.
    fn shows_orphans(&self) -> bool {
        false
    }

    /// True where each request of a call has a time of its own. A look may then take as many of them as a
    /// listing: groups that are walked over, lists that are read to their end.
    fn times_each_request(&self) -> bool {
        false
    }

    /// One change. Names the account by its immutable id. "Not found" is read again before it is
    /// believed. An answer that was lost is `unknown_outcome`, never a success or a rejection.
    async fn write(&self, call: &Call<'_>, change: &Change) -> Result<Answered, Failure>;

    /// Does the smallest real work with the credential of the call. `auth_failure` if and only if
    /// the target refuses the credential itself.
    async fn try_credential(&self, call: &Call<'_>) -> Result<(), Failure>;

    /// What the target says that the credential of the call may do; `None` where it does not tell.
    async fn powers(&self, _call: &Call<'_>) -> Result<Option<Powers>, Failure> {
        Ok(None)
    }

    /// One try to sign in as somebody, over a connection of its own that is closed again, and the
    /// live sessions of the account where the target tells. The call's credential is the verifier's.
    /// `unreachable` and the like only where no answer came: a refusal is an answer.
    async fn sign_in(&self, _call: &Call<'_>, _order: &SignIn) -> Result<Knock, Failure> {
        Err(unsupported("try to sign in as somebody"))
    }

    /// Makes a new secret for one of the connector's own credentials, with the rotator's credential.
    async fn mint(&self, call: &Call<'_>, order: &MintOrder) -> Result<Minted, Failure>;

    /// When the target by itself ends a password of this role that is set without an end, where it tells:
    /// an end that the name has, whatever its password. `name` is as in a [`MintOrder`].
    async fn password_end(
        &self,
        _call: &Call<'_>,
        _role: CredentialRole,
        _name: Option<&str>,
    ) -> Result<Option<Timestamp>, Failure> {
        Ok(None)
    }

    /// The target's list of the connector's own secrets of one role.
    async fn minted(
        &self,
        call: &Call<'_>,
        role: CredentialRole,
    ) -> Result<Vec<KnownSecret>, Failure>;

    /// Takes one of the connector's own secrets away at the target.
    async fn retire(
        &self,
        call: &Call<'_>,
        role: CredentialRole,
        remote_ref: &str,
    ) -> Result<(), Failure>;
}

/// What a kind is handed with each call.
#[derive(Debug)]
pub struct Call<'a> {
    /// The credential to sign in with.
    pub credential: &'a Credential,
    /// The login that the account of the call was last seen with, where it is known: of an account that is
    /// gone the target tells none.
    pub login: Option<&'a str>,
    /// The account of the call as it was last seen, where that is known.
    pub last: Option<&'a Account>,
    /// The change is of an account that nobody has, and only tries what the credential may do. The kind
    /// looks for the account as ever; where the target says that there is none, it sends the change all
    /// the same. What it cannot send so, it leaves untried and answers `Absent`.
    pub trial: bool,
    /// Judges rendered requests.
    pub gate: &'a dyn Gate,
}

/// The attribute under which an account bears its distinguished name: others in a directory name it so, also
/// when it is gone.
pub const DN: &str = "dn";

/// The code of an answer that denies the request: the target may know the credential (RFC 9110 §15.5.4), or
/// something before it refuses everybody. It is no word on the secret itself.
pub const FORBIDDEN: &str = "CB-HTTP-403";

/// Judges rendered requests; implemented by the guard, and by it alone outside tests.
#[async_trait]
pub trait Gate: Send + Sync + fmt::Debug {
    /// # Errors
    /// `refused`, with what the manifest does not allow.
    fn judge(&self, request: &RenderedRequest) -> Result<(), Failure>;

    /// Waits until the target may get one more request.
    ///
    /// # Errors
    /// `rate_limited` when that would take too long for a call.
    async fn turn(&self) -> Result<(), Failure> {
        Ok(())
    }
}

impl<'a> Call<'a> {
    /// The same about an account that was last seen so.
    #[must_use]
    pub(super) fn about(self, last: Option<&'a Account>) -> Self {
        Self {
            login: last.map(|last| last.login.as_str()),
            last,
            ..self
        }
    }
}

impl Call<'_> {
    /// Turns a request into one that may be sent now.
    ///
    /// # Errors
    /// `refused` when it is outside the approved manifest, `rate_limited` when the connector's own
    /// rate is used up; nothing was sent.
    pub async fn permit<T: Send>(
        &self,
        rendered: RenderedRequest,
        request: T,
    ) -> Result<Permit<T>, Failure> {
        self.gate.turn().await?;
        // The last word: nothing is waited for between it and the sending.
        self.gate.judge(&rendered)?;
        Ok(Permit(request, rendered))
    }
}

/// A request that the guard has let through. Senders take nothing else.
#[derive(Debug)]
pub struct Permit<T>(T, RenderedRequest);

impl<T> Permit<T> {
    /// The request, to be sent once.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// The request, to be looked at.
    pub fn request(&self) -> &T {
        &self.0
    }

    /// What was judged.
    pub fn rendered(&self) -> &RenderedRequest {
        &self.1
    }
}

/// A request in the words that a manifest is written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedRequest {
    /// What it is part of; `None` for the connector's own secrets.
    pub operation: Option<Operation>,
    /// The account it names; `None` for a listing.
    pub account: Option<AccountId>,
    /// Every field that it writes, in the target's words (`active`, `members`, a column); empty for
    /// a read. A deletion writes the field `*`.
    pub writes: BTreeSet<String>,
    /// Method and place without secrets, for the record: `PATCH /Users/2819c223`.
    pub line: String,
}

/// A secret to sign in with. Debug shows no value.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Which of the connector's credentials.
    pub role: CredentialRole,
    /// The vault's version, for the record.
    pub version: u64,
    /// The target's id of this secret, where it has one.
    pub remote_ref: Option<String>,
    /// Sign-in name, where the protocol has one.
    pub username: Option<String>,
    /// The value.
    pub secret: SecretString,
}

/// One change to one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub operation: Operation,
    /// The account by its immutable id.
    pub account: AccountId,
    /// Its login as last read; the change is refused if the target shows another for the id.
    pub login: String,
    /// The entitlement, for the operations that take one.
    pub entitlement: Option<Entitlement>,
}

impl Change {
    /// True for the entitlement that the change takes away: a key and a role may have one id.
    pub fn takes(&self, one: &Entitlement) -> bool {
        let credentials = self.operation == Operation::RevokeCredential;
        let wanted = self.entitlement.as_ref();
        wanted.is_some_and(|wanted| wanted.id == one.id) && one.is_credential() == credentials
    }

    /// True when an account as it was just read leaves nothing for the change to do.
    pub fn is_done_in(&self, account: &Account) -> bool {
        match self.operation {
            Operation::Disable => account.state == AccountState::Disabled,
            Operation::EndSessions => account.sessions == Some(0),
            Operation::RevokeEntitlement | Operation::RevokeCredential => {
                !account.entitlements.iter().any(|one| self.takes(one))
            }
            Operation::Delete | Operation::List | Operation::Read => false,
        }
    }
}

/// What the target said to a change. Not proof of anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// Yes (2xx, one row, a file replaced).
    Accepted,
    /// There was nothing to change.
    Absent,
}

/// All accounts, and how sure that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// What was shown.
    pub accounts: Vec<Account>,
    /// Whether it was everything.
    pub completeness: Completeness,
    /// Age of the data in seconds where the target serves a copy.
    pub data_age_seconds: u64,
    /// How, for an auditor: `GET /Users, 3 pages`.
    pub method: String,
}

impl Listing {
    /// The first reason why it does not show everything, as far as it is believed (`completeness`);
    /// where the count is the reason, with the numbers.
    pub fn gap(&self, completeness: Completeness, expect: &Expect) -> Option<String> {
        gap_of(completeness, expect, self.accounts.len())
    }
}

/// Why a list of so many accounts does not show everything.
pub(super) fn gap_of(
    completeness: Completeness,
    expect: &Expect,
    accounts: usize,
) -> Option<String> {
    let gap = completeness.gap()?;
    let others = Completeness {
        count_in_band: true,
        ..completeness
    };
    let counted = expect.miscount(accounts);
    Some(match (others.gap(), counted) {
        (None, Some(counted)) => format!("{gap}: {counted}"),
        (Some(_), _) | (None, None) => gap.to_owned(),
    })
}

/// One account, and how sure that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// `None` when the target shows no such account.
    pub account: Option<Account>,
    /// Whether it was everything.
    pub completeness: Completeness,
    /// Age of the data in seconds where the target serves a copy.
    pub data_age_seconds: u64,
    /// How, for an auditor: `GET /Users/2819c223`.
    pub method: String,
}

/// What a credential may do at the target, held against what its manifest needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Powers {
    /// What it may do beyond that, in words for a person; empty when it is as it must be.
    pub excess: Vec<String>,
    /// How that was found, for an auditor.
    pub method: String,
}

/// One try to sign in.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The account that is tried; `None` for the control.
    pub account: Option<AccountId>,
    /// The name to sign in with, in the protocol's own form.
    pub name: String,
    /// With what; `None` only looks for live sessions.
    pub secret: Option<SecretString>,
}

/// What a try to sign in came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knock {
    /// True when it was let in.
    pub entered: bool,
    /// The protocol's own code of the answer (`49`, `28P01`); empty when nothing was tried.
    pub code: String,
    /// The answer in words; holds no secret.
    pub words: String,
    /// Live sessions of that name, where the target tells.
    pub sessions: Option<u64>,
}

/// An order for a new secret.
#[derive(Debug, Clone)]
pub struct MintOrder {
    /// For which credential.
    pub role: CredentialRole,
    /// Names the rotation at the target, so that an orphan is recognised.
    pub label: String,
    /// The sign-in name that it is for, where a credential has two that take turns.
    pub username: Option<String>,
    /// The value, where we choose it.
    pub chosen: Option<SecretString>,
    /// When the target itself is to end it, where the manifest says how long it lasts.
    pub expires: Option<Timestamp>,
}

/// A new secret.
#[derive(Debug, Clone)]
pub struct Minted {
    /// The target's id of it, where it has one.
    pub remote_ref: Option<String>,
    /// The value.
    pub secret: SecretString,
    /// When it ends by itself, where the target says.
    pub expires: Option<Timestamp>,
}

/// One of the connector's own secrets as the target lists it. Debug shows no value.
#[derive(Debug, Clone)]
pub struct KnownSecret {
    /// The target's id, or a digest of the value where it keeps no ids.
    pub remote_ref: String,
    /// The label under which it was made; empty where the target keeps none.
    pub label: String,
    /// The value, where the target still shows it.
    pub shown: Option<SecretString>,
    /// Whether it stands where the target takes nothing away, as the newest of a client does that
    /// always has one. It can go once another stands there.
    pub fixed: bool,
}

impl KnownSecret {
    /// One that is listed by its id, and can be taken away by it.
    pub fn by_id(remote_ref: String, label: String) -> Self {
        Self {
            remote_ref,
            label,
            shown: None,
            fixed: false,
        }
    }

    /// Whether it is this credential's secret, by its id or by its value.
    pub fn is_of(&self, credential: &Credential) -> bool {
        let shown = self.shown.as_ref().map(ExposeSecret::expose_secret);
        credential.remote_ref.as_ref() == Some(&self.remote_ref)
            || shown == Some(credential.secret.expose_secret())
    }
}

/// A kind that cannot do what it is asked to.
pub fn unsupported(what: &str) -> Failure {
    Failure::new(
        FailureClass::Unsupported,
        "CB-CONNECTOR-1",
        format!("this connector cannot {what}"),
    )
}
