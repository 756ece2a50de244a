//! Whole rotations at real targets: PostgreSQL, MariaDB, slapd, and AWS IAM as moto plays it.
//!
//! Owns the road through the six steps, each made twice, as after a settlement that was lost. What
//! works at the end is asked of the target itself, past the connector where that is possible. The
//! workflow's waiting is left out; it is the engine's.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use clawback::connectors::{Guarded, Registry};
use clawback::domain::id::ConnectorName;
use clawback::domain::outcome::FailureClass;
use clawback::domain::rotation::{RotationBody, RotationFacts, Strategy, Trigger};
use clawback::domain::time::{Clock, Timestamp, after};
use clawback::domain::verdict::CredentialRole;
use clawback::domain::workflow::RotationStep;
use clawback::secrets::{LocalVault, NewSecret, Owner, Secrets, Slot};
use ldap3::LdapConnAsync;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection};

use super::parts::{Service, part};

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

/// The head of every manifest here.
const HEAD: &str = r#"
name = "own"
kind = "{kind}"
purpose = "Rotation"
owner = "it@acme.example"
deputy = "iam@acme.example"
review_by = "2027-03-31"
after_removal = "account_gone"
operations = ["list", "read"]
[[correlation]]
identifier = "username"
attribute = "login"
decides = true
[credentials.rotator]
secret = "local:own/rotator"
username = "{rotator}"
[credentials.verifier]
secret = "local:own/verifier"
username = "{verifier}"
{rotation}
[limits]
requests_per_second = 10000
timeout_seconds = 60
[fallback]
steps = ["Do it by hand"]
"#;

pub struct Place {
    pub connector: Arc<Guarded>,
    pub vault: LocalVault,
    pub secrets: Secrets,
    pub strategy: Strategy,
}

impl Place {
    /// The connector, with the verifier's and the rotator's first values in the vault.
    pub async fn new(manifest: String, strategy: Strategy, values: [&str; 2]) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(Still);
        let registry = Registry::load(&[("own.toml".to_owned(), manifest)], &clock)
            .unwrap_or_else(|problems| panic!("{problems}"));
        let connector = registry.iter().next().expect("one connector").clone();
        let vault = LocalVault::in_memory().expect("a vault");
        let secrets = Secrets::new(Arc::new(vault.clone()));
        let roles = [CredentialRole::Verifier, CredentialRole::Rotator];
        for (role, value) in roles.into_iter().zip(values) {
            let new = NewSecret {
                value: SecretString::from(value),
                username: None,
                remote_ref: None,
                expires: None,
            };
            let put = secrets.put(connector.manifest(), role, new, clock.now());
            put.await.expect("put");
        }
        Self {
            connector,
            vault,
            secrets,
            strategy,
        }
    }

    /// A rotation that has not begun.
    pub fn body(&self, label: &str) -> RotationBody {
        RotationBody {
            connector: self.connector.name().clone(),
            role: CredentialRole::Verifier,
            strategy: self.strategy,
            trigger: Trigger::Compromised,
            facts: RotationFacts {
                label: format!("clawback:{label}"),
                ..RotationFacts::default()
            },
            promoted_at: None,
            last_failure: None,
            claim: None,
        }
    }

    /// One rotation, each step made twice with the same facts; returns the value it ends with.
    pub async fn rotate(&self, label: &str) -> (Option<String>, String) {
        let mut body = self.body(label);
        for step in RotationStep::ALL {
            let before = body.clone();
            for _ in 0..2 {
                let at = Timestamp::UNIX_EPOCH;
                let done = self
                    .secrets
                    .perform(step, &before, &self.connector, at)
                    .await;
                body.facts = done.unwrap_or_else(|failure| panic!("{label}, {step:?}: {failure}"));
            }
        }
        assert!(body.facts.previous_rejected && !body.facts.needless);
        self.now()
    }

    /// Sign-in name and value in use.
    pub fn now(&self) -> (Option<String>, String) {
        let owner = Owner {
            reference: "local:own/verifier".to_owned(),
            connector: ConnectorName::from("own"),
            role: CredentialRole::Verifier,
        };
        for slot in [Slot::Pending, Slot::Previous] {
            let left = self.vault.reveal(&owner, slot).expect("readable");
            assert!(left.is_none(), "{slot:?} is left");
        }
        let current = self.vault.reveal(&owner, Slot::Current).expect("readable");
        let current = current.expect("there");
        let value = current.value.expose_secret().to_owned();
        (current.record.username, value)
    }

    /// The current credential is accepted, and this value is not.
    pub async fn refuses(&self, old: &str) {
        let role = CredentialRole::Verifier;
        let manifest = self.connector.manifest();
        let mut credential = self
            .secrets
            .credential(manifest, role)
            .await
            .expect("there");
        assert_eq!(self.connector.try_credential(&credential).await, Ok(()));
        credential.secret = SecretString::from(old);
        credential.version += 1000;
        let failure = self.connector.try_credential(&credential).await;
        let failure = failure.expect_err("the old one is dead");
        assert_eq!(failure.class, FailureClass::AuthFailure, "{failure}");
    }
}

pub fn head(kind: &str, rotator: &str, verifier: &str, rotation: &str) -> String {
    HEAD.replace("{kind}", kind)
        .replace("{rotator}", rotator)
        .replace("{verifier}", verifier)
        .replace("{rotation}", rotation)
}

async fn in_postgres(text: &str) {
    let admin = PgConnection::connect(&part("CLAWBACK_TEST_POSTGRES_ADMIN")).await;
    let mut admin = admin.expect("the server");
    let done = sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut admin);
    done.await.expect("done");
}

async fn opens_postgres(name: &str, password: &str) -> bool {
    let url = part("CLAWBACK_TEST_POSTGRES_ADMIN");
    let (_, place) = url.rsplit_once('@').expect("an address with a user");
    let url = format!("postgres://{name}:{password}@{place}");
    PgConnection::connect(&url).await.is_ok()
}

/// A table and two roles of the same rights, and a rotator who may set the passwords of both.
async fn postgres(name: &str, rotation: &str, strategy: Strategy) -> Place {
    in_postgres(&format!(
        "CREATE TABLE {name}_people (id bigint, login text); \
         INSERT INTO {name}_people VALUES (1, 'ada'); \
         CREATE ROLE {name}_a LOGIN PASSWORD 'first'; CREATE ROLE {name}_b LOGIN; \
         GRANT SELECT ON {name}_people TO {name}_a, {name}_b; \
         CREATE ROLE {name}_rotator LOGIN CREATEROLE PASSWORD 'rotator'; \
         GRANT {name}_a, {name}_b TO {name}_rotator WITH ADMIN OPTION"
    ))
    .await;
    let url = part("CLAWBACK_TEST_POSTGRES_ADMIN");
    let (_, place) = url.rsplit_once('@').expect("an address with a user");
    let rotation = rotation.replace("{name}", name);
    let mut text = head(
        "sql",
        &format!("{name}_rotator"),
        &format!("{name}_a"),
        &rotation,
    );
    let _ = write!(
        text,
        "[sql]\nurl = \"postgres://{place}\"\n\
         list = \"SELECT id, login, 'on' AS state FROM {name}_people ORDER BY id\"\n\
         read = \"SELECT id, login, 'on' AS state FROM {name}_people WHERE id = :account\"\n\
         [sql.states]\nenabled = [\"on\"]\ndisabled = [\"off\"]\n"
    );
    Place::new(text, strategy, ["first", "rotator"]).await
}

const DUAL: &str = "rotation = \"dual_slot\"\nalternate_username = \"{name}_b\"";

#[tokio::test]
async fn d2_two_roles_of_postgresql_take_turns_and_the_idle_one_opens_nothing() {
    let name = format!("dual{}", std::process::id());
    let place = postgres(&name, DUAL, Strategy::DualSlot).await;
    let (mut user, mut value) = (format!("{name}_a"), "first".to_owned());
    for (round, next) in ["b", "a", "b"].into_iter().enumerate() {
        assert!(opens_postgres(&user, &value).await, "before round {round}");
        let (now, new) = place.rotate(&format!("r{round}")).await;
        assert_eq!(now.as_deref(), Some(format!("{name}_{next}").as_str()));
        assert!(
            !opens_postgres(&user, &value).await,
            "round {round}: the old one"
        );
        place.refuses(&value).await;
        (user, value) = (now.expect("named"), new);
    }
    assert!(opens_postgres(&user, &value).await);
}

#[tokio::test]
async fn d2_one_role_of_postgresql_gets_a_new_password() {
    let name = format!("single{}", std::process::id());
    let place = postgres(&name, "rotation = \"choose\"", Strategy::Choose).await;
    let mut old = "first".to_owned();
    for round in 0..2 {
        let (_, new) = place.rotate(&format!("r{round}")).await;
        place.refuses(&old).await;
        assert!(opens_postgres(&format!("{name}_a"), &new).await);
        assert!(!opens_postgres(&format!("{name}_a"), &old).await);
        old = new;
    }
}

#[tokio::test]
async fn d4_a_password_that_the_machine_sets_ends_by_itself_at_postgresql() {
    let name = format!("lasts{}", std::process::id());
    let place = postgres(
        &name,
        "rotation = \"choose\"\nlasts_hours = 8",
        Strategy::Choose,
    )
    .await;
    let owner = Owner {
        reference: "local:own/verifier".to_owned(),
        connector: ConnectorName::from("own"),
        role: CredentialRole::Verifier,
    };
    let begun = Timestamp::from_second(4_000_000_000).expect("far from now");
    for (round, at) in [begun, Timestamp::UNIX_EPOCH].into_iter().enumerate() {
        let mut body = place.body(&format!("r{round}"));
        // The second one ends long before it could be tried: the server refuses it from the first.
        for step in &RotationStep::ALL[..2] {
            let done = place
                .secrets
                .perform(*step, &body, &place.connector, at)
                .await;
            body.facts = done.unwrap_or_else(|failure| panic!("{step:?}: {failure}"));
        }
        let pending = place.vault.reveal(&owner, Slot::Pending).expect("readable");
        let pending = pending.expect("there");
        let end = after(at, 8 * 3600);
        assert_eq!(pending.record.expires, Some(end), "the vault knows the end");
        let value = pending.value.expose_secret().to_owned();
        assert_eq!(
            opens_postgres(&format!("{name}_a"), &value).await,
            round == 0
        );
        assert_eq!(
            valid_until(&name).await,
            end.as_second(),
            "so does the server"
        );
        if round == 0 {
            for step in &RotationStep::ALL[2..] {
                let done = place
                    .secrets
                    .perform(*step, &body, &place.connector, at)
                    .await;
                body.facts = done.unwrap_or_else(|failure| panic!("{step:?}: {failure}"));
            }
        }
    }
    // What ended takes the way back: another rotation sets a password that opens.
    let mut body = place.body("r2");
    for step in RotationStep::ALL {
        let done = place
            .secrets
            .perform(step, &body, &place.connector, begun)
            .await;
        body.facts = done.unwrap_or_else(|failure| panic!("{step:?}: {failure}"));
    }
    let (_, value) = place.now();
    assert!(opens_postgres(&format!("{name}_a"), &value).await);
}

#[tokio::test]
async fn d4_an_end_that_a_role_of_postgresql_has_already_is_known_of_its_new_password() {
    let owner = Owner {
        reference: "local:own/verifier".to_owned(),
        connector: ConnectorName::from("own"),
        role: CredentialRole::Verifier,
    };
    let end = Timestamp::from_second(4_000_000_000).expect("far from now");
    for (ends, known) in [
        (format!("VALID UNTIL '{end}'"), Some(end)),
        ("VALID UNTIL 'infinity'".to_owned(), None),
        (String::new(), None),
    ] {
        for (number, strategy) in [Strategy::Choose, Strategy::DualSlot]
            .into_iter()
            .enumerate()
        {
            let case = known.map_or(ends.len(), |_| 1);
            let name = format!("until{number}_{case}_{}", std::process::id());
            let rotation = match strategy {
                Strategy::DualSlot => DUAL,
                _ => "rotation = \"choose\"",
            };
            let place = postgres(&name, rotation, strategy).await;
            if !ends.is_empty() {
                in_postgres(&format!(
                    "ALTER ROLE {name}_a {ends}; ALTER ROLE {name}_b {ends}"
                ))
                .await;
            }
            let (user, value) = place.rotate("r1").await;
            // One of a single name has none in the vault.
            let user = user.unwrap_or_else(|| format!("{name}_a"));
            assert!(opens_postgres(&user, &value).await, "{strategy:?}, {ends}");
            let current = place.vault.reveal(&owner, Slot::Current).expect("readable");
            let current = current.expect("there").record;
            assert_eq!(current.expires, known, "{strategy:?}, {ends}");
            if let (Strategy::Choose, Some(end)) = (strategy, known) {
                assert_eq!(
                    valid_until(&name).await,
                    end.as_second(),
                    "it is left as it was"
                );
                // What is due because it ends is not replaced by what ends at that same time.
                let mut body = place.body("r2");
                body.trigger = Trigger::Expiry { seconds_left: 60 };
                let at = Timestamp::UNIX_EPOCH;
                let mut failure = None;
                for step in &RotationStep::ALL[..2] {
                    match place
                        .secrets
                        .perform(*step, &body, &place.connector, at)
                        .await
                    {
                        Ok(facts) => body.facts = facts,
                        Err(met) => failure = Some(met.code),
                    }
                }
                assert_eq!(failure.as_deref(), Some("CB-SECRETS-33"));
                assert!(opens_postgres(&user, &value).await, "nothing was set");
            }
        }
    }
}

async fn valid_until(name: &str) -> i64 {
    let admin = PgConnection::connect(&part("CLAWBACK_TEST_POSTGRES_ADMIN")).await;
    let mut admin = admin.expect("the server");
    let text = format!(
        "SELECT extract(epoch FROM rolvaliduntil)::bigint FROM pg_roles WHERE rolname = '{name}_a'"
    );
    let asked = sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(&mut admin);
    asked.await.expect("told")
}

async fn opens_mariadb(name: &str, password: &str) -> bool {
    let url = part("CLAWBACK_TEST_MARIADB_ADMIN");
    let (_, place) = url.rsplit_once('@').expect("an address with a user");
    let url = format!("mariadb://{name}:{password}@{place}");
    MySqlConnection::connect(&url).await.is_ok()
}

async fn mariadb(name: &str, rotation: &str, strategy: Strategy) -> Place {
    let url = part("CLAWBACK_TEST_MARIADB_ADMIN");
    let mut admin = MySqlConnection::connect(&url).await.expect("the server");
    for text in [
        format!("CREATE USER {name}_a@'%' IDENTIFIED BY 'first', {name}_b@'%' IDENTIFIED BY 'x'"),
        format!("GRANT SELECT ON mysql.* TO {name}_a@'%', {name}_b@'%'"),
        format!("GRANT PROCESS, SHOW VIEW ON *.* TO {name}_a@'%', {name}_b@'%'"),
        format!("CREATE USER {name}_rotator@'%' IDENTIFIED BY 'rotator'"),
        format!("GRANT CREATE USER ON *.* TO {name}_rotator@'%'"),
        format!("GRANT SELECT ON mysql.* TO {name}_rotator@'%'"),
    ] {
        let done = sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut admin);
        done.await.expect("done");
    }
    let (_, place) = url.rsplit_once('@').expect("an address with a user");
    let rotation = rotation.replace("{name}", name);
    let mut text = head(
        "sql",
        &format!("{name}_rotator"),
        &format!("{name}_a"),
        &rotation,
    );
    let _ = write!(
        text,
        "[sql]\nurl = \"mariadb://{place}\"\n[sql.roles]\nnames = [\"{name}*\"]\n"
    );
    Place::new(text, strategy, ["first", "rotator"]).await
}

#[tokio::test]
async fn d2_two_accounts_of_mariadb_take_turns_and_the_idle_one_opens_nothing() {
    let name = format!("mdual{}", std::process::id());
    let place = mariadb(&name, DUAL, Strategy::DualSlot).await;
    let (mut user, mut value) = (format!("{name}_a"), "first".to_owned());
    for (round, next) in ["b", "a", "b"].into_iter().enumerate() {
        assert!(opens_mariadb(&user, &value).await, "before round {round}");
        let (now, new) = place.rotate(&format!("r{round}")).await;
        assert_eq!(now.as_deref(), Some(format!("{name}_{next}").as_str()));
        assert!(
            !opens_mariadb(&user, &value).await,
            "round {round}: the old one"
        );
        place.refuses(&value).await;
        (user, value) = (now.expect("named"), new);
    }
    assert!(opens_mariadb(&user, &value).await);
}

#[tokio::test]
async fn d2_one_account_of_mariadb_gets_a_new_password() {
    let name = format!("msingle{}", std::process::id());
    let place = mariadb(&name, "rotation = \"choose\"", Strategy::Choose).await;
    let (_, new) = place.rotate("r1").await;
    place.refuses("first").await;
    assert!(opens_mariadb(&format!("{name}_a"), &new).await);
    assert!(!opens_mariadb(&format!("{name}_a"), "first").await);
}

/// The passwords of the verifier's entry that open it.
async fn bind(url: &str, password: &str) -> bool {
    let (connection, mut ldap) = LdapConnAsync::new(url).await.expect("the directory");
    let mut driving = tokio::task::JoinSet::new();
    driving.spawn(async move {
        // It ends with its test.
        let _ = connection.drive().await;
    });
    let dn = "cn=verifier,ou=services,dc=acme,dc=example";
    let bound = ldap.simple_bind(dn, password).await.expect("asked");
    bound.rc == 0
}

async fn slapd(service: &Service, rotation: &str, strategy: Strategy) -> Place {
    let url = service.value("URL");
    let at = |name: &str| format!("cn={name},ou=services,dc=acme,dc=example");
    let mut text = head("ldap", &at("rotator"), &at("verifier"), rotation);
    let _ = write!(
        text,
        "[ldap]\nurl = \"{url}\"\nbase = \"ou=services,dc=acme,dc=example\"\n\
         object_class = \"organizationalRole\"\nlogin = \"cn\"\nnew_password = \"user_password\"\n"
    );
    Place::new(text, strategy, ["verifier-password", "rotator-password"]).await
}

#[tokio::test]
async fn d2_an_entry_of_slapd_has_two_passwords_for_a_while_and_then_the_new_one() {
    let service = Service::up("slapd", "rotation-add", &[]);
    let place = slapd(&service, "rotation = \"add\"", Strategy::Add).await;
    let mut old = "verifier-password".to_owned();
    for round in 0..3 {
        let (_, new) = place.rotate(&format!("r{round}")).await;
        place.refuses(&old).await;
        let found = (
            bind(service.value("URL"), &new).await,
            bind(service.value("URL"), &old).await,
        );
        assert_eq!(found, (true, false), "round {round}");
        old = new;
    }
}

#[tokio::test]
async fn d2_an_entry_of_slapd_with_one_password_gets_another() {
    let service = Service::up("slapd", "rotation-choose", &[]);
    let place = slapd(&service, "rotation = \"choose\"", Strategy::Choose).await;
    let (_, new) = place.rotate("r1").await;
    place.refuses("verifier-password").await;
    assert!(bind(service.value("URL"), &new).await);
}

/// AWS IAM with the users that docs/connectors/aws-iam.md names, before authentication is on.
pub struct Iam {
    url: String,
    http: reqwest::Client,
}

impl Iam {
    pub fn at(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            http: reqwest::Client::new(),
        }
    }

    pub async fn call(&self, parameters: &[(&str, &str)]) -> String {
        let mut all: HashMap<&str, &str> = parameters.iter().copied().collect();
        all.insert("Version", "2010-05-08");
        // moto tells the service by the scope of the signature, checked or not.
        let scope = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/iam/aws4_request, \
                     SignedHeaders=host, Signature=x";
        let request = self.http.post(&self.url).header("Authorization", scope);
        let answer = request.form(&all).send().await.expect("moto answers");
        let text = answer.text().await.expect("text");
        assert!(!text.contains("<Error>"), "{text}");
        text
    }

    /// A user who may do everything, and the access key of it as the vault keeps one.
    pub async fn user(&self, name: &str) -> String {
        self.call(&[("Action", "CreateUser"), ("UserName", name)])
            .await;
        let policy = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iam:*", "Resource": "*"}]}"#;
        let put = [
            ("Action", "PutUserPolicy"),
            ("UserName", name),
            ("PolicyName", "own"),
            ("PolicyDocument", policy),
        ];
        self.call(&put).await;
        let made = [("Action", "CreateAccessKey"), ("UserName", name)];
        let made = self.call(&made).await;
        let part = |tag: &str| {
            let (_, rest) = made.split_once(&format!("<{tag}>")).expect("a key");
            rest.split('<').next().expect("it ends").to_owned()
        };
        format!("{}:{}", part("AccessKeyId"), part("SecretAccessKey"))
    }

    /// From here on every request but so many is checked: its signature and what its user may do.
    pub async fn check_signatures(&self, but: u32) {
        let request = self.http.post(format!("{}/moto-api/reset-auth", self.url));
        let request = request.header("Content-Type", "text/plain");
        let request = request.body(but.to_string());
        let answer = request.send().await.expect("moto answers");
        assert!(answer.status().is_success(), "{}", answer.status());
    }
}

/// The manifest of the documentation, for this address, with its program in a folder.
pub fn aws_manifest(url: &str, folder: &std::path::Path) -> String {
    let page = include_str!("../../docs/connectors/aws-iam.md");
    let text = page.split("```toml\n").nth(1).expect("a manifest");
    let text = text.split("```").next().expect("it ends");
    let program = folder.join("aws_iam.py");
    let source = include_str!("../../docs/connectors/aws_iam.py");
    std::fs::write(&program, source).expect("written");
    text.replace("/usr/bin/python3", &super::process::python())
        .replace(
            "/usr/local/lib/clawback/aws_iam.py",
            &program.display().to_string(),
        )
        .replace(
            "[expect]",
            "[limits]\nrequests_per_second = 10000\n[expect]",
        )
        .replace("region =", &format!("endpoint = \"{url}\"\nregion ="))
}

#[tokio::test]
async fn d2_access_keys_with_a_quota_of_two_are_replaced_at_aws_iam() {
    let service = Service::up("moto", "rotation-aws", &[]);
    let iam = Iam::at(service.value("URL"));
    let first = iam.user("clawback-verifier").await;
    let rotator = iam.user("clawback-rotator").await;
    iam.check_signatures(0).await;
    let folder = tempfile::tempdir().expect("a folder");
    let text = aws_manifest(&iam.url, folder.path())
        .replace("local:aws/", "local:own/")
        .replace("name = \"aws\"", "name = \"own\"");
    let place = Place::new(text, Strategy::Add, [&first, &rotator]).await;
    let mut old = first;
    for round in 0..3 {
        let (_, new) = place.rotate(&format!("r{round}")).await;
        assert_ne!(new, old);
        place.refuses(&old).await;
        let role = CredentialRole::Rotator;
        let manifest = place.connector.manifest();
        let rotator = place
            .secrets
            .credential(manifest, role)
            .await
            .expect("there");
        let listed = place
            .connector
            .minted(&rotator, CredentialRole::Verifier)
            .await;
        let listed = listed.expect("listed");
        let ids: Vec<_> = listed.iter().map(|key| key.remote_ref.as_str()).collect();
        let kept = new.split(':').next().expect("an id");
        assert_eq!(ids, [kept], "nothing is orphaned");
        old = new;
    }
}
