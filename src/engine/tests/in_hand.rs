//! E3 and B7: access that is there again while somebody has it in hand, or nobody has.
//!
//! Owns the whole engine over one or two scripted targets: what the other cases of a subject say about
//! a return. That a return is removed at all is in `returned` and `again`.

use super::given::{self, attested, news, stays};
use super::ward::{Ward, approved, numbered, text};
use crate::domain::command::{Command, Wish};
use crate::domain::event::{EventKind, LifecycleEvent};
use crate::domain::id::CommandId;
use crate::domain::outcome::FailureClass;
use crate::domain::time::{Clock, Effective, after};
use crate::domain::workflow::End;
use crate::store::{CaseFilter, CaseReport, IntakeBatch};

/// Longer than a case takes.
const A_LONG_TIME: u64 = 30 * 3600;

async fn cases(ward: &Ward) -> Vec<CaseReport> {
    let cases = ward.store.cases(&CaseFilter::default()).await;
    let mut cases = cases.expect("read");
    cases.sort_by_key(|case| case.row.opened);
    cases
}

async fn hear(ward: &Ward, events: Vec<LifecycleEvent>) {
    let now = ward.clock.now();
    let events = events.into_iter();
    let batch = IntakeBatch {
        events: events.map(|event| given::recorded(event, now)).collect(),
        ..IntakeBatch::default()
    };
    ward.store.record(&batch).await.expect("recorded");
    ward.admit().await;
}

/// One survey of the first target; how many came back.
async fn surveyed(ward: &Ward) -> u64 {
    ward.clock.advance(60);
    let leases = ward.leased().await.into_iter();
    let mut came_back = None;
    for lease in leases {
        let kept = ward.engine.survey(&lease).await.expect("committed");
        if lease.connector.as_str() == "crm" {
            came_back = kept.map(|kept| kept.sample.came_back);
        }
    }
    came_back.expect("due")
}

fn bring_back(ward: &Ward) {
    ward.target.shown().accounts.extend(numbered(&["a-1"]));
}

fn is_there(ward: &Ward) -> bool {
    let shown = ward.target.shown();
    shown.accounts.iter().any(|one| one.id.as_str() == "a-1")
}

/// Somebody answers every open task so.
async fn answer(ward: &Ward, wish: impl Fn(crate::domain::id::TaskId) -> Wish) {
    for task in ward.open_tasks().await {
        let command = Command {
            id: CommandId(task.id.0),
            by: "ann".to_owned(),
            at: ward.clock.now(),
            wish: wish(task.id),
        };
        ward.store.wish(&command).await.expect("in line");
    }
    ward.engine.obey().await.expect("obeyed");
}

async fn attest(ward: &Ward) {
    answer(ward, |task| Wish::CloseTask {
        task,
        note: "seen to".to_owned(),
        attestation: Some(attested("ann")),
    })
    .await;
}

/// A departure from two targets that is settled at the first, while the other is away.
async fn half_way() -> Ward {
    half_way_after(Vec::new()).await
}

/// The same, where these were heard of before.
async fn half_way_after(events: Vec<LifecycleEvent>) -> Ward {
    let idp = text("", false)
        .replace("name = \"crm\"", "name = \"idp\"")
        .replace("none:crm", "none:idp");
    let ward = Ward::behind(approved(&text("", false)), Some(approved(&idp))).await;
    surveyed(&ward).await;
    ward.upstream.shown().fails = Some(FailureClass::Unreachable);
    hear(&ward, events).await;
    ward.work(60).await;
    ward.leaver_leaves().await;
    ward.work(A_LONG_TIME).await;
    assert_eq!(ward.ended().await.len(), 1, "verified there");
    assert_eq!(cases(&ward).await[0].ended, None);
    ward
}

/// A departure that has settled, seen by a survey.
async fn settled() -> Ward {
    let ward = Ward::new("", false).await;
    surveyed(&ward).await;
    ward.leaver_leaves().await;
    ward.work(A_LONG_TIME).await;
    assert_eq!(cases(&ward).await[0].ended, Some(End::Verified));
    assert_eq!(surveyed(&ward).await, 0);
    ward
}

#[tokio::test]
async fn b7_access_restored_after_a_cancelled_departure_stays() {
    let ward = half_way().await;
    hear(&ward, vec![stays(2)]).await;
    ward.work(600).await;
    attest(&ward).await;
    ward.work(600).await;
    assert_eq!(cases(&ward).await[0].ended, Some(End::Halted));
    bring_back(&ward);
    assert_eq!(surveyed(&ward).await, 0);
    ward.work(A_LONG_TIME).await;
    assert_eq!(surveyed(&ward).await, 0);
    assert_eq!(cases(&ward).await.len(), 1);
    assert!(is_there(&ward));
}

#[tokio::test]
async fn b7_access_restored_while_the_review_is_open_stays_through_an_outage() {
    let ward = half_way().await;
    hear(&ward, vec![stays(2)]).await;
    ward.work(600).await;
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    surveyed(&ward).await;
    ward.target.shown().fails = None;
    bring_back(&ward);
    assert_eq!(surveyed(&ward).await, 0);
    assert!(ward.standing().await.recheck.is_none(), "it was seen again");
    ward.work(A_LONG_TIME).await;
    let all = cases(&ward).await;
    assert_eq!((all.len(), all[0].ended), (1, None));
    assert!(is_there(&ward));
}

#[tokio::test]
async fn b7_access_restored_until_a_later_date_goes_with_the_case_of_that_date() {
    let ward = half_way().await;
    let mut event = news(EventKind::TerminationChanged, 2, Effective::Immediately);
    let later = after(ward.clock.now(), 10 * 86_400);
    event.effective = Effective::At {
        local: later.to_zoned(jiff::tz::TimeZone::UTC).datetime(),
        zone: "UTC".to_owned(),
    };
    event.subject.identifiers = vec![crate::domain::subject::Identifier {
        kind: "employee_number".to_owned(),
        value: "n-a-1".to_owned(),
    }];
    hear(&ward, vec![event]).await;
    ward.upstream.shown().fails = None;
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    surveyed(&ward).await;
    ward.target.shown().fails = None;
    bring_back(&ward);
    assert_eq!(surveyed(&ward).await, 0);
    assert_eq!(surveyed(&ward).await, 0);
    ward.work(86_400).await;
    assert!(is_there(&ward), "until then");
    ward.work(12 * 86_400).await;
    assert_eq!(cases(&ward).await.len(), 2);
    assert!(!is_there(&ward));
}

/// Settled; this is heard of, the account comes back, and a survey sees so many returns.
async fn returns_after(event: LifecycleEvent) -> (Ward, u64) {
    let ward = settled().await;
    hear(&ward, vec![event]).await;
    bring_back(&ward);
    let came_back = surveyed(&ward).await;
    (ward, came_back)
}

fn other_news(kind: EventKind) -> LifecycleEvent {
    let mut event = news(kind, 1, Effective::Immediately);
    event.id = format!("other/{}", kind.as_str());
    event.hr_case = "other-1".to_owned();
    event
}

#[tokio::test]
async fn e3_no_other_business_of_a_person_silences_a_return() {
    for kind in [
        EventKind::LegalHoldPlaced,
        EventKind::LegalHoldLifted,
        EventKind::IdentifierRecycled,
        EventKind::WorkerMoved,
    ] {
        // While a person has it.
        let (_, came_back) = returns_after(other_news(kind)).await;
        assert_eq!(came_back, 1, "{}", kind.as_str());
        // And when the person has closed it.
        let ward = settled().await;
        hear(&ward, vec![other_news(kind)]).await;
        attest(&ward).await;
        ward.work(600).await;
        bring_back(&ward);
        assert_eq!(surveyed(&ward).await, 1, "{}", kind.as_str());
    }
    // Nor does a departure from other targets.
    let mut elsewhere = other_news(EventKind::WorkerTerminated);
    elsewhere.connectors = vec!["idp".into()];
    let (_, came_back) = returns_after(elsewhere).await;
    assert_eq!(came_back, 1);
}

#[tokio::test]
async fn e3_whoever_is_rehired_or_never_left_is_no_return() {
    for event in [other_news(EventKind::Rehired), stays(2)] {
        let (ward, came_back) = returns_after(event).await;
        assert_eq!(came_back, 0);
        // Nor when the person has closed the case, and many of others were opened since.
        attest(&ward).await;
        ward.work(60).await;
        let others = (0..120).map(|number| {
            let mut other = stays(1);
            other.id = format!("other/{number}");
            other.subject.id = format!("{}{number}", given::LEAVER);
            other.hr_case = other.subject.id.clone();
            other
        });
        hear(&ward, others.collect()).await;
        ward.work(60).await;
        assert_eq!(surveyed(&ward).await, 0);
        assert!(is_there(&ward));
    }
}

#[tokio::test]
async fn e3_a_rehiring_that_nobody_closed_silences_no_return_after_the_departure_that_followed() {
    for told in [None, Some(given::dawn())] {
        // Given a rehiring whose task is open still, and the subject leaves again, nobody says when it was told.
        let mut back = other_news(EventKind::Rehired);
        back.occurred = told;
        let ward = half_way_after(vec![back]).await;
        let open = ward.open_tasks().await;
        assert!(open.iter().any(|task| task.code == "CB-ADMIT-2"));
        // When access is there again, then it is removed.
        bring_back(&ward);
        assert_eq!(surveyed(&ward).await, 1, "{told:?}");
        ward.work(A_LONG_TIME).await;
        assert!(!is_there(&ward), "{told:?}");
    }
}

#[tokio::test]
async fn e3_a_return_waits_for_whoever_decides_about_a_held_departure() {
    // Given news of the departure that no machine believes.
    let mut event = news(
        EventKind::TerminationChanged,
        2,
        given::melbourne("2126-01-01T09:00:00"),
    );
    event.id = "a slip".to_owned();
    let (ward, came_back) = returns_after(event).await;
    assert_eq!(came_back, 0);
    let tasks = ward.open_tasks().await.into_iter();
    let codes: Vec<_> = tasks.map(|task| task.code).collect();
    assert_eq!(codes, ["CB-HOLD-3"]);
    // When it is dropped, what was known before counts.
    answer(&ward, |task| Wish::RuleHold {
        task,
        release: false,
        note: "a slip".to_owned(),
        meant: None,
    })
    .await;
    ward.work(60).await;
    assert_eq!(surveyed(&ward).await, 1);
    ward.work(A_LONG_TIME).await;
    assert!(!is_there(&ward));
}

/// The case that was opened for a return finds nothing, and is a person's word; then it is back for good.
async fn is_told_anew(ward: Ward) {
    ward.admit().await;
    let account = |one: &crate::domain::access::Account| one.id.as_str() != "a-1";
    ward.target.shown().accounts.retain(account);
    ward.target.shown().unreadable = None;
    ward.work(A_LONG_TIME).await;
    attest(&ward).await;
    ward.work(A_LONG_TIME).await;
    let all = cases(&ward).await;
    assert_eq!((all.len(), all[1].ended), (2, Some(End::Attested)));
    assert_eq!(surveyed(&ward).await, 0);
    bring_back(&ward);
    assert_eq!(surveyed(&ward).await, 1);
    ward.admit().await;
    assert_eq!(surveyed(&ward).await, 0, "the open case looks");
    ward.work(A_LONG_TIME).await;
    let all = cases(&ward).await;
    assert_eq!((all.len(), all[2].ended), (3, Some(End::Verified)));
    assert_eq!(
        (&all[2].row.hr_case, all[2].row.revision),
        (&all[1].row.hr_case, 2)
    );
    assert!(!is_there(&ward));
}

#[tokio::test]
async fn e3_a_return_is_told_again_when_its_case_removed_nothing() {
    let ward = settled().await;
    bring_back(&ward);
    assert_eq!(surveyed(&ward).await, 1);
    is_told_anew(ward).await;
}

#[tokio::test]
async fn c10_a_return_is_told_after_a_recheck_that_could_not_judge_it() {
    let ward = Ward::new("", false).await;
    surveyed(&ward).await;
    ward.leaver_leaves().await;
    ward.work(A_LONG_TIME).await;
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    surveyed(&ward).await;
    {
        let mut shown = ward.target.shown();
        shown.fails = None;
        shown.unreadable = Some("a-1".into());
    }
    for _ in 0..3 {
        assert_eq!(surveyed(&ward).await, 0);
    }
    assert!(ward.standing().await.recheck.is_none(), "a case has it");
    is_told_anew(ward).await;
}

/// A date so many hours from now.
fn in_hours(ward: &Ward, hours: i64) -> Effective {
    let then = ward.clock.now() + jiff::SignedDuration::from_hours(hours);
    Effective::At {
        local: then.to_zoned(jiff::tz::TimeZone::UTC).datetime(),
        zone: "UTC".to_owned(),
    }
}

#[tokio::test]
async fn b7_whoever_was_back_while_the_removal_went_on_is_no_return() {
    // Given a rehiring that stops nothing, for it is not certain whether it is the later news.
    let ward = Ward::new("", false).await;
    surveyed(&ward).await;
    ward.leaver_leaves().await;
    ward.work(600).await;
    let mut back = other_news(EventKind::Rehired);
    back.effective = in_hours(&ward, -48);
    hear(&ward, vec![back]).await;
    ward.work(A_LONG_TIME).await;
    assert_eq!(cases(&ward).await[0].ended, Some(End::Verified));
    // Then what is restored stays, while a person decides and afterwards.
    bring_back(&ward);
    assert_eq!(surveyed(&ward).await, 0);
    attest(&ward).await;
    ward.work(60).await;
    assert_eq!(surveyed(&ward).await, 0);
    assert!(is_there(&ward));
}

#[tokio::test]
async fn e3_whoever_is_to_be_back_later_is_not_back_yet() {
    let ward = settled().await;
    let mut back = other_news(EventKind::Rehired);
    back.effective = in_hours(&ward, 240);
    hear(&ward, vec![back]).await;
    bring_back(&ward);
    assert_eq!(surveyed(&ward).await, 1);
}

#[tokio::test]
async fn e3_another_departure_called_off_too_late_silences_no_return() {
    let ward = settled().await;
    let mut leaves = other_news(EventKind::WorkerTerminated);
    leaves.subject.identifiers = vec![crate::domain::subject::Identifier {
        kind: "employee_number".to_owned(),
        value: "n-a-1".to_owned(),
    }];
    hear(&ward, vec![leaves]).await;
    ward.work(A_LONG_TIME).await;
    attest(&ward).await;
    ward.work(60).await;
    let mut off = other_news(EventKind::TerminationCancelled);
    off.revision = 2;
    hear(&ward, vec![off]).await;
    let codes: Vec<_> = ward
        .open_tasks()
        .await
        .into_iter()
        .map(|t| t.code)
        .collect();
    assert_eq!(codes, ["CB-ADMIT-3"]);
    bring_back(&ward);
    assert_eq!(surveyed(&ward).await, 1);
}

#[tokio::test]
async fn e3_a_return_is_told_beside_an_open_case_whose_look_there_is_over() {
    let ward = half_way().await;
    bring_back(&ward);
    assert_eq!(surveyed(&ward).await, 1);
    ward.admit().await;
    // The case that was opened for it looks.
    assert_eq!(surveyed(&ward).await, 0);
    ward.work(A_LONG_TIME).await;
    assert!(!is_there(&ward));
}

#[tokio::test]
async fn e3_a_return_does_not_wait_for_a_departure_that_is_far_ahead() {
    for (hours, came_back) in [(240, 1), (12, 0)] {
        let ward = settled().await;
        let mut next = other_news(EventKind::WorkerTerminated);
        next.effective = in_hours(&ward, hours);
        hear(&ward, vec![next]).await;
        bring_back(&ward);
        assert_eq!(surveyed(&ward).await, came_back, "{hours}");
    }
}
