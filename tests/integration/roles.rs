//! The sql kind on the roles of a real PostgreSQL: several databases, live sessions, hostile names.
//!
//! Owns databases and roles of its own for each test. What happened is read from the catalogs
//! themselves, with another connection than the connector's.

use std::collections::BTreeSet;
use std::sync::Arc;

use clawback::connectors::{Answered, Change, Credential, Guarded, MintOrder, Registry};
use clawback::domain::access::{Account, AccountState, Entitlement, EntitlementKind, Operation};
use clawback::domain::id::ConnectorName;
use clawback::domain::outcome::{Failure, FailureClass};
use clawback::domain::time::{Clock, Timestamp};
use clawback::domain::verdict::CredentialRole;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::parts::part;

const MANIFEST: &str = r#"
name = "server"
kind = "sql"
purpose = "The people's own roles"
owner = "dba@acme.example"
deputy = "iam@acme.example"
review_by = "2027-03-31"
after_removal = "account_gone"
operations = ["list", "read", "disable", "end_sessions", "revoke_entitlement", "delete"]
writes = ["rolcanlogin", "rolconnlimit", "rolvaliduntil", "session", "membership", "privilege", "owner", "rolcreatedb", "*"]
[without]
revoke_credential = "no foreign servers"
[[correlation]]
identifier = "employee_number"
attribute = "comment"
decides = true
[credentials.writer]
secret = "local:server/writer"
username = "{name}_writer"
rotation = "choose"
[credentials.verifier]
secret = "local:server/verifier"
username = "{name}_verifier"
[credentials.rotator]
secret = "local:server/rotator"
username = "{name}_rotator"
[limits]
requests_per_second = 10000
[expect]
fields = ["comment"]
[fallback]
steps = ["Ask the database administrators to drop the role"]
[sql]
url = "{url}"
lock_timeout_seconds = 5
[sql.roles]
names = ["{name}*"]
except = ["{name}_heir", "{name}_app"]
disable = ["rolcanlogin", "rolconnlimit", "rolvaliduntil"]
successor = "{name}_heir"
"#;

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

/// A server's roles: Ada with a hostile name, groups, a successor, an application's owner, and the
/// databases `{name}_one` and `{name}_two`.
struct Server {
    admin: PgConnection,
    connector: Arc<Guarded>,
    name: String,
    ada: String,
}

impl Server {
    async fn new(test: &str) -> Self {
        Self::with(test, MANIFEST).await
    }

    async fn with(test: &str, manifest: &str) -> Self {
        let name = format!("r{test}{}", std::process::id());
        let mut admin = admin("postgres").await;
        let ada = format!("{name} \"ada\"; DROP ROLE x; -- o'hara \\ %I");
        for text in [
            format!("CREATE ROLE {name}_writer SUPERUSER LOGIN PASSWORD 'writer-1'"),
            format!(
                "CREATE ROLE {name}_verifier LOGIN PASSWORD 'verifier-1' IN ROLE pg_read_all_stats"
            ),
            format!("CREATE ROLE {name}_rotator LOGIN SUPERUSER PASSWORD 'rotator-1'"),
            format!("CREATE ROLE {name}_heir; CREATE ROLE {name}_app LOGIN PASSWORD 'app-1'"),
            format!("CREATE ROLE {name}_lead; CREATE ROLE {name}_staff IN ROLE {name}_lead"),
            format!(
                "CREATE ROLE {} LOGIN CREATEDB PASSWORD 'ada-1'",
                quoted(&ada)
            ),
            format!("CREATE ROLE {name}_bob LOGIN PASSWORD 'bob-1' IN ROLE {name}_staff"),
            format!("GRANT {name}_staff TO {} WITH ADMIN OPTION", quoted(&ada)),
            format!(
                "COMMENT ON ROLE {} IS 'E1'; COMMENT ON ROLE {name}_bob IS 'E2'",
                quoted(&ada)
            ),
            format!("CREATE DATABASE {name}_one"),
            format!("CREATE DATABASE {name}_two"),
        ] {
            run(&mut admin, &text).await;
        }
        let url = part("CLAWBACK_TEST_POSTGRES");
        let (head, _) = url.rsplit_once('/').expect("an address with a database");
        let (_, place) = head.rsplit_once('@').expect("an address with a user");
        let manifest = manifest
            .replace("{url}", &format!("postgres://{place}/{name}_one"))
            .replace("{name}", &name);
        let clock: Arc<dyn Clock> = Arc::new(Still);
        let registry = Registry::load(&[("server.toml".to_owned(), manifest)], &clock)
            .unwrap_or_else(|problems| panic!("{problems}"));
        let connector = registry.get(&ConnectorName::from("server"));
        Self {
            admin,
            connector: connector.expect("loaded"),
            name,
            ada,
        }
    }

    /// Tables, functions, schemas and default privileges in both databases.
    async fn furnish(&mut self) {
        let (name, ada) = (self.name.clone(), quoted(&self.ada));
        for database in ["one", "two"] {
            let mut link = admin(&format!("{name}_{database}")).await;
            let text = format!(
                "CREATE TABLE orders (id int, price int); ALTER TABLE orders OWNER TO {name}_app;
                 CREATE SEQUENCE numbers; CREATE SCHEMA \"we\"\"ird\"; CREATE TABLE \"we\"\"ird\".\"t;\" ();
                 CREATE FUNCTION total(int, text) RETURNS int LANGUAGE sql AS 'SELECT 1';
                 GRANT SELECT ON orders TO {ada}, {name}_bob; GRANT UPDATE (price) ON orders TO {ada};
                 GRANT USAGE ON SEQUENCE numbers TO {ada}; GRANT EXECUTE ON FUNCTION total TO {ada};
                 GRANT ALL ON SCHEMA \"we\"\"ird\" TO {ada}; GRANT INSERT ON \"we\"\"ird\".\"t;\" TO {ada};
                 GRANT CONNECT ON DATABASE {name}_{database} TO {ada};
                 ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {ada};
                 ALTER DEFAULT PRIVILEGES FOR ROLE {ada} GRANT SELECT ON TABLES TO {name}_bob;
                 CREATE TABLE diary (secret text); ALTER TABLE diary OWNER TO {ada};
                 INSERT INTO diary VALUES ('kept'); ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
                 CREATE POLICY hers ON orders TO {ada}, {name}_bob USING (true)"
            );
            run(&mut link, &text).await;
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

    fn writer(&self) -> Credential {
        self.credential(CredentialRole::Writer, "writer-1")
    }

    fn verifier(&self) -> Credential {
        self.credential(CredentialRole::Verifier, "verifier-1")
    }

    async fn write(&self, change: &Change) -> Result<Answered, Failure> {
        self.connector.write(&self.writer(), change).await
    }

    /// What the verifier sees of a role.
    async fn read(&mut self, login: &str) -> Option<Account> {
        let (id, verifier) = (self.id(login).await, self.verifier());
        let reading = self.connector.read(&verifier, &id.as_str().into()).await;
        let reading = reading.expect("read");
        assert_eq!(reading.completeness.gap(), None);
        reading.account
    }

    /// The object id of a role, from the catalog.
    async fn id(&mut self, login: &str) -> String {
        let query = sqlx::query_scalar("SELECT oid::text FROM pg_roles WHERE rolname = $1");
        let id = query.bind(login).fetch_one(&mut self.admin).await;
        id.expect("the role is there")
    }

    async fn change(&mut self, operation: Operation, login: &str) -> Change {
        Change {
            operation,
            account: self.id(login).await.as_str().into(),
            login: login.to_owned(),
            entitlement: None,
        }
    }

    async fn taking(&mut self, login: &str, entitlement: &Entitlement) -> Change {
        Change {
            entitlement: Some(entitlement.clone()),
            ..self.change(Operation::RevokeEntitlement, login).await
        }
    }

    async fn count(&mut self, condition: &str) -> i64 {
        let text = format!("SELECT count(*) FROM {condition}");
        let query = sqlx::query_scalar(AssertSqlSafe(text));
        query.fetch_one(&mut self.admin).await.expect("counted")
    }

    /// Signs in as a role; the session lives as long as the connection.
    async fn session(&self, login: &str, password: &str) -> Result<PgConnection, sqlx::Error> {
        let options = options(&format!("{}_two", self.name));
        PgConnection::connect_with(&options.username(login).password(password)).await
    }
}

fn options(database: &str) -> PgConnectOptions {
    let url = part("CLAWBACK_TEST_POSTGRES_ADMIN");
    let options: PgConnectOptions = url.parse().expect("an address");
    options.database(database)
}

async fn admin(database: &str) -> PgConnection {
    let link = PgConnection::connect_with(&options(database)).await;
    link.expect("the server")
}

async fn run(link: &mut PgConnection, text: &str) {
    let query = sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
    let done = query.execute(link).await;
    done.unwrap_or_else(|error| panic!("{error}: {text}"));
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn ids(account: &Account) -> BTreeSet<String> {
    let ids = account
        .entitlements
        .iter()
        .map(|one| one.id.as_str().to_owned());
    ids.collect()
}

#[tokio::test]
async fn e5_a_role_is_shown_with_all_that_it_holds_in_every_database() {
    let mut server = Server::new("show").await;
    server.furnish().await;
    let listing = server
        .connector
        .list(&server.verifier())
        .await
        .expect("listed");
    assert_eq!(listing.completeness.gap(), None);
    let logins: Vec<_> = listing
        .accounts
        .iter()
        .map(|one| one.login.as_str())
        .collect();
    assert_eq!(
        logins,
        [server.ada.as_str(), &format!("{}_bob", server.name)]
    );
    assert_eq!(listing.accounts[0].attributes["comment"], "E1");
    let login = server.ada.clone();
    let ada = server.read(&login).await.expect("is there");
    assert_eq!(ada.login, login);
    assert_eq!((ada.state, ada.sessions), (AccountState::Enabled, Some(0)));
    let staff = server.id(&format!("{}_staff", server.name)).await;
    let lead = server.id(&format!("{}_lead", server.name)).await;
    let mut expected = BTreeSet::from([
        format!("role:{staff}"),
        format!("role:{lead}:via:{staff}"),
        "attribute:rolcreatedb".to_owned(),
        "privilege:0:pg_database".to_owned(),
    ]);
    for database in ["one", "two"] {
        let text = format!(
            "SELECT oid::text FROM pg_database WHERE datname = '{}_{database}'",
            server.name
        );
        let oid: String = sqlx::query_scalar(AssertSqlSafe(text))
            .fetch_one(&mut server.admin)
            .await
            .expect("the database");
        for catalog in ["pg_class", "pg_namespace", "pg_proc", "pg_default_acl"] {
            expected.insert(format!("privilege:{oid}:{catalog}"));
        }
        expected.insert(format!("owner:{oid}"));
    }
    assert_eq!(ids(&ada), expected);
    let inherited = ada
        .entitlements
        .iter()
        .find(|one| one.inherited_from.is_some());
    let inherited = inherited.expect("one is inherited");
    assert_eq!(
        inherited.inherited_from,
        Some(format!("{}_staff", server.name))
    );
    let named = |part: &str| ada.entitlements.iter().any(|one| one.name.contains(part));
    assert!(named("with admin option"), "{:?}", ada.entitlements);
    assert!(named("owner of 1 tables, views and sequences in database"));
}

#[tokio::test]
async fn b8_every_change_takes_what_it_says_and_repeats_in_peace() {
    let mut server = Server::new("take").await;
    server.furnish().await;
    let login = server.ada.clone();
    let bob = format!("{}_bob", server.name);
    let before = server.read(&bob).await.expect("is there");
    let disable = server.change(Operation::Disable, &login).await;
    assert_eq!(server.write(&disable).await, Ok(Answered::Accepted));
    assert_eq!(server.write(&disable).await, Ok(Answered::Absent));
    let refused = server.session(&login, "ada-1").await;
    assert!(refused.is_err(), "NOLOGIN");
    let ada = server.read(&login).await.expect("stays");
    assert_eq!(ada.state, AccountState::Disabled);
    let listing = server
        .connector
        .list(&server.verifier())
        .await
        .expect("listed");
    assert!(
        listing.accounts.iter().any(|one| one.login == login),
        "is still an account"
    );
    for entitlement in ada
        .entitlements
        .iter()
        .filter(|one| one.inherited_from.is_none())
    {
        let taking = server.taking(&login, entitlement).await;
        let answer = server.write(&taking).await;
        assert_eq!(answer, Ok(Answered::Accepted), "{entitlement:?}");
        let ada = server.read(&login).await.expect("stays");
        assert!(taking.is_done_in(&ada), "{entitlement:?} is still seen");
        let answer = server.write(&taking).await;
        assert_eq!(answer, Ok(Answered::Absent), "{entitlement:?} once more");
    }
    let ada = server.read(&login).await.expect("stays");
    assert_eq!(
        ada.entitlements,
        [],
        "the inherited one went with its parent"
    );
    assert_eq!(
        server.read(&bob).await,
        Some(before),
        "nobody else lost anything"
    );
    let mut two = admin(&format!("{}_two", server.name)).await;
    let text = "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'diary'";
    let owner: String = sqlx::query_scalar(text)
        .fetch_one(&mut two)
        .await
        .expect("diary");
    assert_eq!(owner, format!("{}_heir", server.name));
}

#[tokio::test]
async fn c11_a_session_outlives_the_right_to_sign_in_until_it_is_ended() {
    let mut server = Server::new("live").await;
    let login = server.ada.clone();
    let mut one = server.session(&login, "ada-1").await.expect("signed in");
    let two = server.session(&login, "ada-1").await.expect("signed in");
    let bob = format!("{}_bob", server.name);
    let mut other = server.session(&bob, "bob-1").await.expect("signed in");
    let disable = server.change(Operation::Disable, &login).await;
    assert_eq!(server.write(&disable).await, Ok(Answered::Accepted));
    one.ping().await.expect("the session lives on");
    let ada = server.read(&login).await.expect("is there");
    assert_eq!((ada.state, ada.sessions), (AccountState::Disabled, Some(2)));
    let delete = server.change(Operation::Delete, &login).await;
    let failure = server.write(&delete).await.expect_err("sessions are live");
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (FailureClass::WriteFailure, "CB-SQL-16")
    );
    let end = server.change(Operation::EndSessions, &login).await;
    assert_eq!(server.write(&end).await, Ok(Answered::Accepted));
    assert_eq!(server.write(&end).await, Ok(Answered::Absent));
    assert!(one.ping().await.is_err(), "the session is dead");
    drop(two);
    let ada = server.read(&login).await.expect("is there");
    assert_eq!(ada.sessions, Some(0));
    other.ping().await.expect("nobody else's session ended");
    assert_eq!(server.write(&delete).await, Ok(Answered::Accepted));
}

#[tokio::test]
async fn b10_a_deleted_role_leaves_every_object_to_the_successor() {
    let mut server = Server::new("drop").await;
    server.furnish().await;
    let login = server.ada.clone();
    let delete = server.change(Operation::Delete, &login).await;
    assert_eq!(server.write(&delete).await, Ok(Answered::Accepted));
    assert_eq!(server.write(&delete).await, Ok(Answered::Absent));
    let verifier = server.verifier();
    let reading = server
        .connector
        .read(&verifier, &delete.account)
        .await
        .expect("read");
    assert_eq!((reading.account, reading.completeness.gap()), (None, None));
    for database in ["one", "two"] {
        let mut link = admin(&format!("{}_{database}", server.name)).await;
        let kept: (String, String, i64) = sqlx::query_as(
            "SELECT secret, (SELECT relowner::regrole::text FROM pg_class WHERE relname = 'diary'), \
             (SELECT count(*) FROM pg_policy WHERE polname = 'hers') FROM diary",
        )
        .fetch_one(&mut link)
        .await
        .expect("nothing was dropped");
        assert_eq!(
            kept,
            ("kept".to_owned(), format!("{}_heir", server.name), 1)
        );
    }
    let bob = format!("pg_roles WHERE rolname = '{}_bob'", server.name);
    assert_eq!(server.count(&bob).await, 1);
}

#[tokio::test]
async fn p19_a_database_that_cannot_be_entered_is_named_and_the_role_stays() {
    let mut server = Server::new("closed").await;
    server.furnish().await;
    let (login, name) = (server.ada.clone(), server.name.clone());
    run(
        &mut server.admin,
        &format!("ALTER DATABASE {name}_two ALLOW_CONNECTIONS false"),
    )
    .await;
    let delete = server.change(Operation::Delete, &login).await;
    let failure = server.write(&delete).await.expect_err("closed");
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (FailureClass::WriteFailure, "CB-SQL-17")
    );
    assert!(
        failure.message.contains(&format!("{name}_two")),
        "{failure}"
    );
    let ada = server
        .read(&login)
        .await
        .expect("the role stays, and so does what it holds");
    assert!(ids(&ada).iter().any(|id| id.starts_with("owner:")));
    run(
        &mut server.admin,
        &format!("ALTER DATABASE {name}_two ALLOW_CONNECTIONS true"),
    )
    .await;
    assert_eq!(
        server.write(&delete).await,
        Ok(Answered::Accepted),
        "goes on"
    );
}

#[tokio::test]
async fn g2_what_is_no_account_is_never_changed() {
    let mut server = Server::new("bound").await;
    let (name, login) = (server.name.clone(), server.ada.clone());
    run(
        &mut server.admin,
        &format!("CREATE ROLE {name}_root LOGIN SUPERUSER"),
    )
    .await;
    let listing = server
        .connector
        .list(&server.verifier())
        .await
        .expect("listed");
    assert_eq!(listing.accounts.len(), 2, "{:?}", listing.accounts);
    for other in ["root", "heir", "app", "writer", "verifier", "rotator"] {
        for operation in [
            Operation::Disable,
            Operation::Delete,
            Operation::EndSessions,
        ] {
            let change = server.change(operation, &format!("{name}_{other}")).await;
            let failure = server.write(&change).await.expect_err("no account");
            assert_eq!(failure.code, "CB-SQL-13", "{other} {failure}");
            assert_eq!(failure.class, FailureClass::Refused);
        }
    }
    let mut foreign = server.change(Operation::Disable, "postgres").await;
    let failure = server.write(&foreign).await.expect_err("not taken in");
    assert_eq!(failure.class, FailureClass::Refused);
    foreign.login = format!("{name}_x");
    assert_eq!(
        server.write(&foreign).await.expect_err("10").class,
        FailureClass::WriteFailure
    );
    // The id of one role under the name of another.
    let mut moved = server.change(Operation::Disable, &login).await;
    moved.login = format!("{name}_bob");
    let failure = server.write(&moved).await.expect_err("another login");
    assert_eq!(failure.class, FailureClass::Ambiguous);
    for id in ["1 OR 1=1", "1; DROP ROLE x", "99999999999999999999", ""] {
        moved.account = id.into();
        assert_eq!(
            server.write(&moved).await.expect_err(id).class,
            FailureClass::Drifted
        );
    }
    let enabled = format!("pg_roles WHERE rolcanlogin AND rolname LIKE '{name}%'");
    assert_eq!(server.count(&enabled).await, 7, "all as before");
}

#[tokio::test]
async fn each_refusal_about_roles_has_its_class() {
    let mut server = Server::new("class").await;
    server.furnish().await;
    let (name, login) = (server.name.clone(), server.ada.clone());
    // Ada passed a privilege on, and a third role passed one to her.
    let mut one = admin(&format!("{name}_one")).await;
    let passed = format!(
        "GRANT SELECT ON orders TO {ada} WITH GRANT OPTION; SET ROLE {ada}; \
         GRANT SELECT ON orders TO {name}_lead; RESET ROLE; \
         GRANT USAGE ON SEQUENCE numbers TO {name}_heir WITH GRANT OPTION; SET ROLE {name}_heir; \
         GRANT USAGE ON SEQUENCE numbers TO {ada}; RESET ROLE",
        ada = quoted(&login)
    );
    run(&mut one, &passed).await;
    let ada = server.read(&login).await.expect("is there");
    let oid: String =
        sqlx::query_scalar("SELECT oid::text FROM pg_database WHERE datname = current_database()")
            .fetch_one(&mut one)
            .await
            .expect("this database");
    let tables = format!("privilege:{oid}:pg_class");
    let tables = ada
        .entitlements
        .iter()
        .find(|held| held.id.as_str() == tables);
    let taking = server.taking(&login, tables.expect("on tables")).await;
    let failure = server.write(&taking).await.expect_err("passed on");
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (FailureClass::WriteFailure, "CB-SQL-14")
    );
    let undo = format!(
        "SET ROLE {}; REVOKE SELECT ON orders FROM {name}_lead; RESET ROLE",
        quoted(&login)
    );
    run(&mut one, &undo).await;
    assert_eq!(
        server.write(&taking).await,
        Ok(Answered::Accepted),
        "the third role's too"
    );
}

#[tokio::test]
async fn each_missing_right_about_roles_has_its_class() {
    let mut server = Server::new("right").await;
    server.furnish().await;
    let (name, login) = (server.name.clone(), server.ada.clone());
    // A successor that is not there, and a writer without rights.
    run(
        &mut server.admin,
        &format!("ALTER ROLE {name}_heir RENAME TO {name}_gone"),
    )
    .await;
    let delete = server.change(Operation::Delete, &login).await;
    let failure = server.write(&delete).await.expect_err("no successor");
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (FailureClass::Drifted, "CB-SQL-15")
    );
    run(
        &mut server.admin,
        &format!("ALTER ROLE {name}_writer NOSUPERUSER"),
    )
    .await;
    for operation in [Operation::Disable, Operation::Delete] {
        let change = server.change(operation, &login).await;
        let failure = server.write(&change).await.expect_err("no right");
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (FailureClass::Refused, "CB-SQL-3")
        );
    }
    let session = server.session(&login, "ada-1").await.expect("signed in");
    let end = server.change(Operation::EndSessions, &login).await;
    let failure = server.write(&end).await.expect_err("no right");
    assert_eq!(failure.class, FailureClass::Refused);
    drop(session);
    let wrong = server.credential(CredentialRole::Writer, "guess");
    let failure = server.connector.try_credential(&wrong).await;
    assert_eq!(failure.expect_err("wrong").class, FailureClass::AuthFailure);
}

#[tokio::test]
async fn e1_a_verifier_that_is_not_shown_all_sessions_proves_nothing() {
    let mut server = Server::new("eyes").await;
    let (name, login) = (server.name.clone(), server.ada.clone());
    let id = server.id(&login).await;
    let verifier = server.verifier();
    let revoke = format!("REVOKE pg_read_all_stats FROM {name}_verifier");
    run(&mut server.admin, &revoke).await;
    let reading = server
        .connector
        .read(&verifier, &id.as_str().into())
        .await
        .expect("read");
    assert!(reading.completeness.permission_cut);
    assert!(reading.completeness.gap().is_some());
    assert_eq!(server.connector.try_credential(&verifier).await, Ok(()));
}

#[tokio::test]
async fn c3_a_field_outside_the_manifest_is_refused_before_the_server_hears_of_it() {
    let narrow = MANIFEST.replace("\"owner\", \"rolcreatedb\", ", "\"owner\", ");
    let mut server = Server::with("narrow", &narrow).await;
    let login = server.ada.clone();
    let createdb = Entitlement {
        id: "attribute:rolcreatedb".into(),
        kind: EntitlementKind::Permission,
        name: "CREATEDB".to_owned(),
        inherited_from: None,
    };
    let taking = server.taking(&login, &createdb).await;
    let failure = server.write(&taking).await.expect_err("not approved");
    assert_eq!(failure.class, FailureClass::Refused);
    let kept = format!(
        "pg_roles WHERE rolcreatedb AND oid = {}",
        server.id(&login).await
    );
    assert_eq!(server.count(&kept).await, 1);
    let strange = Entitlement {
        id: "privilege:1:pg_class'; DROP ROLE x; --".into(),
        ..createdb
    };
    let taking = server.taking(&login, &strange).await;
    let failure = server.write(&taking).await.expect_err("no such id");
    assert_eq!(failure.class, FailureClass::Unsupported);
}

#[tokio::test]
async fn d2_the_connectors_own_role_gets_a_new_password() {
    let server = Server::new("rotate").await;
    let rotator = server.credential(CredentialRole::Rotator, "rotator-1");
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
    let failure = server.connector.try_credential(&server.writer()).await;
    assert_eq!(failure.expect_err("dead").class, FailureClass::AuthFailure);
}

#[tokio::test]
async fn c3_what_a_credential_may_do_beyond_its_need_is_told() {
    let mut server = Server::new("power").await;
    server.furnish().await;
    let (name, verifier) = (server.name.clone(), server.verifier());
    let excess = async |credential: &Credential| {
        let powers = server.connector.powers(credential).await.expect("asked");
        powers.expect("PostgreSQL tells").excess
    };
    assert_eq!(excess(&verifier).await, [""; 0]);
    assert_eq!(excess(&server.writer()).await, ["is a superuser"]);
    let mut one = admin(&format!("{name}_one")).await;
    let grants = format!(
        "GRANT UPDATE (price) ON orders TO {name}_verifier; GRANT INSERT ON diary TO {name}_verifier; \
         ALTER ROLE {name}_verifier BYPASSRLS CREATEDB"
    );
    run(&mut one, &grants).await;
    assert_eq!(
        excess(&verifier).await,
        [
            "has CREATEDB",
            "has BYPASSRLS",
            "may INSERT on public.diary",
            "may UPDATE (price) on public.orders",
        ]
    );
}
