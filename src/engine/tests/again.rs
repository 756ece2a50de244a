//! C10: what was settled while a connector was away, seen again when it is back.
//!
//! Owns the promises as the engine keeps them with store and guard: what is there again goes through the
//! ordinary door, and one that cannot be judged holds up neither the others nor itself for ever.

use super::given::{self, attested};
use super::ward::{Ward, approved, numbered, text};
use crate::domain::command::{Command, Wish};
use crate::domain::event::Urgency;
use crate::domain::health::{Advance, Tally};
use crate::domain::id::CommandId;
use crate::domain::outcome::FailureClass;
use crate::domain::subject::Identifier;
use crate::domain::time::{Clock, Effective};
use crate::domain::workflow::End;
use crate::store::{CaseFilter, IntakeBatch};

/// A departure has come to its end by then, settle times included.
const A_LONG_TIME: u64 = 30 * 3600;
/// How long a survey is leased under the manifest's defaults: two listings, two reads, two minutes.
const LEASED: i64 = 2 * (300 + 10 + 60);

#[tokio::test]
async fn c10_what_was_settled_while_it_was_away_is_seen_again() {
    // Given a removal that was settled after the last good survey.
    let ward = Ward::new("", false).await;
    ward.survey_after(0).await.expect("due");
    ward.leaver_leaves().await;
    ward.work(A_LONG_TIME).await;
    assert_eq!(ward.ended().await.len(), 1);
    // When the connector fails, the account comes back unseen, and the connector is back.
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    ward.survey_after(60).await.expect("due");
    {
        let mut shown = ward.target.shown();
        shown.fails = None;
        shown.accounts.extend(numbered(&["a-1"]));
    }
    let back = ward.survey_after(60).await.expect("due");
    // Then it is seen again and found, and goes through the ordinary door.
    assert_eq!((back.sample.seen_again, back.sample.came_back), (1, 1));
    assert!(
        ward.standing().await.recheck.is_none(),
        "nothing is left to see"
    );
    ward.work(A_LONG_TIME).await;
    let cases = ward
        .store
        .cases(&CaseFilter::default())
        .await
        .expect("read");
    assert_eq!(cases.len(), 2);
    assert!(
        cases.iter().all(|case| case.ended == Some(End::Verified)),
        "{cases:?}"
    );
    assert_eq!(ward.target.shown().accounts.len(), 4);
}

#[tokio::test]
async fn c10_one_that_cannot_be_judged_holds_no_other_up() {
    // Given one removal before the last good survey, and two after it.
    let ward = Ward::new("", false).await;
    ward.leaves("a-3", Urgency::Planned).await;
    ward.work(A_LONG_TIME).await;
    ward.survey_after(0).await.expect("due");
    for account in ["a-1", "a-2"] {
        ward.leaves(account, Urgency::Planned).await;
        ward.work(A_LONG_TIME).await;
    }
    assert_eq!(ward.ended().await.len(), 3);
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    ward.survey_after(60).await.expect("due");
    // When the connector is back, all three are there again, and one of the two cannot be read.
    {
        let mut shown = ward.target.shown();
        shown.fails = None;
        shown.unreadable = Some("a-1".into());
        shown.accounts.extend(numbered(&["a-1", "a-2", "a-3"]));
    }
    let back = ward.survey_after(60).await.expect("due");
    // Then the one that nothing has to be seen again of is found at once.
    assert_eq!((back.sample.seen_again, back.sample.came_back), (0, 1));
    ward.admit().await;
    ward.survey_after(60).await.expect("due");
    assert!(ward.standing().await.recheck.is_some(), "it is tried again");
    // And the next has its turn when a case has the one that cannot be judged.
    let last = ward.survey_after(60).await.expect("due");
    assert_eq!((last.sample.seen_again, last.sample.came_back), (2, 1));
    assert!(ward.standing().await.recheck.is_none());
    ward.admit().await;
    let cases = ward.store.cases(&CaseFilter::default()).await;
    let cases = cases.expect("read").into_iter();
    let mut open: Vec<_> = cases
        .filter(|case| case.ended.is_none())
        .map(|case| case.row.subject_key)
        .collect();
    open.sort();
    assert_eq!(open.len(), 3, "{open:?}");
    ward.target.shown().unreadable = None;
    ward.work(A_LONG_TIME).await;
    assert_eq!(ward.target.shown().accounts.len(), 2);
}

/// An address leads to an account, and decides nothing.
const ONLY_POINTS: &str = r#"
[[correlation]]
identifier = "email"
attribute = "email"
decides = false
"#;

/// A leaver without a clear account, to whose address one leads, and a person who has ruled on it. Answers
/// what is seen when the connector was away and is back, with another such account where `more`.
async fn ruled_on(more: bool) -> (Ward, (u64, u64)) {
    let ward = Ward::under(approved(&format!("{}{ONLY_POINTS}", text("", false)))).await;
    let address = "zed@acme.example".to_owned();
    let reuse = |place: usize| {
        let account = &mut ward.target.shown().accounts[place];
        let attributes = &mut account.attributes;
        attributes.insert("email".to_owned(), address.clone());
    };
    reuse(1);
    ward.survey_after(0).await.expect("due");
    let mut event = given::leaves();
    event.effective = Effective::Immediately;
    event.subject.identifiers = vec![Identifier {
        kind: "email".to_owned(),
        value: address.clone(),
    }];
    let batch = IntakeBatch {
        events: vec![given::recorded(event, ward.clock.now())],
        ..IntakeBatch::default()
    };
    ward.store.record(&batch).await.expect("recorded");
    ward.work(600).await;
    let task = ward.open_tasks().await.remove(0);
    let close = Command {
        id: CommandId(uuid::Uuid::from_u128(7)),
        by: "ann".to_owned(),
        at: ward.clock.now(),
        wish: Wish::CloseTask {
            task: task.id,
            note: "the address was given to somebody else".to_owned(),
            attestation: Some(attested("ann")),
        },
    };
    ward.store.wish(&close).await.expect("in line");
    ward.engine.obey().await.expect("obeyed");
    ward.work(A_LONG_TIME).await;
    assert_eq!(
        ward.ended().await.len(),
        1,
        "the search has ended by her word"
    );
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    ward.survey_after(60).await.expect("due");
    ward.target.shown().fails = None;
    if more {
        reuse(2);
    }
    let back = ward.survey_after(60).await.expect("due");
    assert!(ward.standing().await.recheck.is_none());
    (ward, (back.sample.seen_again, back.sample.came_back))
}

#[tokio::test]
async fn c10_what_a_person_has_ruled_on_is_not_asked_again_and_what_is_new_is() {
    let (_, seen) = ruled_on(false).await;
    assert_eq!(seen, (1, 0), "it stays ruled");
    let (ward, seen) = ruled_on(true).await;
    assert_eq!(seen, (1, 1));
    ward.work(600).await;
    let tasks = ward.open_tasks().await.into_iter();
    let unclear = tasks.filter(|task| task.code == "CB-MATCH-1");
    assert_eq!(unclear.count(), 1, "a person looks");
}

#[tokio::test]
async fn c10_a_recheck_of_a_slow_target_moves_on_within_each_lease() {
    // Given 30 removals that were settled after the last good survey, at a target of which each look takes
    // 20 seconds.
    let ward = Ward::new("", false).await;
    let ids: Vec<_> = (10..40).map(|number| format!("a-{number}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    ward.target.shown().accounts.extend(numbered(&ids));
    ward.survey_after(0).await.expect("due");
    for id in ids {
        ward.leaves(id, Urgency::Planned).await;
    }
    ward.work(A_LONG_TIME).await;
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    ward.survey_after(60).await.expect("due");
    {
        let mut shown = ward.target.shown();
        shown.fails = None;
        shown.slow = Some((ward.clock.clone(), 20));
    }
    // Then each survey is kept while it is leased, and sees some more of them.
    let mut seen = 0;
    let mut surveys = 0;
    ward.clock.advance(60);
    while surveys == 0 || ward.standing().await.recheck.is_some() {
        let lease = ward.leased().await.remove(0);
        let began = ward.clock.now();
        let kept = ward.engine.survey(&lease).await.expect("committed");
        let kept = kept.expect("its own");
        assert!(kept.sample.seen_again > 0);
        seen += kept.sample.seen_again;
        surveys += 1;
        let took = ward.clock.now().duration_since(began).as_secs();
        assert!(took < LEASED, "{took}");
    }
    assert_eq!(seen, 30);
    assert!(surveys > 1);
}

#[tokio::test]
async fn c10_a_recheck_hurries_no_survey_while_its_connector_is_away() {
    // Given a recheck that is not over, at a target that is surveyed once in half an hour.
    let slow = text("", false).replace("refresh_seconds = 60", "refresh_seconds = 3600");
    let ward = Ward::under(approved(&slow)).await;
    ward.survey_after(0).await.expect("due");
    ward.leaver_leaves().await;
    ward.work(A_LONG_TIME).await;
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    ward.survey_after(60).await.expect("due");
    {
        let mut shown = ward.target.shown();
        shown.fails = None;
        shown.accounts.extend(numbered(&["a-1"]));
        shown.unreadable = Some("a-1".into());
    }
    ward.survey_after(3600).await.expect("due");
    assert!(ward.standing().await.recheck.is_some(), "it is not over");
    let ahead = |advance: &Advance| {
        let now = ward.clock.now();
        advance.due.duration_since(now).as_secs()
    };
    // When it is away once more, then its next survey keeps its pace.
    ward.target.shown().fails = Some(FailureClass::RateLimited);
    let away = ward.survey_after(3600).await.expect("due");
    assert!(away.standing.recheck.is_some());
    assert!(ahead(&away) >= 60, "{}", ahead(&away));
    // And where it answers, and only a write failed.
    ward.target.shown().fails = None;
    let tally = Tally {
        write_failed: Some((ward.clock.now(), FailureClass::WriteFailure)),
        ..Tally::default()
    };
    let tallies = [("crm".into(), tally)].into();
    ward.store.note_calls(&tallies).await.expect("noted");
    let away = ward.survey_after(3600).await.expect("due");
    assert!(away.standing.state.is_away() && away.standing.recheck.is_some());
    assert!(ahead(&away) >= 60, "{}", ahead(&away));
}
