//! The sql kind on the accounts of a real MariaDB: hostile names, definers, live sessions.
//!
//! Owns accounts and schemas of its own for each test. What happened is read from the grant tables
//! themselves, with another connection than the connector's.

use std::collections::BTreeSet;
use std::sync::Arc;

use clawback::connectors::{Answered, Change, Credential, Guarded, MintOrder, Registry};
use clawback::domain::access::{Account, AccountState, Entitlement, EntitlementKind, Operation};
use clawback::domain::id::ConnectorName;
use clawback::domain::outcome::{Failure, FailureClass};
use clawback::domain::time::{Clock, Timestamp};
use clawback::domain::verdict::CredentialRole;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection};

use super::parts::part;

const MANIFEST: &str = r#"
name = "maria"
kind = "sql"
purpose = "The people's own accounts"
owner = "dba@acme.example"
deputy = "iam@acme.example"
review_by = "2027-03-31"
after_removal = "account_gone"
operations = ["list", "read", "disable", "end_sessions", "revoke_entitlement", "delete"]
writes = ["account_locked", "session", "membership", "privilege", "*"]
[without]
revoke_credential = "an account has one password"
[[correlation]]
identifier = "username"
attribute = "login"
decides = true
[credentials.writer]
secret = "local:maria/writer"
username = "{name}_writer"
rotation = "choose"
[credentials.verifier]
secret = "local:maria/verifier"
username = "{name}_verifier"
[credentials.rotator]
secret = "local:maria/rotator"
username = "{name}_rotator"
[limits]
requests_per_second = 10000
[fallback]
steps = ["Ask the database administrators to drop the account"]
[sql]
url = "{url}"
[sql.roles]
names = ["{name}*"]
except = ["{name}_app"]
"#;

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

struct Server {
    admin: MySqlConnection,
    connector: Arc<Guarded>,
    name: String,
    ada: String,
}

impl Server {
    async fn new(test: &str) -> Self {
        let name = format!("m{test}{}", std::process::id());
        let url = part("CLAWBACK_TEST_MARIADB_ADMIN");
        let mut admin = MySqlConnection::connect(&url).await.expect("the server");
        let ada = format!("{name} o'h\"`a\\x; -- @");
        let quoted = quoted(&ada);
        run(&mut admin, "SET sql_mode = ''").await;
        for text in [
            format!("CREATE USER {name}_writer@'127.0.0.1' IDENTIFIED BY 'writer-1'"),
            format!("GRANT ALL PRIVILEGES ON *.* TO {name}_writer@'127.0.0.1' WITH GRANT OPTION"),
            format!("CREATE USER {name}_verifier@'%' IDENTIFIED BY 'verifier-1'"),
            format!("GRANT SELECT ON mysql.* TO {name}_verifier@'%'"),
            format!("GRANT PROCESS, SHOW VIEW ON *.* TO {name}_verifier@'%'"),
            format!("CREATE USER {name}_rotator@'%' IDENTIFIED BY 'rotator-1'"),
            format!("GRANT CREATE USER ON *.* TO {name}_rotator@'%'"),
            format!("GRANT SELECT ON mysql.* TO {name}_rotator@'%'"),
            format!(
                "CREATE USER {name}_bob@'%' IDENTIFIED BY 'bob-1', {name}_app@'%' IDENTIFIED BY 'app-1'"
            ),
            format!("CREATE USER {quoted}@'%' IDENTIFIED BY 'ada-1'"),
            format!(
                "CREATE ROLE {name}_staff; CREATE ROLE {name}_lead; GRANT {name}_lead TO {name}_staff"
            ),
            format!("GRANT {name}_staff TO {quoted}@'%' WITH ADMIN OPTION"),
            format!("GRANT {name}_staff TO {name}_writer@'127.0.0.1' WITH ADMIN OPTION"),
            format!("CREATE DATABASE {name}_one; CREATE TABLE {name}_one.`t``x` (a int, b int)"),
            format!("CREATE PROCEDURE {name}_one.tidy() SELECT 1"),
            format!("GRANT SELECT ON {name}_one.* TO {quoted}@'%' WITH GRANT OPTION"),
            format!(
                "GRANT INSERT, UPDATE (b) ON {name}_one.`t``x` TO {quoted}@'%' WITH GRANT OPTION"
            ),
            format!("GRANT EXECUTE ON PROCEDURE {name}_one.tidy TO {quoted}@'%'"),
            format!("GRANT CREATE USER ON *.* TO {quoted}@'%' WITH GRANT OPTION"),
            format!("GRANT SELECT, INSERT ON {name}_one.* TO {name}_bob@'%'"),
        ] {
            run(&mut admin, &text).await;
        }
        let (_, place) = url.rsplit_once('@').expect("an address with a user");
        let manifest = MANIFEST
            .replace("{url}", &format!("mariadb://{place}"))
            .replace("{name}", &name);
        let clock: Arc<dyn Clock> = Arc::new(Still);
        let registry = Registry::load(&[("maria.toml".to_owned(), manifest)], &clock)
            .unwrap_or_else(|problems| panic!("{problems}"));
        let connector = registry.get(&ConnectorName::from("maria"));
        Self {
            admin,
            connector: connector.expect("loaded"),
            name,
            ada,
        }
    }

    fn credential(&self, role: CredentialRole, secret: &str) -> Credential {
        Credential {
            role,
            version: 1,
            remote_ref: None,
            username: Some(format!("{}_{}", self.name, role.as_str())),
            secret: secret.to_owned().into(),
        }
    }

    async fn write(&self, change: &Change) -> Result<Answered, Failure> {
        let writer = self.credential(CredentialRole::Writer, "writer-1");
        self.connector.write(&writer, change).await
    }

    /// What the verifier sees of an account.
    async fn read(&self, login: &str) -> Option<Account> {
        let verifier = self.credential(CredentialRole::Verifier, "verifier-1");
        let id = format!("{login}@%");
        let reading = self.connector.read(&verifier, &id.as_str().into()).await;
        let reading = reading.expect("read");
        assert_eq!(reading.completeness.gap(), None);
        reading.account
    }

    async fn session(&self, login: &str, password: &str) -> Result<MySqlConnection, sqlx::Error> {
        let url = part("CLAWBACK_TEST_MARIADB_ADMIN");
        let options: MySqlConnectOptions = url.parse().expect("an address");
        MySqlConnection::connect_with(&options.username(login).password(password)).await
    }

    async fn count(&mut self, condition: &str) -> i64 {
        let text = format!("SELECT COUNT(*) FROM {condition}");
        let query = sqlx::query_scalar(AssertSqlSafe(text));
        query.fetch_one(&mut self.admin).await.expect("counted")
    }
}

async fn run(link: &mut MySqlConnection, text: &str) {
    let query = sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
    let done = query.execute(link).await;
    done.unwrap_or_else(|error| panic!("{error}: {text}"));
}

fn quoted(name: &str) -> String {
    format!("'{}'", name.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn change(operation: Operation, login: &str) -> Change {
    Change {
        operation,
        account: format!("{login}@%").as_str().into(),
        login: login.to_owned(),
        entitlement: None,
    }
}

fn taking(login: &str, entitlement: &Entitlement) -> Change {
    Change {
        entitlement: Some(entitlement.clone()),
        ..change(Operation::RevokeEntitlement, login)
    }
}

#[tokio::test]
async fn e5_an_account_is_shown_with_roles_grants_and_what_runs_in_its_name() {
    let mut server = Server::new("show").await;
    let (name, login) = (server.name.clone(), server.ada.clone());
    let view = format!(
        "CREATE DEFINER = {}@'%' VIEW {name}_one.mine AS SELECT 1 AS one",
        quoted(&login)
    );
    run(&mut server.admin, &view).await;
    let verifier = server.credential(CredentialRole::Verifier, "verifier-1");
    let listing = server.connector.list(&verifier).await.expect("listed");
    assert_eq!(listing.completeness.gap(), None);
    let mut logins: Vec<_> = listing
        .accounts
        .iter()
        .map(|one| one.login.clone())
        .collect();
    logins.sort();
    assert_eq!(logins, [login.clone(), format!("{name}_bob")]);
    let ada = server.read(&login).await.expect("is there");
    assert_eq!((ada.state, ada.sessions), (AccountState::Enabled, Some(0)));
    let ids: BTreeSet<_> = ada
        .entitlements
        .iter()
        .map(|one| one.id.as_str().to_owned())
        .collect();
    let expected = [
        format!("role:{name}_staff"),
        format!("inherited:{name}_staff:{name}_lead"),
        "global".to_owned(),
        format!("schema:{name}_one"),
        format!("tables:{name}_one"),
        format!("routines:{name}_one"),
        format!("definer:{name}_one"),
    ];
    assert_eq!(ids, BTreeSet::from(expected));
    let inherited = ada
        .entitlements
        .iter()
        .find_map(|one| one.inherited_from.clone());
    assert_eq!(inherited, Some(format!("{name}_staff")));
}

#[tokio::test]
async fn b8_every_change_of_an_account_takes_what_it_says_and_repeats_in_peace() {
    let mut server = Server::new("take").await;
    let (name, login) = (server.name.clone(), server.ada.clone());
    let bob = server.read(&format!("{name}_bob")).await.expect("is there");
    let disable = change(Operation::Disable, &login);
    assert_eq!(server.write(&disable).await, Ok(Answered::Accepted));
    assert_eq!(server.write(&disable).await, Ok(Answered::Absent));
    assert!(server.session(&login, "ada-1").await.is_err(), "locked");
    let ada = server.read(&login).await.expect("stays");
    assert_eq!(ada.state, AccountState::Disabled);
    for entitlement in ada
        .entitlements
        .iter()
        .filter(|one| one.inherited_from.is_none())
    {
        let taking = taking(&login, entitlement);
        let answer = server.write(&taking).await;
        assert_eq!(answer, Ok(Answered::Accepted), "{entitlement:?}");
        let ada = server.read(&login).await.expect("stays");
        assert!(taking.is_done_in(&ada), "{entitlement:?} is still seen");
        let answer = server.write(&taking).await;
        assert_eq!(answer, Ok(Answered::Absent), "{entitlement:?} once more");
    }
    assert_eq!(server.read(&login).await.expect("stays").entitlements, []);
    assert_eq!(server.read(&format!("{name}_bob")).await, Some(bob));
    let delete = change(Operation::Delete, &login);
    assert_eq!(server.write(&delete).await, Ok(Answered::Accepted));
    assert_eq!(server.write(&delete).await, Ok(Answered::Absent));
    assert_eq!(server.read(&login).await, None);
    let rest = format!("mysql.global_priv WHERE User LIKE '{name}%' AND Host <> ''");
    assert_eq!(server.count(&rest).await, 5, "all but Ada");
}

#[tokio::test]
async fn c11_a_session_outlives_the_lock_until_it_is_killed() {
    let server = Server::new("live").await;
    let login = server.ada.clone();
    let mut one = server.session(&login, "ada-1").await.expect("signed in");
    let bob = format!("{}_bob", server.name);
    let mut other = server.session(&bob, "bob-1").await.expect("signed in");
    assert_eq!(
        server.write(&change(Operation::Disable, &login)).await,
        Ok(Answered::Accepted)
    );
    one.ping().await.expect("the session lives on");
    assert_eq!(
        server.read(&login).await.expect("is there").sessions,
        Some(1)
    );
    let delete = change(Operation::Delete, &login);
    let failure = server.write(&delete).await.expect_err("a session is live");
    assert_eq!(failure.code, "CB-SQL-16");
    let end = change(Operation::EndSessions, &login);
    assert_eq!(server.write(&end).await, Ok(Answered::Accepted));
    assert_eq!(server.write(&end).await, Ok(Answered::Absent));
    assert!(one.ping().await.is_err(), "the session is dead");
    other.ping().await.expect("nobody else's session ended");
    assert_eq!(
        server.read(&login).await.expect("is there").sessions,
        Some(0)
    );
}

#[tokio::test]
async fn c11_a_session_outlives_a_dropped_account_and_is_access_still() {
    let mut server = Server::new("gone").await;
    let login = server.ada.clone();
    let mut one = server.session(&login, "ada-1").await.expect("signed in");
    let drop = format!("DROP USER {}@'%'", quoted(&login));
    run(&mut server.admin, &drop).await;
    one.ping().await.expect("the session lives on");
    let left = server.read(&login).await.expect("not gone");
    assert_eq!(
        (left.state, left.sessions),
        (AccountState::NotTold, Some(1))
    );
    // Nobody can be shown to be who they are by a row that is gone: a person ends it.
    let end = change(Operation::EndSessions, &login);
    let failure = server.write(&end).await.expect_err("for a person");
    assert_eq!(failure.class, FailureClass::WriteFailure);
    let kill = format!("KILL USER {}", quoted(&login));
    run(&mut server.admin, &kill).await;
    assert!(one.ping().await.is_err(), "the session is dead");
    assert_eq!(server.read(&login).await, None);
}

#[tokio::test]
async fn p19_what_runs_in_the_accounts_name_keeps_it_from_being_dropped() {
    let mut server = Server::new("definer").await;
    let (name, login) = (server.name.clone(), server.ada.clone());
    let definer = format!("CREATE DEFINER = {}@'%'", quoted(&login));
    for text in [
        format!("CREATE TABLE {name}_one.log (a int)"),
        format!(
            "{definer} TRIGGER {name}_one.note BEFORE INSERT ON {name}_one.log FOR EACH ROW SET NEW.a = 1"
        ),
    ] {
        run(&mut server.admin, &text).await;
    }
    let delete = change(Operation::Delete, &login);
    let failure = server.write(&delete).await.expect_err("a trigger is left");
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (FailureClass::WriteFailure, "CB-SQL-11")
    );
    assert!(failure.message.contains("note"), "{failure}");
    let held = Entitlement {
        id: format!("definer:{name}_one").as_str().into(),
        kind: EntitlementKind::Permission,
        name: "definer".to_owned(),
        inherited_from: None,
    };
    let failure = server
        .write(&taking(&login, &held))
        .await
        .expect_err("a person must");
    assert_eq!(failure.class, FailureClass::Unsupported);
    run(&mut server.admin, &format!("DROP TRIGGER {name}_one.note")).await;
    assert_eq!(server.write(&delete).await, Ok(Answered::Accepted));
}

#[tokio::test]
async fn each_refusal_about_accounts_has_its_class() {
    let mut server = Server::new("class").await;
    let (name, login) = (server.name.clone(), server.ada.clone());
    let wrong = server.credential(CredentialRole::Writer, "guess");
    let failure = server.connector.try_credential(&wrong).await;
    assert_eq!(failure.expect_err("wrong").class, FailureClass::AuthFailure);
    for other in ["writer", "verifier", "rotator", "app"] {
        let change = change(Operation::Delete, &format!("{name}_{other}"));
        let failure = server.write(&change).await.expect_err("no account");
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (FailureClass::Refused, "CB-SQL-13")
        );
    }
    let mut moved = change(Operation::Disable, &login);
    moved.login = format!("{name}_bob");
    let failure = server.write(&moved).await.expect_err("another login");
    assert_eq!(failure.class, FailureClass::Ambiguous);
    run(
        &mut server.admin,
        &format!("GRANT SUPER ON *.* TO {name}_bob@'%'"),
    )
    .await;
    let bob = change(Operation::Disable, &format!("{name}_bob"));
    let failure = server.write(&bob).await.expect_err("an administrator");
    assert_eq!(failure.code, "CB-SQL-13");
    let cut = format!(
        "REVOKE ALL PRIVILEGES, GRANT OPTION FROM {name}_writer@'127.0.0.1'; \
         GRANT SELECT ON mysql.* TO {name}_writer@'127.0.0.1'; \
         REVOKE PROCESS ON *.* FROM {name}_verifier@'%'"
    );
    run(&mut server.admin, &cut).await;
    // Privileges on the whole server hold for a session as it found them: these are new ones.
    let writer = Credential {
        version: 2,
        ..server.credential(CredentialRole::Writer, "writer-1")
    };
    let disable = change(Operation::Disable, &login);
    let failure = server.connector.write(&writer, &disable).await;
    let failure = failure.expect_err("no right");
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (FailureClass::Refused, "CB-SQL-3")
    );
    let verifier = Credential {
        version: 2,
        ..server.credential(CredentialRole::Verifier, "verifier-1")
    };
    let id = format!("{login}@%");
    let reading = server.connector.read(&verifier, &id.as_str().into()).await;
    assert!(
        reading.expect("read").completeness.permission_cut,
        "no sessions are shown"
    );
    let cut = format!("REVOKE SELECT ON mysql.* FROM {name}_verifier@'%'");
    run(&mut server.admin, &cut).await;
    let verifier = Credential {
        version: 3,
        ..verifier
    };
    let failure = server.connector.read(&verifier, &id.as_str().into()).await;
    assert_eq!(failure.expect_err("no right").class, FailureClass::Refused);
}

#[tokio::test]
async fn d2_the_connectors_own_account_gets_a_new_password() {
    let server = Server::new("rotate").await;
    let rotator = server.credential(CredentialRole::Rotator, "rotator-1");
    assert_eq!(server.connector.try_credential(&rotator).await, Ok(()));
    let order = MintOrder {
        role: CredentialRole::Writer,
        label: "clawback:test".to_owned(),
        username: None,
        chosen: Some("n3w-value".to_owned().into()),
        expires: None,
    };
    server.connector.mint(&rotator, &order).await.expect("set");
    let new = server.credential(CredentialRole::Writer, "n3w-value");
    assert_eq!(server.connector.try_credential(&new).await, Ok(()));
    let old = server.credential(CredentialRole::Writer, "writer-1");
    let failure = server.connector.try_credential(&old).await;
    assert_eq!(failure.expect_err("dead").class, FailureClass::AuthFailure);
}

#[tokio::test]
async fn c3_what_an_account_may_do_beyond_its_need_is_told() {
    let mut server = Server::new("power").await;
    let name = server.name.clone();
    let verifier = server.credential(CredentialRole::Verifier, "verifier-1");
    let told = server.connector.powers(&verifier).await.expect("asked");
    assert_eq!(told.expect("MariaDB tells").excess, [""; 0]);
    let grant = format!("GRANT INSERT ON {name}_one.* TO {name}_verifier@'%'");
    run(&mut server.admin, &grant).await;
    let told = server.connector.powers(&verifier).await.expect("asked");
    assert_eq!(
        told.expect("MariaDB tells").excess,
        [format!("has INSERT ON {name}_one.*")]
    );
    let writer = server.credential(CredentialRole::Writer, "writer-1");
    let told = server.connector.powers(&writer).await.expect("asked");
    let excess = told.expect("MariaDB tells").excess;
    assert!(excess.contains(&"has FILE ON *.*".to_owned()), "{excess:?}");
}

#[tokio::test]
async fn a_role_that_the_writer_may_not_administer_is_refused() {
    let mut server = Server::new("admin").await;
    let (name, login) = (server.name.clone(), server.ada.clone());
    let other = format!(
        "CREATE ROLE {name}_other; GRANT {name}_other TO {}@'%'",
        quoted(&login)
    );
    run(&mut server.admin, &other).await;
    let ada = server.read(&login).await.expect("is there");
    let other = format!("role:{name}_other");
    let other = ada.entitlements.iter().find(|one| one.id.as_str() == other);
    let other = taking(&login, other.expect("is seen"));
    let failure = server.write(&other).await.expect_err("no admin option");
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (FailureClass::Refused, "CB-SQL-3")
    );
}
