//! E5 and C10: searches that could not have found the leaver, and searches that came too early.
//!
//! Owns targets that tell accounts apart by what the event does not tell, the second look at targets that
//! had nothing, searches that found nobody while their target was silently wrong, and what is somebody else's
//! by the time that it is to be written.

use std::collections::BTreeMap;

use super::given::{self, account, facts};
use super::manifests::approved;
use super::play::Play;
use super::target::Target;
use super::ward::{NUMBER, Ward, numbered, text};
use crate::domain::access::AccountState;
use crate::domain::correlation::{Pair, Rule, blind};
use crate::domain::event::{EventKind, LifecycleEvent};
use crate::domain::health::State;
use crate::domain::id::ConnectorName;
use crate::domain::outcome::FailureClass;
use crate::domain::run::{Run, RunBody};
use crate::domain::subject::{Identifier, Subject, SubjectKind};
use crate::domain::time::{Clock, after};
use crate::domain::workflow::{End, RunKind};
use crate::store::{CaseFilter, IntakeBatch, Keep};

const DAY: u64 = 86_400;

fn identifier(kind: &str, value: &str) -> Identifier {
    Identifier {
        kind: kind.to_owned(),
        value: value.to_owned(),
    }
}

fn of(kind: SubjectKind, identifiers: &[(&str, &str)]) -> Subject {
    let told = identifiers.iter();
    Subject {
        kind,
        identifiers: told.map(|(kind, value)| identifier(kind, value)).collect(),
        ..given::leaver()
    }
}

#[test]
fn e5_a_rule_finds_nobody_who_is_told_by_nothing_that_it_decides_by() {
    let pair = |identifier: &str, decides| Pair {
        identifier: identifier.to_owned(),
        attribute: identifier.to_owned(),
        decides,
        also: Vec::new(),
        contradicts: true,
    };
    let rule = Rule {
        pairs: vec![pair("employee_number", true), pair("email", false)],
    };
    let (person, nhi) = (SubjectKind::Person, SubjectKind::Nhi);
    for (subject, is_blind) in [
        (of(person, &[("employee_number", "E1")]), false),
        (of(person, &[("employee_number", "")]), true),
        (of(person, &[("username", "ada"), ("email", "a@b")]), true),
        (of(person, &[("account", "crm/17")]), false),
        (of(person, &[("account", "wiki/17")]), true),
        // An identity that is told by its accounts is where these are.
        (of(nhi, &[("account", "wiki/17")]), false),
        (of(nhi, &[("username", "svc-x")]), true),
    ] {
        let found = blind(&"crm".into(), &rule, &subject);
        assert_eq!(found.is_some(), is_blind, "{:?}", subject.identifiers);
        if let Some(failure) = found {
            assert_eq!(
                (failure.class, failure.code.as_str()),
                (FailureClass::Ambiguous, "CB-MATCH-2")
            );
            assert!(failure.message.contains("employee_number"));
            assert!(!failure.message.contains("email"), "{}", failure.message);
        }
    }
}

/// The leaver of account `a-1`, told by these identifiers, leaves this ward.
async fn leaves(ward: &Ward, identifiers: Vec<Identifier>) {
    let mut event = given::leaves();
    event.subject.identifiers = identifiers;
    record(ward, event).await;
}

async fn record(ward: &Ward, event: LifecycleEvent) {
    let batch = IntakeBatch {
        events: vec![given::recorded(event, ward.clock.now())],
        ..IntakeBatch::default()
    };
    ward.store.record(&batch).await.expect("recorded");
}

#[tokio::test]
async fn e5_a_target_that_could_not_have_found_the_leaver_is_a_persons() {
    // Given two targets: one tells accounts apart by login, the other by employee number.
    let by_login = text("", false)
        .replace(
            "identifier = \"employee_number\"",
            "identifier = \"username\"",
        )
        .replace(
            &format!("attribute = \"{NUMBER}\""),
            "attribute = \"login\"",
        );
    let other = text("", false).replace("name = \"crm\"", "name = \"hr-suite\"");
    let ward = Ward::behind(approved(&by_login), Some(approved(&other))).await;
    // When somebody leaves of whom the event tells the username alone.
    let login = ward.target.shown().accounts[0].login.clone();
    leaves(&ward, vec![identifier("username", &login)]).await;
    ward.work(3 * DAY).await;
    // Then the first is done with, and a person looks at the second, where the account lives.
    assert_eq!(ward.target.shown().accounts.len(), 4);
    assert_eq!(ward.upstream.shown().accounts.len(), 5);
    let tasks = ward.open_tasks().await;
    let told: Vec<_> = tasks
        .iter()
        .map(|task| (task.code.as_str(), task.connector.clone()))
        .collect();
    assert_eq!(told, [("CB-MATCH-2", Some("hr-suite".into()))]);
    assert!(tasks[0].why.contains("employee_number"), "{}", tasks[0].why);
    let cases = ward.store.cases(&CaseFilter::default()).await;
    assert_eq!(cases.expect("read")[0].ended, None);
}

#[tokio::test]
async fn e5_an_account_that_is_named_at_a_target_nobody_knows_is_a_persons() {
    let ward = Ward::new("", false).await;
    let named = ["crm/a-1", "legacy/x"].map(|value| identifier("account", value));
    let mut event = given::leaves();
    event.kind = EventKind::NhiRetired;
    event.subject.kind = SubjectKind::Nhi;
    event.subject.identifiers = named.into();
    record(&ward, event).await;
    ward.work(3 * DAY).await;
    // The one is gone, and the case does not end without the other.
    assert_eq!(ward.target.shown().accounts.len(), 4);
    let tasks = ward.open_tasks().await;
    let told: Vec<_> = tasks.iter().map(|task| task.connector.clone()).collect();
    assert_eq!(told, [Some("legacy".into())]);
    let cases = ward.store.cases(&CaseFilter::default()).await;
    assert_eq!(cases.expect("read")[0].ended, None);
}

/// Steps what is due until a removal is about to begin.
async fn until_removal(ward: &Ward) {
    until(ward, |run| run.kind == RunKind::Removal).await;
}

/// Steps what is due until this is so of a run before its step.
async fn until(ward: &Ward, so: impl Fn(&Run) -> bool) {
    let none = ward.none_kept();
    let keep = Keep {
        at_most: 1,
        ..none.clone()
    };
    ward.engine.admit(&none).await.expect("admitted");
    for _ in 0..100 {
        let now = ward.clock.now();
        let claimed = ward.store.claim(now, &keep).await.expect("claimed");
        let one = claimed.first().expect("something is due");
        let begins = so(&one.run);
        if !begins {
            let settlement = ward.engine.step(one).await.expect("consistent");
            let settled = ward.store.settle(now, &none, &[settlement]).await;
            assert_eq!(settled.expect("settled").accepted, [true]);
        }
        let given = [(one.run.id, one.token)];
        let released = ward.store.release(ward.worker, &given).await;
        released.expect("free");
        if begins {
            return;
        }
    }
    panic!("that was never so");
}

#[tokio::test]
async fn p30_an_id_that_is_somebody_elses_by_the_first_write_is_left_alone() {
    // Given an account that was found, and a target that is restored before anything is written: its id is
    // now that of somebody else, or of the same person under another login.
    for (number, is_left) in [("n-z", true), ("n-a-1", false)] {
        let ward = Ward::new("", false).await;
        ward.leaver_leaves().await;
        until_removal(&ward).await;
        {
            let mut shown = ward.target.shown();
            let account = &mut shown.accounts[0];
            account.login = "somebody".to_owned();
            account
                .attributes
                .insert(NUMBER.to_owned(), number.to_owned());
        }
        ward.work(3600).await;
        let left = ward.target.shown().accounts.len();
        assert_eq!(left == 5, is_left, "{number}");
        let tasks = ward.open_tasks().await;
        let codes: Vec<_> = tasks.iter().map(|task| task.code.as_str()).collect();
        assert_eq!(codes == ["CB-MATCH-3"], is_left, "{codes:?}");
    }
}

#[tokio::test]
async fn p30_an_id_that_is_somebody_elses_after_a_write_is_left_alone() {
    // Given a removal that has written, at a target that then fails until a person has it.
    let ward = Ward::new("", false).await;
    ward.leaver_leaves().await;
    let wrote =
        |run: &Run| matches!(&run.body, RunBody::Removal(body) if body.last_write.is_some());
    ward.target.shown().deaf = true;
    until(&ward, wrote).await;
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    ward.work(30 * DAY).await;
    assert_eq!(ward.open_tasks().await.len(), 1);
    // When the id has gone to somebody else under the same login, and the target answers.
    {
        let mut shown = ward.target.shown();
        (shown.fails, shown.deaf) = (None, false);
        let attributes = &mut shown.accounts[0].attributes;
        attributes.insert(NUMBER.to_owned(), "n-z".to_owned());
    }
    ward.work(3 * DAY).await;
    // Then nothing is written there, and a person is told why.
    assert_eq!(ward.target.shown().accounts.len(), 5);
    assert_eq!(ward.target.shown().accounts[0].state, AccountState::Enabled);
    let tasks = ward.open_tasks().await;
    let codes: Vec<_> = tasks.iter().map(|task| task.code.as_str()).collect();
    assert_eq!(codes, ["CB-MATCH-3"]);
}

/// Two targets: the leaver has an account at `crm`, and none at `wiki` yet.
fn two() -> (Play, BTreeMap<ConnectorName, Target>) {
    let mut play = Play::new(&[("crm", facts()), ("wiki", facts())]);
    let targets = BTreeMap::from([
        ("crm".into(), Target::new()),
        ("wiki".into(), Target::new().empty()),
    ]);
    play.hear(given::leaves());
    (play, targets)
}

fn appears(targets: &mut BTreeMap<ConnectorName, Target>, at: &str, id: &str) {
    let target = targets.get_mut(&at.into()).expect("is there");
    let made = (given::LEAVER.to_owned(), account(id));
    target.accounts.insert(id.into(), made);
}

fn discoveries<'p>(play: &'p Play, at: &str) -> Vec<&'p Run> {
    let runs = play
        .runs
        .values()
        .filter(|run| run.kind == RunKind::Discovery && run.connector.as_ref() == Some(&at.into()));
    runs.collect()
}

#[test]
fn e5_a_target_that_had_nothing_is_searched_once_more_a_day_later() {
    let (mut play, mut targets) = two();
    play.pass(7200, &mut targets);
    // Given a target that has been looked through, and an account that is made there later.
    assert!(discoveries(&play, "wiki")[0].stage.ended());
    appears(&mut targets, "wiki", "w-late");
    play.pass(3 * DAY, &mut targets);
    // Then it was removed in the same case, which ended after that.
    let wiki = &targets[&ConnectorName::from("wiki")];
    assert!(wiki.accounts.is_empty(), "{:?}", wiki.accounts);
    assert_eq!(discoveries(&play, "wiki").len(), 2);
    assert_eq!(discoveries(&play, "crm").len(), 1, "it had its last look");
    assert_eq!(play.cases.len(), 1);
    assert_eq!(play.end(RunKind::Case), Some(End::Verified));
    // And no secret was replaced twice for that.
    assert!(play.wished.is_empty());
}

#[test]
fn e5_the_second_search_waits_as_long_as_the_others_do() {
    let (mut play, mut targets) = two();
    // Given a removal that a person ends within the hour.
    let crm = targets.get_mut(&"crm".into()).expect("is there");
    crm.fail("find", FailureClass::Ambiguous);
    appears(&mut targets, "wiki", "w-1");
    appears(&mut targets, "wiki", "w-2");
    play.pass(2 * DAY, &mut targets);
    let task = play.tasks_open()[0].id;
    play.close(task, "ann", Some(given::attested("ann")));
    play.pass(60, &mut targets);
    // Then a case without any empty target ends with it.
    assert_eq!(play.end(RunKind::Case), Some(End::Attested));
    assert_eq!(discoveries(&play, "wiki").len(), 1);

    let (mut play, mut targets) = two();
    let second = given::dawn();
    play.until(RunKind::Case, "look_again", &mut targets);
    let again = discoveries(&play, "wiki");
    let due = again.iter().filter_map(|run| run.stage.due()).max();
    assert!(due.expect("it waits or is due") >= after(second, 82_800));
}

#[test]
fn e5_a_target_that_a_person_sorted_out_is_left_alone_for_a_day_before_its_last_look() {
    // Given an account that is the leaver's, removed, and one that may be, which a person sorts out at once.
    let mut target = Target::new();
    target.unclear = vec!["only a reassignable identifier points to zed".to_owned()];
    let mut play = Play::begun();
    play.until(RunKind::Discovery, "with_person", &mut target);
    target.unclear.clear();
    let task = play.task(RunKind::Discovery).id;
    play.close(task, "ann", None);
    play.pass(3600, &mut target);
    assert_eq!(play.run(RunKind::Discovery).stage.name(), "settle");
    // When the account comes back that evening.
    let back = (given::LEAVER.to_owned(), account("a-1"));
    target.accounts.insert("a-1".into(), back);
    play.pass(4 * DAY, &mut target);
    // Then it was taken away again in the same case.
    assert!(!target.accounts.contains_key(&"a-1".into()));
    assert_eq!(play.end(RunKind::Case), Some(End::Verified));
}

#[tokio::test]
async fn e5_the_second_search_is_asked_of_the_store() {
    let other = approved(&text("", false).replace("name = \"crm\"", "name = \"wiki\""));
    let ward = Ward::behind(approved(&text("", false)), Some(other)).await;
    ward.upstream.shown().accounts.remove(0);
    ward.leaver_leaves().await;
    ward.work(7200).await;
    ward.upstream.shown().accounts.extend(numbered(&["a-1"]));
    ward.work(3 * DAY).await;
    assert_eq!(ward.upstream.shown().accounts.len(), 4);
    let cases = ward.store.cases(&CaseFilter::default()).await;
    let cases = cases.expect("read");
    assert_eq!((cases.len(), cases[0].ended), (1, Some(End::Verified)));
}

#[tokio::test]
async fn c6_accounts_that_show_nothing_that_decides_prove_no_absence() {
    let ward = Ward::new("", false).await;
    for one in &mut ward.target.shown().accounts {
        one.attributes.remove(NUMBER);
    }
    ward.leaver_leaves().await;
    ward.work(2 * 3600).await;
    let tasks = ward.open_tasks().await;
    assert_eq!(tasks[0].code, "CB-ENGINE-6");
    assert!(tasks[0].why.contains(NUMBER), "{}", tasks[0].why);
    let known = ward.store.inventory(&"crm".into()).await.expect("read");
    assert!(known.is_none_or(|known| known.whole_at.is_none()));
}

#[tokio::test]
async fn c10_a_search_that_found_nobody_while_its_target_was_wrong_is_made_again() {
    // Given a target that shows whose most of its accounts are no more, and nobody has noticed yet.
    let ward = Ward::new("", false).await;
    let ids: Vec<_> = (1..=12).map(|number| format!("a-{number}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    ward.target.shown().accounts = numbered(&ids);
    ward.survey_after(0).await.expect("due");
    for one in ward.target.shown().accounts.iter_mut().take(11) {
        one.attributes.remove(NUMBER);
    }
    // When somebody leaves who has an account there.
    ward.leaver_leaves().await;
    ward.work(600).await;
    let ended = ward.ended().await;
    assert!(
        matches!(&ended[..], [run] if matches!(run.body, RunBody::Discovery(_))),
        "{ended:?}"
    );
    let drifted = ward.survey_after(60).await.expect("due");
    assert_eq!(drifted.sample.state, State::Drifted);
    // Then that search is made again when the target is itself, and tells of the account.
    ward.target.shown().accounts = numbered(&ids);
    let well = ward.survey_after(60).await.expect("due");
    assert_eq!((well.sample.seen_again, well.sample.came_back), (1, 1));
    ward.work(2 * DAY).await;
    assert_eq!(ward.target.shown().accounts.len(), 11);
}
