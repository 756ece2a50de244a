//! What wishes promise: in line, in order, answered, and never past a worker that holds the run.
//!
//! The decisions are made up here; the rules of claiming and closing are the domain's.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::super::{Claimed, Store};
use super::Home;
use super::domain::command::{Answer, Command, Wish};
use super::domain::id::{CommandId, ConnectorName, TaskId};
use super::domain::pause::PauseChange;
use super::domain::run::Run;
use super::domain::settlement::{Obedience, Settlement};
use super::domain::task::{FallbackTask, TaskNote};
use super::domain::verdict::CredentialRole;
use super::given::{
    a_case, a_removal, at, due, fenced, gathering, handed_over, keep, proved, removal, rotation,
    step,
};
use super::people::signed;

fn claim_task(number: u64, task: TaskId) -> Command {
    Command {
        id: CommandId(Uuid::from_u64_pair(0xc0, number)),
        by: format!("operator {number}"),
        at: at(number),
        wish: Wish::ClaimTask { task },
    }
}

/// Notes the wish on the task and makes the run due.
fn noted(command: &Command, task: Option<&FallbackTask>, run: Option<&Run>) -> Obedience {
    let task = task.cloned().map(|mut task| {
        task.history.push(TaskNote {
            at: command.at,
            by: command.by.clone(),
            text: "claimed".to_owned(),
        });
        task
    });
    Obedience {
        command: command.id,
        answer: Answer {
            accepted: task.is_some(),
            code: None,
            message: format!("for {}", command.by),
        },
        run: task.as_ref().and(run).map(|run| {
            let mut run = step(run, due("check", 0)).run;
            run.task = task.as_ref().map(|task| task.id);
            run
        }),
        task,
        rotation: None,
        survey: None,
        pause: None,
        drill: None,
        puts_off: None,
    }
}

/// A removal that a person has, and the step that gave it to them.
async fn with_a_person(store: &Arc<dyn Store>) -> Claimed {
    let removal = a_removal(store, "c").await;
    let batch = [fenced(&removal, handed_over(&removal.run))];
    let settled = store
        .settle(at(0), &keep(1, 5), &batch)
        .await
        .expect("settled");
    assert_eq!(settled.accepted, [true]);
    Claimed {
        run: batch[0].settlement.run.clone(),
        ..removal
    }
}

pub async fn a_wish_waits_while_its_run_is_leased(home: &Home) {
    let removal = with_a_person(&home.store).await;
    let task = removal.run.id.task();
    home.store.wish(&claim_task(1, task)).await.expect("wished");
    assert_eq!(home.store.obey(10, at(1), &noted).await.expect("obeyed"), 1);
    // The run is due now; a worker takes it, and the next wish has to wait for it.
    let held = home.store.claim(at(1), &keep(2, 5)).await.expect("claimed");
    assert_eq!(held.len(), 1);
    let open = held[0]
        .task
        .as_ref()
        .expect("its task comes with the claim");
    assert_eq!(open.history.len(), 1);
    let second = claim_task(2, task);
    home.store.wish(&second).await.expect("wished");
    home.store.wish(&second).await.expect("wished again");
    assert_eq!(home.store.obey(10, at(2), &noted).await.expect("obeyed"), 0);
    assert_eq!(home.store.answer(second.id).await.expect("read"), None);

    let back = fenced(&held[0], handed_over(&held[0].run));
    home.store
        .settle(at(2), &keep(2, 0), &[back])
        .await
        .expect("settled");
    assert_eq!(home.store.obey(10, at(3), &noted).await.expect("obeyed"), 1);
    let answer = home
        .store
        .answer(second.id)
        .await
        .expect("read")
        .expect("answered");
    assert_eq!(answer.message, "for operator 2");
    assert_eq!(home.store.obey(10, at(3), &noted).await.expect("obeyed"), 0);
}

pub async fn wishes_about_one_task_see_each_other(home: &Home) {
    let removal = with_a_person(&home.store).await;
    let task = removal.run.id.task();
    for number in 1..=3 {
        home.store
            .wish(&claim_task(number, task))
            .await
            .expect("wished");
    }
    assert_eq!(home.store.obey(10, at(1), &noted).await.expect("obeyed"), 3);
    let task = home.store.task(task).await.expect("read").expect("there");
    let by: Vec<_> = task.history.iter().map(|note| note.by.as_str()).collect();
    assert_eq!(by, ["operator 1", "operator 2", "operator 3"]);
}

pub async fn a_wish_leaves_a_woken_run_awake(home: &Home) {
    // A case that has a task gathers, and its last child has just ended.
    let case = a_case(&home.store, "c").await;
    let mut gather = Settlement {
        children: vec![removal(&case.run, "crm", "0")],
        ..handed_over(&case.run)
    };
    gather.run.stage = gathering("fan-out");
    let batch = [fenced(&case, gather)];
    let settled = home.store.settle(at(0), &keep(1, 1), &batch).await;
    let child = settled.expect("settled").kept.remove(0);
    let end = [fenced(&child, proved(&child.run))];
    let settled = home.store.settle(at(0), &keep(1, 0), &end).await;
    assert_eq!(settled.expect("settled").accepted, [true]);
    // What a wish changes on it is written, and it is looked at all the same.
    let task = case.run.id.task();
    home.store.wish(&claim_task(1, task)).await.expect("wished");
    let urgent = |command: &Command, task: Option<&FallbackTask>, run: Option<&Run>| {
        let run = run.cloned().map(|run| Run { priority: 5, ..run });
        Obedience {
            run,
            ..noted(command, task, None)
        }
    };
    assert_eq!(
        home.store.obey(10, at(1), &urgent).await.expect("obeyed"),
        1
    );
    let held = home.store.claim(at(1), &keep(2, 5)).await.expect("claimed");
    assert_eq!(held.len(), 1);
    assert_eq!((held[0].run.id, held[0].run.priority), (case.run.id, 5));
    assert_eq!(held[0].open_children, 0);
}

pub async fn a_wish_without_a_task_is_answered(home: &Home) {
    let nowhere = claim_task(1, TaskId(Uuid::from_u64_pair(9, 9)));
    home.store.wish(&nowhere).await.expect("wished");
    let rotate = Command {
        id: CommandId(Uuid::from_u64_pair(0xc0, 2)),
        wish: Wish::RotateSecret {
            connector: "crm".into(),
            role: CredentialRole::Writer,
        },
        ..nowhere.clone()
    };
    home.store.wish(&rotate).await.expect("wished");
    let obeyed = home
        .store
        .obey(10, at(1), &|command, task, run| Obedience {
            rotation: command
                .wish
                .task()
                .is_none()
                .then(|| rotation("crm", "wish", 1)),
            ..noted(command, task, run)
        })
        .await
        .expect("obeyed");
    assert_eq!(obeyed, 2);
    let answer = home
        .store
        .answer(nowhere.id)
        .await
        .expect("read")
        .expect("answered");
    assert!(!answer.accepted);
    assert_eq!(home.store.rotations(None).await.expect("read").len(), 1);
}

pub async fn a_wish_wakes_a_worker(home: &Home) {
    // Whatever is still ringing is heard first.
    home.store.woken(Duration::from_millis(300)).await;
    let waits = home.store.woken(Duration::from_secs(60));
    let wishes = async {
        let command = claim_task(1, TaskId(Uuid::from_u64_pair(9, 9)));
        home.store.wish(&command).await.expect("wished");
    };
    let both = async { tokio::join!(waits, wishes) };
    let done = tokio::time::timeout(Duration::from_secs(30), both).await;
    assert!(done.is_ok(), "nobody was woken");
}

pub async fn g4_a_pause_waits_behind_no_wishes_about_tasks(home: &Home) {
    let store = &home.store;
    for number in 1..=200 {
        let task = TaskId(Uuid::from_u64_pair(9, number));
        let wish = claim_task(number, task);
        store.wish(&wish).await.expect("wished");
    }
    let crm = ConnectorName::from("crm");
    let reason = "it misbehaves".to_owned();
    let pause = Command {
        id: CommandId(Uuid::from_u64_pair(0xc0, 201)),
        by: "operator".to_owned(),
        at: at(201),
        wish: Wish::Pause {
            connector: Some(crm.clone()),
            reason,
        },
    };
    store.wish(&pause).await.expect("wished");
    let decide = |command: &Command, task: Option<&FallbackTask>, run: Option<&Run>| Obedience {
        pause: command.wish.task().is_none().then(|| PauseChange::Begin {
            connector: Some(crm.clone()),
            signed: signed("operator"),
        }),
        ..noted(command, task, run)
    };
    assert_eq!(store.obey(16, at(202), &decide).await.expect("obeyed"), 16);
    let pauses = store.pauses().await.expect("read");
    assert_eq!(pauses.0.len(), 1, "it is in force");
    // The others kept their order.
    for (number, done) in [(15, true), (16, false)] {
        let id = CommandId(Uuid::from_u64_pair(0xc0, number));
        let answer = store.answer(id).await.expect("read");
        assert_eq!(answer.is_some(), done, "{number}");
    }
}
