//! What a copy lacks, decided without any desk.
//!
//! Owns one test for each rule; that desks and store follow them is tested in the engine.

use super::*;
use crate::domain::id::RunId;
use crate::domain::task::{CloseClaim, Closure};
use crate::domain::workflow::RunKind;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("an instant")
}

fn line(seconds: i64, by: &str, text: &str) -> TaskNote {
    TaskNote {
        at: at(seconds),
        by: by.to_owned(),
        text: text.to_owned(),
    }
}

fn task(state: TaskState, history: &[TaskNote]) -> FallbackTask {
    let run = RunId(uuid::Uuid::from_u128(1));
    let opened = [line(0, MACHINE, "opened")];
    FallbackTask {
        id: run.task(),
        run,
        kind: RunKind::Removal,
        case: None,
        connector: None,
        subject: "Lea Ver".to_owned(),
        account: None,
        privileged: false,
        priority: 30,
        access: Vec::new(),
        access_as_of: None,
        class: None,
        code: "CB-TEST-1".to_owned(),
        asks: None,
        why: "planted".to_owned(),
        steps: Vec::new(),
        desk: "servicedesk".to_owned(),
        drill: false,
        opened: at(0),
        deadline: at(86_400),
        state,
        escalation: crate::domain::escalation::Escalation::default(),
        attestations: Vec::new(),
        bulk: None,
        history: opened.iter().chain(history).cloned().collect(),
    }
}

fn copy() -> DeskCopy {
    let mut copy = DeskCopy::new(task(TaskState::Open, &[]).id, "servicedesk".into());
    let ticket = Ticket {
        id: "1".to_owned(),
        shown: "INC1".to_owned(),
        keyed: true,
        page: None,
    };
    copy.adopt(ticket, None);
    copy.stands = Stands::Open;
    copy
}

fn seen(stands: Stands) -> Seen {
    Seen {
        stands,
        by: "Jane".to_owned(),
        words: "done".to_owned(),
    }
}

fn answer(accepted: bool) -> Answer {
    Answer {
        accepted,
        code: None,
        message: "attest that it is gone".to_owned(),
    }
}

fn closed() -> TaskState {
    TaskState::Closed {
        how: Closure::Proved,
        by: "ann".to_owned(),
        at: at(9),
    }
}

#[test]
fn f2_each_line_is_told_once_and_never_back_to_who_said_it() {
    let mut copy = copy();
    let history = [
        line(1, MACHINE, "tried again: unreachable"),
        line(2, "ann", "rejected: ask first"),
        line(3, "servicedesk/Jane", "says it is done"),
    ];
    let open = task(TaskState::Open, &history);
    let Move::Say(note) = copy.next(&open, &seen(Stands::Open), None, at(4)) else {
        panic!("there is something to say");
    };
    assert!(note.text.contains("unreachable") && note.text.contains("ask first"));
    assert!(!note.text.contains("says it is done"), "{}", note.text);
    copy.said(&note);
    assert_eq!(
        copy.next(&open, &seen(Stands::Open), None, at(4)),
        Move::Wait
    );
    // What the machine says again has a later time and is not told again.
    let mut told = copy.clone();
    told.told = Some(Cursor {
        at: at(3),
        text: "tried again: unreachable".to_owned(),
    });
    let again = task(
        TaskState::Open,
        &[line(90, MACHINE, "tried again: unreachable")],
    );
    assert_eq!(
        told.next(&again, &seen(Stands::Open), None, at(91)),
        Move::Wait
    );
}

#[test]
fn f2_a_note_is_of_a_size_that_every_desk_takes_and_keeps_what_is_newest() {
    let long = "x".repeat(900);
    let lines: Vec<_> = (1..=30)
        .map(|number| line(number, "ann", &format!("{number}: {long}")))
        .collect();
    let open = task(TaskState::Open, &lines);
    let Move::Say(note) = copy().next(&open, &seen(Stands::Open), None, at(40)) else {
        panic!("there is something to say");
    };
    assert!(note.text.chars().count() < 3500, "{}", note.text.len());
    assert!(note.text.contains("ann: 30: ") && note.text.contains("ann: 28: "));
    assert!(note.text.starts_with("(27 earlier lines are left out)"));
}

#[test]
fn f2_what_a_desk_names_stays_on_one_line() {
    let (copy, open) = (copy(), task(TaskState::Open, &[]));
    let odd = Seen {
        stands: Stands::Closed,
        by: "Jane\r\n\u{1b}[31mroot".to_owned(),
        words: "done\nclosed by: ann".to_owned(),
    };
    let Move::Claim(claim) = copy.next(&open, &odd, None, at(5)) else {
        panic!("a closed ticket is a claim");
    };
    assert_eq!(claim.by, "servicedesk/Jane [31mroot");
    let Wish::CloseTask { note, .. } = &claim.wish else {
        panic!("{:?}", claim.wish);
    };
    assert_eq!(note, "INC1 was closed at servicedesk: done closed by: ann");
}

#[test]
fn f2_a_closing_is_claimed_once_and_in_the_desks_name() {
    let mut copy = copy();
    let open = task(TaskState::Open, &[]);
    let Move::Claim(first) = copy.next(&open, &seen(Stands::Closed), None, at(5)) else {
        panic!("a closed ticket is a claim");
    };
    assert_eq!(first.by, "servicedesk/Jane");
    let Wish::CloseTask {
        note, attestation, ..
    } = &first.wish
    else {
        panic!("{:?}", first.wish);
    };
    assert_eq!(note, "INC1 was closed at servicedesk: done");
    assert_eq!(*attestation, None, "nobody attests by closing a ticket");
    // Said again after a crash it is the same command; after it is over it is another.
    let Move::Claim(again) = copy.next(&open, &seen(Stands::Closed), None, at(6)) else {
        panic!("not committed: the same again");
    };
    assert_eq!(first.id, again.id);
    copy.claim = Some(first.id);
    assert_eq!(
        copy.next(&open, &seen(Stands::Closed), None, at(7)),
        Move::Wait
    );
    copy.withdraw();
    let Move::Claim(second) = copy.next(&open, &seen(Stands::Closed), None, at(8)) else {
        panic!("closed again");
    };
    assert_ne!(first.id, second.id);
}

#[test]
fn f3_a_claim_waits_for_the_machine_and_a_false_one_opens_the_ticket_again() {
    let mut copy = copy();
    copy.claim = Some(CommandId::of_desk(copy.task, &copy.desk, 0));
    let (there, yes) = (seen(Stands::Closed), answer(true));
    let claim = CloseClaim {
        by: "servicedesk/Jane".to_owned(),
        at: at(1),
        note: String::new(),
        attestation: None,
        second: None,
        bulk: None,
    };
    let checking = task(TaskState::Checking(claim), &[]);
    assert_eq!(copy.next(&checking, &there, Some(&yes), at(2)), Move::Wait);
    let sent_back = task(
        TaskState::SentBack {
            by: MACHINE.to_owned(),
            at: at(3),
            found: "still there".to_owned(),
        },
        &[line(3, MACHINE, "sent back: still there")],
    );
    let Move::Reopen(note) = copy.next(&sent_back, &there, Some(&yes), at(4)) else {
        panic!("it was not true");
    };
    assert!(
        note.text.contains("sent back: still there"),
        "{}",
        note.text
    );
    let open = task(TaskState::Open, &[]);
    let Move::Reopen(note) = copy.next(&open, &there, Some(&answer(false)), at(4)) else {
        panic!("it was not accepted");
    };
    assert!(
        note.text.contains("attest that it is gone"),
        "{}",
        note.text
    );
    copy.reopened(&note);
    assert_eq!((copy.claim, copy.claims), (None, 1));
}

#[test]
fn f2_what_is_closed_on_either_side_ends_on_both() {
    let mut copy = copy();
    let done = task(closed(), &[line(9, "ann", "absence is proved")]);
    let Move::Close(note) = copy.next(&done, &seen(Stands::Open), None, at(10)) else {
        panic!("the ticket is to be closed");
    };
    assert!(
        note.text.starts_with("done: proved, closed by ann"),
        "{}",
        note.text
    );
    assert!(note.text.contains("absence is proved"));
    assert_eq!(
        copy.next(&done, &seen(Stands::Closed), None, at(10)),
        Move::Finish
    );
    assert_eq!(
        copy.next(&done, &seen(Stands::Gone), None, at(10)),
        Move::Finish
    );
    // Access that came back opens the task, and with it the ticket: nobody claimed anything.
    copy.finished = true;
    let open = task(TaskState::Open, &[]);
    let next = copy.next(&open, &seen(Stands::Closed), None, at(11));
    assert!(matches!(next, Move::Reopen(_)), "{next:?}");
    copy.finished = false;
    let next = copy.next(&open, &seen(Stands::Gone), None, at(11));
    assert_eq!(next, Move::Forget, "a deleted ticket is made anew");
    copy.stands = Stands::Unknown;
    let next = copy.next(&open, &seen(Stands::Gone), None, at(11));
    assert_eq!(next, Move::Hidden, "one that was never seen is not");
    copy.stands = Stands::Open;
    copy.claim = Some(CommandId::of_desk(copy.task, &copy.desk, 0));
    let next = copy.next(&open, &seen(Stands::Open), None, at(11));
    assert_eq!(next, Move::Withdraw, "they opened it again themselves");
}

#[test]
fn f2_a_desk_that_is_down_is_tried_again_for_as_long_as_it_takes() {
    let mut copy = copy();
    let failure = Failure::new(
        crate::domain::outcome::FailureClass::Unreachable,
        "CB-DESK-1",
        "x",
    );
    let mut waits = Vec::new();
    for _ in 0..50 {
        let next = copy.fail(failure.clone(), at(0), 0.0);
        waits.push(next.duration_since(at(0)).as_secs());
    }
    assert_eq!(waits[..4], [5, 10, 20, 40]);
    assert!(waits[8..].iter().all(|wait| *wait == 900), "{waits:?}");
    let asked = failure.retry_after(Some(3600));
    let next = copy.fail(asked, at(0), 0.0);
    assert_eq!(next.duration_since(at(0)).as_secs(), 3600);
    copy.agree(at(1), 60);
    assert_eq!((copy.failures, copy.trouble), (0, None));
}

#[test]
fn f2_what_a_desk_says_by_itself_is_acted_on_once() {
    let mut copy = copy();
    let heard = |message: &str, seconds: i64, stands: Stands| Heard {
        message: message.to_owned(),
        at: at(seconds),
        seen: Some(seen(stands)),
        before: Vec::new(),
    };
    let first = heard("m-1", 1, Stands::Closed);
    assert_eq!(news(None, &first), Some(first.clone()));
    assert_eq!(news(Some(&first), &first), None, "a repeat");
    let older = heard("m-0", 0, Stands::Open);
    assert_eq!(news(Some(&first), &older), None, "older");
    // One that came between does not make a repeat new, neither in the same second nor signed again.
    let between = news(Some(&first), &heard("m-2", 1, Stands::Open)).expect("news");
    assert_eq!(between.before, ["m-1"]);
    assert_eq!(news(Some(&between), &first), None, "a repeat");
    let again = heard("m-1", 3, Stands::Closed);
    assert_eq!(news(Some(&between), &again), None, "signed again");
    let mut last = between;
    for number in 3..200 {
        let next = heard(&format!("m-{number}"), number, Stands::Open);
        last = news(Some(&last), &next).expect("news");
    }
    assert_eq!(last.before.len(), REMEMBERED);
    copy.heard = Some(first);
    assert_eq!(copy.by_its_word().stands, Stands::Closed);
    // Opened again by us: what was said before counts no more.
    copy.stands = Stands::Open;
    assert_eq!(copy.by_its_word().stands, Stands::Open);
    copy.heard = Some(heard("m-2", 2, Stands::Closed));
    assert_eq!(copy.by_its_word().stands, Stands::Closed);
}
