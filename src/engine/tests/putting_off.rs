//! B7: departures that are put off when their case has begun to act.
//!
//! Owns that the case stops and says so, and that the departure begins again on its new date, whole and
//! by itself, whatever people and later news do meanwhile. What a halt does to runs is `calling_off`.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::given::{self, LEAVER, attested, melbourne, news, stays};
use super::play::Play;
use super::storm::{Dice, Storm, connectors, rage};
use super::target::Target;
use super::ward::Ward;
use super::watch::Watch;
use crate::domain::access::AccountState;
use crate::domain::command::{Command, Wish};
use crate::domain::event::{EventKind, LifecycleEvent};
use crate::domain::id::{CaseId, CommandId, ConnectorName};
use crate::domain::outcome::FailureClass;
use crate::domain::run::{Run, RunBody};
use crate::domain::settlement::{AdmissionDecision, JournalEntry};
use crate::domain::task::FallbackTask;
use crate::domain::time::{Clock, Effective, Timestamp, after};
use crate::domain::workflow::{End, RunKind};
use crate::store::{CaseFilter, IntakeBatch};

/// What revision 2 says, and the same in UTC.
const LATER: &str = "2026-12-20T18:00:00";
const LATER_UTC: &str = "2026-12-20T07:00:00Z";
/// What revision 3 says, where there is one.
const MUCH_LATER: &str = "2027-01-10T18:00:00";
const MUCH_LATER_UTC: &str = "2027-01-10T07:00:00Z";

fn moves_to(revision: u64, local: &str) -> LifecycleEvent {
    news(EventKind::TerminationChanged, revision, melbourne(local))
}

fn instant(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

fn seconds(play: &Play, until: &str) -> u64 {
    u64::try_from(instant(until).duration_since(play.now).as_secs()).expect("ahead")
}

/// Put off when the removal stood before `state`; the targets, and the case that was stopped.
fn put_off_at(state: &str) -> (Play, Target, CaseId) {
    let mut target = Target::new();
    let mut play = Play::begun();
    play.until(RunKind::Removal, state, &mut target);
    let stopped = play.cases[0].row.id;
    let decision = play.hear(moves_to(2, LATER));
    assert!(matches!(decision, AdmissionDecision::PutOff { case, .. } if case == stopped));
    (play, target, stopped)
}

/// Everything that was performed for any case.
fn performed(play: &Play) -> usize {
    let mut of_cases = play.deeds.iter().filter(|deed| deed.before.case.is_some());
    of_cases
        .by_ref()
        .filter(|deed| deed.performed.is_some())
        .count()
}

/// What became of the one case that is not halted and was not called off.
fn on(play: &Play) -> (&Run, Option<End>) {
    let mut going = play.cases.iter().filter(|case| !case.halted);
    let case = going.find(|case| case.ended != Some(End::Rescinded));
    let case = case.expect("the departure goes on");
    (&play.runs[&case.row.id.run()], case.ended)
}

fn review(play: &Play, stopped: CaseId) -> &FallbackTask {
    &play.tasks[&stopped.run().task()]
}

fn is_in(target: &Target) -> bool {
    target.accounts.values().any(|(of, _)| of == LEAVER)
}

#[test]
fn b7_a_departure_put_off_after_it_began_begins_again_on_its_new_date() {
    let (mut play, mut target, stopped) = put_off_at("revoke_entitlements");
    let done = performed(&play);
    // Until then nothing more is done, and who may grant it gives the access back.
    target = Target {
        accounts: Target::new().accounts,
        ..target
    };
    play.pass(seconds(&play, LATER_UTC) - 1, &mut target);
    assert_eq!((performed(&play), is_in(&target)), (done, true));
    // The person who has the stopped case is told when it goes on, and what was done.
    let task = review(&play, stopped);
    assert_eq!(task.code, "CB-CASE-3");
    let other = on(&play).0.case.expect("a case").to_string();
    for part in [LATER_UTC, "revision 2", &other] {
        assert!(task.why.contains(part), "{}", task.why);
    }
    let steps = task.steps.join("\n");
    for part in [
        "crm, login-a-1 (a-1): disable done; end_sessions done; revoke_credential k-api done.",
        "Before, as of 2026-11-27",
        "enabled, 2 sessions, g-staff, k-api, r-sales",
        &format!("until {LATER_UTC}"),
    ] {
        assert!(steps.contains(part), "{steps}");
    }
    // Then it begins anew, and ends in proof; the review is still the person's.
    play.pass(3 * 86_400, &mut target);
    assert!(!is_in(&target));
    assert_eq!(on(&play).1, Some(End::Verified));
    assert!(!review(&play, stopped).is_closed());
}

#[test]
fn b7_the_same_news_twice_puts_off_once() {
    let (mut play, mut target, _) = put_off_at("revoke_credentials");
    let before = (play.runs.clone(), play.cases.len());
    assert_eq!(play.hear(moves_to(2, LATER)), AdmissionDecision::Ignore);
    assert_eq!((play.runs.clone(), play.cases.len()), before);
    play.pass(3600, &mut target);
    assert_eq!(play.hear(moves_to(2, LATER)), AdmissionDecision::Ignore);
    assert_eq!(play.cases.len(), 2);
}

#[test]
fn b7_a_review_that_a_person_closes_takes_no_date_away() {
    let (mut play, mut target, stopped) = put_off_at("revoke_credentials");
    play.pass(60, &mut target);
    let task = review(&play, stopped).id;
    assert!(play.close(task, "ann", Some(attested("ann"))).accepted);
    play.pass(60, &mut target);
    assert_eq!(play.cases[0].ended, Some(End::Halted));
    let left = seconds(&play, LATER_UTC);
    play.pass(left + 3 * 86_400, &mut target);
    assert!(!is_in(&target));
    assert_eq!(on(&play).1, Some(End::Verified));
}

#[test]
fn b7_a_departure_put_off_once_more_begins_on_the_last_date_and_the_review_tells_it() {
    let (mut play, mut target, stopped) = put_off_at("revoke_credentials");
    play.pass(60, &mut target);
    let done = performed(&play);
    let decision = play.hear(moves_to(3, MUCH_LATER));
    assert!(matches!(decision, AdmissionDecision::Reschedule { .. }));
    play.pass(seconds(&play, MUCH_LATER_UTC) - 1, &mut target);
    assert_eq!(performed(&play), done);
    let task = review(&play, stopped);
    assert!(
        task.why.contains(MUCH_LATER_UTC) && task.why.contains("revision 3"),
        "{}",
        task.why
    );
    assert!(task.steps.join("\n").contains(MUCH_LATER_UTC));
    play.pass(3 * 86_400, &mut target);
    assert!(!is_in(&target));
    assert_eq!(play.cases.len(), 2);
}

#[test]
fn b7_a_departure_put_off_again_after_it_began_again_is_not_lost() {
    let (mut play, mut target, stopped) = put_off_at("revoke_credentials");
    // Given that it began on its second date, and was put off a second time while it was at work.
    play.pass(seconds(&play, LATER_UTC) + 1, &mut target);
    let decision = play.hear(moves_to(3, MUCH_LATER));
    let AdmissionDecision::PutOff { case, again, .. } = decision else {
        panic!("{decision:?}");
    };
    target.accounts = Target::new().accounts;
    play.pass(60, &mut target);
    // Then both reviews tell the third.
    for case in [stopped, case] {
        let why = &review(&play, case).why;
        assert!(why.contains(&again.id.to_string()), "{why}");
    }
    play.pass(seconds(&play, MUCH_LATER_UTC) - 1, &mut target);
    assert!(is_in(&target));
    play.pass(3 * 86_400, &mut target);
    assert!(!is_in(&target));
}

#[test]
fn b7_a_departure_called_off_after_it_was_put_off_does_not_begin() {
    let (mut play, mut target, stopped) = put_off_at("revoke_credentials");
    play.pass(60, &mut target);
    let done = performed(&play);
    let decision = play.hear(stays(3));
    assert!(matches!(decision, AdmissionDecision::Rescind { .. }));
    assert_eq!(play.hear(stays(3)), AdmissionDecision::Ignore);
    play.pass(60 * 86_400, &mut target);
    assert_eq!(performed(&play), done);
    assert!(is_in(&target));
    // And nobody is told any more that it would.
    let task = review(&play, stopped);
    assert_eq!(task.code, "CB-CASE-2");
    assert!(!task.steps.join("\n").contains(LATER_UTC));
    // Unless it is on again, which the same person is told, too.
    play.hear(moves_to(4, MUCH_LATER));
    play.pass(60, &mut target);
    assert!(review(&play, stopped).why.contains(MUCH_LATER_UTC));
    play.pass(60 * 86_400, &mut target);
    assert!(!is_in(&target));
}

#[test]
fn b7_a_departure_called_off_when_it_was_over_on_its_new_date_is_a_persons_business() {
    let (mut play, mut target, _) = put_off_at("revoke_credentials");
    play.pass(seconds(&play, LATER_UTC) + 3 * 86_400, &mut target);
    assert_eq!(on(&play).1, Some(End::Verified));
    play.hear(stays(3));
    let codes: BTreeSet<_> = play.tasks.values().map(|task| task.code.as_str()).collect();
    assert!(codes.contains("CB-ADMIT-3"), "{codes:?}");
}

#[test]
fn b7_news_of_a_stopped_departure_come_to_the_same_in_any_order_of_arrival() {
    let told = [moves_to(2, LATER), stays(3), moves_to(4, MUCH_LATER)];
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let mut target = Target::new();
        let mut play = Play::begun();
        play.until(RunKind::Removal, "revoke_credentials", &mut target);
        let stopped = play.cases[0].row.id;
        for place in order {
            play.hear(told[place].clone());
            play.pass(60, &mut target);
        }
        let due = on(&play).0.stage.due();
        assert_eq!(due, Some(instant(MUCH_LATER_UTC)), "{order:?}");
        let task = review(&play, stopped);
        assert_eq!(task.code, "CB-CASE-3", "{order:?}");
        assert!(task.why.contains(MUCH_LATER_UTC), "{order:?}");
        assert_eq!(play.tasks_open().len(), 1, "{order:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn b7_put_off_at_any_stage_it_is_done_after_the_new_date_and_not_before(
        before in prop::collection::vec(any::<u32>(), 10..400),
        closings in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        // Given a departure that has come anywhere, in a world where anything may be said.
        let (what, mut who) = Dice::pair(&before);
        let mut play = Play::new(&connectors());
        play.hear(given::leaves());
        let mut watch = Watch::default();
        rage(&mut play, &mut Storm::new(what), &mut who, &mut watch);
        // When it is put off to a month later, and people close whatever they have.
        let month = after(play.now, 30 * 86_400);
        play.hear(news(EventKind::TerminationChanged, 2, at(month)));
        let begun = play.deeds.len();
        let names = connectors().into_iter().map(|(name, _)| ConnectorName::from(name));
        let mut targets: BTreeMap<_, _> = names.map(|name| (name, Target::new())).collect();
        for closing in closings {
            play.pass(86_400, &mut targets);
            let open: Vec<_> = play.tasks_open().iter().map(|task| task.id).collect();
            if let Some(task) = open.get(closing % open.len().max(1)) {
                play.close(*task, "ann", Some(attested("ann")));
                let statement = "I saw it too".to_owned();
                play.pass(60, &mut targets);
                play.wish("bob", Wish::ConfirmTask { task: *task, statement, meant: None });
            }
        }
        // Then nothing is performed before that date.
        let left = month.duration_since(play.now).as_secs().unsigned_abs();
        play.pass(left + 30 * 86_400, &mut targets);
        let later = play.deeds[begun..].iter().filter(|deed| deed.before.case.is_some());
        let early = later.filter_map(|deed| deed.performed.as_ref()).filter(|(.., at)| *at < month);
        prop_assert_eq!(early.count(), 0);
        // And some days after it, nobody signs in any more as the leaver, anywhere.
        for (name, target) in &targets {
            let theirs = target.accounts.values().filter(|(of, _)| of == LEAVER);
            let way_in = theirs.filter(|(_, account)| account.state == AccountState::Enabled);
            prop_assert_eq!(way_in.count(), 0, "{}", name);
        }
    }
}

/// What the journal says of a write that was under way when the departure was put off before `state`.
fn lost_at(state: &str, leased: bool) -> (Vec<(String, Option<String>)>, String) {
    let mut target = Target::new();
    let mut play = Play::begun();
    play.until(RunKind::Removal, state, &mut target);
    let (stopped, removal) = (play.cases[0].row.id, play.run(RunKind::Removal).id);
    if leased {
        play.leased = BTreeSet::from([removal, play.run(RunKind::Discovery).id, stopped.run()]);
    }
    play.hear(moves_to(2, LATER));
    play.pass(3600, &mut target);
    let unknown = |line: &&JournalEntry| line.class() == Some(FailureClass::UnknownOutcome);
    let lines = play.journal.iter().filter(unknown);
    let told = lines.map(|line| {
        let code = line.failure.as_ref().map(|failure| failure.code.as_str());
        assert_eq!((code, line.run), (Some("CB-CASE-4"), removal));
        (
            line.state.to_string(),
            line.item.as_ref().map(ToString::to_string),
        )
    });
    (told.collect(), review(&play, stopped).steps.join("\n"))
}

#[test]
fn b7_a_write_under_way_when_its_case_is_stopped_may_have_happened() {
    let none = |state: &str| vec![(state.to_owned(), None)];
    let (lines, steps) = lost_at("disable", true);
    assert_eq!(lines, none("disable"));
    assert!(
        steps.contains("disable may or may not have been done. Before"),
        "{steps}"
    );
    let (lines, steps) = lost_at("revoke_credentials", true);
    let key = ("revoke_credentials".to_owned(), Some("k-api".to_owned()));
    assert_eq!(lines, [key]);
    assert!(
        steps.contains("revoke_credential k-api may or may not have been done"),
        "{steps}"
    );
    let (lines, _) = lost_at("revoke_entitlements", true);
    assert_eq!(lines.len(), 2, "all of a wave are under way: {lines:?}");
    // A look changes nothing, and nothing is under way where no worker is at it.
    assert_eq!(lost_at("inspect", true).0, []);
    assert_eq!(lost_at("verify", true).0, []);
    let (lines, steps) = lost_at("disable", false);
    assert_eq!(lines, []);
    assert!(
        steps.contains("Nothing was changed at any target"),
        "{steps}"
    );
}

/// At this instant.
fn at(instant: Timestamp) -> Effective {
    Effective::At {
        local: instant.to_zoned(jiff::tz::TimeZone::UTC).datetime(),
        zone: "UTC".to_owned(),
    }
}

#[tokio::test]
async fn b7_the_store_keeps_the_new_date_and_the_review_lists_what_was_done() {
    // Given a departure at work in a real store, whose account is gone by now.
    let ward = Ward::new("", false).await;
    ward.leaver_leaves().await;
    ward.work(120).await;
    // When it is put off by ten days, and the account is given back.
    let mut event = news(EventKind::TerminationChanged, 2, Effective::Immediately);
    let later = after(ward.clock.now(), 10 * 86_400);
    event.effective = at(later);
    let first = ward
        .store
        .cases(&CaseFilter::default())
        .await
        .expect("read")
        .remove(0);
    let story = ward
        .store
        .case(first.row.id)
        .await
        .expect("read")
        .expect("there");
    let case = story.runs.iter().find_map(|run| match &run.body {
        RunBody::Case(body) => Some(body.clone()),
        _ => None,
    });
    event.subject = case.expect("a case").subject;
    let batch = IntakeBatch {
        events: vec![given::recorded(event, ward.clock.now())],
        ..IntakeBatch::default()
    };
    ward.store.record(&batch).await.expect("recorded");
    ward.work(120).await;
    ward.target
        .shown()
        .accounts
        .extend(super::ward::numbered(&["a-1"]));
    // Then the one who reviews it sees both, and closes it.
    let open = ward.open_tasks().await;
    let codes: Vec<_> = open.iter().map(|task| task.code.as_str()).collect();
    assert_eq!(codes, ["CB-CASE-3"]);
    assert!(open[0].why.contains(&later.to_string()), "{}", open[0].why);
    assert!(
        open[0].steps[0].starts_with("crm, login-a-1 (a-1): "),
        "{:?}",
        open[0].steps
    );
    let command = Command {
        id: CommandId(open[0].id.0),
        by: "ann".to_owned(),
        at: ward.clock.now(),
        wish: Wish::CloseTask {
            task: open[0].id,
            note: "restored".to_owned(),
            attestation: Some(attested("ann")),
        },
    };
    ward.store.wish(&command).await.expect("in line");
    ward.engine.obey().await.expect("obeyed");
    ward.work(600).await;
    assert_eq!(ward.target.shown().accounts.len(), 5, "not before its date");
    ward.work(12 * 86_400).await;
    assert_eq!(ward.target.shown().accounts.len(), 4);
    let mut cases = ward
        .store
        .cases(&CaseFilter::default())
        .await
        .expect("read");
    cases.sort_by_key(|case| case.row.opened);
    let ends: Vec<_> = cases.iter().map(|case| case.ended).collect();
    assert_eq!(ends, [Some(End::Halted), Some(End::Verified)]);
}
