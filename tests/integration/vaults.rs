//! The local vault under several real processes, its change of keys, and planted canaries.
//!
//! Owns what only the built program shows: locks between processes, a key that changes while others
//! write, and that no value of a secret is in anything that a run leaves behind. What a vault does
//! within one process is tested beside it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use clawback::secrets::{LocalVault, Owner, SecretRecord, Slot};
use secrecy::ExposeSecret;

const PROGRAM: &str = env!("CARGO_BIN_EXE_clawback");

/// A folder with a configuration whose vault's key lies in a file.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().expect("a folder"));
        std::fs::create_dir(home.path("connectors")).expect("made");
        let text = "[store]\nurl = \"sqlite:clawback.db\"\n";
        std::fs::write(home.path("clawback.toml"), text).expect("written");
        home.done(&["secrets", "init"], "");
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(PROGRAM)
            .current_dir(self.0.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("taken");
        drop(stdin);
        child.wait_with_output().expect("it ends")
    }

    fn done(&self, arguments: &[&str], input: &str) -> Output {
        let output = self.run(arguments, input);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {words}");
        output
    }

    fn vault(&self) -> LocalVault {
        let (vault, key) = (self.path("clawback.vault"), self.path("clawback.vault.key"));
        LocalVault::open_by_file(&vault, &key).expect("it opens")
    }
}

fn owner(record: &SecretRecord) -> Owner {
    Owner {
        reference: record.reference.clone(),
        connector: record.connector.clone(),
        role: record.role,
    }
}

/// D1: processes that write at once, while another changes the key under them.
#[test]
fn d1_several_processes_share_a_vault_while_its_key_changes() {
    let home = Home::new();
    let before = std::fs::read_to_string(home.path("clawback.vault.key")).expect("a key");
    // One that was opened before goes on with the new key by itself.
    home.done(
        &["secrets", "set", "--as", "ada", "local:first"],
        "value first",
    );
    let opened = home.vault();
    std::thread::scope(|scope| {
        for process in 0..3 {
            let home = &home;
            scope.spawn(move || {
                for round in 0..6 {
                    let name = format!("local:own/{process}/{round}");
                    let value = format!("value {process} {round}");
                    home.done(&["secrets", "set", "--as", "ada", &name], &value);
                    home.done(&["secrets", "set", "--as", "ada", "local:shared"], &value);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..4 {
                home.done(&["secrets", "rekey"], "");
            }
        });
    });
    let after = std::fs::read_to_string(home.path("clawback.vault.key")).expect("a key");
    assert_ne!(before, after);
    for vault in [&opened, &home.vault()] {
        let records = vault.records().expect("readable");
        assert_eq!(records.len(), 3 * 6 + 2, "no entry was lost");
        for record in &records {
            let revealed = vault.reveal(&owner(record), Slot::Current);
            let value = revealed.expect("it opens").expect("there").value;
            let value = value.expose_secret();
            assert!(value.starts_with("value "), "{}", record.reference);
        }
        let shared = records.iter().find(|one| one.reference == "local:shared");
        assert_eq!(shared.expect("there").version, 18, "every write counted");
    }
    assert!(home.path("clawback.vault.key.old").exists());
    assert!(!home.path("clawback.vault.key.new").exists());
}

/// A change of keys that was killed between its two files is found, and finished by the next.
#[test]
fn d1_a_change_of_keys_that_broke_off_loses_nothing() {
    let home = Home::new();
    home.done(
        &["secrets", "set", "--as", "ada", "local:first"],
        "value first",
    );
    home.done(&["secrets", "rekey"], "");
    // As it lies when the process dies after the vault was sealed anew, and before the key moved.
    let (key, old, new) = (
        home.path("clawback.vault.key"),
        home.path("clawback.vault.key.old"),
        home.path("clawback.vault.key.new"),
    );
    std::fs::rename(&key, &new).expect("moved");
    std::fs::rename(&old, &key).expect("moved");
    home.done(
        &["secrets", "set", "--as", "ada", "local:second"],
        "value second",
    );
    home.done(&["secrets", "rekey"], "");
    assert!(!new.exists());
    let vault = home.vault();
    assert_eq!(vault.records().expect("readable").len(), 2);
    let told = home.run(&["secrets", "rekey", "--to", "clawback.vault.key"], "");
    assert!(
        !told.status.success(),
        "an existing key is never overwritten"
    );
}

/// Every file below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn holds(text: &[u8], canary: &str) -> bool {
    text.windows(canary.len())
        .any(|part| part == canary.as_bytes())
}

/// D1: a whole run with lies, an outage, a refused token and its rotation leaves no value of a
/// secret in its output, its log, its database, or any file but the vault, where it is encrypted.
#[test]
fn d1_no_output_of_a_run_holds_a_secret() {
    let here = tempfile::tempdir().expect("a folder");
    let mut outputs = Vec::new();
    let mut run = |arguments: &[&str]| {
        let output = Command::new(PROGRAM)
            .current_dir(here.path())
            .args(arguments)
            .output()
            .expect("the program starts");
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {words}");
        outputs.push((format!("stdout of {arguments:?}"), output.stdout));
        outputs.push((format!("stderr of {arguments:?}"), output.stderr));
    };
    run(&["dev", "--once", "--seed", "11", "--folder", "kept"]);
    let config = ["--config", "kept/clawback.toml", "--json"];
    for command in [
        &["secrets", "list"][..],
        &["cases", "list"],
        &["tasks", "list"],
        &["connectors", "list"],
        &["connectors", "health"],
        &["dead-letters", "list"],
    ] {
        run(&[&config[..], command].concat());
    }
    let kept = here.path().join("kept");
    let vault = LocalVault::open_by_file(&kept.join("vault"), &kept.join("vault.key"));
    let vault = vault.expect("it opens");
    let mut canaries = vec![std::fs::read_to_string(kept.join("vault.key")).expect("a key")];
    for record in vault.records().expect("readable") {
        for slot in Slot::ALL {
            let revealed = vault.reveal(&owner(&record), slot).expect("it opens");
            canaries.extend(revealed.map(|one| one.value.expose_secret().to_owned()));
        }
    }
    let canaries: Vec<_> = canaries.iter().map(|one| one.trim()).collect();
    assert!(
        canaries.len() > 6,
        "{} secrets were planted",
        canaries.len()
    );
    let mut left = Vec::new();
    files(&kept, &mut left);
    assert!(left.len() > 3, "{left:?}");
    for path in left {
        // The key's own file is where the key is.
        if path != kept.join("vault.key") {
            outputs.push((
                path.display().to_string(),
                std::fs::read(&path).expect("readable"),
            ));
        }
    }
    // The search itself finds what is there.
    let planted = canaries[1];
    assert!(holds(format!("x{planted}y").as_bytes(), planted));
    for (place, text) in &outputs {
        for canary in &canaries {
            assert!(!holds(text, canary), "{place} holds a secret");
        }
    }
}
