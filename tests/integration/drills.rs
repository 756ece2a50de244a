//! Drills through the built binary on a real SCIM server: well, failing, the gate and the override.
//!
//! Owns the operators' part and what a worker makes of it. What a drill asks of its passes is tested in
//! `domain`, its fault in the engine's tests.

use serde_json::Value;

use crate::house::{House, Plan, Told};
use crate::parts::until;

/// The last of those who stay: nobody's departure, and no badge.
const CANARY: usize = 3;

fn done(told: &Told) {
    assert_eq!(told.code, 0, "{} {}", told.data, told.words);
}

fn says(house: &House, words: &[&str], who: &str) -> Told {
    let signed = ["--as", who, "--reason", "its owner cannot make a canary"];
    house.cli(&[words, &signed[..]].concat(), "")
}

fn open_codes(house: &House) -> Vec<(String, String)> {
    let told = house.cli(&["tasks", "list"], "");
    done(&told);
    let text = |task: &Value, key: &str| task[key].as_str().unwrap_or_default().to_owned();
    let tasks = told.data.as_array().expect("a list").iter();
    let mut codes: Vec<_> = tasks
        .map(|task| (text(task, "connector"), text(task, "code")))
        .collect();
    codes.sort();
    codes
}

fn approval(house: &House, connector: &str) -> String {
    let told = house.cli(&["connectors", "list"], "");
    done(&told);
    let all = told.data.as_array().expect("a list").clone();
    let one = all.iter().find(|one| one["name"] == connector);
    let words = one.expect("is listed")["approval"].as_str();
    words.expect("words").to_owned()
}

/// The worker has begun the drill by itself; waits for its end, and returns the manifest's digest.
async fn passes_by_itself(house: &House) -> String {
    let told = house.cli(&["drill", "crm", "--as", "ada"], "");
    done(&told);
    assert_eq!(told.data["passes"], serde_json::json!(["failing", "well"]));
    let manifest = told.data["manifest"].as_str().expect("named").to_owned();
    let drills = house.cli(&["drill", "list", "crm"], "");
    assert_eq!(
        drills.data.as_array().map(Vec::len),
        Some(1),
        "{}",
        drills.data
    );
    let marked = "tasks WHERE body::json ->> 'drill' = 'true'";
    assert_eq!(house.count(marked).await, 1);
    assert_eq!(
        house.count(&format!("{marked} AND state = 'closed'")).await,
        1
    );
    let touched = house
        .count("journal j JOIN runs r ON r.id = j.run_id WHERE r.kind = 'removal' AND r.case_id IN (SELECT id FROM cases WHERE hr_case LIKE 'drill/%/failing')")
        .await;
    assert_eq!(touched, 0, "the failing pass got nowhere near an account");
    manifest
}

/// What has no canary takes two people.
fn two_people_do_without(house: &House) {
    let told = house.cli(&["drill", "portal", "--as", "ada"], "");
    assert_eq!(told.code, 5);
    assert!(told.words.contains("CB-DRILL-3"), "{}", told.words);
    for name in ["shop", "portal", "badges"] {
        done(&says(house, &["drill", "override", name], "paula"));
        let told = says(house, &["drill", "approve", name], "Paula");
        assert!(told.words.contains("CB-APPROVAL-2"), "{}", told.words);
        done(&says(house, &["drill", "approve", name], "axel"));
    }
}

/// The log says how it was tested; and a drill without its canary says so, and is health.
async fn is_told(house: &House, manifest: &str) {
    let told = house.cli(&["connectors", "history", "crm"], "");
    done(&told);
    assert_eq!(told.data["drills"][0]["manifest"], manifest);
    let told = house.cli(&["connectors", "history", "shop"], "");
    assert_eq!(
        told.data["overrides"]["bindings"].as_array().map(Vec::len),
        Some(1)
    );
    let told = house.cli(&["drill", "crm", "--as", "ada"], "");
    assert_eq!(told.code, 1, "{} {}", told.data, told.words);
    assert!(told.data["findings"][0].to_string().contains("no canary"));
    until("its owner is asked for one", async || {
        open_codes(house).contains(&("crm".to_owned(), "CB-HEALTH-4".to_owned()))
    })
    .await;
    assert_eq!(approval(house, "crm"), "in force", "it serves on");
}

#[tokio::test(flavor = "multi_thread")]
async fn c8_a_drill_opens_the_gate_and_two_people_may_do_without() {
    let house = House::build(Plan {
        name: "drills",
        leavers: 2,
        drilled: true,
        settings: "sweep_seconds = 1\nsurvey_milliseconds = 200",
        ..Plan::default()
    })
    .await;
    let canary = format!(
        "[drill]\nmade_by = \"the tester\"\n[drill.canary]\nemployee_number = \"E{CANARY}\"\n[scim]"
    );
    house.rewrite("crm", "[scim]", &canary);
    house.two_people();
    let mut worker = house.worker("a");
    house.ready(&mut worker).await;

    // Nothing in force has passed a drill: what an event owes goes to people, and says why.
    house.submit(0..1);
    until("what is owed is refused for want of a drill", async || {
        let refused = "tasks WHERE state <> 'closed' AND body::json ->> 'code' = 'CB-GUARD-15'";
        house.count(refused).await >= 3
    })
    .await;
    assert_eq!(approval(&house, "portal"), "in force, not drilled");
    assert_eq!(house.portal_says(0).await, 200, "nothing was removed");

    let manifest = passes_by_itself(&house).await;
    until("the passed connector serves", async || {
        approval(&house, "crm") == "in force"
    })
    .await;
    until("what it was refused is done without waiting", async || {
        open_codes(&house).iter().all(|(name, _)| name != "crm")
    })
    .await;

    two_people_do_without(&house);
    until("the departure is done", async || {
        house
            .count("cases WHERE ended = 'verified' AND hr_case = 'hr-0'")
            .await
            == 1
    })
    .await;
    assert_eq!(house.portal_says(0).await, 401);

    is_told(&house, &manifest).await;
}
