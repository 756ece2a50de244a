//! Tries to get in, each beside a control that must be let in at the same time.
//!
//! Owns the order of a probe: the control first, so that no try is spent where it could tell
//! nothing, then one try for each artefact. Whatever goes wrong on the way is that nothing could be
//! told. Counts nothing as refused by itself: the connector read the answer.

use secrecy::SecretString;

use crate::connectors::{Caller, Credential, Guarded, Probe, Tries, WRONG_PASSWORD};
use crate::domain::access::Account;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::probe::{ProbeFinding, Probed};

use super::Verification;

/// Why a key that is kept as a digest is not tried.
const DIGEST: &str = "only a digest of it is kept, which nobody could present";

/// What a probe is made with.
#[derive(Debug)]
pub struct Trial<'a> {
    /// The probe.
    pub probe: &'a Probe,
    /// Whose ways in are tried, as last read.
    pub account: &'a Account,
    /// Ids of the account's keys and tokens, for probes that try those.
    pub keys: Vec<String>,
    /// The account's secret and its reference, where our vault keeps one.
    pub kept: Option<(String, SecretString)>,
    /// The control's secret, where it takes one.
    pub control: Option<SecretString>,
}

/// One thing to try.
struct Artefact {
    words: String,
    secret: Option<SecretString>,
    /// Nobody could present it.
    digest: bool,
}

impl Artefact {
    fn new(words: String, secret: Option<SecretString>) -> Self {
        Self {
            words,
            secret,
            digest: false,
        }
    }
}

impl Verification {
    /// Makes one probe: a line for each artefact, at least one.
    pub async fn probe(
        &self,
        connector: &Guarded,
        verifier: &Credential,
        trial: &Trial<'_>,
    ) -> Vec<Probed> {
        let at = self.clock.now();
        let probe = trial.probe;
        let artefacts = artefacts(trial);
        let line = |artefact: &str, control: &str, finding, words: String, spent| Probed {
            probe: probe.name.clone(),
            artefact: artefact.to_owned(),
            at,
            method: probe.method(),
            control: control.to_owned(),
            finding,
            words,
            spent,
        };
        if artefacts.is_empty() {
            let words = match probe.tries {
                Tries::Listed => "the account was read without any key or token",
                Tries::Kept(_) => "our vault keeps no secret of this account",
                Tries::Name | Tries::WrongPassword => "the account has no name",
            };
            let words = words.to_owned();
            let none = ProbeFinding::NothingToTry;
            return vec![line("nothing", "not needed", none, words, false)];
        }
        let control = connector
            .control(verifier, probe, trial.control.as_ref())
            .await;
        let control = match control {
            Ok(control) => control,
            Err(failure) => {
                let untold = ProbeFinding::CouldNotTell;
                let told = |one: &Artefact| {
                    line(&one.words, "not let in", untold, failure.to_string(), false)
                };
                return artefacts.iter().map(told).collect();
            }
        };
        let mut lines = Vec::new();
        for one in &artefacts {
            if one.digest {
                let (untold, words) = (ProbeFinding::CouldNotTell, DIGEST.to_owned());
                lines.push(line(&one.words, &control, untold, words, false));
                continue;
            }
            let caller = Caller {
                account: Some(&trial.account.id),
                login: &trial.account.login,
                id: trial.account.id.as_str(),
                secret: one.secret.as_ref(),
            };
            let answer = connector.knock(verifier, probe, &caller).await;
            let spent = probe.once() && was_sent(&answer);
            lines.push(match answer {
                Ok(answer) => line(&one.words, &control, answer.finding, answer.words, spent),
                Err(failure) => {
                    let untold = ProbeFinding::CouldNotTell;
                    line(&one.words, &control, untold, failure.to_string(), spent)
                }
            });
        }
        lines
    }
}

/// What the guard turned away was not sent; all else may have been.
fn was_sent<T>(answer: &Result<T, Failure>) -> bool {
    let unsent = [FailureClass::Refused, FailureClass::RateLimited];
    !matches!(answer, Err(failure) if unsent.contains(&failure.class))
}

fn artefacts(trial: &Trial<'_>) -> Vec<Artefact> {
    let login = &trial.account.login;
    match &trial.probe.tries {
        Tries::Name => vec![Artefact::new(format!("the name {login}"), None)],
        Tries::WrongPassword => vec![Artefact::new(
            format!("{login} with a wrong password"),
            Some(WRONG_PASSWORD.into()),
        )],
        // Without one there may still be sessions to look for.
        Tries::Kept(_) if trial.kept.is_none() && trial.probe.looks_without_secret() => {
            vec![Artefact::new(format!("sessions of {login}"), None)]
        }
        Tries::Kept(_) => {
            let kept = trial.kept.iter();
            let kept = kept.map(|(reference, secret)| {
                let words = format!("{login} with the secret kept as {reference}");
                Artefact::new(words, Some(secret.clone()))
            });
            kept.collect()
        }
        Tries::Listed => {
            let keys = trial.keys.iter();
            let keys = keys.map(|key| Artefact {
                words: format!("the key {}", short(key)),
                secret: Some(key.as_str().into()),
                digest: is_digest(key),
            });
            keys.collect()
        }
    }
}

/// Whether an id is a digest that we made of a value: every door refuses it, the way in itself open.
pub(super) fn is_digest(key: &str) -> bool {
    key.starts_with("sha256:") || key.starts_with("certificate:") || key.contains(":sha256:")
}

/// Enough of an id to find it again: at some targets the id is the token.
fn short(key: &str) -> String {
    let seen: String = key.chars().take(6).collect();
    if seen.len() == key.len() {
        seen
    } else {
        format!("{seen}…")
    }
}
