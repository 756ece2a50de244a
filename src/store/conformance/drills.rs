//! Drills: one at a time for a connector, led on by one worker at a time, and what they let serve.
//!
//! Owns what both stores must hold of drills; what a drill asks of its passes is `domain::drill`.

use std::sync::Arc;

use uuid::Uuid;

use super::super::{Examination, Store, StoreError};
use super::Home;
use super::domain::approval::{self, Content, Matter, MatterKind, Signed};
use super::domain::drill::{Drill, Stage};
use super::domain::id::{ConnectorName, DrillId};
use super::domain::run::Stage as RunStage;
use super::given::{a_removal, at, fenced, handed_over, keep, worker};

pub fn drill(number: u128, connector: &str) -> Drill {
    let id = DrillId(Uuid::from_u128(number));
    Drill::new(id, connector.into(), "Ada", at(0))
}

pub fn over(drill: &Drill, manifest: &str, passed: bool) -> Drill {
    Drill {
        manifest: Some(manifest.into()),
        stage: Stage::Ended { at: at(9), passed },
        ..drill.clone()
    }
}

fn by(name: &str, second: u64) -> Signed {
    Signed {
        by: name.to_owned(),
        at: at(second),
        reason: "agreed".to_owned(),
    }
}

async fn two_people(store: &Arc<dyn Store>, kind: MatterKind, digest: &str, second: u64) {
    let matter = Matter {
        kind,
        name: "crm".to_owned(),
    };
    let content = Content {
        digest: digest.into(),
        text: "text".to_owned(),
    };
    let until = at(1000);
    let proposes =
        |record: &_| approval::propose(record, &matter, content.clone(), until, by("Ada", second));
    let ruled = store.rule(&matter, &proposes).await.expect("stored");
    ruled.expect("proposed");
    let approves =
        |record: &_| approval::approve(record, &matter, &digest.into(), by("Bo", second));
    let ruled = store.rule(&matter, &approves).await.expect("stored");
    ruled.expect("approved");
}

async fn narrowed(store: &Arc<dyn Store>, over: &str, digest: &str, second: u64) {
    let matter = Matter {
        kind: MatterKind::Manifest,
        name: "crm".to_owned(),
    };
    let narrows = |record: &_| {
        let content = Content {
            digest: digest.into(),
            text: "less".to_owned(),
        };
        approval::narrow(
            record,
            &matter,
            &over.into(),
            content,
            at(900),
            by("clawback", second),
        )
    };
    let ruled = store.rule(&matter, &narrows).await.expect("stored");
    ruled.expect("bound");
}

async fn ended(store: &Arc<dyn Store>, number: u128, manifest: &str, passed: bool) {
    let drill = drill(number, "crm");
    assert!(store.begin_drill(&drill).await.expect("stored"));
    let taken = store.take_drills(worker(1), at(1), 60, 9).await;
    let lease = taken.expect("stored").remove(0);
    let over = over(&drill, manifest, passed);
    assert!(
        store
            .keep_drill(&lease, &over, at(9))
            .await
            .expect("stored")
    );
}

async fn is_drilled(store: &Arc<dyn Store>, second: u64) -> bool {
    let drilled = store.drilled(at(second)).await.expect("read");
    drilled.contains(&ConnectorName::from("crm"))
}

/// A connector has one drill under way, and what has ended stays.
pub async fn c8_a_connector_has_one_drill_under_way(home: &Home) {
    let store = &home.store;
    let first = drill(1, "crm");
    assert!(store.begin_drill(&first).await.expect("stored"));
    assert!(!store.begin_drill(&first).await.expect("stored"));
    assert!(!store.begin_drill(&drill(2, "crm")).await.expect("stored"));
    assert!(store.begin_drill(&drill(3, "shop")).await.expect("stored"));
    let known = store.drills(Some(&"crm".into()), 9).await.expect("read");
    assert_eq!(known, std::slice::from_ref(&first));
    let taken = store.take_drills(worker(1), at(1), 60, 9).await;
    let mut taken = taken.expect("stored");
    taken.retain(|lease| lease.drill.id == first.id);
    let passed = over(&first, "m-1", true);
    let kept = store.keep_drill(&taken[0], &passed, at(9)).await;
    assert!(kept.expect("stored"));
    // Not again, whoever still has the lease.
    let failed = over(&first, "m-1", false);
    let kept = store.keep_drill(&taken[0], &failed, at(9)).await;
    assert!(!kept.expect("stored"));
    assert_eq!(store.drill(first.id).await.expect("read"), Some(passed));
    assert!(store.begin_drill(&drill(2, "crm")).await.expect("stored"));
    assert_eq!(store.drills(None, 9).await.expect("read").len(), 3);
}

/// A drill is led on by one worker at a time; one that is gone, or takes too long, is followed.
pub async fn c8_a_drill_is_led_on_by_one_worker_at_a_time(home: &Home) {
    let store = &home.store;
    for number in [1, 2] {
        let enlisted = store.enlist(worker(number), at(0), 1000).await;
        enlisted.expect("enlisted");
    }
    let begun = drill(1, "crm");
    store.begin_drill(&begun).await.expect("stored");
    let take = async |number, second| {
        let taken = store.take_drills(worker(number), at(second), 60, 9).await;
        taken.expect("stored")
    };
    let first = take(1, 1).await;
    assert_eq!(first.len(), 1);
    assert!(take(2, 2).await.is_empty());
    let second = take(2, 61).await;
    assert_eq!(second.len(), 1, "it took too long");
    let kept = store.keep_drill(&first[0], &begun, at(70)).await;
    assert!(!kept.expect("stored"), "its lease has moved on");
    let kept = store.keep_drill(&second[0], &begun, at(70)).await;
    assert!(kept.expect("stored"));
    assert!(take(1, 69).await.is_empty(), "not due");
    assert_eq!(take(1, 70).await.len(), 1);
    store.discharge(worker(1)).await.expect("gone");
    assert_eq!(take(2, 71).await.len(), 1, "its worker is gone");
}

/// What is in force is drilled by a pass of its own, of what it narrowed, or by two people.
pub async fn c8_what_is_in_force_is_known_to_be_drilled(home: &Home) {
    let store = &home.store;
    two_people(store, MatterKind::Manifest, "m-1", 1).await;
    assert!(!is_drilled(store, 2).await);
    ended(store, 1, "m-1", false).await;
    ended(store, 2, "m-0", true).await;
    assert!(
        !is_drilled(store, 2).await,
        "one failed, one was of another"
    );
    ended(store, 3, "m-1", true).await;
    assert!(is_drilled(store, 2).await);
    ended(store, 4, "m-1", false).await;
    assert!(is_drilled(store, 2).await, "a later failure is health");
    narrowed(store, "m-1", "m-2", 3).await;
    assert!(is_drilled(store, 4).await, "it permits no more");
    two_people(store, MatterKind::Manifest, "m-3", 5).await;
    assert!(!is_drilled(store, 6).await, "it permits more");
    two_people(store, MatterKind::DrillOverride, "m-1", 7).await;
    assert!(!is_drilled(store, 8).await, "that was another");
    two_people(store, MatterKind::DrillOverride, "m-3", 9).await;
    assert!(is_drilled(store, 10).await);
    narrowed(store, "m-3", "m-4", 11).await;
    assert!(is_drilled(store, 12).await);
    assert!(!is_drilled(store, 1000).await, "its time is over");
}

/// No drill passes without a manifest under which it was.
pub async fn p_a_drill_passes_under_a_manifest(home: &Home) {
    let store = &home.store;
    let begun = drill(1, "crm");
    store.begin_drill(&begun).await.expect("stored");
    let taken = store.take_drills(worker(1), at(1), 60, 9).await;
    let lease = taken.expect("stored").remove(0);
    let nameless = Drill {
        manifest: None,
        ..over(&begun, "m-1", true)
    };
    let refused = store.keep_drill(&lease, &nameless, at(9)).await;
    assert!(
        matches!(refused, Err(StoreError::Broken { .. })),
        "{refused:?}"
    );
    assert_eq!(store.drill(begun.id).await.expect("read"), Some(begun));
}

/// What was examined is told with when, and under which manifest.
pub async fn c4_examinations_are_remembered(home: &Home) {
    let store = &home.store;
    let examined = |second, passed| Examination {
        connector: "crm".into(),
        at: at(second),
        manifest: "m-1".into(),
        passed,
        changed: false,
        failed: Vec::new(),
    };
    for one in [examined(1, true), examined(2, false), examined(2, false)] {
        store.note_examination(&one).await.expect("kept");
    }
    let known = store.examinations(&"crm".into(), 9).await.expect("read");
    assert_eq!(known, [examined(2, false), examined(1, true)]);
    let others = store.examinations(&"shop".into(), 9).await;
    assert!(others.expect("read").is_empty());
}

/// What was refused for want of an approval or a drill is due at once; nothing else is.
pub async fn c8_what_was_barred_is_woken_and_nothing_else(home: &Home) {
    let store = &home.store;
    let removal = a_removal(store, "c").await;
    let mut settlement = handed_over(&removal.run);
    if let RunStage::WithPerson { next_try, .. } = &mut settlement.run.stage {
        *next_try = Some(at(900));
    }
    let task = settlement.task.as_mut().expect("opened");
    "CB-GUARD-15".clone_into(&mut task.code);
    let connector = settlement.run.connector.clone().expect("of one");
    let batch = [fenced(&removal, settlement)];
    store
        .settle(at(1), &keep(1, 5), &batch)
        .await
        .expect("settled");
    let wake = async |name: &ConnectorName, codes: &[&str], second| {
        let woken = store.wake_barred(name, codes, at(second)).await;
        woken.expect("stored")
    };
    let codes = ["CB-GUARD-12", "CB-GUARD-15"];
    assert_eq!(wake(&connector, &["CB-GUARD-12"], 2).await, 0);
    assert_eq!(wake(&"other".into(), &codes, 2).await, 0);
    let claimed = store.claim(at(2), &keep(1, 5)).await.expect("claimed");
    assert!(claimed.iter().all(|one| one.run.id != removal.run.id));
    assert_eq!(wake(&connector, &codes, 3).await, 1);
    assert_eq!(wake(&connector, &codes, 3).await, 0, "it is due already");
    let claimed = store.claim(at(3), &keep(1, 5)).await.expect("claimed");
    assert!(claimed.iter().any(|one| one.run.id == removal.run.id));
    assert_eq!(wake(&connector, &codes, 4).await, 0, "a worker has it");
}
