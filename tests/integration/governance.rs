//! Two people for every manifest, through the built binary on real parts: what waits, what binds at
//! once, what stops, and that none of it needs a restart.
//!
//! Owns the operators' part and what workers make of it. That the database refuses what the program
//! must not ask for is in the store's conformance suite; what permits more is in `connectors`.

use serde_json::Value;

use crate::house::{House, Plan, Told, Worker};
use crate::parts::until;

const WAITING: &str = "clawback_connector_manifest_waiting";
const BARRED: &str = "clawback_connector_barred";

async fn governed(name: &'static str, leavers: usize) -> (House, Worker) {
    let house = House::build(Plan {
        name,
        leavers,
        ..Plan::default()
    })
    .await;
    let mut worker = house.worker("a");
    house.ready(&mut worker).await;
    (house, worker)
}

fn connectors(house: &House, arguments: &[&str]) -> Told {
    let arguments: Vec<_> = ["connectors"].iter().chain(arguments).copied().collect();
    house.cli(&arguments, "")
}

fn says(house: &House, verb: &str, connector: &str, who: &str) -> Told {
    let words = ["--as", who, "--reason", "the owner asked for it"];
    connectors(house, &[&[verb, connector], &words[..]].concat())
}

fn done(told: &Told) {
    assert_eq!(told.code, 0, "{} {}", told.data, told.words);
}

fn approval(house: &House, connector: &str) -> String {
    let told = connectors(house, &["list"]);
    done(&told);
    let all = told.data.as_array().expect("a list").clone();
    let one = all.iter().find(|one| one["name"] == connector);
    let words = one.expect("is listed")["approval"].as_str();
    words.expect("words").to_owned()
}

async fn until_metric(house: &House, worker: &Worker, name: &str, value: f64) {
    until(&format!("{name} is {value}"), async || {
        (house.metric(worker, name).await - value).abs() < 0.1
    })
    .await;
}

/// The digests under which changes of this connector were let through.
async fn digests(house: &House, connector: &str) -> Vec<String> {
    let text = format!(
        "SELECT DISTINCT j.detail::json ->> 'manifest' FROM journal j JOIN runs r ON r.id = j.run_id \
         WHERE r.connector = '{connector}' AND r.kind = 'removal' AND j.outcome = 'done' \
         AND j.detail IS NOT NULL AND j.detail::json ->> 'manifest' IS NOT NULL"
    );
    house.column(&text).await
}

fn the_task(house: &House) -> Value {
    let told = house.cli(&["tasks", "list"], "");
    let tasks = told.data.as_array().expect("a list").clone();
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    tasks[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn c4_a_wider_manifest_waits_until_another_person_approves_it() {
    let (house, mut worker) = governed("wider", 2).await;
    let widen = ("\"roles\", \"*\"]", "\"roles\", \"displayName\", \"*\"]");
    house.rewrite("crm", widen.0, widen.1);
    until_metric(&house, &worker, WAITING, 1.0).await;

    // The worker goes on with what was approved, is ready, and says what waits.
    assert_eq!(approval(&house, "crm"), "waiting for approval");
    let ready = house.check(&mut worker, "/readyz").await;
    assert_eq!(ready.map(|(status, _)| status), Some(200));
    let told = connectors(&house, &["diff", "crm"]);
    done(&told);
    assert_eq!(told.data[0]["effect"], "widening", "{}", told.data);
    assert_eq!(told.data[0]["differences"][0]["becomes"], "displayName");
    house.submit(0..1);
    house.until_at_rest(1, 0).await;
    let approved = told.data[0]["over"].as_str().expect("in force").to_owned();
    assert_eq!(digests(&house, "crm").await, [approved.as_str()]);

    // Nor does the examination change anything by the file alone.
    let bystander = house.crm_id(2).await;
    let order = ["test", "crm", "--account", bystander.as_str(), "--change"];
    let told = connectors(&house, &order);
    assert_eq!(told.code, 5, "{}", told.words);
    assert!(told.words.contains("CB-GUARD-14"), "{}", told.words);
    assert_eq!(house.crm_id(2).await, bystander, "the user is still there");

    // Nobody approves alone, nor what is no longer what was proposed.
    let told = says(&house, "approve", "crm", "axel");
    assert_eq!(told.code, 5, "nothing is proposed: {}", told.words);
    done(&says(&house, "propose", "crm", "paula"));
    let told = says(&house, "approve", "crm", "Paula");
    assert_eq!(told.code, 5);
    assert!(told.words.contains("CB-APPROVAL-2"), "{}", told.words);
    house.rewrite("crm", "\"displayName\"", "\"nickName\"");
    let told = says(&house, "approve", "crm", "axel");
    assert_eq!(told.code, 5);
    assert!(told.words.contains("CB-APPROVAL-3"), "{}", told.words);
    assert_eq!(house.count("bindings WHERE name = 'crm'").await, 1);
    house.rewrite("crm", "\"nickName\"", "\"displayName\"");

    // Approved, it binds in the running worker, and each change says so.
    done(&says(&house, "approve", "crm", "axel"));
    until_metric(&house, &worker, WAITING, 0.0).await;
    assert_eq!(approval(&house, "crm"), "in force");
    house.submit(1..2);
    house.until_at_rest(2, 0).await;
    house.leavers_are_gone_and_nobody_else().await;
    assert_eq!(digests(&house, "crm").await.len(), 2);
    let told = connectors(&house, &["history", "crm"]);
    done(&told);
    assert_eq!(told.data["bindings"].as_array().map(Vec::len), Some(2));
    let case = house.cli(&["cases", "list"], "").data[0]["row"]["id"].clone();
    let told = house.cli(&["cases", "show", case.as_str().expect("an id")], "");
    assert!(
        told.data.to_string().contains("\"manifest\""),
        "{}",
        told.data
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn c4_a_narrower_manifest_binds_at_once_and_the_way_back_waits() {
    let (house, worker) = governed("narrower", 1).await;
    let all = "operations = [\"list\", \"read\", \"delete\"]\nwrites = [\"*\"]";
    let less = "operations = [\"list\", \"read\"]\nwrites = []";
    house.rewrite("portal", all, less);
    until("the narrower manifest binds", async || {
        house.count("bindings WHERE name = 'portal'").await == 2
    })
    .await;
    let by: Vec<String> = house
        .column("SELECT bound_by FROM bindings WHERE name = 'portal' AND number = 2")
        .await;
    assert_eq!(by, ["clawback"]);

    // The way back is a widening: it waits, and nothing is deleted meanwhile.
    house.rewrite("portal", less, all);
    until_metric(&house, &worker, WAITING, 1.0).await;
    house.submit(0..1);
    house.until_at_rest(1, 1).await;
    assert_eq!(the_task(&house)["connector"], "portal");
    assert_eq!(house.portal_says(0).await, 200, "the entry is still there");
    done(&says(&house, "propose", "portal", "paula"));
    done(&says(&house, "approve", "portal", "axel"));
    until_metric(&house, &worker, WAITING, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c4_an_approval_that_is_over_stops_the_connector_and_a_person_gets_its_work() {
    let (house, worker) = governed("expired", 2).await;
    // Time passes: the database itself lets nobody change what binds.
    let passes = "ALTER TABLE bindings DISABLE TRIGGER USER; \
                  UPDATE bindings SET until_us = 1 WHERE name = 'portal'; \
                  ALTER TABLE bindings ENABLE TRIGGER USER";
    house.in_own_database(passes).await;
    until_metric(&house, &worker, BARRED, 1.0).await;
    assert_eq!(approval(&house, "portal"), "approval expired");
    house.submit(0..1);
    house.until_at_rest(1, 1).await;
    let task = the_task(&house);
    assert_eq!(task["connector"], "portal");
    assert_eq!(task["code"], "CB-GUARD-13");
    assert_eq!(house.portal_says(0).await, 200);

    // Reviewed and approved anew, it serves without a restart.
    house.rewrite("portal", "2099-03-31", "2099-06-30");
    done(&says(&house, "propose", "portal", "paula"));
    done(&says(&house, "approve", "portal", "axel"));
    until_metric(&house, &worker, BARRED, 0.0).await;
    house.submit(1..2);
    // What it was refused meanwhile is taken up as well, without waiting for its next try.
    house.until_at_rest(2, 0).await;
    assert_eq!(house.portal_says(0).await, 401);
    assert_eq!(house.portal_says(1).await, 401);
    assert_eq!(house.count("cases WHERE ended = 'verified'").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn c4_a_connector_that_nobody_approved_is_owed_and_serves_nothing() {
    let (house, worker) = governed("newcomer", 2).await;
    let folder = house.folder.path().join("connectors");
    let text = std::fs::read_to_string(folder.join("badges.toml")).expect("readable");
    let text = text.replace("name = \"badges\"", "name = \"gates\"");
    std::fs::write(folder.join("gates.toml"), text).expect("written");
    until_metric(&house, &worker, BARRED, 1.0).await;
    assert_eq!(approval(&house, "gates"), "not approved");
    house.submit(0..1);
    house.until_at_rest(1, 1).await;
    let task = the_task(&house);
    assert_eq!(
        (&task["connector"], &task["code"]),
        (&"gates".into(), &"CB-GUARD-12".into())
    );

    house.two_people();
    until_metric(&house, &worker, BARRED, 0.0).await;
    house.submit(1..2);
    // What it was refused meanwhile is taken up as well, without waiting for its next try.
    house.until_at_rest(2, 0).await;
    assert_eq!(house.count("cases WHERE ended = 'verified'").await, 2);

    // A file that goes leaves no target out; its retirement takes two people.
    std::fs::remove_file(folder.join("gates.toml")).expect("removed");
    until_metric(&house, &worker, WAITING, 1.0).await;
    assert_eq!(approval(&house, "gates"), "in force, its file is missing");
    done(&says(&house, "propose", "gates", "paula"));
    done(&says(&house, "approve", "gates", "axel"));
    until_metric(&house, &worker, WAITING, 0.0).await;
    let told = connectors(&house, &["list"]);
    assert!(!told.data.to_string().contains("gates"), "{}", told.data);
}
