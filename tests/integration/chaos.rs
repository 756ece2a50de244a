//! Every way in which a connection to a target spoils an answer, on real programs (C6, C7, C11).
//!
//! Owns a proxy that spoils what the target sends, from the moment at which a request of the wanted
//! kind went through, and the rules that hold for every kind of connector: what is not known is never
//! told as gone, a yes is told only where there was an effect, and afterwards the same change works.
//! Each fault is counted; one that never fired is a failure of the test.
#![allow(clippy::disallowed_methods)] // Real parts keep real time.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clawback::app::examine::{self, Mark};
use clawback::connectors::{Answered, Change, Credential, Guarded, Registry};
use clawback::domain::access::{AccountState, Operation};
use clawback::domain::id::{AccountId, ConnectorName};
use clawback::domain::outcome::{Failure, FailureClass};
use clawback::domain::time::{Clock, Timestamp};
use clawback::domain::verdict::CredentialRole;
use ldap3::{Ldap, LdapConnAsync, Scope, SearchEntry};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::parts::{Service, part};

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// The connection is reset before the request arrives.
    Reset,
    /// The request arrives; its answer does not come back.
    AnswerLost,
    /// The answer comes after the connector has given up.
    Slow,
    /// The connection ends in the middle of the answer.
    Half,
    /// Something else answers.
    Garbage,
    /// The answer is a success without content (HTTP).
    Empty,
    /// A field is called otherwise (HTTP).
    Renamed,
    /// The credential is not accepted any more (HTTP).
    Expired,
}

impl Fault {
    const ANY: [Self; 5] = [
        Self::Reset,
        Self::AnswerLost,
        Self::Slow,
        Self::Half,
        Self::Garbage,
    ];
    const HTTP: [Self; 3] = [Self::Empty, Self::Renamed, Self::Expired];

    /// How a connector may tell what it met.
    fn classes(self) -> &'static [FailureClass] {
        use FailureClass as C;
        match self {
            Self::Reset | Self::AnswerLost | Self::Slow => &[C::Unreachable, C::UnknownOutcome],
            Self::Half | Self::Garbage | Self::Empty => &[
                C::Unreachable,
                C::UnknownOutcome,
                C::Drifted,
                C::PartialSuccess,
            ],
            Self::Renamed => &[C::Drifted],
            Self::Expired => &[C::AuthFailure],
        }
    }
}

const EXPIRED: &[u8] = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";

/// Which requests meet which fault.
#[derive(Debug, Clone)]
struct Order {
    fault: Fault,
    /// From the first request on that holds these bytes.
    from: String,
    /// The field that is called otherwise, and how; of one length.
    field: (&'static str, &'static str),
}

#[derive(Debug, Default)]
struct Plan {
    order: Mutex<Option<Order>>,
    fired: AtomicU64,
}

impl Plan {
    fn order(&self) -> Option<Order> {
        self.order.lock().expect("sound").clone()
    }

    fn fired(&self) {
        self.fired.fetch_add(1, Ordering::Relaxed);
    }
}

/// Stands before a target; gone when dropped.
struct Proxy {
    address: SocketAddr,
    plan: Arc<Plan>,
    _serving: JoinSet<()>,
}

impl Proxy {
    async fn before(target: &str) -> Self {
        let target = target.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let plan = Arc::new(Plan::default());
        let shared = plan.clone();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut links = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                if let Ok(server) = TcpStream::connect(&target).await {
                    links.spawn(link(client, server, shared.clone()));
                }
            }
        });
        Self {
            address,
            plan,
            _serving: serving,
        }
    }

    fn arm(&self, order: Order) {
        self.plan.fired.store(0, Ordering::Relaxed);
        *self.plan.order.lock().expect("sound") = Some(order);
    }

    /// Back to normal; tells how often it was not.
    fn disarm(&self) -> u64 {
        *self.plan.order.lock().expect("sound") = None;
        self.plan.fired.load(Ordering::Relaxed)
    }
}

/// One connection, as long as both sides want it.
async fn link(client: TcpStream, server: TcpStream, plan: Arc<Plan>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    let mut spoiled = None;
    loop {
        tokio::select! {
            read = from_client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                let order = plan.order();
                let wanted = |order: &Order| contains(&asked[..count], order.from.as_bytes());
                if let Some(order) = order.filter(wanted) {
                    match order.fault {
                        Fault::Reset => {
                            plan.fired();
                            return reset(from_client, to_client);
                        }
                        // Who is not let in changes nothing.
                        Fault::Expired => {
                            plan.fired();
                            let _ = to_client.write_all(EXPIRED).await;
                            return;
                        }
                        _ => {}
                    }
                    spoiled = Some(order);
                }
                if to_server.write_all(&asked[..count]).await.is_err() {
                    return;
                }
            }
            read = from_server.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                let answer = match &spoiled {
                    Some(order) => {
                        plan.fired();
                        spoil(order, &answered[..count])
                    }
                    None => Spoiled::Sent(answered[..count].to_vec()),
                };
                let (Spoiled::Sent(bytes) | Spoiled::Last(bytes)) = &answer;
                if to_client.write_all(bytes).await.is_err() || matches!(answer, Spoiled::Last(_)) {
                    return;
                }
            }
        }
    }
}

/// What comes back instead of an answer.
enum Spoiled {
    /// This, and the connection goes on.
    Sent(Vec<u8>),
    /// This, and the connection ends.
    Last(Vec<u8>),
}

fn spoil(order: &Order, answer: &[u8]) -> Spoiled {
    match order.fault {
        Fault::Reset | Fault::Expired | Fault::AnswerLost => Spoiled::Last(Vec::new()),
        // Nothing is sent and nothing ends: the other side has to give up by itself.
        Fault::Slow => Spoiled::Sent(Vec::new()),
        Fault::Half => Spoiled::Last(answer[..answer.len() / 2].to_vec()),
        Fault::Garbage => Spoiled::Last(b"<html>\xff\xfe\x00 maintenance </html>".to_vec()),
        Fault::Empty => Spoiled::Last(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()),
        Fault::Renamed => {
            let (field, other) = order.field;
            let text = String::from_utf8_lossy(answer);
            Spoiled::Sent(text.replace(field, other).into_bytes())
        }
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|one| one == wanted)
}

/// Closes with data unread, which the other side sees as a reset (RFC 9293, 3.10.4).
fn reset(read: OwnedReadHalf, write: OwnedWriteHalf) {
    let whole = read.reunite(write).expect("two halves of one");
    let _ = whole.set_zero_linger();
}

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("a time")
    }
}

/// A target behind the proxy, with people of whom the last ones may be disabled.
struct Rig {
    proxy: Proxy,
    manifest: String,
    writer: Credential,
    verifier: Credential,
    /// Bytes of a request that lists, of one that reads one account, and of those that change it.
    lists: &'static str,
    /// Without one: the account's id.
    reads: Option<&'static str>,
    changes: &'static [&'static str],
    field: (&'static str, &'static str),
    faults: Vec<Fault>,
    truth: Truth,
}

/// The target itself, past proxy and connector.
enum Truth {
    Scim { base: String, token: String },
    Sql { url: String },
    Ldap { url: String, people: String },
}

impl Truth {
    async fn is_active(&self, id: &AccountId) -> bool {
        match self {
            Self::Scim { base, token } => {
                let request = reqwest::Client::new().get(format!("{base}/Users/{id}"));
                let answer = request.bearer_auth(token).send().await.expect("answers");
                let user: serde_json::Value = answer.json().await.expect("a user");
                user["active"] == true
            }
            Self::Sql { url } => {
                let mut link = PgConnection::connect(url).await.expect("the database");
                let text = format!("SELECT active FROM staff WHERE id = {id}");
                let query = sqlx::query_scalar(AssertSqlSafe(text));
                query.fetch_one(&mut link).await.expect("there")
            }
            Self::Ldap { url, people } => {
                let (mut manager, _driver) = manager(url).await;
                let filter = format!("(entryUUID={id})");
                let asked = manager.search(people, Scope::OneLevel, &filter, vec!["employeeType"]);
                let (found, _) = asked.await.expect("asked").success().expect("found");
                let entry = SearchEntry::construct(found.into_iter().next().expect("there"));
                !entry.attrs.contains_key("employeeType")
            }
        }
    }
}

impl Rig {
    /// A connector that has met nothing yet, so that its breaker has no opinion.
    fn connector(&self) -> Arc<Guarded> {
        let clock: Arc<dyn Clock> = Arc::new(Still);
        let files = [("target.toml".to_owned(), self.manifest.clone())];
        let registry = Registry::load(&files, &clock);
        let registry = registry.unwrap_or_else(|problems| panic!("{problems}"));
        let name = ConnectorName::from("target");
        registry.get(&name).expect("loaded")
    }

    fn order(&self, fault: Fault, from: &str) -> Order {
        Order {
            fault,
            from: from.to_owned(),
            field: self.field,
        }
    }

    /// The accounts as the target shows them in peace.
    async fn accounts(&self) -> BTreeMap<AccountId, String> {
        let listing = self.connector().list(&self.verifier).await.expect("lists");
        assert_eq!(listing.completeness.gap(), None, "{}", listing.method);
        let accounts = listing.accounts.into_iter();
        accounts.map(|one| (one.id, one.login)).collect()
    }

    /// What is not known is never told as gone.
    async fn reads_are_honest(&self, all: &BTreeMap<AccountId, String>) {
        let (id, _) = all.first_key_value().expect("somebody");
        for fault in &self.faults {
            self.proxy.arm(self.order(*fault, self.lists));
            let listing = self.connector().list(&self.verifier).await;
            assert!(self.proxy.disarm() > 0, "{fault:?} never fired");
            match listing {
                Err(failure) => self.fits(*fault, &failure),
                Ok(listing) => {
                    let whole = listing.accounts.len() == all.len();
                    let told = listing.completeness.gap().is_some();
                    assert!(whole || told, "{fault:?}: {listing:?}");
                }
            }
            let from = self.reads.unwrap_or(id.as_str());
            self.proxy.arm(self.order(*fault, from));
            let reading = self.connector().read(&self.verifier, id).await;
            assert!(self.proxy.disarm() > 0, "{fault:?} never fired");
            match reading {
                Err(failure) => self.fits(*fault, &failure),
                Ok(reading) => {
                    let told = reading.completeness.gap().is_some();
                    assert!(reading.account.is_some() || told, "{fault:?}: {reading:?}");
                }
            }
        }
    }

    /// A yes only with an effect; a lost answer is a doubt; and afterwards the same change works.
    async fn writes_are_honest(&self, all: &BTreeMap<AccountId, String>) {
        let mut people = all.iter();
        for fault in &self.faults {
            for from in self.changes {
                let (id, login) = people.next().expect("enough people");
                assert!(self.truth.is_active(id).await);
                let change = Change {
                    operation: Operation::Disable,
                    account: id.clone(),
                    login: login.clone(),
                    entitlement: None,
                };
                self.proxy.arm(self.order(*fault, from));
                let answered = self.connector().write(&self.writer, &change).await;
                assert!(self.proxy.disarm() > 0, "{fault:?} at {from} never fired");
                let happened = !self.truth.is_active(id).await;
                match &answered {
                    Ok(Answered::Accepted) => assert!(happened, "{fault:?} at {from}"),
                    Ok(Answered::Absent) => panic!("{fault:?} at {from}: it was there"),
                    Err(failure) => {
                        self.fits(*fault, failure);
                        let doubt = failure.class == FailureClass::UnknownOutcome;
                        assert!(!happened || doubt, "{fault:?} at {from}: {failure}");
                    }
                }
                let again = self.connector().write(&self.writer, &change).await;
                assert!(again.is_ok(), "{fault:?} at {from}: {again:?}");
                let reading = self.connector().read(&self.verifier, id).await;
                let account = reading.expect("reads").account.expect("is there");
                assert_eq!(account.state, AccountState::Disabled, "{fault:?} at {from}");
                assert!(!self.truth.is_active(id).await);
            }
        }
    }

    fn fits(&self, fault: Fault, failure: &Failure) {
        let classes = fault.classes();
        assert!(classes.contains(&failure.class), "{fault:?}: {failure}");
        let told = failure.to_string();
        for secret in [&self.writer.secret, &self.verifier.secret] {
            let secret = secrecy::ExposeSecret::expose_secret(secret);
            assert!(!told.contains(secret), "{fault:?} shows a secret");
        }
    }
}

fn credential(role: CredentialRole, username: Option<&str>, secret: &str) -> Credential {
    Credential {
        role,
        version: 1,
        remote_ref: None,
        username: username.map(ToOwned::to_owned),
        secret: secret.to_owned().into(),
    }
}

const HEAD: &str = r#"name = "target"
purpose = "A target behind a bad line"
owner = "owner@acme.example"
deputy = "iam@acme.example"
review_by = "2099-03-31"
after_removal = "account_powerless"
"#;

const TAIL: &str = r#"
[limits]
requests_per_second = 1000
timeout_seconds = 3
[fallback]
steps = ["Disable the person by hand"]
"#;

/// A SCIM server with twenty people, the place that it is at, and its path.
async fn people(name: &str) -> (Service, String, String) {
    let server = Service::up("scim", &format!("{name}-{}", std::process::id()), &[]);
    let (base, token) = (server.value("URL"), server.value("WRITER_TOKEN"));
    let http = reqwest::Client::new();
    for person in 0..20 {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": format!("p{person}"), "externalId": format!("E{person}"), "active": true,
        });
        let request = http.post(format!("{base}/Users")).bearer_auth(token);
        let request = request.header("content-type", "application/scim+json");
        let answer = request.body(body.to_string()).send().await;
        assert_eq!(answer.expect("answers").status().as_u16(), 201);
    }
    let (_, place) = base.split_once("://").expect("an address");
    let (place, path) = place.split_once('/').unwrap_or((place, ""));
    let (place, path) = (place.to_owned(), path.to_owned());
    (server, place, path)
}

/// A kind that reaches users of the SCIM server, by its own protocol or by a declared one.
async fn over_http(kind: &str, writes: &str, own: &str) -> (Rig, Service) {
    let (server, place, path) = people(&format!("chaos-{kind}")).await;
    let proxy = Proxy::before(&place).await;
    let own = own.replace("{base}", &format!("http://{}/{path}", proxy.address));
    let manifest = format!(
        r#"{HEAD}kind = "{kind}"
operations = ["list", "read", "disable"]
writes = {writes}
[[correlation]]
identifier = "employee_number"
attribute = "externalId"
decides = true
[credentials.writer]
secret = "local:target/writer"
[credentials.verifier]
secret = "local:target/verifier"
{TAIL}
[expect]
fields = ["userName"]
{own}"#
    );
    let secret = |name| server.value(name).to_owned();
    let rig = Rig {
        proxy,
        manifest,
        writer: credential(CredentialRole::Writer, None, &secret("WRITER_TOKEN")),
        verifier: credential(CredentialRole::Verifier, None, &secret("VERIFIER_TOKEN")),
        lists: "/Users?",
        reads: Some("/Users/"),
        changes: &["PATCH "],
        field: ("\"userName\"", "\"user_name\""),
        faults: [&Fault::ANY[..], &Fault::HTTP[..]].concat(),
        truth: Truth::Scim {
            base: secret("URL"),
            token: secret("WRITER_TOKEN"),
        },
    };
    (rig, server)
}

const DECLARED: &str = r#"
[rest]
base_url = "{base}"
error = "$.detail"
[rest.account]
id = "$.id"
login = "$.userName"
state = "$.active"
[rest.account.attributes]
externalId = "$.externalId"
[rest.account.states]
enabled = ["true"]
disabled = ["false"]
[rest.list]
path = "/Users"
items = "$.Resources"
total = "$.totalResults"
paging = "offset"
offset_parameter = "startIndex"
first_offset = 1
size_parameter = "count"
size = 100
[rest.read]
path = "/Users/{account.id}"
[rest.disable]
method = "PATCH"
path = "/Users/{account.id}"
[rest.disable.body]
schemas = ["urn:ietf:params:scim:api:messages:2.0:PatchOp"]
Operations = [{ op = "replace", path = "active", value = false }]
"#;

async fn manager(url: &str) -> (Ldap, JoinSet<()>) {
    let (connection, mut ldap) = LdapConnAsync::new(url).await.expect("the directory");
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // It ends with its user.
        let _ = connection.drive().await;
    });
    let bound = ldap.simple_bind("cn=admin,dc=acme,dc=example", "admin-password");
    bound.await.expect("asked").success().expect("signed in");
    (ldap, driver)
}

/// Twenty people in a unit of their own.
async fn staff(url: &str, people: &str) {
    let (mut manager, _driver) = manager(url).await;
    let set = |values: &[&str]| {
        values
            .iter()
            .map(ToString::to_string)
            .collect::<HashSet<_>>()
    };
    let unit = vec![("objectClass".to_owned(), set(&["organizationalUnit"]))];
    let made = manager.add(people, unit).await.expect("asked");
    made.success().expect("made");
    for person in 0..20 {
        let (uid, number) = (format!("p{person}"), format!("E{person}"));
        let fields = [
            ("objectClass", set(&["inetOrgPerson"])),
            ("cn", set(&[&uid])),
            ("sn", set(&[&uid])),
            ("employeeNumber", set(&[&number])),
        ];
        let fields = fields.map(|(name, values)| (name.to_owned(), values));
        let name = format!("uid={uid},{people}");
        let made = manager.add(&name, fields.to_vec()).await.expect("asked");
        made.success().expect("made");
    }
}

async fn ldap() -> Rig {
    let url = part("CLAWBACK_TEST_SLAPD");
    let people = format!("ou=chaos-{},dc=acme,dc=example", std::process::id());
    staff(&url, &people).await;
    let (_, place) = url.split_once("://").expect("an address");
    let proxy = Proxy::before(place.trim_end_matches('/')).await;
    let manifest = format!(
        r#"{HEAD}kind = "ldap"
operations = ["list", "read", "disable"]
writes = ["employeeType"]
[[correlation]]
identifier = "employee_number"
attribute = "employeeNumber"
decides = true
[credentials.writer]
secret = "local:target/writer"
username = "cn=writer,ou=services,dc=acme,dc=example"
[credentials.verifier]
secret = "local:target/verifier"
username = "cn=verifier,ou=services,dc=acme,dc=example"
{TAIL}
[expect]
fields = ["employeeNumber"]
[ldap]
url = "ldap://{}"
base = "{people}"
object_class = "inetOrgPerson"
login = "uid"
attributes = ["employeeNumber"]
[ldap.state]
attribute = "employeeType"
disabled = ["left-the-company"]
"#,
        proxy.address
    );
    let bind = |name: &str| format!("cn={name},ou=services,dc=acme,dc=example");
    let (writer, verifier) = (bind("writer"), bind("verifier"));
    let (writer, verifier) = (writer.as_str(), verifier.as_str());
    Rig {
        proxy,
        manifest,
        writer: credential(CredentialRole::Writer, Some(writer), "writer-password"),
        verifier: credential(
            CredentialRole::Verifier,
            Some(verifier),
            "verifier-password",
        ),
        lists: "inetOrgPerson",
        reads: None,
        changes: &["left-the-company"],
        field: ("", ""),
        faults: Fault::ANY.to_vec(),
        truth: Truth::Ldap { url, people },
    }
}

async fn sql() -> Rig {
    let server = part("CLAWBACK_TEST_POSTGRES");
    let name = format!("chaos_{}", std::process::id());
    let mut link = PgConnection::connect(&server).await.expect("the server");
    let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::raw_sql(create)
        .execute(&mut link)
        .await
        .expect("made");
    let (head, _) = server.rsplit_once('/').expect("an address with a database");
    let url = format!("{head}/{name}");
    let mut owner = PgConnection::connect(&url).await.expect("the database");
    let tables = format!(
        "CREATE TABLE staff (id bigint PRIMARY KEY, login text NOT NULL, active boolean NOT NULL, \
         employee_number text); \
         INSERT INTO staff SELECT n, 'p' || n, TRUE, 'E' || n FROM generate_series(1, 20) n; \
         CREATE ROLE {name}_writer LOGIN PASSWORD 'a-writer-of-chaos'; \
         CREATE ROLE {name}_verifier LOGIN PASSWORD 'a-verifier-of-chaos'; \
         GRANT SELECT, UPDATE ON staff TO {name}_writer; GRANT SELECT ON staff TO {name}_verifier"
    );
    let made = sqlx::raw_sql(AssertSqlSafe(tables))
        .execute(&mut owner)
        .await;
    made.expect("the tables");
    let (_, place) = head.rsplit_once('@').expect("an address with a user");
    let proxy = Proxy::before(place).await;
    let manifest = format!(
        r#"{HEAD}kind = "sql"
operations = ["list", "read", "disable"]
writes = ["staff.active"]
[[correlation]]
identifier = "employee_number"
attribute = "employee_number"
decides = true
[credentials.writer]
secret = "local:target/writer"
username = "{name}_writer"
[credentials.verifier]
secret = "local:target/verifier"
username = "{name}_verifier"
{TAIL}
[expect]
fields = ["employee_number"]
[sql]
url = "postgres://{}/{name}?sslmode=disable"
list = "SELECT id, login, active AS state, employee_number FROM staff ORDER BY id"
read = "SELECT id, login, active AS state, employee_number FROM staff WHERE id = :account"
disable = "UPDATE staff SET active = FALSE WHERE id = :account AND login = :login"
"#,
        proxy.address
    );
    let (writer, verifier) = (format!("{name}_writer"), format!("{name}_verifier"));
    Rig {
        proxy,
        manifest,
        writer: credential(CredentialRole::Writer, Some(&writer), "a-writer-of-chaos"),
        verifier: credential(
            CredentialRole::Verifier,
            Some(&verifier),
            "a-verifier-of-chaos",
        ),
        lists: "FROM staff ORDER",
        reads: Some("FROM staff WHERE"),
        changes: &["UPDATE staff", "COMMIT"],
        field: ("", ""),
        faults: Fault::ANY.to_vec(),
        truth: Truth::Sql { url },
    }
}

/// C6, C7, C11: a SCIM server behind a line that spoils its answers in eight ways.
#[tokio::test(flavor = "multi_thread")]
async fn c11_no_fault_of_the_line_makes_scim_tell_what_is_not_so() {
    let own = "[scim]\nbase_url = \"{base}\"\ngroups_may_be_empty = true\n";
    let (rig, _server) = over_http("scim", r#"["active"]"#, own).await;
    let all = rig.accounts().await;
    rig.reads_are_honest(&all).await;
    rig.writes_are_honest(&all).await;
}

/// C6, C7, C11: a database behind a line that spoils its answers in five ways, also at the commit.
#[tokio::test(flavor = "multi_thread")]
async fn c11_no_fault_of_the_line_makes_sql_tell_what_is_not_so() {
    let rig = sql().await;
    let all = rig.accounts().await;
    rig.reads_are_honest(&all).await;
    rig.writes_are_honest(&all).await;
}

/// C6, C7, C11: the same server by a declared API.
#[tokio::test(flavor = "multi_thread")]
async fn c11_no_fault_of_the_line_makes_rest_tell_what_is_not_so() {
    let (rig, _server) = over_http("rest", r#"["schemas", "Operations"]"#, DECLARED).await;
    let all = rig.accounts().await;
    rig.reads_are_honest(&all).await;
    rig.writes_are_honest(&all).await;
}

/// C6, C7, C11: a directory behind a line that spoils its answers in five ways.
#[tokio::test(flavor = "multi_thread")]
async fn c11_no_fault_of_the_line_makes_ldap_tell_what_is_not_so() {
    let rig = ldap().await;
    let all = rig.accounts().await;
    rig.reads_are_honest(&all).await;
    rig.writes_are_honest(&all).await;
}

/// C8: what is declared wholly in a manifest passes the suite that every kind has to pass.
#[tokio::test(flavor = "multi_thread")]
async fn c8_a_declared_api_passes_the_examination() {
    let (rig, _server) = over_http("rest", r#"["schemas", "Operations"]"#, DECLARED).await;
    let (canary, _) = rig.accounts().await.pop_first().expect("somebody");
    let keys = [&rig.writer, &rig.verifier].map(|one| (one.role, Ok(one.clone())));
    let order = examine::Order {
        canary: Some(canary.clone()),
        change: true,
        patience: Duration::from_secs(1),
    };
    let connector = rig.connector();
    let points = examine::examine(&connector, &BTreeMap::from(keys), &order).await;
    let failed = points.iter().filter(|one| one.mark == Mark::Failed);
    assert_eq!(failed.count(), 0, "{points:#?}");
    let held = points.iter().filter(|one| one.mark == Mark::Held);
    assert!(held.count() > 8, "{points:#?}");
    assert!(!rig.truth.is_active(&canary).await);
}
