//! The watch over every settlement: what must hold after each, whatever happened before.
//!
//! Owns the promise as an independent judgement: it looks at what was performed and seen, keeps its
//! own account of writes, and uses none of the core's own (`judge`, verdict rules). Returns
//! violations in words, so that a history tells what went wrong in it.

use std::collections::BTreeMap;

use super::play::{Deed, Play};
use crate::domain::access::{AccountState, Entitlement, EntitlementKind};
use crate::domain::id::RunId;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::probe::ProbeFinding;
use crate::domain::run::{Run, RunBody, Stage};
use crate::domain::settlement::Outcome;
use crate::domain::step::Effect;
use crate::domain::task::{Attestation, CloseClaim, Closure, TaskState};
use crate::domain::time::Timestamp;
use crate::domain::verdict::{CredentialRole, Expectation, Observation, Sighting, Verdict};
use crate::domain::workflow::{End, RunKind};

#[derive(Debug, Default, Clone)]
pub(super) struct Watch {
    /// Settlements of each run, as its own counter told last.
    steps: BTreeMap<RunId, u64>,
    /// When something was last sent that may have changed the target.
    written: BTreeMap<RunId, Timestamp>,
    /// The last try of each probe since access was last seen.
    tries: BTreeMap<RunId, BTreeMap<String, ProbeFinding>>,
}

impl Watch {
    /// Everything that is wrong with the settlement that was committed just now.
    pub(super) fn see(&mut self, play: &Play, deed: &Deed) -> Vec<String> {
        let mut found = Vec::new();
        self.counted(deed, &mut found);
        let run = &deed.settlement.run;
        if let Some((effect, outcome, _)) = &deed.performed {
            if deed.before.halted {
                found.push(format!("{} was halted and yet performed", run.id));
            }
            let writes = matches!(effect, Effect::Act { .. } | Effect::Each { .. });
            if writes && changed(outcome) {
                self.written.insert(run.id, play.now);
            }
        }
        self.tried(deed);
        let looked = match &deed.performed {
            Some((Effect::Observe, ..)) => true,
            Some((Effect::Probe { .. }, ..)) => self.all_refused(run),
            _ => false,
        };
        if !looked && run.verdict > deed.before.verdict.max(Some(Verdict::Accepted)) {
            found.push(format!("{} was lifted without a look", run.id));
        }
        found.extend(stands(play, run));
        if let Stage::Ended { end, .. } = run.stage {
            self.ended(play, deed, end, &mut found);
        }
        found
    }

    fn tried(&mut self, deed: &Deed) {
        let run = &deed.settlement.run;
        let RunBody::Removal(body) = &run.body else {
            return;
        };
        match &deed.performed {
            Some((_, Outcome::Observed(look), _)) => {
                // Seen, in whatever look: refusals from before say nothing any more.
                let seen = matches!(look.sighting, Sighting::There(_));
                if seen && !shows_nothing(look, body.expect) {
                    self.tries.remove(&run.id);
                }
            }
            Some((_, Outcome::Probed(lines), _)) => {
                let tries = self.tries.entry(run.id).or_default();
                for line in lines {
                    tries.insert(line.probe.clone(), line.finding);
                }
            }
            Some(_) | None => {}
        }
    }

    fn all_refused(&self, run: &Run) -> bool {
        let mut tries = self.tries.get(&run.id).into_iter().flatten();
        tries.all(|(_, finding)| {
            matches!(finding, ProbeFinding::Refused | ProbeFinding::NothingToTry)
        })
    }

    fn counted(&mut self, deed: &Deed, found: &mut Vec<String>) {
        let run = &deed.settlement.run;
        let known = self.steps.insert(run.id, run.step);
        if run.step != deed.before.step + 1 || known.is_some_and(|known| known + 1 != run.step) {
            found.push(format!("{} counts to {} after {known:?}", run.id, run.step));
        }
        for (place, entry) in deed.settlement.journal.iter().enumerate() {
            let placed = (entry.run, entry.sequence, entry.place as usize);
            if placed != (run.id, run.step, place) {
                found.push(format!("a journal line is out of place: {entry:?}"));
            }
        }
    }

    fn ended(&self, play: &Play, deed: &Deed, end: End, found: &mut Vec<String>) {
        let run = &deed.settlement.run;
        if play.open_children(run.id) > 0 {
            found.push(format!("{} ended before its children", run.id));
        }
        let task = play.tasks.get(&run.id.task());
        let closed = task.map(|task| match task.state {
            TaskState::Closed { how, .. } => Some(how),
            TaskState::Open
            | TaskState::Claimed { .. }
            | TaskState::Checking(_)
            | TaskState::SentBack { .. }
            | TaskState::AwaitingSecondPerson(_) => None,
        });
        if closed == Some(None) {
            found.push(format!("{} ended and left its task open", run.id));
        }
        match (run.kind, end) {
            (RunKind::Removal, End::Verified) => found.extend(self.unproved(play, deed)),
            (RunKind::Case, End::Verified) => {
                found.extend(silent(play, run));
                if on_word(play, run) {
                    found.push(format!("{} ended verified on a person's word", run.id));
                }
            }
            (RunKind::Case, End::Attested) if task.is_none() => {
                found.extend(silent(play, run));
                if !on_word(play, run) {
                    found.push(format!(
                        "{} ended attested, and all of it is proved",
                        run.id
                    ));
                }
            }
            (_, End::Attested) => {
                let two = claim_of(&deed.before).is_some_and(|claim| {
                    let by = |one: &Option<Attestation>| one.as_ref().map(|one| one.by.clone());
                    let (first, second) = (by(&claim.attestation), by(&claim.second));
                    first.is_some() && second.is_some() && first != second
                });
                let privileged = task.is_some_and(|task| task.privileged);
                if closed != Some(Some(Closure::Attested)) || privileged && !two {
                    found.push(format!("{} ended attested by nobody who may", run.id));
                }
            }
            (_, End::Halted) if !deed.before.halted => {
                found.push(format!("{} ended halted and was not", run.id));
            }
            (_, End::Rescinded) => found.push(format!("{} was rescinded in a step", run.id)),
            (RunKind::Discovery | RunKind::Rotation | RunKind::Care, End::Verified)
            | (_, End::Rotated | End::Halted) => {}
        }
    }

    /// What is missing for a removal that ended verified.
    fn unproved(&self, play: &Play, deed: &Deed) -> Option<String> {
        let run = &deed.settlement.run;
        let lacks = |what: &str| Some(format!("{} ended verified {what}", run.id));
        let Some((Effect::Observe, Outcome::Observed(look), _)) = &deed.performed else {
            return lacks("without a look");
        };
        let RunBody::Removal(body) = &run.body else {
            return lacks("and is no removal");
        };
        if !shows_nothing(look, body.expect) {
            return lacks("though something was seen");
        }
        let whole = look.completeness == crate::domain::verdict::Completeness::WHOLE;
        if !whole || look.credential != CredentialRole::Verifier {
            return lacks("by half a look");
        }
        let connector = run.connector.as_ref();
        let facts = connector.and_then(|name| play.estate.connectors.get(name));
        let fresh = facts.map_or(0, |facts| facts.max_data_age_seconds);
        if look.data_age_seconds > fresh {
            return lacks("by old data");
        }
        if self.written.get(&run.id).is_some_and(|at| look.at < *at) {
            return lacks("by a look from before the last write");
        }
        let declared = facts.map_or(0, |facts| facts.probes.len());
        let tried = self.tries.get(&run.id).map_or(0, BTreeMap::len);
        if tried < declared || !self.all_refused(run) {
            return lacks("though a way in was not refused");
        }
        if run.verdict < Some(Verdict::Reverified) {
            return lacks("below the rung");
        }
        None
    }
}

/// Due, gathering what is open, with a person who has a task, or over.
pub(super) fn stands(play: &Play, run: &Run) -> Option<String> {
    let stands = match &run.stage {
        Stage::Due { .. } | Stage::Ended { .. } => true,
        Stage::Gathering { .. } => play.open_children(run.id) > 0 || play.is_awake(run.id),
        Stage::WithPerson { .. } => {
            let task = play.tasks.get(&run.id.task());
            let open = task.is_some_and(|task| !matches!(task.state, TaskState::Closed { .. }));
            run.task == Some(run.id.task()) && open
        }
    };
    (!stands).then(|| format!("{} is nobody's: {:?}", run.id, run.stage))
}

/// A discovery or removal of the case ended on a person's word.
fn on_word(play: &Play, case: &Run) -> bool {
    let mut parts = play.runs.values().filter(|run| run.case == case.case);
    parts.any(|run| run.kind != RunKind::Case && run.stage.name() == "attested")
}

/// A case that ended by its parts has looked, and everything found was proved or attested.
fn silent(play: &Play, case: &Run) -> Option<String> {
    let runs = play.runs.values().filter(|run| run.case == case.case);
    let mut removals = runs.filter(|run| run.kind == RunKind::Removal).peekable();
    let ended_well = |run: &Run| match run.stage {
        Stage::Ended { end, .. } => matches!(end, End::Verified | End::Attested),
        Stage::Due { .. } | Stage::Gathering { .. } | Stage::WithPerson { .. } => false,
    };
    if removals.peek().is_some() && removals.all(ended_well) {
        return None;
    }
    Some(format!("{} ended silently", case.id))
}

fn shows_nothing(look: &Observation, expect: Expectation) -> bool {
    match (&look.sighting, expect) {
        (Sighting::NotThere, _) => true,
        (Sighting::There(_), Expectation::AccountGone) => false,
        (Sighting::There(account), Expectation::AccountPowerless | Expectation::NoWayIn) => {
            let counts = |one: &&Entitlement| {
                expect == Expectation::AccountPowerless || one.kind == EntitlementKind::Credential
            };
            account.state == AccountState::Disabled
                && !account.entitlements.iter().any(|one| counts(&one))
                && account.sessions.unwrap_or(0) == 0
        }
    }
}

/// True when the target may be another than before.
fn changed(outcome: &Outcome) -> bool {
    let unknown = |failure: &Failure| failure.class == FailureClass::UnknownOutcome;
    match outcome {
        Outcome::Done => true,
        Outcome::Items(answers) => answers.iter().any(|(_, answer)| match answer {
            Ok(was_there) => *was_there,
            Err(failure) => unknown(failure),
        }),
        Outcome::Failed(failure) => unknown(failure),
        Outcome::Absent
        | Outcome::Accounts(_)
        | Outcome::Account(_)
        | Outcome::Observed(_)
        | Outcome::Cut { .. }
        | Outcome::Probed(_)
        | Outcome::Rotated(_)
        | Outcome::Held(_)
        | Outcome::Forbidden { .. } => false,
    }
}

fn claim_of(run: &Run) -> Option<&CloseClaim> {
    match &run.body {
        RunBody::Case(body) => body.claim.as_ref(),
        RunBody::Discovery(body) => body.claim.as_ref(),
        RunBody::Removal(body) => body.claim.as_ref(),
        RunBody::Rotation(body) => body.claim.as_ref(),
        RunBody::Care(body) => body.claim.as_ref(),
    }
}
