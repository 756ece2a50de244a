//! Histories at random: every outcome that fits an effect, people who say anything, jumps in time.
//!
//! Owns the dice and what they decide. Answers fit the effect and are otherwise free: yes without
//! effect, looks that contradict each other, half and stale ones. Everything follows from the
//! rolls, so a failing history shrinks and repeats.

use super::given::{self, account, attested, failure, probed};
use super::play::Play;
use super::target::World;
use super::watch::{Watch, stands};
use crate::domain::access::{Account, AccountState, Entitlement};
use crate::domain::command::Wish;
use crate::domain::correlation::Search;
use crate::domain::estate::ConnectorFacts;
use crate::domain::id::TaskId;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::probe::ProbeFinding;
use crate::domain::run::{Run, RunBody};
use crate::domain::settlement::Outcome;
use crate::domain::step::Effect;
use crate::domain::task::TaskState;
use crate::domain::time::{Timestamp, after};
use crate::domain::verdict::{Completeness, CredentialRole, Expectation, Observation, Sighting};

/// Rolls that were thrown before the history began.
#[derive(Debug)]
pub(super) struct Dice {
    rolls: Vec<u32>,
    at: usize,
}

impl Dice {
    /// Two dice out of one throw: one for what happens, one for who moves.
    pub(super) fn pair(rolls: &[u32]) -> (Self, Self) {
        let every_other = |first: usize| Self {
            rolls: rolls.iter().skip(first).step_by(2).copied().collect(),
            at: 0,
        };
        (every_other(0), every_other(1))
    }

    /// From 0 up to but not including `sides`.
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        let roll = self.rolls.get(self.at % self.rolls.len().max(1));
        self.at += 1;
        roll.map_or(0, |roll| *roll as usize % sides)
    }

    pub(super) fn percent(&mut self, chance: usize) -> bool {
        self.roll(100) < chance
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.roll(all.len())]
    }

    fn spent(&self) -> bool {
        self.at >= self.rolls.len()
    }
}

/// A throw from a seed, for histories that are always the same.
pub(super) fn throw(seed: u32, length: usize) -> Vec<u32> {
    let next = |last: &u32| {
        let mut x = *last;
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        Some(x)
    };
    let rolls = std::iter::successors(Some(seed.wrapping_mul(2_654_435_761) | 1), next);
    rolls.skip(8).take(length).collect()
}

/// A world that answers anything that fits.
#[derive(Debug)]
pub(super) struct Storm {
    dice: Dice,
    /// Percent of effects that fail.
    trouble: usize,
}

impl Storm {
    pub(super) fn new(mut dice: Dice) -> Self {
        let trouble = dice.one_of(&[0, 10, 30, 60]);
        Self { dice, trouble }
    }

    fn failure(&mut self) -> Failure {
        let class = self.dice.one_of(&FailureClass::ALL);
        let asked = self.dice.percent(20);
        let seconds = self.dice.roll(7200) as u64;
        failure(class).retry_after(asked.then_some(seconds))
    }

    fn account(&mut self, id: &str) -> Account {
        let mut account = account(id);
        let states = [AccountState::Enabled, AccountState::Disabled];
        account.state = self.dice.one_of(&states);
        account.sessions = self.dice.one_of(&[None, Some(0), Some(3)]);
        account.privileged = self.dice.percent(30);
        let keep = self.dice.roll(4);
        account.entitlements.truncate(keep);
        if let (true, Some(last)) = (self.dice.percent(15), account.entitlements.last_mut()) {
            last.inherited_from = Some("g-parent".to_owned());
        }
        account
    }

    fn items(&mut self, items: &[Entitlement]) -> Outcome {
        let count = 1 + self.dice.roll(items.len());
        let mut answers = Vec::new();
        for item in &items[..count] {
            let answer = if self.dice.percent(self.trouble) {
                Err(self.failure())
            } else {
                Ok(self.dice.percent(80))
            };
            answers.push((item.key(), answer));
        }
        Outcome::Items(answers)
    }

    fn look(&mut self, id: &str, now: Timestamp) -> Observation {
        let mut completeness = Completeness::WHOLE;
        match self.dice.roll(16) {
            0 => completeness.pages_closed = false,
            1 => completeness.fields_present = false,
            2 => completeness.count_in_band = false,
            3 => completeness.permission_cut = true,
            _ => {}
        }
        let before = if self.dice.percent(15) {
            self.dice.roll(100_000) as i64
        } else {
            0
        };
        let before = jiff::SignedDuration::from_secs(before);
        let roles = [CredentialRole::Verifier; 9];
        let roles = [roles.as_slice(), &[CredentialRole::Writer]].concat();
        Observation {
            at: now.saturating_sub(before).expect("representable"),
            credential: self.dice.one_of(&roles),
            method: "a look".to_owned(),
            completeness,
            data_age_seconds: self.dice.one_of(&[0, 0, 0, 0, 0, 300, 301]),
            shows_orphans: true,
            sighting: if self.dice.percent(20) {
                Sighting::There(Box::new(self.account(id)))
            } else {
                Sighting::NotThere
            },
        }
    }
}

impl World for Storm {
    fn answer(&mut self, run: &Run, effect: &Effect, now: Timestamp) -> Outcome {
        if let Effect::Each { items, .. } = effect {
            return self.items(items);
        }
        if self.dice.percent(self.trouble) {
            return Outcome::Failed(self.failure());
        }
        match (effect, &run.body) {
            (Effect::Find { .. }, _) => {
                let count = self.dice.one_of(&[0, 1, 1, 2]);
                let found = ["a-1", "a-2"].into_iter().take(count);
                let unclear = self.dice.percent(10);
                Outcome::Accounts(Search {
                    accounts: found.map(|id| self.account(id)).collect(),
                    unclear: unclear
                        .then(|| "an account".to_owned())
                        .into_iter()
                        .collect(),
                    gone: Vec::new(),
                    again: Vec::new(),
                })
            }
            (Effect::Inspect, RunBody::Removal(body)) => {
                let there = self.dice.percent(85);
                Outcome::Account(there.then(|| self.account(body.account.id.as_str())))
            }
            (Effect::Act { .. }, _) if self.dice.percent(25) => Outcome::Absent,
            (Effect::Act { .. }, _) => Outcome::Done,
            (Effect::Observe, RunBody::Removal(body)) => {
                Outcome::Observed(self.look(body.account.id.as_str(), now))
            }
            (Effect::Probe { probes }, RunBody::Removal(_)) => {
                let findings = [
                    ProbeFinding::Refused,
                    ProbeFinding::Refused,
                    ProbeFinding::LetIn,
                    ProbeFinding::CouldNotTell,
                    ProbeFinding::NothingToTry,
                ];
                let tries = probes.iter();
                let tries = tries.map(|name| probed(name, self.dice.one_of(&findings), now));
                Outcome::Probed(tries.collect())
            }
            (Effect::Rotate { .. }, RunBody::Rotation(body)) => {
                Outcome::Rotated(body.facts.clone())
            }
            (effect, body) => panic!("{effect:?} does not fit {body:?}"),
        }
    }
}

/// Three connectors: one that can do everything, a privileged one that keeps disabled accounts,
/// one that can hardly do anything and whose secrets no machine replaces.
pub(super) fn connectors() -> Vec<(&'static str, ConnectorFacts)> {
    use crate::domain::access::Operation;
    let mut ledger = given::facts();
    ledger.privileged = true;
    ledger.expect = Expectation::AccountPowerless;
    ledger.operations.remove(&Operation::Delete);
    ledger.probes = vec![given::probe("sign-in", true), given::probe("token", false)];
    let why = "accounts stay for the books".to_owned();
    ledger.without.insert(Operation::Delete, why);
    let mut old = given::facts();
    old.operations = [Operation::List, Operation::Disable].into();
    old.rotation.clear();
    vec![
        (given::CRM, given::facts()),
        ("ledger", ledger),
        ("old", old),
    ]
}

/// Plays until the dice are spent or a violation is found; returns the violations.
pub(super) fn rage(
    play: &mut Play,
    world: &mut impl World,
    dice: &mut Dice,
    watch: &mut Watch,
) -> Vec<String> {
    let mut found = Vec::new();
    while !dice.spent() && found.is_empty() {
        play.fraction = dice.roll(100) as f64 / 100.0;
        let due = play.due();
        if due.is_empty() || dice.percent(10) {
            somebody_moves(play, dice);
            continue;
        }
        // Any of them: many workers share the work.
        let id = due[dice.roll(due.len())];
        play.step(id, world);
        let deed = play.deeds.last().expect("a step was made").clone();
        found = watch.see(play, &deed);
    }
    found.extend(play.runs.values().filter_map(|run| stands(play, run)));
    found
}

fn somebody_moves(play: &mut Play, dice: &mut Dice) {
    let is_open =
        |task: &&crate::domain::task::FallbackTask| !matches!(task.state, TaskState::Closed { .. });
    let open: Vec<TaskId> = play.tasks.values().filter(is_open).map(|t| t.id).collect();
    let by = dice.one_of(&["ann", "bob"]);
    match dice.roll(8) {
        0 => play.now = after(play.now, dice.roll(172_800) as u64),
        1 | 2 if !open.is_empty() => {
            let attestation = dice.one_of(&[None, Some("ann"), Some("bob"), Some(by)]);
            let task = dice.one_of(&open);
            play.close(task, by, attestation.map(attested));
        }
        4 if !open.is_empty() => {
            let task = dice.one_of(&open);
            let statement = "I saw it gone too".to_owned();
            play.wish(
                by,
                Wish::ConfirmTask {
                    task,
                    statement,
                    meant: None,
                },
            );
        }
        3 if !open.is_empty() => {
            let task = dice.one_of(&open);
            let wish = if dice.percent(50) {
                Wish::ClaimTask { task }
            } else {
                let reason = "not mine".to_owned();
                Wish::RejectTask { task, reason }
            };
            play.wish(by, wish);
        }
        _ => {
            play.skip();
        }
    }
}
