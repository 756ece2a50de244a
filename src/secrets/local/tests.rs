//! Tests of the vault as its callers see it: what it keeps, for whom, and what two writers do.
//!
//! Owns no fixtures of other rooms. Separate `LocalVault` values on one path stand for processes:
//! the lock is taken on a file opened anew each time, so it holds between them as well.

use std::os::unix::fs::PermissionsExt;

use secrecy::{ExposeSecret, SecretString};

use super::*;
use crate::domain::verdict::CredentialRole;

/// The moves of a rotation, as its steps make them.
impl LocalVault {
    fn save_pending(
        &self,
        owner: &Owner,
        base: u64,
        label: &str,
        new: NewSecret,
        at: Timestamp,
    ) -> Result<u64, VaultError> {
        let label = label.to_owned();
        let save = Change::SavePending {
            base,
            label,
            new,
            at,
        };
        self.apply(owner, &save)
    }

    fn promote(&self, owner: &Owner, label: &str) -> Result<u64, VaultError> {
        let label = label.to_owned();
        let replaced = None;
        self.apply(owner, &Change::Promote { label, replaced })
    }

    fn forget_previous(
        &self,
        owner: &Owner,
        version: Option<u64>,
        proved: &str,
    ) -> Result<u64, VaultError> {
        let (proved, at) = (proved.to_owned(), NOW);
        let forget = Change::ForgetPrevious {
            version,
            proved,
            at,
        };
        self.apply(owner, &forget)
    }

    fn drop_pending(&self, owner: &Owner, label: &str) -> Result<u64, VaultError> {
        let label = label.to_owned();
        self.apply(owner, &Change::DropPending { label })
    }
}

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn owner() -> Owner {
    Owner {
        reference: "local:crm/writer".to_owned(),
        connector: "crm".into(),
        role: CredentialRole::Writer,
    }
}

fn secret(value: &str, remote_ref: Option<&str>) -> NewSecret {
    NewSecret {
        value: SecretString::from(value),
        username: None,
        remote_ref: remote_ref.map(str::to_owned),
        expires: None,
    }
}

fn value(vault: &LocalVault, slot: Slot) -> Option<String> {
    let revealed = vault.reveal(&owner(), slot).expect("readable")?;
    Some(revealed.value.expose_secret().to_owned())
}

fn slots(vault: &LocalVault) -> [Option<String>; 3] {
    [Slot::Current, Slot::Pending, Slot::Previous].map(|slot| value(vault, slot))
}

fn key() -> VaultKey {
    VaultKey::from_text(&"5a".repeat(32)).expect("a key")
}

#[test]
fn d2_a_rotation_goes_through_the_slots_and_each_move_can_be_repeated() {
    let vault = LocalVault::in_memory().expect("a vault");
    let base = vault.put(&owner(), secret("one", None), NOW).expect("put");
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(slots(&vault), [some("one"), None, None]);

    let version = vault
        .save_pending(&owner(), base, "r1", secret("two", Some("k2")), NOW)
        .expect("saved");
    assert_eq!(slots(&vault), [some("one"), some("two"), None]);

    for _ in 0..2 {
        vault.promote(&owner(), "r1").expect("promoted");
        assert_eq!(slots(&vault), [some("two"), None, some("one")]);
    }
    let current = vault.reveal(&owner(), Slot::Current).expect("readable");
    let current = current.expect("there").record;
    assert_eq!(current.version, version);
    assert_eq!(current.remote_ref.as_deref(), Some("k2"));

    vault
        .forget_previous(&owner(), Some(version), "r1")
        .expect("nothing");
    assert_eq!(
        value(&vault, Slot::Previous),
        some("one"),
        "another version"
    );
    for _ in 0..2 {
        vault
            .forget_previous(&owner(), Some(base), "r1")
            .expect("forgotten");
        assert_eq!(slots(&vault), [some("two"), None, None]);
    }
    let record = vault.record(&owner()).expect("readable").expect("there");
    assert_eq!(record.proved.as_deref(), Some("r1"));
}

#[test]
fn d2_there_is_never_more_than_one_pending_secret() {
    let vault = LocalVault::in_memory().expect("a vault");
    let base = vault.put(&owner(), secret("one", None), NOW).expect("put");
    let after = vault
        .save_pending(&owner(), base, "r1", secret("two", None), NOW)
        .expect("saved");
    for (base, label, code) in [
        (base, "r1", "CB-SECRETS-6"),
        (after, "r1", "CB-SECRETS-7"),
        (after, "r2", "CB-SECRETS-7"),
    ] {
        let error = vault
            .save_pending(&owner(), base, label, secret("three", None), NOW)
            .expect_err("refused");
        assert_eq!(error.code(), code);
    }
    assert_eq!(value(&vault, Slot::Pending).as_deref(), Some("two"));
    assert!(vault.promote(&owner(), "r2").is_err());
    vault.drop_pending(&owner(), "r2").expect("not its own");
    assert_eq!(value(&vault, Slot::Pending).as_deref(), Some("two"));
    vault.drop_pending(&owner(), "r1").expect("dropped");
    assert_eq!(value(&vault, Slot::Pending), None);
}

#[test]
fn an_operators_value_keeps_the_one_that_it_replaces_as_previous() {
    let vault = LocalVault::in_memory().expect("a vault");
    vault.put(&owner(), secret("one", None), NOW).expect("put");
    assert_eq!(value(&vault, Slot::Previous), None);
    vault.put(&owner(), secret("two", None), NOW).expect("put");
    assert_eq!(value(&vault, Slot::Previous).as_deref(), Some("one"));
    vault
        .put(&owner(), secret("three", None), NOW)
        .expect("put");
    assert_eq!(value(&vault, Slot::Previous).as_deref(), Some("one"));
    assert!(vault.put(&owner(), secret("", None), NOW).is_err());
}

#[test]
fn d1_one_connectors_path_cannot_read_anothers_secret() {
    let vault = LocalVault::in_memory().expect("a vault");
    vault.put(&owner(), secret("one", None), NOW).expect("put");
    let mut other = owner();
    other.connector = "erp".into();
    let mut role = owner();
    role.role = CredentialRole::Verifier;
    for stranger in [other, role] {
        let error = vault.reveal(&stranger, Slot::Current).expect_err("refused");
        assert_eq!(error.code(), "CB-SECRETS-5");
        assert!(vault.put(&stranger, secret("x", None), NOW).is_err());
        assert!(vault.remove(&stranger).is_err());
    }
    assert!(vault.remove(&owner()).expect("removed"));
}

#[test]
fn d1_neither_file_nor_debug_nor_error_shows_a_value() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("vault");
    let vault = LocalVault::open(&path, key()).expect("a vault");
    let new = secret("very-secret-value", Some("k1"));
    assert!(!format!("{new:?}").contains("very-secret"));
    vault.put(&owner(), new, NOW).expect("put");
    let revealed = vault.reveal(&owner(), Slot::Current).expect("readable");
    assert!(!format!("{vault:?} {revealed:?}").contains("very-secret"));

    let text = std::fs::read_to_string(&path).expect("the file");
    assert!(text.contains("crm/writer") && !text.contains("very-secret"));
    let mode = std::fs::metadata(&path)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    std::fs::write(&path, text.replace("\"writer\"", "\"verifier\"")).expect("written");
    let mut thief = owner();
    thief.role = CredentialRole::Verifier;
    let error = vault.reveal(&thief, Slot::Current).expect_err("refused");
    assert_eq!(error.code(), "CB-SECRETS-4");
    assert!(!error.to_string().contains("very-secret"));
}

#[test]
fn another_key_does_not_open_the_vault_until_it_is_sealed_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("vault");
    let vault = LocalVault::open(&path, key()).expect("a vault");
    vault.put(&owner(), secret("one", None), NOW).expect("put");
    let other = || VaultKey::from_text(&"77".repeat(32)).expect("a key");
    let error = LocalVault::open(&path, other()).expect_err("refused");
    assert_eq!(error.code(), "CB-SECRETS-4");
    vault.rekey(other()).expect("sealed anew");
    assert_eq!(value(&vault, Slot::Current).as_deref(), Some("one"));
    assert!(LocalVault::open(&path, key()).is_err());
    let again = LocalVault::open(&path, other()).expect("opens");
    assert_eq!(value(&again, Slot::Current).as_deref(), Some("one"));
}

#[test]
fn a_file_that_is_no_vault_is_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("vault");
    std::fs::write(&path, "{\"precious\": true}").expect("written");
    let error = LocalVault::open(&path, key()).expect_err("refused");
    assert_eq!(error.code(), "CB-SECRETS-3");
    assert_eq!(
        std::fs::read_to_string(&path).expect("there"),
        "{\"precious\": true}"
    );
}

#[test]
fn b2_many_processes_at_once_lose_no_change_and_overtake_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("vault");
    let each = 10;
    let threads: Vec<_> = (0..4)
        .map(|process| {
            let path = path.clone();
            std::thread::spawn(move || {
                let vault = LocalVault::open(&path, key()).expect("a vault");
                let mut won = 0;
                for round in 0..each {
                    let own = Owner {
                        reference: format!("local:own/{process}/{round}"),
                        ..owner()
                    };
                    vault.put(&own, secret("own", None), NOW).expect("put");
                    let record = vault.record(&owner()).expect("readable");
                    let base = record.map_or(0, |record| record.version);
                    let label = format!("{process}-{round}");
                    let saved =
                        vault.save_pending(&owner(), base, &label, secret(&label, None), NOW);
                    if saved.is_ok() {
                        won += 1;
                        vault.promote(&owner(), &label).expect("its own");
                    }
                }
                won
            })
        })
        .collect();
    let won: u64 = threads
        .into_iter()
        .map(|thread| thread.join().expect("no panic"))
        .sum();
    let vault = LocalVault::open(&path, key()).expect("a vault");
    let records = vault.records().expect("readable");
    assert_eq!(records.len(), 4 * each + 1, "no entry was lost");
    let shared = vault.record(&owner()).expect("readable").expect("there");
    assert!(won >= 1);
    assert_eq!(shared.version, won * 2, "each winner changed it twice");
    assert_eq!(shared.pending, None);
}
