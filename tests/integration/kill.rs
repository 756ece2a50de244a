//! Workers and servers die in mid-work, on real parts; the end is the same as without.
//!
//! Owns kill -9 at random moments, a worker that was stopped past its lease, and restarts of Kafka
//! and PostgreSQL. The end is looked up at the targets themselves. Times are printed, never asserted.
#![allow(clippy::disallowed_methods)] // Moments are random and take real time.

use std::time::{Duration, Instant};

use crate::house::{House, Plan, Worker};
use crate::parts::until;

/// B2, B3: fifty kills in mid-work with two workers running; same end, one task each, no secret lost.
#[tokio::test(flavor = "multi_thread")]
async fn b2_fifty_kills_change_nothing_about_the_end() {
    const KILLS: usize = 50;
    // Only a lease that outlasts the test shows that the dead are noticed by other means.
    let house = House::build(Plan {
        name: "kill",
        leavers: 40,
        badges: 4,
        settings: "lease_seconds = 600",
        ..Plan::default()
    })
    .await;
    let mut workers = [house.worker("a"), house.worker("b")];
    for worker in &mut workers {
        house.ready(worker).await;
    }
    let (mut sent, mut takeovers) = (0, Vec::new());
    for kill in 0..KILLS {
        let owed = house.plan.leavers * (kill + 1) / KILLS;
        if owed > sent {
            house.submit(sent..owed);
            sent = owed;
        }
        if kill % 10 == 5 {
            // The answer may come after the worker that had the wish was killed.
            let rotate = "secrets rotate shop --as ada --wait-seconds 1";
            let told = house.cli(&rotate.split(' ').collect::<Vec<_>>(), "");
            // Taken, refused because one is under way, or in line for the next worker.
            assert!([0, 5, 7].contains(&told.code), "{}", told.words);
        }
        let pause = u64::from(rand::random::<u8>()) * 2;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let victim = kill % 2;
        let held = holders(&house).await;
        workers[victim].process.kill().expect("killed");
        workers[victim].process.wait().expect("gone");
        let began = Instant::now();
        workers[victim] = house.worker(&format!("{kill}"));
        until("the runs of the dead are free", async || {
            let now = holders(&house).await;
            // Of the two that held runs before, at most the survivor still does.
            now.iter().filter(|owner| held.contains(owner)).count() <= 1
        })
        .await;
        takeovers.push(began.elapsed());
        house.ready(&mut workers[victim]).await;
    }
    takeovers.sort_unstable();
    println!(
        "runs of a killed worker were free again after {:?} (median), {:?} (longest of {KILLS})",
        takeovers[KILLS / 2],
        takeovers[KILLS - 1]
    );
    the_end_is_the_same(&house).await;
}

/// As if nobody had been killed.
async fn the_end_is_the_same(house: &House) {
    house.until_at_rest(40, 4).await;
    house.leavers_are_gone_and_nobody_else().await;
    assert_eq!(house.count("events").await, 40);
    assert_eq!(house.count("tasks").await, 4, "one task each");
    let removals = "runs WHERE kind = 'removal'";
    assert_eq!(house.count(removals).await, 124);
    let verified = format!("{removals} AND ended = 'verified'");
    assert_eq!(house.count(&verified).await, 120);
    until("the rotations have ended", async || {
        house
            .count("runs WHERE kind = 'rotation' AND ended IS NULL")
            .await
            == 0
    })
    .await;
    assert!(
        house
            .count("runs WHERE kind = 'rotation' AND ended = 'rotated'")
            .await
            > 0
    );
    let told = house.cli(&["connectors", "check"], "");
    assert_eq!(
        told.code, 0,
        "a secret was lost: {} {}",
        told.data, told.words
    );
}

async fn holders(house: &House) -> Vec<uuid::Uuid> {
    house
        .column("SELECT DISTINCT owner FROM runs WHERE owner IS NOT NULL")
        .await
}

/// B3: a worker that was stopped past its lease finds itself buried and writes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn b3_a_worker_stopped_past_its_lease_writes_nothing_afterwards() {
    let house = House::build(Plan {
        name: "stop",
        leavers: 3,
        settings: "lease_seconds = 2",
        ..Plan::default()
    })
    .await;
    // Its calls hang in the target, so that it holds runs with an effect under way.
    let mut sleeper = house.worker("sleeper");
    house.ready(&mut sleeper).await;
    house.crm.ctl("pause");
    house.submit(0..3);
    until("it waits for the target", async || {
        house
            .count("runs WHERE owner IS NOT NULL AND connector = 'crm'")
            .await
            == 3
            && house
                .count("runs WHERE kind = 'removal' AND ended = 'verified'")
                .await
                >= 6
    })
    .await;
    let old = holders(&house).await;
    assert_eq!(old.len(), 1);
    signal(&sleeper, rustix::process::Signal::STOP);
    let mut other = house.worker("other");
    house.ready(&mut other).await;
    until("others have taken its runs", async || {
        let holders = holders(&house).await;
        !holders.contains(&old[0])
    })
    .await;
    house.crm.ctl("resume");
    house.until_at_rest(3, 0).await;
    house.leavers_are_gone_and_nobody_else().await;
    let state = async || {
        let journal = house.count("journal").await;
        let runs: Vec<i64> = house.column("SELECT step FROM runs ORDER BY id").await;
        (journal, runs)
    };
    let before = state().await;

    // When it wakes up with the target's answers in hand, then nothing of it is taken.
    signal(&sleeper, rustix::process::Signal::CONT);
    until("it has noticed", async || {
        let log = std::fs::read_to_string(&sleeper.log).expect("a log");
        log.contains("others took over; enlisting anew")
    })
    .await;
    house.ready(&mut sleeper).await;
    assert_eq!(state().await, before);
    assert_eq!(house.count("cases WHERE ended = 'verified'").await, 3);
}

fn signal(worker: &Worker, signal: rustix::process::Signal) {
    let pid = i32::try_from(worker.process.id()).expect("a process id");
    let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
    rustix::process::kill_process(pid, signal).expect("signalled");
}

/// B2: Kafka and PostgreSQL restarted in mid-work: nothing is lost, nothing fails.
#[tokio::test(flavor = "multi_thread")]
async fn b2_kafka_and_postgresql_restart_in_mid_work() {
    let house = House::build(Plan {
        name: "restart",
        leavers: 24,
        badges: 1,
        own_services: true,
        ..Plan::default()
    })
    .await;
    let mut workers = [house.worker("a"), house.worker("b")];
    for worker in &mut workers {
        house.ready(worker).await;
    }
    let (postgres, kafka) = (house.postgres.as_ref(), house.kafka.as_ref());
    let (postgres, kafka) = (postgres.expect("its own"), kafka.expect("its own"));
    house.submit(0..8);
    until("work is under way", async || house.count("runs").await > 8).await;
    postgres.ctl("restart");
    house.submit(8..16);
    until("work is under way", async || house.count("cases").await > 8).await;
    kafka.ctl("restart");
    postgres.ctl("kill");
    let mut late = house.worker("late");
    until("it waits for the database", async || {
        let told = house.check(&mut late, "/readyz").await;
        let store_is_away = told.is_some_and(|(status, told)| {
            status == 503 && told.contains(r#"{"ok":false,"part":"store""#)
        });
        let log = std::fs::read_to_string(&late.log).expect("a log");
        store_is_away && log.contains("the store is away, the start waits")
    })
    .await;
    let alive = house.check(&mut late, "/livez").await;
    assert_eq!(alive.expect("an answer").0, 200);
    postgres.ctl("start");
    house.ready(&mut late).await;
    house.submit(16..24);
    kafka.ctl("kill");
    kafka.ctl("start");
    house.until_at_rest(24, 1).await;
    house.leavers_are_gone_and_nobody_else().await;
    assert_eq!(house.count("events").await, 24);
    assert_eq!(house.count("tasks").await, 1);
    assert_eq!(house.count("dead_letters").await, 0);
    until("the outbox is empty", async || {
        house.count("outbox WHERE published_us IS NULL").await == 0
    })
    .await;
    for worker in &mut workers {
        house.ready(worker).await;
    }
}
