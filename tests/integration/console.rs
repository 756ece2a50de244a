//! The console of the real program: walked by a real browser, and its API by schemathesis.
//!
//! Owns a demonstration that runs while it is looked at. What a person does is in
//! `tests/browser/walk.py`; each part's own rules and the attacks are tested beside the console.
#![allow(clippy::print_stdout)] // What the walk saw belongs to the test's output.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};

use crate::parts::part;

const PROGRAM: &str = env!("CARGO_BIN_EXE_clawback");
/// What takes longer does not come any more.
const BOUND: Duration = Duration::from_secs(120);

/// A demonstration under way, as its terminal describes it.
struct Demonstration {
    child: Child,
    folder: tempfile::TempDir,
    url: String,
    by_hand: String,
    users: Value,
}

impl Demonstration {
    fn begin() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(PROGRAM)
            .args(["dev", "--pause-seconds", "1", "--folder"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let told = child.stderr.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        // Reads on for as long as the program talks, so that it never waits for a reader.
        std::thread::spawn(move || {
            for line in BufReader::new(told).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let (mut url, mut by_hand, mut users) = (None, None, json!({}));
        while users.as_object().is_some_and(|users| users.len() < 2) {
            let line = lines.recv_timeout(BOUND).expect("it tells where things are");
            let words: Vec<_> = line.split_whitespace().collect();
            match words.as_slice() {
                ["The", "console:", address, ..] => {
                    url = Some(address.trim_end_matches('/').to_owned());
                }
                ["curl", "-X", "POST", address] => by_hand = Some((*address).to_owned()),
                ["name", name, "password", password] => users[name] = json!(password),
                _ => {}
            }
        }
        Self {
            child,
            folder,
            url: url.expect("the console"),
            by_hand: by_hand.expect("the administrator's way"),
            users,
        }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("clawback.toml")
    }

    /// A message on the lifecycle topic that nobody can read.
    async fn unreadable(&self) {
        let config = std::fs::read_to_string(self.config()).expect("written");
        let servers = config.split_once("bootstrap_servers = \"").expect("there").1;
        let servers = servers.split('"').next().expect("an end");
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .create()
            .expect("a producer");
        let record = FutureRecord::to("identity.lifecycle.v1").key("k");
        let payload = "<script>alert('no event')</script>";
        let sent = producer.send(record.payload(payload), BOUND).await;
        sent.map(|_| ()).map_err(|(error, _)| error).expect("sent");
    }

    fn cli(&self, arguments: &[&str]) -> String {
        let output = Command::new(PROGRAM)
            .arg("--config")
            .arg(self.config())
            .args(arguments)
            .output()
            .expect("the program starts");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {words}");
        String::from_utf8(output.stdout).expect("text")
    }
}

impl Drop for Demonstration {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program to its end and shows what it said.
fn done(mut command: Command) {
    let output = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let words = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{words}");
}

/// H1: the whole morning of an operator, in a browser, on the real program.
#[tokio::test(flavor = "multi_thread")]
async fn h1_an_operator_walks_the_console_in_a_browser() {
    let demonstration = Demonstration::begin();
    demonstration.unreadable().await;
    let shots = top().join("target/console");
    std::fs::create_dir_all(&shots).expect("a folder");
    let given = json!({
        "url": demonstration.url,
        "users": demonstration.users,
        "folder": demonstration.folder.path(),
        "by_hand": demonstration.by_hand,
        "shots": shots,
        "axe": part("CLAWBACK_TEST_AXE"),
        "chromium": part("CLAWBACK_TEST_CHROMIUM"),
    });
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), given.to_string()).expect("written");
    let mut walk = Command::new("python3");
    walk.arg(top().join("tests/browser/walk.py"))
        .arg(file.path());
    done(walk);
}

/// H1: the API is what its description says, whatever is sent to it.
#[tokio::test(flavor = "multi_thread")]
async fn h1_schemathesis_finds_nothing() {
    let demonstration = Demonstration::begin();
    demonstration.unreadable().await;
    let token = demonstration.cli(&["users", "token", "demo", "--label", "schemathesis", "--as", "test"]);
    let mut tester = Command::new(part("CLAWBACK_TEST_SCHEMATHESIS"));
    tester
        .arg("run")
        .arg(format!("{}/api/v1/openapi.json", demonstration.url))
        .args(["--header", &format!("Authorization: Bearer {}", token.trim())])
        .args(["--checks", "all", "--max-examples", "30", "--seed", "7", "--no-color"])
        .args(["--request-timeout", "30"])
        .current_dir(demonstration.folder.path());
    done(tester);
}
