//! B8: no plan increases access, and nobody but the leaver loses any.
//!
//! Owns the list of everything that the core can ask for, in matches without a rest: an operation
//! that is added does not compile here until somebody has said what it does to access.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::given::{self, LEAVER, failure};
use super::play::Play;
use super::storm::{Dice, connectors, rage};
use super::target::{Target, World};
use super::watch::Watch;
use crate::domain::access::Operation;
use crate::domain::id::ConnectorName;
use crate::domain::outcome::FailureClass;
use crate::domain::run::{Run, RunBody};
use crate::domain::settlement::Outcome;
use crate::domain::step::Effect;
use crate::domain::time::Timestamp;
use crate::domain::workflow::RotationStep;

/// What an effect can be to a target's access. There is no fourth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    Reads,
    TakesAway,
    ReplacesOwnSecret,
}

fn nature(effect: &Effect) -> Nature {
    match effect {
        Effect::Find { .. } | Effect::Inspect | Effect::Observe | Effect::Probe { .. } => {
            Nature::Reads
        }
        Effect::CutUpstream => of_operation(Operation::RevokeEntitlement),
        Effect::Act { operation } | Effect::Each { operation, .. } => of_operation(*operation),
        Effect::Rotate { step } => match step {
            RotationStep::Prepare
            | RotationStep::Create
            | RotationStep::Test
            | RotationStep::Promote
            | RotationStep::Retire
            | RotationStep::ProveRejected => Nature::ReplacesOwnSecret,
        },
    }
}

fn of_operation(operation: Operation) -> Nature {
    match operation {
        Operation::List | Operation::Read => Nature::Reads,
        Operation::Disable
        | Operation::EndSessions
        | Operation::RevokeEntitlement
        | Operation::RevokeCredential
        | Operation::Delete => Nature::TakesAway,
    }
}

#[test]
fn b8_every_operation_reads_or_takes_away() {
    for operation in Operation::ALL {
        let writes = of_operation(operation) == Nature::TakesAway;
        assert_eq!(operation.writes(), writes, "{operation:?}");
    }
}

/// Targets with their trouble, and what each effect did to their access.
#[derive(Debug)]
struct Guarded {
    targets: BTreeMap<ConnectorName, Target>,
    dice: Dice,
    trouble: usize,
    /// Effects that took something away.
    bites: usize,
    found: Vec<String>,
}

impl Guarded {
    fn new(dice: Dice) -> Self {
        let names = connectors().into_iter().map(|(name, _)| name);
        Self {
            targets: names.map(|name| (name.into(), Target::new())).collect(),
            dice,
            trouble: 25,
            bites: 0,
            found: Vec::new(),
        }
    }

    fn access(&self) -> BTreeSet<String> {
        let each = self.targets.iter();
        each.flat_map(|(name, target)| {
            let ways = target.access().into_iter();
            ways.map(move |way| format!("{name}/{way}"))
        })
        .collect()
    }

    /// What the effect must not have done.
    fn compare(&mut self, run: &Run, effect: &Effect, before: &BTreeSet<String>) {
        let after = self.access();
        let gained = after.difference(before);
        let gained = gained.map(|way| format!("{effect:?} gave {way}"));
        self.found.extend(gained);
        let lost: Vec<_> = before.difference(&after).collect();
        self.bites += usize::from(!lost.is_empty());
        let own = match (&run.body, &run.connector) {
            (RunBody::Removal(body), Some(connector)) => {
                Some(format!("{connector}/{} ", body.account.id))
            }
            _ => None,
        };
        for way in lost {
            let theirs = own.as_ref().is_some_and(|own| way.starts_with(own));
            if nature(effect) != Nature::TakesAway || !theirs {
                self.found.push(format!("{effect:?} took {way}"));
            }
        }
    }
}

impl World for Guarded {
    fn answer(&mut self, run: &Run, effect: &Effect, now: Timestamp) -> Outcome {
        let before = self.access();
        let trouble = self.dice.percent(self.trouble).then(|| self.dice.roll(4));
        let connector = run.connector.clone().expect("effects go to a connector");
        let target = self.targets.get_mut(&connector).expect("is there");
        target.deaf = trouble == Some(0);
        let answer = match trouble {
            // Not sent; sent, with the answer lost; and whatever else.
            Some(1) => failed(effect, FailureClass::Unreachable),
            Some(2) => {
                target.answer(run, effect, now);
                failed(effect, FailureClass::UnknownOutcome)
            }
            Some(3) => {
                let class = FailureClass::ALL[self.dice.roll(FailureClass::ALL.len())];
                failed(effect, class)
            }
            _ => target.answer(run, effect, now),
        };
        self.compare(run, effect, &before);
        answer
    }
}

fn failed(effect: &Effect, class: FailureClass) -> Outcome {
    match effect {
        Effect::Each { items, .. } => {
            let all = items.iter();
            Outcome::Items(all.map(|i| (i.key(), Err(failure(class)))).collect())
        }
        _ => Outcome::Failed(failure(class)),
    }
}

fn history(rolls: &[u32]) -> Guarded {
    let (what, mut who) = Dice::pair(rolls);
    let mut world = Guarded::new(what);
    let mut play = Play::new(&connectors());
    play.hear(given::leaves());
    let found = rage(&mut play, &mut world, &mut who, &mut Watch::default());
    world.found.extend(found);
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn b8_no_plan_ever_increases_access(rolls in prop::collection::vec(any::<u32>(), 100..1200)) {
        prop_assert_eq!(history(&rolls).found, Vec::<String>::new());
    }
}

#[test]
fn b8_the_histories_do_take_access_away_and_a_planted_grant_is_noticed() {
    let mut world = history(&super::storm::throw(7, 1200));
    assert!(world.bites > 5, "{}", world.bites);
    assert!(world.found.is_empty());
    // When a target gives the leaver a way in, and takes one from somebody who stays.
    let mut play = Play::begun();
    play.until(
        crate::domain::workflow::RunKind::Removal,
        "disable",
        &mut Target::new(),
    );
    let run = play.run(crate::domain::workflow::RunKind::Removal).clone();
    let before = world.access();
    let crm = world.targets.get_mut(&given::CRM.into()).expect("is there");
    let again = (LEAVER.to_owned(), given::account("a-3"));
    crm.accounts.insert("a-3".into(), again);
    crm.accounts.remove(&"a-2".into());
    let operation = Operation::Disable;
    world.compare(&run, &Effect::Act { operation }, &before);
    let (gave, took): (Vec<_>, Vec<_>) = world.found.iter().partition(|l| l.contains(" gave "));
    assert_eq!((gave.len(), took.len()), (6, 6), "{:?}", world.found);
}
