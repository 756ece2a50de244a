//! The console of the real program: walked by a real browser, and its API by schemathesis.
//!
//! Owns a demonstration that runs while it is looked at. What a person does is in
//! `tests/browser/walk.py`; each part's own rules and the attacks are tested beside the console.
#![allow(clippy::print_stdout)] // What the walk saw belongs to the test's output.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};

use crate::parts::{Service, part, until};

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
    /// What it told last, for a test that fails.
    last: Arc<Mutex<VecDeque<String>>>,
}

/// Lines of the program's that a failing test shows.
const LAST: usize = 60;

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
        let last = Arc::new(Mutex::new(VecDeque::new()));
        let kept = last.clone();
        // Reads on for as long as the program talks, so that it never waits for a reader.
        std::thread::spawn(move || {
            for line in BufReader::new(told).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                let mut kept = kept.lock().expect("free");
                kept.push_back(line.clone());
                if kept.len() > LAST {
                    kept.pop_front();
                }
                let _ = sender.send(line);
            }
        });
        let (mut url, mut by_hand, mut users) = (None, None, json!({}));
        while users.as_object().is_some_and(|users| users.len() < 2) {
            let line = lines
                .recv_timeout(BOUND)
                .expect("it tells where things are");
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
            last,
        }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("clawback.toml")
    }

    /// A message on the lifecycle topic that nobody can read.
    async fn unreadable(&self) {
        let config = std::fs::read_to_string(self.config()).expect("written");
        let servers = config
            .split_once("bootstrap_servers = \"")
            .expect("there")
            .1;
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
        if std::thread::panicking() {
            let last = Vec::from(self.last.lock().expect("free").clone()).join("\n  ");
            let status = self.child.try_wait();
            let _ = writeln!(std::io::stderr(), "the program: {status:?}\n  {last}");
        }
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
    if !output.status.success() {
        // Past the harness, which shows a test's output only at the very end: here it stands beside
        // the line that names the test.
        let _ = writeln!(std::io::stderr(), "{said}\n{words}");
        panic!(
            "{}: {}\n{said}\n{words}",
            command.get_program().display(),
            output.status
        );
    }
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
    let token = demonstration.cli(&[
        "users",
        "token",
        "demo",
        "--label",
        "schemathesis",
        "--as",
        "test",
    ]);
    let mut tester = Command::new(part("CLAWBACK_TEST_SCHEMATHESIS"));
    tester
        .arg("run")
        .arg(format!("{}/api/v1/openapi.json", demonstration.url))
        .args([
            "--header",
            &format!("Authorization: Bearer {}", token.trim()),
        ])
        .args([
            "--checks",
            "all",
            "--max-examples",
            "30",
            "--seed",
            "7",
            "--no-color",
        ])
        .args(["--request-timeout", "30"])
        .current_dir(demonstration.folder.path());
    done(tester);
}

/// A worker with its console on a port of its own, and a real provider that signs people in.
struct Provided {
    child: Child,
    provider: Service,
    url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Provided {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(folder: &Path, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(PROGRAM)
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("taken");
    drop(stdin);
    let output = child.wait_with_output().expect("ended");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {words}");
    String::from_utf8(output.stdout).expect("text")
}

/// A port that nobody listens on at this moment.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

impl Provided {
    async fn begin() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        let back = format!("redirect_uri={url}/oidc/callback");
        let users = [
            "user=olga:correct horse battery:ops",
            "user=mallory:correct horse battery:others",
        ];
        let provider = Service::up("canaille", "provider", &[back.as_str(), users[0], users[1]]);
        std::fs::create_dir(folder.path().join("connectors")).expect("made");
        let config = format!(
            "[store]\nurl = \"sqlite:clawback.db\"\n[vault]\npath = \"vault\"\nkey_file = \"vault.key\"\n\
             [connectors]\ndirectory = \"connectors\"\n\
             [console]\nlisten = \"127.0.0.1:{port}\"\npublic_url = \"{url}\"\n\
             [console.oidc]\nissuer = \"{}\"\nclient_id = \"clawback\"\n\
             client_secret = \"local:console/oidc\"\nroles_claim = \"groups\"\n\
             [console.oidc.roles]\noperator = [\"ops\"]\n",
            provider.value("ISSUER")
        );
        std::fs::write(folder.path().join("clawback.toml"), config).expect("written");
        run(folder.path(), &["secrets", "init"], "");
        let secret = provider.value("CLIENT_SECRET");
        run(
            folder.path(),
            &["secrets", "set", "--as", "ada", "local:console/oidc"],
            secret,
        );
        run(folder.path(), &["migrate"], "");
        let child = Command::new(PROGRAM)
            .current_dir(folder.path())
            .arg("run")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let provided = Self {
            child,
            provider,
            url,
            _folder: folder,
        };
        let ready = format!("{}/readyz", provided.url);
        until("the worker is ready", async || {
            reqwest::get(&ready)
                .await
                .is_ok_and(|answer| answer.status() == 200)
        })
        .await;
        provided
    }
}

/// H1: a real provider signs people in, and its groups say what they may do.
#[tokio::test(flavor = "multi_thread")]
async fn h1_an_identity_provider_signs_people_in_by_its_groups() {
    let provided = Provided::begin().await;
    let shots = top().join("target/console");
    std::fs::create_dir_all(&shots).expect("a folder");
    let given = json!({
        "url": provided.url,
        "issuer": provided.provider.value("ISSUER"),
        "shots": shots,
        "chromium": part("CLAWBACK_TEST_CHROMIUM"),
    });
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), given.to_string()).expect("written");
    let mut walk = Command::new("python3");
    walk.arg(top().join("tests/browser/provider.py"))
        .arg(file.path());
    done(walk);
}
