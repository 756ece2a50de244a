//! What the outbox promises: every message, in the order of its key, from one worker at a time.
//!
//! Publishing itself belongs to another room; here a message is published by saying so.

use super::super::{DeadLetter, IntakeBatch, Letters};
use super::Home;
use super::domain::approval::Signed;
use super::domain::id::{DeadLetterId, MessageId};
use super::domain::settlement::OutboxMessage;
use super::given::{at, keep, message, worker};

async fn posted(home: &Home, messages: Vec<OutboxMessage>) {
    let batch = IntakeBatch {
        messages,
        ..IntakeBatch::default()
    };
    home.store.record(&batch).await.expect("recorded");
}

async fn taken(home: &Home, number: u64, limit: u32) -> Vec<OutboxMessage> {
    home.store
        .take_messages(worker(number), at(0), limit, &[])
        .await
        .expect("taken")
}

fn ids(messages: &[OutboxMessage]) -> Vec<MessageId> {
    messages.iter().map(|message| message.id).collect()
}

pub async fn one_worker_publishes_a_key_and_in_order(home: &Home) {
    let messages: Vec<_> = (1..=6)
        .map(|n| message(n, if n % 3 == 0 { "b" } else { "a" }))
        .collect();
    posted(home, messages.clone()).await;
    // Worker 1 takes the head of key a only; nobody else may take the rest of that key.
    assert_eq!(taken(home, 1, 1).await, [messages[0].clone()]);
    assert_eq!(
        ids(&taken(home, 2, 10).await),
        ids(&[messages[2].clone(), messages[5].clone()])
    );
    // What was not published is taken again, with what came after it.
    let rest = taken(home, 1, 10).await;
    assert_eq!(
        ids(&rest),
        ids(&[&messages[0..2], &messages[3..5]].concat())
    );
    home.store
        .published(&ids(&rest[0..2]), at(1))
        .await
        .expect("published");
    assert_eq!(taken(home, 1, 10).await, rest[2..]);
    home.store
        .published(&ids(&messages), at(1))
        .await
        .expect("published");
    assert!(taken(home, 1, 10).await.is_empty());
    let counts = home.store.counts(at(1)).await.expect("counts");
    assert_eq!(counts.outbox_waiting, 0);
}

pub async fn messages_of_topics_left_out_keep_no_others_back(home: &Home) {
    let topic = |name: &str, message: OutboxMessage| OutboxMessage {
        topic: name.to_owned(),
        ..message
    };
    let messages = [
        topic("missing", message(1, "a")),
        topic("forbidden", message(2, "a")),
        topic("missing", message(3, "b")),
        topic("sound", message(4, "a")),
    ];
    posted(home, messages.to_vec()).await;
    let mut stuck = Vec::new();
    for (topic, next) in [("missing", 1), ("forbidden", 3)] {
        stuck.push(topic.to_owned());
        let taken = home.store.take_messages(worker(1), at(0), 1, &stuck).await;
        assert_eq!(taken.expect("taken"), [messages[next].clone()]);
    }
    // Left out once is not left out for ever, and whose they are does not change.
    assert_eq!(taken(home, 1, 10).await, messages);
    assert!(taken(home, 2, 10).await.is_empty());
}

pub async fn messages_of_a_dead_worker_are_taken_by_another(home: &Home) {
    for number in [1, 2] {
        home.store
            .enlist(worker(number), at(0), 10)
            .await
            .expect("enlisted");
    }
    super::given::a_case(&home.store, "c").await;
    posted(home, vec![message(1, "a")]).await;
    assert_eq!(taken(home, 1, 10).await.len(), 1);
    assert!(taken(home, 2, 10).await.is_empty());
    super::given::lapsed(&home.store, 1, 10).await;
    home.store.bury(worker(2), at(20)).await.expect("buried");
    assert_eq!(taken(home, 2, 10).await.len(), 1);
    home.store.discharge(worker(2)).await.expect("discharged");
    assert_eq!(taken(home, 3, 10).await.len(), 1);
    assert_eq!(keep(3, 0).worker, worker(3));
}

pub async fn messages_without_a_living_owner_are_freed(home: &Home) {
    // Worker 1 takes them when it has been buried already: nobody else is dead, and no run is anybody's.
    let two = home.store.enlist(worker(2), at(0), 10).await;
    two.expect("enlisted");
    posted(home, vec![message(1, "a")]).await;
    assert_eq!(taken(home, 1, 10).await.len(), 1);
    assert!(taken(home, 2, 10).await.is_empty());
    home.store.bury(worker(2), at(0)).await.expect("buried");
    assert_eq!(taken(home, 2, 10).await.len(), 1);
}

/// A message that was not JSON.
pub fn a_letter(id: DeadLetterId) -> DeadLetter {
    DeadLetter {
        id,
        origin: super::given::event("x", "x", 1).origin,
        key: None,
        headers: Vec::new(),
        payload: Vec::new(),
        code: "CB-TEST-3".to_owned(),
        reason: "not JSON".to_owned(),
        first_seen: at(0),
        replayed: None,
        aside: None,
    }
}

pub async fn a_message_is_posted_once_and_marks_its_dead_letter(home: &Home) {
    let letter = a_letter(DeadLetterId::of("t", 0, 1, b"{"));
    let batch = IntakeBatch {
        dead_letters: vec![letter.clone()],
        ..IntakeBatch::default()
    };
    home.store.record(&batch).await.expect("recorded");
    let waiting = async || {
        let letters = home.store.dead_letters(Letters::Waiting, 9).await;
        let counts = home.store.counts(at(9)).await.expect("counts");
        (letters.expect("read").len(), counts.letters_waiting)
    };
    assert_eq!(waiting().await, (1, 1));
    for _ in 0..2 {
        home.store
            .post(&message(5, "a"), Some(letter.id))
            .await
            .expect("posted");
    }
    assert_eq!(taken(home, 1, 10).await, [message(5, "a")]);
    let read = home
        .store
        .dead_letter(letter.id)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(read.replayed, Some(at(5)));
    assert_eq!(waiting().await, (0, 0));
}

pub async fn a_dead_letter_waits_until_somebody_sets_it_aside(home: &Home) {
    let [one, other] = [1, 2].map(|offset| DeadLetterId::of("t", 0, offset, b"{"));
    let batch = IntakeBatch {
        dead_letters: vec![a_letter(one), a_letter(other)],
        ..IntakeBatch::default()
    };
    home.store.record(&batch).await.expect("recorded");
    let by = |name: &str| Signed {
        by: name.to_owned(),
        at: at(5),
        reason: "a test of the sender's".to_owned(),
    };
    for name in ["ada", "grace"] {
        let kept = home.store.set_aside(one, &by(name)).await;
        assert!(kept.expect("kept"));
    }
    let waiting = home.store.dead_letters(Letters::Waiting, 9).await;
    assert_eq!(waiting.expect("read"), [a_letter(other)]);
    let counts = home.store.counts(at(9)).await.expect("counts");
    assert_eq!((counts.dead_letters, counts.letters_waiting), (2, 1));
    // It stays, with who said so last, and can still be replayed.
    let all = home.store.dead_letters(Letters::All, 9).await;
    let aside = |letter: &DeadLetter| letter.aside.clone();
    let asides: Vec<_> = all.expect("read").iter().map(aside).collect();
    assert_eq!(asides, [None, Some(by("grace"))]);
    let posted = home.store.post(&message(5, "a"), Some(one)).await;
    posted.expect("posted");
    let read = home.store.dead_letter(one).await.expect("read");
    assert_eq!(read.expect("there").replayed, Some(at(5)));
    let nobodys = DeadLetterId::of("t", 0, 3, b"{");
    let kept = home.store.set_aside(nobodys, &by("ada")).await;
    assert!(!kept.expect("answered"));
}
