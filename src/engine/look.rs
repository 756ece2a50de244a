//! Perform what only looks: searches, tries to get in, observations.
//!
//! Owns the way from a subject to its accounts at one target, where inventory and target disagree,
//! and from a removal to the tries of its leaver's ways in. Decides nothing; a search that was not
//! complete is a failure, never a short list.

use crate::connectors::{Credential, Guarded, Shown};
use crate::domain::access::{Account, Entitlement, EntitlementKind};
use crate::domain::correlation::{Again, Gone, Search, blind};
use crate::domain::id::ConnectorName;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::probe::Probed;
use crate::domain::round::{discovery_of, in_round};
use crate::domain::run::{Run, RunBody};
use crate::domain::settlement::Outcome;
use crate::domain::subject::Subject;
use crate::domain::time::Timestamp;
use crate::domain::verdict::{CredentialRole, Expectation, residue};
use crate::domain::workflow::RunKind;
use crate::store::{Listed, StoreError};
use crate::verification::Trial;

use super::Engine;
use super::drive::removal;
use super::perform::lost;
use super::recalled::last_seen;

impl Engine {
    pub(super) async fn find(
        &self,
        run: &mut Run,
        connector: &Guarded,
        subject: &Subject,
    ) -> Result<Outcome, Failure> {
        let (expect, removed) = match &run.body {
            RunBody::Discovery(body) => (body.expect, body.removed.clone()),
            RunBody::Case(_) | RunBody::Removal(_) | RunBody::Rotation(_) | RunBody::Care(_) => {
                (None, Vec::new())
            }
        };
        // Of a mass departure all fall due at once, and search the same listing.
        let since = run.stage.due().unwrap_or_else(|| self.clock.now());
        // What was removed already is held against what is to be left of it.
        let searched = if removed.is_empty() {
            self.search(connector, subject, expect, since).await
        } else {
            self.search_closely(connector, subject, expect, since).await
        };
        match searched {
            Ok(mut search) => {
                let rule = &connector.manifest().correlation;
                if let (true, Some(blind)) = (
                    search.shows_nothing(),
                    blind(connector.name(), rule, subject),
                ) {
                    return Err(blind);
                }
                self.gather(run, &search.accounts).await;
                search.again = self.try_again(connector, removed).await?;
                Ok(Outcome::Accounts(search))
            }
            Err(failure) => {
                self.recall(run, connector, subject).await;
                Err(failure)
            }
        }
    }

    /// Notes what another round of the case has in hand. A removal that was begun before haste or privilege
    /// was told goes on waiting for brakes and tries, and one person closes it: the account gets another
    /// one. The first search of a case that nobody has told more of asks nothing. A store that is away costs
    /// a second task, not a removal.
    async fn gather(&self, run: &mut Run, found: &[Account]) {
        let (Some(case), Some(connector)) = (run.case, run.connector.clone()) else {
            return;
        };
        let RunBody::Discovery(body) = &run.body else {
            return;
        };
        let (own, leaving) = (body.round, body.leaving.clone());
        let mut elsewhere = Vec::new();
        let later = if run.step > 0 { u32::MAX } else { own };
        for round in (0..later).filter(|round| *round != own) {
            let other = discovery_of(case, &connector, round);
            let Ok(Some((other, _))) = self.store.run(other).await else {
                if round > own {
                    break;
                }
                continue;
            };
            let RunBody::Discovery(body) = &other.body else {
                continue;
            };
            for account in found {
                for begun in 0..body.rounds {
                    let name = in_round(account.id.as_str(), begun);
                    let removal = other.id.child(RunKind::Removal.as_str(), &name);
                    let removal = self.store.run(removal).await;
                    let covers = |run: &Run| {
                        let others = run.leaving();
                        !run.stage.ended() && others.is_some_and(|one| one.covers(&leaving))
                    };
                    if matches!(&removal, Ok(Some((run, _))) if covers(run)) {
                        elsewhere.push(account.id.clone());
                    }
                }
            }
        }
        if let RunBody::Discovery(body) = &mut run.body {
            body.elsewhere = elsewhere;
        }
    }

    /// A search of the whole target as it is listed from `since` on; `expect` is what must be left of the
    /// accounts, if not what the manifest says.
    pub(super) async fn search(
        &self,
        connector: &Guarded,
        subject: &Subject,
        expect: Option<Expectation>,
        since: Timestamp,
    ) -> Result<Search, Failure> {
        let credential = self.credential(connector, CredentialRole::Verifier).await?;
        let listing = connector.shown(&credential, since).await?;
        if let Some(gap) = listing.gap(listing.completeness, &connector.manifest().expect) {
            return Err(Failure::new(FailureClass::StaleData, "CB-ENGINE-6", gap));
        }
        let mut search = listing.roster.search(connector.name(), subject);
        self.resolve(connector, &credential, subject, &listing, &mut search)
            .await?;
        let manifest = connector.manifest();
        let expect = expect.unwrap_or(manifest.after_removal);
        let left = |one: &Account| !residue(one, expect).is_empty();
        // What is shown can be acted on however old it is; that nothing is shown proves nothing then.
        let nothing_left = !search.accounts.iter().any(left);
        let oldest = manifest.expect.max_data_age_seconds;
        if nothing_left && listing.data_age_seconds > oldest {
            return Err(too_old(listing.data_age_seconds, oldest));
        }
        let believed = connector.vitals().believed(listing.completeness);
        let believed = listing.gap(believed, &manifest.expect);
        let believed = believed.or_else(|| listing.roster.anonymous());
        if let (true, Some(gap)) = (nothing_left, &believed) {
            // What it shows is there; that it shows no more proves nothing while it is drifted.
            return Err(Failure::new(
                FailureClass::StaleData,
                "CB-ENGINE-6",
                gap.clone(),
            ));
        }
        if connector.vitals().is_worth_keeping() {
            let accounts = listing.roster.accounts().to_vec();
            self.remember(
                connector.name(),
                listing.began,
                believed.is_none(),
                accounts,
            )
            .await;
        }
        Ok(search)
    }

    /// The same, and reads by itself each account of which the list shows nothing left: most lists tell
    /// no entitlements, and so no row of them proves that there are none.
    pub(super) async fn search_closely(
        &self,
        connector: &Guarded,
        subject: &Subject,
        expect: Option<Expectation>,
        since: Timestamp,
    ) -> Result<Search, Failure> {
        let mut search = self.search(connector, subject, expect, since).await?;
        let manifest = connector.manifest();
        let expect = expect.unwrap_or(manifest.after_removal);
        let credential = self.credential(connector, CredentialRole::Verifier).await?;
        let oldest = manifest.expect.max_data_age_seconds;
        let bare = |one: &&mut Account| residue(one, expect).is_empty();
        for account in search.accounts.iter_mut().filter(bare) {
            let reading = connector.read(&credential, &account.id).await?;
            let believed = connector.vitals().believed(reading.completeness);
            let (gap, age) = (believed.gap(), reading.data_age_seconds);
            let Some(there) = reading.account else {
                let words = format!("{} is listed, and not there when it is read", account.login);
                return Err(Failure::new(FailureClass::StaleData, "CB-ENGINE-6", words));
            };
            *account = there;
            if residue(account, expect).is_empty() {
                if let Some(gap) = gap {
                    return Err(Failure::new(FailureClass::StaleData, "CB-ENGINE-6", gap));
                }
                if age > oldest {
                    return Err(too_old(age, oldest));
                }
            }
        }
        Ok(search)
    }

    /// Accounts of the subject that the inventory still shows and the listing does not: each is read.
    /// One that is there after all is found; of one that is gone it is noted how that is known.
    async fn resolve(
        &self,
        connector: &Guarded,
        credential: &Credential,
        subject: &Subject,
        listing: &Shown,
        search: &mut Search,
    ) -> Result<(), Failure> {
        let known = async {
            let inventory = self.store.inventory(connector.name()).await?;
            Ok::<_, StoreError>(inventory.map_or_else(Vec::new, last_seen))
        };
        let missing = listing.lacks(connector, known).await;
        // What it would have shown might be there: nothing is decided without it.
        let missing = missing.map_err(|error| {
            Failure::new(FailureClass::Unreachable, "CB-ENGINE-10", error.to_string())
        })?;
        let oldest = connector.manifest().expect.max_data_age_seconds;
        for (last, last_seen) in missing.each_of(connector.name(), subject) {
            let read_at = self.clock.now();
            let reading = connector
                .read_known(credential, &last.id, Some(last))
                .await?;
            match (reading.account, reading.completeness.gap()) {
                (Some(there), _) => search.accounts.push(there),
                (None, Some(gap)) => {
                    return Err(Failure::new(FailureClass::StaleData, "CB-ENGINE-6", gap));
                }
                (None, None) if reading.data_age_seconds > oldest => {
                    return Err(too_old(reading.data_age_seconds, oldest));
                }
                (None, None) => search.gone.push(Gone {
                    account: last.id.clone(),
                    login: last.login.clone(),
                    last_seen,
                    read_at,
                    method: reading.method,
                }),
            }
        }
        Ok(())
    }

    /// Keeps a listing for the person who takes over when the target is away. One that is not kept is told,
    /// and keeps nobody from what else it shows.
    pub(super) async fn remember(
        &self,
        connector: &ConnectorName,
        at: Timestamp,
        whole: bool,
        accounts: Vec<Account>,
    ) {
        let listed = Listed {
            connector: connector.clone(),
            at,
            credential: CredentialRole::Verifier,
            whole,
            accounts,
        };
        if let Err(error) = self.store.save_inventory(&listed).await {
            tracing::warn!(
                connector = connector.as_str(),
                error = &error as &dyn std::error::Error,
                "an inventory was not kept"
            );
        }
    }

    /// Puts what the last inventory knew of the subject on the run, with its age.
    async fn recall(&self, run: &mut Run, connector: &Guarded, subject: &Subject) {
        let RunBody::Discovery(body) = &mut run.body else {
            return;
        };
        let Some(known) = self.recalled.inventory(self, connector).await else {
            return;
        };
        let found = known.accounts.search(connector.name(), subject).accounts;
        let seen = found.iter().filter_map(|one| known.accounts.seen(&one.id));
        body.found_at = seen.min().or(known.whole_at);
        body.found = found;
    }

    /// Tries the ways in of accounts that were removed once more: a cache, a replica or another system may
    /// let in what was refused a day ago. A probe that counts against its account is not made again.
    async fn try_again(
        &self,
        connector: &Guarded,
        removed: Vec<Account>,
    ) -> Result<Vec<Again>, Failure> {
        let declared = connector.manifest().probes.iter();
        let names: Vec<_> = declared
            .filter(|probe| !probe.once())
            .map(|probe| probe.name.clone())
            .collect();
        let mut again = Vec::new();
        if names.is_empty() {
            return Ok(again);
        }
        for account in removed {
            let keys = keys(account.entitlements.iter());
            let tries = self.tries(connector, &account, keys, &names).await?;
            again.push(Again { account, tries });
        }
        Ok(again)
    }

    pub(super) async fn observe(&self, run: &Run, connector: &Guarded) -> Result<Outcome, Failure> {
        let body = removal(run).ok_or_else(|| lost("only removals are observed"))?;
        let credential = self.credential(connector, CredentialRole::Verifier).await?;
        // A listing that is shared with others must have begun after what it is to show: a write, or the
        // work that a person says is done.
        let claimed = body.claim.as_ref().map(|claim| claim.at);
        let not_before = body.last_write.max(claimed).unwrap_or(Timestamp::MIN);
        let observation = self
            .verification
            .observe(connector, &credential, &body.account, not_before)
            .await?;
        Ok(Outcome::Observed(observation))
    }

    /// Makes these probes, one after the other.
    pub(super) async fn probe(
        &self,
        run: &Run,
        connector: &Guarded,
        names: &[String],
    ) -> Result<Outcome, Failure> {
        let body = removal(run).ok_or_else(|| lost("only removals are probed"))?;
        // Every key and token that the account was ever read with in this removal.
        let later = body.items.iter().map(|item| &item.entitlement);
        let keys = keys(body.account.entitlements.iter().chain(later));
        let lines = self.tries(connector, &body.account, keys, names).await?;
        Ok(Outcome::Probed(lines))
    }

    async fn tries(
        &self,
        connector: &Guarded,
        account: &Account,
        keys: Vec<String>,
        names: &[String],
    ) -> Result<Vec<Probed>, Failure> {
        let verifier = self.credential(connector, CredentialRole::Verifier).await?;
        let mut lines = Vec::new();
        let declared = connector.manifest().probes.iter();
        for probe in declared.filter(|probe| names.contains(&probe.name)) {
            let kept = probe.kept(&account.login);
            let control = probe.control_secret();
            let trial = Trial {
                probe,
                account,
                keys: keys.clone(),
                kept: match kept {
                    Some(reference) => {
                        let secret = self.secrets.kept(connector.name(), reference).await?;
                        Some((
                            reference.to_owned(),
                            secret.ok_or_else(|| not_kept(reference))?,
                        ))
                    }
                    None => None,
                },
                control: match control {
                    Some(reference) => self.secrets.kept(connector.name(), reference).await?,
                    None => None,
                },
            };
            lines.extend(self.verification.probe(connector, &verifier, &trial).await);
        }
        Ok(lines)
    }
}

/// The ids of keys and tokens, each once.
fn keys<'a>(all: impl Iterator<Item = &'a Entitlement>) -> Vec<String> {
    let keys = all.filter(|one| one.kind == EntitlementKind::Credential);
    let keys: std::collections::BTreeSet<_> = keys.map(|one| one.id.to_string()).collect();
    keys.into_iter().collect()
}

fn too_old(seconds: u64, oldest: u64) -> Failure {
    let gap = format!("the data are {seconds} s old, at most {oldest} s count as fresh");
    Failure::new(FailureClass::StaleData, "CB-ENGINE-6", gap)
}

fn not_kept(reference: &str) -> Failure {
    Failure::new(
        FailureClass::Unsupported,
        "CB-PROBE-5",
        format!("the vault keeps nothing under {reference}, which a probe is to try"),
    )
}
