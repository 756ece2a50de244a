//! The one door to a target: every call passes limits, every request is judged as rendered.
//!
//! Owns [`Guarded`], which the other rooms hold instead of a bare connector. Before a byte is sent
//! it compares the rendered request with the approved manifest, deny by default. A connector that
//! hangs or panics becomes a failure here: `unknown_outcome` once a write was let through,
//! `unreachable` or `drifted` before. Does not retry, and correlates nothing.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use secrecy::SecretString;

use super::contract::{
    Answered, Call, Change, Connector, Credential, FORBIDDEN, Listing, Powers, Reading,
};
use super::drill::Failing;
use super::limits::Brakes;
use super::mandate::Mandate;
use super::manifest::Manifest;
use super::probe::{self, Caller, Probe, Prober};
use crate::domain::access::{Account, Operation};
use crate::domain::approval::Signed;
use crate::domain::drill::Pass;
use crate::domain::id::{AccountId, ConnectorName};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::time::Clock;
use crate::domain::verdict::CredentialRole;
use crate::telemetry::{Stopwatch, metrics};

/// A connector behind its guard.
#[derive(Debug)]
pub struct Guarded {
    manifest: Manifest,
    connector: Arc<dyn Connector>,
    prober: Arc<Prober>,
    vitals: Arc<Vitals>,
    brakes: Arc<Brakes>,
    mandate: Mandate,
    pausing: Arc<Pausing>,
    sharing: Arc<Sharing>,
    clock: Arc<dyn Clock>,
    /// What is made up is told to nobody.
    quiet: bool,
}

impl Guarded {
    /// Puts `connector` behind the guard of `manifest`.
    pub fn new(manifest: Manifest, connector: Arc<dyn Connector>, clock: Arc<dyn Clock>) -> Self {
        Self {
            brakes: Arc::new(Brakes::new(&manifest.limits, clock.clone())),
            vitals: Arc::new(Vitals::new(clock.clone())),
            prober: Arc::new(Prober::new(&manifest.probes, &manifest.limits)),
            manifest,
            connector,
            mandate: Mandate::default(),
            pausing: Arc::default(),
            sharing: Arc::default(),
            clock,
            quiet: false,
        }
    }

    /// The same for the pass of a drill. In the well pass it is the very same connector with its brakes
    /// and vital signs, which may be asked although no drill was passed. In the failing pass nothing
    /// gets as far as the connector, and what fails is counted nowhere. Others keep the guard they have.
    #[must_use]
    pub fn rehearsing(&self, pass: Pass) -> Self {
        let mandate = Mandate {
            undrilled: None,
            ..self.mandate.clone()
        };
        let (manifest, clock) = (self.manifest.clone(), self.clock.clone());
        match pass {
            Pass::Failing => Self {
                quiet: true,
                ..Self::new(manifest, Arc::new(Failing), clock).under(mandate)
            },
            Pass::Well => Self {
                manifest,
                connector: self.connector.clone(),
                prober: self.prober.clone(),
                vitals: self.vitals.clone(),
                brakes: self.brakes.clone(),
                mandate,
                pausing: self.pausing.clone(),
                sharing: self.sharing.clone(),
                clock,
                quiet: false,
            },
        }
    }

    /// What is in force has passed no drill, if that is wanted.
    pub(super) fn bar_undrilled(&mut self, undrilled: Option<Failure>) {
        self.mandate.undrilled = undrilled;
    }

    /// The same guard under this approval.
    #[must_use]
    pub fn under(mut self, mandate: Mandate) -> Self {
        self.mandate = mandate;
        self
    }

    /// Goes on with the brakes of the guard that it replaces: a target that was left alone stays so.
    /// And with its vital signs: who was not believed is not believed until the next survey.
    pub(super) fn inherit(&mut self, before: &Self) {
        self.vitals = before.vitals.clone();
        // Who holds the old one is stopped by the same pause.
        self.pausing = before.pausing.clone();
        if self.manifest.limits == before.manifest.limits {
            self.brakes = before.brakes.clone();
        }
    }

    /// From here on no change is let through, until it is ended with `None`; also not the next one of a
    /// call that has begun. See [`Self::is_changing`] for what was let through before.
    pub fn pause(&self, by: Option<Signed>) {
        self.pausing.set(by);
    }

    /// True while a call is under way that was let change something: its bytes may still go out.
    pub fn is_changing(&self) -> bool {
        self.pausing.is_busy()
    }

    /// Under which approval it serves, or why it does not.
    pub fn mandate(&self) -> &Mandate {
        &self.mandate
    }

    /// What may be done.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Also the name of the target.
    pub fn name(&self) -> &ConnectorName {
        &self.manifest.name
    }

    /// True where a read shows what is left without its account.
    pub fn shows_orphans(&self) -> bool {
        self.connector.shows_orphans()
    }

    /// What this worker notices of its health.
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// All accounts, with the count held against the manifest's band.
    pub async fn list(&self, credential: &Credential) -> Result<Listing, Failure> {
        self.listing(credential, Purpose::List).await
    }

    /// The same for a scheduled survey, which is told apart from the calls of runs.
    pub async fn survey(&self, credential: &Credential) -> Result<Listing, Failure> {
        self.listing(credential, Purpose::Survey).await
    }

    /// The same to see whether a new secret shows what it must, which no event owes.
    pub async fn try_list(&self, credential: &Credential) -> Result<Listing, Failure> {
        self.listing(credential, Purpose::TryList).await
    }

    async fn listing(
        &self,
        credential: &Credential,
        purpose: Purpose<'_>,
    ) -> Result<Listing, Failure> {
        let judge = self.judge(purpose);
        let call = judge.call(credential);
        let work = self.connector.list(&call);
        let work = Box::pin(async { texts::of_listing(work.await?) });
        let mut listing = self.run(&judge, work).await?;
        let band = self.manifest.expect.accounts_min..=self.manifest.expect.accounts_max;
        let seen: BTreeSet<_> = listing.accounts.iter().map(|account| &account.id).collect();
        // Counted by id: a page that is served twice must not lift a short list into its band, and
        // is a sign that the pages do not close.
        let distinct = seen.len();
        listing.completeness.count_in_band &= band.contains(&(distinct as u64));
        listing.completeness.pages_closed &= distinct == listing.accounts.len();
        Ok(listing)
    }

    /// One account with all its entitlements.
    pub async fn read(
        &self,
        credential: &Credential,
        account: &AccountId,
    ) -> Result<Reading, Failure> {
        self.read_known(credential, account, None).await
    }

    /// The same of an account that was seen before: its names may be all that is left of it.
    pub async fn read_known(
        &self,
        credential: &Credential,
        account: &AccountId,
        last: Option<&Account>,
    ) -> Result<Reading, Failure> {
        let judge = self.judge(Purpose::Read(account));
        let call = judge.call(credential).about(last);
        let work = self.connector.read(&call, account);
        let work = Box::pin(async { texts::of_reading(work.await?) });
        self.run(&judge, work).await
    }

    /// One change, with the writer's credential.
    pub async fn write(&self, credential: &Credential, one: &Change) -> Result<Answered, Failure> {
        self.write_known(credential, one, None).await
    }

    /// The same to an account that was seen before, of which only its names may be left.
    pub async fn write_known(
        &self,
        credential: &Credential,
        change: &Change,
        last: Option<&Account>,
    ) -> Result<Answered, Failure> {
        self.accept(credential, change)?;
        self.pausing.check()?;
        let judge = self.judge(Purpose::Change(change));
        let call = Call {
            login: Some(&change.login),
            ..judge.call(credential).about(last)
        };
        let work = Box::pin(async {
            match self.connector.write(&call, change).await {
                // The request was denied. A credential that still opens the target needs no other.
                Err(denied)
                    if denied.code == FORBIDDEN
                        && self.connector.try_credential(&call).await.is_ok() =>
                {
                    Err(Failure {
                        class: FailureClass::WriteFailure,
                        ..denied
                    })
                }
                other => other,
            }
        });
        let answer = self.run(&judge, work).await;
        if matches!(answer, Ok(Answered::Accepted)) && change.operation == Operation::Delete {
            self.vitals.deleted();
        }
        tracing::info!(
            connector = %self.manifest.name,
            operation = change.operation.as_str(),
            outcome = match &answer {
                Ok(Answered::Accepted) => "accepted",
                Ok(Answered::Absent) => "absent",
                Err(failure) => failure.class.as_str(),
            },
            "change at a target"
        );
        answer
    }

    /// Does the smallest real work with the credential.
    pub async fn try_credential(&self, credential: &Credential) -> Result<(), Failure> {
        let judge = self.judge(Purpose::Try);
        let call = judge.call(credential);
        let work = self.connector.try_credential(&call);
        self.run(&judge, work).await
    }

    /// Sends a change of an account that nobody has: the target's answer tells whether the credential may
    /// make such changes, and nothing is changed. It is judged and stopped like any change, and the kind
    /// sends it only after the target has said that there is no such account ([`Call::trial`]).
    pub async fn try_write(
        &self,
        credential: &Credential,
        change: &Change,
    ) -> Result<Answered, Failure> {
        self.accept(credential, change)?;
        self.pausing.check()?;
        let judge = self.judge(Purpose::TryChange(change));
        let call = Call {
            login: Some(&change.login),
            ..judge.call(credential)
        };
        let work = self.connector.write(&call, change);
        self.run(&judge, work).await
    }

    /// What the target says that the credential may do, where it tells.
    pub async fn powers(&self, credential: &Credential) -> Result<Option<Powers>, Failure> {
        let judge = self.judge(Purpose::Try);
        let call = judge.call(credential);
        let work = self.connector.powers(&call);
        self.run(&judge, work).await
    }

    /// Tries one of an account's ways in, once. Every request of it is judged and counted as any.
    pub async fn knock(
        &self,
        verifier: &Credential,
        probe: &Probe,
        caller: &Caller<'_>,
    ) -> Result<probe::Answer, Failure> {
        let judge = self.judge(Purpose::Probe(caller.account));
        let call = judge.call(verifier);
        let work = self.prober.knock(&*self.connector, &call, probe, caller);
        self.run(&judge, Box::pin(work)).await
    }

    /// What must be let in at this moment; says how it was.
    pub async fn control(
        &self,
        verifier: &Credential,
        probe: &Probe,
        secret: Option<&SecretString>,
    ) -> Result<String, Failure> {
        let judge = self.judge(Purpose::Probe(None));
        let call = judge.call(verifier);
        let work = self.prober.control(&*self.connector, &call, probe, secret);
        self.run(&judge, Box::pin(work)).await
    }

    /// Counts a call of a run; a survey tells what it came to by itself.
    fn note(&self, purpose: Purpose<'_>, failed: Option<FailureClass>) {
        match purpose {
            Purpose::List | Purpose::Read(_) => self.vitals.note(false, failed),
            Purpose::Change(_) => self.vitals.note(true, failed),
            Purpose::Survey
            | Purpose::Try
            | Purpose::TryList
            | Purpose::TryChange(_)
            | Purpose::Probe(_)
            | Purpose::ListSecrets
            | Purpose::ChangeSecret => {}
        }
    }

    fn judge<'a>(&'a self, purpose: Purpose<'a>) -> Judge<'a> {
        Judge {
            manifest: &self.manifest,
            limiter: &self.brakes.limiter,
            purpose,
            pausing: &self.pausing,
            wrote: OnceLock::new(),
        }
    }

    /// What can be refused before the connector is even asked.
    fn accept(&self, credential: &Credential, change: &Change) -> Result<(), Failure> {
        let operation = change.operation;
        if !operation.writes() || !self.manifest.operations.contains(&operation) {
            return Err(refused(
                "CB-GUARD-1",
                format!("the manifest does not approve {}", operation.as_str()),
            ));
        }
        if credential.role != CredentialRole::Writer {
            return Err(refused(
                "CB-GUARD-2",
                format!("the {} may not write", credential.role.as_str()),
            ));
        }
        let takes_one = matches!(
            operation,
            Operation::RevokeEntitlement | Operation::RevokeCredential
        );
        if takes_one != change.entitlement.is_some() {
            return Err(refused(
                "CB-GUARD-3",
                format!(
                    "{} {} an entitlement",
                    operation.as_str(),
                    if takes_one { "lacks" } else { "takes no" }
                ),
            ));
        }
        let origin = change
            .entitlement
            .as_ref()
            .and_then(|one| one.inherited_from.as_ref());
        if let Some(origin) = origin {
            return Err(Failure::new(
                FailureClass::Inherited,
                "CB-GUARD-6",
                format!("the access comes from {origin} and must be removed there"),
            ));
        }
        Ok(())
    }

    async fn run<T>(
        &self,
        judge: &Judge<'_>,
        work: BoxFuture<'_, Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let operation = judge.purpose.as_str();
        let watch = Stopwatch::start();
        let for_event = judge.purpose.is_of_event();
        if let Err(barred) = self.mandate.check(self.clock.now(), for_event) {
            self.tell(operation, Some(barred.class), watch.seconds());
            return Err(barred);
        }
        let _slot = match self.brakes.enter().await {
            Ok(slot) => slot,
            Err(turned_away) => {
                let class = turned_away.class;
                self.note(judge.purpose, Some(class));
                self.tell(operation, Some(class), watch.seconds());
                return Err(turned_away);
            }
        };
        let timed = self.connector.times_each_request();
        let seconds = judge.purpose.seconds(&self.manifest.limits, timed);
        let caught = AssertUnwindSafe(work).catch_unwind();
        let result = match tokio::time::timeout(Duration::from_secs(seconds), caught).await {
            // Part of it went out before the pause: that must be told, and not as if nothing had been.
            Ok(Ok(Err(paused))) if paused.code == PAUSED && judge.wrote.get().is_some() => {
                Err(Failure::new(
                    FailureClass::UnknownOutcome,
                    "CB-GUARD-19",
                    format!("a pause broke it off half-way: {}", paused.message),
                ))
            }
            Ok(Ok(result)) => result,
            Ok(Err(_panic)) => Err(judge.lost(
                FailureClass::Drifted,
                "CB-GUARD-11",
                "the connector panicked".to_owned(),
            )),
            Err(_elapsed) => Err(judge.lost(
                FailureClass::Unreachable,
                "CB-GUARD-10",
                format!("no end within {seconds} s"),
            )),
        };
        let class = result.as_ref().err().map(|failure| failure.class);
        // A probe may go elsewhere than to the target, and a leaver who is turned away is no fault.
        if !matches!(judge.purpose, Purpose::Probe(_)) {
            self.brakes.note(class);
        }
        let paused = |failure: &Failure| matches!(failure.code.as_str(), PAUSED | "CB-GUARD-19");
        // An operator's pause says nothing of the target's health.
        if !result.as_ref().is_err_and(paused) {
            self.note(judge.purpose, class);
        }
        self.tell(operation, class, watch.seconds());
        if !self.quiet {
            metrics::breaker(self.name().as_str(), self.brakes.is_open());
        }
        result
    }

    fn tell(&self, operation: &str, failed: Option<FailureClass>, seconds: f64) {
        if !self.quiet {
            let class = failed.map_or("ok", FailureClass::as_str);
            metrics::call(self.name().as_str(), operation, class, seconds);
        }
    }
}

mod judge;
mod minting;
mod pausing;
mod purpose;
mod shown;
mod texts;
mod vitals;

pub use pausing::PAUSED;
pub use shown::Shown;
pub use vitals::Vitals;

use judge::{Judge, refused};
use pausing::Pausing;
use purpose::Purpose;
use shown::Sharing;

#[cfg(test)]
mod tests;
