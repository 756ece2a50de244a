//! What settling promises: whole, fenced, once; children and parents handed on without a claim.
//!
//! A settlement stands for a step of the domain; what a step decides is tested there.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::super::{Claimed, Fenced, Settled, Store};
use super::Home;
use super::domain::id::FencingToken;
use super::domain::run::Run;
use super::domain::settlement::Settlement;
use super::domain::step::Parts;
use super::domain::workflow::End;
use super::given::{
    a_case, a_removal, at, due, ended, event, fenced, gathering, keep, message, opens, proved,
    recorded, removal, step,
};

async fn settle(store: &Arc<dyn Store>, number: u64, room: u32, batch: Vec<Fenced>) -> Settled {
    store
        .settle(at(0), &keep(number, room), &batch)
        .await
        .expect("settled")
}

pub async fn a_due_step_keeps_the_lease_and_a_wait_releases_it(home: &Home) {
    let mut case = a_case(&home.store, "c").await;
    for state in ["two", "three"] {
        let next = step(&case.run, due(state, 0));
        case.run = next.run.clone();
        let settled = settle(&home.store, 1, 5, vec![fenced(&case, next)]).await;
        assert_eq!((settled.accepted, settled.kept), (vec![true], vec![]));
        assert!(
            home.store
                .claim(at(0), &keep(2, 5))
                .await
                .expect("claimed")
                .is_empty()
        );
    }
    let wait = step(&case.run, due("later", 60));
    let settled = settle(&home.store, 1, 5, vec![fenced(&case, wait)]).await;
    assert_eq!(settled.accepted, [true]);
    assert!(
        home.store
            .claim(at(59), &keep(2, 5))
            .await
            .expect("claimed")
            .is_empty()
    );
    let claimed = home
        .store
        .claim(at(60), &keep(2, 5))
        .await
        .expect("claimed");
    assert_eq!(claimed[0].run.stage, due("later", 60));
    assert_eq!(claimed[0].token, FencingToken(case.token.0 + 1));
    let (_, journal) = home
        .store
        .run(case.run.id)
        .await
        .expect("read")
        .expect("there");
    let sequences: Vec<u64> = journal.iter().map(|line| line.sequence).collect();
    assert_eq!(sequences, [2, 3, 4]);
}

/// Fans a case out into removals that worker 1 holds.
async fn fan_out(store: &Arc<dyn Store>, case: &Claimed, count: u32) -> Vec<Claimed> {
    let children = (0..count).map(|n| removal(&case.run, "crm", &n.to_string()));
    let gather = Settlement {
        children: children.collect(),
        ..step(&case.run, gathering("fan-out"))
    };
    let settled = settle(store, 1, count, vec![fenced(case, gather)]).await;
    assert_eq!(settled.accepted, [true]);
    settled.kept
}

pub async fn children_are_born_leased_and_wake_their_parent_at_zero(home: &Home) {
    let case = a_case(&home.store, "c").await;
    let children = fan_out(&home.store, &case, 2).await;
    assert_eq!(children.len(), 2);
    assert!(
        children
            .iter()
            .all(|one| one.token == FencingToken(1) && one.task.is_none())
    );
    assert!(
        home.store
            .claim(at(0), &keep(2, 5))
            .await
            .expect("claimed")
            .is_empty()
    );
    let parts = home.store.parts_of(case.run.case.expect("a case"));
    let made_of = Parts {
        removals: 2,
        attested: 0,
        empty: Vec::new(),
    };
    assert_eq!(parts.await.expect("read"), made_of);

    let first = vec![fenced(&children[0], proved(&children[0].run))];
    assert!(settle(&home.store, 1, 5, first).await.kept.is_empty());
    let second = vec![fenced(&children[1], proved(&children[1].run))];
    let kept = settle(&home.store, 1, 5, second).await.kept;
    assert_eq!(kept.len(), 1);
    let parent = &kept[0];
    assert_eq!((parent.run.id, parent.open_children), (case.run.id, 0));
    assert_eq!(
        parent.run.stage,
        gathering("fan-out"),
        "its stage is the domain's to change"
    );
    assert!(parent.token > case.token);

    let end = Settlement {
        case_ended: parent.run.case.map(|id| (id, End::Verified, at(0))),
        ..step(&parent.run, ended(End::Verified))
    };
    let settled = settle(&home.store, 1, 5, vec![fenced(parent, end)]).await;
    assert_eq!(settled.accepted, [true]);
    let counts = home.store.counts(at(0)).await.expect("counts");
    assert_eq!(
        (
            counts.cases_open,
            counts.removals_verified,
            counts.runs_active
        ),
        (0, 2, 0)
    );
}

pub async fn b2_a_parent_is_woken_exactly_once_by_many_workers(home: &Home) {
    let case = a_case(&home.store, "c").await;
    fan_out(&home.store, &case, 24).await.truncate(0);
    home.store
        .discharge(super::given::worker(1))
        .await
        .expect("discharged");
    let mut workers = JoinSet::new();
    for number in 2..8 {
        let store = Arc::clone(&home.store);
        workers.spawn(async move {
            let mut woken = Vec::new();
            let mut idle = 0;
            while idle < 20 {
                let held = store.claim(at(0), &keep(number, 2)).await.expect("claimed");
                idle = if held.is_empty() { idle + 1 } else { 0 };
                // A parent that somebody woke without room for it comes by a claim.
                let (parents, held): (Vec<_>, Vec<_>) =
                    held.into_iter().partition(|one| one.run.parent.is_none());
                woken.extend(parents);
                let batch = held.iter().map(|one| fenced(one, proved(&one.run)));
                woken.extend(settle(&store, number, 5, batch.collect()).await.kept);
            }
            woken
        });
    }
    let woken: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    assert_eq!(woken.len(), 1);
    assert_eq!((woken[0].run.id, woken[0].open_children), (case.run.id, 0));
}

pub async fn one_refused_settlement_does_not_stop_the_others(home: &Home) {
    recorded(&home.store, vec![event("1", "a", 1), event("2", "b", 1)]).await;
    let room = keep(1, 2);
    let admitted = home
        .store
        .admit(10, at(0), &room, &|event, _| opens(event))
        .await
        .expect("admitted");
    let [one, two] = &admitted.kept[..] else {
        panic!("two cases are kept")
    };
    let mut stale = fenced(one, step(&one.run, due("next", 0)));
    stale.token = FencingToken(one.token.0 - 1);
    stale.settlement.children = vec![removal(&one.run, "crm", "a")];
    stale.settlement.messages = vec![message(1, "k")];
    let mut skipped = step(&two.run, due("next", 0));
    skipped.run.step += 1;
    let good = step(&two.run, due("next", 0));
    let settled = settle(&home.store, 1, 5, vec![stale, fenced(two, good)]).await;
    assert_eq!(settled.accepted, [false, true]);
    assert!(settled.kept.is_empty());
    let counts = home.store.counts(at(0)).await.expect("counts");
    assert_eq!((counts.removals, counts.outbox_waiting), (0, 0));
    let (run, journal) = home
        .store
        .run(one.run.id)
        .await
        .expect("read")
        .expect("there");
    assert_eq!((run, journal), (one.run.clone(), vec![]));
    // A settlement of the step after the next one has missed something.
    let settled = settle(
        &home.store,
        1,
        5,
        vec![fenced(two, {
            skipped.run.step += 1;
            skipped
        })],
    );
    assert_eq!(settled.await.accepted, [false]);
}

pub async fn b2_a_repeated_settlement_is_not_applied_twice(home: &Home) {
    let case = a_case(&home.store, "c").await;
    let children = (0..2).map(|n| removal(&case.run, "crm", &n.to_string()));
    let gather = Settlement {
        children: children.collect(),
        messages: vec![message(1, "k")],
        ..step(&case.run, gathering("fan-out"))
    };
    let batch = vec![fenced(&case, gather)];
    let first = settle(&home.store, 1, 5, batch.clone()).await;
    assert_eq!((first.accepted, first.kept.len()), (vec![true], 2));
    let again = settle(&home.store, 1, 5, batch).await;
    assert_eq!((again.accepted, again.kept.len()), (vec![true], 0));

    // The end of a child, twice: its parent counts one.
    let end = vec![fenced(&first.kept[0], proved(&first.kept[0].run))];
    for _ in 0..2 {
        let settled = settle(&home.store, 1, 5, end.clone()).await;
        assert_eq!((settled.accepted, settled.kept.len()), (vec![true], 0));
    }
    let last = vec![fenced(&first.kept[1], proved(&first.kept[1].run))];
    assert_eq!(settle(&home.store, 1, 5, last).await.kept.len(), 1);
    let counts = home.store.counts(at(0)).await.expect("counts");
    assert_eq!((counts.outbox_waiting, counts.removals_verified), (1, 2));
}

pub async fn a_run_that_gathers_nothing_goes_on_at_once(home: &Home) {
    let case = a_case(&home.store, "c").await;
    let first = fan_out(&home.store, &case, 1).await;
    let end = vec![fenced(&first[0], proved(&first[0].run))];
    let parent = settle(&home.store, 1, 1, end).await.kept.remove(0);
    // The same child again, as after a crash: it has ended already.
    let gather = Settlement {
        children: vec![removal(&case.run, "crm", "0")],
        ..step(&parent.run, gathering("fan-out"))
    };
    let settled = settle(&home.store, 1, 5, vec![fenced(&parent, gather)]).await;
    assert_eq!((settled.accepted, settled.kept), (vec![true], vec![]));
    let parent = home
        .store
        .claim(at(0), &keep(1, 5))
        .await
        .expect("claimed")
        .remove(0);
    assert_eq!((parent.run.id, parent.open_children), (case.run.id, 0));
    // No child at all: it comes straight back.
    let nothing = step(&parent.run, gathering("fan-out"));
    let settled = settle(&home.store, 1, 5, vec![fenced(&parent, nothing)]).await;
    assert_eq!(settled.kept.len(), 1);
    assert!(settled.kept[0].token > parent.token);
}

pub async fn a_parent_and_its_child_settle_in_one_batch(home: &Home) {
    let child = a_removal(&home.store, "c").await;
    // The case was halted, so its run is looked at while its child is still open.
    recorded(&home.store, vec![event("stop", "c", 2)]).await;
    home.store
        .admit(10, at(0), &keep(1, 0), &|event, existing| {
            super::super::domain::settlement::Admission {
                event: event.event.key(),
                decision: super::super::domain::settlement::AdmissionDecision::Halt {
                    case: existing[0].row.id,
                    revision: 2,
                },
                reason: "called off".to_owned(),
                halts: Vec::new(),
            }
        })
        .await
        .expect("admitted");
    let held = home.store.claim(at(0), &keep(1, 5)).await.expect("claimed");
    let find = |id| held.iter().find(|one| one.run.id == id).expect("held");
    let removal = find(child.run.id);
    let parent = find(child.run.parent.expect("a parent"));
    assert_eq!(parent.open_children, 1);
    let batch = vec![
        fenced(parent, step(&parent.run, gathering("fan-out"))),
        fenced(removal, step(&removal.run, ended(End::Halted))),
    ];
    let settled = settle(&home.store, 1, 5, batch).await;
    assert_eq!(settled.accepted, [true, true]);
    assert_eq!(settled.kept.len(), 1);
    assert_eq!(
        (settled.kept[0].run.id, settled.kept[0].open_children),
        (parent.run.id, 0)
    );
}

pub async fn without_room_children_wait_to_be_claimed(home: &Home) {
    let case = a_case(&home.store, "c").await;
    let children = (0..3).map(|n| removal(&case.run, "crm", &n.to_string()));
    let gather = Settlement {
        children: children.collect(),
        ..step(&case.run, gathering("fan-out"))
    };
    let settled = settle(&home.store, 1, 1, vec![fenced(&case, gather)]).await;
    assert_eq!(settled.kept.len(), 1);
    let claimed = home.store.claim(at(0), &keep(1, 5)).await.expect("claimed");
    assert_eq!(claimed.len(), 2);
    let all = settled.kept.into_iter().chain(claimed);
    let batch: Vec<_> = all.map(|one| fenced(&one, proved(&one.run))).collect();
    assert!(settle(&home.store, 1, 0, batch).await.kept.is_empty());
    let parent = home.store.claim(at(0), &keep(2, 5)).await.expect("claimed");
    assert_eq!(
        (parent[0].run.id, parent[0].open_children),
        (case.run.id, 0)
    );
}

pub async fn a_large_batch_settles_whole(home: &Home) {
    let events = (0..300).map(|n| event(&n.to_string(), &n.to_string(), 1));
    recorded(&home.store, events.collect()).await;
    let admitted = home
        .store
        .admit(1000, at(0), &keep(1, 1000), &|event, _| opens(event))
        .await
        .expect("admitted");
    assert_eq!(admitted.kept.len(), 300);
    let batch = admitted.kept.iter().map(|case| {
        let child: Run = removal(&case.run, "crm", "a");
        let gather = Settlement {
            children: vec![child],
            ..step(&case.run, gathering("fan-out"))
        };
        fenced(case, gather)
    });
    let settled = settle(&home.store, 1, 1000, batch.collect()).await;
    assert!(settled.accepted.iter().all(|taken| *taken));
    assert_eq!(settled.kept.len(), 300);
    let ends = settled.kept.iter().map(|one| fenced(one, proved(&one.run)));
    let parents = settle(&home.store, 1, 1000, ends.collect()).await.kept;
    assert_eq!(parents.len(), 300);
}
