//! B6: waiting is durable. Every wait is a due time in the run, and the run is all there is.
//!
//! Owns the waits that the core decides: effective instant, retry, settle time, a person's task.
//! That no run is claimed before it is due is the store's promise, and tested there.

use proptest::prelude::*;

use super::given::{self, failure, library, melbourne, news};
use super::play::Play;
use super::storm::{Dice, Storm, connectors, rage};
use super::target::{Target, World};
use super::watch::Watch;
use crate::domain::event::EventKind;
use crate::domain::outcome::FailureClass;
use crate::domain::run::{Run, Stage};
use crate::domain::settlement::Outcome;
use crate::domain::step::{Decision, Effect};
use crate::domain::time::{Timestamp, after};
use crate::domain::workflow::{Next, OutcomeKey, RunKind};

/// A decision that leaves the run waiting where it was, and changes nothing besides.
fn goes_on_waiting(play: &Play, run: &Run) {
    let Decision::Settle(settlement) = play.decision(run.id) else {
        panic!("{:?} was performed too early", run.stage);
    };
    assert_eq!(settlement.run.stage, run.stage);
    assert!(settlement.journal.is_empty() && settlement.children.is_empty());
    assert!(settlement.task.is_none() && settlement.rotations.is_empty());
}

#[test]
fn b6_nothing_happens_before_the_effective_instant() {
    // Given a departure tomorrow at 18:00 in Melbourne.
    let instant: Timestamp = "2026-11-28T07:00:00Z".parse().expect("an instant");
    let mut play = Play::new(&[(given::CRM, given::facts())]);
    let effective = melbourne("2026-11-28T18:00:00");
    play.hear(news(EventKind::WorkerTerminated, 1, effective));
    let case = play.run(RunKind::Case).clone();
    assert_eq!(case.stage.due(), Some(instant));
    // When it is looked at too early, then nothing is decided but to wait until then.
    let second = jiff::SignedDuration::from_secs(1);
    let nanosecond = jiff::SignedDuration::from_nanos(1);
    for early in [given::dawn(), instant - second, instant - nanosecond] {
        play.now = early;
        goes_on_waiting(&play, &case);
    }
    // When its time has come, then it begins.
    play.now = instant;
    let Decision::Settle(settlement) = play.decision(case.id) else {
        panic!("a case performs nothing itself");
    };
    assert_eq!(settlement.children.len(), 1);
    assert_eq!(settlement.children[0].stage.due(), Some(instant));
}

/// Fails once, with this.
struct Once(Option<crate::domain::outcome::Failure>, Target);

impl World for Once {
    fn answer(&mut self, run: &Run, effect: &Effect, now: Timestamp) -> Outcome {
        match self.0.take() {
            Some(failure) => Outcome::Failed(failure),
            None => self.1.answer(run, effect, now),
        }
    }
}

/// The removal after `disable` has failed with this, and when that was settled.
fn disable_fails(failure: crate::domain::outcome::Failure) -> Play {
    let mut target = Target::new();
    let mut play = Play::begun();
    play.until(RunKind::Removal, "disable", &mut target);
    let removal = play.run(RunKind::Removal).id;
    play.step(removal, &mut Once(Some(failure), target));
    play
}

#[test]
fn b6_a_retry_waits_in_the_run_as_the_workflow_says() {
    let workflow = library().by_event(EventKind::WorkerTerminated);
    let state = workflow.and_then(|w| w.state(RunKind::Removal, &"disable".into()));
    let state = state.expect("is there");
    let mut retried = 0;
    for class in FailureClass::ALL {
        let play = disable_fails(failure(class));
        let run = play.run(RunKind::Removal);
        let next = state.next(OutcomeKey::Failed(class)).expect("is handled");
        match next {
            Next::Retry { policy, from, .. } | Next::Rotate { policy, from, .. } => {
                let due = after(play.now, policy.first_seconds);
                let state = from.clone();
                assert_eq!(run.stage, Stage::Due { state, due }, "{class}");
                assert!(due > play.now, "{class}");
                retried += 1;
            }
            Next::Go(to) => assert_eq!(run.stage.name(), to.as_str(), "{class}"),
        }
    }
    assert!(retried >= 6, "{retried}");
}

#[test]
fn b6_retry_after_is_kept_even_beyond_the_longest_pause() {
    let limited = failure(FailureClass::RateLimited);
    let play = disable_fails(limited.clone().retry_after(Some(7200)));
    let due = play.run(RunKind::Removal).stage.due();
    assert_eq!(due, Some(after(play.now, 7200)));
    // What is shorter than the workflow's own pause does not shorten it.
    let play = disable_fails(limited.retry_after(Some(1)));
    let due = play.run(RunKind::Removal).stage.due();
    assert_eq!(due, Some(after(play.now, 5)));
}

#[test]
fn b6_chance_only_makes_a_retry_later() {
    let mut target = Target::new();
    for fraction in [0.0, 0.5, 0.99] {
        let mut play = Play::begun();
        play.until(RunKind::Removal, "disable", &mut target);
        play.fraction = fraction;
        let removal = play.run(RunKind::Removal).id;
        let failed = failure(FailureClass::Unreachable);
        play.step(removal, &mut Once(Some(failed), target.clone()));
        let due = play.run(RunKind::Removal).stage.due().expect("waits");
        assert!(
            due >= after(play.now, 5) && due < after(play.now, 7),
            "{due}"
        );
        target = Target::new();
    }
}

#[test]
fn b6_the_settle_time_is_a_due_time_and_only_then_is_looked_again() {
    let mut target = Target::new();
    let mut play = Play::begun();
    play.until(RunKind::Removal, "settle", &mut target);
    let due = play.run(RunKind::Removal).stage.due().expect("waits");
    assert_eq!(due, after(play.now, 3600));
    let performed = play.effects().len();
    play.pass(3599, &mut target);
    assert_eq!(play.effects().len(), performed);
    play.pass(1, &mut target);
    assert_eq!(play.effects().len(), performed + 1);
}

#[test]
fn b6_a_run_with_a_person_is_not_taken_up_before_its_time() {
    // Given a removal that a person has.
    let mut target = Target::new();
    let mut play = Play::begun();
    play.until(RunKind::Removal, "inspect", &mut target);
    target.go_down();
    play.until(RunKind::Removal, "with_person", &mut target);
    let run = play.run(RunKind::Removal).clone();
    let next_try = run.stage.due().expect("the machine keeps trying");
    assert_eq!(next_try, after(play.now, 900));
    // When it is looked at too early, then nothing; at its time, the machine takes it up.
    for early in [play.now, after(play.now, 899)] {
        play.now = early;
        goes_on_waiting(&play, &run);
    }
    play.now = next_try;
    assert!(matches!(
        play.decision(run.id),
        Decision::Perform {
            effect: Effect::Inspect,
            ..
        }
    ));
}

fn history(rolls: &[u32], through_json: bool) -> Play {
    let (what, mut who) = Dice::pair(rolls);
    let mut play = Play::new(&connectors());
    play.through_json = through_json;
    play.hear(given::leaves());
    rage(
        &mut play,
        &mut Storm::new(what),
        &mut who,
        &mut Watch::default(),
    );
    play
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    // Nothing is remembered outside the run and its task: reading both anew before every step, as
    // after a crash, makes the same history.
    #[test]
    fn b6_a_run_that_is_read_anew_before_each_step_has_the_same_history(
        rolls in prop::collection::vec(any::<u32>(), 100..800),
    ) {
        let (kept, reread) = (history(&rolls, false), history(&rolls, true));
        prop_assert_eq!(kept.deeds, reread.deeds);
        prop_assert_eq!(kept.runs, reread.runs);
        prop_assert_eq!(kept.tasks, reread.tasks);
    }
}
