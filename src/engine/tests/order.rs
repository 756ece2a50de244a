//! B5 and C7: contain, strip, delete in this order; the urgent first; only what remains again.
//!
//! Owns the order of effects within one removal and of runs among each other. That the store hands
//! out due runs by priority is tested with the store.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::given::{self, CRM, LEAVER, account, facts};
use super::play::Play;
use super::storm::{Dice, Storm, connectors, rage};
use super::target::{Target, World, name};
use super::watch::Watch;
use crate::domain::access::Operation;
use crate::domain::event::Urgency;
use crate::domain::id::{ConnectorName, RunId};
use crate::domain::outcome::FailureClass;
use crate::domain::run::{ItemStatus, Run};
use crate::domain::settlement::Outcome;
use crate::domain::step::Effect;
use crate::domain::subject::SubjectKind;
use crate::domain::workflow::{End, RunKind};

#[test]
fn b5_a_removal_contains_then_strips_then_deletes() {
    let mut play = Play::begun();
    play.pass(7200, &mut Target::new());
    let names: Vec<_> = play.effects().into_iter().map(name).collect();
    let expected = [
        "find",
        "inspect",
        "disable",
        "end_sessions",
        "revoke_credential",
        "revoke_entitlement",
        "delete",
        "observe",
        "observe",
    ];
    assert_eq!(names, expected);
}

/// How much later than containment an effect comes; `None` begins a new round.
fn place(effect: &Effect) -> Option<usize> {
    let order = [
        Operation::Disable,
        Operation::EndSessions,
        Operation::RevokeCredential,
        Operation::RevokeEntitlement,
        Operation::Delete,
    ];
    match effect {
        Effect::Act { operation } | Effect::Each { operation, .. } => {
            order.iter().position(|other| other == operation)
        }
        // Upstream is another target.
        Effect::Find { .. }
        | Effect::Inspect
        | Effect::Observe
        | Effect::Probe { .. }
        | Effect::CutUpstream
        | Effect::Rotate { .. } => None,
    }
}

/// The first write of a removal that comes after one that belongs after it.
fn out_of_order(play: &Play, removal: RunId) -> Option<String> {
    let mut last = None;
    let deeds = play.deeds.iter().filter(|deed| deed.before.id == removal);
    for (effect, ..) in deeds.filter_map(|deed| deed.performed.as_ref()) {
        let next = place(effect);
        if next.is_some() && next < last {
            return Some(format!("{} comes too late", name(effect)));
        }
        last = next;
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn b5_no_failure_changes_the_order_between_two_looks(
        rolls in prop::collection::vec(any::<u32>(), 100..1200),
    ) {
        let (what, mut who) = Dice::pair(&rolls);
        let mut play = Play::new(&connectors());
        play.hear(given::leaves());
        rage(&mut play, &mut Storm::new(what), &mut who, &mut Watch::default());
        for run in play.runs.values().filter(|run| run.kind == RunKind::Removal) {
            prop_assert_eq!(out_of_order(&play, run.id), None);
        }
    }
}

#[test]
fn b5_a_write_that_keeps_failing_does_not_keep_the_later_ones_back() {
    let mut target = Target::new();
    target.fail("disable", FailureClass::WriteFailure);
    let mut play = Play::begun();
    play.pass(7200, &mut target);
    let names: Vec<_> = play.effects().into_iter().map(name).collect();
    assert_eq!(names.iter().filter(|name| **name == "disable").count(), 5);
    assert!(
        names.ends_with(&["delete", "observe", "observe"]),
        "{names:?}"
    );
    assert_eq!(play.end(RunKind::Removal), Some(End::Verified));
}

/// All runs of one departure: from a standard and a privileged target, each with a standard and a
/// privileged account.
fn departure(urgency: Urgency, kind: SubjectKind, privileged: bool) -> Play {
    let mut ledger = facts();
    ledger.privileged = true;
    let mut play = Play::new(&[(CRM, facts()), ("ledger", ledger)]);
    let mut event = given::leaves();
    event.urgency = urgency;
    event.subject.kind = kind;
    event.subject.privileged = privileged;
    play.hear(event);
    let mut admin = account("a-admin");
    admin.privileged = true;
    let mut target = Target::new();
    let theirs = (LEAVER.to_owned(), admin);
    target.accounts.insert("a-admin".into(), theirs);
    let both = [CRM, "ledger"].map(|name| (ConnectorName::from(name), target.clone()));
    play.pass(60, &mut BTreeMap::from(both));
    // The case, two discoveries, and two removals each.
    assert_eq!(play.runs.len(), 7);
    play
}

fn priorities(play: &Play, which: impl Fn(&Run) -> bool) -> Vec<i16> {
    let runs = play.runs.values().filter(|run| which(run));
    runs.map(|run| run.priority).collect()
}

#[test]
fn b5_everything_for_cause_comes_before_everything_planned() {
    let mut for_cause = Vec::new();
    let mut planned = Vec::new();
    for kind in [
        SubjectKind::Person,
        SubjectKind::Nhi,
        SubjectKind::Application,
    ] {
        for privileged in [false, true] {
            let all = |urgency| priorities(&departure(urgency, kind, privileged), |_| true);
            for_cause.extend(all(Urgency::ForCause));
            planned.extend(all(Urgency::Planned));
        }
    }
    let (last, first) = (for_cause.iter().max(), planned.iter().min());
    assert!(last < first, "{last:?} {first:?}");
}

#[test]
fn b5_privileged_and_non_human_come_before_standard() {
    for urgency in [Urgency::ForCause, Urgency::Planned] {
        let case = |kind, privileged| {
            let play = departure(urgency, kind, privileged);
            play.run(RunKind::Case).priority
        };
        let person = case(SubjectKind::Person, false);
        assert!(case(SubjectKind::Nhi, false) < person);
        assert!(case(SubjectKind::Person, true) < case(SubjectKind::Nhi, false));

        let play = departure(urgency, SubjectKind::Person, false);
        let of = |kind: RunKind, connector: &'static str| {
            move |run: &Run| {
                run.kind == kind
                    && run
                        .connector
                        .as_ref()
                        .is_some_and(|c| c.as_str() == connector)
            }
        };
        let ledger = priorities(&play, of(RunKind::Discovery, "ledger"));
        assert!(ledger < priorities(&play, of(RunKind::Discovery, CRM)));
        let account = |id: &'static str| {
            move |run: &Run| match &run.body {
                crate::domain::run::RunBody::Removal(body) => {
                    body.account.id.as_str() == id && of(RunKind::Removal, CRM)(run)
                }
                _ => false,
            }
        };
        assert!(priorities(&play, account("a-admin")) < priorities(&play, account("a-1")));
    }
}

/// The ids that each wave of this operation asked for.
fn waves(play: &Play, operation: Operation) -> Vec<Vec<&str>> {
    let waves = play
        .effects()
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Each {
                operation: of,
                items,
                ..
            } if *of == operation => Some(items.iter().map(|item| item.id.as_str()).collect()),
            _ => None,
        });
    waves.collect()
}

#[test]
fn c7_after_a_partial_failure_only_what_remains_is_asked_for_again() {
    // Given a target that fails to take one of two entitlements away.
    let mut target = Target::new();
    target.fail("r-sales", FailureClass::PartialSuccess);
    let mut play = Play::begun();
    play.until(RunKind::Removal, "revoke_entitlements", &mut target);
    // When the wave comes in, and again after the wait.
    let removal = play.run(RunKind::Removal).id;
    play.step(removal, &mut target);
    assert!(play.run(RunKind::Removal).stage.due() > Some(play.now));
    target.fails.clear();
    play.skip();
    play.rest(&mut target);
    // Then the second wave asks for the one that is left, and the journal tells each item once.
    let asked = waves(&play, Operation::RevokeEntitlement);
    assert_eq!(asked, [vec!["g-staff", "r-sales"], vec!["r-sales"]]);
    let told = |id: &str| {
        let lines = play.journal.iter();
        let of = lines.filter(|line| line.item.as_ref().is_some_and(|item| item.as_str() == id));
        of.map(|line| line.outcome.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(told("g-staff"), ["done"]);
    assert_eq!(told("r-sales"), ["partial_success", "done"]);
}

/// Answers for the first item of a wave; the others are still on their way.
struct OneByOne;

impl World for OneByOne {
    fn answer(&mut self, _: &Run, effect: &Effect, _: jiff::Timestamp) -> Outcome {
        match effect {
            Effect::Each { items, .. } => Outcome::Items(vec![(items[0].key(), Ok(true))]),
            other => panic!("{other:?} is no wave"),
        }
    }
}

#[test]
fn c7_answers_that_are_still_on_their_way_keep_the_wave_open() {
    // Given a wave of two of which one answer has come in.
    let mut target = Target::new();
    let mut play = Play::begun();
    play.until(RunKind::Removal, "revoke_entitlements", &mut target);
    let removal = play.run(RunKind::Removal).id;
    play.step(removal, &mut OneByOne);
    // Then the run stays where it is and owes the other one.
    assert_eq!(
        play.run(RunKind::Removal).stage.name(),
        "revoke_entitlements"
    );
    let status = |play: &Play, id: &str| {
        let items = &play.removal().items;
        let item = items.iter().find(|item| item.entitlement.id.as_str() == id);
        item.map(|item| item.status.clone())
    };
    assert_eq!(status(&play, "g-staff"), Some(ItemStatus::Accepted));
    assert_eq!(status(&play, "r-sales"), Some(ItemStatus::Owed));
    play.step(removal, &mut OneByOne);
    assert_eq!(play.run(RunKind::Removal).stage.name(), "delete");
    let asked = waves(&play, Operation::RevokeEntitlement);
    assert_eq!(asked, [vec!["g-staff", "r-sales"], vec!["r-sales"]]);
}

#[test]
fn c7_inherited_access_is_never_asked_for_and_ends_with_a_person() {
    // Given an account that has a role by way of a group, in a target that keeps disabled accounts.
    let mut target = Target::new();
    let (_, account) = target.accounts.get_mut(&"a-1".into()).expect("is there");
    account.entitlements[2].inherited_from = Some("g-parent".to_owned());
    let mut keeps = facts();
    keeps.expect = crate::domain::verdict::Expectation::AccountPowerless;
    keeps.operations.remove(&Operation::Delete);
    keeps.without.insert(Operation::Delete, "kept".to_owned());
    let mut play = Play::new(&[(CRM, keeps)]);
    play.hear(given::leaves());
    // When the machine has tried everything.
    play.until(RunKind::Removal, "with_person", &mut target);
    // Then it asked for the direct ones only, and the person reads where the other comes from.
    let mut asked = waves(&play, Operation::RevokeEntitlement).into_iter();
    assert!(asked.all(|wave| !wave.contains(&"r-sales")));
    let task = play.task(RunKind::Removal);
    assert!(task.why.contains("inherited from g-parent"), "{}", task.why);
}
