//! Seeded histories with faults, crashes and people, judged against ground truth.
//!
//! Owns the suite: a thousand histories on SQLite in memory with a virtual clock, the proof that
//! every fault fired, and the proof that the oracle notices a planted lie. A seed reproduces a
//! failure exactly: `CLAWBACK_SEED=17 cargo test --test simulation one_seed`.

mod dice;
mod history;
mod oracle;
mod target;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clawback::definitions;
use clawback::domain::time::Clock as _;

use history::{History, Plan};
use target::Fault;

const HISTORIES: u64 = 1000;

async fn play(plan: Plan) -> (History, Vec<String>) {
    let mut history = History::new(plan).await;
    history.play().await;
    let violations = oracle::violations(&history).await;
    (history, violations)
}

/// P: every case ends in proof or in a person's hands, whatever breaks.
#[test]
fn p_histories_end_in_proof_or_in_a_persons_hands() {
    let share = std::thread::available_parallelism().map_or(2, std::num::NonZero::get) as u64;
    let threads: Vec<_> = (0..share)
        .map(|part| {
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                let mut fired = BTreeMap::<Fault, u64>::new();
                let mut refused = 0;
                let mut broken = Vec::new();
                for seed in (part..HISTORIES).step_by(share as usize) {
                    let plan = Plan {
                        seed,
                        ..Plan::default()
                    };
                    let (history, violations) = runtime.block_on(play(plan));
                    for target in history.targets.values() {
                        for (fault, count) in &target.truth().fired {
                            *fired.entry(*fault).or_default() += count;
                        }
                    }
                    refused += history.refused_late_writes;
                    broken.extend(violations.into_iter().map(|v| format!("seed {seed}: {v}")));
                }
                (fired, refused, broken)
            })
        })
        .collect();
    let mut fired = BTreeMap::<Fault, u64>::new();
    let (mut refused, mut broken) = (0, Vec::new());
    for thread in threads {
        let (its_fired, its_refused, its_broken) = thread.join().expect("a history panicked");
        for (fault, count) in its_fired {
            *fired.entry(fault).or_default() += count;
        }
        refused += its_refused;
        broken.extend(its_broken);
    }
    assert!(
        broken.is_empty(),
        "{} violations:\n{}",
        broken.len(),
        broken.join("\n")
    );
    for fault in [
        Fault::RequestLost,
        Fault::AnswerLost,
        Fault::NoEffect,
        Fault::HalfPage,
        Fault::StaleReplica,
        Fault::TooMany,
        Fault::RenamedField,
        Fault::ExpiredSecret,
        Fault::Down,
        Fault::HiddenNotFound,
        Fault::Resurrected,
        Fault::ReturnedAfterProof,
        Fault::CachedSession,
        Fault::ProbeUntold,
    ] {
        assert!(
            fired.get(&fault).is_some_and(|count| *count > 0),
            "{fault:?} never fired"
        );
    }
    assert!(refused > 0, "no buried worker ever tried to write");
}

/// The oracle is itself tested: a verifier that is lied to must be noticed.
#[tokio::test]
async fn the_oracle_notices_a_planted_lie() {
    let mut noticed = 0;
    for seed in 0..10 {
        let plan = Plan {
            seed,
            planted_lie: true,
            ..Plan::default()
        };
        let (_, violations) = play(plan).await;
        noticed += u64::from(
            violations
                .iter()
                .any(|v| v.contains("nobody owes it") || v.contains("verified and present")),
        );
    }
    assert!(noticed > 0, "the oracle believed every lie");
}

/// E2: and so must a session that outlives the proof, where the probe is not told of it.
#[tokio::test]
async fn the_oracle_notices_a_session_that_outlives_the_proof() {
    let mut noticed = 0;
    for seed in 0..60 {
        let plan = Plan {
            seed,
            hidden_sessions: true,
            ..Plan::default()
        };
        let (_, violations) = play(plan).await;
        let told = violations
            .iter()
            .any(|v| v.contains("while a session works"));
        noticed += u64::from(told);
    }
    assert!(noticed > 0, "no hidden session was noticed");
}

/// Replays one history; all of them by default agree that the same seed gives the same story.
#[tokio::test]
async fn one_seed_tells_one_story() {
    let seed = option_env!("CLAWBACK_SEED")
        .and_then(|text| text.parse().ok())
        .unwrap_or(7);
    let plan = Plan {
        seed,
        ..Plan::default()
    };
    let (first, violations) = play(plan).await;
    let (second, _) = play(plan).await;
    assert_eq!(violations, Vec::<String>::new());
    assert_eq!(
        first
            .store
            .counts(jiff::Timestamp::UNIX_EPOCH)
            .await
            .expect("counted"),
        second
            .store
            .counts(jiff::Timestamp::UNIX_EPOCH)
            .await
            .expect("counted")
    );
}

/// B2: a worker that lives does not sit on a run that it cannot drive, and comes back to it later.
#[tokio::test]
async fn b2_a_run_that_cannot_go_on_is_let_go_and_tried_again() {
    let donor = History::new(Plan::default()).await;
    let run = donor.rotation().await;
    let history = History::new(Plan::default()).await;
    let known = history.store.definition(&run.definition).await;
    let mut definition = known.expect("read").expect("kept at the start");
    let workflow = definitions::restore(&definition.json, &run.definition);
    let mut other = workflow.expect("as it was kept");
    other.version += 1;
    other.digest = definitions::digest(&other);
    definition.digest = other.digest.clone();
    definition.json = definitions::canonical(&other);
    let mut stranger = run.clone();
    stranger.definition = definition.digest.clone();
    let now = history.clock.now();
    assert!(history.store.start(&stranger, now).await.expect("started"));

    let stop = tokio_util::sync::CancellationToken::new();
    let mut worker = tokio::task::JoinSet::new();
    worker.spawn(history.engine.clone().run(Arc::default(), stop.clone()));
    until(async || {
        let page = clawback::telemetry::metrics::page();
        let failed = page
            .lines()
            .find_map(|line| line.strip_prefix("clawback_runs_failed_total "));
        failed.is_some_and(|count| count != "0")
    })
    .await;
    let saved = history.store.save_definition(&definition, now).await;
    saved.expect("kept");
    until(async || {
        history.clock.advance_ms(100);
        let found = history.store.run(run.id).await.expect("read");
        found.is_some_and(|(run, _)| run.step > stranger.step)
    })
    .await;
    stop.cancel();
    worker
        .join_all()
        .await
        .pop()
        .expect("one")
        .expect("drained");
}

async fn until(mut level: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !level().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.expect("it comes about");
}
