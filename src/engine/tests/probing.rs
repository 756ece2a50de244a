//! E2: a leaver's own ways in must be refused before a removal is verified.
//!
//! Owns how tries move a removal. What one try proves is tested at `connectors`, and that the
//! control comes first at `verification`.

use super::given::{self, CRM, facts, probe};
use super::play::Play;
use super::target::Target;
use crate::domain::outcome::FailureClass;
use crate::domain::probe::ProbeFinding;
use crate::domain::verdict::{Finding, Verdict};
use crate::domain::workflow::{End, OutcomeKey, RunKind};

fn begun(names: &[(&str, bool)]) -> Play {
    let mut probed = facts();
    let probes = names.iter().map(|(name, once)| probe(name, *once));
    probed.probes = probes.collect();
    let mut play = Play::new(&[(CRM, probed)]);
    play.hear(given::leaves());
    play
}

fn tries(play: &Play) -> usize {
    let effects = play.effects().into_iter();
    let probes = effects.filter(|effect| super::target::name(effect) == "probe");
    probes.count()
}

#[test]
fn e2_a_refusal_of_every_probe_lifts_the_removal_to_effectively_absent() {
    let mut target = Target::new();
    let mut play = begun(&[("token", false), ("sign-in", true)]);
    play.until(RunKind::Removal, "settle", &mut target);
    let run = play.run(RunKind::Removal);
    assert_eq!(run.verdict, Some(Verdict::EffectiveAbsent));
    assert_eq!(play.removal().probed.len(), 2);
    // And each try is in the journal with its method, its time and its finding.
    let last = play
        .journal
        .iter()
        .rfind(|line| line.state.as_str() == "probe");
    let detail = last.and_then(|line| line.detail.clone()).expect("told");
    assert_eq!(detail["probes"][0]["finding"], "refused");
    assert_eq!(detail["probes"][0]["method"], "POST /login");
    play.pass(7200, &mut target);
    assert_eq!(play.end(RunKind::Removal), Some(End::Verified));
}

#[test]
fn e2_a_session_that_is_still_honoured_keeps_the_removal_open_until_it_is_refused() {
    // Given an account that is gone, and a cache that still lets its session in.
    let mut target = Target::new();
    target.doors.insert("token".to_owned(), ProbeFinding::LetIn);
    let mut play = begun(&[("token", false)]);
    play.until(RunKind::Removal, "probe", &mut target);
    let removal = play.run(RunKind::Removal).id;
    play.step(removal, &mut target);
    // Then what was known is taken back, and containment begins again.
    let run = play.run(RunKind::Removal);
    assert_eq!(run.verdict, Some(Verdict::Accepted));
    assert_eq!(run.stage.name(), "disable");
    assert!(matches!(
        play.removal().last_finding,
        Some(Finding::Present(_))
    ));
    // When the cache has forgotten it, the removal is proved.
    target.doors.clear();
    play.pass(8000, &mut target);
    assert_eq!(play.end(RunKind::Removal), Some(End::Verified));
}

#[test]
fn e2_a_way_in_that_stays_open_becomes_a_persons_business() {
    let mut target = Target::new();
    target.doors.insert("token".to_owned(), ProbeFinding::LetIn);
    let mut play = begun(&[("token", false)]);
    play.until(RunKind::Removal, "with_person", &mut target);
    let task = play.task(RunKind::Removal);
    assert!(task.why.contains("probe token let in"), "{}", task.why);
    // A person's word does not close what the machine sees to be open.
    let id = task.id;
    play.close(id, "ann", Some(given::attested("bob")));
    play.rest(&mut target);
    assert_eq!(play.end(RunKind::Removal), None);
}

#[test]
fn e2_a_probe_that_cannot_tell_is_tried_again_and_then_handed_over() {
    let mut target = Target::new();
    let untold = ProbeFinding::CouldNotTell;
    target.doors.insert("token".to_owned(), untold);
    let mut play = begun(&[("token", false)]);
    play.until(RunKind::Removal, "with_person", &mut target);
    assert_eq!(tries(&play), 9);
    let best = play
        .deeds
        .iter()
        .filter_map(|deed| deed.settlement.run.verdict);
    assert_eq!(best.max(), Some(Verdict::ObservedAbsent));
    assert!(play.task(RunKind::Removal).why.contains("could not tell"));
}

#[test]
fn e2_a_try_with_a_wrong_password_is_made_once_in_a_removal() {
    let mut target = Target::new();
    let untold = ProbeFinding::CouldNotTell;
    target.doors.insert("sign-in".to_owned(), untold);
    let mut play = begun(&[("sign-in", true)]);
    play.until(RunKind::Removal, "with_person", &mut target);
    let task = play.task(RunKind::Removal);
    assert_eq!(task.class, Some(FailureClass::Unsupported));
    assert_eq!(task.code, "CB-PROBE-1");
    // However often the machine takes it up again, it does not send another.
    play.pass(7 * 86_400, &mut target);
    let sent = play.deeds.iter().filter_map(|deed| deed.performed.as_ref());
    let named = |effect: &crate::domain::step::Effect| match effect {
        crate::domain::step::Effect::Probe { probes } => probes.len(),
        _ => 0,
    };
    assert_eq!(sent.map(|(effect, ..)| named(effect)).sum::<usize>(), 1);
    assert_eq!(play.end(RunKind::Removal), None);
}

#[test]
fn e2_where_there_is_nothing_to_try_the_verdict_stays_what_the_look_proved() {
    let mut target = Target::new();
    let nothing = ProbeFinding::NothingToTry;
    target.doors.insert("token".to_owned(), nothing);
    let mut play = begun(&[("token", false)]);
    play.until(RunKind::Removal, "settle", &mut target);
    let run = play.run(RunKind::Removal);
    assert_eq!(run.verdict, Some(Verdict::ObservedAbsent));
    let last = play
        .journal
        .iter()
        .rfind(|line| line.state.as_str() == "probe");
    assert_eq!(last.expect("told").outcome, OutcomeKey::NotNeeded);
}

#[test]
fn e2_a_refusal_from_before_access_came_back_counts_for_nothing() {
    let mut target = Target::new();
    let mut play = begun(&[("sign-in", true)]);
    play.until(RunKind::Removal, "settle", &mut target);
    let back = (given::LEAVER.to_owned(), given::account("a-1"));
    target.accounts.insert("a-1".into(), back);
    play.until(RunKind::Removal, "inspect", &mut target);
    assert!(play.removal().probed.is_empty());
    // The one try is due again: what it said was about access that was there no more.
    play.pass(8000, &mut target);
    assert_eq!(tries(&play), 2);
    assert_eq!(play.end(RunKind::Removal), Some(End::Verified));
}

#[test]
fn e2_a_way_in_that_opens_again_within_a_day_begins_a_removal_of_its_own() {
    // Given an account whose ways in were refused, and whose removal has ended.
    let mut target = Target::new();
    let mut play = begun(&[("token", false)]);
    play.until(RunKind::Discovery, "settle", &mut target);
    assert_eq!(play.end(RunKind::Removal), Some(End::Verified));
    // When its token is let in at the last look, though no listing shows the account.
    target.doors.insert("token".to_owned(), ProbeFinding::LetIn);
    play.until(RunKind::Discovery, "remove_accounts", &mut target);
    play.pass(60, &mut target);
    // Then there is a second removal, and the case waits for it.
    let removals = play.runs.values();
    let removals = removals.filter(|run| run.kind == RunKind::Removal);
    assert_eq!(removals.count(), 2);
    assert_eq!(play.end(RunKind::Case), None);
    let looked = play
        .journal
        .iter()
        .rfind(|line| line.state.as_str() == "last_look");
    let detail = looked.and_then(|line| line.detail.clone()).expect("told");
    assert_eq!(detail["probes"][0]["finding"], "let_in");
    // When the door is shut, both are proved and the case ends.
    target
        .doors
        .insert("token".to_owned(), ProbeFinding::Refused);
    play.pass(7 * 86_400, &mut target);
    assert_eq!(play.end(RunKind::Case), Some(End::Verified));
}

#[test]
fn e2_a_probe_that_cannot_tell_a_day_later_keeps_the_case_open() {
    let mut target = Target::new();
    let mut play = begun(&[("token", false)]);
    play.until(RunKind::Discovery, "settle", &mut target);
    target
        .doors
        .insert("token".to_owned(), ProbeFinding::CouldNotTell);
    play.until(RunKind::Discovery, "with_person", &mut target);
    assert_eq!(play.task(RunKind::Discovery).code, "CB-PROBE-7");
    assert_eq!(play.end(RunKind::Case), None);
    // The machine goes on trying while a person has it.
    target
        .doors
        .insert("token".to_owned(), ProbeFinding::Refused);
    play.pass(7 * 86_400, &mut target);
    assert_eq!(play.end(RunKind::Case), Some(End::Verified));
}
