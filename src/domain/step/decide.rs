//! What a run does next: an effect to perform, or a settlement without one.
//!
//! Owns the reading of a claimed run's stage: due, woken by its children, with a person, halted.
//! Pure: the same run at the same time decides the same.

use super::super::access::{Entitlement, EntitlementKey, Operation};
use super::super::estate::ConnectorFacts;
use super::super::id::{ConnectorName, StateName};
use super::super::run::{RemovalBody, Run, RunBody, Stage};
use super::super::settlement::Settlement;
use super::super::subject::Subject;
use super::super::task::FallbackTask;
use super::super::time::{Timestamp, after};
use super::super::workflow::{Action, End, OutcomeKey, RotationStep};
use super::{Given, Inconsistent, Step, claim};

/// How soon a claimed review looks again whether its children have stopped.
const CHILDREN_STOP_SECONDS: u64 = 2;

/// Something to do in the world, by the run's connector. All else that it needs is in the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// List the accounts and find the subject's. Answer: `Accounts` or `Failed`.
    Find {
        /// Whom to look for.
        subject: Box<Subject>,
    },
    /// Read the account with everything it has. Answer: `Account` or `Failed`.
    Inspect,
    /// One operation on the account. Answer: `Done`, `Absent` or `Failed`.
    Act {
        /// Disable, end sessions or delete.
        operation: Operation,
    },
    /// One operation on each of these. Answers: `Items`, until each has one.
    Each {
        /// Revoke entitlement or credential.
        operation: Operation,
        /// The items that are owed.
        items: Vec<Entitlement>,
        /// All at once, or one after the other.
        side_by_side: bool,
    },
    /// Look with the verifier credential. Answer: `Observed` or `Failed`.
    Observe,
    /// Take the entitlement away upstream that gives access to the target. Answer: `Cut` or `Failed`.
    CutUpstream,
    /// Try the leaver's ways in. Answer: `Probed` or `Failed`.
    Probe {
        /// The probes that may be tried now, by name.
        probes: Vec<String>,
    },
    /// One step of a rotation. Answer: `Rotated` or `Failed`.
    Rotate {
        /// Which.
        step: RotationStep,
    },
}

/// What is to happen with a claimed run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Perform this, then `settle` the run as given here.
    Perform {
        /// The run, moved through what needed no effect.
        run: Box<Run>,
        /// What to do.
        effect: Effect,
    },
    /// Commit this; there is nothing to perform.
    Settle(Box<Settlement>),
}

/// What the claim knew besides the run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Woken {
    /// Child runs that have not ended.
    pub open_children: u32,
    /// The parts of the case, when its discoveries have all ended; `None` otherwise.
    pub parts: Option<Parts>,
    /// What the runs of a halted case changed, one line each, when all of them have stopped.
    pub done: Option<Vec<String>>,
}

/// What a case came to be made of, once all of it has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// Its removals.
    pub removals: u32,
    /// Its removals and discoveries that ended on a person's word.
    pub attested: u32,
    /// Targets that were searched and had nothing to remove, each with when its last search ended.
    pub empty: Vec<(ConnectorName, Timestamp)>,
}

/// Decides what a claimed run does now.
///
/// # Errors
/// When the run does not fit its definition.
pub fn decide(
    run: Run,
    task: Option<FallbackTask>,
    woken: Woken,
    given: &Given<'_>,
) -> Result<Decision, Inconsistent> {
    let stage = run.stage.clone();
    let lost = if run.halted && run.in_flight {
        lost(run.clone(), task.clone(), woken.open_children, given)
    } else {
        None
    };
    let mut step = Step::new(run, task, given);
    if step.run().halted {
        step.done.clone_from(&woken.done);
        step.run_mut().in_flight = false;
        if let Some((state, items)) = lost {
            step.note_lost(&state, items);
        }
        halt(&mut step, &stage, woken.open_children)?;
        return Ok(Decision::Settle(Box::new(step.finish())));
    }
    if step.take_anew() {
        step.begin_anew()?;
        return step.into_decision();
    }
    match stage {
        Stage::Due { state, .. } => match step.state(&state)?.action {
            // The wait is over; the instant is computed anew, because zone rules change.
            Action::AwaitEffective if step.effective_due()?.is_some() => step.enter(&state)?,
            Action::AwaitEffective | Action::Wait { .. } | Action::Overlap => {
                step.rested();
                step.outcome(&state, OutcomeKey::Done, None)?;
            }
            Action::Discover
            | Action::FindAccounts
            | Action::RemoveAccounts
            | Action::Inspect
            | Action::Act(_)
            | Action::Each { .. }
            | Action::Verify { .. }
            | Action::CutUpstream
            | Action::Probe
            | Action::Rotate(_)
            | Action::Gather
            | Action::Fallback(_)
            | Action::End(_) => step.enter(&state)?,
        },
        Stage::Gathering { state } => {
            if woken.open_children == 0 {
                step.gathered(&state, woken.parts)?;
            }
        }
        Stage::WithPerson {
            state, next_try, ..
        } => step.take_up(&state, next_try)?,
        Stage::Ended { .. } => {}
    }
    step.into_decision()
}

/// What was about to be sent for a run when it was halted, if it was a write: the state, and the items
/// that were under way. A run that cannot go on sent nothing either.
fn lost(
    mut run: Run,
    task: Option<FallbackTask>,
    open_children: u32,
    given: &Given<'_>,
) -> Option<(StateName, Vec<Option<EntitlementKey>>)> {
    run.halted = false;
    let woken = Woken {
        open_children,
        ..Woken::default()
    };
    let Ok(Decision::Perform { run, effect }) = decide(run, task, woken, given) else {
        return None;
    };
    let Stage::Due { state, .. } = run.stage else {
        return None;
    };
    let items = match effect {
        Effect::Act { operation } if operation.writes() => vec![None],
        Effect::CutUpstream => vec![None],
        Effect::Each {
            operation,
            items,
            side_by_side,
        } if operation.writes() => {
            // One by one: the next begins when the last is durable.
            let at_once = if side_by_side { items.len() } else { 1 };
            let ids = items.into_iter().take(at_once).map(|item| Some(item.key()));
            ids.collect()
        }
        Effect::Act { .. }
        | Effect::Each { .. }
        | Effect::Find { .. }
        | Effect::Inspect
        | Effect::Observe
        | Effect::Probe { .. }
        | Effect::Rotate { .. } => return None,
    };
    Some((state, items))
}

fn halt(step: &mut Step<'_>, stage: &Stage, open_children: u32) -> Result<(), Inconsistent> {
    if stage.ended() {
        return Ok(());
    }
    if let RunBody::Case(body) = &step.run().body
        && body.drill.is_none()
    {
        let claimed = body.claim.is_some();
        // A case that was with a person for another reason tells now that it was stopped.
        let waits = if claimed {
            open_children > 0
        } else {
            step.review_is_told()
        };
        let looked = match stage {
            Stage::WithPerson { tries, .. } => *tries,
            Stage::Due { .. } | Stage::Gathering { .. } | Stage::Ended { .. } => 0,
        };
        if let (Stage::WithPerson { .. }, true) = (stage, waits) {
            step.run_mut().stage = stage.clone();
        } else {
            let fallback = step.fallback_state()?;
            step.enter(&fallback)?;
        }
        // A review lists what its children did, and closes, when they have stopped too. No child
        // wakes a run that is with a person, so it looks again: soon for one who waits for it.
        let now = step.given.now;
        if let Stage::WithPerson {
            next_try, tries, ..
        } = &mut step.run_mut().stage
        {
            let pause = CHILDREN_STOP_SECONDS << if claimed { 0 } else { looked.min(8) };
            *next_try = (open_children > 0).then(|| after(now, pause));
            *tries = looked.saturating_add(1);
        }
        Ok(())
    } else if open_children > 0 {
        // They are halted as well, and wake this run when the last of them has ended. A drill's case
        // needs nobody's review.
        Ok(())
    } else {
        step.end(End::Halted);
        Ok(())
    }
}

impl Step<'_> {
    /// A run that has come to rest at a performing state performs; any other is settled.
    fn into_decision(mut self) -> Result<Decision, Inconsistent> {
        let Stage::Due { state, due } = &self.out.run.stage else {
            return Ok(Decision::Settle(Box::new(self.finish())));
        };
        let writes_nothing_else = self.out.journal.is_empty()
            && self.out.children.is_empty()
            && self.out.task.is_none()
            && self.out.rotations.is_empty()
            && self.out.messages.is_empty();
        if *due > self.given.now || !writes_nothing_else {
            return Ok(Decision::Settle(Box::new(self.finish())));
        }
        let action = &self.state(state)?.action;
        let Some(effect) = effect(action, &self.out.run, self.facts()) else {
            return Ok(Decision::Settle(Box::new(self.finish())));
        };
        // `settle` counts the step; deciding is not one.
        self.out.run.step -= 1;
        Ok(Decision::Perform {
            run: Box::new(self.out.run),
            effect,
        })
    }

    /// All child runs have ended.
    fn gathered(&mut self, state: &StateName, parts: Option<Parts>) -> Result<(), Inconsistent> {
        if let (RunBody::Case(body), Some(parts)) = (&mut self.run_mut().body, &parts) {
            body.on_word = parts.attested > 0;
        }
        let discovers = self.state(state)?.action == Action::Discover;
        if discovers {
            // Where the workflow discovers once more, it looks at these.
            self.empty = parts.as_ref().map(|parts| parts.empty.clone());
        }
        match parts {
            Some(Parts { removals: 0, .. }) if discovers => {
                self.outcome(state, OutcomeKey::Absent, None)
            }
            // Nothing was looked at, or nothing found by those who looked: that proves nothing.
            Some(Parts { removals: 0, .. }) => {
                let fallback = self.fallback_state()?;
                self.enter(&fallback)
            }
            _ => self.outcome(state, OutcomeKey::Done, None),
        }
    }

    /// A wait is over. One that was cut short for a person's sake leaves the last look to be owed.
    fn rested(&mut self) {
        if let RunBody::Discovery(body) = &mut self.run_mut().body {
            body.rested = body.unclear.is_empty();
        }
    }

    /// True, once, for a case that a newer event changed.
    fn take_anew(&mut self) -> bool {
        match &mut self.run_mut().body {
            RunBody::Case(body) => std::mem::take(&mut body.anew),
            RunBody::Discovery(_)
            | RunBody::Removal(_)
            | RunBody::Rotation(_)
            | RunBody::Care(_) => false,
        }
    }

    /// By its own definition, whichever is in force by now: with a person while it is doubtful, else from
    /// the beginning.
    fn begin_anew(&mut self) -> Result<(), Inconsistent> {
        let doubtful = matches!(&self.run().body, RunBody::Case(body) if body.for_person.is_some());
        let state = if doubtful {
            self.fallback_state()?
        } else {
            self.start_state()?
        };
        self.enter(&state)
    }

    /// With a person: a claim is checked; otherwise the machine tries again when its time has come.
    fn take_up(
        &mut self,
        state: &StateName,
        next_try: Option<Timestamp>,
    ) -> Result<(), Inconsistent> {
        let Action::Fallback(fallback) = &self.state(state)?.action else {
            return Err(self.broken(format!("`{state}` is no fallback state")));
        };
        if let Some(ruling) = self.take_ruling() {
            return self.ruled(state, &ruling);
        }
        let tries = self.run().attempts.get(state).copied();
        if claim(&self.run().body).is_some() {
            self.fresh_attempts(state, tries);
            return match &fallback.check {
                Some(check) => self.check_claim(check),
                None => self.enter(state),
            };
        }
        match (&fallback.resume, next_try) {
            (Some(resume), Some(at)) if at <= self.given.now => {
                self.fresh_attempts(state, tries);
                self.enter(resume)
            }
            (Some(_), _) => Ok(()),
            // A claim that was taken back before it was looked at: there is nothing to try.
            (None, _) => {
                if let Stage::WithPerson { next_try, .. } = &mut self.run_mut().stage {
                    *next_try = None;
                }
                Ok(())
            }
        }
    }

    /// Taken up anew: all retry counts start again, except how often the machine has tried.
    fn fresh_attempts(&mut self, fallback: &StateName, tries: Option<u32>) {
        self.run_mut().attempts.clear();
        if let Some(tries) = tries {
            self.run_mut().attempts.insert(fallback.clone(), tries);
        }
    }
}

fn effect(action: &Action, run: &Run, facts: Option<&ConnectorFacts>) -> Option<Effect> {
    match (action, &run.body) {
        (Action::FindAccounts, RunBody::Discovery(body)) => Some(Effect::Find {
            subject: Box::new(body.subject.clone()),
        }),
        (Action::Inspect, RunBody::Removal(_)) => Some(Effect::Inspect),
        (Action::Act(operation), RunBody::Removal(_)) => Some(Effect::Act {
            operation: *operation,
        }),
        (
            Action::Each {
                operation,
                side_by_side,
            },
            RunBody::Removal(body),
        ) => Some(Effect::Each {
            operation: *operation,
            items: body
                .owed(*operation == Operation::RevokeCredential)
                .map(|item| item.entitlement.clone())
                .collect(),
            side_by_side: *side_by_side,
        }),
        (Action::Verify { .. }, RunBody::Removal(_)) => Some(Effect::Observe),
        (Action::CutUpstream, RunBody::Removal(_) | RunBody::Discovery(_)) => {
            Some(Effect::CutUpstream)
        }
        (Action::Probe, RunBody::Removal(body)) => Some(Effect::Probe {
            probes: unspent(body, facts),
        }),
        (Action::Rotate(step), RunBody::Rotation(_)) => Some(Effect::Rotate { step: *step }),
        _ => None,
    }
}

/// The declared probes but those of which the one try was made.
fn unspent(body: &RemovalBody, facts: Option<&ConnectorFacts>) -> Vec<String> {
    let declared = facts.map_or(&[][..], |facts| &facts.probes);
    let spent = |name: &str| {
        let mut tries = body.probed.iter();
        tries.any(|one| one.probe == name && one.spent)
    };
    let left = declared.iter().filter(|one| !spent(&one.name));
    left.map(|one| one.name.clone()).collect()
}
