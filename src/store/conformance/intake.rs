//! What recording promises: once by key, nothing lost, offsets only forward.
//!
//! Consumers repeat themselves after every crash and rebalance; these checks do so on purpose.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::super::{Checkpoint, DeadLetter, IntakeBatch, Letters, Receipt, StoreError};
use super::Home;
use super::domain::id::DeadLetterId;
use super::given::{at, event, message};

pub async fn a3_a_repeated_event_is_recorded_once(home: &Home) {
    let mut forged = event("1", "c1", 1);
    "another".clone_into(&mut forged.payload_digest);
    let batch = |events| IntakeBatch {
        events,
        ..IntakeBatch::default()
    };
    let first = batch(vec![
        event("1", "c1", 1),
        event("1", "c1", 1),
        event("2", "c2", 1),
    ]);
    let receipts = home.store.record(&first).await.expect("recorded");
    assert_eq!(receipts, [Receipt::New, Receipt::Duplicate, Receipt::New]);

    let again = batch(vec![event("2", "c2", 1), forged, event("3", "c3", 1)]);
    let receipts = home.store.record(&again).await.expect("recorded");
    assert_eq!(
        receipts,
        [Receipt::Duplicate, Receipt::Conflict, Receipt::New]
    );
    let counts = home.store.counts(at(5)).await.expect("counts");
    assert_eq!((counts.events_recorded, counts.events_waiting), (3, 3));
    assert_eq!(counts.oldest_event_seconds, Some(5));
}

pub async fn a3_many_consumers_record_an_event_once(home: &Home) {
    let mut consumers = JoinSet::new();
    for _ in 0..8 {
        let store = Arc::clone(&home.store);
        consumers.spawn(async move {
            let batch = IntakeBatch {
                events: (0..20).map(|n| event(&n.to_string(), "c", 1)).collect(),
                ..IntakeBatch::default()
            };
            store.record(&batch).await.expect("recorded")
        });
    }
    let receipts: Vec<Receipt> = consumers.join_all().await.into_iter().flatten().collect();
    let new = receipts.iter().filter(|one| **one == Receipt::New).count();
    assert_eq!(new, 20);
    assert!(!receipts.contains(&Receipt::Conflict));
}

pub async fn a4_a_dead_letter_is_kept_whole_and_once(home: &Home) {
    let letter = DeadLetter {
        id: DeadLetterId::of("t", 3, 7, b"{"),
        origin: event("x", "x", 1).origin,
        key: Some(vec![0, 255]),
        headers: vec![("h".to_owned(), vec![1, 2])],
        payload: vec![0xff, 0, 1],
        code: "CB-TEST-3".to_owned(),
        reason: "not JSON".to_owned(),
        first_seen: at(1),
        replayed: None,
        aside: None,
    };
    let batch = IntakeBatch {
        dead_letters: vec![letter.clone()],
        messages: vec![message(1, "k")],
        ..IntakeBatch::default()
    };
    for _ in 0..2 {
        home.store.record(&batch).await.expect("recorded");
    }
    assert_eq!(
        home.store
            .dead_letters(Letters::All, 10)
            .await
            .expect("read"),
        std::slice::from_ref(&letter)
    );
    let one = home.store.dead_letter(letter.id).await.expect("read");
    assert_eq!(one, Some(letter));
    let counts = home.store.counts(at(1)).await.expect("counts");
    assert_eq!((counts.dead_letters, counts.outbox_waiting), (1, 1));
    assert_eq!(counts.letters_waiting, 1);
    // A topic that is made anew counts from 0 again: the same place, another message.
    let mut other = batch.dead_letters[0].clone();
    other.id = DeadLetterId::of("t", 3, 7, b"[");
    let batch = IntakeBatch {
        dead_letters: vec![other],
        ..IntakeBatch::default()
    };
    home.store.record(&batch).await.expect("recorded");
    let kept = home
        .store
        .dead_letters(Letters::All, 10)
        .await
        .expect("read");
    assert_eq!(kept.len(), 2);
}

pub async fn checkpoints_never_go_back(home: &Home) {
    let place = |partition, next_offset| Checkpoint {
        group: "g".to_owned(),
        topic: "t".to_owned(),
        partition,
        next_offset,
        committed: None,
    };
    for checkpoints in [
        vec![place(0, 5), place(1, 9), place(0, 7)],
        vec![place(0, 6)],
    ] {
        let batch = IntakeBatch {
            checkpoints,
            ..IntakeBatch::default()
        };
        home.store.record(&batch).await.expect("recorded");
    }
    let read = home.store.checkpoints("g", "t").await.expect("read");
    assert_eq!(read, [(0, 7), (1, 9)]);
    assert!(
        home.store
            .checkpoints("g", "other")
            .await
            .expect("read")
            .is_empty()
    );
}

pub async fn a3_nothing_is_recorded_on_top_of_a_hole(home: &Home) {
    let store = &home.store;
    let batch = |id: &str, next_offset, committed| IntakeBatch {
        events: vec![event(id, id, 1)],
        checkpoints: vec![Checkpoint {
            group: "g".to_owned(),
            topic: "t".to_owned(),
            partition: 0,
            next_offset,
            committed,
        }],
        ..IntakeBatch::default()
    };
    // What the reader committed is not there at all, and then less of it is there.
    let marks = async || store.checkpoints("g", "t").await.expect("read");
    let refused = store.record(&batch("1", 6, Some(5))).await;
    assert!(matches!(refused, Err(StoreError::WentBack)), "{refused:?}");
    assert_eq!(marks().await, []);
    store.record(&batch("1", 6, None)).await.expect("recorded");
    let refused = store.record(&batch("2", 9, Some(8))).await;
    assert!(matches!(refused, Err(StoreError::WentBack)), "{refused:?}");
    assert_eq!(marks().await, [(0, 6)]);
    let counts = store.counts(at(0)).await.expect("counted");
    assert_eq!(counts.events_recorded, 1);
    // As much, or more by another reader, is as it should be.
    for (id, next, committed) in [("2", 9, 6), ("3", 10, 7)] {
        let recorded = store.record(&batch(id, next, Some(committed))).await;
        assert_eq!(recorded.expect("recorded"), [Receipt::New]);
    }
    assert_eq!(marks().await, [(0, 10)]);
}
