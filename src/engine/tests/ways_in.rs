//! E3 and E5: every way in is looked for before a case settles, and what comes back is named.
//!
//! Owns the last look of a discovery, accounts that only a person can place, inherited access, and
//! what is said of a return.

use super::given::{self, CRM, account, facts};
use super::play::Play;
use super::target::Target;
use crate::domain::access::AccountState;
use crate::domain::outcome::FailureClass;
use crate::domain::run::{Run, RunBody};
use crate::domain::time::after;
use crate::domain::verdict::Expectation;
use crate::domain::workflow::{End, RunKind};

const DAY: u64 = 86_400;

fn removals(play: &Play) -> Vec<&Run> {
    let runs = play.runs.values();
    runs.filter(|run| run.kind == RunKind::Removal).collect()
}

#[test]
fn e5_an_account_that_appears_after_the_first_search_is_removed_in_the_same_case() {
    // Given a leaver whose account is removed and proved gone.
    let mut target = Target::new();
    let mut play = Play::begun();
    play.until(RunKind::Discovery, "settle", &mut target);
    assert_eq!(play.end(RunKind::Case), None);
    // When a test account of theirs turns up before the day is over.
    let second = (given::LEAVER.to_owned(), account("a-test"));
    target.accounts.insert("a-test".into(), second);
    play.pass(3 * DAY, &mut target);
    // Then it was removed too, and the case ended after that.
    assert!(!target.accounts.contains_key(&"a-test".into()));
    assert_eq!(removals(&play).len(), 2);
    assert_eq!(play.end(RunKind::Case), Some(End::Verified));
}

#[test]
fn e3_an_account_that_comes_back_after_its_removal_ended_gets_a_removal_of_its_own() {
    let mut target = Target::new();
    let mut play = Play::begun();
    play.until(RunKind::Discovery, "settle", &mut target);
    assert_eq!(play.end(RunKind::Removal), Some(End::Verified));
    let back = (given::LEAVER.to_owned(), account("a-1"));
    target.accounts.insert("a-1".into(), back);
    play.pass(3 * DAY, &mut target);
    // Then the ended one stayed ended, and a second one took the access away again.
    let all = removals(&play);
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|run| run.stage.ended()));
    assert!(!target.accounts.contains_key(&"a-1".into()));
    assert_eq!(play.end(RunKind::Case), Some(End::Verified));
}

#[test]
fn e5_an_account_that_stays_without_any_access_is_not_removed_again() {
    let mut kept = facts();
    kept.expect = Expectation::AccountPowerless;
    let delete = crate::domain::access::Operation::Delete;
    kept.operations.remove(&delete);
    kept.without.insert(delete, "accounts stay".to_owned());
    let mut target = Target::new();
    let mut play = Play::new(&[(CRM, kept)]);
    play.hear(given::leaves());
    play.pass(3 * DAY, &mut target);
    assert!(target.accounts.contains_key(&"a-1".into()));
    assert_eq!(removals(&play).len(), 1);
    assert_eq!(play.end(RunKind::Case), Some(End::Verified));
}

#[test]
fn e5_what_may_be_the_leavers_goes_to_a_person_and_holds_nothing_else_up() {
    // Given a target with an account that is the leaver's and one that may be.
    let mut target = Target::new();
    target.unclear = vec!["only a reassignable identifier points to zed".to_owned()];
    let mut play = Play::begun();
    play.until(RunKind::Discovery, "with_person", &mut target);
    // Then the clear one is gone, and the other has a task, without a day's wait.
    assert!(!target.accounts.contains_key(&"a-1".into()));
    let task = play.task(RunKind::Discovery);
    assert_eq!(task.class, Some(FailureClass::Ambiguous));
    assert!(task.why.contains("zed"), "{}", task.why);
    assert!(task.opened < after(given::dawn(), DAY));
    // And when a person has told whose it is, the case ends with the last look, a day later.
    target.unclear.clear();
    let id = task.id;
    play.close(id, "ann", None);
    play.pass(DAY, &mut target);
    assert_eq!(play.end(RunKind::Case), Some(End::Verified));
}

#[test]
fn e5_a_target_that_cannot_be_searched_at_the_end_is_a_persons() {
    let mut target = Target::new();
    let mut play = Play::begun();
    play.until(RunKind::Discovery, "settle", &mut target);
    target.fail("find", FailureClass::Refused);
    play.pass(DAY, &mut target);
    assert_eq!(play.run(RunKind::Discovery).stage.name(), "with_person");
    assert_eq!(play.end(RunKind::Case), None);
    // The machine goes on trying, and finishes by itself.
    target.fails.clear();
    play.pass(DAY, &mut target);
    assert_eq!(play.end(RunKind::Case), Some(End::Verified));
}

#[test]
fn e5_inherited_access_is_reported_with_the_parent_at_which_it_must_be_removed() {
    let mut kept = facts();
    kept.expect = Expectation::AccountPowerless;
    let delete = crate::domain::access::Operation::Delete;
    kept.operations.remove(&delete);
    kept.without.insert(delete, "accounts stay".to_owned());
    // Given a group that the account has through another.
    let mut target = Target::new();
    let id = "a-1".into();
    let (_, mine) = target.accounts.get_mut(&id).expect("is there");
    mine.entitlements.truncate(1);
    mine.entitlements[0].inherited_from = Some("g-everybody".to_owned());
    let mut play = Play::new(&[(CRM, kept)]);
    play.hear(given::leaves());
    play.until(RunKind::Removal, "with_person", &mut target);
    // Then the account is contained, and the task says where the rest must be removed.
    let (_, mine) = &target.accounts[&id];
    assert_eq!(mine.state, AccountState::Disabled);
    let task = play.task(RunKind::Removal);
    assert_eq!(task.class, Some(FailureClass::Inherited));
    assert!(task.why.contains("g-staff at g-everybody"), "{}", task.why);
    // And it is not asked again and again meanwhile.
    let looks = play.effects().into_iter();
    let looks = looks.filter(|effect| super::target::name(effect) == "observe");
    assert_eq!(looks.count(), 1);
}

#[test]
fn e3_a_return_is_told_with_when_it_was_and_who_likely_brought_it() {
    let mut fed = facts();
    fed.fed_by = Some("hr-sync".to_owned());
    let mut target = Target::new();
    let mut play = Play::new(&[(CRM, fed)]);
    play.hear(given::leaves());
    for _ in 0..3 {
        play.until(RunKind::Removal, "settle", &mut target);
        let back = (given::LEAVER.to_owned(), account("a-1"));
        target.accounts.insert("a-1".into(), back);
        play.skip();
        play.rest(&mut target);
    }
    let RunBody::Removal(body) = &play.run(RunKind::Removal).body else {
        panic!("a removal");
    };
    assert_eq!(body.returned.len(), 3);
    let first = &body.returned[0];
    assert!(first.absent_at < first.seen_at);
    assert_eq!(first.likely_source.as_deref(), Some("hr-sync"));
    let why = &play.task(RunKind::Removal).why;
    assert!(why.contains("likely brought back by hr-sync"), "{why}");
    assert!(why.contains(&body.returned[2].seen_at.to_string()), "{why}");
}
