//! Cases that workers are at work on while news of them, or an answer to it, comes in.
//!
//! Owns the promise that admission sees a case and its run as of one moment, however a settlement and an
//! admission meet, and that a release stops what it puts off. What each decision does is in `admission`.

use std::sync::Mutex;

use uuid::Uuid;

use super::Home;
use super::domain::command::{Command, Wish};
use super::domain::id::{CaseId, CommandId};
use super::domain::run::RunBody;
use super::domain::settlement::{ExistingCase, Obedience, Settlement};
use super::domain::verdict::CredentialRole;
use super::domain::workflow::End;
use super::given::{
    a_case, a_removal, at, due, ended, event, fenced, ignores, keep, opens_with, proved, recorded,
    step,
};
use super::people::bare;

/// Often enough that the two meet in the middle.
const ROUNDS: u32 = 24;

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
