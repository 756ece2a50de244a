//! `clawback dev` through the built binary: the whole product on nothing but itself.
//!
//! Owns that its promise is held, and that it is judged: by the simulated targets' own truth, over
//! lies, an outage and an expired token. What the targets do is tested in `estate`.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_clawback");

/// H4: everything embedded, no server, one command; nothing of it is left behind.
#[test]
fn h4_a_demonstration_ends_in_proof_or_with_a_person() {
    let output = Command::new(PROGRAM)
        .args(["--json", "dev", "--once", "--seed", "7"])
        .output()
        .expect("the program starts");
    let told = String::from_utf8_lossy(&output.stdout);
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}\n{words}");
    let summary: Value = serde_json::from_str(&told).expect("one JSON object");
    let number = |key: &str| {
        summary[key]
            .as_u64()
            .unwrap_or_else(|| panic!("{key}: {summary}"))
    };
    assert_eq!(summary["promise_held"], true, "{summary}");
    assert!(number("cases") > 10, "{summary}");
    assert!(number("removals_verified") > 20, "{summary}");
    assert!(number("lies_told") > 0, "the liar has lied: {summary}");
    assert!(
        number("tasks_open") > 0,
        "the liar's are with a person: {summary}"
    );
    assert_eq!(
        number("rotations_completed"),
        1,
        "the expired token was replaced"
    );
    assert!(number("dead_letters") > 0, "{summary}");
}

/// A folder may be named from where one stands; afterwards an operator works on in it.
#[test]
fn a4_an_operator_works_on_in_the_folder_of_a_demonstration() {
    let here = tempfile::tempdir().expect("a folder");
    let command = |folder: &str, arguments: &[&str]| {
        let output = Command::new(PROGRAM)
            .current_dir(here.path().join(folder))
            .args([&["--json"], arguments].concat())
            .output()
            .expect("the program starts");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        let data = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code(), data, words)
    };
    let kept = |arguments: &[&str]| {
        let (code, data, words) = command("kept", arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {words}");
        data.as_array().expect("a list").clone()
    };
    let played = command(".", &["dev", "--once", "--folder", "kept"]);
    assert_eq!(played.0, Some(0), "{}", played.2);
    assert!(!kept(&["cases", "list"]).is_empty());
    // Dead letters wait until somebody says what comes of them.
    let waiting = kept(&["dead-letters", "list", "--waiting"]);
    assert!(!waiting.is_empty());
    let ids = waiting.iter().map(|one| one["id"].as_str().expect("an id"));
    let ids: Vec<_> = ids.collect();
    let unknown = "11111111-1111-1111-1111-111111111111";
    let because = ["--as", "ada", "--reason"];
    for (id, reason, code) in [(ids[0], " ", 2), (unknown, "a test", 4)] {
        let aside = ["dead-letters", "set-aside", ids[0], id];
        let refused = command("kept", &[&aside[..], &because, &[reason]].concat());
        assert_eq!(refused.0, Some(code), "{}", refused.2);
    }
    assert_eq!(kept(&["dead-letters", "list", "--waiting"]), waiting);
    let aside = [&["dead-letters", "set-aside"], &ids[..], &because];
    kept(&[&aside.concat()[..], &["a test of HR's"]].concat());
    assert!(kept(&["dead-letters", "list", "--waiting"]).is_empty());
    let all = kept(&["dead-letters", "list"]);
    assert_eq!(all.len(), ids.len());
    assert_eq!(all[0]["set_aside"]["by"], "ada", "{}", all[0]);
    // They can still be sent again; with one that is unknown among them, none is.
    let replay = ["dead-letters", "replay", ids[0], unknown, "--as", "ada"];
    assert_eq!(command("kept", &replay).0, Some(4));
    assert!(kept(&["dead-letters", "list"])[0]["replayed"].is_null());
    kept(&["dead-letters", "replay", ids[0], "--as", "ada"]);
    assert!(!kept(&["dead-letters", "list"])[0]["replayed"].is_null());
}

/// Somebody who has seen enough leaves no folder behind either.
#[test]
fn an_interrupted_demonstration_leaves_nothing_behind() {
    let here = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(PROGRAM)
        .env("TMPDIR", here.path())
        .args(["dev", "--once"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut words = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    words.read_line(&mut line).expect("it tells who leaves");
    let kept = |path: &std::path::Path| std::fs::read_dir(path).expect("is read").count();
    assert_eq!(kept(here.path()), 1, "{line}");
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).expect("is told");
    let mut rest = String::new();
    words.read_to_string(&mut rest).expect("it ends");
    assert_eq!(child.wait().expect("ends").code(), Some(1), "{rest}");
    assert!(rest.contains("interrupted"), "{rest}");
    assert_eq!(kept(here.path()), 0, "{rest}");
}

#[test]
fn a_folder_that_is_in_use_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = folder.path().join("clawback.toml");
    std::fs::write(&kept, "mine").expect("written");
    let output = Command::new(PROGRAM)
        .args(["dev", "--once", "--folder"])
        .arg(folder.path())
        .output()
        .expect("the program starts");
    assert_ne!(output.status.code(), Some(0));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("CB-APP-4"), "{words}");
    assert_eq!(std::fs::read_to_string(&kept).expect("there"), "mine");
}
