//! The end of a retired connector's own access: PostgreSQL roles, and a vault that lost its values.
//!
//! Owns the whole road by the built binary: two people, the machine's share, the tasks of a person,
//! their claims checked at the database itself. What still opens a target is asked past Clawback.

use clawback::secrets::{LocalVault, Owner, Slot};
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use crate::house::{House, Plan, Told};
use crate::parts::{part, until};

/// Takes the file away; one person proposes the retirement, another approves it.
fn two_people_retire(house: &House, connector: &str) {
    let file = house.folder.path().join("connectors");
    std::fs::remove_file(file.join(format!("{connector}.toml"))).expect("removed");
    for (verb, who) in [("propose", "paula"), ("approve", "axel")] {
        let told = house.cli(
            &[
                "connectors",
                verb,
                connector,
                "--as",
                who,
                "--reason",
                "sold",
            ],
            "",
        );
        assert_eq!(told.code, 0, "{} {}", told.data, told.words);
    }
}

async fn retire(house: &House, connector: &str) -> Told {
    let order = ["connectors", "retire", connector, "--as", "ada"];
    let mut told = None;
    until("the worker has seen the retirement", async || {
        let last = told.insert(house.cli(&order, ""));
        !last.words.contains("CB-COMMAND-10")
    })
    .await;
    told.expect("asked")
}

fn of(told: &Told, role: &str) -> Value {
    let all = told.data.as_array().expect("a list");
    let found = all.iter().find(|one| one["role"] == role);
    found
        .unwrap_or_else(|| panic!("{role} is in {}", told.data))
        .clone()
}

async fn opens(house: &House, role: &str, password: &str) -> bool {
    let (_, place) = house.shop.rsplit_once('@').expect("an address with a user");
    let name = format!("retired_{}_{role}", std::process::id());
    let url = format!("postgres://{name}:{password}@{place}");
    PgConnection::connect(&url).await.is_ok()
}

/// What an administrator does at the database.
async fn closes(role: &str) {
    let mut admin = PgConnection::connect(&part("CLAWBACK_TEST_POSTGRES_ADMIN"))
        .await
        .expect("the server");
    let name = format!("retired_{}_{role}", std::process::id());
    let text = sqlx::AssertSqlSafe(format!("ALTER ROLE {name} NOLOGIN"));
    sqlx::raw_sql(text).execute(&mut admin).await.expect("done");
}

fn close(house: &House, task: &Value, more: &[&str]) {
    let id = task.as_str().expect("an id");
    let order = [
        "tasks",
        "close",
        id,
        "--note",
        "done by hand",
        "--as",
        "bob",
    ];
    let told = house.cli(&[&order[..], more].concat(), "");
    assert_eq!(told.code, 0, "{} {}", told.data, told.words);
}

/// One person attests and another confirms, each in a command of their own.
async fn attest(house: &House, task: &Value) {
    let id = task.as_str().expect("an id");
    let first = [
        "tasks",
        "close",
        id,
        "--note",
        "done by hand",
        "--attest",
        "the client is deleted",
        "--as",
        "bob",
    ];
    house.cli(&first, "");
    let awaited = format!("tasks WHERE id = '{id}' AND state = 'awaiting_second_person'");
    until("a second person is awaited", async || {
        house.count(&awaited).await == 1
    })
    .await;
    let second = [
        "tasks",
        "confirm",
        id,
        "--attest",
        "it is gone from the list",
        "--as",
        "eve",
    ];
    let told = house.cli(&second, "");
    assert_eq!(told.code, 0, "{} {}", told.data, told.words);
}

fn owner(connector: &str, role: clawback::domain::verdict::CredentialRole) -> Owner {
    Owner {
        reference: format!("local:{connector}/{}", role.as_str()),
        connector: connector.into(),
        role,
    }
}

/// Waits until no run of this secret is open.
async fn until_over(house: &House, connector: &str, role: &str) {
    let from = format!(
        "runs WHERE kind = 'rotation' AND connector = '{connector}' AND rotation_role = '{role}' \
         AND ended IS NULL"
    );
    until(&format!("{connector}'s {role} is over"), async || {
        house.count(&from).await == 0
    })
    .await;
}

/// The rotator is the last, and cannot take itself away.
async fn the_rotator_goes_last(house: &House) {
    until("the rotator's access is with a person", async || {
        house
            .count("tasks WHERE state <> 'closed' AND connector = 'shop'")
            .await
            == 1
    })
    .await;
    let mut told = retire(house, "shop").await;
    until("it is for itself", async || {
        told = house.cli(&["connectors", "retire", "shop", "--as", "ada"], "");
        of(&told, "rotator")["came_to"]
            .to_string()
            .contains("CB-SECRETS-23")
    })
    .await;
    closes("rotator").await;
    close(house, &of(&told, "rotator")["task"], &[]);
    until_over(house, "shop", "rotator").await;
}

/// D5: what the machine can take away is seen refused; what it cannot is a person's task, and what
/// that person says is tried at the target before it is believed.
#[tokio::test(flavor = "multi_thread")]
async fn d5_a_retired_connectors_own_access_ends_in_proof_or_in_a_persons_hands() {
    use clawback::domain::verdict::CredentialRole::{Rotator, Verifier, Writer};
    let house = House::build(Plan {
        name: "retired",
        leavers: 1,
        ..Plan::default()
    })
    .await;
    let vault = house.folder.path().join("vault");
    let vault = LocalVault::open_by_file(&vault, &house.folder.path().join("vault.key"));
    let vault = vault.expect("it opens");
    let mut worker = house.worker("a");
    house.ready(&mut worker).await;
    // Given a connector that serves: its access is nobody's to end.
    let told = house.cli(&["connectors", "retire", "shop", "--as", "ada"], "");
    assert!(told.words.contains("CB-APP-5"), "{}", told.words);

    two_people_retire(&house, "shop");
    let told = retire(&house, "shop").await;
    assert_eq!(told.code, 1, "not over yet: {}", told.data);
    until_over(&house, "shop", "writer").await;
    let opened = [
        opens(&house, "writer", "writer-1").await,
        opens(&house, "verifier", "verifier-1").await,
    ];
    assert_eq!(opened, [false, true], "and the database is there");
    let kept = vault.reveal(&owner("shop", Writer), Slot::Current);
    assert!(
        kept.expect("readable").is_none(),
        "the writer's is forgotten"
    );
    let kept = vault.reveal(&owner("shop", Verifier), Slot::Current);
    assert!(kept.expect("readable").is_some(), "what stands is not");

    // The manifest names no way for the verifier: a person gets it, says so too early, and is told.
    let verifier = of(&told, "verifier");
    let words = verifier["came_to"].to_string();
    assert!(words.contains("CB-SECRETS-23"), "{words}");
    let task = &verifier["task"];
    let id = task.as_str().expect("an id");
    let early = [
        "tasks",
        "close",
        id,
        "--note",
        "done",
        "--as",
        "bob",
        "--wait-seconds",
        "60",
    ];
    let told = house.cli(&early, "");
    assert_eq!(told.code, 5, "it is tried, and works: {}", told.data);
    assert!(told.data.to_string().contains("sent back"), "{}", told.data);
    closes("verifier").await;
    close(&house, task, &[]);
    until_over(&house, "shop", "verifier").await;

    the_rotator_goes_last(&house).await;
    let told = house.cli(&["connectors", "retire", "shop", "--as", "ada"], "");
    assert_eq!(told.code, 0, "all is over: {} {}", told.data, told.words);
    for role in [Writer, Verifier, Rotator] {
        for slot in Slot::ALL {
            let kept = vault.reveal(&owner("shop", role), slot).expect("readable");
            assert!(kept.is_none(), "{role:?} in {slot:?}");
        }
    }
}

/// D5: a vault that lost its values shows nothing, so nothing is called revoked; a person attests.
#[tokio::test(flavor = "multi_thread")]
async fn d5_access_that_nobody_can_try_any_more_is_attested_and_never_called_revoked() {
    use clawback::domain::verdict::CredentialRole::{Verifier, Writer};
    let house = House::build(Plan {
        name: "lost",
        leavers: 1,
        ..Plan::default()
    })
    .await;
    let vault = house.folder.path().join("vault");
    let vault = LocalVault::open_by_file(&vault, &house.folder.path().join("vault.key"));
    let vault = vault.expect("it opens");
    for role in [Writer, Verifier] {
        assert!(vault.remove(&owner("crm", role)).expect("written"));
    }
    let mut worker = house.worker("a");
    house.ready(&mut worker).await;
    two_people_retire(&house, "crm");
    let told = retire(&house, "crm").await;
    assert_eq!(told.code, 1, "{}", told.data);
    for role in ["writer", "verifier"] {
        let one = of(&told, role);
        assert!(
            one["came_to"].to_string().contains("CB-SECRETS-24"),
            "{one}"
        );
        attest(&house, &one["task"]).await;
        until_over(&house, "crm", role).await;
    }
    let attested = "runs WHERE kind = 'rotation' AND ended = 'attested'";
    assert_eq!(house.count(attested).await, 2);
    assert_eq!(house.count("runs WHERE ended = 'rotated'").await, 0);
}
