//! People and the machine, through the built binary on real parts: two people for what is privileged,
//! many tasks at once, and pauses that bind at every worker.
//!
//! Owns the operators' part and what workers make of it. The rules of tasks are tested in `engine`,
//! what the database refuses in the store's conformance suite.

use serde_json::Value;

use crate::house::{House, Plan, Told, Worker};
use crate::parts::until;

async fn house(name: &'static str, leavers: usize, badges: usize) -> (House, Worker) {
    house_with(name, leavers, badges, "sweep_seconds = 1").await
}

async fn house_with(
    name: &'static str,
    leavers: usize,
    badges: usize,
    settings: &'static str,
) -> (House, Worker) {
    let house = House::build(Plan {
        name,
        leavers,
        badges,
        settings,
        ..Plan::default()
    })
    .await;
    let mut worker = house.worker("a");
    house.ready(&mut worker).await;
    (house, worker)
}

fn done(told: &Told) {
    assert_eq!(told.code, 0, "{} {}", told.data, told.words);
}

fn tasks(house: &House) -> Vec<Value> {
    let told = house.cli(&["tasks", "list"], "");
    done(&told);
    told.data.as_array().expect("a list").clone()
}

fn id(task: &Value) -> &str {
    task["id"].as_str().expect("an id")
}

fn pause(house: &House, verb: &str, connector: &[&str]) -> Told {
    let words = [
        "--reason",
        "it misbehaves",
        "--as",
        "ann",
        "--wait-seconds",
        "60",
    ];
    house.cli(&[&[verb], connector, &words].concat(), "")
}

async fn until_metric(house: &House, worker: &Worker, name: &str, value: f64) {
    until(&format!("{name} is {value}"), async || {
        (house.metric(worker, name).await - value).abs() < 0.1
    })
    .await;
}

/// Everything that the leaver has, but what is paused, has gone.
async fn only_the_crm_is_owed(house: &House, case: &str) {
    until("only the paused target is left", async || {
        house
            .count("runs WHERE ended IS NULL AND kind <> 'case'")
            .await
            == 1
            && house.in_shop("staff_role WHERE staff = 0").await == 0
            && house.portal_says(0).await == 401
    })
    .await;
    // It is there, owed and told.
    house.crm_id(0).await;
    let told = house.cli(&["cases", "show", case], "");
    done(&told);
    let words = told.data["paused"][0]["paused"].as_str().expect("is told");
    assert_eq!(words, "paused by ann: it misbehaves");
    assert_eq!(told.data["report"]["ended"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_a_pause_binds_at_every_worker_lasts_over_restarts_and_leaves_the_work_owed() {
    let (house, first) = house("pausing", 1, 0).await;
    let mut second = house.worker("b");
    house.ready(&mut second).await;
    // It takes a connector that there is, and a reason.
    let told = pause(&house, "pause", &["crn"]);
    assert_eq!(told.code, 4, "{}", told.words);
    assert!(told.words.contains("CB-COMMAND-7"), "{}", told.words);
    let told = pause(&house, "resume", &["crm"]);
    assert_eq!(told.code, 5, "{}", told.words);
    assert!(told.words.contains("CB-PAUSE-1"), "{}", told.words);

    // When the command ends, both workers keep to it.
    done(&pause(&house, "pause", &["crm"]));
    assert_eq!(
        house
            .count("workers WHERE pauses_known >= (SELECT max(number) FROM pauses)")
            .await,
        2
    );
    house.submit(0..1);
    until("the case is open", async || house.count("cases").await == 1).await;
    let cases = house.cli(&["cases", "list"], "");
    let case = cases.data[0]["row"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    only_the_crm_is_owed(&house, &case).await;
    let listed = house.cli(&["connectors", "list"], "");
    let all = listed.data.as_array().expect("a list").clone();
    let words = |name: &str| {
        all.iter()
            .find(|one| one["name"] == name)
            .map(|one| one["paused"].clone())
    };
    assert_eq!(words("crm"), Some("paused by ann: it misbehaves".into()));
    assert_eq!(words("shop"), Some("".into()));
    until_metric(&house, &first, "clawback_connector_paused", 1.0).await;
    until_metric(&house, &first, "clawback_connector_paused_runs", 1.0).await;

    // Nobody who is started anew forgets it.
    drop(first);
    drop(second);
    let mut third = house.worker("c");
    house.ready(&mut third).await;
    until_metric(&house, &third, "clawback_connector_paused", 1.0).await;
    only_the_crm_is_owed(&house, &case).await;
    assert_eq!(
        house
            .count("journal j JOIN runs r ON r.id = j.run_id WHERE r.connector = 'crm'")
            .await,
        0
    );

    // Resumed, what was owed goes on at once.
    done(&pause(&house, "resume", &["crm"]));
    house.until_at_rest(1, 0).await;
    house.leavers_are_gone_and_nobody_else().await;
    assert_eq!(house.count("cases WHERE ended = 'verified'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_everything_is_paused_and_resumed() {
    let (house, _worker) = house("pausing_all", 1, 0).await;
    done(&pause(&house, "pause", &[]));
    house.submit(0..1);
    until("every target is owed", async || {
        house
            .count("runs WHERE kind = 'discovery' AND stage = 'due' AND owner IS NULL")
            .await
            == 4
    })
    .await;
    // A pause of its own ends by itself, and does not end this one.
    done(&pause(&house, "pause", &["shop"]));
    done(&pause(&house, "resume", &["shop"]));
    let told = pause(&house, "resume", &["shop"]);
    assert!(told.words.contains("all are paused"), "{}", told.words);
    house.everybody_is_there().await;
    done(&pause(&house, "resume", &[]));
    house.until_at_rest(1, 0).await;
    house.leavers_are_gone_and_nobody_else().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f3_a_privileged_attestation_takes_a_second_person_and_many_tasks_a_reason() {
    let (house, _worker) = house("attesting", 3, 3).await;
    // Nobody can take badges back by machine, and nobody can read them any more.
    house.rewrite(
        "badges",
        "after_removal",
        "privileged = true\nafter_removal",
    );
    until("the narrower manifest binds", async || {
        house.count("bindings WHERE name = 'badges'").await == 2
    })
    .await;
    house.submit(0..3);
    house.until_at_rest(3, 3).await;
    let list = std::fs::read_to_string(house.badges()).expect("readable");
    std::fs::remove_file(house.badges()).expect("removed");
    let all = tasks(&house);
    let first = id(&all[0]);
    let step = all[0]["steps"][0].as_str().expect("a step");
    assert!(!step.contains('{'), "{step}");

    // Naming somebody else is no word of theirs; the flag is gone.
    let named = ["--attest", "gone", "--attested-by", "bob"];
    let told = house.cli(
        &[&["tasks", "close", first, "--note", "done"], &named[..]].concat(),
        "",
    );
    assert_eq!(told.code, 2, "{}", told.words);
    let told = close(&house, &[first]);
    done(&told);
    assert_eq!(told.data["state"]["state"], "awaiting_second_person");
    let told = confirm(&house, "Ann", first, &[]);
    assert_eq!(told.code, 5);
    assert!(told.words.contains("CB-COMMAND-5"), "{}", told.words);
    done(&confirm(&house, "bob", first, &[]));
    assert_eq!(house.count(ATTESTED).await, 1);
    let signed = "tasks WHERE attested_by = 'ann' AND confirmed_by = 'bob' AND how = 'attested'";
    assert_eq!(house.count(signed).await, 1);
    the_rest_at_once(&house).await;
    // The reader is repaired, and the last search of each case sees that nobody is left.
    let left = list.replace("p0\n", "").replace("p1\n", "");
    std::fs::write(house.badges(), left.replace("p2\n", "")).expect("written");
    until("the machine has looked again", async || {
        for task in &tasks(&house) {
            house.cli(&["tasks", "retry", id(task), "--as", "ann"], "");
        }
        house.count("cases WHERE ended IS NULL").await == 0
    })
    .await;
    house.until_at_rest(3, 0).await;
    // What was said stays said: no case reads as verified for it.
    assert_eq!(house.count("cases WHERE ended = 'attested'").await, 3);
    assert_eq!(house.count(ATTESTED).await, 3);
}

const ATTESTED: &str = "runs WHERE kind = 'removal' AND ended = 'attested'";

/// Not without a reason, and each task says so for good.
async fn the_rest_at_once(house: &House) {
    let told = close(house, &["--all-of", "badges"]);
    assert_eq!(told.code, 2, "{}", told.words);
    let why = "the reader is broken";
    let told = close(house, &["--all-of", "badges", "--reason", why]);
    assert_eq!(told.code, 2, "nobody was asked: {}", told.words);
    let told = close(house, &["--all-of", "badges", "--reason", why, "--yes"]);
    done(&told);
    assert_eq!(told.data["bulk"]["of"], 2, "{}", told.data);
    let waiting = house.cli(&["tasks", "list", "--state", "awaiting_second_person"], "");
    let waiting = waiting.data.as_array().expect("a list").clone();
    assert_eq!(waiting.len(), 2);
    for task in &waiting {
        assert_eq!(task["bulk"]["reason"], why);
        let shown = house.cli(&["tasks", "show", id(task)], "");
        let read = shown.data["meant"].as_str().expect("a digest");
        let other = confirm(house, "bob", id(task), &["--meant", &"0".repeat(64)]);
        assert_eq!(other.code, 5, "{}", other.words);
        done(&confirm(house, "bob", id(task), &["--meant", read]));
    }
    until("all are attested", async || {
        house.count(ATTESTED).await == 3
    })
    .await;
    the_report_tells_it(house, why);
}

/// The auditors' table says who signed, and what was closed at once and why.
fn the_report_tells_it(house: &House, why: &str) {
    let period = ["--from", "2000-01-01", "--to", "2100-01-01"];
    let told = house.cli(&[&["audit", "report"], &period[..]].concat(), "");
    done(&told);
    let rows = told.data.as_array().expect("a list").clone();
    let attested: Vec<_> = rows
        .iter()
        .filter(|row| row["proof"] == "attested")
        .collect();
    assert_eq!(attested.len(), 3, "{rows:?}");
    for row in &attested {
        assert_eq!(row["task_closed"], "attested by ann and bob", "{row}");
    }
    let words = format!("one of 2 at once: {why}");
    let at_once = attested.iter().filter(|row| row["closed_at_once"] == words);
    assert_eq!(at_once.count(), 2, "{attested:?}");
}

/// Ann says that it is done, and attests.
fn close(house: &House, arguments: &[&str]) -> Told {
    let attest = ["--note", "collected", "--attest", "I saw it gone"];
    let words = ["--wait-seconds", "60", "--as", "ann"];
    house.cli(
        &[&["tasks", "close"], arguments, &attest[..], &words].concat(),
        "",
    )
}

fn confirm(house: &House, who: &str, task: &str, more: &[&str]) -> Told {
    let words = ["--attest", "so did I", "--as", who, "--wait-seconds", "60"];
    house.cli(
        &[&["tasks", "confirm", task], &words[..], more].concat(),
        "",
    )
}

fn approvals(house: &House, who: &str, arguments: &[&str]) -> Told {
    let words = ["--reason", "the manager confirmed it", "--as", who];
    house.cli(&[&["approvals"], arguments, &words[..]].concat(), "")
}

/// One person proposes what holds this task, and cannot approve it; another does.
fn two_people_let_go_on(house: &House, task: &str) {
    let told = approvals(house, "ann", &["propose", task]);
    done(&told);
    let matter = &told.data["matter"];
    let (kind, name) = (matter["kind"].as_str(), matter["name"].as_str());
    let (kind, name) = (kind.expect("a kind"), name.expect("a name"));
    let listed = house.cli(&["approvals", "list"], "");
    assert_eq!(listed.data[0]["matter"]["name"], name, "{}", listed.data);
    let shown = house.cli(&["approvals", "show", kind, name], "");
    done(&shown);
    let digest = shown.data["open"]["content"]["digest"].as_str();
    let digest = digest.expect("a digest");
    assert!(
        shown.data["diff"]
            .as_str()
            .expect("words")
            .contains("account p")
    );
    let told = approvals(house, "Ann", &["approve", kind, name, "--digest", digest]);
    assert_eq!(told.code, 5);
    assert!(told.words.contains("CB-APPROVAL-2"), "{}", told.words);
    let told = approvals(
        house,
        "bob",
        &["approve", kind, name, "--digest", "0123456789"],
    );
    assert!(told.words.contains("CB-APPROVAL-3"), "{}", told.words);
    let told = approvals(
        house,
        "bob",
        &["approve", kind, name, "--digest", &digest[..12]],
    );
    done(&told);
    let listed = house.cli(&["approvals", "list"], "");
    assert_eq!(listed.data.as_array().map(Vec::len), Some(0));
}

async fn until_held(house: &House, code: &str, count: i64) {
    let held = format!("tasks WHERE state = 'open' AND body LIKE '%{code}%'");
    until("the surplus is held", async || {
        house.count(&held).await == count
            && house
                .count("runs WHERE ended IS NULL AND stage = 'due'")
                .await
                == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_a_protected_subject_goes_only_when_two_people_approve() {
    let settings = "sweep_seconds = 1\n[protected]\nsubjects = [\"acme/E0\"]";
    let (house, _worker) = house_with("protecting", 1, 0, settings).await;
    house.submit(0..1);
    until_held(&house, "CB-PROTECT-1", 3).await;
    house.everybody_is_there().await;
    let held = tasks(&house);
    two_people_let_go_on(&house, id(&held[0]));
    // What is held for nothing can be proposed no more.
    house.until_at_rest(1, 0).await;
    house.leavers_are_gone_and_nobody_else().await;
    let told = approvals(&house, "ann", &["propose", id(&held[0])]);
    assert!(told.words.contains("CB-APPROVAL-8"), "{}", told.words);
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_a_surplus_of_removals_is_held_until_two_people_lift_the_brake() {
    let settings = "sweep_seconds = 1\n[[brakes.writes]]\nconnector = \"crm\"\nat_most = 1";
    let (house, _worker) = house_with("braking", 3, 0, settings).await;
    let mut second = house.worker("b");
    house.ready(&mut second).await;
    house.submit(0..3);
    until("every case is open", async || {
        house.count("cases").await == 3
    })
    .await;
    until_held(&house, "CB-BRAKE-3", 2).await;
    assert_eq!(
        house
            .count("runs WHERE kind = 'removal' AND connector = 'crm' AND ended = 'verified'")
            .await,
        1
    );
    assert_eq!(
        house.in_shop("staff_role WHERE staff < 3").await,
        0,
        "only the crm is held"
    );
    two_people_let_go_on(&house, id(&tasks(&house)[0]));
    house.until_at_rest(3, 0).await;
    house.leavers_are_gone_and_nobody_else().await;
}
