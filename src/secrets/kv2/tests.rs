//! KV v2 against a double of its server: moves, races, lost answers, sign-in, and what is never shown.
//!
//! Owns the comparison with the local vault: the same moves over both come to the same. The double is
//! held to the documented API; a real server was not asked.

mod server;

use secrecy::{ExposeSecret, SecretString};

use self::server::{Fault, ROLE_ID, SECRET_ID, Server, TOKEN};
use super::*;
use crate::connectors::fixture::Moved;
use crate::document::Document as Toml;
use crate::domain::outcome::FailureClass;
use crate::domain::time::Timestamp;
use crate::domain::verdict::CredentialRole;
use crate::secrets::{LocalVault, NewSecret, Place, Settings};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn settings(server: &Server, sign_in: &str) -> ServerSettings {
    let text = format!(
        "kind = \"kv2\"\naddress = \"{}\"\n{sign_in}",
        server.address
    );
    let document = Toml::parse("clawback.toml", &text).expect("TOML");
    let settings = Settings::read(&document.root());
    let problems = document.take_problems();
    assert!(problems.is_empty(), "{problems}");
    match settings.place {
        Place::Server(server) => *server,
        Place::Local { .. } => panic!("it is a server"),
    }
}

fn by_token(server: &Server, clock: &Arc<Moved>) -> Kv2Vault {
    let settings = settings(server, "token_env = \"T\"\n");
    let clock = Arc::clone(clock) as _;
    Kv2Vault::new(&settings, SecretString::from(TOKEN), clock).expect("a client")
}

fn by_approle(server: &Server, clock: &Arc<Moved>, secret_id: &str) -> Kv2Vault {
    let sign_in = format!("[approle]\nrole_id = \"{ROLE_ID}\"\nsecret_id_env = \"S\"\n");
    let clock = Arc::clone(clock) as _;
    let secret_id = SecretString::from(secret_id);
    Kv2Vault::new(&settings(server, &sign_in), secret_id, clock).expect("a client")
}

fn owner(scheme: &str) -> Owner {
    Owner {
        reference: format!("{scheme}:crm/writer"),
        connector: "crm".into(),
        role: CredentialRole::Writer,
    }
}

fn secret(value: &str) -> NewSecret {
    NewSecret {
        value: SecretString::from(value),
        username: None,
        remote_ref: Some(format!("ref of {value}")),
        expires: None,
    }
}

fn put(value: &str) -> Change {
    Change::Put {
        new: secret(value),
        at: NOW,
    }
}

fn save(base: u64, label: &str, value: &str) -> Change {
    Change::SavePending {
        base,
        label: label.to_owned(),
        new: secret(value),
        at: NOW,
    }
}

fn promote(label: &str) -> Change {
    Change::Promote {
        label: label.to_owned(),
        replaced: None,
    }
}

async fn values(vault: &dyn Vault, owner: &Owner) -> [Option<String>; 3] {
    let mut found = [None, None, None];
    for (slot, found) in Slot::ALL.into_iter().zip(&mut found) {
        let revealed = vault.reveal(owner, slot).await.expect("readable");
        *found = revealed.map(|one| one.value.expose_secret().to_owned());
    }
    found
}

#[tokio::test]
async fn d1_the_same_moves_come_to_the_same_in_both_vaults() {
    let server = Server::start().await;
    let local = LocalVault::in_memory().expect("a vault");
    let kv2 = by_token(&server, &Moved::new());
    let moves = [
        promote("r0"),
        put("one"),
        put(""),
        save(0, "r1", "two"),
        save(1, "r1", "two"),
        save(2, "r2", "three"),
        promote("r2"),
        promote("r1"),
        promote("r1"),
        Change::ForgetPrevious {
            version: Some(7),
            proved: "r1".to_owned(),
            at: NOW,
        },
        Change::ForgetPrevious {
            version: Some(1),
            proved: "r1".to_owned(),
            at: NOW,
        },
        save(4, "r3", "four"),
        Change::DropPending {
            label: "r3".to_owned(),
        },
        put("five"),
        Change::RestorePrevious { version: 2 },
        Change::ForgetLeftover { version: 2 },
    ];
    let (mut done, mut refused) = (0, 0);
    for change in moves {
        let mut results = Vec::new();
        for (vault, owner) in [(&local as &dyn Vault, owner("local")), (&kv2, owner("kv"))] {
            let result = vault.change(&owner, change.clone()).await;
            let record = vault.record(&owner).await.expect("readable");
            let record = record.map(|mut record| {
                record.reference.clear();
                record
            });
            let result = result.map_err(|error| error.code());
            results.push((result, record, values(vault, &owner).await));
        }
        assert_eq!(results[0], results[1], "{change:?}");
        match &results[0].0 {
            Ok(_) => done += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(done >= 8 && refused >= 4, "{done} done, {refused} refused");
    for (vault, owner) in [(&local as &dyn Vault, owner("local")), (&kv2, owner("kv"))] {
        assert_eq!(vault.probe(&owner).await.map_err(|e| e.code()), Ok(()));
        assert!(vault.remove(&owner).await.expect("removed"));
        assert!(!vault.remove(&owner).await.expect("nothing there"));
        assert_eq!(vault.record(&owner).await.expect("readable"), None);
    }
}

#[tokio::test]
async fn d1_one_document_holds_every_slot_and_each_move_is_one_write() {
    let server = Server::start().await;
    let vault = by_token(&server, &Moved::new());
    let owner = owner("kv");
    for change in [
        put("one"),
        save(1, "r1", "two"),
        promote("r1"),
        promote("r1"),
    ] {
        vault.change(&owner, change).await.expect("moved");
    }
    let truth = server.truth();
    assert_eq!(truth.documents.len(), 1);
    let versions = &truth.documents["clawback/crm/writer"];
    assert_eq!(
        versions.len(),
        3,
        "a move that was made already writes nothing"
    );
    let last = versions[2].as_ref().expect("there");
    assert_eq!(last["format"], "clawback-secret-1");
    assert_eq!(last["current"]["value"], "two");
    assert_eq!(last["previous"]["value"], "one");
    assert_eq!(last["pending"], serde_json::Value::Null);
}

#[tokio::test]
async fn b2_two_processes_at_once_lose_no_change() {
    let server = Server::start().await;
    let vaults = [1, 2].map(|_| by_token(&server, &Moved::new()));
    let owner = owner("kv");
    let each = async |vault: &Kv2Vault, name: &str| {
        let mut won = 0;
        for round in 0..12 {
            let record = vault.record(&owner).await.expect("readable");
            let base = record.map_or(0, |record| record.version);
            let label = format!("{name}-{round}");
            match vault.change(&owner, save(base, &label, &label)).await {
                Ok(_) => {
                    won += 1;
                    vault
                        .change(&owner, promote(&label))
                        .await
                        .expect("its own");
                }
                Err(error) => assert_eq!(error.class(), FailureClass::StaleData, "{error}"),
            }
        }
        won
    };
    let (one, other) = tokio::join!(each(&vaults[0], "a"), each(&vaults[1], "b"));
    let record = vaults[0].record(&owner).await.expect("readable");
    let record = record.expect("there");
    assert_eq!(
        record.version,
        (one + other) * 2,
        "each winner changed it twice"
    );
    let written = server.truth().documents["clawback/crm/writer"].len();
    assert_eq!(written as u64, record.version);
}

#[tokio::test]
async fn b4_a_write_whose_answer_was_lost_is_settled_by_looking() {
    let server = Server::start().await;
    let vault = by_token(&server, &Moved::new());
    let owner = owner("kv");
    // A change reads, then writes: the second request of each is the write.
    for (round, fault) in [Fault::LostBefore, Fault::LostAfter, Fault::Status(500)]
        .into_iter()
        .enumerate()
    {
        let next = server.truth().requests + 1;
        server.truth().faults.insert(next, fault);
        let value = format!("value {round}");
        let version = vault.change(&owner, put(&value)).await.expect("settled");
        assert_eq!(version, round as u64 + 1, "{fault:?}: made once");
        assert_eq!(values(&vault, &owner).await[0], Some(value));
    }
    assert_eq!(server.truth().struck, 3, "every fault struck");
    // When it can't be looked at either, it is not known, and repeating it is harmless.
    let next = server.truth().requests + 1;
    for at in next..next + 2 {
        server.truth().faults.insert(at, Fault::LostAfter);
    }
    let error = vault.change(&owner, save(3, "r1", "x")).await;
    let error = error.expect_err("not known");
    assert_eq!(error.class(), FailureClass::UnknownOutcome, "{error}");
    let record = vault
        .record(&owner)
        .await
        .expect("readable")
        .expect("there");
    assert_eq!(
        record.pending.and_then(|one| one.label).as_deref(),
        Some("r1")
    );
}

#[tokio::test]
async fn a_deleted_document_is_written_anew_after_its_version() {
    let server = Server::start().await;
    let vault = by_token(&server, &Moved::new());
    let owner = owner("kv");
    vault.change(&owner, put("one")).await.expect("put");
    let name = "clawback/crm/writer";
    server
        .truth()
        .documents
        .get_mut(name)
        .expect("there")
        .push(None);
    assert_eq!(vault.record(&owner).await.expect("readable"), None);
    vault.change(&owner, put("two")).await.expect("put");
    assert_eq!(server.truth().documents[name].len(), 3);
}

#[tokio::test]
async fn sealed_forbidden_and_away_are_told_apart() {
    let server = Server::start().await;
    let clock = Moved::new();
    let (vault, owner) = (by_token(&server, &clock), owner("kv"));
    vault.change(&owner, put("one")).await.expect("put");
    server.truth().sealed = true;
    let error = vault
        .reveal(&owner, Slot::Current)
        .await
        .expect_err("sealed");
    let found = (error.code(), error.class());
    assert_eq!(found, ("CB-SECRETS-18", FailureClass::Unreachable));
    server.truth().sealed = false;

    server.truth().read_only = true;
    for error in [
        vault.change(&owner, put("two")).await.map(drop),
        vault.probe(&owner).await,
    ] {
        let error = error.expect_err("forbidden");
        let found = (error.code(), error.class());
        assert_eq!(found, ("CB-SECRETS-19", FailureClass::Refused), "{error}");
    }
    assert_eq!(values(&vault, &owner).await[0].as_deref(), Some("one"));
    server.truth().read_only = false;

    let refused = by_approle(&server, &clock, "wrong");
    let error = refused.record(&owner).await.expect_err("no sign-in");
    assert_eq!(error.code(), "CB-SECRETS-19", "{error}");
    server.truth().tokens.clear();
    let error = vault.record(&owner).await.expect_err("no token");
    assert_eq!(error.code(), "CB-SECRETS-19", "{error}");

    drop(server);
    let error = vault.record(&owner).await.expect_err("away");
    let found = (error.code(), error.class());
    assert_eq!(found, ("CB-SECRETS-17", FailureClass::Unreachable));
}

#[tokio::test]
async fn a_token_is_renewed_in_time_and_replaced_when_it_was_taken_back() {
    let server = Server::start().await;
    let clock = Moved::new();
    let (vault, owner) = (by_approle(&server, &clock, SECRET_ID), owner("kv"));
    vault.change(&owner, put("one")).await.expect("put");
    let seen = |server: &Server| {
        let truth = server.truth();
        (truth.signed_in, truth.renewed)
    };
    assert_eq!(seen(&server), (1, 0));
    clock.advance(2399);
    vault.record(&owner).await.expect("readable");
    assert_eq!(seen(&server), (1, 0), "two thirds have not passed");
    clock.advance(1);
    vault.record(&owner).await.expect("readable");
    assert_eq!(seen(&server), (1, 1), "renewed");
    vault.record(&owner).await.expect("readable");
    assert_eq!(seen(&server), (1, 1), "once");
    clock.advance(3601);
    vault.record(&owner).await.expect("readable");
    assert_eq!(seen(&server), (2, 1), "one that has ended is not renewed");
    server.truth().tokens.clear();
    vault.record(&owner).await.expect("readable");
    assert_eq!(seen(&server), (3, 1), "one that was taken back is replaced");
    for renewable in server.truth().tokens.values_mut() {
        *renewable = false;
    }
    clock.advance(2500);
    vault.record(&owner).await.expect("readable");
    assert_eq!(
        seen(&server),
        (4, 1),
        "one that can't be renewed is replaced"
    );
}

#[tokio::test]
async fn a_token_that_was_given_is_renewed_too() {
    let server = Server::start().await;
    let clock = Moved::new();
    let (vault, owner) = (by_token(&server, &clock), owner("kv"));
    assert_eq!(vault.record(&owner).await.expect("readable"), None);
    clock.advance(2400);
    assert_eq!(vault.record(&owner).await.expect("readable"), None);
    assert_eq!(server.truth().renewed, 1);
}

#[tokio::test]
async fn d1_another_owner_and_a_strange_document_are_not_read() {
    let server = Server::start().await;
    let (vault, owner) = (by_token(&server, &Moved::new()), owner("kv"));
    vault
        .change(&owner, put("canary-value"))
        .await
        .expect("put");
    let mut stranger = owner.clone();
    stranger.connector = "erp".into();
    for error in [
        vault.reveal(&stranger, Slot::Current).await.map(drop),
        vault.change(&stranger, put("x")).await.map(drop),
        vault.remove(&stranger).await.map(drop),
    ] {
        assert_eq!(error.expect_err("refused").code(), "CB-SECRETS-5");
    }
    // Copied to where another reference leads.
    let copy = {
        let mut truth = server.truth();
        let mut copy = truth.documents["clawback/crm/writer"].clone();
        truth
            .documents
            .insert("clawback/other".to_owned(), copy.clone());
        let last = copy.pop().flatten().expect("there");
        let strange = serde_json::json!({"password": "canary-other"});
        truth
            .documents
            .insert("clawback/strange".to_owned(), vec![Some(strange)]);
        last
    };
    assert_eq!(copy["current"]["value"], "canary-value");
    for name in ["other", "strange"] {
        let mut moved = owner.clone();
        moved.reference = format!("kv:{name}");
        let error = vault.reveal(&moved, Slot::Current).await;
        let error = error.expect_err("not understood");
        assert_eq!(error.code(), "CB-SECRETS-20");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        assert!(vault.change(&moved, put("x")).await.is_err(), "left alone");
    }
    for reference in ["local:crm/writer", "kv:", "kv:../sys", "kv:a//b", "kv:/a"] {
        let mut wrong = owner.clone();
        wrong.reference = reference.to_owned();
        let error = vault.record(&wrong).await.expect_err("no reference");
        assert_eq!(error.code(), "CB-SECRETS-9", "{reference}");
    }
}

#[tokio::test]
async fn d1_neither_debug_nor_errors_show_token_secret_id_or_value() {
    let server = Server::start().await;
    let clock = Moved::new();
    let vault = by_approle(&server, &clock, SECRET_ID);
    let owner = owner("kv");
    vault
        .change(&owner, put("canary-value"))
        .await
        .expect("put");
    let mut shown = format!("{vault:?} {:?}", by_token(&server, &clock));
    server.truth().read_only = true;
    let error = vault.change(&owner, put("canary-two")).await;
    shown.push_str(&format!("{error:?}"));
    server.truth().sealed = true;
    let error = vault.change(&owner, put("canary-three")).await;
    shown.push_str(&format!("{error:?}"));
    drop(server);
    let error = vault.change(&owner, put("canary-four")).await;
    shown.push_str(&format!("{error:?}"));
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("REDACTED"), "{shown}");
}
