//! The documented example of a `process` connector, as a real program behind the real guard.
//!
//! Owns the proof that docs/connectors/process.md and doors.py do what they say: the whole life of a
//! removal, a key that is replaced, a manifest that is too narrow, and a program that is killed in
//! mid-call. The list is looked at itself, never through the connector.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use clawback::app::examine::{self, Mark};
use clawback::connectors::{Answered, Change, Credential, Guarded, MintOrder, Registry};
use clawback::domain::access::{AccountState, Entitlement, EntitlementKind, Operation};
use clawback::domain::id::ConnectorName;
use clawback::domain::outcome::FailureClass;
use clawback::domain::time::{Clock, Timestamp};
use clawback::domain::verdict::CredentialRole;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::parts::until;

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

/// A door controller's list and the connector that the documentation shows.
struct Doors {
    folder: tempfile::TempDir,
}

impl Doors {
    fn new() -> Self {
        let doors = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        let person = |id: &str, login: &str| {
            json!({"id": id, "login": login, "number": format!("E{id}"), "active": true,
                   "zones": ["lab", "vault"]})
        };
        let list = json!({
            "keys": {"writer": digest("w-1"), "verifier": digest("v-1"), "rotator": digest("r-1")},
            "people": [person("17", "ada"), person("18", "bob"), person("19", "zoe")],
        });
        fs::write(doors.path(), list.to_string()).expect("written");
        doors
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("list.json")
    }

    fn list(&self) -> Value {
        let text = fs::read_to_string(self.path()).expect("readable");
        serde_json::from_str(&text).expect("JSON")
    }

    fn person(&self, id: &str) -> Option<Value> {
        let list = self.list();
        let people = list["people"].as_array().expect("people");
        people.iter().find(|one| one["id"] == id).cloned()
    }

    /// The connector of the documentation's manifest, with the paths of this place; `edit` may
    /// change the manifest further.
    fn connector(&self, edit: impl Fn(String) -> String) -> Arc<Guarded> {
        let page = include_str!("../../docs/connectors/process.md");
        let text = page.split("```toml\n").nth(1).expect("a manifest");
        let text = text.split("```").next().expect("it ends");
        let program = self.folder.path().join("doors.py");
        fs::write(&program, include_str!("../../docs/connectors/doors.py")).expect("written");
        let text = text
            .replace("/usr/bin/python3", &python())
            .replace("/usr/local/lib/clawback/doors.py", &shown(&program))
            .replace("/var/lib/doors/list.json", &shown(&self.path()));
        let clock: Arc<dyn Clock> = Arc::new(Still);
        let registry = Registry::load(&[("doors.toml".to_owned(), edit(text))], &clock);
        let registry = registry.unwrap_or_else(|problems| panic!("{problems}"));
        registry.get(&ConnectorName::from("doors")).expect("loaded")
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Where the interpreter is.
pub fn python() -> String {
    let found = Command::new("sh")
        .args(["-c", "command -v python3"])
        .output();
    let found = found.expect("sh runs").stdout;
    let path = String::from_utf8(found).expect("a path");
    assert!(path.starts_with('/'), "python3 is not there");
    path.trim().to_owned()
}

fn digest(key: &str) -> String {
    hex::encode(Sha256::digest(key))
}

fn credential(role: CredentialRole, key: &str) -> Credential {
    Credential {
        role,
        version: 1,
        remote_ref: None,
        username: None,
        secret: key.to_owned().into(),
    }
}

fn change(operation: Operation, zone: Option<&str>) -> Change {
    Change {
        operation,
        account: "17".into(),
        login: "ada".to_owned(),
        entitlement: zone.map(|zone| Entitlement {
            id: zone.into(),
            kind: EntitlementKind::Permission,
            name: zone.to_owned(),
            inherited_from: None,
        }),
    }
}

#[tokio::test]
async fn c1_a_program_takes_access_back_and_a_second_time_finds_nothing() {
    let place = Doors::new();
    let doors = place.connector(|text| text);
    let writer = credential(CredentialRole::Writer, "w-1");
    let verifier = credential(CredentialRole::Verifier, "v-1");
    let listing = doors.list(&verifier).await.expect("listed");
    assert_eq!(listing.accounts.len(), 3);
    assert_eq!(listing.completeness.gap(), None);

    let others = (place.person("18"), place.person("19"));
    for (change, after) in [
        (
            change(Operation::Disable, None),
            json!([false, ["lab", "vault"]]),
        ),
        (
            change(Operation::RevokeEntitlement, Some("vault")),
            json!([false, ["lab"]]),
        ),
    ] {
        assert_eq!(doors.write(&writer, &change).await, Ok(Answered::Accepted));
        let person = place.person("17").expect("there");
        assert_eq!(json!([person["active"], person["zones"]]), after);
        assert_eq!(doors.write(&writer, &change).await, Ok(Answered::Absent));
    }
    let reading = doors.read(&verifier, &"17".into()).await.expect("read");
    let account = reading.account.expect("there");
    assert_eq!(account.state, AccountState::Disabled);
    assert_eq!(account.entitlements.len(), 1);

    let delete = change(Operation::Delete, None);
    assert_eq!(doors.write(&writer, &delete).await, Ok(Answered::Accepted));
    assert_eq!(place.person("17"), None);
    assert_eq!(doors.write(&writer, &delete).await, Ok(Answered::Absent));
    let reading = doors.read(&verifier, &"17".into()).await.expect("read");
    assert_eq!((reading.account, reading.completeness.gap()), (None, None));
    assert_eq!((place.person("18"), place.person("19")), others);
}

#[tokio::test]
async fn c3_a_manifest_that_is_too_narrow_stops_the_program() {
    let place = Doors::new();
    let doors = place.connector(|text| text.replace("\"zones\", ", ""));
    let writer = credential(CredentialRole::Writer, "w-1");
    let before = place.list();
    let taken = change(Operation::RevokeEntitlement, Some("vault"));
    let failure = doors.write(&writer, &taken).await.expect_err("refused");
    assert_eq!(failure.class, FailureClass::Refused);
    assert_eq!(failure.code, "CB-GUARD-4");
    assert_eq!(place.list(), before);
}

#[tokio::test]
async fn d2_a_new_key_works_and_the_old_one_is_rejected() {
    let place = Doors::new();
    let doors = place.connector(|text| text);
    let rotator = credential(CredentialRole::Rotator, "r-1");
    let order = MintOrder {
        role: CredentialRole::Writer,
        label: "doors-writer-2".to_owned(),
        username: None,
        chosen: Some("w-2".to_owned().into()),
        expires: None,
    };
    doors.mint(&rotator, &order).await.expect("minted");
    let new = credential(CredentialRole::Writer, "w-2");
    assert_eq!(doors.try_credential(&new).await, Ok(()));
    let old = credential(CredentialRole::Writer, "w-1");
    let failure = doors.try_credential(&old).await.expect_err("rejected");
    assert_eq!(failure.class, FailureClass::AuthFailure);
}

#[tokio::test]
async fn b4_a_program_killed_in_mid_call_leaves_a_doubt_and_the_next_call_works() {
    let place = Doors::new();
    let doors = place.connector(|text| text + "[limits]\ntimeout_seconds = 120\n");
    let writer = credential(CredentialRole::Writer, "w-1");
    let disable = change(Operation::Disable, None);
    // Somebody else has the list, so that the program waits after it was let write.
    let lock = File::create(place.path().with_extension("json.lock")).expect("a lock");
    flock(&lock, FlockOperation::LockExclusive).expect("locked");
    let killing = async {
        let mut victim = None;
        until("the program waits for the lock", async || {
            victim = waiting(&place);
            victim.is_some()
        })
        .await;
        kill_process(victim.expect("found"), Signal::KILL).expect("killed");
    };
    let (failed, ()) = tokio::join!(doors.write(&writer, &disable), killing);
    let failure = failed.expect_err("killed");
    assert_eq!(failure.class, FailureClass::UnknownOutcome, "{failure}");
    assert_eq!(place.person("17").expect("there")["active"], true);

    flock(&lock, FlockOperation::Unlock).expect("unlocked");
    assert_eq!(doors.write(&writer, &disable).await, Ok(Answered::Accepted));
    assert_eq!(place.person("17").expect("there")["active"], false);
}

/// The program of this place, if it waits for the lock of its list.
fn waiting(place: &Doors) -> Option<Pid> {
    let lock = place.path().with_extension("json.lock");
    let folders = fs::read_dir("/proc").expect("processes").flatten();
    let ids = folders.filter_map(|folder| folder.file_name().to_str()?.parse::<i32>().ok());
    let open = |id: i32| {
        let files = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten();
        let mut targets = files
            .flatten()
            .filter_map(|file| fs::read_link(file.path()).ok());
        targets.any(|target| target == lock)
    };
    let mine = i32::try_from(std::process::id()).expect("a process id");
    let mut programs = ids.filter(|id| *id != mine && open(*id));
    programs.next().and_then(Pid::from_raw)
}

/// C8: the documented example passes the suite that every kind has to pass.
#[tokio::test]
async fn c8_the_example_passes_the_examination() {
    let doors = Doors::new();
    let connector = doors.connector(|text| text);
    let keys = [
        (CredentialRole::Writer, "w-1"),
        (CredentialRole::Verifier, "v-1"),
        (CredentialRole::Rotator, "r-1"),
    ];
    let keys = keys.map(|(role, key)| (role, Ok(credential(role, key))));
    let order = examine::Order {
        canary: Some("17".into()),
        change: true,
        patience: Duration::from_secs(1),
    };
    let points = examine::examine(&connector, &BTreeMap::from(keys), &order).await;
    let failed = points.iter().filter(|one| one.mark == Mark::Failed);
    assert_eq!(failed.count(), 0, "{points:#?}");
    let held = points.iter().filter(|one| one.mark == Mark::Held);
    assert!(held.count() > 8, "{points:#?}");
    assert!(doors.person("17").is_none());
    assert!(doors.person("18").is_some());
}
