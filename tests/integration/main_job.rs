//! The main job through the built binary, on real parts: events on Kafka end in proof or with a
//! person, as the targets themselves show.
//!
//! Owns the whole road with nothing broken, and the operator's part of it. What happens when workers
//! and servers die is in `kill`.

use serde_json::Value;

use crate::house::{House, Plan, Told};

/// P: every case ends in proof, or in a person's hands, on Kafka and PostgreSQL with two workers.
#[tokio::test(flavor = "multi_thread")]
async fn p_events_on_kafka_end_in_proof_at_the_targets_or_with_a_person() {
    let house = House::build(Plan {
        name: "job",
        leavers: 6,
        badges: 1,
        ..Plan::default()
    })
    .await;
    let told = house.cli(&["check"], "");
    assert_eq!(told.code, 0, "{}", told.words);
    let told = house.cli(&["connectors", "check"], "");
    assert_eq!(told.code, 0, "{} {}", told.data, told.words);
    g3_a_plan_is_countable_and_changes_nothing(&house).await;
    let mut workers = [house.worker("a"), house.worker("b")];
    for worker in &mut workers {
        house.ready(worker).await;
    }

    // When six people leave, and the same news comes twice.
    house.submit(0..6);
    house.submit(0..3);
    house.until_at_rest(6, 1).await;

    // Then the targets themselves no longer know them, and only them.
    house.leavers_are_gone_and_nobody_else().await;
    assert_eq!(house.count("events").await, 6, "repeats change nothing");
    let verified = house
        .count("runs WHERE kind = 'removal' AND ended = 'verified'")
        .await;
    assert_eq!(verified, 18);
    assert_eq!(house.count("runs WHERE kind = 'removal'").await, 19);
    let below = "runs WHERE kind = 'removal' AND ended = 'verified' AND verdict < 5";
    assert_eq!(house.count(below).await, 0, "each was looked at twice");

    // And the badge, which no machine can take back, is with a person who has all that is needed.
    let task = the_task(&house);
    assert_eq!(task["connector"], "badges");
    assert_eq!(task["account"], "p0 (p0)");
    assert!(
        task["steps"]
            .as_array()
            .is_some_and(|steps| steps.len() == 2)
    );
    let id = task["id"].as_str().expect("an id").to_owned();
    let claimed = house.cli(&["tasks", "claim", &id, "--as", "olga"], "");
    assert_eq!(claimed.code, 0, "{}", claimed.words);

    // When the person says that it is done and it is not, then it comes back with what was found.
    let told = close(&house, &id);
    assert_eq!(told.code, 5, "{} {}", told.data, told.words);
    assert_ne!(the_task(&house)["state"], "closed");
    assert_eq!(house.count("cases WHERE ended IS NULL").await, 1);

    // When it is done, then the machine sees it and the case ends in proof.
    let list = std::fs::read_to_string(house.badges()).expect("readable");
    std::fs::write(house.badges(), list.replace("p0\n", "")).expect("written");
    let told = close(&house, &id);
    assert!([0, 7].contains(&told.code), "{} {}", told.data, told.words);
    house.until_at_rest(6, 0).await;
    assert_eq!(house.count("cases WHERE ended = 'verified'").await, 6);
    assert_eq!(house.count("tasks").await, 1);
    assert_eq!(house.count("runs WHERE owner IS NOT NULL").await, 0);

    // And it was told: status events went out, and the metrics know.
    crate::parts::until("the outbox is empty", async || {
        house.count("outbox WHERE published_us IS NULL").await == 0
    })
    .await;
    let mut ended = 0.0;
    for worker in &workers {
        ended += house.metric(worker, "clawback_cases_ended_total").await;
    }
    assert!((ended - 6.0).abs() < 0.5, "{ended} cases by the metrics");
}

/// G3: what would be sent is told operation by operation, and neither targets nor store notice.
async fn g3_a_plan_is_countable_and_changes_nothing(house: &House) {
    let told = house.plan(0..2);
    let plans = told["plans"].as_array().expect("a plan for each event");
    assert_eq!(plans.len(), 2);
    let (mut sent, mut for_person) = (0, 0);
    for plan in plans {
        let targets = plan["targets"].as_array().expect("targets");
        assert_eq!(targets.len(), 4, "each connector is asked: {plan}");
        let accounts = targets.iter().flat_map(|target| {
            assert_eq!(target["failure"], Value::Null, "{target}");
            target["accounts"].as_array().expect("accounts")
        });
        for step in accounts.flat_map(|account| account["steps"].as_array().expect("steps")) {
            match &step["fate"] {
                fate if fate == "sent" => sent += 1,
                fate if fate.get("for_person").is_some() => for_person += 1,
                fate => assert!(fate.get("not_needed").is_some(), "{fate}"),
            }
        }
    }
    assert!(sent > 10, "{told}");
    assert!(for_person > 0, "a badge is handed in: {told}");
    assert_eq!(told["operations"], sent);
    assert_eq!(told["for_person"], for_person);
    house.everybody_is_there().await;
    assert_eq!(house.count("events").await, 0);
    assert_eq!(house.count("runs").await, 0);
}

fn close(house: &House, id: &str) -> Told {
    let note = "handed in at the gate";
    let wait = ["--wait-seconds", "30"];
    let mut arguments = vec!["tasks", "close", id, "--note", note, "--as", "olga"];
    arguments.extend(wait);
    house.cli(&arguments, "")
}

fn the_task(house: &House) -> Value {
    let told = house.cli(&["tasks", "list"], "");
    let tasks = told.data.as_array().expect("a list").clone();
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    tasks[0].clone()
}
