//! D1: planted secrets are in nothing that a whole run leaves behind.
//!
//! Owns one run of the built program on PostgreSQL and Kafka, with traces, metrics and a log at level
//! debug, against targets that repeat every secret they are shown; and the collection of everything that
//! left the process. What a secret may look like is in `search`, the talkative target in `parrot`.
#![allow(clippy::disallowed_methods)] // Real parts keep random names.

mod parrot;
mod search;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use clawback::secrets::{LocalVault, Owner, Slot};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Headers;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, Message as _};
use secrecy::ExposeSecret;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use self::parrot::Parrot;
use self::search::{Planted, search};
use crate::house::{House, Plan, Worker};
use crate::parts::{part, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_clawback");

/// A value that is a secret, and what it is called.
fn canary(name: &str) -> String {
    format!("cn-{name}-{}", hex::encode(rand::random::<[u8; 12]>()))
}

/// What came to be known as text or bytes, and where.
type Places = Vec<(String, Vec<u8>)>;

/// Takes traces over HTTP and keeps every byte.
struct Collector {
    url: String,
    taken: Arc<Mutex<Vec<u8>>>,
    _serving: JoinSet<()>,
}

impl Collector {
    async fn start() -> Self {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let routes = Router::new().fallback(take).with_state(Arc::clone(&taken));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/v1/traces", listener.local_addr().expect("bound"));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, routes).await.expect("serves") });
        Self {
            url,
            taken,
            _serving: serving,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.taken.lock().expect("not poisoned").clone()
    }
}

async fn take(State(taken): State<Arc<Mutex<Vec<u8>>>>, body: Bytes) {
    taken.lock().expect("not poisoned").extend_from_slice(&body);
}

const HEAD: &str = r#"name = "{name}"
kind = "scim"
purpose = "Repeats what it is shown"
owner = "it@acme.example"
deputy = "iam@acme.example"
review_by = "2099-03-31"
after_removal = "account_gone"
operations = ["list", "read", "delete"]
writes = ["*"]
[without]
disable = "a deleted user cannot sign in"
end_sessions = "sessions end with the user"
revoke_entitlement = "it knows no groups"
revoke_credential = "it knows no keys"
[[correlation]]
identifier = "employee_number"
attribute = "externalId"
decides = true
"#;

const ECHO: &str = r#"[credentials.writer]
secret = "local:echo/writer"
rotation = "add"
[credentials.verifier]
secret = "local:echo/verifier"
rotation = "add"
[credentials.rotator]
secret = "local:echo/rotator"
[rotation]
overlap_seconds = 1
[limits]
requests_per_second = 1000
[scim]
base_url = "{url}/echo"
groups = false
[scim.rotation]
create_path = "/tokens"
create_body = { name = "{label}", role = "{role}" }
create_ref = "/id"
create_value = "/token"
list_path = "/tokens"
list_items = "/tokens"
list_ref = "/id"
list_label = "/name"
list_role = "/role"
delete_path = "/tokens/{ref}"
"#;

const GRANT: &str = r#"[credentials.writer]
secret = "local:grant/writer"
username = "client-writer"
[credentials.verifier]
secret = "local:grant/verifier"
username = "client-verifier"
[limits]
requests_per_second = 1000
[scim]
base_url = "{url}/grant"
groups = false
auth = "oauth"
[scim.oauth]
token_url = "{url}/grant/token"
"#;

/// The house with two more targets, and every secret of it recognisable.
struct Scene {
    house: House,
    parrot: Parrot,
    collector: Collector,
    given: Vec<(String, String)>,
    places: Places,
}

impl Scene {
    async fn set() -> Self {
        let mut house = House::build(Plan {
            name: "canaries",
            leavers: 1,
            settings: "drill_days = 30",
            ..Plan::default()
        })
        .await;
        let collector = Collector::start().await;
        house.more = format!(
            "[telemetry]\notlp_endpoint = \"{}\"\nlog_filter = \"debug\"\nlog_format = \"json\"\n",
            collector.url
        );
        let given: Vec<_> = [
            "echo writer",
            "echo verifier",
            "echo rotator",
            "grant writer",
            "grant verifier",
            "shop writer",
            "shop verifier",
            "shop rotator",
            "store password",
        ]
        .map(|name| (name.to_owned(), canary(&name.replace(' ', "-"))))
        .into();
        let value = |name: &str| {
            let found = given.iter().find(|(known, _)| known == name);
            found.expect("planted").1.clone()
        };
        let tokens =
            ["writer", "verifier", "rotator"].map(|role| (role, value(&format!("echo {role}"))));
        let tokens = tokens
            .each_ref()
            .map(|(role, value)| (*role, value.as_str()));
        let (writer, verifier) = (value("grant writer"), value("grant verifier"));
        let clients = [
            ("client-writer", writer.as_str()),
            ("client-verifier", verifier.as_str()),
        ];
        let parrot = Parrot::start(&tokens, &clients).await;
        for (name, own) in [("echo", ECHO), ("grant", GRANT)] {
            let manifest = format!("{HEAD}{own}").replace("{name}", name);
            house.add_connector(name, &manifest.replace("{url}", &parrot.url));
        }
        house.database = own_role(&house.database, &value("store password")).await;
        // The machine tries again at once what an operator would see after a quarter of an hour.
        for name in ["leaver", "rotate_secret"] {
            let file = house.folder.path().join(format!("workflows/{name}.toml"));
            let text = std::fs::read_to_string(&file).expect("readable");
            let text = text
                .replace("keep_trying_seconds = 900", "keep_trying_seconds = 5")
                .replace("keep_trying_seconds = 1800", "keep_trying_seconds = 5");
            std::fs::write(&file, text).expect("written");
        }
        let mut scene = Self {
            house,
            parrot,
            collector,
            given: given.clone(),
            places: Vec::new(),
        };
        for (name, value) in given.iter().filter(|(name, _)| !name.starts_with("store")) {
            let (connector, role) = name.split_once(' ').expect("two words");
            let set = ["secrets", "set", "--as", "ada", connector, "--role", role];
            scene.cli_with(&set, value);
        }
        scene.house.two_people();
        scene.add_a_user();
        scene
    }

    /// Somebody with a password, and a token of the API. The token is printed once, on purpose.
    fn add_a_user(&mut self) {
        let password = canary("user-password");
        let add = ["users", "add", "uma", "--role", "auditor", "--as", "ada"];
        self.cli_with(&add, &password);
        self.given.push(("user password".to_owned(), password));
        let order = ["users", "token", "uma", "--label", "canary", "--as", "ada"];
        let told = self.house.cli(&order, "");
        let token = told.data["token"].as_str().expect("a token").to_owned();
        self.given.push(("API token".to_owned(), token));
    }

    /// What the API answers to the token, and to one that is nearly it.
    async fn ask_the_api(&mut self, worker: &Worker) {
        let (_, token) = self.given.last().expect("planted").clone();
        let http = reqwest::Client::new();
        for path in [
            "overview",
            "cases",
            "tasks",
            "connectors",
            "connectors/echo",
        ] {
            let url = format!("http://127.0.0.1:{}/api/v1/{path}", worker.port);
            for (shown, status) in [(token.clone(), 200), (format!("{token}x"), 401)] {
                let asked = http.get(&url).bearer_auth(shown).send().await;
                let answer = asked.expect("answers");
                assert_eq!(answer.status().as_u16(), status, "{path}");
                let bytes = answer.bytes().await.expect("whole").to_vec();
                self.places.push((format!("the API's {path}"), bytes));
            }
        }
    }

    /// What a command prints is searched too; returns its data.
    fn cli_with(&mut self, arguments: &[&str], input: &str) -> Value {
        let told = self.house.cli(arguments, input);
        let place = arguments.join(" ");
        self.places.push((
            format!("data of {place}"),
            told.data.to_string().into_bytes(),
        ));
        self.places
            .push((format!("words of {place}"), told.words.into_bytes()));
        told.data
    }

    fn cli(&mut self, arguments: &str) -> Value {
        let arguments: Vec<_> = arguments.split(' ').collect();
        self.cli_with(&arguments, "")
    }

    /// Passwords of the shop's roles at the database itself.
    async fn shop_passwords(&self, roles: &[&str], right: bool) {
        let url = part("CLAWBACK_TEST_POSTGRES_ADMIN");
        let mut admin = PgConnection::connect(&url).await.expect("the server");
        for role in roles {
            let found = self
                .given
                .iter()
                .find(|(name, _)| *name == format!("shop {role}"));
            let value = if right {
                found.expect("planted").1.as_str()
            } else {
                "another"
            };
            let text = format!(
                "ALTER ROLE canaries_{}_{role} PASSWORD '{value}'",
                std::process::id()
            );
            let done = sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut admin);
            done.await.expect("done");
        }
    }

    /// Everything that is a secret now or was one: what was put in, what the targets made, what the
    /// vault holds, and its key.
    fn planted(&self) -> Vec<Planted> {
        let mut planted: Vec<_> = self
            .given
            .iter()
            .map(|(name, value)| Planted::new(name, value))
            .collect();
        for value in self.parrot.ever() {
            planted.push(Planted::new("a secret that the target made", &value));
        }
        for role in ["WRITER_TOKEN", "VERIFIER_TOKEN"] {
            planted.push(Planted::new(role, self.house.crm.value(role)));
        }
        let (file, key) = (self.file("vault"), self.file("vault.key"));
        let text = std::fs::read_to_string(&key).expect("a key");
        planted.push(Planted::new("the vault's key", text.trim()));
        let vault = LocalVault::open_by_file(&file, &key).expect("it opens");
        for record in vault.records().expect("readable") {
            let owner = Owner {
                reference: record.reference.clone(),
                connector: record.connector.clone(),
                role: record.role,
            };
            for slot in Slot::ALL {
                let held = vault.reveal(&owner, slot).expect("it opens");
                let value = held.map(|held| held.value.expose_secret().to_owned());
                // The house's own first passwords are words that are in its files.
                if let Some(value) = value.filter(|value| value.len() > 12) {
                    planted.push(Planted::new(
                        &format!("{} of the vault", record.reference),
                        &value,
                    ));
                }
            }
        }
        planted
    }

    fn file(&self, name: &str) -> PathBuf {
        self.house.folder.path().join(name)
    }

    /// A person says that every open task is done, so that the machine looks again at once.
    fn close_tasks(&mut self) {
        let open = self.cli("tasks list");
        for task in open.as_array().into_iter().flatten() {
            // A claim about a rotation is tried, and untrue here: the machine goes on by itself.
            if task["state"]["state"] != "closed" && task["kind"] != "rotation" {
                let id = task["id"].as_str().expect("an id").to_owned();
                self.cli(&format!("tasks show {id}"));
                self.cli(&format!("tasks close {id} --note looked --as bob"));
            }
        }
    }
}

/// The store under a role of its own, so that its password can be looked for.
async fn own_role(url: &str, password: &str) -> String {
    let (head, place) = url.rsplit_once('@').expect("an address with a user");
    let owner = head
        .rsplit('/')
        .next()
        .and_then(|user| user.split(':').next());
    let role = format!("canary_store_{}", std::process::id());
    let admin = part("CLAWBACK_TEST_POSTGRES_ADMIN");
    let mut admin = PgConnection::connect(&admin).await.expect("the server");
    let text = format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{password}' IN ROLE {}",
        owner.expect("a user")
    );
    let done = sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut admin);
    done.await.expect("done");
    format!("postgres://{role}:{password}@{place}")
}

/// Every row of every table as text, bytes as hex.
async fn dump(url: &str) -> Places {
    let mut link = PgConnection::connect(url).await.expect("the database");
    let tables = "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables \
                  WHERE table_schema NOT IN ('pg_catalog', 'information_schema')";
    let tables: Vec<String> = sqlx::query_scalar(tables)
        .fetch_all(&mut link)
        .await
        .expect("read");
    assert!(tables.len() > 10, "{tables:?}");
    let mut places = Vec::new();
    for table in tables {
        let text = format!("SELECT t::text FROM {table} t");
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(text))
            .fetch_all(&mut link)
            .await
            .expect("read");
        places.push((format!("table {table}"), rows.join("\n").into_bytes()));
    }
    places
}

/// Every message of these topics: key, headers and payload.
fn messages(servers: &str, topics: &[String]) -> Places {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "canaries")
        .set("enable.partition.eof", "true")
        .create()
        .expect("a client");
    let mut places = Vec::new();
    for topic in topics {
        let mut list = TopicPartitionList::new();
        for partition in 0..4 {
            let added = list.add_partition_offset(topic, partition, Offset::Beginning);
            added.expect("a place");
        }
        consumer.assign(&list).expect("assigned");
        let (mut all, mut ended, mut polls) = (Vec::new(), 0, 0);
        while ended < 4 {
            polls += 1;
            assert!(polls < 3000, "{topic} has no end");
            let message = match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => message,
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    ended += 1;
                    continue;
                }
                Some(Err(error)) => panic!("{topic}: {error}"),
                // Nothing yet, or something that is no message.
                None => continue,
            };
            all.extend_from_slice(message.key().unwrap_or_default());
            all.extend_from_slice(message.payload().unwrap_or_default());
            for header in message.headers().into_iter().flat_map(Headers::iter) {
                all.extend_from_slice(header.key.as_bytes());
                all.extend_from_slice(header.value.unwrap_or_default());
            }
        }
        places.push((format!("topic {topic}"), all));
    }
    places
}

/// Every file of the house but the operators' own: configuration, and the key's file.
fn files(folder: &Path, places: &mut Places) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            files(&path, places);
        } else if !name.starts_with("clawback-") && !name.starts_with("vault.key") {
            let bytes = std::fs::read(&path).expect("readable");
            places.push((path.display().to_string(), bytes));
        }
    }
}

fn garbage(house: &House) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &house.servers)
        .create()
        .expect("a client");
    let record = BaseRecord::<(), [u8]>::to(&house.topic).payload(&b"no event at all"[..]);
    producer.send(record).expect("taken");
    producer.flush(Duration::from_secs(30)).expect("sent");
}

/// Provokes every wrong answer, while people look on.
async fn illness(scene: &mut Scene) {
    scene.shop_passwords(&["writer", "verifier"], false).await;
    scene.house.submit(0..1);
    garbage(&scene.house);
    // Each for itself, so that a wait in vain says what did not come. Before anybody else asks: only one of
    // the wrong answers is quoted in full, and those who ask by turns may never let the run have it.
    let quoted = "journal WHERE failure LIKE '%[redacted]%'";
    until("an answer was quoted", async || {
        scene.house.count(quoted).await > 0
    })
    .await;
    until("every wrong answer was given", async || {
        scene.cli("connectors check");
        scene.cli("connectors test echo");
        scene.parrot.wrong().len() == 9
    })
    .await;
    for (what, rows, least) in [
        ("people are asked", "tasks", 2),
        ("the garbage was kept", "dead_letters", 1),
    ] {
        until(what, async || scene.house.count(rows).await >= least).await;
    }
    assert_eq!(scene.house.count("dead_letters").await, 1);
    scene.cli("tasks list");
}

/// All answer as they should; the case ends in proof, and every secret is replaced.
async fn recovery(scene: &mut Scene) {
    scene.parrot.gets_well();
    scene
        .shop_passwords(&["writer", "verifier", "rotator"], true)
        .await;
    until("the case has ended in proof", async || {
        scene.close_tasks();
        scene.house.count("cases WHERE ended = 'verified'").await == 1
    })
    .await;
    for role in ["echo --role writer", "echo --role verifier", "shop"] {
        scene.cli(&format!("secrets rotate {role} --as ada"));
    }
    until("the secrets are replaced", async || {
        scene.close_tasks();
        let open = "runs WHERE kind = 'rotation' AND ended IS NULL";
        let done = "runs WHERE kind = 'rotation' AND ended = 'rotated'";
        scene.house.count(open).await == 0 && scene.house.count(done).await >= 3
    })
    .await;
    assert_eq!(scene.parrot.wrong().len(), 10, "{:?}", scene.parrot.wrong());
}

/// Whatever anybody can ask the command line for.
async fn ask_for_everything(scene: &mut Scene) {
    let case: uuid::Uuid = scene.house.column("SELECT id FROM cases").await[0];
    for command in [
        "check",
        "cases list",
        "tasks list",
        "secrets list",
        "connectors list",
        "connectors check",
        "connectors health",
        "connectors health echo",
        "connectors inventory echo",
        "connectors orphans",
        "connectors history echo",
        "connectors show echo",
        "connectors diff echo",
        "dead-letters list",
        "audit verify",
        "audit report",
        "audit ocsf",
        "audit checkpoints",
        "audit keys",
        "workflows list",
        "users list",
        "users acts",
    ] {
        scene.cli(command);
    }
    scene.cli(&format!("cases show {case}"));
    let evidence = scene.file("evidence.json").display().to_string();
    scene.cli(&format!("evidence export {case} --out {evidence}"));
    assert!(
        scene.file("evidence.html").exists(),
        "evidence was exported"
    );
    let letters = scene.cli("dead-letters list");
    let letter = letters[0]["id"].as_str().expect("a letter").to_owned();
    scene.cli(&format!("dead-letters show {letter}"));
}

/// Everything that has left the worker.
async fn collect(scene: &Scene, worker: &Worker) -> Places {
    let mut places = scene.places.clone();
    let url = format!("http://127.0.0.1:{}/metrics", worker.port);
    let metrics = reqwest::get(url).await.expect("answers").bytes().await;
    places.push(("/metrics".to_owned(), metrics.expect("whole").to_vec()));
    let line = std::fs::read(format!("/proc/{}/cmdline", worker.process.id()));
    places.push(("the command line".to_owned(), line.expect("readable")));
    places.push(("the traces".to_owned(), scene.collector.bytes()));
    places.extend(dump(&scene.house.database).await);
    let topic = &scene.house.topic;
    let topics = [
        topic.clone(),
        format!("{topic}.dlq"),
        format!("{topic}.status"),
    ];
    let servers = scene.house.servers.clone();
    let read = tokio::task::spawn_blocking(move || messages(&servers, &topics));
    places.extend(read.await.expect("read"));
    files(scene.house.folder.path(), &mut places);
    places
}

/// D1: everything that can leave the process is searched for everything that must not.
#[tokio::test(flavor = "multi_thread")]
async fn d1_planted_secrets_are_in_nothing_that_a_run_leaves_behind() {
    let mut scene = Scene::set().await;
    let mut worker = scene.house.worker("a");
    scene.house.ready(&mut worker).await;
    illness(&mut scene).await;
    recovery(&mut scene).await;
    ask_for_everything(&mut scene).await;
    scene.ask_the_api(&worker).await;
    let seen = ["the traces", "the log"];
    until("traces have come", async || {
        !scene.collector.bytes().is_empty()
    })
    .await;
    let places = collect(&scene, &worker).await;
    let planted = scene.planted();
    assert!(planted.len() > 20, "{} secrets were planted", planted.len());

    // The search reaches into each kind of place: what is no secret is found there, bytes of the
    // database included.
    let topic = &scene.house.topic;
    for (place, word) in [
        ("/metrics", "clawback_cases_opened_total"),
        (seen[0], "step find_accounts"),
        ("worker-a.log", "\"level\":\"DEBUG\""),
        ("table public.runs", "rotated"),
        ("table public.events", "urn:hr:test"),
        ("table public.journal", "[redacted]"),
        (&format!("topic {topic}.dlq"), "no event at all"),
        (&format!("topic {topic}.status"), "clawback.status"),
        ("evidence.json", "payload"),
    ] {
        let here = places.iter().filter(|(name, _)| name.ends_with(place));
        let holds = |(_, bytes): &(String, Vec<u8>)| {
            let hidden = hex::encode(word);
            let text = String::from_utf8_lossy(bytes);
            text.contains(word) || text.contains(&hidden)
        };
        assert!(here.clone().any(holds), "`{word}` is not found in {place}");
    }
    // A secret that was put where it must not be is found.
    let leak = scene.given[0].1.clone();
    let plant = (
        "a place".to_owned(),
        format!("so {leak} leaked").into_bytes(),
    );
    assert_eq!(search(&planted, std::slice::from_ref(&plant)).len(), 1);

    let leaks = search(&planted, &places);
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    no_core_of(worker);
}

/// The real worker dies of a signal that dumps core, and leaves none.
fn no_core_of(mut worker: Worker) {
    use std::os::unix::process::ExitStatusExt as _;
    let id = worker.process.id();
    let limits = std::fs::read_to_string(format!("/proc/{id}/limits")).expect("readable");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<_> = line.expect("a line").split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{limits}");
    let pid = i32::try_from(id)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let pid = pid.expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::ABORT).expect("signalled");
    let status = worker.process.wait().expect("it ends");
    assert_eq!(status.signal(), Some(6), "it died of it");
    assert!(!status.core_dumped());
}

/// D1: no other process of the same user may look into one that holds secrets; the kernel gives its
/// files in `/proc` to root then.
#[test]
fn d1_a_process_that_holds_secrets_cannot_be_attached_to() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::os::unix::process::CommandExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).expect("open to all");
    std::fs::write(folder.path().join("clawback.toml"), "").expect("written");
    let program = folder.path().join("clawback");
    std::fs::copy(PROGRAM, &program).expect("copied");
    let root = rustix::process::geteuid().is_root();
    let mut owners = Vec::new();
    // One that forbids nothing, for comparison; then the program, which waits for a value.
    let ours = ["secrets", "set", "--as", "ada", "local:x"].map(str::to_owned);
    for (program, arguments) in [(Path::new("cat"), &ours[..0]), (&program, &ours[..])] {
        let mut command = Command::new(program);
        command.current_dir(folder.path()).args(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if root {
            command.uid(65534).gid(65534);
        }
        let mut child = command.spawn().expect("it starts");
        let place = format!("/proc/{}", child.id());
        let mut owner = None;
        for _ in 0..600 {
            std::thread::sleep(Duration::from_millis(100));
            assert_eq!(child.try_wait().expect("asked"), None, "it waits");
            owner = Some(
                std::fs::metadata(format!("{place}/mem"))
                    .expect("there")
                    .uid(),
            );
            if owner == Some(0) || arguments.is_empty() {
                break;
            }
        }
        owners.push(owner.expect("looked at"));
        child.kill().expect("killed");
        child.wait().expect("gone");
    }
    let user = if root {
        65534
    } else {
        rustix::process::geteuid().as_raw()
    };
    assert_eq!(owners, [user, 0]);
}
