//! What the database itself refuses, whatever the program asks for.
//!
//! Each check asks for one broken promise and expects the constraint's name; afterwards the store
//! holds what it held before.

use std::sync::Arc;

use super::super::{Claimed, Store, StoreError, TaskFilter};
use super::Home;
use super::domain::command::{Answer, Command, Wish};
use super::domain::id::{CommandId, TaskId};
use super::domain::rotation::Trigger;
use super::domain::run::{Run, RunBody};
use super::domain::settlement::{Obedience, Settlement};
use super::domain::task::FallbackTask;
use super::domain::verdict::Verdict;
use super::domain::workflow::End;
use super::given::{
    a_case, a_removal, a_task, at, closed, due, ended, fenced, gathering, handed_over, keep,
    proved, rotation, step,
};

/// Settles, expecting to be refused by this constraint, and shows that nothing has changed.
async fn refused(store: &Arc<dyn Store>, claimed: &Claimed, settlement: Settlement, name: &str) {
    let before = store.run(claimed.run.id).await.expect("read");
    let done = store
        .settle(at(0), &keep(1, 5), &[fenced(claimed, settlement)])
        .await;
    match done {
        Err(StoreError::Broken { constraint, .. }) => assert_eq!(constraint, name),
        other => panic!("{name} did not hold: {other:?}"),
    }
    assert_eq!(store.run(claimed.run.id).await.expect("read"), before);
}

pub async fn p_a_removal_cannot_end_verified_without_proof(home: &Home) {
    let removal = a_removal(&home.store, "c").await;
    let name = "promise_removal_ends_in_proof";
    let mut only_accepted = proved(&removal.run);
    only_accepted.run.verdict = Some(Verdict::Accepted);
    refused(&home.store, &removal, only_accepted, name).await;
    let mut only_applied = proved(&removal.run);
    only_applied.run.verdict = Some(Verdict::Applied);
    refused(&home.store, &removal, only_applied, name).await;
    let mut no_verdict = proved(&removal.run);
    no_verdict.run.verdict = None;
    refused(&home.store, &removal, no_verdict, name).await;
    let mut no_line = proved(&removal.run);
    no_line.journal.clear();
    refused(&home.store, &removal, no_line, name).await;
    for end in [End::Rescinded, End::Rotated] {
        let mut other = proved(&removal.run);
        other.run.stage = ended(end);
        refused(&home.store, &removal, other, name).await;
    }
    let good = fenced(&removal, proved(&removal.run));
    let settled = home
        .store
        .settle(at(0), &keep(1, 5), &[good])
        .await
        .expect("settled");
    assert_eq!(settled.accepted, [true]);
}

pub async fn p_a_removal_cannot_end_attested_without_a_closed_task(home: &Home) {
    let name = "promise_attested_by_closed_task";
    let removal = a_removal(&home.store, "c").await;
    let attested = step(&removal.run, ended(End::Attested));
    refused(&home.store, &removal, attested.clone(), name).await;
    let mut open = attested.clone();
    open.task = Some(a_task(&removal.run));
    refused(&home.store, &removal, open, name).await;
    let mut good = attested;
    good.task = Some(closed(a_task(&removal.run)));
    let settled = home
        .store
        .settle(at(0), &keep(1, 5), &[fenced(&removal, good)])
        .await
        .expect("settled");
    assert_eq!(settled.accepted, [true]);
}

pub async fn p_a_removal_cannot_end_halted_unless_its_case_is(home: &Home) {
    let removal = a_removal(&home.store, "c").await;
    let halted = step(&removal.run, ended(End::Halted));
    refused(&home.store, &removal, halted, "promise_halted_with_case").await;
}

/// Carries out a wish with this result.
async fn obeyed(
    store: &Arc<dyn Store>,
    task: TaskId,
    result: impl Fn(&FallbackTask) -> (Option<FallbackTask>, bool) + Send + Sync,
) -> Result<u32, StoreError> {
    let command = Command {
        id: CommandId(task.0),
        by: "bob".to_owned(),
        at: at(0),
        wish: Wish::ClaimTask { task },
    };
    store.wish(&command).await.expect("wished");
    store
        .obey(10, at(0), &|command, task, run| {
            let (changed, touch) = task.map_or((None, false), &result);
            Obedience {
                command: command.id,
                answer: Answer {
                    accepted: true,
                    code: None,
                    message: String::new(),
                },
                task: changed,
                run: run.filter(|_| touch).cloned(),
                rotation: None,
                survey: None,
                pause: None,
                drill: None,
                puts_off: None,
            }
        })
        .await
}

fn constraint(result: Result<u32, StoreError>) -> String {
    match result {
        Err(StoreError::Broken { constraint, .. }) => constraint,
        other => panic!("no promise held: {other:?}"),
    }
}

/// A removal that a person's word has ended.
async fn an_attested_removal(store: &Arc<dyn Store>) -> Claimed {
    let removal = a_removal(store, "c").await;
    let mut attested = step(&removal.run, ended(End::Attested));
    attested.task = Some(closed(a_task(&removal.run)));
    let batch = [fenced(&removal, attested)];
    store
        .settle(at(0), &keep(1, 0), &batch)
        .await
        .expect("settled");
    removal
}

pub async fn p_a_closed_task_that_settled_a_removal_stays_closed(home: &Home) {
    let removal = an_attested_removal(&home.store).await;
    let reopened = a_task(&removal.run);
    let result = obeyed(&home.store, reopened.id, |_| {
        (Some(reopened.clone()), false)
    })
    .await;
    assert_eq!(constraint(result), "promise_attested_by_closed_task");
    let open = home
        .store
        .tasks(&TaskFilter::default())
        .await
        .expect("read");
    assert!(open.is_empty());
}

pub async fn p_a_run_ends_once(home: &Home) {
    let removal = an_attested_removal(&home.store).await;
    let result = obeyed(&home.store, removal.run.id.task(), |_| (None, true)).await;
    assert_eq!(constraint(result), "promise_ended_once");
}

pub async fn p_a_run_cannot_end_before_its_children(home: &Home) {
    let case = a_case(&home.store, "c").await;
    let mut early = step(&case.run, ended(End::Verified));
    early.children = vec![super::given::removal(&case.run, "crm", "a")];
    refused(&home.store, &case, early, "promise_no_child_left").await;
}

pub async fn p_an_open_run_is_never_forgotten(home: &Home) {
    let removal = a_removal(&home.store, "c").await;
    let nobody = step(&removal.run, super::given::with_person());
    refused(&home.store, &removal, nobody, "promise_nothing_forgotten").await;
}

pub async fn p_a_case_ends_after_its_runs(home: &Home) {
    let removal = a_removal(&home.store, "c").await;
    let early = Settlement {
        case_ended: removal.run.case.map(|id| (id, End::Verified, at(0))),
        ..step(&removal.run, due("next", 0))
    };
    refused(&home.store, &removal, early, "promise_case_ends_last").await;
}

pub async fn f1_a_run_has_one_task(home: &Home) {
    let removal = a_removal(&home.store, "c").await;
    let first = handed_over(&removal.run);
    let run = first.run.clone();
    let settled = home
        .store
        .settle(at(0), &keep(1, 0), &[fenced(&removal, first)])
        .await
        .expect("settled");
    assert_eq!(settled.accepted, [true]);
    let result = obeyed(&home.store, run.id.task(), |task| {
        let mut second = task.clone();
        second.id = TaskId(run.id.0);
        (Some(second), false)
    });
    assert_eq!(constraint(result.await), "promise_one_task_per_run");
    let tasks = home
        .store
        .tasks(&TaskFilter::default())
        .await
        .expect("read");
    assert_eq!(tasks.len(), 1);
}

pub async fn d2_a_secret_has_one_rotation_under_way(home: &Home) {
    assert!(
        home.store
            .start(&rotation("crm", "a", 1), at(1))
            .await
            .expect("started")
    );
    assert!(
        !home
            .store
            .start(&rotation("crm", "a", 1), at(1))
            .await
            .expect("started")
    );
    assert!(
        !home
            .store
            .start(&rotation("crm", "b", 2), at(2))
            .await
            .expect("started")
    );
    assert!(
        home.store
            .start(&rotation("erp", "b", 2), at(2))
            .await
            .expect("started")
    );
    let case = a_case(&home.store, "c").await;
    let mut asks = step(&case.run, gathering("fan-out"));
    asks.children = vec![super::given::removal(&case.run, "crm", "a")];
    asks.rotations = vec![rotation("crm", "c", 3)];
    let settled = home
        .store
        .settle(at(3), &keep(1, 5), &[fenced(&case, asks)])
        .await
        .expect("settled");
    assert_eq!(settled.accepted, [true]);
    let crm = "crm".into();
    assert_eq!(
        home.store.rotations(Some(&crm)).await.expect("read").len(),
        1
    );

    // Once it is over, the next may begin.
    let held = home.store.claim(at(3), &keep(1, 1)).await.expect("claimed");
    let over = fenced(&held[0], step(&held[0].run, ended(End::Rotated)));
    home.store
        .settle(at(3), &keep(1, 0), &[over])
        .await
        .expect("settled");
    let target = held[0].run.connector.clone().expect("a target");
    assert!(
        home.store
            .start(&rotation(target.as_str(), "d", 4), at(4))
            .await
            .expect("started")
    );
    let counts = home.store.counts(at(4)).await.expect("counts");
    assert_eq!((counts.rotations_completed, counts.rotations_open), (1, 2));
}

/// The same rotation for a reason that the one under way may not have heard of.
fn told(cause: &str, seconds: u64) -> Run {
    let mut run = rotation("crm", cause, seconds);
    let RunBody::Rotation(body) = &mut run.body else {
        panic!("{run:?}");
    };
    body.trigger = Trigger::Compromised;
    run
}

pub async fn d2_what_is_wished_of_a_secret_during_its_rotation_follows_it(home: &Home) {
    let store = &home.store;
    let case = a_case(store, "c").await;
    let first = told("a", 1);
    assert!(store.start(&first, at(1)).await.expect("started"));
    assert!(!store.start(&first, at(1)).await.expect("asked again"));
    // What a departure asks for follows, and one that follows is enough.
    let second = told("b", 2);
    let mut asks = step(&case.run, gathering("fan-out"));
    asks.children = vec![super::given::removal(&case.run, "crm", "a")];
    asks.rotations = vec![second.clone()];
    let settled = store
        .settle(at(2), &keep(1, 5), &[fenced(&case, asks)])
        .await
        .expect("settled");
    assert_eq!(settled.accepted, [true]);
    assert!(!store.start(&told("c", 3), at(3)).await.expect("asked"));
    let crm = "crm".into();
    let known = store.rotations(Some(&crm)).await.expect("read");
    assert_eq!(known.len(), 2, "{known:?}");

    // Its turn comes when the first is over, and not before.
    assert_eq!(store.advance_rotations(at(3)).await.expect("asked"), 0);
    let held = store.claim(at(3), &keep(1, 5)).await.expect("claimed");
    assert_eq!(
        held.iter().map(|one| one.run.id).collect::<Vec<_>>(),
        [first.id]
    );
    let over = fenced(&held[0], step(&held[0].run, ended(End::Rotated)));
    store
        .settle(at(4), &keep(1, 0), &[over])
        .await
        .expect("settled");
    assert!(
        store
            .claim(at(5), &keep(1, 5))
            .await
            .expect("claimed")
            .is_empty()
    );
    assert_eq!(store.advance_rotations(at(5)).await.expect("moved"), 1);
    let held = store.claim(at(5), &keep(1, 5)).await.expect("claimed");
    assert_eq!(
        held.iter().map(|one| one.run.id).collect::<Vec<_>>(),
        [second.id]
    );
    // It holds the place now, so another wish may follow it, and one that waits for nothing else.
    assert!(
        !store
            .start(&rotation("crm", "d", 6), at(6))
            .await
            .expect("asked")
    );
    assert!(store.start(&told("e", 6), at(6)).await.expect("started"));
    assert_eq!(store.advance_rotations(at(6)).await.expect("asked"), 0);
}
