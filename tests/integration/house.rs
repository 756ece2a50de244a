//! Everything that one deployment stands on, for tests that drive the built binary.
//!
//! Owns four targets that nobody here wrote or that another program serves by (a SCIM server, an
//! access table, an htpasswd file under nginx, a list of badges that only people may change), the
//! people who have accounts in them, the configuration, and the worker processes. Looks at the
//! targets themselves, never through Clawback. Asserts nothing about when things happen.
#![allow(clippy::disallowed_methods)] // Real parts keep real time and random names.
#![allow(clippy::print_stdout)] // What a failed worker said belongs to the failure.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use clawback::demo::broker::Broker;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::parts::{Service, part, until, until_done};

const PROGRAM: &str = env!("CARGO_BIN_EXE_clawback");

const TABLES: &str = "
CREATE TABLE staff (id bigint PRIMARY KEY, login text NOT NULL, active boolean NOT NULL, employee_number text);
CREATE TABLE staff_role (staff bigint REFERENCES staff, role text);
CREATE TABLE session (token text, staff bigint);
";

/// What a house is to be like.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Distinguishes what is shared: databases, topics, instances.
    pub name: &'static str,
    /// People who will leave; as many others stay.
    pub leavers: usize,
    /// Of the leavers, so many have a badge, which only a person can take back.
    pub badges: usize,
    /// PostgreSQL and Kafka of its own, to be broken.
    pub own_services: bool,
    /// Connectors serve events only after a drill.
    pub drilled: bool,
    /// More lines for `clawback.toml`.
    pub settings: &'static str,
}

/// A deployment.
pub struct House {
    pub folder: tempfile::TempDir,
    pub database: String,
    pub topic: String,
    pub servers: String,
    pub shop: String,
    pub crm: Service,
    pub portal: Service,
    pub postgres: Option<Service>,
    pub kafka: Option<Service>,
    pub plan: Plan,
    /// Further tables of `clawback.toml`, for workers that start later.
    pub more: String,
    http: reqwest::Client,
    groups: Vec<String>,
    _broker: Option<Broker>,
}

/// A worker process; killed when dropped.
#[derive(Debug)]
pub struct Worker {
    pub process: Child,
    pub log: PathBuf,
    pub port: u16,
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let text = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            let last = lines.len().saturating_sub(40);
            println!("--- {}\n{}", self.log.display(), lines[last..].join("\n"));
        }
    }
}

/// What a command came to.
#[derive(Debug)]
pub struct Told {
    pub code: i32,
    pub data: Value,
    pub words: String,
}

/// A broker that is killed and started again counts as itself once its old session is over.
const SOON_BACK: &str = "broker.session.timeout.ms=9000";

/// A port that is free now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

async fn run(url: &str, text: &str) {
    let mut link = PgConnection::connect(url).await.expect("the database");
    let query = sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
    query.execute(&mut link).await.expect("the statement runs");
    link.close().await.expect("closed");
}

fn login(person: usize) -> String {
    format!("p{person}")
}

impl House {
    pub async fn build(plan: Plan) -> Self {
        let unique = format!("{}_{}", plan.name, std::process::id());
        let postgres = plan
            .own_services
            .then(|| Service::up("postgres", &format!("{unique}-postgres"), &[]));
        let kafka = plan
            .own_services
            .then(|| Service::up("kafka", &format!("{unique}-kafka"), &[SOON_BACK]));
        let server = postgres.as_ref().map_or_else(
            || part("CLAWBACK_TEST_POSTGRES"),
            |own| own.value("URL").to_owned(),
        );
        let (head, _) = server.rsplit_once('/').expect("an address with a database");
        let (database, shop) = (format!("job_{unique}"), format!("shop_{unique}"));
        for name in [&database, &shop] {
            run(&server, &format!("CREATE DATABASE {name}")).await;
        }
        let (mut servers, mut broker) = (part("CLAWBACK_TEST_KAFKA"), None);
        if let Some(kafka) = &kafka {
            kafka.value("URL").clone_into(&mut servers);
        }
        let topic = format!("lifecycle-{unique}");
        let topics = [
            topic.clone(),
            format!("{topic}.dlq"),
            format!("{topic}.status"),
        ];
        if servers == "embedded" {
            let names: Vec<_> = topics.iter().map(String::as_str).collect();
            let own = Broker::start(&names, 4).expect("a broker");
            own.bootstrap_servers().clone_into(&mut servers);
            broker = Some(own);
        } else {
            make_topics(&servers, &topics).await;
        }
        let users: Vec<_> = (0..plan.leavers * 2)
            .map(|person| format!("user={}:secret-{person}", login(person)))
            .collect();
        let users: Vec<_> = users.iter().map(String::as_str).collect();
        let mut house = Self {
            folder: tempfile::tempdir().expect("a folder"),
            database: format!("{head}/{database}"),
            shop: format!("{head}/{shop}"),
            topic,
            servers,
            crm: Service::up("scim", &format!("{unique}-crm"), &[]),
            portal: Service::up("nginx", &format!("{unique}-portal"), &users),
            postgres,
            kafka,
            plan,
            more: String::new(),
            http: reqwest::Client::new(),
            groups: Vec::new(),
            _broker: broker,
        };
        house.populate(&unique).await;
        house.configure(&unique);
        house
    }

    /// Everyone has an account everywhere; some leavers have a badge.
    async fn populate(&mut self, unique: &str) {
        let people = self.plan.leavers * 2;
        let mut ids = Vec::new();
        for person in 0..people {
            let (status, user) = self
                .scim(
                    reqwest::Method::POST,
                    "/Users",
                    Some(json!({
                        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
                        "userName": login(person), "externalId": format!("E{person}"), "active": true,
                        "roles": [{"value": "editor"}],
                    })),
                )
                .await;
            assert_eq!(status, 201, "{user}");
            ids.push(user["id"].as_str().expect("an id").to_owned());
        }
        for group in ["staff", "sales"] {
            let members: Vec<_> = ids.iter().map(|id| json!({ "value": id })).collect();
            let body = json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
                "displayName": group, "members": members,
            });
            let (status, made) = self
                .scim(reqwest::Method::POST, "/Groups", Some(body))
                .await;
            assert_eq!(status, 201, "{made}");
            self.groups
                .push(made["id"].as_str().expect("an id").to_owned());
        }
        run(&self.shop, TABLES).await;
        let rows = (0..people).map(|person| {
            format!(
                "INSERT INTO staff VALUES ({person}, 'p{person}', TRUE, 'E{person}'); \
                 INSERT INTO staff_role VALUES ({person}, 'clerk'), ({person}, 'approver'); \
                 INSERT INTO session VALUES ('s{person}', {person});"
            )
        });
        run(&self.shop, &rows.collect::<String>()).await;
        let mut roles = String::new();
        for role in ["writer", "verifier"] {
            roles += &format!(
                "CREATE ROLE {unique}_{role} LOGIN PASSWORD '{role}-1'; \
                 GRANT SELECT ON ALL TABLES IN SCHEMA public TO {unique}_{role};"
            );
        }
        roles += &format!(
            "GRANT UPDATE (active) ON staff TO {unique}_writer; \
             GRANT DELETE ON session, staff_role TO {unique}_writer; \
             CREATE ROLE {unique}_rotator LOGIN CREATEROLE PASSWORD 'rotator-1'; \
             GRANT {unique}_writer TO {unique}_rotator WITH ADMIN OPTION"
        );
        run(&self.shop, &roles).await;
        let holders = (0..self.plan.badges).chain(self.plan.leavers..people);
        let badges: Vec<_> = holders.map(login).collect();
        std::fs::write(self.badges(), badges.join("\n") + "\n").expect("written");
    }

    fn configure(&self, unique: &str) {
        let folder = self.folder.path();
        let (_, place) = self.shop.rsplit_once('@').expect("an address with a user");
        let manifests = MANIFESTS
            .replace("{scim}", self.crm.value("URL"))
            .replace("{shop}", &format!("postgres://{place}"))
            .replace("{unique}", unique)
            .replace("{portal}", &self.htpasswd().display().to_string())
            .replace("{badges}", &self.badges().display().to_string());
        std::fs::create_dir(folder.join("connectors")).expect("made");
        for manifest in manifests.split("=====\n") {
            let name = manifest.split('"').nth(1).expect("a name");
            let text = format!("{manifest}{COMMON}");
            let path = folder.join("connectors").join(format!("{name}.toml"));
            std::fs::write(path, text).expect("written");
        }
        // The shipped workflow with shorter waits: an operator would do the same for a rehearsal.
        let leaver = include_str!("../../workflows/leaver.toml")
            .replace("wait_seconds = 3600", "wait_seconds = 1")
            .replace("wait_seconds = 82800", "wait_seconds = 1")
            .replace("first_seconds = 30", "first_seconds = 1")
            .replace("first_seconds = 5", "first_seconds = 1")
            .replace("first_seconds = 2", "first_seconds = 1")
            .replace("at_most_seconds = 900", "at_most_seconds = 2");
        let rotation = include_str!("../../workflows/rotate_secret.toml");
        std::fs::create_dir(folder.join("workflows")).expect("made");
        std::fs::write(folder.join("workflows/leaver.toml"), leaver).expect("written");
        std::fs::write(folder.join("workflows/rotate_secret.toml"), rotation).expect("written");
        self.write_config(0);
        for (arguments, input) in [
            (vec!["secrets", "init"], ""),
            (vec!["migrate"], ""),
            (
                vec!["secrets", "set", "--as", "ada", "crm"],
                self.crm.value("WRITER_TOKEN"),
            ),
            (
                vec!["secrets", "set", "--as", "ada", "crm", "--role", "verifier"],
                self.crm.value("VERIFIER_TOKEN"),
            ),
            (vec!["secrets", "set", "--as", "ada", "shop"], "writer-1"),
            (
                vec![
                    "secrets", "set", "--as", "ada", "shop", "--role", "verifier",
                ],
                "verifier-1",
            ),
            (
                vec!["secrets", "set", "--as", "ada", "shop", "--role", "rotator"],
                "rotator-1",
            ),
        ] {
            let told = self.cli(&arguments, input);
            assert_eq!(told.code, 0, "{arguments:?}: {}", told.words);
        }
        self.two_people();
    }

    /// One person proposes every manifest as it lies there, another approves them.
    pub fn two_people(&self) {
        for (verb, who) in [("propose", "paula"), ("approve", "axel")] {
            let arguments = [
                "connectors",
                verb,
                "--all",
                "--as",
                who,
                "--reason",
                "agreed",
            ];
            let told = self.cli(&arguments, "");
            assert_eq!(told.code, 0, "{verb}: {} {}", told.data, told.words);
        }
    }

    /// Puts one more connector beside the others; two people have to approve it.
    pub fn add_connector(&self, name: &str, manifest: &str) {
        let path = self.folder.path().join("connectors");
        let text = format!("{manifest}{COMMON}");
        std::fs::write(path.join(format!("{name}.toml")), text).expect("written");
    }

    /// Changes a connector's file.
    pub fn rewrite(&self, connector: &str, from: &str, to: &str) {
        let path = self.folder.path().join("connectors");
        let path = path.join(format!("{connector}.toml"));
        let text = std::fs::read_to_string(&path).expect("readable");
        assert!(text.contains(from), "{from} is in {text}");
        std::fs::write(path, text.replace(from, to)).expect("written");
    }

    fn write_config(&self, port: u16) -> PathBuf {
        let path = self.folder.path().join(format!("clawback-{port}.toml"));
        let text = format!(
            "[store]\nurl = \"{}\"\nconnections = 4\n\
             [vault]\npath = \"vault\"\nkey_file = \"vault.key\"\n\
             [kafka]\nbootstrap_servers = \"{}\"\ntopics = [\"{}\"]\ngroup = \"{}\"\n\
             [kafka.properties]\n\"message.timeout.ms\" = \"240000\"\n\
             [connectors]\ndirectory = \"connectors\"\ndrilled = {}\n\
             [workflows]\ndirectory = \"workflows\"\n\
             [console]\nlisten = \"127.0.0.1:{port}\"\n\
             {}\n",
            self.database,
            self.servers,
            self.topic,
            self.topic,
            self.plan.drilled,
            self.settings()
        );
        std::fs::write(&path, text).expect("written");
        path
    }

    fn settings(&self) -> String {
        let status = format!("status_topic = \"{}.status\"", self.topic);
        format!("[engine]\n{status}\n{}\n{}", self.plan.settings, self.more)
    }

    pub fn badges(&self) -> PathBuf {
        self.folder.path().join("badges.txt")
    }

    pub fn htpasswd(&self) -> PathBuf {
        let path = Path::new(self.portal.value("HTPASSWD"));
        path.canonicalize().expect("the list")
    }

    /// Runs a command of the built binary with `--json`.
    pub fn cli(&self, arguments: &[&str], input: &str) -> Told {
        let config = self.folder.path().join("clawback-0.toml");
        let mut child = Command::new(PROGRAM)
            .arg("--config")
            .arg(config)
            .arg("--json")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("taken");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout);
        Told {
            code: output.status.code().unwrap_or(-1),
            data: serde_json::from_str(&text).unwrap_or(Value::Null),
            words: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts a worker; returns at once.
    pub fn worker(&self, name: &str) -> Worker {
        let port = free_port();
        let config = self.write_config(port);
        let log = self.folder.path().join(format!("worker-{name}.log"));
        let mut lines = OpenOptions::new();
        let lines = lines.create(true).append(true).open(&log).expect("a log");
        let process = Command::new(PROGRAM)
            .arg("--config")
            .arg(config)
            .arg("run")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(lines)
            .spawn()
            .expect("the program starts");
        Worker { process, log, port }
    }

    /// Waits until a worker says that it can work.
    pub async fn ready(&self, worker: &mut Worker) {
        until("a worker is ready", async || {
            let told = self.check(worker, "/readyz").await;
            told.is_some_and(|(status, _)| status == 200)
        })
        .await;
    }

    /// What a worker that has not ended answers to `/readyz` or `/livez`, if it answers.
    pub async fn check(&self, worker: &mut Worker, path: &str) -> Option<(u16, String)> {
        let ended = worker.process.try_wait().expect("asked");
        assert_eq!(ended, None, "the worker has ended");
        let url = format!("http://127.0.0.1:{}{path}", worker.port);
        let answer = self.http.get(&url).send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.text().await.ok()?))
    }

    /// One number of a worker's metrics page, summed over its labels.
    pub async fn metric(&self, worker: &Worker, name: &str) -> f64 {
        let url = format!("http://127.0.0.1:{}/metrics", worker.port);
        let page = self.http.get(&url).send().await.expect("answers");
        let page = page.text().await.expect("text");
        let lines = page.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or("");
            rest.starts_with(' ') || rest.starts_with('{')
        });
        let numbers = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        numbers.sum()
    }

    /// The event that a person leaves now.
    pub fn departure(&self, person: usize) -> Value {
        json!({
            "specversion": "1.0", "id": format!("{}-{person}", self.topic),
            "source": "urn:hr:test", "type": "clawback.worker.terminated.v1",
            "time": "2026-11-20T08:00:00Z", "subject": format!("acme/E{person}"),
            "datacontenttype": "application/json",
            "data": {
                "subject": {
                    "kind": "person", "tenant": "acme", "id": format!("E{person}"),
                    "display_name": format!("Person {person}"),
                    "identifiers": [
                        {"type": "employee_number", "value": format!("E{person}")},
                        {"type": "username", "value": login(person)},
                    ],
                },
                "case_id": format!("hr-{person}"), "revision": 1,
                "effective": "immediately", "urgency": "planned",
            },
        })
    }

    /// A file with the departures of these people.
    fn departures(&self, people: impl Iterator<Item = usize>) -> String {
        let events: Vec<_> = people.map(|person| self.departure(person)).collect();
        let file = self.folder.path().join("events.json");
        std::fs::write(&file, json!(events).to_string()).expect("written");
        file.display().to_string()
    }

    /// Publishes departures with `clawback submit`.
    pub fn submit(&self, people: impl Iterator<Item = usize>) {
        let told = self.cli(&["submit", &self.departures(people)], "");
        assert_eq!(told.code, 0, "{}", told.words);
    }

    /// What `clawback plan` tells of departures.
    pub fn plan(&self, people: impl Iterator<Item = usize>) -> Value {
        let told = self.cli(&["plan", &self.departures(people)], "");
        assert_eq!(told.code, 0, "{}", told.words);
        told.data
    }

    /// One number from Clawback's own database.
    pub async fn count(&self, from: &str) -> i64 {
        let mut link = PgConnection::connect(&self.database)
            .await
            .expect("the database");
        let text = format!("SELECT count(*) FROM {from}");
        let query = sqlx::query_scalar(AssertSqlSafe(text));
        let count = query.fetch_one(&mut link).await.expect("counted");
        link.close().await.expect("closed");
        count
    }

    /// One column of Clawback's own database.
    pub async fn column<T>(&self, text: &str) -> Vec<T>
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
        (T,): for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
    {
        let mut link = PgConnection::connect(&self.database)
            .await
            .expect("the database");
        let query = sqlx::query_scalar(AssertSqlSafe(text.to_owned()));
        let column = query.fetch_all(&mut link).await.expect("read");
        link.close().await.expect("closed");
        column
    }

    /// Statements in Clawback's own database, past the program.
    pub async fn in_own_database(&self, text: &str) {
        run(&self.database, text).await;
    }

    /// Statements in the shop's database, past the connector.
    pub async fn in_shops_database(&self, text: &str) {
        run(&self.shop, text).await;
    }

    /// One number from the shop's tables, past the connector.
    pub async fn in_shop(&self, from: &str) -> i64 {
        let mut link = PgConnection::connect(&self.shop).await.expect("the shop");
        let text = format!("SELECT count(*) FROM {from}");
        let query = sqlx::query_scalar(AssertSqlSafe(text));
        let count = query.fetch_one(&mut link).await.expect("counted");
        link.close().await.expect("closed");
        count
    }

    async fn scim(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}{path}", self.crm.value("URL"));
        let mut request = self.http.request(method, url);
        request = request.bearer_auth(self.crm.value("WRITER_TOKEN"));
        if let Some(body) = body {
            request = request.header("content-type", "application/scim+json");
            request = request.body(body.to_string());
        }
        let answer = request.send().await.expect("the server answers");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("the server answers whole");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// The SCIM server's id of a person.
    pub async fn crm_id(&self, person: usize) -> String {
        let (_, users) = self
            .scim(reqwest::Method::GET, "/Users?count=1000", None)
            .await;
        let users = users["Resources"].as_array().expect("a list");
        let mut users = users.iter();
        let found = users.find(|user| user["userName"] == login(person));
        let id = found.expect("is there")["id"].as_str();
        id.expect("an id").to_owned()
    }

    /// What nginx answers this person.
    pub async fn portal_says(&self, person: usize) -> u16 {
        let request = self.http.get(self.portal.value("PRIVATE_URL"));
        let request = request.basic_auth(login(person), Some(format!("secret-{person}")));
        request
            .send()
            .await
            .expect("nginx answers")
            .status()
            .as_u16()
    }

    /// Looks at the targets themselves: nobody has lost anything yet.
    pub async fn everybody_is_there(&self) {
        let all = self.plan.leavers * 2;
        let (_, users) = self
            .scim(reqwest::Method::GET, "/Users?count=1000", None)
            .await;
        let users = users["Resources"].as_array().expect("a list").clone();
        assert_eq!(users.len(), all, "users of the SCIM server");
        assert!(users.iter().all(|user| user["active"] == true));
        let everybody = all as i64;
        assert_eq!(self.in_shop("staff WHERE active").await, everybody);
        assert_eq!(self.in_shop("staff_role").await, everybody * 2);
        assert_eq!(self.in_shop("session").await, everybody);
        for person in 0..all {
            assert_eq!(self.portal_says(person).await, 200, "nginx to {person}");
        }
    }

    /// Looks at the targets themselves: leavers are gone, those who stay have lost nothing.
    pub async fn leavers_are_gone_and_nobody_else(&self) {
        let leavers = self.plan.leavers;
        let (_, users) = self
            .scim(reqwest::Method::GET, "/Users?count=1000", None)
            .await;
        let users = users["Resources"].as_array().expect("a list").clone();
        let mut logins: Vec<_> = users
            .iter()
            .filter_map(|user| user["userName"].as_str())
            .collect();
        logins.sort_unstable();
        let mut stay: Vec<_> = (leavers..leavers * 2).map(login).collect();
        stay.sort_unstable();
        assert_eq!(logins, stay, "users of the SCIM server");
        assert!(
            users
                .iter()
                .all(|user| user["active"] == true && user["roles"][0]["value"] == "editor")
        );
        for group in &self.groups {
            let (_, group) = self
                .scim(reqwest::Method::GET, &format!("/Groups/{group}"), None)
                .await;
            let members = group["members"].as_array().map_or(0, Vec::len);
            assert_eq!(members, leavers, "members of {}", group["displayName"]);
        }
        let gone = format!("staff < {leavers}");
        assert_eq!(
            self.in_shop(&format!("staff WHERE active AND id < {leavers}"))
                .await,
            0
        );
        assert_eq!(self.in_shop(&format!("staff_role WHERE {gone}")).await, 0);
        assert_eq!(self.in_shop(&format!("session WHERE {gone}")).await, 0);
        let stays = leavers as i64;
        assert_eq!(self.in_shop("staff WHERE active").await, stays);
        assert_eq!(self.in_shop("staff_role").await, stays * 2);
        assert_eq!(self.in_shop("session").await, stays);
        for person in 0..leavers * 2 {
            let expected = if person < leavers { 401 } else { 200 };
            assert_eq!(
                self.portal_says(person).await,
                expected,
                "nginx to person {person}"
            );
        }
        let list = std::fs::read_to_string(self.htpasswd()).expect("readable");
        assert!(list.starts_with('#'), "its comment is kept");
    }

    /// Waits until every case has ended, or waits for a person with nothing else to do.
    pub async fn until_at_rest(&self, cases: i64, waiting: i64) {
        let rest = async || {
            self.count("cases").await == cases
                && self.count("cases WHERE ended IS NULL").await == waiting
                && self.count("tasks WHERE state <> 'closed'").await == waiting
                && self
                    .count("runs WHERE ended IS NULL AND stage = 'due'")
                    .await
                    == 0
        };
        until_done(
            "every case has ended or is with a person",
            rest,
            async || self.count("journal").await,
        )
        .await;
    }
}

async fn make_topics(servers: &str, names: &[String]) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .create()
        .expect("an admin client");
    let topics = names
        .iter()
        .map(|name| NewTopic::new(name, 4, TopicReplication::Fixed(1)));
    let topics: Vec<_> = topics.collect();
    let made = admin.create_topics(&topics, &AdminOptions::new()).await;
    for one in made.expect("an answer") {
        one.expect("a topic");
    }
}

const COMMON: &str = r#"
[fallback]
desk = "built-in"
deadline_hours = 24
steps = ["Sign in as an administrator", "Remove the person"]
"#;

/// Top-level keys come first, so that the common tables can follow.
const MANIFESTS: &str = r#"name = "crm"
kind = "scim"
purpose = "Customer records"
owner = "sales-it@acme.example"
deputy = "iam@acme.example"
review_by = "2099-03-31"
after_removal = "account_gone"
operations = ["list", "read", "disable", "revoke_entitlement", "delete"]
writes = ["active", "members", "roles", "*"]
[without]
end_sessions = "sessions end when active becomes false"
revoke_credential = "the target has no personal keys"
[[correlation]]
identifier = "employee_number"
attribute = "externalId"
decides = true
[credentials.writer]
secret = "local:crm/writer"
[credentials.verifier]
secret = "local:crm/verifier"
[limits]
concurrency = 4
requests_per_second = 1000
[expect]
fields = ["userName"]
[scim]
base_url = "{scim}"
=====
name = "shop"
kind = "sql"
purpose = "Back office of the shop"
owner = "shop-it@acme.example"
deputy = "iam@acme.example"
review_by = "2099-03-31"
after_removal = "account_powerless"
operations = ["list", "read", "disable", "end_sessions", "revoke_entitlement"]
writes = ["staff.active", "session.*", "staff_role.*"]
[without]
revoke_credential = "the back office has no personal keys"
delete = "orders point to the account, so it stays"
[[correlation]]
identifier = "employee_number"
attribute = "employee_number"
decides = true
[credentials.writer]
secret = "local:shop/writer"
username = "{unique}_writer"
rotation = "choose"
[credentials.verifier]
secret = "local:shop/verifier"
username = "{unique}_verifier"
[credentials.rotator]
secret = "local:shop/rotator"
username = "{unique}_rotator"
[rotation]
overlap_seconds = 1
[limits]
concurrency = 4
requests_per_second = 1000
[expect]
fields = ["employee_number"]
[sql]
url = "{shop}"
list = "SELECT id, login, active AS state, employee_number FROM staff ORDER BY id"
read = "SELECT id, login, active AS state, employee_number FROM staff WHERE id = :account"
entitlements = "SELECT role AS id, 'role' AS kind FROM staff_role WHERE staff = :account"
sessions = "SELECT count(*) AS sessions FROM session WHERE staff = :account"
disable = "UPDATE staff SET active = FALSE WHERE id = :account AND login = :login"
end_sessions = "DELETE FROM session WHERE staff = :account"
revoke_entitlement = "DELETE FROM staff_role WHERE staff = :account AND role = :entitlement"
=====
name = "portal"
kind = "file"
purpose = "Who may open the partner portal"
owner = "web@acme.example"
deputy = "iam@acme.example"
review_by = "2099-03-31"
after_removal = "account_gone"
operations = ["list", "read", "delete"]
writes = ["*"]
[without]
disable = "an entry in the list is the access; deleting it disables"
end_sessions = "nginx asks for the password with each request"
revoke_entitlement = "the list knows no groups"
revoke_credential = "the password hash goes with the entry"
[[correlation]]
identifier = "username"
attribute = "login"
decides = true
[credentials.writer]
secret = "none:writer"
[credentials.verifier]
secret = "none:verifier"
[limits]
concurrency = 4
requests_per_second = 1000
[file]
path = "{portal}"
format = "htpasswd"
=====
name = "badges"
kind = "file"
purpose = "Who may enter the building; the gate's own list, which only the guards change"
owner = "guards@acme.example"
deputy = "iam@acme.example"
review_by = "2099-03-31"
after_removal = "account_gone"
operations = ["list", "read"]
writes = []
[[correlation]]
identifier = "username"
attribute = "login"
decides = true
[credentials.writer]
secret = "none:writer"
[credentials.verifier]
secret = "none:verifier"
[limits]
requests_per_second = 1000
[file]
path = "{badges}"
format = "lines"
"#;
