//! What admission promises: each event once, in order, under the eye of what came before.
//!
//! The decisions here are made up; what the domain decides is tested in the domain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::task::JoinSet;

use super::super::{Keep, Store};
use super::Home;
use super::domain::id::ConnectorName;
use super::domain::run::{Run, RunBody, Stage};
use super::domain::settlement::{Admission, AdmissionDecision, CaseRow, Settlement};
use super::domain::workflow::End;
use super::given::{
    a_case, a_removal, at, bare, case_row, due, ended, event, fenced, gathering, ignores, keep,
    opens, opens_with, recorded, step,
};

pub async fn a3_events_of_one_case_see_each_other_within_a_batch(home: &Home) {
    recorded(
        &home.store,
        vec![
            event("1", "c", 1),
            event("2", "c", 2),
            event("3", "other", 1),
        ],
    )
    .await;
    let seen = Mutex::new(Vec::new());
    let admitted = home
        .store
        .admit(10, at(0), &keep(1, 10), &|event, existing| {
            let revisions: Vec<u64> = existing.iter().map(|case| case.row.revision).collect();
            seen.lock()
                .expect("lock")
                .push((event.event.id.clone(), revisions));
            if existing.is_empty() {
                opens(event)
            } else {
                halts(existing[0].row.id, event)
            }
        })
        .await
        .expect("admitted");
    let seen = seen.into_inner().expect("lock");
    let expected = [("1", vec![]), ("2", vec![1]), ("3", vec![])];
    assert_eq!(seen, expected.map(|(id, seen)| (id.to_owned(), seen)));
    assert_eq!(admitted.events, 3);
    // The halted case is no longer this worker's, though it was opened in the same batch.
    assert_eq!(admitted.kept.len(), 1);
    let claimed = home
        .store
        .claim(at(0), &keep(2, 10))
        .await
        .expect("claimed");
    assert_eq!(claimed.len(), 1);
    assert!(claimed[0].run.halted);

    // A later batch sees them in the database: by HR case, and by subject.
    let mut later = event("4", "c", 3);
    "another".clone_into(&mut later.event.hr_case);
    recorded(&home.store, vec![later]).await;
    home.store
        .admit(10, at(0), &keep(1, 0), &|event, existing| {
            assert_eq!(existing.len(), 1);
            assert!(existing[0].halted && existing[0].run.halted);
            ignores(event)
        })
        .await
        .expect("admitted");
}

fn halts(
    case: super::domain::id::CaseId,
    event: &super::domain::event::RecordedEvent,
) -> Admission {
    Admission {
        event: event.event.key(),
        decision: AdmissionDecision::Halt { case, revision: 2 },
        reason: "called off".to_owned(),
        halts: Vec::new(),
    }
}

pub async fn many_workers_admit_each_event_once(home: &Home) {
    let events = (0..60).map(|n| event(&n.to_string(), &n.to_string(), 1));
    recorded(&home.store, events.collect()).await;
    let mut workers = JoinSet::new();
    for number in 0..4 {
        let store = Arc::clone(&home.store);
        workers.spawn(async move {
            let mut admitted = 0;
            for _ in 0..1000 {
                let done = store
                    .admit(7, at(0), &keep(number, 0), &|event, _| opens(event))
                    .await
                    .expect("admitted");
                admitted += done.events;
                if store.counts(at(0)).await.expect("counts").events_waiting == 0 {
                    break;
                }
            }
            admitted
        });
    }
    let admitted: u32 = workers.join_all().await.into_iter().sum();
    assert_eq!(admitted, 60);
    let counts = home.store.counts(at(0)).await.expect("counts");
    assert_eq!((counts.cases, counts.runs_due), (60, 60));
}

pub async fn admission_keeps_what_the_worker_has_room_for(home: &Home) {
    recorded(&home.store, vec![event("1", "c", 1)]).await;
    let room = Keep {
        room: BTreeMap::from([(ConnectorName::from("b"), 0)]),
        ..keep(1, 2)
    };
    let admitted = home
        .store
        .admit(10, at(0), &room, &|event, _| {
            opens_with(event, gathering("fan-out"), &["a", "b", "c", "d"])
        })
        .await
        .expect("admitted");
    let names: Vec<_> = admitted
        .kept
        .iter()
        .filter_map(|one| one.run.connector.clone())
        .collect();
    assert_eq!(names, [ConnectorName::from("a"), ConnectorName::from("c")]);
    let rest = home
        .store
        .claim(at(0), &keep(2, 10))
        .await
        .expect("claimed");
    assert_eq!(rest.len(), 2);
    let (case, _) = home
        .store
        .run(case_row(&event("1", "c", 1)).id.run())
        .await
        .expect("read")
        .expect("there");
    assert_eq!(case.stage, gathering("fan-out"));
}

/// Of runs that are born together, each waits for those that name it as their parent.
pub async fn runs_born_together_follow_each_other(home: &Home) {
    recorded(&home.store, vec![event("1", "c", 1)]).await;
    let admitted = home
        .store
        .admit(10, at(0), &keep(1, 10), &|event, _| {
            let mut admission = opens_with(event, gathering("fan-out"), &["first", "second"]);
            if let AdmissionDecision::Open { first, .. } = &mut admission.decision {
                let [one, two] = first.children.as_mut_slice() else {
                    panic!("two children");
                };
                one.parent = Some(two.id);
                two.stage = gathering("turn");
            }
            admission
        })
        .await
        .expect("admitted");
    let mut held = admitted.kept;
    for name in ["first", "second"] {
        assert_eq!(held.len(), 1, "{name}");
        assert_eq!(held[0].run.connector, Some(ConnectorName::from(name)));
        assert_eq!(held[0].open_children, 0);
        let over = fenced(&held[0], step(&held[0].run, ended(End::Verified)));
        let settled = home.store.settle(at(1), &keep(1, 10), &[over]).await;
        held = settled.expect("settled").kept;
    }
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].run.stage, gathering("fan-out"));
}

pub async fn b7_a_halted_case_reaches_all_its_runs_and_their_leases_end(home: &Home) {
    let removal = a_removal(&home.store, "c").await;
    recorded(&home.store, vec![event("stop", "c", 2)]).await;
    home.store
        .admit(10, at(1), &keep(2, 0), &|event, existing| {
            halts(existing[0].row.id, event)
        })
        .await
        .expect("admitted");

    // The worker that was at it comes too late.
    let late = fenced(&removal, step(&removal.run, due("next", 0)));
    let settled = home
        .store
        .settle(at(1), &keep(1, 5), &[late])
        .await
        .expect("settled");
    assert_eq!(settled.accepted, [false]);

    let claimed = home
        .store
        .claim(at(1), &keep(2, 10))
        .await
        .expect("claimed");
    assert_eq!(claimed.len(), 2);
    assert!(claimed.iter().all(|one| one.run.halted));
    let case = claimed
        .iter()
        .find(|one| one.run.parent.is_none())
        .expect("the case");
    // Only of the one that a worker was at it is not known what was sent.
    let at_work = claimed.iter().find(|one| one.run.in_flight);
    assert_eq!(at_work.map(|one| one.run.id), Some(removal.run.id));
    assert!(!case.run.in_flight);
    assert_eq!(
        (case.open_children, &case.run.stage),
        (1, &gathering("fan-out"))
    );
}

fn moved(run: &Run, stage: Stage) -> Run {
    bare(step(run, stage).run).run
}

pub async fn b7_a_rescheduled_case_moves_and_its_lease_ends(home: &Home) {
    let case = a_case(&home.store, "c").await;
    recorded(&home.store, vec![event("later", "c", 2)]).await;
    home.store
        .admit(10, at(1), &keep(1, 5), &|event, existing| {
            let mut row = existing[0].row.clone();
            row.revision = 2;
            row.effective = at(100);
            Admission {
                event: event.event.key(),
                decision: AdmissionDecision::Reschedule {
                    case: Box::new(row),
                    run: Box::new(moved(&existing[0].run, due("begin", 100))),
                },
                reason: "moved".to_owned(),
                halts: Vec::new(),
            }
        })
        .await
        .expect("admitted");
    let late = fenced(&case, step(&case.run, due("next", 0)));
    let settled = home
        .store
        .settle(at(1), &keep(1, 5), &[late])
        .await
        .expect("settled");
    assert_eq!(settled.accepted, [false]);
    assert!(
        home.store
            .claim(at(99), &keep(1, 5))
            .await
            .expect("claimed")
            .is_empty()
    );
    assert_eq!(
        home.store
            .claim(at(100), &keep(1, 5))
            .await
            .expect("claimed")
            .len(),
        1
    );
    let cases = home
        .store
        .cases(&super::super::CaseFilter::default())
        .await
        .expect("read");
    assert_eq!(
        (cases[0].row.revision, cases[0].row.effective),
        (2, at(100))
    );
}

pub async fn b7_a_case_begun_anew_waits_for_its_old_children_and_its_new_ones(home: &Home) {
    let store = &home.store;
    // Given a case at work whose subject turns out to have one more name.
    let removal = a_removal(store, "c").await;
    recorded(store, vec![event("more", "c", 2)]).await;
    let named = super::domain::subject::Identifier {
        kind: "username".to_owned(),
        value: "Other".to_owned(),
    };
    let anew = |event: &super::domain::event::RecordedEvent,
                existing: &[super::domain::settlement::ExistingCase]| {
        let mut run = moved(&existing[0].run, due("begin", 1));
        if let super::domain::run::RunBody::Case(body) = &mut run.body {
            body.subject.identifiers.push(named.clone());
        }
        Admission {
            event: event.event.key(),
            decision: AdmissionDecision::Reschedule {
                case: Box::new(existing[0].row.clone()),
                run: Box::new(run),
            },
            reason: "more".to_owned(),
            halts: Vec::new(),
        }
    };
    let admitted = store.admit(10, at(1), &keep(1, 5), &anew).await;
    assert_eq!(admitted.expect("admitted").events, 1);
    // When it begins another child, and the old one ends.
    let held = store.claim(at(1), &keep(1, 5)).await.expect("claimed");
    assert_eq!((held.len(), held[0].open_children), (1, 1));
    let mut gathers = step(&held[0].run, gathering("fan-out"));
    gathers.children = vec![super::given::removal(&held[0].run, "crm", "a2")];
    let more = [fenced(&held[0], gathers)];
    let settled = store
        .settle(at(1), &keep(1, 5), &more)
        .await
        .expect("settled");
    let new = settled.kept.into_iter().next().expect("the child");
    let end = |claimed: &crate::store::Claimed| fenced(claimed, super::given::proved(&claimed.run));
    let settled = store.settle(at(2), &keep(1, 5), &[end(&removal)]).await;
    assert!(
        settled.expect("settled").kept.is_empty(),
        "one is open still"
    );
    // Then the last of them wakes it.
    let settled = store.settle(at(2), &keep(1, 5), &[end(&new)]).await;
    let kept = settled.expect("settled").kept;
    assert_eq!((kept.len(), kept[0].open_children), (1, 0));
    assert_eq!(kept[0].run.stage, gathering("fan-out"));
    // And another subject of that name is compared with it.
    let mut other = event("other", "d", 1);
    other.event.subject.identifiers = vec![named.clone()];
    recorded(store, vec![other]).await;
    let seen = std::sync::Mutex::new(0);
    let looks = |event: &super::domain::event::RecordedEvent,
                 existing: &[super::domain::settlement::ExistingCase]| {
        *seen.lock().expect("kept") = existing.len();
        super::given::ignores(event)
    };
    store
        .admit(10, at(3), &keep(1, 5), &looks)
        .await
        .expect("admitted");
    assert_eq!(*seen.lock().expect("kept"), 1);
}

pub async fn b7_a_case_put_off_is_halted_and_goes_on_in_another(home: &Home) {
    // Given a case at work that is put off, and put off once more in the same batch.
    let removal = a_removal(&home.store, "c").await;
    recorded(
        &home.store,
        vec![event("off", "c", 2), event("more", "c", 3)],
    )
    .await;
    let stopped = removal.run.case.expect("a case");
    let decide = |event: &super::domain::event::RecordedEvent,
                  existing: &[super::domain::settlement::ExistingCase]| {
        let mut admission = opens_with(event, due("begin", 100), &[]);
        let AdmissionDecision::Open { case, first } = admission.decision else {
            panic!("it opens a case");
        };
        let other = existing.iter().find(|case| case.row.id != stopped);
        admission.decision = match other {
            None => AdmissionDecision::PutOff {
                case: stopped,
                again: case,
                first,
            },
            Some(other) => AdmissionDecision::Reschedule {
                case: Box::new(CaseRow {
                    revision: 3,
                    effective: at(200),
                    ..other.row.clone()
                }),
                run: Box::new(moved(&other.run, due("begin", 200))),
            },
        };
        admission
    };
    let admitted = home.store.admit(10, at(1), &keep(2, 5), &decide).await;
    assert_eq!(admitted.expect("admitted").events, 2);
    // Then all its runs stop, and its own knows where the departure goes on by the last word.
    let claimed = home.store.claim(at(1), &keep(2, 10)).await;
    let claimed = claimed.expect("claimed");
    assert_eq!(claimed.len(), 2);
    assert!(claimed.iter().all(|one| one.run.halted));
    let case = claimed.iter().find(|one| one.run.parent.is_none());
    let RunBody::Case(body) = &case.expect("the case").run.body else {
        panic!("a case");
    };
    let on = body.put_off.clone().expect("it goes on");
    assert_eq!((on.revision, on.effective), (3, at(200)));
    // The other one waits for that date.
    let early = home.store.claim(at(199), &keep(2, 10)).await;
    assert!(early.expect("claimed").is_empty());
    let then = home.store.claim(at(200), &keep(2, 10)).await;
    let cases: Vec<_> = then
        .expect("claimed")
        .iter()
        .map(|one| one.run.case)
        .collect();
    assert_eq!(cases, [Some(on.case)]);
}

pub async fn b7_a_case_called_off_in_time_is_over(home: &Home) {
    let case = a_case(&home.store, "c").await;
    recorded(&home.store, vec![event("off", "c", 2)]).await;
    home.store
        .admit(10, at(1), &keep(1, 5), &|event, existing| {
            let run = moved(&existing[0].run, ended(End::Rescinded));
            let id = existing[0].row.id;
            Admission {
                event: event.event.key(),
                decision: AdmissionDecision::Rescind {
                    settlement: Box::new(Settlement {
                        case_ended: Some((id, End::Rescinded, at(1))),
                        ..bare(run)
                    }),
                    revision: 2,
                },
                reason: "called off".to_owned(),
                halts: Vec::new(),
            }
        })
        .await
        .expect("admitted");
    assert_eq!(over(&home.store).await, (Some(End::Rescinded), 0));
    assert_eq!(revision(&home.store).await, 2);
    // A later revision changes nothing else, and an older one nothing at all.
    for (told, known) in [(4, 4), (3, 4)] {
        recorded(&home.store, vec![event(&format!("r{told}"), "c", told)]).await;
        home.store
            .admit(10, at(1), &keep(1, 5), &|event, existing| Admission {
                event: event.event.key(),
                decision: AdmissionDecision::Revise {
                    case: existing[0].row.id,
                    revision: told,
                },
                reason: "called off once more".to_owned(),
                halts: Vec::new(),
            })
            .await
            .expect("admitted");
        assert_eq!(revision(&home.store).await, known);
        assert_eq!(over(&home.store).await, (Some(End::Rescinded), 0));
    }
    let late = fenced(&case, step(&case.run, due("next", 0)));
    let settled = home
        .store
        .settle(at(1), &keep(1, 5), &[late])
        .await
        .expect("settled");
    assert_eq!(settled.accepted, [false]);
}

pub async fn a_case_called_off_before_it_was_heard_of_is_recorded_as_ended(home: &Home) {
    recorded(&home.store, vec![event("off", "c", 2)]).await;
    home.store
        .admit(10, at(1), &keep(1, 5), &|event, _| {
            let mut admission = opens_with(event, ended(End::Rescinded), &[]);
            if let AdmissionDecision::Open { case, first } = &mut admission.decision {
                first.case_ended = Some((case.id, End::Rescinded, at(1)));
            }
            admission
        })
        .await
        .expect("admitted");
    assert_eq!(over(&home.store).await, (Some(End::Rescinded), 0));
}

/// The revision in force of the only case.
async fn revision(store: &Arc<dyn Store>) -> u64 {
    let filter = super::super::CaseFilter::default();
    store.cases(&filter).await.expect("read")[0].row.revision
}

/// How the only case ended, and how many cases are open.
async fn over(store: &Arc<dyn Store>) -> (Option<End>, u64) {
    let cases = store
        .cases(&super::super::CaseFilter::default())
        .await
        .expect("read");
    let counts = store.counts(at(0)).await.expect("counts");
    (cases[0].ended, counts.cases_open)
}
