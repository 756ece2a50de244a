//! A worker's process by itself: how it starts, what it says of itself, and how it ends.
//!
//! Owns a folder with a configuration and no target. Needs no service.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::parts::until;

const PROGRAM: &str = env!("CARGO_BIN_EXE_clawback");

/// A port that nobody listens on at this moment.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

/// A configuration whose client secret is not in the vault; every line is to be JSON.
fn written(folder: &Path, port: u16) {
    std::fs::create_dir(folder.join("connectors")).expect("made");
    let text = format!(
        "[store]\nurl = \"sqlite:clawback.db\"\n[telemetry]\nlog_format = \"json\"\n\
         [connectors]\ndirectory = \"connectors\"\n\
         [console]\nlisten = \"127.0.0.1:{port}\"\npublic_url = \"http://127.0.0.1:{port}\"\n\
         [console.oidc]\nissuer = \"http://127.0.0.1:9\"\nclient_id = \"clawback\"\n\
         client_secret = \"local:console/oidc\"\n[console.oidc.roles]\noperator = [\"ops\"]\n"
    );
    std::fs::write(folder.join("clawback.toml"), text).expect("written");
    assert!(
        begun(folder, &["secrets", "init"])
            .wait_with_output()
            .expect("ended")
            .status
            .success()
    );
}

fn begun(folder: &Path, arguments: &[&str]) -> Child {
    Command::new(PROGRAM)
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

/// The lines of both streams, each of which must be JSON.
fn lines(output: &Output) -> Vec<Value> {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    let text = String::from_utf8(text).expect("text");
    let read = text.lines().map(|line| {
        let line = serde_json::from_str(line);
        line.unwrap_or_else(|error| panic!("{error} in:\n{text}"))
    });
    read.collect()
}

fn says(lines: &[Value], words: &str) -> bool {
    let mut found = lines.iter().filter_map(|line| line["message"].as_str());
    found.any(|message| message.contains(words))
}

/// H2: a worker's lines are read by a program, from the first to the last.
#[tokio::test(flavor = "multi_thread")]
async fn h2_every_line_of_a_worker_is_json_and_the_secret_of_the_sign_in_keeps_it_from_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    written(folder.path(), port);

    let unprepared = begun(folder.path(), &["run"]);
    let output = unprepared.wait_with_output().expect("ended");
    assert!(!output.status.success());
    assert!(says(&lines(&output), "CB-STORE-"), "{:?}", lines(&output));

    let migrated = begun(folder.path(), &["migrate"]).wait_with_output();
    assert!(migrated.expect("ended").status.success());
    let worker = begun(folder.path(), &["run"]);
    let url = format!("http://127.0.0.1:{port}");
    until("the worker is ready", async || {
        let ready = reqwest::get(format!("{url}/readyz")).await;
        ready.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    let ready = reqwest::get(format!("{url}/readyz"))
        .await
        .expect("answered");
    let ready: Value = ready.json().await.expect("JSON");
    let parts = ready["parts"].as_array().expect("parts").iter();
    let told: Vec<_> = parts.filter(|part| part["ok"] == false).collect();
    assert_eq!(told.len(), 1, "{ready}");
    assert_eq!(told[0]["part"], "sign_in");
    let door = reqwest::get(format!("{url}/oidc/begin"))
        .await
        .expect("answered");
    assert_eq!(door.status(), 503);

    let pid = worker.id().to_string();
    let told = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(told.expect("runs").success());
    let output = worker.wait_with_output().expect("ended");
    assert!(output.status.success());
    let lines = lines(&output);
    assert!(
        says(&lines, "draining") && says(&lines, "CB-CONSOLE-16"),
        "{lines:?}"
    );
}

/// H2, H3: also what keeps it from starting, each fault on a line of its own.
#[test]
fn h2_what_keeps_a_worker_from_starting_is_told_in_json_too() {
    let folder = tempfile::tempdir().expect("a folder");
    written(folder.path(), free_port());
    let wrong = folder.path().join("connectors/wiki.toml");
    std::fs::write(wrong, "name = \"wiki\"\n").expect("written");
    let output = begun(folder.path(), &["run"])
        .wait_with_output()
        .expect("ended");
    assert_eq!(output.status.code(), Some(3));
    let lines = lines(&output);
    assert!(
        lines.len() > 1 && lines.iter().all(|line| line["line"].is_u64()),
        "{lines:?}"
    );
}
