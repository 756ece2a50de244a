//! E3 and E4: accounts of settled cases that a survey shows again, and accounts that only the
//! inventory still shows.
//!
//! Owns the whole engine over one scripted target. What a return within a case means is in `ways_in`.

use super::ward::{Ward, approved, numbered, text};
use crate::domain::id::RunId;
use crate::domain::run::{Run, RunBody};
use crate::domain::settlement::JournalEntry;
use crate::domain::workflow::{End, RunKind};
use crate::store::{CaseFilter, CaseReport};

/// Longer than a case takes.
const A_LONG_TIME: u64 = 30 * 3600;

async fn cases(ward: &Ward) -> Vec<CaseReport> {
    let cases = ward.store.cases(&CaseFilter::default()).await;
    let mut cases = cases.expect("read");
    cases.sort_by_key(|case| case.row.opened);
    cases
}

/// A case that has settled, and two good surveys after it.
async fn settled() -> Ward {
    let ward = Ward::new("", false).await;
    ward.survey_after(0).await.expect("due");
    ward.leaver_leaves().await;
    ward.work(A_LONG_TIME).await;
    assert_eq!(cases(&ward).await[0].ended, Some(End::Verified));
    for _ in 0..2 {
        let kept = ward.survey_after(60).await.expect("due");
        assert_eq!(kept.sample.came_back, 0);
    }
    ward
}

#[tokio::test]
async fn e3_an_account_of_a_settled_case_that_a_survey_shows_is_removed_again() {
    let ward = settled().await;
    // When another system brings the account back, under its own id or made anew.
    ward.target.shown().accounts.extend(numbered(&["a-1"]));
    let kept = ward.survey_after(60).await.expect("due");
    assert_eq!(kept.sample.came_back, 1);
    // However often it is seen, it comes back once.
    ward.survey_after(60).await.expect("due");
    ward.work(A_LONG_TIME).await;
    let all = cases(&ward).await;
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].ended, Some(End::Verified));
    assert_eq!(ward.target.shown().accounts.len(), 4);
    // And the second case names the removal that it is about.
    let first = ward.ended().await.remove(0);
    assert_eq!(all[1].row.hr_case, format!("seen-again/{}", first.id));
}

#[tokio::test]
async fn e3_a_case_of_a_return_tells_when_it_was_and_who_likely_brought_it() {
    let ward = settled().await;
    ward.target.shown().accounts.extend(numbered(&["a-1"]));
    let before = crate::domain::time::Clock::now(&*ward.clock);
    ward.survey_after(60).await.expect("due");
    let mut told = None;
    let admit = |event: &crate::domain::event::RecordedEvent| told = event.event.reason.clone();
    ward.waiting(admit).await;
    let told = told.expect("a reason");
    assert!(told.contains("account login-a-1 is there"), "{told}");
    assert!(told.contains("last seen absent at"), "{told}");
    let seen = crate::domain::time::after(before, 60).to_string();
    assert!(told.contains(&format!("there again at {seen}")), "{told}");
    assert!(told.contains("likely brought back by hr-sync"), "{told}");
}

#[tokio::test]
async fn e3_a_login_that_was_given_to_somebody_else_is_no_return() {
    let ward = settled().await;
    let mut another = numbered(&["a-9"]).remove(0);
    another.login = "login-a-1".to_owned();
    ward.target.shown().accounts.push(another);
    let kept = ward.survey_after(60).await.expect("due");
    assert_eq!(kept.sample.came_back, 0);
    // One made anew for the leaver, under another id, is.
    let mut again = numbered(&["a-1"]).remove(0);
    again.id = "a-77".into();
    ward.target.shown().accounts.push(again);
    let kept = ward.survey_after(60).await.expect("due");
    assert_eq!(kept.sample.came_back, 1);
}

/// The journal of the discovery of the first case.
async fn searches(ward: &Ward) -> Vec<JournalEntry> {
    let case = cases(ward).await.remove(0);
    let story = ward.store.case(case.row.id).await.expect("read");
    let runs = story.expect("there").runs;
    let discovery = runs.iter().find(|run| run.kind == RunKind::Discovery);
    let id: RunId = discovery.expect("begun").id;
    let (run, journal) = ward.store.run(id).await.expect("read").expect("there");
    assert!(matches!(run.body, RunBody::Discovery(_)));
    journal
}

#[tokio::test]
async fn e4_an_account_that_only_the_inventory_still_shows_is_resolved_by_a_read() {
    // Given an inventory with the leaver's account, which somebody has deleted meanwhile.
    let ward = Ward::new("", false).await;
    ward.survey_after(0).await.expect("due");
    ward.target
        .shown()
        .accounts
        .retain(|one| one.id.as_str() != "a-1");
    ward.leaver_leaves().await;
    ward.work(600).await;
    // Then that it is gone is known by a read, and recorded.
    let journal = searches(&ward).await;
    let detail = journal[0].detail.clone().expect("told");
    assert_eq!(detail["gone"][0]["account"], "a-1");
    assert_eq!(detail["gone"][0]["method"], "read");
    assert!(detail["gone"][0]["last_seen"].is_string());
    let removed = |run: &Run| run.kind == RunKind::Removal;
    assert!(!ward.ended().await.iter().any(removed));
}

#[tokio::test]
async fn e4_an_account_that_a_listing_leaves_out_and_a_read_shows_is_found() {
    // Given a listing that leaves the leaver's account out without saying so.
    let ward = Ward::new("", false).await;
    ward.survey_after(0).await.expect("due");
    ward.target.shown().unlisted = Some("a-1".into());
    ward.leaver_leaves().await;
    ward.work(A_LONG_TIME).await;
    // Then the read finds it, and it is removed.
    let there = |one: &crate::domain::access::Account| one.id.as_str() == "a-1";
    assert!(!ward.target.shown().accounts.iter().any(there));
    assert_eq!(ward.ended().await.len(), 1);
}

#[tokio::test]
async fn e5_the_last_look_reads_what_a_list_without_entitlements_does_not_show() {
    let manifest = text("", false)
        .replace("account_gone", "account_powerless")
        .replace("writes = [\"*\"]", "writes = [\"active\"]")
        .replace(
            "\"delete\"]",
            "\"disable\", \"revoke_entitlement\", \"revoke_credential\"]",
        )
        .replace(
            "disable = \"deletion does it\"\n",
            "delete = \"accounts stay\"\n",
        )
        .replace("revoke_entitlement = \"deletion does it\"\n", "")
        .replace("revoke_credential = \"deletion does it\"\n", "")
        .replace("there are none", "they end with the account");
    let ward = Ward::under(approved(&manifest)).await;
    ward.target.shown().bare = true;
    let has = |ward: &Ward| {
        let shown = ward.target.shown();
        let account = shown.accounts.iter().find(|one| one.id.as_str() == "a-1");
        account.expect("stays").entitlements.len()
    };
    ward.leaver_leaves().await;
    ward.target.shown().accounts[0].sessions = Some(0);
    ward.work(3 * 3600).await;
    assert_eq!((has(&ward), cases(&ward).await[0].ended), (0, None));
    // When somebody gives it a role again before the day is over.
    let given = numbered(&["a-1"]).remove(0).entitlements;
    ward.target.shown().accounts[0].entitlements = given;
    ward.work(A_LONG_TIME).await;
    assert_eq!(has(&ward), 0);
    ward.work(A_LONG_TIME).await;
    assert_eq!(cases(&ward).await[0].ended, Some(End::Verified));
}
