//! Probes: a leaver's own ways in, tried, and what must be let in beside them.
//!
//! Owns what a manifest declares as a probe, the sending of one try through the guard's gate, and
//! the reading of its answer. A try is a refusal only where the answer is one of those declared; any
//! other answer tells nothing. Says nothing about a removal: what tries prove together is said by
//! `domain::probe`. Makes up no password to guess with: the one it uses is meant to be wrong.

mod http;
mod introspection;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use reqwest::Url;
use secrecy::SecretString;

use super::contract::{Call, Connector, Knock, SignIn};
use super::manifest::Limits;
use crate::document::Table;
use crate::domain::id::AccountId;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::probe::{ProbeFacts, ProbeFinding};

pub(super) use settings::read;

/// A password that nobody has: long, and told to everybody.
pub const WRONG_PASSWORD: &str = "clawback-probe-this-is-not-the-password";

/// One declared probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Its name, unique in the manifest.
    pub name: String,
    /// Where it tries to get in.
    pub door: Door,
    /// With what.
    pub tries: Tries,
}

/// Refuses probes that try `listed` where the id of a key is never what is presented: every door
/// would turn a digest away.
pub fn check_listed(table: &Table<'_>, probes: &[Probe]) {
    for probe in probes.iter().filter(|probe| probe.tries == Tries::Listed) {
        table.report(
            table.line(),
            format!(
                "the probe `{}` tries `listed`, but no key of this target is known by more than a digest",
                probe.name
            ),
            "try `kept`: the secret of a canary that our own vault keeps",
        );
    }
}

/// With what a probe tries to get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tries {
    /// The account's name alone: the target is asked about it.
    Name,
    /// The name with a password that is not the right one: for targets that tell a disabled account
    /// from a wrong password. Made once for each removal.
    WrongPassword,
    /// The secret that our own vault keeps for the login (a canary, a non-human account): references
    /// by login.
    Kept(BTreeMap<String, String>),
    /// The id of every key and token that the account was last read with.
    Listed,
}

/// Where a probe tries to get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// Any request, kinds `http` and `page`.
    Http(Box<HttpDoor>),
    /// Token introspection (RFC 7662).
    Introspection(Box<IntrospectionDoor>),
    /// The target's own sign-in, by the connector's protocol: kinds `ldap_bind` and `sql_login`.
    SignIn(SignInDoor),
}

/// A request, and how its answers are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpDoor {
    /// Where; without path.
    pub base: Url,
    /// Method.
    pub method: reqwest::Method,
    /// Path with `{login}`, `{id}` and `{secret}`.
    pub path: String,
    /// Form fields with the same.
    pub form: BTreeMap<String, String>,
    /// Headers as they are.
    pub headers: BTreeMap<String, String>,
    /// Where the artefact goes besides.
    pub shown_as: Option<ShownAs>,
    /// How Clawback signs in itself, with the verifier's credential.
    pub sign_in: OwnSignIn,
    /// Answers that mean refused.
    pub refused: Pattern,
    /// Answers that mean let in.
    pub let_in: Pattern,
    /// What must be let in beside it.
    pub control: Control,
}

/// Where an HTTP probe puts the artefact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShownAs {
    /// Login and secret (RFC 7617).
    Basic,
    /// The secret as a bearer token (RFC 6750 §2.1).
    Bearer,
    /// The secret in this header, in the place of `{secret}` in its text.
    Header(String, String),
    /// The secret in this cookie.
    Cookie(String),
}

/// How Clawback signs in itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnSignIn {
    /// Not at all.
    Nobody,
    /// Name and secret of the verifier.
    Basic,
    /// Secret of the verifier.
    Bearer,
}

/// Which answers are meant: the status, and where given a text in the body and in `Location`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Statuses; empty means any.
    pub status: Vec<u16>,
    /// A text that the body must hold.
    pub body: Option<String>,
    /// A text that the header `Location` must hold.
    pub location: Option<String>,
}

/// An account that must be let in by the same door, so that a refusal means anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Its login.
    pub login: String,
    /// Its id.
    pub id: String,
    /// Reference of its secret in our vault, where the probe takes one.
    pub secret: Option<String>,
}

impl Control {
    fn caller<'a>(&'a self, secret: Option<&'a SecretString>) -> Caller<'a> {
        Caller {
            account: None,
            login: &self.login,
            id: &self.id,
            secret,
        }
    }
}

/// The introspection endpoint of an authorization server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntrospectionDoor {
    /// Where; without path.
    pub base: Url,
    /// Path of the introspection endpoint.
    pub path: String,
    /// What must be active.
    pub control: TokenControl,
}

/// Which token must be active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenControl {
    /// One that the verifier gets for itself from the token endpoint with this path, by the client
    /// credentials grant (RFC 6749 §4.4). Shows nothing of tokens that the verifier may not see, so
    /// the owner states that it sees all.
    Own(String),
    /// One that our vault keeps under this reference.
    Kept(String),
}

/// The connector's own sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInDoor {
    /// `ldap_bind` or `sql_login`.
    pub kind: &'static str,
    /// The name to sign in with, with `{login}` and `{id}`.
    pub name: String,
    /// The answers that mean refused, in the protocol's own codes.
    pub refused: Vec<String>,
    /// Who must be let in by a name of the same form; else the verifier by its own.
    pub control: Option<Control>,
}

/// Who is tried.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// The account; `None` for a control.
    pub account: Option<&'a AccountId>,
    /// Its login.
    pub login: &'a str,
    /// Its id.
    pub id: &'a str,
    /// Password, key or token; `None` where nothing is kept.
    pub secret: Option<&'a SecretString>,
}

/// What one try came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What it proves.
    pub finding: ProbeFinding,
    /// What was answered, in words.
    pub words: String,
    /// How it was tried, for an auditor.
    pub method: String,
}

impl Probe {
    /// What the planner must know of it.
    pub fn facts(&self) -> ProbeFacts {
        ProbeFacts {
            name: self.name.clone(),
            once: self.once(),
        }
    }

    /// True when a try counts against the account.
    pub fn once(&self) -> bool {
        self.tries == Tries::WrongPassword
    }

    /// True where something can be told of an account whose secret nobody keeps: its sessions.
    pub fn looks_without_secret(&self) -> bool {
        matches!(&self.door, Door::SignIn(door) if door.kind == "sql_login")
    }

    /// The reference of the account's secret in our vault, where one is declared.
    pub fn kept(&self, login: &str) -> Option<&str> {
        match &self.tries {
            Tries::Kept(kept) => kept.get(login).map(String::as_str),
            Tries::Name | Tries::WrongPassword | Tries::Listed => None,
        }
    }

    /// How it is tried, for an auditor.
    pub fn method(&self) -> String {
        match &self.door {
            Door::Http(door) => door.line(),
            Door::Introspection(door) => format!("POST {} (RFC 7662)", door.path),
            Door::SignIn(door) => door.kind.to_owned(),
        }
    }

    /// True when it tries, or lets in beside, what our vault keeps under this reference.
    pub fn refers_to(&self, reference: &str) -> bool {
        self.references().iter().any(|(_, one)| *one == reference)
    }

    /// Every reference into our vault with its key below `[[probe]]`: `kept.LOGIN`, `control.secret`.
    pub fn references(&self) -> Vec<(String, &str)> {
        let mut references = Vec::new();
        if let Tries::Kept(kept) = &self.tries {
            let kept = kept.iter();
            references.extend(kept.map(|(login, one)| (format!("kept.{login}"), one.as_str())));
        }
        let control = self.control_secret().into_iter();
        references.extend(control.map(|one| ("control.secret".to_owned(), one)));
        references
    }

    /// The reference of the control's secret in our vault, where it has one.
    pub fn control_secret(&self) -> Option<&str> {
        match &self.door {
            Door::Http(door) => door.control.secret.as_deref(),
            Door::Introspection(door) => match &door.control {
                TokenControl::Kept(reference) => Some(reference),
                TokenControl::Own(_) => None,
            },
            Door::SignIn(door) => door.control.as_ref()?.secret.as_deref(),
        }
    }
}

/// Sends the tries of one connector.
#[derive(Debug)]
pub(super) struct Prober {
    client: Option<reqwest::Client>,
}

impl Prober {
    /// A client is made only where a probe needs one.
    pub(super) fn new(probes: &[Probe], limits: &Limits) -> Self {
        let by_http = |probe: &Probe| !matches!(probe.door, Door::SignIn(_));
        let seconds = std::time::Duration::from_secs(limits.timeout_seconds);
        let client = probes.iter().any(by_http);
        let client = client.then(|| super::http::client(seconds)).flatten();
        Self { client }
    }

    /// One try.
    ///
    /// # Errors
    /// As the guard says, or when no answer came: that tells nothing.
    pub(super) async fn knock(
        &self,
        connector: &dyn Connector,
        call: &Call<'_>,
        probe: &Probe,
        caller: &Caller<'_>,
    ) -> Result<Answer, Failure> {
        match &probe.door {
            Door::Http(door) => http::knock(self.client()?, call, door, caller).await,
            Door::Introspection(door) => {
                introspection::knock(self.client()?, call, door, caller).await
            }
            Door::SignIn(door) => {
                let knock = connector.sign_in(call, &door.as_account(caller)).await?;
                Ok(door.read(knock, caller.secret.is_some()))
            }
        }
    }

    /// What must be let in at this moment; says how it was.
    ///
    /// # Errors
    /// When it was not, or no answer came: the tries beside it then tell nothing.
    pub(super) async fn control(
        &self,
        connector: &dyn Connector,
        call: &Call<'_>,
        probe: &Probe,
        secret: Option<&SecretString>,
    ) -> Result<String, Failure> {
        match &probe.door {
            Door::Http(door) => http::control(self.client()?, call, door, secret).await,
            Door::Introspection(door) => {
                introspection::control(self.client()?, call, door, secret).await
            }
            Door::SignIn(door) => {
                let order = match &door.control {
                    Some(control) => door.as_account(&control.caller(secret)),
                    None => SignIn {
                        account: None,
                        name: call.credential.username.clone().unwrap_or_default(),
                        secret: Some(call.credential.secret.clone()),
                    },
                };
                let name = order.name.clone();
                let knock = connector.sign_in(call, &order).await?;
                if knock.entered {
                    return Ok(format!("{name} was let in by {}", door.kind));
                }
                Err(not_let_in(&format!("{name}: {}", knock.words)))
            }
        }
    }

    fn client(&self) -> Result<&reqwest::Client, Failure> {
        self.client.as_ref().ok_or_else(|| {
            Failure::new(
                FailureClass::Unsupported,
                "CB-PROBE-4",
                "no HTTP client can be made here",
            )
        })
    }
}

impl SignInDoor {
    fn as_account(&self, caller: &Caller<'_>) -> SignIn {
        let name = self.name.replace("{login}", caller.login);
        SignIn {
            account: caller.account.cloned(),
            name: name.replace("{id}", caller.id),
            secret: caller.secret.cloned(),
        }
    }

    fn read(&self, knock: Knock, tried: bool) -> Answer {
        let refused = self.refused.contains(&knock.code);
        let finding = match (knock.entered, knock.sessions) {
            (true, _) | (_, Some(1..)) => ProbeFinding::LetIn,
            (false, Some(_)) if !tried => ProbeFinding::NothingToTry,
            (false, _) if tried && refused => ProbeFinding::Refused,
            // Neither was anybody tried nor were sessions counted: that is no empty count.
            (false, _) => ProbeFinding::CouldNotTell,
        };
        let words = match knock.sessions {
            Some(count) => format!("{}; {count} live sessions", knock.words),
            None => knock.words,
        };
        Answer {
            finding,
            words,
            method: self.kind.to_owned(),
        }
    }
}

/// The control was turned away: whoever else was is so for a reason that nobody knows.
fn not_let_in(words: &str) -> Failure {
    Failure::new(
        FailureClass::Drifted,
        "CB-PROBE-2",
        format!("the control was not let in: {words}"),
    )
}

/// No answer came.
fn no_answer(line: &str) -> Failure {
    Failure::new(
        FailureClass::Unreachable,
        "CB-PROBE-3",
        format!("no answer to {line}"),
    )
}
