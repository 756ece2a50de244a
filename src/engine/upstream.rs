//! Access that is cut upstream, where the target itself will not obey.
//!
//! Owns the effect: the subject's accounts at the other connector lose the one entitlement that gives
//! access to the target, through that connector's own guard, and are read again with its verifier.
//! Whether that contains anything is judged by the domain; it never counts as a removal.

use std::sync::Arc;

use crate::connectors::{Change, Guarded};
use crate::domain::access::{Entitlement, Operation};
use crate::domain::correlation::blind;
use crate::domain::estate::Upstream;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::protect;
use crate::domain::run::{Run, RunBody};
use crate::domain::settlement::Outcome;
use crate::domain::subject::Subject;
use crate::domain::time::Timestamp;
use crate::domain::verdict::CredentialRole;

use super::Engine;
use super::perform::lost;

impl Engine {
    /// Cuts the subject's access to the run's target at the upstream that the target's manifest names.
    pub(super) async fn cut_upstream(
        &self,
        run: &Run,
        target: &Guarded,
    ) -> Result<Outcome, Failure> {
        let upstream = target.manifest().upstream.as_ref();
        let upstream = upstream.ok_or_else(|| lost("the manifest names no upstream any more"))?;
        let subject = self.subject_of(run).await?;
        let connector = self.serving().registry.get(&upstream.connector);
        let connector = connector.ok_or_else(|| {
            let words = format!(
                "no manifest named {} is loaded any more",
                upstream.connector
            );
            Failure::new(FailureClass::Unsupported, "CB-ENGINE-7", words)
        })?;
        let since = run.stage.due().unwrap_or_else(|| self.clock.now());
        self.cut_at(&connector, upstream, &subject, since).await
    }

    async fn cut_at(
        &self,
        connector: &Arc<Guarded>,
        upstream: &Upstream,
        subject: &Subject,
        since: Timestamp,
    ) -> Result<Outcome, Failure> {
        let manifest = connector.manifest();
        let verifier = self
            .secrets
            .credential(manifest, CredentialRole::Verifier)
            .await?;
        // Where a target fails, all of a mass departure is cut at the same place.
        let listing = connector.shown(&verifier, since).await?;
        let believed = connector.vitals().believed(listing.completeness);
        if let Some(gap) = listing.gap(believed, &manifest.expect) {
            return Err(Failure::new(FailureClass::StaleData, "CB-ENGINE-6", gap));
        }
        let accounts = listing.roster.search(connector.name(), subject).decided()?;
        if let (true, Some(blind)) = (
            accounts.is_empty(),
            blind(connector.name(), &manifest.correlation, subject),
        ) {
            return Err(blind);
        }
        let since = self.clock.now();
        let mut looks = Vec::with_capacity(accounts.len());
        for account in accounts {
            let reading = connector.read(&verifier, &account.id).await?;
            // A list that leaves entitlements out would make nobody an administrator.
            let read = reading.account;
            let has = read.iter().flat_map(|read| read.entitlements.clone());
            if let Some(facts) = self.serving().estate.connectors.get(connector.name()) {
                let cut = |one: &Entitlement| upstream.is(one);
                // Who else administers is asked at this very moment.
                let own = read.as_ref().unwrap_or(&account);
                let alone = if protect::is_upstream_administrator(facts, own, &cut) {
                    connector.shown(&verifier, self.clock.now()).await?
                } else {
                    listing.clone()
                };
                protect::upstream(facts, own, alone.roster.accounts(), &cut)?;
            }
            for entitlement in has.filter(|one| upstream.is(one)) {
                let writer = self
                    .secrets
                    .credential(manifest, CredentialRole::Writer)
                    .await?;
                let change = Change {
                    operation: Operation::RevokeEntitlement,
                    account: account.id.clone(),
                    login: account.login.clone(),
                    entitlement: Some(entitlement),
                };
                connector.write(&writer, &change).await?;
            }
            let look = self
                .verification
                .observe(connector, &verifier, &account, since);
            looks.push(look.await?);
        }
        Ok(Outcome::Cut { since, looks })
    }

    /// Whose access the run takes away: the subject of its case.
    async fn subject_of(&self, run: &Run) -> Result<Subject, Failure> {
        if let RunBody::Discovery(body) = &run.body {
            return Ok(body.subject.clone());
        }
        let case = run
            .case
            .ok_or_else(|| lost("only runs of a case have a subject"))?;
        let read = self.store.run(case.run()).await;
        let read = read.map_err(|error| {
            Failure::new(FailureClass::Unreachable, "CB-ENGINE-10", error.to_string())
        })?;
        match read.map(|(run, _)| run.body) {
            Some(RunBody::Case(body)) => Ok(body.subject),
            _ => Err(lost("the run's case is not there")),
        }
    }
}
