//! Closed periods go whole, what is still needed stays, and the rest of the log holds.
//!
//! Owns a small history with one case for each reason to stay. The log is verified after each check, like
//! after every other.

use super::super::{Dropping, IntakeBatch, Letters, Receipt, audit, domain};
use super::Home;
use super::given::{
    a_case, a_removal, a_task, at, closed, ended, event, fenced, handed_over, ignores, keep, opens,
    proved, recorded, removal, step, subject, worker,
};
use super::outbox::a_letter;
use super::tampering::{seal, sign, signed_by};
use domain::audit::{Epitaph, Signed, Tombstone, Verifier, closing};
use domain::event::EventKind;
use domain::id::{CaseId, DeadLetterId};
use domain::time::Timestamp;
use domain::workflow::End;

/// Records are kept so long in these checks.
const DAYS: u32 = 120;
const DAY: u64 = 86_400;

/// A case with a removal, over at second 5; its id.
pub async fn a_case_that_is_over(home: &Home, name: &str) -> CaseId {
    let held = a_removal(&home.store, name).await;
    let batch = [fenced(&held, proved(&held.run))];
    let settled = home.store.settle(at(5), &keep(1, 5), &batch).await;
    let parent = settled.expect("settled").kept.pop().expect("woken");
    over(home, &parent).await
}

async fn over(home: &Home, case: &super::super::Claimed) -> CaseId {
    let id = case.run.case.expect("a case");
    let mut end = step(&case.run, ended(End::Verified));
    end.case_ended = Some((id, End::Verified, at(5)));
    let settled = home
        .store
        .settle(at(5), &keep(1, 5), &[fenced(case, end)])
        .await;
    assert_eq!(settled.expect("settled").accepted, [true]);
    id
}

/// Makes a checkpoint; the tests' are of second 3, whatever they cover.
pub async fn witnessed(home: &Home) {
    home.store.witness(&sign).await.expect("made").expect("due");
}

/// Lets go what had ended `days` after the beginning, as the tests' key holder.
pub async fn let_go(home: &Home, days: u64) -> Option<Tombstone> {
    let wanted = wanted(home, days).await;
    let signed = home.store.drop_period(&wanted, &seal).await;
    signed.expect("dropped").map(|one| {
        let read = Tombstone::read(&one);
        read.expect("reads")
    })
}

async fn wanted(home: &Home, days: u64) -> Dropping {
    let follows = home.store.tombstones().await.expect("read").pop();
    let checkpoints = home.store.checkpoints_signed().await.expect("read");
    let cut: Timestamp = at(days * DAY);
    let last = closing(&checkpoints, cut, 1_000_000);
    let until = last.as_ref().and_then(Signed::read);
    let mut verifier = Verifier::new(audit::tables::ALL, Some("k".to_owned()));
    let inspected = home.store.inspect(&mut verifier, &signed_by).await;
    inspected.expect("inspected");
    let (findings, _, standing) = verifier.standing(until.map_or(0, |one| one.until));
    assert_eq!(findings, []);
    Dropping {
        epitaph: Epitaph {
            at: at((days + u64::from(DAYS)) * DAY),
            by: "ada".to_owned(),
            reason: "older than we keep".to_owned(),
            retain_days: DAYS,
            cut,
            closing: last,
        },
        follows,
        standing,
        cases: 100,
    }
}

async fn is_there(home: &Home, case: CaseId) -> bool {
    home.store.case(case).await.expect("read").is_some()
}

pub async fn e6_a_closed_period_goes_and_the_rest_holds(home: &Home) {
    // Given a case that is over, one that is open, an event that opened none, and a checkpoint.
    let gone = a_case_that_is_over(home, "gone").await;
    let open = a_case(&home.store, "open").await;
    recorded(&home.store, vec![event("repeat", "other", 1)]).await;
    let admitted = home
        .store
        .admit(10, at(0), &keep(1, 0), &|event, _| ignores(event))
        .await;
    assert_eq!(admitted.expect("admitted").events, 1);
    witnessed(home).await;
    // When nobody signs, then nothing changes.
    let wanted = wanted(home, 1).await;
    let looked = home.store.drop_period(&wanted, &|_| None).await;
    assert_eq!(looked.expect("looked"), None);
    assert!(is_there(home, gone).await);
    // When the period goes.
    let stone = let_go(home, 1).await.expect("let go");
    // Then the case and everything about it are gone, and the open one is as it was.
    assert!(!is_there(home, gone).await);
    let still = open.run.case.expect("a case");
    assert!(is_there(home, still).await);
    assert_eq!((stone.number, stone.cases), (1, 1));
    assert_eq!((stone.checkpoints, stone.through()), (1, 1));
    assert!(stone.links > 3 && stone.carried > 2, "{stone:?}");
    let counted = |table: &str| stone.rows.get(table).copied().unwrap_or(0);
    assert_eq!((counted("cases"), counted("runs")), (1, 2));
    assert_eq!(
        counted("events"),
        2,
        "its own, and the one that opened none"
    );
    assert!(counted("journal") > 1, "{stone:?}");
    // And what says so is in the log, which a verification tells.
    witnessed(home).await;
    let mut verifier = Verifier::new(audit::tables::ALL, Some("k".to_owned()));
    let inspected = home.store.inspect(&mut verifier, &signed_by).await;
    inspected.expect("inspected");
    let (findings, tally) = verifier.finish();
    assert_eq!(findings, []);
    let told = &tally.dropped[0];
    assert_eq!((told.by.as_str(), told.cases), ("ada", 1));
    assert_eq!(tally.rows["dropped_cases"], 1);
    // The open case goes on as if nothing had been.
    over(home, &open).await;
}

pub async fn e6_what_is_open_or_held_stays(home: &Home) {
    // Given a case whose subject came under a legal hold, in a case of its own that is over.
    let held = a_case_that_is_over(home, "held").await;
    let mut hold = event("hold", "held", 2);
    hold.event.kind = EventKind::LegalHoldPlaced;
    let placed = opened(home, hold).await;
    // One with a task that is not closed.
    let owing = a_case(&home.store, "owing").await;
    let child = removal(&owing.run, "crm", "a7");
    let mut left = step(&owing.run, ended(End::Verified));
    left.task = Some(a_task(&owing.run));
    left.case_ended = owing.run.case.map(|id| (id, End::Verified, at(5)));
    assert!(child.case.is_some());
    let settled = home
        .store
        .settle(at(5), &keep(1, 5), &[fenced(&owing, left)])
        .await;
    assert_eq!(settled.expect("settled").accepted, [true]);
    let owing = owing.run.case.expect("a case");
    // One that ended later, and one that may go.
    let free = a_case_that_is_over(home, "free").await;
    // And a dead letter that waits beside one that does not.
    let [waits, aside] = [1, 2].map(|offset| DeadLetterId::of("t", 0, offset, b"{"));
    let batch = IntakeBatch {
        dead_letters: vec![a_letter(waits), a_letter(aside)],
        ..IntakeBatch::default()
    };
    home.store.record(&batch).await.expect("recorded");
    let by = domain::approval::Signed {
        by: "ada".to_owned(),
        at: at(5),
        reason: "a test".to_owned(),
    };
    let set = home.store.set_aside(aside, &by).await;
    assert!(set.expect("set aside"));
    witnessed(home).await;
    // When the period goes.
    let stone = let_go(home, 1).await.expect("let go");
    // Then only the last one went.
    assert_eq!(stone.cases, 1);
    assert!(!is_there(home, free).await);
    for kept in [held, placed, owing] {
        assert!(is_there(home, kept).await);
    }
    let letters = home.store.dead_letters(Letters::All, 9).await;
    assert_eq!(letters.expect("read"), [a_letter(waits)]);
    // When the hold is lifted, the cases of the subject go too, though their period went before them.
    let mut lift = event("lift", "held", 3);
    lift.event.kind = EventKind::LegalHoldLifted;
    let lifted = opened(home, lift).await;
    let stone = let_go(home, 2).await.expect("let go");
    assert_eq!((stone.number, stone.cases), (2, 3));
    assert!(
        stone.late > 0,
        "what was carried is said to be gone: {stone:?}"
    );
    for gone in [held, placed, lifted] {
        assert!(!is_there(home, gone).await);
    }
    assert!(is_there(home, owing).await);
}

/// A case that this event opens, and that is over at once.
async fn opened(home: &Home, event: domain::event::RecordedEvent) -> CaseId {
    let case = begun(home, event).await;
    over(home, &case).await
}

/// A case that this event opens.
async fn begun(home: &Home, event: domain::event::RecordedEvent) -> super::super::Claimed {
    recorded(&home.store, vec![event]).await;
    let admitted = home
        .store
        .admit(10, at(0), &keep(1, 1), &|event, _| opens(event))
        .await;
    admitted.expect("admitted").kept.pop().expect("kept")
}

/// News of a matter about the subject of the HR case `held`.
fn news(kind: EventKind, matter: &str, revision: u64) -> domain::event::RecordedEvent {
    let id = format!("{matter}/{revision}/{}", kind.as_str());
    let mut news = event(&id, matter, revision);
    news.event.kind = kind;
    news.event.subject = subject("held");
    news
}

/// The same, in a case of its own that is over.
async fn told(home: &Home, kind: EventKind, matter: &str, revision: u64) -> CaseId {
    opened(home, news(kind, matter, revision)).await
}

async fn in_force(home: &Home, case: CaseId) -> Vec<String> {
    let holds = home.store.legal_holds(case).await.expect("read");
    holds.in_force().map(|one| one.name.clone()).collect()
}

pub async fn b9_a_subject_stays_while_any_matter_holds_it(home: &Home) {
    // Given a subject under two matters, of which the first is lifted.
    let held = a_case_that_is_over(home, "held").await;
    let mut cases = vec![
        told(home, EventKind::LegalHoldPlaced, "LH-77", 1).await,
        told(home, EventKind::LegalHoldPlaced, "LH-90", 1).await,
        told(home, EventKind::LegalHoldLifted, "LH-77", 2).await,
    ];
    witnessed(home).await;
    // When the period goes, then nothing of the subject does.
    let_go(home, 1).await;
    for case in cases.iter().chain([&held]) {
        assert!(is_there(home, *case).await);
    }
    // And when the other is lifted, everything does.
    cases.push(told(home, EventKind::LegalHoldLifted, "LH-90", 2).await);
    let stone = let_go(home, 2).await.expect("let go");
    assert_eq!(stone.cases, 5);
    for case in cases.iter().chain([&held]) {
        assert!(!is_there(home, *case).await);
    }
}

pub async fn b9_a_late_lifting_of_an_older_revision_lets_nothing_go(home: &Home) {
    let held = a_case_that_is_over(home, "held").await;
    told(home, EventKind::LegalHoldPlaced, "LH-77", 1).await;
    told(home, EventKind::LegalHoldPlaced, "LH-77", 3).await;
    told(home, EventKind::LegalHoldLifted, "LH-77", 2).await;
    witnessed(home).await;
    let_go(home, 1).await;
    assert!(is_there(home, held).await);
    assert_eq!(in_force(home, held).await, ["LH-77"]);
}

pub async fn b9_what_lifted_a_hold_does_not_go_before_what_placed_it(home: &Home) {
    // Given a hold that was lifted, and a person who still has the case of its placing.
    let departed = a_case_that_is_over(home, "held").await;
    let placed = begun(home, news(EventKind::LegalHoldPlaced, "LH-77", 1)).await;
    let lifted = told(home, EventKind::LegalHoldLifted, "LH-77", 2).await;
    witnessed(home).await;
    // When the period goes, then the lifting stays, and the hold is over as before.
    let_go(home, 1).await.expect("let go");
    assert!(!is_there(home, departed).await);
    assert!(is_there(home, lifted).await);
    assert_eq!(in_force(home, lifted).await, [""; 0]);
    // And both go when both are over.
    over(home, &placed).await;
    let stone = let_go(home, 2).await.expect("let go");
    assert_eq!(stone.cases, 2);
    assert!(!is_there(home, lifted).await);
}

pub async fn b9_holds_are_told_of_their_subject_alone_and_after_their_case_has_ended(home: &Home) {
    // Given a departure that is under way, one of somebody else, and a hold whose task was closed.
    let leaver = a_case(&home.store, "held").await.run.case.expect("a case");
    let other = a_case(&home.store, "other").await.run.case.expect("a case");
    told(home, EventKind::LegalHoldPlaced, "LH-77", 1).await;
    // Then the one is held and the other is not.
    assert_eq!(in_force(home, leaver).await, ["LH-77"]);
    assert_eq!(in_force(home, other).await, [""; 0]);
    // And only until it is lifted.
    told(home, EventKind::LegalHoldLifted, "LH-77", 2).await;
    assert_eq!(in_force(home, leaver).await, [""; 0]);
}

pub async fn a3_an_event_that_went_opens_no_second_case(home: &Home) {
    let gone = a_case_that_is_over(home, "again").await;
    witnessed(home).await;
    let_go(home, 1).await.expect("let go");
    let other = domain::event::RecordedEvent {
        payload_digest: "other".to_owned(),
        ..event("again", "again", 1)
    };
    let batch = IntakeBatch {
        events: vec![event("again", "again", 1), other],
        ..IntakeBatch::default()
    };
    let receipts = home.store.record(&batch).await.expect("recorded");
    assert_eq!(receipts, [Receipt::Duplicate, Receipt::Conflict]);
    let admitted = home
        .store
        .admit(10, at(9), &keep(1, 5), &|event, _| opens(event))
        .await;
    assert_eq!(admitted.expect("admitted").events, 0);
    assert!(!is_there(home, gone).await);
}

pub async fn e6_a_drop_that_another_overtook_begins_again(home: &Home) {
    a_case_that_is_over(home, "one").await;
    witnessed(home).await;
    let late = wanted(home, 1).await;
    let_go(home, 1).await.expect("let go");
    let refused = home.store.drop_period(&late, &seal).await;
    assert_eq!(refused.expect("looked"), None);
    // Nothing is left to go, and a second look finds nothing.
    let again = wanted(home, 1).await;
    let seen = std::sync::Mutex::new(None);
    let look = |stone: Tombstone| {
        *seen.lock().expect("not poisoned") = Some((stone.rows.len(), stone.links));
        None
    };
    let looked = home.store.drop_period(&again, &look).await;
    assert_eq!(looked.expect("looked"), None);
    assert_eq!(seen.into_inner().expect("not poisoned"), Some((0, 0)));
}

/// What is written between the verification and the drop is neither lost nor taken for older than it is.
pub async fn e6_what_changes_meanwhile_is_as_it_was_written(home: &Home) {
    a_case_that_is_over(home, "gone").await;
    let open = a_removal(&home.store, "open").await;
    witnessed(home).await;
    let wanted = wanted(home, 1).await;
    let batch = [fenced(&open, handed_over(&open.run))];
    let settled = home.store.settle(at(7), &keep(1, 5), &batch).await;
    assert_eq!(settled.expect("settled").accepted, [true]);
    let signed = home.store.drop_period(&wanted, &seal).await;
    let stone = signed.expect("dropped").expect("let go");
    assert!(Tombstone::read(&stone).is_some_and(|one| one.carried > 0));
    // It goes on in the strand that it had, of which the beginning is gone.
    let claimed = home.store.claim(at(8), &keep(1, 5)).await.expect("claimed");
    assert_eq!(claimed, []);
    let task = closed(a_task(&open.run));
    assert!(home.store.task(task.id).await.expect("read").is_some());
    home.store.discharge(worker(1)).await.expect("discharged");
}
