//! What a row that can't be read promises: it stays where it is, and keeps no others from their turn.
//!
//! The oldest of several is broken past the store, as a newer version's row looks to an older one;
//! `beside` does that in each database's own way.

use std::sync::Arc;

use uuid::Uuid;

use super::super::{CopiesWanted, Store, TaskFilter};
use super::domain::command::{Answer, Command, Wish};
use super::domain::escalation::Escalated;
use super::domain::event::{EventKind, RecordedEvent};
use super::domain::id::CommandId;
use super::domain::run::{Run, Stage};
use super::domain::settlement::{ExistingCase, Obedience};
use super::domain::task::FallbackTask;
use super::domain::verdict::CredentialRole;
use super::given::{
    a_case, a_removal, a_task, at, event, fenced, handed_over, ignores, keep, opens, recorded,
    rotation, subject, worker,
};

fn rotate(number: u64) -> Command {
    Command {
        id: CommandId(Uuid::from_u64_pair(0xc0, number)),
        by: "ada".to_owned(),
        at: at(0),
        wish: Wish::RotateSecret {
            connector: "crm".into(),
            role: CredentialRole::Writer,
        },
    }
}

fn answered(command: &Command) -> Obedience {
    Obedience {
        command: command.id,
        answer: Answer {
            accepted: true,
            code: None,
            message: "done".to_owned(),
        },
        run: None,
        task: None,
        rotation: None,
        survey: None,
        pause: None,
        drill: None,
        puts_off: None,
    }
}

/// `limit` is one, so that the broken row takes the whole of a look.
pub async fn f4_a_wish_keeps_no_other_wish_waiting(
    store: &Arc<dyn Store>,
    beside: impl AsyncFn(&'static str),
) {
    for number in [1, 2] {
        store.wish(&rotate(number)).await.expect("wished");
    }
    beside("UPDATE commands SET body = '{}' WHERE seq = (SELECT min(seq) FROM commands)").await;
    let mut done = 0;
    for _ in 0..2 {
        let obeyed = store.obey(1, at(0), &|command, _, _| answered(command));
        done += obeyed.await.expect("the others go on");
    }
    assert_eq!(done, 1);
    let answers = [rotate(1), rotate(2)].map(|one| store.answer(one.id));
    let [first, second] = answers;
    assert!(first.await.expect("read").is_none(), "it is owed");
    assert!(second.await.expect("read").is_some());
}

pub async fn f4_a_wish_about_what_cannot_be_read_keeps_no_other_wish_waiting(
    store: &Arc<dyn Store>,
    beside: impl AsyncFn(&'static str),
) {
    let case = a_case(store, "older").await.run.case;
    beside("UPDATE runs SET body = '{}'").await;
    for number in [1, 2] {
        store.wish(&rotate(number)).await.expect("wished");
    }
    let first = rotate(1).id;
    let decide = |command: &Command, _: Option<&FallbackTask>, _: Option<&Run>| Obedience {
        puts_off: case.filter(|_| command.id == first),
        ..answered(command)
    };
    let obeyed = store.obey(10, at(0), &decide).await;
    assert_eq!(obeyed.expect("the other goes on"), 1);
    let answers = [rotate(1), rotate(2)].map(|one| store.answer(one.id));
    let [first, second] = answers;
    assert!(first.await.expect("read").is_none(), "it is owed");
    assert!(second.await.expect("read").is_some());
}

pub async fn b9_a_legal_hold_is_in_force_though_a_removal_cannot_be_read(
    store: &Arc<dyn Store>,
    beside: impl AsyncFn(&'static str),
) {
    let removal = a_removal(store, "c").await;
    let handed = fenced(&removal, handed_over(&removal.run));
    let settled = store.settle(at(0), &keep(1, 0), &[handed]).await;
    assert_eq!(settled.expect("settled").accepted, [true]);
    beside("UPDATE runs SET body = '{}' WHERE kind = 'removal'").await;
    let mut news = event("hold", "LH-77", 1);
    news.event.kind = EventKind::LegalHoldPlaced;
    news.event.subject = subject("c");
    recorded(store, vec![news]).await;
    let opens = |event: &RecordedEvent, _: &[ExistingCase]| opens(event);
    let admitted = store.admit(10, at(1), &keep(1, 0), &opens).await;
    assert_eq!(admitted.expect("admitted").events, 1);
}

pub async fn f2_one_task_or_case_that_cannot_be_read_hides_no_other_from_people(
    store: &Arc<dyn Store>,
    beside: impl AsyncFn(&'static str),
) {
    two_tasks(store, "servicedesk", &beside).await;
    let tasks = store.tasks(&TaskFilter::default()).await.expect("read");
    assert_eq!(tasks.len(), 1);
    let before = store.leavers(at(0), at(10)).await.expect("read").len();
    beside(
        "UPDATE runs SET body = '{}' WHERE id = \
         (SELECT id FROM runs WHERE kind = 'case' ORDER BY id LIMIT 1)",
    )
    .await;
    let after = store.leavers(at(0), at(10)).await.expect("read").len();
    assert_eq!(after, before - 1);
}

/// Two tasks of persons, one of which is broken.
async fn two_tasks(store: &Arc<dyn Store>, desk: &str, beside: impl AsyncFn(&'static str)) {
    for name in ["older", "younger"] {
        let removal = a_removal(store, name).await;
        let mut settlement = handed_over(&removal.run);
        let late = u64::from(name == "younger");
        settlement.task = Some(FallbackTask {
            desk: desk.to_owned(),
            deadline: at(3600 + late),
            ..a_task(&settlement.run)
        });
        let batch = [fenced(&removal, settlement)];
        let settled = store.settle(at(0), &keep(1, 0), &batch).await;
        assert_eq!(settled.expect("settled").accepted, [true]);
    }
    beside("UPDATE tasks SET body = '{}' WHERE deadline_us = (SELECT min(deadline_us) FROM tasks)")
        .await;
}

pub async fn f5_a_task_keeps_no_other_task_from_being_told(
    store: &Arc<dyn Store>,
    beside: impl AsyncFn(&'static str),
) {
    two_tasks(store, "built-in", beside).await;
    let tell = |task: &FallbackTask| {
        let mut task = task.clone();
        task.escalation.times += 1;
        task.escalation.next = Some(at(100_000));
        Some(Escalated {
            message: None,
            task,
            copy_at: None,
        })
    };
    let mut told = Vec::new();
    for _ in 0..2 {
        let escalated = store.escalate(1, at(9000), &tell).await;
        told.extend(escalated.expect("the others go on"));
    }
    let told: Vec<_> = told.iter().map(|task| task.deadline).collect();
    assert_eq!(told, [at(3601)]);
}

pub async fn f2_a_task_keeps_no_other_task_from_its_desk(
    store: &Arc<dyn Store>,
    beside: impl AsyncFn(&'static str),
) {
    let enlisted = store.enlist(worker(2), at(0), 1_000_000).await;
    enlisted.expect("enlisted");
    two_tasks(store, "servicedesk", beside).await;
    let want = CopiesWanted {
        worker: worker(2),
        now: at(1),
        desk: "servicedesk".into(),
        lease_seconds: 100,
        at_most: 10,
    };
    let leases = store.take_copies(&want).await.expect("the others go on");
    let leased: Vec<_> = leases.iter().map(|lease| lease.task.deadline).collect();
    assert_eq!(leased, [at(3601)]);
}

pub async fn a3_an_event_keeps_no_other_event_waiting(
    store: &Arc<dyn Store>,
    beside: impl AsyncFn(&'static str),
) {
    // The case of the first can't be read; the second can't be read itself.
    a_case(store, "torn").await;
    beside("UPDATE runs SET body = '{}'").await;
    let events = ["again", "broken", "third", "fourth"];
    let recorded_as = |name: &str| match name {
        "again" => event(name, "torn", 2),
        name => event(name, name, 1),
    };
    recorded(store, events.map(recorded_as).into()).await;
    beside(
        "UPDATE events SET body = '{}' WHERE seq = (SELECT min(seq) + 1 FROM events \
         WHERE admitted_us IS NULL)",
    )
    .await;
    let mut admitted = Vec::new();
    for _ in 0..4 {
        let names = std::sync::Mutex::new(Vec::new());
        let decide = |event: &_, _: &[_]| {
            let event: &super::domain::event::RecordedEvent = event;
            names.lock().expect("sound").push(event.event.id.clone());
            match event.event.id.as_str() {
                "again" => ignores(event),
                _ => opens(event),
            }
        };
        let done = store.admit(10, at(0), &keep(1, 0), &decide).await;
        if done.expect("the others go on").events > 0 {
            admitted.extend(names.into_inner().expect("sound"));
        }
    }
    assert_eq!(admitted, ["third", "fourth"]);
    let counts = store.counts(at(60)).await.expect("counted");
    assert_eq!(counts.events_waiting, 2, "both are owed, and seen to be");
    assert_eq!(counts.oldest_event_seconds, Some(60));
}

pub async fn d2_a_rotation_keeps_no_other_from_being_known(
    store: &Arc<dyn Store>,
    beside: impl AsyncFn(&'static str),
) {
    let (torn, sound) = (rotation("crm", "x", 1), rotation("erp", "x", 1));
    for run in [&torn, &sound] {
        assert!(store.start(run, at(0)).await.expect("started"));
    }
    beside("UPDATE runs SET body = '{}' WHERE connector = 'crm'").await;
    let known = store.rotations(None).await.expect("the others are told");
    assert_eq!(known, [sound]);
    // Who asks for its connector must not think that there is none.
    assert!(store.rotations(Some(&"crm".into())).await.is_err());
}

pub async fn c8_a_run_keeps_no_other_that_was_barred_asleep(
    store: &Arc<dyn Store>,
    beside: impl AsyncFn(&'static str),
) {
    let mut last = None;
    for number in 0..5 {
        let removal = a_removal(store, &format!("c{number}")).await;
        let mut settlement = handed_over(&removal.run);
        if let Stage::WithPerson { next_try, .. } = &mut settlement.run.stage {
            *next_try = Some(at(900));
        }
        let task = settlement.task.as_mut().expect("opened");
        "CB-GUARD-15".clone_into(&mut task.code);
        last.clone_from(&settlement.run.connector);
        let batch = [fenced(&removal, settlement)];
        let settled = store.settle(at(1), &keep(1, 0), &batch).await;
        assert_eq!(settled.expect("settled").accepted, [true]);
    }
    beside(
        "UPDATE runs SET body = '{}' WHERE kind = 'removal' AND NOT EXISTS (SELECT 1 FROM runs o \
         WHERE o.kind = 'removal' AND o.id < runs.id)",
    )
    .await;
    let connector = last.expect("of one");
    let woken = store.wake_barred(&connector, &["CB-GUARD-15"], at(3)).await;
    assert_eq!(woken.expect("the others are woken"), 4);
}
