//! Intake, dead letters and the outbox on a broker.
//!
//! On Apache Kafka, or with `CLAWBACK_TEST_KAFKA=embedded` on the broker of `clawback dev`. Each
//! test has topics, group and SQLite file of its own. What a message must look like is tested in
//! `intake` itself.

mod bed;

use std::sync::Arc;
use std::time::Duration;

use bed::{Bed, Dice, Wall};
use clawback::domain::id::MessageId;
use clawback::domain::settlement::OutboxMessage;
use clawback::domain::time::{Chance as _, Clock as _, after};
use clawback::intake::Settings;
use clawback::kafka::{Connection, Mode};
use clawback::publish::{REPLAY_OF, replay};
use clawback::store::{Checkpoint, IntakeBatch, Letters};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::json;
use sqlx::{Connection as _, Executor as _};

use crate::parts::{Service, part, until};

#[tokio::test(flavor = "multi_thread")]
async fn a3_duplicates_do_nothing_and_the_same_id_with_another_payload_is_kept_apart() {
    let bed = Bed::make("duplicates", 1).await;
    let intake = bed.start();
    let event = bed.event();
    bed.send(&event, Mode::Structured).await;
    bed.send(&event, Mode::Binary).await;
    let mut forged = event.clone();
    forged["data"]["subject"]["id"] = json!("somebody-else");
    bed.send(&forged, Mode::Structured).await;
    bed.send(&bed.event(), Mode::Binary).await;
    bed.until_recorded(2).await;
    until("the forged one is a dead letter", async || {
        !bed.store
            .dead_letters(Letters::All, 9)
            .await
            .expect("letters")
            .is_empty()
    })
    .await;
    let letters = bed
        .store
        .dead_letters(Letters::All, 9)
        .await
        .expect("letters");
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].code, "CB-INTAKE-14");
    let payload: serde_json::Value = serde_json::from_slice(&letters[0].payload).expect("JSON");
    assert_eq!(payload, forged);
    let figures = intake.health.figures();
    assert_eq!((figures.recorded, figures.duplicates), (2, 1));
    intake.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_unreadable_messages_go_to_the_dead_letter_topic_and_block_nothing() {
    let bed = Bed::make("unreadable", 1).await;
    let (intake, relay) = (bed.start(), bed.relay().await);
    bed.send_raw(b"k1", b"\xff\xfe not JSON at all").await;
    let mut lame = bed.event();
    lame["data"]["revision"] = json!(null);
    bed.send(&lame, Mode::Binary).await;
    let mut strange = bed.event();
    strange["type"] = json!("com.example.order.shipped");
    bed.send(&strange, Mode::Structured).await;
    bed.send(&bed.event(), Mode::Structured).await;
    bed.until_recorded(1).await;
    let mut copies = bed.dead_letter_topic(3);
    // Order holds for each key only.
    copies.sort_by_key(|copy| copy.header("__connect.errors.offset").map(str::to_owned));
    let codes: Vec<_> = copies
        .iter()
        .map(|copy| copy.header("clawback-dlq-reason").expect("a reason"))
        .collect();
    assert_eq!(codes, ["CB-INTAKE-1", "CB-INTAKE-10", "CB-INTAKE-5"]);
    assert_eq!(copies[0].key, b"k1");
    assert_eq!(copies[0].payload, b"\xff\xfe not JSON at all");
    assert_eq!(
        copies[0].header("__connect.errors.topic"),
        Some(bed.topic.as_str())
    );
    assert_eq!(copies[1].header("__connect.errors.offset"), Some("1"));
    assert_eq!(copies[1].header("ce_specversion"), Some("1.0"));
    assert_eq!(
        copies[2].header("clawback-dlq-consumer-group"),
        Some(bed.group.as_str())
    );
    let letters = bed
        .store
        .dead_letters(Letters::All, 9)
        .await
        .expect("letters");
    assert_eq!(letters.len(), 3);
    relay.drain().await;
    intake.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_a_replayed_dead_letter_takes_the_same_road_again() {
    let bed = Bed::make("replay", 1).await;
    let (intake, relay) = (bed.start(), bed.relay().await);
    let mut lame = bed.event();
    lame["data"]["revision"] = json!(null);
    bed.send(&lame, Mode::Structured).await;
    until("it is a dead letter", async || {
        bed.store
            .dead_letters(Letters::All, 9)
            .await
            .expect("letters")
            .len()
            == 1
    })
    .await;
    let letter = bed
        .store
        .dead_letters(Letters::All, 9)
        .await
        .expect("letters")
        .remove(0);
    assert!(letter.replayed.is_none());
    let posted = replay(&*bed.store, &letter, &Wall, &Dice).await;
    posted.expect("posted");
    until("it came again", async || {
        bed.store
            .dead_letters(Letters::All, 9)
            .await
            .expect("letters")
            .len()
            == 2
    })
    .await;
    let copies = bed.dead_letter_topic(2);
    assert_eq!(copies[0].header("clawback-dlq-attempts"), Some("1"));
    assert_eq!(copies[1].header("clawback-dlq-attempts"), Some("2"));
    assert_eq!(
        copies[1].header(REPLAY_OF),
        Some(letter.id.to_string().as_str())
    );
    let again = bed.store.dead_letter(letter.id).await.expect("the store");
    assert!(again.expect("the letter").replayed.is_some());
    relay.drain().await;
    intake.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_no_offset_is_stored_before_the_store_has_committed() {
    let bed = Bed::make("away", 2).await;
    let intake = bed.start();
    bed.send_many(3).await;
    bed.until_recorded(3).await;
    until("three are committed", async || bed.committed() == Some(3)).await;
    // Somebody else keeps the database to himself: for the store it is away.
    let file = bed.dir.path().join("clawback.db");
    let mut thief = sqlx::SqliteConnection::connect(&format!("sqlite:{}", file.display()))
        .await
        .expect("a connection");
    thief.execute("BEGIN IMMEDIATE").await.expect("the lock");
    bed.send_many(40).await;
    until("reading holds", async || {
        intake.health.figures().held.is_some()
    })
    .await;
    assert!(intake.health.ready(Wall.now()).is_err());
    assert_eq!(bed.committed(), Some(3));
    // It keeps polling, so the group keeps it.
    let polled = intake.health.figures().last_poll;
    until("it has polled again", async || {
        intake.health.figures().last_poll > polled
    })
    .await;
    thief.execute("ROLLBACK").await.expect("unlocked");
    bed.until_recorded(43).await;
    until("all are committed", async || bed.committed() == Some(43)).await;
    until("it is ready", async || {
        intake.health.ready(Wall.now()).is_ok()
    })
    .await;
    intake.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a3_a_restart_goes_on_where_it_was_and_a_drain_commits() {
    let bed = Bed::make("restart", 4).await;
    let first = bed.start();
    bed.send_many(200).await;
    until("some are recorded", async || bed.recorded().await > 0).await;
    first.drain().await;
    let recorded = bed.recorded().await;
    assert_eq!(bed.committed(), Some(recorded.cast_signed()));
    bed.send_many(100).await;
    let second = bed.start();
    bed.until_recorded(300).await;
    // What was drained properly is not even read again.
    assert_eq!(second.health.figures().duplicates, 0);
    second.drain().await;
    assert_eq!(bed.committed(), Some(300));
}

#[tokio::test(flavor = "multi_thread")]
async fn b3_two_consumers_share_the_partitions_and_lose_nothing() {
    let bed = Bed::make("share", 8).await;
    let first = bed.start();
    bed.send_many(100).await;
    bed.until_recorded(100).await;
    let second = bed.start();
    bed.send_many(100).await;
    let mut sent = 200;
    let share = |running: &bed::Running| {
        let assigned = running.health.figures().assigned;
        assigned.values().map(Vec::len).sum::<usize>()
    };
    until("both have partitions", async || {
        bed.send_many(5).await;
        sent += 5;
        (share(&first), share(&second)) == (4, 4)
    })
    .await;
    bed.until_recorded(sent).await;
    first.drain().await;
    bed.send_many(100).await;
    bed.until_recorded(sent + 100).await;
    until("the other has all", async || share(&second) == 8).await;
    second.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_was_moved_ahead_skips_nothing() {
    let bed = Bed::make("ahead", 1).await;
    bed.send_many(10).await;
    remember(&bed, 4).await;
    let mut config = bed.connection.onlooker().expect("nothing to look up");
    let meddler: BaseConsumer = config
        .set("group.id", &bed.group)
        .create()
        .expect("a client");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&bed.topic, 0, Offset::Offset(9))
        .expect("a place");
    meddler.commit(&list, CommitMode::Sync).expect("committed");
    drop(meddler);
    let intake = bed.start();
    bed.until_recorded(6).await;
    intake.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_made_anew_is_read_from_its_beginning() {
    let bed = Bed::make("anew", 1).await;
    bed.send_many(10).await;
    remember(&bed, 5_000).await;
    let intake = bed.start();
    bed.until_recorded(10).await;
    intake.drain().await;
}

/// Writes the checkpoint that an earlier life would have left.
async fn remember(bed: &Bed, next_offset: i64) {
    let batch = IntakeBatch {
        checkpoints: vec![Checkpoint {
            group: bed.group.clone(),
            topic: bed.topic.clone(),
            partition: 0,
            next_offset,
            committed: None,
        }],
        ..IntakeBatch::default()
    };
    bed.store.record(&batch).await.expect("recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_the_broker_deleted_unread_are_an_alarm() {
    // The embedded broker trims by itself, and says so.
    let bed = Bed::embedded("trimmed", 1).await;
    remember(&bed, 0).await;
    let padding = "x".repeat(60_000);
    for _ in 0..110 {
        bed.send_raw(b"k", padding.as_bytes()).await;
    }
    let broker = bed.broker.as_ref().expect("embedded");
    until("the broker has said so", async || broker.trimmed() > 0).await;
    let intake = bed.start();
    until("intake has said so", async || {
        intake.health.figures().lost > 0
    })
    .await;
    assert_eq!(intake.health.figures().lost, broker.trimmed());
    // And somebody has it in writing, before whatever came after the hole.
    until("it is written down", async || {
        let waiting = bed.store.dead_letters(Letters::Waiting, 999).await;
        let mut waiting = waiting.expect("letters").into_iter();
        waiting.any(|letter| !letter.has_message() && letter.origin.offset == 0)
    })
    .await;
    intake.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_the_broker_deletes_from_a_reader_that_holds_the_partition_are_an_alarm() {
    let bed = Bed::embedded("held", 1).await;
    let intake = bed.start();
    bed.send_many(1).await;
    bed.until_recorded(1).await;
    // Reading holds while somebody keeps the database, and the broker trims meanwhile.
    let file = bed.dir.path().join("clawback.db");
    let mut thief = sqlx::SqliteConnection::connect(&format!("sqlite:{}", file.display()))
        .await
        .expect("a connection");
    thief.execute("BEGIN IMMEDIATE").await.expect("the lock");
    bed.send_many(1).await;
    let held = || intake.health.figures().held.is_some();
    until("reading holds", async || held()).await;
    let padding = "x".repeat(60_000);
    for _ in 0..110 {
        bed.send_raw(b"k", padding.as_bytes()).await;
    }
    let broker = bed.broker.as_ref().expect("embedded");
    until("the broker has said so", async || broker.trimmed() > 2).await;
    let rebalances = intake.health.figures().rebalances;
    thief.execute("ROLLBACK").await.expect("unlocked");
    until("every message is recorded, rubbish or lost", async || {
        let rubbish = bed
            .store
            .dead_letters(Letters::All, 999)
            .await
            .expect("letters")
            .iter()
            .filter(|letter| letter.has_message())
            .count() as u64;
        let lost = intake.health.figures().lost;
        lost > 0 && bed.recorded().await + rubbish + lost == 112
    })
    .await;
    assert_eq!(intake.health.figures().rebalances, rebalances);
    intake.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_a_flood_of_rubbish_is_held_at_the_bound_and_nothing_of_it_is_lost() {
    let bed = Bed::make("flood", 1).await;
    // All of it lies there when reading begins: how fast it was sent does not matter.
    for _ in 0..7 {
        bed.send_raw(b"k", b"rubbish").await;
    }
    bed.send_many(1).await;
    let intake = bed.start_with(Settings {
        flood_dead_letters: 5,
        flood_window_seconds: 20,
        batch_messages: 2,
        ..bed.settings()
    });
    until("reading holds", async || {
        let held = intake.health.figures().held;
        held.is_some_and(|why| why.contains("CB-INTAKE-23"))
    })
    .await;
    assert!(
        bed.store
            .dead_letters(Letters::All, 99)
            .await
            .expect("letters")
            .len()
            < 7
    );
    bed.until_recorded(1).await;
    assert_eq!(
        bed.store
            .dead_letters(Letters::All, 99)
            .await
            .expect("letters")
            .len(),
        7
    );
    intake.drain().await;
}

fn message(bed: &Bed, key: &str, text: &str) -> OutboxMessage {
    OutboxMessage {
        id: MessageId(Dice.id()),
        topic: format!("{}.dlq", bed.topic),
        key: key.as_bytes().to_vec(),
        headers: vec![("n".to_owned(), text.as_bytes().to_vec())],
        payload: text.as_bytes().to_vec(),
        created: Wall.now(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outbox_waits_for_kafka_and_keeps_the_order_of_each_key() {
    let bed = Bed::embedded("outbox", 4).await;
    let broker = bed.broker.as_ref().expect("embedded");
    broker.down();
    for number in 0..30 {
        let message = message(&bed, ["a", "b", "c"][number % 3], &number.to_string());
        bed.store.post(&message, None).await.expect("posted");
    }
    let relay = bed.relay().await;
    until("the relay has noticed", async || {
        relay.delivered.trouble().is_some()
    })
    .await;
    assert_eq!(relay.delivered.sent(), 0);
    broker.up();
    until("all are delivered", async || relay.delivered.sent() >= 30).await;
    let copies = bed.dead_letter_topic(30);
    for key in ["a", "b", "c"] {
        let numbers: Vec<u32> = copies
            .iter()
            .filter(|copy| copy.key == key.as_bytes())
            .map(|copy| copy.header("n").expect("n").parse().expect("a number"))
            .collect();
        assert_eq!(numbers.len(), 10);
        assert!(numbers.is_sorted(), "{key}: {numbers:?}");
    }
    let counts = bed.store.counts(Wall.now()).await.expect("counts");
    assert_eq!(counts.outbox_waiting, 0);
    relay.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_brokers_find_too_large_does_not_block_its_key() {
    let bed = Bed::embedded("large", 1).await;
    let large = message(&bed, "a", &"x".repeat(200_000));
    let large = OutboxMessage {
        headers: Vec::new(),
        ..large
    };
    bed.store.post(&large, None).await.expect("posted");
    let small = message(&bed, "a", "1");
    bed.store.post(&small, None).await.expect("posted");
    let relay = bed.relay().await;
    let copies = bed.dead_letter_topic(2);
    assert!(copies[0].payload.is_empty());
    assert!(copies[0].header("clawback-payload-left-out").is_some());
    assert_eq!(copies[1].payload, b"1");
    relay.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h2_a_worker_whose_brokers_are_gone_is_not_ready_until_they_are_back() {
    let bed = Bed::embedded("blind", 1).await;
    let intake = bed.start();
    bed.send_many(1).await;
    bed.until_recorded(1).await;
    assert_eq!(intake.health.ready(Wall.now()), Ok(()));
    let broker = bed.broker.as_ref().expect("embedded");
    broker.down();
    let trouble = || intake.health.figures().trouble;
    until("intake has noticed", async || trouble().is_some()).await;
    let since = trouble().expect("trouble").since;
    until("it polls all the same", async || {
        intake.health.figures().last_poll > Some(after(since, 2))
    })
    .await;
    assert_eq!(intake.health.ready(after(since, 60)), Ok(()));
    let why = intake.health.ready(after(since, 61)).expect_err("blind");
    assert!(why.contains("no broker is reached"), "{why}");
    broker.up();
    bed.send_many(1).await;
    bed.until_recorded(2).await;
    assert_eq!(trouble(), None);
    intake.drain().await;
}

/// A name that no other run has used.
fn own(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_kafka_restarted_in_mid_work_loses_nothing() {
    if part("CLAWBACK_TEST_KAFKA") == "embedded" {
        // The embedded broker forgets; cutting its connections is what it can do.
        let bed = Bed::embedded("cut", 4).await;
        let intake = bed.start();
        bed.send_many(50).await;
        bed.until_recorded(50).await;
        let broker = bed.broker.as_ref().expect("embedded");
        broker.down();
        broker.up();
        bed.send_many(50).await;
        bed.until_recorded(100).await;
        intake.drain().await;
        return;
    }
    let service = Service::up(
        "kafka",
        &own("intake-restart"),
        &["broker.session.timeout.ms=9000"],
    );
    let servers = format!("{}:{}", service.value("HOST"), service.value("PORT"));
    let bed = Bed::on(Connection::to(&servers), "restarted", 4).await;
    let (intake, relay) = (bed.start(), bed.relay().await);
    bed.send_many(100).await;
    bed.send_raw(b"k", b"rubbish").await;
    until("some are recorded", async || bed.recorded().await > 0).await;
    tokio::task::block_in_place(|| service.ctl("restart"));
    bed.send_many(100).await;
    bed.until_recorded(200).await;
    assert_eq!(bed.dead_letter_topic(1)[0].payload, b"rubbish");
    relay.drain().await;
    intake.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_sasl_settings_are_passed_through() {
    if part("CLAWBACK_TEST_KAFKA") == "embedded" {
        // It speaks plain text only; what is passed through is tested in `kafka::connection`.
        return;
    }
    let service = Service::up("kafka", &own("intake-tls"), &["tls=on"]);
    let secured = |password: &str| {
        let mut connection = Connection::to(service.value("TLS_URL"))
            .with("security.protocol", "SASL_SSL")
            .with("ssl.ca.location", service.value("CA"))
            .with("sasl.mechanism", service.value("SASL_MECHANISM"))
            .with("sasl.username", service.value("SASL_USER"));
        connection.resolve("sasl.password", password.to_owned().into());
        connection
    };
    let bed = Bed::on(secured(service.value("SASL_PASSWORD")), "secured", 1).await;
    let intake = bed.start();
    bed.send_many(3).await;
    bed.until_recorded(3).await;
    intake.drain().await;
    // The password counts: with another one nothing is sent.
    let event = clawback::kafka::CloudEvent::from_json(bed.event().to_string().as_bytes());
    let wrong = secured("wrong");
    let events = [(b"k".to_vec(), event.expect("a CloudEvent"))];
    let refused = tokio::time::timeout(
        Duration::from_secs(30),
        clawback::publish::submit(
            &wrong,
            &bed.topic,
            &events,
            Mode::Structured,
            Arc::new(Wall),
        ),
    );
    assert!(refused.await.expect("an answer").is_err());
}
