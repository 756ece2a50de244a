//! What a store promises of copies at desks: one worker at a time, most urgent first, nothing lost.
//!
//! What a copy lacks is decided in the domain, and not looked at here.

use std::sync::Arc;

use super::super::{CopiesWanted, CopyLease, Fenced, NextVisit, Store};
use super::Home;
use super::domain::command::{Answer, Command, Wish};
use super::domain::desk::{DeskCopy, Heard, Seen, Stands, Ticket};
use super::domain::id::{CommandId, TaskId};
use super::domain::run::Run;
use super::domain::settlement::Obedience;
use super::domain::task::{FallbackTask, TaskState};
use super::given::{a_removal, a_task, at, closed, fenced, handed_over, keep, worker};

fn wanted(number: u64, seconds: u64) -> CopiesWanted {
    CopiesWanted {
        worker: worker(number),
        now: at(seconds),
        desk: "servicedesk".into(),
        lease_seconds: 100,
        at_most: 10,
    }
}

fn at_desk(run: &Run) -> FallbackTask {
    FallbackTask {
        desk: "servicedesk".to_owned(),
        ..a_task(run)
    }
}

/// A task of a removal that worker 1 keeps in hand.
async fn a_task_at_the_desk(store: &Arc<dyn Store>, name: &str) -> (Fenced, TaskId) {
    let removal = a_removal(store, name).await;
    let mut settlement = handed_over(&removal.run);
    settlement.task = Some(at_desk(&settlement.run));
    let fenced = fenced(&removal, settlement);
    let settled = store
        .settle(at(0), &keep(1, 1), std::slice::from_ref(&fenced))
        .await;
    assert_eq!(settled.expect("settled").accepted, [true]);
    let task = fenced.settlement.run.id.task();
    (fenced, task)
}

async fn enlist(store: &Arc<dyn Store>, number: u64) {
    let enlisted = store.enlist(worker(number), at(0), 1_000_000).await;
    enlisted.expect("enlisted");
}

async fn taken(store: &Arc<dyn Store>, number: u64, seconds: u64) -> Vec<CopyLease> {
    let taken = store.take_copies(&wanted(number, seconds)).await;
    taken.expect("taken")
}

fn with_ticket(copy: &DeskCopy) -> DeskCopy {
    let mut copy = copy.clone();
    let ticket = Ticket {
        id: "1".to_owned(),
        shown: "INC1".to_owned(),
        keyed: true,
        page: None,
    };
    copy.adopt(ticket, None);
    copy
}

fn next(seconds: u64) -> NextVisit {
    NextVisit {
        due: at(seconds),
        troubled: None,
    }
}

pub async fn f2_a_task_for_a_desk_gets_one_copy_in_one_hand(home: &Home) {
    let store = &home.store;
    enlist(store, 2).await;
    enlist(store, 3).await;
    let (_, task) = a_task_at_the_desk(store, "c").await;
    let leases = taken(store, 2, 1).await;
    assert_eq!(leases.len(), 1);
    assert_eq!((leases[0].task.id, &leases[0].copy.ticket), (task, &None));
    assert!(taken(store, 3, 1).await.is_empty(), "one hand");
    // An intent outlives a crash and keeps the lease.
    let copy = with_ticket(&leases[0].copy);
    assert!(
        store
            .keep_copy(&leases[0], &copy, None)
            .await
            .expect("kept")
    );
    assert!(taken(store, 3, 2).await.is_empty(), "still one hand");
    let read = store.copies_of(task).await.expect("read");
    assert_eq!(read, std::slice::from_ref(&copy));
    // Done, it is due again at its time, and not before.
    assert!(
        store
            .keep_copy(&leases[0], &copy, Some(next(60)))
            .await
            .expect("kept")
    );
    assert!(taken(store, 3, 59).await.is_empty());
    let again = taken(store, 3, 60).await;
    assert_eq!(again[0].copy, copy);
    // The first lease counts for nothing any more.
    let late = store
        .keep_copy(&leases[0], &leases[0].copy, Some(next(0)))
        .await;
    assert!(!late.expect("asked"));
    assert!(
        store
            .take_copies(&CopiesWanted {
                desk: "other".into(),
                ..wanted(2, 9)
            })
            .await
            .expect("taken")
            .is_empty()
    );
}

pub async fn f2_the_task_of_a_drill_goes_to_no_desk(home: &Home) {
    let store = &home.store;
    enlist(store, 2).await;
    let removal = a_removal(store, "c").await;
    let mut settlement = handed_over(&removal.run);
    settlement.task = Some(FallbackTask {
        drill: true,
        ..at_desk(&settlement.run)
    });
    let batch = [fenced(&removal, settlement)];
    let settled = store.settle(at(0), &keep(1, 1), &batch).await;
    assert_eq!(settled.expect("settled").accepted, [true]);
    assert!(taken(store, 2, 1).await.is_empty());
}

pub async fn f2_a_copy_of_a_worker_that_is_gone_is_taken_over(home: &Home) {
    let store = &home.store;
    enlist(store, 2).await;
    enlist(store, 3).await;
    a_task_at_the_desk(store, "c").await;
    let first = taken(store, 2, 1).await;
    store.discharge(worker(2)).await.expect("gone");
    assert_eq!(taken(store, 3, 2).await.len(), 1, "its worker is gone");
    assert!(taken(store, 3, 101).await.is_empty());
    assert_eq!(taken(store, 3, 103).await.len(), 1, "its time is over");
    let late = store
        .keep_copy(&first[0], &first[0].copy, Some(next(0)))
        .await;
    assert!(!late.expect("asked"));
}

pub async fn f2_a_change_of_the_task_makes_its_copy_due_unless_the_desk_is_down(home: &Home) {
    let store = &home.store;
    enlist(store, 2).await;
    let (_, task) = a_task_at_the_desk(store, "c").await;
    let lease = taken(store, 2, 1).await.remove(0);
    let copy = with_ticket(&lease.copy);
    assert!(
        store
            .keep_copy(&lease, &copy, Some(next(900)))
            .await
            .expect("kept")
    );
    assert!(taken(store, 2, 2).await.is_empty(), "nothing has happened");
    changed(store, task, 1, &|task| task.state = claimed_by("ann")).await;
    let lease = taken(store, 2, 3).await.remove(0);
    assert_eq!(lease.task.state.as_str(), "claimed");
    // The desk is down, and then the task is closed: the desk is left alone until its time.
    let troubled = Some(NextVisit {
        due: at(500),
        troubled: Some(at(3)),
    });
    assert!(
        store
            .keep_copy(&lease, &copy, troubled)
            .await
            .expect("kept")
    );
    changed(store, task, 2, &|task| *task = closed(task.clone())).await;
    assert!(taken(store, 2, 4).await.is_empty());
    let figures = store.desk_figures().await.expect("read");
    assert_eq!(
        (figures[0].open, figures[0].troubled, figures[0].since),
        (1, 1, Some(at(3)))
    );
    let lease = taken(store, 2, 500).await.remove(0);
    assert_eq!(lease.task.state.as_str(), "closed");
    let finished = DeskCopy {
        finished: true,
        ..copy
    };
    assert!(
        store
            .keep_copy(&lease, &finished, Some(next(501)))
            .await
            .expect("kept")
    );
    assert!(taken(store, 2, 9999).await.is_empty(), "finished");
    assert!(store.desk_figures().await.expect("read").is_empty());
    // Open again, it is taken up again, and knows that it was finished.
    changed(store, task, 3, &|task| task.state = TaskState::Open).await;
    let lease = taken(store, 2, 9999).await.remove(0);
    assert!(lease.copy.finished);
}

fn claimed_by(name: &str) -> TaskState {
    TaskState::Claimed {
        by: name.to_owned(),
        at: at(1),
    }
}

/// Changes the task by a wish, which is the only way past its run.
async fn changed(
    store: &Arc<dyn Store>,
    task: TaskId,
    number: u64,
    change: &(dyn Fn(&mut FallbackTask) + Send + Sync),
) {
    let command = Command {
        id: CommandId(uuid::Uuid::from_u64_pair(0xde5c, number)),
        by: "ann".to_owned(),
        at: at(number),
        wish: Wish::ClaimTask { task },
    };
    store.wish(&command).await.expect("wished");
    let obeyed = store
        .obey(
            1,
            at(number),
            &|command: &Command, task: Option<&FallbackTask>, _: Option<&Run>| {
                let mut task = task.expect("is there").clone();
                change(&mut task);
                Obedience {
                    command: command.id,
                    answer: Answer {
                        accepted: true,
                        code: None,
                        message: String::new(),
                    },
                    task: Some(task),
                    run: None,
                    rotation: None,
                    survey: None,
                    drill: None,
                    puts_off: None,
                    pause: None,
                }
            },
        )
        .await;
    assert_eq!(obeyed.expect("obeyed"), 1);
}

pub async fn f2_what_a_desk_says_is_kept_while_its_copy_is_in_hand(home: &Home) {
    let store = &home.store;
    enlist(store, 2).await;
    let (_, task) = a_task_at_the_desk(store, "c").await;
    let lease = taken(store, 2, 1).await.remove(0);
    let heard = |message: &str, seconds: u64| Heard {
        message: message.to_owned(),
        at: at(seconds),
        seen: Some(Seen {
            stands: Stands::Closed,
            ..Seen::default()
        }),
        before: Vec::new(),
    };
    let desk = "servicedesk".into();
    let said = |heard: Heard| async move {
        store
            .desk_said(&"servicedesk".into(), task, &heard)
            .await
            .expect("kept")
    };
    assert_eq!(said(heard("m-1", 5)).await, Some(true));
    assert_eq!(said(heard("m-1", 5)).await, Some(false), "a repeat");
    assert_eq!(said(heard("m-0", 4)).await, Some(false), "an older one");
    // The worker that had the copy meanwhile does not push it away.
    let copy = with_ticket(&lease.copy);
    assert!(
        store
            .keep_copy(&lease, &copy, Some(next(900)))
            .await
            .expect("kept")
    );
    let again = taken(store, 2, 6).await.remove(0);
    assert_eq!(again.copy.heard, Some(heard("m-1", 5)));
    assert_eq!(again.copy.ticket, copy.ticket);
    // One that came between does not make a repeat new.
    assert_eq!(said(heard("m-2", 5)).await, Some(true));
    assert_eq!(said(heard("m-1", 5)).await, Some(false), "a repeat");
    let nobody = TaskId(uuid::Uuid::from_u128(5));
    let lost = store.desk_said(&desk, nobody, &heard("m-2", 6)).await;
    assert_eq!(lost.expect("asked"), None);
}

pub async fn f2_many_workers_never_work_on_the_same_copy(home: &Home) {
    let store = &home.store;
    for number in 0..4 {
        enlist(store, number + 10).await;
    }
    a_task_at_the_desk(store, "c").await;
    let mut hands = tokio::task::JoinSet::new();
    for number in 0..4 {
        let store = store.clone();
        hands.spawn(async move { taken(&store, number + 10, 1).await.len() });
    }
    let mut all = 0;
    while let Some(taken) = hands.join_next().await {
        all += taken.expect("no panic");
    }
    assert_eq!(all, 1);
}
