//! Access cut upstream, where the target itself will not obey.
//!
//! Owns what follows from it: the label of the residual risk, on the run and so on its task. It never
//! lifts a verdict and never ends a run: the account is still active in its own target.

use super::super::id::StateName;
use super::super::outcome::{Failure, FailureClass};
use super::super::run::{Containment, RunBody};
use super::super::time::Timestamp;
use super::super::verdict::{Finding, Observation, judge_entitlement};
use super::super::workflow::OutcomeKey;
use super::{Inconsistent, Step, claim};

impl Step<'_> {
    /// Nothing is to be done where no upstream is named, where it is cut already, or while a person's claim
    /// is checked: they wait for what was found at the target, and a claim sends nothing. A drill keeps to its
    /// one connector: what it makes fail must not cost the canary real access elsewhere.
    pub(super) fn arrive_at_upstream(&mut self, name: &StateName) -> Result<(), Inconsistent> {
        let named = self.facts().is_some_and(|facts| facts.upstream.is_some());
        let named = named && self.run().drill().is_none();
        let claimed = claim(&self.run().body).is_some();
        if !named || claimed || matches!(self.containment(), Some(Containment::Cut { .. })) {
            return self.outcome(name, OutcomeKey::NotNeeded, None);
        }
        self.rest(name, self.given.now)
    }

    /// It was sent; what the looks show decides.
    pub(super) fn cut(
        &mut self,
        state: &StateName,
        since: Timestamp,
        looks: &[Observation],
    ) -> Result<(), Inconsistent> {
        let Some(upstream) = self.facts().and_then(|facts| facts.upstream.clone()) else {
            return self.outcome(state, OutcomeKey::NotNeeded, None);
        };
        let facts = self.given.estate.connectors.get(&upstream.connector);
        let oldest = facts.map_or(0, |facts| facts.max_data_age_seconds);
        for look in looks {
            let failed = match judge_entitlement(look, &upstream, since, oldest) {
                Finding::Absent => continue,
                Finding::Present(left) => (FailureClass::WriteFailure, left.join(", ")),
                Finding::Inconclusive(gap) => (FailureClass::StaleData, gap),
            };
            let (class, words) = failed;
            return self.not_cut(state, Failure::new(class, "CB-UPSTREAM-1", words));
        }
        let detail = serde_json::json!({ "upstream": upstream.connector, "observations": looks });
        if looks.is_empty() {
            let words = format!("the subject has no account at {}", upstream.connector);
            let failure = Failure::new(FailureClass::Unsupported, "CB-UPSTREAM-2", words);
            self.contain(Containment::Failed(failure));
            self.note(state, None, OutcomeKey::Absent, None, Some(detail));
            return self.outcome(state, OutcomeKey::Absent, None);
        }
        self.contain(Containment::Cut {
            connector: upstream.connector,
            entitlement: upstream.entitlement,
            since: self.given.now,
        });
        self.note(state, None, OutcomeKey::Done, None, Some(detail));
        self.outcome(state, OutcomeKey::Done, None)
    }

    /// The run's own failure stays what it was: that is what a person is asked to cure.
    pub(super) fn not_cut(
        &mut self,
        state: &StateName,
        failure: Failure,
    ) -> Result<(), Inconsistent> {
        let key = OutcomeKey::Failed(failure.class);
        self.note(state, None, key, Some(failure.clone()), None);
        self.contain(Containment::Failed(failure.clone()));
        self.outcome(state, key, Some(&failure))
    }

    fn contain(&mut self, containment: Containment) {
        match &mut self.run_mut().body {
            RunBody::Discovery(body) => body.upstream = Some(containment),
            RunBody::Removal(body) => body.upstream = Some(containment),
            RunBody::Case(_) | RunBody::Rotation(_) | RunBody::Care(_) => {}
        }
    }

    fn containment(&self) -> Option<&Containment> {
        match &self.run().body {
            RunBody::Discovery(body) => body.upstream.as_ref(),
            RunBody::Removal(body) => body.upstream.as_ref(),
            RunBody::Case(_) | RunBody::Rotation(_) | RunBody::Care(_) => None,
        }
    }
}
