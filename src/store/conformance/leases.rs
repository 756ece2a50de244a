//! What leases promise: one holder at a time, and none that is dead.
//!
//! Workers are numbers here; that a killed process is noticed at once is PostgreSQL's own test.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::super::{Claimed, Keep};
use super::Home;
use super::domain::event::RecordedEvent;
use super::domain::id::{ConnectorName, FencingToken};
use super::domain::settlement::{Admission, AdmissionDecision, ExistingCase};
use super::domain::workflow::RunKind;
use super::given::{
    a_case, at, due, event, fenced, gathering, keep, lapsed, opens, opens_with, recorded, rotation,
    step, worker,
};

pub async fn claims_follow_priority_and_leave_out_busy_connectors(home: &Home) {
    recorded(&home.store, vec![event("1", "c1", 1), event("2", "c2", 1)]).await;
    home.store
        .admit(10, at(0), &keep(1, 0), &|event, _| {
            let second = event.event.id == "2";
            opens_with(event, due("begin", if second { 50 } else { 7 }), &["crm"])
        })
        .await
        .expect("admitted");
    assert!(
        home.store
            .start(&rotation("crm", "x", 9), at(0))
            .await
            .expect("started")
    );

    let none = home.store.claim(at(0), &keep(1, 0)).await.expect("claimed");
    assert!(none.is_empty(), "no room, no claim");
    let not_crm = Keep {
        room: BTreeMap::from([(ConnectorName::from("crm"), 0)]),
        ..keep(1, 10)
    };
    let first = home.store.claim(at(10), &not_crm).await.expect("claimed");
    let stages: Vec<_> = first.iter().map(|one| one.run.stage.clone()).collect();
    assert_eq!(stages, [due("begin", 7)], "the other is due later");
    assert_eq!(first[0].token, FencingToken(1));

    let two = home
        .store
        .claim(at(60), &keep(1, 2))
        .await
        .expect("claimed");
    let order: Vec<_> = two
        .iter()
        .map(|one| (one.run.priority, one.run.stage.clone()))
        .collect();
    assert_eq!(order, [(-10, due("prepare", 9)), (30, due("start", 0))]);
}

/// B4: however many runs of one connector are due first, there is a place for those of the others.
pub async fn b4_a_connector_fills_no_more_than_its_room(home: &Home) {
    for (seconds, (name, count)) in [("hangs", 12), ("slow", 12), ("well", 2)]
        .into_iter()
        .enumerate()
    {
        let ids = (0..count).map(|number| format!("{name}-{number}"));
        let events = ids.map(|id| event(&id, &id, 1)).collect();
        recorded(&home.store, events).await;
        let now = at(seconds as u64);
        home.store
            .admit(100, now, &keep(1, 0), &|event, _| {
                opens_with(event, gathering("fan-out"), &[name])
            })
            .await
            .expect("admitted");
    }
    let mut room = Keep {
        share: 5,
        room: BTreeMap::from([(ConnectorName::from("hangs"), 3)]),
        ..keep(1, 10)
    };
    let mut held = BTreeMap::<String, u32>::new();
    loop {
        let claimed = home.store.claim(at(9), &room).await.expect("claimed");
        if claimed.is_empty() {
            break;
        }
        for one in claimed {
            let name = one.run.connector.expect("has one");
            *held.entry(name.to_string()).or_default() += 1;
            let left = room.room_for(&name);
            assert!(left > 0, "no room for {name}");
            room.room.insert(name, left - 1);
            room.at_most -= 1;
        }
    }
    let expected = [("hangs", 3), ("slow", 5), ("well", 2)];
    let expected = expected.map(|(name, runs)| (name.to_owned(), runs));
    assert_eq!(held, BTreeMap::from(expected));
}

/// B4: while nothing is begun at any target, the runs of one that `room` does not name yet (its manifest was
/// just approved) do not stand before a case's own run.
pub async fn b4_what_there_is_no_room_for_hides_nothing_behind_it(home: &Home) {
    let ids = (0..12).map(|number| format!("new-{number}"));
    let events = ids.map(|id| event(&id, &id, 1)).collect();
    recorded(&home.store, events).await;
    home.store
        .admit(100, at(0), &keep(1, 0), &|event, _| {
            opens_with(event, gathering("fan-out"), &["newcomer"])
        })
        .await
        .expect("admitted");
    recorded(&home.store, vec![event("own", "own", 1)]).await;
    home.store
        .admit(100, at(1), &keep(1, 0), &|event, _| {
            opens_with(event, due("begin", 5), &[])
        })
        .await
        .expect("admitted");

    let nobody = Keep {
        share: 0,
        room: BTreeMap::from([(ConnectorName::from("known"), 0)]),
        ..keep(1, 10)
    };
    let claimed = home.store.claim(at(9), &nobody).await.expect("claimed");
    let stages: Vec<_> = claimed.iter().map(|one| one.run.stage.clone()).collect();
    assert_eq!(stages, [due("begin", 5)]);
    let one = Keep {
        room: BTreeMap::from([(ConnectorName::from("newcomer"), 2)]),
        ..nobody
    };
    let claimed = home.store.claim(at(9), &one).await.expect("claimed");
    assert_eq!(claimed.len(), 2, "who is named has room all the same");
}

pub async fn b3_many_workers_never_hold_the_same_run(home: &Home) {
    let events = (0..100).map(|n| event(&n.to_string(), &n.to_string(), 1));
    recorded(&home.store, events.collect()).await;
    home.store
        .admit(100, at(0), &keep(1, 0), &|event, _| opens(event))
        .await
        .expect("admitted");
    let mut workers = JoinSet::new();
    for number in 1..=8 {
        let store = Arc::clone(&home.store);
        workers.spawn(async move {
            let mut held = Vec::new();
            let mut idle = 0;
            // Rows that others are just taking are skipped: a worker gives up only after it has
            // found nothing several times.
            while idle < 20 {
                let claimed = store.claim(at(0), &keep(number, 3)).await.expect("claimed");
                idle = if claimed.is_empty() { idle + 1 } else { 0 };
                held.extend(claimed.into_iter().map(|one| (one.run.id, one.token)));
            }
            held
        });
    }
    let held: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    let runs: HashSet<_> = held.iter().map(|(run, _)| *run).collect();
    assert_eq!((held.len(), runs.len()), (100, 100));
    assert!(held.iter().all(|(_, token)| *token == FencingToken(1)));
}

pub async fn b3_a_worker_thought_dead_cannot_write(home: &Home) {
    for number in [1, 2] {
        home.store
            .enlist(worker(number), at(0), 10)
            .await
            .expect("enlisted");
    }
    let case = a_case(&home.store, "c").await;
    assert_eq!(home.store.bury(worker(2), at(9)).await.expect("buried"), 0);
    assert!(home.store.heartbeat(worker(2), at(9)).await.expect("beat"));
    lapsed(&home.store, 1, 10).await;
    assert_eq!(home.store.bury(worker(2), at(11)).await.expect("buried"), 1);
    let taken = home
        .store
        .claim(at(11), &keep(2, 5))
        .await
        .expect("claimed");
    assert_eq!(taken.len(), 1);
    assert!(taken[0].token > case.token);

    let late = fenced(&case, step(&case.run, due("next", 0)));
    let settled = home
        .store
        .settle(at(11), &keep(1, 5), &[late])
        .await
        .expect("settled");
    assert_eq!(settled.accepted, [false]);
    let mine = fenced(&taken[0], step(&taken[0].run, due("mine", 0)));
    let settled = home
        .store
        .settle(at(11), &keep(2, 5), &[mine])
        .await
        .expect("settled");
    assert_eq!(settled.accepted, [true]);
    let (run, journal) = home
        .store
        .run(case.run.id)
        .await
        .expect("read")
        .expect("there");
    assert_eq!((run.stage, journal.len()), (due("mine", 0), 1));
    assert!(!home.store.heartbeat(worker(1), at(11)).await.expect("beat"));
}

pub async fn a_heartbeat_keeps_a_worker_alive_until_it_is_buried(home: &Home) {
    for number in [1, 2] {
        home.store
            .enlist(worker(number), at(0), 10)
            .await
            .expect("enlisted");
    }
    a_case(&home.store, "c").await;
    for second in [8, 16, 24] {
        for number in [1, 2] {
            assert!(
                home.store
                    .heartbeat(worker(number), at(second))
                    .await
                    .expect("beat")
            );
        }
        assert_eq!(
            home.store
                .bury(worker(2), at(second))
                .await
                .expect("buried"),
            0
        );
    }
    lapsed(&home.store, 1, 34).await;
    assert_eq!(home.store.bury(worker(2), at(40)).await.expect("buried"), 1);
    assert!(!home.store.heartbeat(worker(1), at(40)).await.expect("beat"));
    home.store
        .enlist(worker(3), at(40), 10)
        .await
        .expect("enlisted");
    assert!(home.store.heartbeat(worker(3), at(41)).await.expect("beat"));
}

pub async fn released_and_discharged_runs_go_to_others(home: &Home) {
    home.store
        .enlist(worker(1), at(0), 10)
        .await
        .expect("enlisted");
    let case = a_case(&home.store, "c").await;
    let wrong = (case.run.id, FencingToken(99));
    home.store
        .release(worker(1), &[wrong])
        .await
        .expect("released");
    assert!(
        home.store
            .claim(at(0), &keep(2, 5))
            .await
            .expect("claimed")
            .is_empty()
    );
    let mine = (case.run.id, case.token);
    home.store
        .release(worker(1), &[mine])
        .await
        .expect("released");
    let again = home.store.claim(at(0), &keep(1, 5)).await.expect("claimed");
    assert_eq!(again[0].token, FencingToken(case.token.0 + 1));

    home.store.discharge(worker(1)).await.expect("discharged");
    let other = home.store.claim(at(0), &keep(2, 5)).await.expect("claimed");
    assert_eq!(other.len(), 1);
    let late = fenced(&again[0], step(&again[0].run, due("next", 0)));
    let settled = home
        .store
        .settle(at(0), &keep(1, 5), &[late])
        .await
        .expect("settled");
    assert_eq!(settled.accepted, [false]);
}

pub async fn a_run_without_a_living_owner_is_freed(home: &Home) {
    // Worker 1 never enlisted: nobody would renew or bury its lease by name.
    home.store
        .enlist(worker(2), at(0), 10)
        .await
        .expect("enlisted");
    a_case(&home.store, "c").await;
    assert_eq!(home.store.bury(worker(2), at(0)).await.expect("buried"), 1);
    assert_eq!(
        home.store
            .claim(at(0), &keep(2, 5))
            .await
            .expect("claimed")
            .len(),
        1
    );
}

/// Whoever frees it may have a clock that is far ahead, and then begins nothing itself.
pub async fn b3_a_run_that_is_freed_by_a_wrong_clock_is_due_as_it_was(home: &Home) {
    home.store
        .enlist(worker(2), at(0), 10)
        .await
        .expect("enlisted");
    a_case(&home.store, "c").await;
    let year = 365 * 86_400;
    let buried = home.store.bury(worker(2), at(year)).await;
    assert_eq!(buried.expect("buried"), 1);
    let taken = home.store.claim(at(1), &keep(3, 5)).await;
    assert_eq!(taken.expect("claimed").len(), 1);
}

pub async fn b4_a_run_that_is_put_back_gives_others_their_turn(home: &Home) {
    let store = &home.store;
    let enlisted = store.enlist(worker(1), at(0), 3600).await;
    enlisted.expect("enlisted");
    let (first, second) = (rotation("crm", "x", 1), rotation("erp", "x", 2));
    for run in [&first, &second] {
        assert!(store.start(run, at(0)).await.expect("started"));
    }
    let take = async |second| {
        let claimed = store.claim(at(second), &keep(1, 1)).await.expect("claimed");
        claimed
            .into_iter()
            .next()
            .map(|one| (one.run.id, one.token))
    };
    let held = take(5).await.expect("due");
    assert_eq!(held.0, first.id);
    // Another's is not given back, nor with an older token.
    let older = (held.0, FencingToken(held.1.0 - 1));
    for (number, held) in [(2, held), (1, older)] {
        let back = store.put_back(worker(number), held, at(60)).await;
        back.expect("nothing is changed");
    }
    store.put_back(worker(1), held, at(60)).await.expect("back");
    let next = take(6).await.expect("due");
    assert_eq!(next.0, second.id);
    assert_eq!(take(59).await, None, "it is left alone");
    let again = take(60).await.expect("due");
    assert_eq!(again.0, first.id);
    assert!(again.1 > held.1);
    // It is not made due sooner.
    store.put_back(worker(1), again, at(0)).await.expect("back");
    assert_eq!(take(59).await, None);
}

pub async fn b7_what_a_case_began_is_held_on_to_where_one_batch_opens_it_and_tells_more(
    home: &Home,
) {
    // Given news that came together: a departure, and more of it.
    let store = &home.store;
    recorded(store, vec![event("one", "c", 1), event("more", "c", 2)]).await;
    let decide = |event: &RecordedEvent, existing: &[ExistingCase]| {
        let Some(known) = existing.first() else {
            return opens_with(event, gathering("fan-out"), &["crm", "wiki"]);
        };
        Admission {
            event: event.event.key(),
            decision: AdmissionDecision::Reschedule {
                case: Box::new(known.row.clone()),
                run: Box::new(step(&known.run, due("begin", 0)).run),
            },
            reason: "more".to_owned(),
            halts: Vec::new(),
        }
    };
    let admitted = store.admit(10, at(0), &keep(1, 9), &decide).await;
    let admitted = admitted.expect("admitted");
    // Then whoever admitted it has what the case began, and the case itself is anybody's.
    let connector = |claimed: &Claimed| claimed.run.connector.clone();
    let held: Vec<_> = admitted.kept.iter().filter_map(connector).collect();
    assert_eq!(held.len(), admitted.kept.len());
    assert_eq!(held.len(), 2, "{held:?}");
    let claimed = store.claim(at(0), &keep(2, 9)).await.expect("claimed");
    let kinds: Vec<_> = claimed.iter().map(|claimed| claimed.run.kind).collect();
    assert_eq!(kinds, [RunKind::Case]);
}
