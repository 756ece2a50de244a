//! What came of an effect, and where the run goes with it.
//!
//! Owns the reading of outcomes. A yes from the target lifts a removal to `accepted` and no
//! further; what lifts it higher is in `evidence`. Pure, like `decide`.

use super::super::access::{Account, EntitlementKey, Operation};
use super::super::id::StateName;
use super::super::legal::forbade;
use super::super::outcome::{Failure, FailureClass};
use super::super::rotation::RotationFacts;
use super::super::run::{ItemStatus, Run, RunBody, Stage};
use super::super::settlement::{Outcome, Settlement};
use super::super::task::FallbackTask;
use super::super::verdict::{CredentialRole, Finding, Verdict};
use super::super::workflow::{Action, OutcomeKey, RotationStep};
use super::{Given, Inconsistent, Step};

/// Turns the outcome of the effect that `decide` asked for into everything that is to be written.
///
/// # Errors
/// When the outcome does not fit the run's state.
pub fn settle(
    run: Run,
    task: Option<FallbackTask>,
    outcome: Outcome,
    given: &Given<'_>,
) -> Result<Settlement, Inconsistent> {
    let mut step = Step::new(run, task, given);
    let Stage::Due { state, .. } = step.run().stage.clone() else {
        return Err(step.broken("an outcome came in, but no action was under way".to_owned()));
    };
    let action = &step.state(&state)?.action;
    match (action, outcome) {
        (Action::FindAccounts, Outcome::Accounts(search)) => step.searched(&state, search)?,
        (Action::Inspect, Outcome::Account(account)) => step.inspected(&state, account)?,
        (Action::Act(operation), Outcome::Done) => {
            step.sent(Some(*operation));
            step.accepted();
            step.go(&state, OutcomeKey::Done)?;
        }
        (Action::Act(operation), Outcome::Absent) => {
            step.sent(Some(*operation));
            step.go(&state, OutcomeKey::Absent)?;
        }
        (Action::Act(operation), Outcome::Failed(failure)) => {
            if failure.class == FailureClass::UnknownOutcome {
                step.sent(Some(*operation));
            }
            step.failed(&state, failure)?;
        }
        (Action::Each { operation, .. }, Outcome::Items(items)) => {
            step.items(&state, *operation, items)?;
        }
        (Action::Verify { rung }, Outcome::Observed(observation)) => {
            step.observed(&state, *rung, &observation)?;
        }
        (Action::CutUpstream, Outcome::Cut { since, looks }) => step.cut(&state, since, &looks)?,
        (Action::CutUpstream, Outcome::Failed(failure)) => step.not_cut(&state, failure)?,
        (Action::Probe, Outcome::Probed(tries)) => step.probed(&state, tries)?,
        (Action::Rotate(which), Outcome::Rotated(facts)) => {
            step.rotated(&state, *which, facts)?;
        }
        (_, Outcome::Failed(failure)) => step.failed(&state, failure)?,
        (_, Outcome::Held(failure)) => step.held(&state, failure)?,
        (_, Outcome::Forbidden { failure, access }) => step.forbidden(&state, failure, &access)?,
        (action, outcome) => {
            return Err(step.broken(format!("{outcome:?} is no answer to {action:?}")));
        }
    }
    Ok(step.finish())
}

impl Step<'_> {
    pub(super) fn go(&mut self, state: &StateName, key: OutcomeKey) -> Result<(), Inconsistent> {
        let detail = self.under(None);
        self.note(state, None, key, None, detail);
        self.outcome(state, key, None)
    }

    /// An effect failed.
    fn failed(&mut self, state: &StateName, failure: Failure) -> Result<(), Inconsistent> {
        let detail = self.under(None);
        self.fail_with(state, failure, detail)
    }

    /// Not to be done without approval: straight to a person, whatever else the workflow would try.
    fn held(&mut self, state: &StateName, failure: Failure) -> Result<(), Inconsistent> {
        let key = OutcomeKey::Failed(failure.class);
        self.note(state, None, key, Some(failure.clone()), None);
        super::set_failure(&mut self.run_mut().body, Some(failure));
        let fallback = self.fallback_state()?;
        self.enter(&fallback)
    }

    /// A legal hold forbids it: to a person, until the hold is lifted. The hold excuses nothing else, so
    /// where access was not seen to be cut, it is cut upstream on the way, if the machine can.
    fn forbidden(
        &mut self,
        state: &StateName,
        failure: Failure,
        access: &Finding,
    ) -> Result<(), Inconsistent> {
        let key = OutcomeKey::Failed(failure.class);
        let detail = serde_json::json!({ "access": access });
        self.note(state, None, key, Some(failure.clone()), Some(detail));
        super::set_failure(&mut self.run_mut().body, Some(failure));
        let upstream = match access {
            Finding::Absent => None,
            Finding::Present(_) | Finding::Inconclusive(_) => {
                self.state_that(|action| matches!(action, Action::CutUpstream))
            }
        };
        let next = match upstream {
            Some(upstream) => upstream,
            None => self.fallback_state()?,
        };
        self.enter(&next)
    }

    /// A write was under way when the run was halted, and its answer will never be known.
    pub(super) fn note_lost(&mut self, state: &StateName, items: Vec<Option<EntitlementKey>>) {
        let failure = Failure::new(
            FailureClass::UnknownOutcome,
            "CB-CASE-4",
            "the case was stopped while this was being sent: it may or may not have happened",
        );
        let key = OutcomeKey::Failed(failure.class);
        for item in items {
            if let (RunBody::Removal(body), Some(key)) = (&mut self.run_mut().body, &item)
                && let Some(item) = body.item_mut(key)
            {
                item.status = ItemStatus::Failed(failure.clone());
            }
            let id = item.map(|item| item.id);
            self.note(state, id, key, Some(failure.clone()), None);
        }
        self.sent(None);
        super::set_failure(&mut self.run_mut().body, Some(failure));
    }

    /// Something was sent: only later looks count, and no hold stands at the end any more. `None` where a
    /// halted run is not known to have sent this; it sends nothing more.
    fn sent(&mut self, operation: Option<Operation>) {
        let now = self.given.now;
        if let RunBody::Removal(body) = &mut self.run_mut().body {
            body.last_write = Some(now);
            body.stripped |= operation.is_some_and(|operation| !operation.contains());
            if body.last_failure.as_ref().is_some_and(forbade) {
                body.last_failure = None;
            }
        }
    }

    fn accepted(&mut self) {
        self.lift(Verdict::Accepted);
    }

    pub(super) fn lift(&mut self, to: Verdict) {
        let run = self.run_mut();
        run.verdict = run.verdict.map(|verdict| verdict.max(to));
    }

    fn inspected(
        &mut self,
        state: &StateName,
        account: Option<Account>,
    ) -> Result<(), Inconsistent> {
        let Some(account) = account else {
            return self.go(state, OutcomeKey::Absent);
        };
        let now = self.given.now;
        self.owe(&account.entitlements, CredentialRole::Writer, Vec::new());
        if let RunBody::Removal(body) = &mut self.run_mut().body {
            // The state before the first write is what a restoration would be judged by.
            if body.last_write.is_none() {
                body.account = account;
                body.account_as_of = now;
            }
            body.inspected = true;
            body.last_failure = None;
        }
        self.go(state, OutcomeKey::Found)
    }

    fn items(
        &mut self,
        state: &StateName,
        operation: Operation,
        answers: Vec<(EntitlementKey, Result<bool, Failure>)>,
    ) -> Result<(), Inconsistent> {
        self.sent(Some(operation));
        let credentials = operation == Operation::RevokeCredential;
        let yes = answers.iter().any(|(_, answer)| matches!(answer, Ok(true)));
        for (one, answer) in answers {
            let (status, key, failure) = match answer {
                Ok(true) => (ItemStatus::Accepted, OutcomeKey::Done, None),
                Ok(false) => (ItemStatus::Absent, OutcomeKey::Absent, None),
                Err(failure) => (
                    ItemStatus::Failed(failure.clone()),
                    OutcomeKey::Failed(failure.class),
                    Some(failure),
                ),
            };
            let detail = self.under(None);
            self.note(state, Some(one.id.clone()), key, failure, detail);
            let RunBody::Removal(body) = &mut self.run_mut().body else {
                return Err(self.broken("items belong to removals".to_owned()));
            };
            match body.item_mut(&one) {
                Some(item) => {
                    item.resisted = matches!(status, ItemStatus::Failed(_));
                    item.status = status;
                }
                None => {
                    let (kind, id) = (one.kind.as_str(), &one.id);
                    return Err(self.broken(format!("it has no {kind} {id}")));
                }
            }
        }
        if yes {
            self.accepted();
        }
        let RunBody::Removal(body) = &self.run().body else {
            return Ok(());
        };
        if body.owed(credentials).next().is_some() {
            // The wave goes on; the run stays where it is.
            let due = self.given.now;
            self.run_mut().stage = Stage::Due {
                state: state.clone(),
                due,
            };
            return Ok(());
        }
        // The first failure decides, but what may pass with another try comes before inherited
        // access, which only a person can take back.
        let failed = body
            .items
            .iter()
            .filter(|item| item.is_credential() == credentials)
            .filter_map(|item| match &item.status {
                ItemStatus::Failed(failure) => Some(failure.clone()),
                ItemStatus::Owed | ItemStatus::Accepted | ItemStatus::Absent => None,
            })
            .min_by_key(|failure| failure.class == FailureClass::Inherited);
        match failed {
            None => self.outcome(state, OutcomeKey::Done, None),
            Some(failure) => {
                super::set_failure(&mut self.run_mut().body, Some(failure.clone()));
                self.outcome(state, OutcomeKey::Failed(failure.class), Some(&failure))
            }
        }
    }

    fn rotated(
        &mut self,
        state: &StateName,
        which: RotationStep,
        facts: RotationFacts,
    ) -> Result<(), Inconsistent> {
        let now = self.given.now;
        let detail = serde_json::json!({
            "pending_version": facts.pending_version,
            "new_ref": facts.new_ref,
            "previous_ref": facts.previous_ref,
        });
        if let RunBody::Rotation(body) = &mut self.run_mut().body {
            body.facts = facts;
            body.last_failure = None;
            if which == RotationStep::Promote {
                body.promoted_at = Some(now);
            }
        }
        let detail = self.under(Some(detail));
        self.note(state, None, OutcomeKey::Done, None, detail);
        self.outcome(state, OutcomeKey::Done, None)
    }
}
