//! Targets that misbehave cost the others nothing (B4): the built binary with twenty connectors.
//!
//! Owns three targets that hang, answer 429 or flood, and the comparison with a run without them.
//! They misbehave until the test is over, so whatever ends, ends in spite of them. Times are printed,
//! never asserted.
#![allow(clippy::disallowed_methods)] // Real parts keep real time and random names.
#![allow(clippy::print_stdout)] // The ratio is for who reads the log.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::any;
use clawback::demo::broker::Broker;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::parts::until_done;

const PROGRAM: &str = env!("CARGO_BIN_EXE_clawback");
const SOUND: usize = 17;
const LEAVERS: usize = 30;

/// What the requests to the three came to.
#[derive(Debug, Default)]
struct Fired {
    hung: AtomicU64,
    throttled: AtomicU64,
    flooded: AtomicU64,
}

/// The three servers; gone when dropped.
struct Spoilers {
    fired: Arc<Fired>,
    urls: [String; 3],
    _serving: JoinSet<()>,
}

async fn hang(State(fired): State<Arc<Fired>>) {
    fired.hung.fetch_add(1, Ordering::Relaxed);
    std::future::pending::<()>().await;
}

async fn throttle(State(fired): State<Arc<Fired>>) -> impl IntoResponse {
    fired.throttled.fetch_add(1, Ordering::Relaxed);
    (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")])
}

/// A page of strangers that says each time that there is one more.
async fn flood(State(fired): State<Arc<Fired>>) -> impl IntoResponse {
    let page = fired.flooded.fetch_add(1, Ordering::Relaxed);
    let strangers = (0..500).map(|one| {
        let id = format!("{page}-{one}");
        json!({ "id": id, "login": format!("stranger-{id}") })
    });
    let strangers: Vec<_> = strangers.collect();
    axum::Json(json!({ "data": strangers, "next": format!("{}", page + 1) }))
}

impl Spoilers {
    async fn start() -> Self {
        let fired = Arc::new(Fired::default());
        let mut serving = JoinSet::new();
        let mut urls = Vec::new();
        for handler in [any(hang), any(throttle), any(flood)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("bound");
            urls.push(format!("http://{address}"));
            let router: Router =
                Router::new().fallback_service(handler.with_state(Arc::clone(&fired)));
            serving.spawn(async move {
                let _ = axum::serve(listener, router).await;
            });
        }
        Self {
            fired,
            urls: urls.try_into().expect("three"),
            _serving: serving,
        }
    }
}

/// A deployment on SQLite and the embedded broker, with its worker.
struct Site {
    folder: tempfile::TempDir,
    _broker: Broker,
    worker: Option<Child>,
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(worker) = &mut self.worker {
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}

const SPOILED: [&str; 3] = ["hanging", "throttling", "flooding"];

fn manifest(name: &str, kind: &str, rest: &str) -> String {
    // A flood is as fast as it is asked for: the connector's own rate holds it.
    let (vault, rate) = match kind {
        "file" => ("none", 1000),
        _ => ("local", 20),
    };
    format!(
        r#"name = "{name}"
kind = "{kind}"
purpose = "One of twenty"
owner = "owner@acme.example"
deputy = "iam@acme.example"
review_by = "2099-03-31"
after_removal = "account_gone"
operations = ["list", "read", "delete"]
writes = ["*"]
[without]
disable = "the entry is the access"
end_sessions = "asked for with each request"
revoke_entitlement = "there are none"
revoke_credential = "there are none"
[[correlation]]
identifier = "username"
attribute = "login"
decides = true
[credentials.writer]
secret = "{vault}:{name}/writer"
[credentials.verifier]
secret = "{vault}:{name}/verifier"
[limits]
concurrency = 4
requests_per_second = {rate}
timeout_seconds = 60
[fallback]
desk = "built-in"
deadline_hours = 24
steps = ["Remove the person"]
{rest}"#
    )
}

fn spoiled(url: &str) -> String {
    format!(
        r#"[rest]
base_url = "{url}"
[rest.account]
id = "$.id"
login = "$.login"
[rest.list]
path = "/users"
items = "$.data"
paging = "cursor"
cursor = "$.next"
cursor_parameter = "after"
[rest.read]
path = "/users/{{account.id}}"
[rest.delete]
method = "DELETE"
path = "/users/{{account.id}}"
"#
    )
}

impl Site {
    fn build(spoilers: Option<&Spoilers>) -> Self {
        let topics = ["lifecycle", "lifecycle.dlq", "lifecycle.status"];
        let broker = Broker::start(&topics, 4).expect("a broker");
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        for name in ["connectors", "workflows", "lists"] {
            fs::create_dir(at.join(name)).expect("made");
        }
        let people = list_of(0..LEAVERS * 2);
        for one in 0..SOUND {
            let list = at.join(format!("lists/sound-{one}"));
            fs::write(&list, &people).expect("written");
            let own = format!(
                "[file]\npath = \"{}\"\nformat = \"lines\"\n",
                list.display()
            );
            write_manifest(at, &format!("sound-{one}"), "file", &own);
        }
        if let Some(spoilers) = spoilers {
            for (name, url) in SPOILED.iter().zip(&spoilers.urls) {
                write_manifest(at, name, "rest", &spoiled(url));
            }
        }
        let leaver = include_str!("../../workflows/leaver.toml")
            .replace("wait_seconds = 3600", "wait_seconds = 1")
            .replace("wait_seconds = 82800", "wait_seconds = 1")
            .replace("first_seconds = 30", "first_seconds = 1")
            .replace("first_seconds = 5", "first_seconds = 1")
            .replace("first_seconds = 2", "first_seconds = 1")
            .replace("at_most_seconds = 900", "at_most_seconds = 2");
        fs::write(at.join("workflows/leaver.toml"), leaver).expect("written");
        let rotation = include_str!("../../workflows/rotate_secret.toml");
        fs::write(at.join("workflows/rotate_secret.toml"), rotation).expect("written");
        let config = format!(
            "[store]\nurl = \"sqlite:clawback.db\"\n\
             [vault]\npath = \"vault\"\nkey_file = \"vault.key\"\n\
             [kafka]\nbootstrap_servers = \"{}\"\ntopics = [\"lifecycle\"]\ngroup = \"isolation\"\n\
             [connectors]\ndirectory = \"connectors\"\ndrilled = false\n[workflows]\ndirectory = \"workflows\"\n\
             [console]\nlisten = \"127.0.0.1:0\"\n[engine]\nstatus_topic = \"lifecycle.status\"\n",
            broker.bootstrap_servers()
        );
        fs::write(at.join("clawback.toml"), config).expect("written");
        let mut site = Self {
            folder,
            _broker: broker,
            worker: None,
        };
        site.cli(&["secrets", "init"], "");
        site.cli(&["migrate"], "");
        let all = ["--all", "--reason", "a test"];
        for (verb, who) in [("propose", "ada"), ("approve", "bob")] {
            let order = ["connectors", verb, "--as", who];
            site.cli(&[&order[..], &all[..]].concat(), "");
        }
        for name in SPOILED.iter().filter(|_| spoilers.is_some()) {
            for role in ["writer", "verifier"] {
                site.cli(
                    &["secrets", "set", "--as", "ada", name, "--role", role],
                    "a-token",
                );
            }
        }
        let log = fs::File::create(site.folder.path().join("log")).expect("a log");
        let mut command = site.command();
        let command = command
            .arg("run")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        site.worker = Some(command.stderr(log).spawn().expect("the program starts"));
        site
    }

    fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command.current_dir(self.folder.path());
        command.args(["--config", "clawback.toml"]);
        command
    }

    fn cli(&self, arguments: &[&str], input: &str) {
        let given = self.folder.path().join("input");
        fs::write(&given, input).expect("written");
        let given = fs::File::open(given).expect("opened");
        let mut command = self.command();
        let told = command.args(arguments).stdin(given).output();
        let told = told.expect("it runs");
        let words = String::from_utf8_lossy(&told.stderr);
        assert!(told.status.success(), "{arguments:?}: {words}");
    }

    fn everybody_leaves(&self) {
        let events = (0..LEAVERS).map(|person| {
            json!({
                "specversion": "1.0", "id": format!("leaver-{person}"), "source": "urn:hr:test",
                "type": "clawback.worker.terminated.v1", "time": "2026-11-20T08:00:00Z",
                "subject": format!("acme/E{person}"), "datacontenttype": "application/json",
                "data": {
                    "subject": {
                        "kind": "person", "tenant": "acme", "id": format!("E{person}"),
                        "display_name": format!("Person {person}"),
                        "identifiers": [{"type": "username", "value": format!("p{person}")}],
                    },
                    "case_id": format!("hr-{person}"), "revision": 1,
                    "effective": "immediately", "urgency": "planned",
                },
            })
        });
        let events: Vec<_> = events.collect();
        let path = self.folder.path().join("events.json");
        fs::write(path, json!(events).to_string()).expect("written");
        self.cli(&["submit", "events.json"], "");
    }

    async fn ask<T>(&self, text: &str) -> Vec<T>
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        let path = self.folder.path().join("clawback.db");
        let url = format!("sqlite:{}", path.display());
        let mut link = SqliteConnection::connect(&url).await.expect("the database");
        let query = sqlx::query_scalar(AssertSqlSafe(text.to_owned()));
        let column = query.fetch_all(&mut link).await.expect("read");
        link.close().await.expect("closed");
        column
    }

    async fn count(&self, from: &str) -> i64 {
        self.ask::<i64>(&format!("SELECT count(*) FROM {from}"))
            .await[0]
    }

    /// Waits until the sound targets are rid of all leavers, and proof of it is recorded.
    async fn until_the_sound_are_done(&self) {
        let removals = "runs WHERE kind = 'removal' AND ended = 'verified'";
        let sound = async || self.count(removals).await == (SOUND * LEAVERS) as i64;
        let moved = async || self.count("journal").await;
        until_done("the sound targets are done", sound, moved).await;
        let staying = list_of(LEAVERS..LEAVERS * 2);
        for one in 0..SOUND {
            let list = self.folder.path().join(format!("lists/sound-{one}"));
            assert_eq!(fs::read_to_string(list).expect("read"), staying);
        }
    }

    /// From the event to the proof, in milliseconds, of the sound removals; in order.
    async fn latencies(&self) -> Vec<i64> {
        self.ask(
            "SELECT (runs.ended_us - cases.opened_us) / 1000 FROM runs JOIN cases \
             ON cases.id = runs.case_id WHERE runs.kind = 'removal' AND runs.ended = 'verified' \
             ORDER BY 1",
        )
        .await
    }
}

/// One login a line.
fn list_of(mut people: std::ops::Range<usize>) -> String {
    people
        .try_fold(String::new(), |mut list, person| {
            writeln!(list, "p{person}").map(|()| list)
        })
        .expect("memory takes it")
}

fn write_manifest(at: &Path, name: &str, kind: &str, own: &str) {
    let path = at.join(format!("connectors/{name}.toml"));
    fs::write(path, manifest(name, kind, own)).expect("written");
}

/// B4: of twenty connectors one hangs, one answers 429 and one floods; the others end in proof all
/// the same, while the three go on misbehaving.
#[tokio::test(flavor = "multi_thread")]
async fn b4_three_of_twenty_misbehave_and_the_others_do_not_wait() {
    let without = Site::build(None);
    without.everybody_leaves();
    without.until_the_sound_are_done().await;
    let calm = without.latencies().await;
    drop(without);

    let spoilers = Spoilers::start().await;
    let with = Site::build(Some(&spoilers));
    with.everybody_leaves();
    with.until_the_sound_are_done().await;
    let fired = &spoilers.fired;
    for (what, count) in [
        ("hung", &fired.hung),
        ("throttled", &fired.throttled),
        ("flooded", &fired.flooded),
    ] {
        assert!(count.load(Ordering::Relaxed) > 0, "no request {what}");
    }
    // Nobody took silence for absence: no case is over while a target has not answered.
    assert_eq!(with.count("cases WHERE ended = 'verified'").await, 0);
    let spoiled = with.latencies().await;
    let mut told = String::new();
    for (name, share) in [("median", 50), ("99 of 100", 99)] {
        let of = |all: &[i64]| all[(all.len() - 1) * share / 100];
        let (calm, spoiled) = (of(&calm), of(&spoiled));
        let ratio = spoiled as f64 / calm.max(1) as f64;
        let _ = write!(
            told,
            "; {name} {calm} ms without, {spoiled} ms with, ratio {ratio:.2}"
        );
    }
    println!("event to proof at {SOUND} sound targets{told}");
}
