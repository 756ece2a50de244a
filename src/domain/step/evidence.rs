//! What looks, tries and searches prove, and where a run goes with it.
//!
//! Owns the lifting of a removal's verdict above `accepted` and the taking back of it, access that
//! came back, inherited access, and what is left of a subject at a target. Judges by `verdict` and
//! `probe`; looks at nothing itself.

use super::super::access::{Account, Entitlement, Operation};
use super::super::correlation::{Again, Search, ambiguous};
use super::super::id::StateName;
use super::super::legal::forbade;
use super::super::outcome::{Failure, FailureClass};
use super::super::probe::{ProbeFinding, Probed, Tried, renew, tried};
use super::super::run::{Item, ItemStatus, RemovalBody, Returned, RunBody};
use super::super::time::Timestamp;
use super::super::verdict::{Expectation, Finding, Observation, Sighting, Verdict, judge, residue};
use super::super::workflow::{Action, OutcomeKey};
use super::{Inconsistent, Step};

/// Why an account that is gone proves nothing about its keys.
const UNREAD: &str =
    "nobody has read what keys the account had, and they need not have gone with it";

impl Step<'_> {
    /// A complete listing was held against the subject. The first search finds all accounts; a
    /// later one only those that still give access, since those that stay without any are settled.
    pub(super) fn searched(
        &mut self,
        state: &StateName,
        search: Search,
    ) -> Result<(), Inconsistent> {
        let now = self.given.now;
        let Search {
            mut accounts,
            unclear,
            gone,
            again,
        } = search;
        let RunBody::Discovery(body) = &self.run().body else {
            return Err(self.broken("only a discovery searches".to_owned()));
        };
        let expect = body.expect.or(self.facts().map(|facts| facts.expect));
        if let (1.., Some(expect)) = (body.rounds, expect) {
            accounts.retain(|account| !residue(account, expect).is_empty());
            accounts.retain(|account| !body.elsewhere.contains(&account.id));
        }
        let elsewhere = body.elsewhere.clone();
        let untold = open_again(&mut accounts, &again);
        let tries: Vec<_> = again.iter().flat_map(|one| &one.tries).collect();
        let logins: Vec<_> = accounts.iter().map(|account| &account.login).collect();
        let mut detail = serde_json::json!({
            "accounts": logins,
            "unclear": unclear,
            // Gone at the target though the inventory still showed them; each was read.
            "gone": gone,
        });
        if !elsewhere.is_empty() {
            // Another round of the case has their removals in hand.
            detail["elsewhere"] = serde_json::json!(elsewhere);
        }
        if !tries.is_empty() {
            detail["probes"] = serde_json::json!(tries);
        }
        let found = !accounts.is_empty();
        if let RunBody::Discovery(body) = &mut self.run_mut().body {
            body.found = accounts;
            body.found_at = Some(now);
            body.unclear.clone_from(&unclear);
            body.last_failure = None;
        }
        let detail = self.under(Some(detail));
        // What is clear is removed first; what is not is a person's at the latest before the end.
        if !found && !unclear.is_empty() {
            return self.fail_with(state, ambiguous(&unclear), detail);
        }
        if !found && !untold.is_empty() {
            let words = untold.join("; ");
            let failure = Failure::new(FailureClass::StaleData, "CB-PROBE-7", words);
            return self.fail_with(state, failure, detail);
        }
        let key = if found {
            OutcomeKey::Found
        } else {
            OutcomeKey::Absent
        };
        self.note(state, None, key, None, detail);
        match self.owed_wait() {
            Some(wait) if !found => self.enter(&wait),
            Some(_) | None => self.outcome(state, key, None),
        }
    }

    /// Where a target waits from which something was taken, and that was not left alone for a whole wait
    /// since: a person was asked meanwhile, and what is brought back takes its time.
    fn owed_wait(&self) -> Option<StateName> {
        let RunBody::Discovery(body) = &self.run().body else {
            return None;
        };
        let owed = body.rounds > 0 && !body.rested;
        owed.then(|| self.state_that(|action| matches!(action, Action::Wait { .. })))?
    }

    /// A look with the verifier's credential.
    pub(super) fn observed(
        &mut self,
        state: &StateName,
        rung: Verdict,
        observation: &Observation,
    ) -> Result<(), Inconsistent> {
        let max_age = self.facts().map_or(0, |facts| facts.max_data_age_seconds);
        let RunBody::Removal(body) = &self.run().body else {
            return Err(self.broken("only removals are observed".to_owned()));
        };
        let not_before = body.last_write.unwrap_or(Timestamp::MIN);
        let mut finding = judge(observation, body.expect, not_before, max_age);
        let unproved = unproved(body, observation);
        if let (Finding::Absent, Some(item)) = (&finding, unproved.first()) {
            finding = Finding::Inconclusive(not_shown(item));
        }
        if finding == Finding::Absent && self.keys_unread(body, observation) {
            finding = Finding::Inconclusive(UNREAD.to_owned());
        }
        let has_read = matches!(observation.sighting, Sighting::There(_))
            && observation.completeness.gap().is_none();
        let inherited = inherited_only(observation, &finding, body.expect);
        let mut detail = serde_json::json!({ "observation": observation, "finding": finding });
        let key = match &finding {
            Finding::Absent => OutcomeKey::Absent,
            Finding::Present(_) => OutcomeKey::Present,
            Finding::Inconclusive(_) => OutcomeKey::Inconclusive,
        };
        if key == OutcomeKey::Present {
            if let Sighting::There(account) = &observation.sighting {
                self.owe(&account.entitlements, observation.credential, unproved);
            }
            if let Some(returned) = self.came_back(observation.at) {
                detail["returned"] = serde_json::json!(returned);
            }
        }
        if let RunBody::Removal(body) = &mut self.run_mut().body {
            if key == OutcomeKey::Absent {
                body.absent_at = Some(observation.at);
            }
            body.last_finding = Some(finding);
            body.shown |= has_read;
            // What a legal hold forbade to delete is seen, and the hold is still the reason.
            let kept =
                key == OutcomeKey::Present && body.last_failure.as_ref().is_some_and(forbade);
            if key != OutcomeKey::Inconclusive && !kept {
                body.last_failure = None;
            }
        }
        match key {
            OutcomeKey::Absent => self.lift(rung),
            // Access that is seen again takes the verdict back: what was known no longer holds.
            OutcomeKey::Present => self.take_back(),
            _ => {}
        }
        let detail = self.under(Some(detail));
        if let Some(failure) = inherited {
            return self.fail_with(state, failure, detail);
        }
        self.note(state, None, key, None, detail);
        self.outcome(state, key, None)
    }

    /// True for an account that is gone before anybody has read what it had, at a target that has keys and
    /// does not show them without their account: they may open the door still.
    fn keys_unread(&self, body: &RemovalBody, observation: &Observation) -> bool {
        let gone = observation.sighting == Sighting::NotThere && !observation.shows_orphans;
        let has_keys = self
            .facts()
            .is_none_or(|facts| !facts.without.contains_key(&Operation::RevokeCredential));
        gone && has_keys && !body.inspected && !body.shown
    }

    /// Tries to get in. A refusal of all of them lifts the verdict; what could not tell does not.
    pub(super) fn probed(
        &mut self,
        state: &StateName,
        tries: Vec<Probed>,
    ) -> Result<(), Inconsistent> {
        let mut detail = serde_json::json!({ "probes": tries });
        let RunBody::Removal(body) = &mut self.run_mut().body else {
            return Err(self.broken("only removals are probed".to_owned()));
        };
        renew(&mut body.probed, tries);
        let came_to = tried(&body.probed);
        let (key, finding, final_doubt) = match came_to {
            Tried::Refused => (OutcomeKey::Absent, Some(Finding::Absent), false),
            Tried::LetIn(words) => (OutcomeKey::Present, Some(Finding::Present(words)), false),
            Tried::CouldNotTell(words, last) => {
                let finding = Finding::Inconclusive(words.join("; "));
                (OutcomeKey::Inconclusive, Some(finding), last)
            }
            Tried::Nothing => (OutcomeKey::NotNeeded, None, false),
        };
        if let Some(finding) = finding {
            detail["finding"] = serde_json::json!(finding);
            body.last_finding = Some(finding);
        }
        match key {
            OutcomeKey::Absent => self.lift(Verdict::EffectiveAbsent),
            OutcomeKey::Present => self.take_back(),
            _ => {}
        }
        let detail = self.under(Some(detail));
        if final_doubt {
            let failure = Failure::new(
                FailureClass::Unsupported,
                "CB-PROBE-1",
                "a probe could not tell, and may be tried only once",
            );
            return self.fail_with(state, failure, detail);
        }
        self.note(state, None, key, None, detail);
        self.outcome(state, key, None)
    }

    fn take_back(&mut self) {
        let run = self.run_mut();
        run.verdict = run.verdict.map(|verdict| verdict.min(Verdict::Accepted));
        if let RunBody::Removal(body) = &mut run.body {
            // What was refused before access was seen says nothing about what is there now, and
            // what was let in is tried again once it is contained.
            body.probed.retain(|one| one.finding == ProbeFinding::LetIn);
            for one in &mut body.probed {
                one.spent = false;
            }
        }
    }

    /// Notes a return of access whose absence had been proved.
    fn came_back(&mut self, seen_at: Timestamp) -> Option<Returned> {
        let likely_source = self.facts().and_then(|facts| facts.fed_by.clone());
        let RunBody::Removal(body) = &mut self.run_mut().body else {
            return None;
        };
        let returned = Returned {
            absent_at: body.absent_at.take()?,
            seen_at,
            likely_source,
        };
        body.returned.push(returned.clone());
        Some(returned)
    }
}

/// Keys and tokens that the target has not said to be gone, because it refused or because nobody asked it,
/// and of which a look that does not show them says nothing: they may outlive the account, and of an account
/// that is there the verifier may not see them. One that it was shown before it would see again.
fn unproved(body: &RemovalBody, observation: &Observation) -> Vec<Item> {
    let shown = match &observation.sighting {
        Sighting::There(account) => Some(&account.entitlements),
        Sighting::NotThere => None,
    };
    let owed = body.items.iter().cloned().chain(only_listed(body));
    owed.filter(|item| {
        let asked = match shown {
            Some(shown) => item.seen || shown.iter().any(|one| one.is_same(&item.entitlement)),
            None => observation.shows_orphans,
        };
        let said = matches!(item.status, ItemStatus::Accepted | ItemStatus::Absent);
        item.is_credential() && (item.resisted || !said) && !asked
    })
    .collect()
}

/// What a listing showed of an account that was never read by itself: no step has taken it up.
fn only_listed(body: &RemovalBody) -> impl Iterator<Item = Item> {
    let listed = body.account.entitlements.iter();
    let known = |one: &Entitlement| body.items.iter().any(|item| item.entitlement.is_same(one));
    listed
        .filter(move |one| !body.inspected && !known(one))
        .map(|entitlement| Item {
            status: ItemStatus::Owed,
            resisted: false,
            seen: false,
            entitlement: entitlement.clone(),
        })
}

fn not_shown(item: &Item) -> String {
    let came_to = if item.resisted {
        "could not be revoked"
    } else {
        "was not revoked"
    };
    format!(
        "{} {came_to}, and that this look does not show it does not prove that it is gone",
        item.entitlement.name
    )
}

/// Adds accounts of which a way in is open again to those found; returns what could not tell, in words.
fn open_again(accounts: &mut Vec<Account>, again: &[Again]) -> Vec<String> {
    let mut untold = Vec::new();
    for one in again {
        let known = accounts.iter().any(|found| found.id == one.account.id);
        match tried(&one.tries) {
            Tried::LetIn(_) if !known => accounts.push(one.account.clone()),
            Tried::CouldNotTell(words, _) => untold.extend(words),
            Tried::LetIn(_) | Tried::Refused | Tried::Nothing => {}
        }
    }
    untold
}

/// Where all that is left comes from elsewhere, no write here can help: a person is told where.
fn inherited_only(
    observation: &Observation,
    finding: &Finding,
    expect: Expectation,
) -> Option<Failure> {
    let (Finding::Present(_), Sighting::There(account)) = (finding, &observation.sighting) else {
        return None;
    };
    let mut own = account.as_ref().clone();
    own.entitlements.retain(|one| one.inherited_from.is_none());
    if !residue(&own, expect).is_empty() {
        return None;
    }
    let places = account.entitlements.iter().filter_map(|one| {
        let parent = one.inherited_from.as_ref()?;
        Some(format!("{} at {parent}", one.name))
    });
    let places: Vec<_> = places.collect();
    Some(Failure::new(
        FailureClass::Inherited,
        "CB-ENGINE-3",
        format!("what is left is inherited; remove {}", places.join(", ")),
    ))
}
