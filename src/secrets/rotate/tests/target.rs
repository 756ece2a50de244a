//! A target in memory that mints or takes chosen secrets, and breaks off where it is told to.
//!
//! Owns the ground truth: which values open it now. A fault strikes at the n-th call, before or
//! after the effect, as a lost connection, a lost answer or a worker that dies there (the call never
//! returns). Says which faults have struck, so that a test can show that it tested something.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use crate::connectors::{
    Answered, Call, Change, Connector, Credential, FORBIDDEN, KnownSecret, Listing, MintOrder,
    Minted, Reading, unsupported,
};
use crate::domain::id::AccountId;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::rotation::Strategy;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{Completeness, CredentialRole};

/// The two sign-in names of `dual_slot`.
pub(super) const NAMES: [&str; 2] = ["svc_a", "svc_b"];

/// The rotator's own secret, which is not rotated here.
pub(super) const ROTATOR: &str = "rotator";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    /// No connection: nothing happened.
    Unreachable,
    /// It happened, the answer was lost.
    AnswerLost,
    /// The worker dies before it happens.
    DiesBefore,
    /// The worker dies after it happened.
    DiesAfter,
}

impl Fault {
    pub(super) const ALL: [Self; 4] = [
        Self::Unreachable,
        Self::AnswerLost,
        Self::DiesBefore,
        Self::DiesAfter,
    ];
}

/// How the target knows a secret again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// By an id, beside the label under which it was made.
    Labels,
    /// By an id alone.
    Ids,
    /// By nothing: each stands at its place, the newest where none is taken away, and is shown.
    Places,
}

/// As many places as there are where there are places.
const PLACES: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Truth {
    /// Values that sign in, by the target's id; one with an empty id where we choose.
    pub(super) live: BTreeMap<String, (String, String)>,
    minted: u32,
    pub(super) calls: u32,
    pub(super) faults: BTreeMap<u32, Fault>,
    pub(super) struck: u32,
    /// Values that signed in with something other than a probe, at any time.
    pub(super) ever: Vec<String>,
    /// Refuses everybody, as a target does whose directory is away.
    pub(super) locked: bool,
    /// At places: the id of the newest, and those that stand there though they have ended.
    pub(super) newest: String,
    pub(super) ended: BTreeMap<String, String>,
    /// The most values that were live at one time.
    pub(super) most: usize,
    /// Goes on accepting what was retired.
    pub(super) forgetful: bool,
    /// What was minted may only read.
    pub(super) reads_only: bool,
    /// Changes that were tried, and which of them found nobody.
    pub(super) tried: Vec<Change>,
    /// Answers whom it does not let in like one who may not do this.
    pub(super) denies: bool,
    /// Lists of accounts lack what they should show.
    pub(super) drifted: bool,
    /// So many secrets are made, and the answer does not show them.
    pub(super) unusable: u32,
    /// What the rotator signs in with, where that was replaced.
    pub(super) rotator: Option<String>,
    /// From this call on it is locked.
    pub(super) locks_at: Option<u32>,
    /// When it ends every password of its own accord, where it tells; and whether it lets anybody look.
    pub(super) ends: Option<Timestamp>,
    pub(super) hides_ends: bool,
    /// What time it is there, and until when it takes the password of a name.
    pub(super) now: Timestamp,
    pub(super) until: BTreeMap<String, Timestamp>,
}

impl Truth {
    /// Whether the time of this name's password has run out.
    fn is_over(&self, name: &str) -> bool {
        self.until.get(name).is_some_and(|until| *until <= self.now)
    }
}

pub(super) struct Target {
    truth: Mutex<Truth>,
    strategy: Strategy,
    known: Known,
    before_mint: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Target")
    }
}

impl Target {
    pub(super) fn new(strategy: Strategy, known: Known, first: &str) -> Self {
        let mut truth = Truth {
            newest: "k0".to_owned(),
            ..Truth::default()
        };
        let name = match strategy {
            Strategy::Choose => "",
            Strategy::DualSlot => NAMES[0],
            Strategy::Add | Strategy::Delegated => "k0",
        };
        let first = (first.to_owned(), "by hand".to_owned());
        truth.live.insert(name.to_owned(), first);
        Self {
            truth: Mutex::new(truth),
            strategy,
            known,
            before_mint: Mutex::new(None),
        }
    }

    /// What somebody else does while a secret is being minted.
    pub(super) fn before_mint(&self, act: impl FnOnce() + Send + 'static) {
        *self.before_mint.lock().expect("not poisoned") = Some(Box::new(act));
    }

    pub(super) fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().expect("not poisoned")
    }

    pub(super) fn opens(&self, value: &str) -> bool {
        let truth = self.truth();
        let mut live = truth.live.iter();
        live.any(|(name, (known, _))| known == value && !truth.is_over(name))
    }

    /// Lets the planned fault of this call strike before or after its effect.
    async fn call<T>(
        &self,
        effect: impl FnOnce(&mut Truth) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let fault = {
            let mut truth = self.truth();
            let number = truth.calls;
            truth.calls += 1;
            let fault = truth.faults.get(&number).copied();
            truth.struck += u32::from(fault.is_some());
            truth.locked |= truth.locks_at.is_some_and(|at| number >= at);
            fault
        };
        match fault {
            Some(Fault::Unreachable) => {
                return Err(Failure::new(FailureClass::Unreachable, "T", "away"));
            }
            Some(Fault::DiesBefore) => std::future::pending().await,
            Some(Fault::AnswerLost | Fault::DiesAfter) | None => {}
        }
        let result = effect(&mut self.truth());
        match fault {
            Some(Fault::AnswerLost) => {
                Err(Failure::new(FailureClass::UnknownOutcome, "T", "no answer"))
            }
            Some(Fault::DiesAfter) => std::future::pending().await,
            Some(Fault::Unreachable | Fault::DiesBefore) | None => result,
        }
    }
}

fn sign_in(truth: &Truth, credential: &Credential) -> Result<(), Failure> {
    let value = credential.secret.expose_secret();
    let known = match credential.role {
        CredentialRole::Rotator => value == truth.rotator.as_deref().unwrap_or(ROTATOR),
        _ => truth.live.iter().any(|(name, (live, _))| {
            let named = credential.username.as_ref();
            let by_name = !NAMES.contains(&name.as_str()) || named == Some(name);
            live == value && by_name && !truth.is_over(name)
        }),
    };
    if known && !truth.locked {
        Ok(())
    } else {
        let code = if truth.denies { FORBIDDEN } else { "T" };
        Err(Failure::new(
            FailureClass::AuthFailure,
            code,
            "who is that?",
        ))
    }
}

#[async_trait]
impl Connector for Target {
    async fn list(&self, call: &Call<'_>) -> Result<Listing, Failure> {
        self.call(|truth| {
            sign_in(truth, call.credential)?;
            if truth.drifted {
                return Err(Failure::new(FailureClass::Drifted, "T", "a field is gone"));
            }
            Ok(Listing {
                accounts: Vec::new(),
                completeness: Completeness::WHOLE,
                data_age_seconds: 0,
                method: "list".to_owned(),
            })
        })
        .await
    }

    async fn read(&self, _: &Call<'_>, _: &AccountId) -> Result<Reading, Failure> {
        Err(unsupported("read in this test"))
    }

    async fn write(&self, call: &Call<'_>, change: &Change) -> Result<Answered, Failure> {
        self.call(|truth| {
            sign_in(truth, call.credential)?;
            // As targets are asked: nothing is sent about whom nobody is, but to try the powers.
            if !call.trial {
                return Ok(Answered::Absent);
            }
            let value = call.credential.secret.expose_secret();
            if truth.reads_only && truth.ever.iter().any(|minted| minted == value) {
                let why = "it may read";
                return Err(Failure::new(FailureClass::AuthFailure, FORBIDDEN, why));
            }
            truth.tried.push(change.clone());
            Ok(Answered::Absent)
        })
        .await
    }

    async fn try_credential(&self, call: &Call<'_>) -> Result<(), Failure> {
        self.call(|truth| sign_in(truth, call.credential)).await
    }

    async fn mint(&self, call: &Call<'_>, order: &MintOrder) -> Result<Minted, Failure> {
        let act = self.before_mint.lock().expect("not poisoned").take();
        if let Some(act) = act {
            act();
        }
        self.call(|truth| {
            sign_in(truth, call.credential)?;
            if self.known == Known::Places && truth.live.len() + truth.ended.len() >= PLACES {
                let why = "one of them would be pushed out";
                return Err(Failure::new(FailureClass::Unsupported, "T-FULL", why));
            }
            truth.minted += 1;
            let (remote_ref, value) = match &order.chosen {
                Some(chosen) => (order.username.clone(), chosen.expose_secret().to_owned()),
                None => (
                    Some(format!("k{}", truth.minted)),
                    format!("minted {}", truth.minted),
                ),
            };
            let chooses = matches!(self.strategy, Strategy::Choose | Strategy::DualSlot);
            assert_eq!(order.chosen.is_some(), chooses);
            let named = order.username.as_deref().map(|name| NAMES.contains(&name));
            let expected = (self.strategy == Strategy::DualSlot).then_some(true);
            assert_eq!(named, expected, "one of the declared names");
            truth.newest = remote_ref.clone().unwrap_or_default();
            if let Some(until) = order.expires {
                truth.until.insert(truth.newest.clone(), until);
            }
            truth.ever.push(value.clone());
            truth.live.insert(
                remote_ref.clone().unwrap_or_default(),
                (value.clone(), order.label.clone()),
            );
            truth.most = truth.most.max(truth.live.len());
            if truth.unusable > 0 {
                truth.unusable -= 1;
                return Err(Failure::new(FailureClass::Drifted, "T-LACKS", "no value"));
            }
            Ok(Minted {
                remote_ref,
                secret: SecretString::from(value),
                expires: None,
            })
        })
        .await
    }

    async fn password_end(
        &self,
        call: &Call<'_>,
        _: CredentialRole,
        _: Option<&str>,
    ) -> Result<Option<Timestamp>, Failure> {
        self.call(|truth| {
            sign_in(truth, call.credential)?;
            if truth.hides_ends {
                return Err(Failure::new(
                    FailureClass::Refused,
                    "T-HIDES",
                    "not for you",
                ));
            }
            Ok(truth.ends)
        })
        .await
    }

    async fn minted(
        &self,
        call: &Call<'_>,
        role: CredentialRole,
    ) -> Result<Vec<KnownSecret>, Failure> {
        if role == CredentialRole::Rotator {
            return Err(unsupported("list the secrets of its administrator"));
        }
        self.call(|truth| {
            sign_in(truth, call.credential)?;
            let live = truth.live.iter().map(|(id, one)| (id, &one.0, &one.1));
            let ended = truth.ended.iter().map(|(id, value)| (id, value, value));
            let known = live.chain(ended).map(|(id, value, label)| KnownSecret {
                remote_ref: id.clone(),
                label: match self.known {
                    Known::Labels => label.clone(),
                    Known::Ids | Known::Places => String::new(),
                },
                shown: (self.known == Known::Places).then(|| SecretString::from(value.as_str())),
                fixed: self.known == Known::Places && *id == truth.newest,
            });
            Ok(known.collect())
        })
        .await
    }

    async fn retire(
        &self,
        call: &Call<'_>,
        _: CredentialRole,
        remote_ref: &str,
    ) -> Result<(), Failure> {
        self.call(|truth| {
            sign_in(truth, call.credential)?;
            if self.known == Known::Places && remote_ref == truth.newest {
                let why = "the newest is never taken away";
                return Err(Failure::new(FailureClass::Unsupported, "T-FIXED", why));
            }
            if truth.ended.remove(remote_ref).is_some() {
                return Ok(());
            }
            // To close a name that is closed already is no failure.
            let idle = self.strategy == Strategy::DualSlot;
            if !truth.forgetful && truth.live.remove(remote_ref).is_none() && !idle {
                return Err(Failure::new(
                    FailureClass::WriteFailure,
                    "T",
                    "no such secret",
                ));
            }
            Ok(())
        })
        .await
    }
}
