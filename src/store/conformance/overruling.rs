//! Cases that workers are at work on while news of them, or an answer to it, comes in.
//!
//! Owns the promise that admission sees a case and its run as of one moment, however a settlement and an
//! admission meet, that a release stops what it puts off, and that news of a legal hold wakes what waits.
//! What each decision does is in `admission`.

use std::sync::Mutex;

use uuid::Uuid;

use super::Home;
use super::domain::command::{Command, Wish};
use super::domain::event::EventKind;
use super::domain::id::{CaseId, CommandId};
use super::domain::run::{RunBody, Stage};
use super::domain::settlement::{ExistingCase, Obedience, Settlement};
use super::domain::verdict::CredentialRole;
use super::domain::workflow::End;
use super::given::{
    a_case, a_removal, at, due, ended, event, fenced, handed_over, ignores, keep, opens_with,
    proved, recorded, step, subject,
};
use super::people::bare;

/// Often enough that the two meet in the middle.
const ROUNDS: u32 = 24;
const DAY: u64 = 86_400;

pub async fn b7_admission_sees_no_case_half_ended(home: &Home) {
    for round in 0..ROUNDS {
        // Given a case that a worker ends while news of it is admitted.
        let name = format!("c{round}");
        let case = a_case(&home.store, &name).await;
        recorded(&home.store, vec![event(&format!("off{round}"), &name, 2)]).await;
        let id = case.run.case.expect("a case");
        let end = Settlement {
            case_ended: Some((id, End::Verified, at(0))),
            ..step(&case.run, ended(End::Verified))
        };
        let (end, room) = ([fenced(&case, end)], keep(1, 0));
        let seen = Mutex::new(Vec::new());
        let note = |event: &super::domain::event::RecordedEvent, existing: &[ExistingCase]| {
            let own = existing.iter().filter(|case| case.row.id == id);
            let told = own.map(|case| (case.run.stage.ended(), case.ended.is_some()));
            *seen.lock().expect("kept") = told.collect();
            ignores(event)
        };
        let settle = home.store.settle(at(1), &room, &end);
        let (settled, admitted) = tokio::join!(settle, home.store.admit(10, at(1), &room, &note));
        settled.expect("settled");
        assert_eq!(admitted.expect("admitted").events, 1, "round {round}");
        // Then it is seen as ended or as open, and never as both.
        let seen = seen.into_inner().expect("kept");
        assert_eq!(seen.len(), 1, "round {round}");
        assert!(seen.iter().all(|(run, case)| run == case), "round {round}");
    }
}

pub async fn b7_a_release_stops_the_case_under_way_in_its_own_transaction(home: &Home) {
    // Given a removal that a worker has, and a case of the same departure that begins later.
    let removal = a_removal(&home.store, "c").await;
    let later = event("b", "c", 2);
    let on = CaseId::of(later.event.key(), later.recorded);
    recorded(&home.store, vec![later]).await;
    let opens = |event: &super::domain::event::RecordedEvent, _: &[ExistingCase]| {
        opens_with(event, due("begin", 100), &[])
    };
    let admitted = home.store.admit(10, at(1), &keep(2, 0), &opens).await;
    assert_eq!(admitted.expect("admitted").events, 1);
    // When a wish lets that one go.
    let command = Command {
        id: CommandId(Uuid::from_u64_pair(0xc0, 1)),
        by: "ann".to_owned(),
        at: at(1),
        wish: Wish::RotateSecret {
            connector: "crm".into(),
            role: CredentialRole::Writer,
        },
    };
    home.store.wish(&command).await.expect("wished");
    let obeyed = home
        .store
        .obey(10, at(1), &|command, _, _| Obedience {
            puts_off: Some(on),
            ..bare(command)
        })
        .await;
    assert_eq!(obeyed.expect("obeyed"), 1);
    // Then all runs of the other stop, whoever has them, and its own tells where the departure goes on.
    let late = [fenced(&removal, proved(&removal.run))];
    let settled = home.store.settle(at(1), &keep(1, 5), &late).await;
    assert_eq!(settled.expect("settled").accepted, [false]);
    let claimed = home.store.claim(at(1), &keep(2, 10)).await;
    let claimed = claimed.expect("claimed");
    assert_eq!(claimed.len(), 2);
    assert!(claimed.iter().all(|one| one.run.halted));
    let case = claimed.iter().find(|one| one.run.parent.is_none());
    let RunBody::Case(body) = &case.expect("the case").run.body else {
        panic!("a case");
    };
    let put_off = body.put_off.as_ref().expect("it goes on");
    assert_eq!((put_off.case, put_off.revision), (on, 2));
    assert_eq!(removal.run.case, case.and_then(|one| one.run.case));
}

pub async fn b9_news_of_a_legal_hold_makes_what_a_person_has_of_its_subject_due(home: &Home) {
    // Given removals of two subjects that people have, each tried by the machine a day later; one that the
    // machine tries no more.
    for (name, next) in [("c", Some(DAY)), ("d", Some(DAY)), ("e", None)] {
        let removal = a_removal(&home.store, name).await;
        let mut handed = handed_over(&removal.run);
        if let Stage::WithPerson { next_try, .. } = &mut handed.run.stage {
            *next_try = next.map(at);
        }
        let batch = [fenced(&removal, handed)];
        let settled = home.store.settle(at(0), &keep(1, 0), &batch).await;
        assert_eq!(settled.expect("settled").accepted, [true], "{name}");
    }
    let due_at = async |second| {
        let claimed = home.store.claim(at(second), &keep(2, 10)).await;
        claimed.expect("claimed")
    };
    assert_eq!(due_at(2).await, []);
    // When a hold on one of them is placed, and when it is lifted.
    for (second, kind) in [
        (2, EventKind::LegalHoldPlaced),
        (4, EventKind::LegalHoldLifted),
    ] {
        let mut news = event(kind.as_str(), "LH-77", second);
        news.event.kind = kind;
        news.event.subject = subject("c");
        recorded(&home.store, vec![news]).await;
        let room = keep(2, 0);
        let opens = |event: &super::domain::event::RecordedEvent, _: &[ExistingCase]| {
            opens_with(event, due("begin", 2 * DAY), &[])
        };
        let admitted = home.store.admit(10, at(second), &room, &opens).await;
        assert_eq!(admitted.expect("admitted").events, 1);
        // Then that one is due, and has its task still.
        let claimed = due_at(second).await;
        let [removal] = claimed.as_slice() else {
            panic!("{claimed:?}");
        };
        let told = removal.task.as_ref().map(|task| task.run);
        assert_eq!(told, Some(removal.run.id));
        let RunBody::Removal(_) = &removal.run.body else {
            panic!("{removal:?}");
        };
        assert_eq!(removal.run.stage.due(), Some(at(second)));
        // And when it waits again, it does so until news of another hold.
        let mut back = step(&removal.run, removal.run.stage.clone());
        if let Stage::WithPerson { next_try, .. } = &mut back.run.stage {
            *next_try = Some(at(DAY));
        }
        let batch = [fenced(removal, back)];
        let settled = home.store.settle(at(second), &keep(2, 0), &batch).await;
        assert_eq!(settled.expect("settled").accepted, [true]);
        assert_eq!(due_at(second + 1).await, []);
    }
    let claimed = due_at(DAY).await;
    assert_eq!(claimed.len(), 2, "nothing is lost");
}
