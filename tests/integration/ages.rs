//! A secret whose time is over and that no machine can replace, through the built binary on real parts.
//!
//! Owns the operators' part of it: the task, the new value, the close. Which secrets are due, and that there is
//! one task however often it is looked for, is tested in the engine.

use crate::house::{House, Plan};
use crate::parts::until;

/// The name of the role that looks, with a password that only it and the vault know.
async fn password(house: &House, value: &str) {
    let role = format!("aging_{}_verifier", std::process::id());
    let sql = format!("ALTER ROLE {role} PASSWORD '{value}'");
    house.in_shops_database(&sql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d3_a_secret_whose_time_is_over_is_a_persons_task_and_its_replacement_is_tried() {
    let house = House::build(Plan {
        name: "aging",
        leavers: 1,
        settings: "sweep_seconds = 1",
        ..Plan::default()
    })
    .await;
    // Given a secret that its target ends by itself, and no `rotation` in the manifest.
    password(&house, "verifier-2").await;
    let set = [
        "secrets", "set", "--as", "ada", "shop", "--role", "verifier",
    ];
    let expires = ["--expires", "2026-01-01T00:00:00Z"];
    let told = house.cli(&[&set[..], &expires].concat(), "verifier-2");
    assert_eq!(told.code, 0, "{}", told.words);
    let mut worker = house.worker("a");
    house.ready(&mut worker).await;
    // Then a person is told what to do.
    until("there is a task", async || house.count("tasks").await == 1).await;
    let told = house.cli(&["tasks", "list"], "");
    let task = told.data[0].clone();
    assert_eq!(task["code"], "CB-SECRETS-28", "{task}");
    let steps = task["steps"].to_string();
    let says = "clawback secrets set shop --role verifier";
    assert!(steps.contains(says), "{steps}");
    // A word alone is not believed.
    let id = task["id"].as_str().expect("an id");
    let close = ["tasks", "close", id, "--note", "replaced", "--as", "ann"];
    let close = [&close[..], &["--wait-seconds", "60"]].concat();
    let told = house.cli(&close, "");
    assert_ne!(told.code, 0, "{}", told.data);
    assert_eq!(told.data["state"]["state"], "sent_back", "{}", told.data);
    // When it is done at the target and in the vault.
    password(&house, "verifier-3").await;
    let told = house.cli(&set, "verifier-3");
    assert_eq!(told.code, 0, "{}", told.words);
    let told = house.cli(&close, "");
    assert_eq!(told.code, 0, "{} {}", told.data, told.words);
    assert_eq!(told.data["state"]["how"], "proved", "{}", told.data);
    // Then it is over, and however often it was looked for, it was one.
    assert_eq!(house.count("runs WHERE ended = 'rotated'").await, 1);
    assert_eq!(house.count("runs WHERE kind = 'rotation'").await, 1);
    assert_eq!(house.count("tasks").await, 1);
    let told = house.cli(&["audit", "verify"], "");
    assert_eq!(told.code, 0, "{} {}", told.data, told.words);
}
