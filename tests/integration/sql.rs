//! The sql kind on a real PostgreSQL: types, rights, locks, row-level security, rotation.
//!
//! Owns a database and roles of its own for each test. What happened is read from the tables
//! themselves, with another connection than the connector's.

use std::sync::Arc;

use clawback::connectors::{Answered, Change, Credential, Guarded, MintOrder, Registry};
use clawback::domain::access::{AccountState, Entitlement, EntitlementKind, Operation};
use clawback::domain::id::ConnectorName;
use clawback::domain::outcome::FailureClass;
use clawback::domain::time::{Clock, Timestamp};
use clawback::domain::verdict::CredentialRole;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::parts::part;

const TABLES: &str = "
CREATE TYPE stand AS ENUM ('on', 'off');
CREATE TABLE staff (id bigint PRIMARY KEY, login varchar(40), stand stand NOT NULL, employee_number text, since timestamptz DEFAULT now());
CREATE TABLE staff_role (staff bigint REFERENCES staff, role uuid);
CREATE TABLE session (token text, staff bigint);
INSERT INTO staff VALUES (1, 'ada', 'on', 'E1'), (2, 'bob', 'on', 'E2');
INSERT INTO staff_role VALUES (1, '0b1e0000-0000-4000-8000-000000000001'), (2, '0b1e0000-0000-4000-8000-000000000001');
INSERT INTO session VALUES ('a', 1), ('b', 1), ('c', 2);
";

const MANIFEST: &str = r#"
name = "shop"
kind = "sql"
purpose = "Shop back office"
owner = "shop-it@acme.example"
deputy = "iam@acme.example"
review_by = "2027-03-31"
after_removal = "account_powerless"
operations = ["list", "read", "disable", "end_sessions", "revoke_entitlement", "delete"]
writes = ["staff.stand", "session.*", "staff_role.*", "*"]
[[correlation]]
identifier = "employee_number"
attribute = "employee_number"
decides = true
[credentials.writer]
secret = "local:shop/writer"
username = "{name}_writer"
rotation = "choose"
[credentials.verifier]
secret = "local:shop/verifier"
username = "{name}_verifier"
[credentials.rotator]
secret = "local:shop/rotator"
username = "{name}_rotator"
[expect]
fields = ["employee_number"]
[fallback]
steps = ["Open the back office and remove the person"]
[sql]
url = "{url}"
list = "SELECT id, login, stand AS state, employee_number, since FROM staff ORDER BY id"
read = "SELECT id, login, stand AS state, employee_number, since FROM staff WHERE id = :account"
entitlements = "SELECT role AS id, 'role' AS kind FROM staff_role WHERE staff = :account"
sessions = "SELECT count(*) AS sessions FROM session WHERE staff = :account"
disable = "UPDATE staff SET stand = 'off' WHERE id = :account AND login = :login"
end_sessions = "DELETE FROM session WHERE staff = :account"
revoke_entitlement = "DELETE FROM staff_role WHERE staff = :account AND role = :entitlement"
delete = "DELETE FROM staff WHERE id = :account"
lock_timeout_seconds = 1
[sql.states]
enabled = ["on"]
disabled = ["off"]
"#;

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

struct Shop {
    /// The tables' owner, past the connector.
    owner: PgConnection,
    connector: Arc<Guarded>,
    name: String,
}

impl Shop {
    /// A database, its tables and three roles, all called after the test.
    async fn new(test: &str) -> Self {
        let url = part("CLAWBACK_TEST_POSTGRES");
        let name = format!("sql_{test}_{}", std::process::id());
        let mut server = PgConnection::connect(&url).await.expect("the server");
        run(&mut server, &format!("CREATE DATABASE {name}")).await;
        let (head, _) = url.rsplit_once('/').expect("an address with a database");
        let mut owner = PgConnection::connect(&format!("{head}/{name}"))
            .await
            .expect("the new database");
        run(&mut owner, TABLES).await;
        for (role, rights) in [("writer", "SELECT, UPDATE, DELETE"), ("verifier", "SELECT")] {
            let text = format!(
                "CREATE ROLE {name}_{role} LOGIN PASSWORD '{role}-1'; \
                 GRANT {rights} ON ALL TABLES IN SCHEMA public TO {name}_{role}"
            );
            run(&mut owner, &text).await;
        }
        let rotator = format!(
            "CREATE ROLE {name}_rotator LOGIN CREATEROLE PASSWORD 'rotator-1'; \
             GRANT {name}_writer TO {name}_rotator WITH ADMIN OPTION"
        );
        run(&mut owner, &rotator).await;
        let (_, place) = head.rsplit_once('@').expect("an address with a user");
        let manifest = MANIFEST
            .replace("{url}", &format!("postgres://{place}/{name}"))
            .replace("{name}", &name);
        let clock: Arc<dyn Clock> = Arc::new(Still);
        let registry = Registry::load(&[("shop.toml".to_owned(), manifest)], &clock)
            .unwrap_or_else(|problems| panic!("{problems}"));
        let connector = registry.get(&ConnectorName::from("shop")).expect("loaded");
        Self {
            owner,
            connector,
            name,
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

    /// Looks at the table itself.
    async fn count(&mut self, condition: &str) -> i64 {
        let text = format!("SELECT count(*) FROM {condition}");
        let query = sqlx::query_scalar(AssertSqlSafe(text));
        query.fetch_one(&mut self.owner).await.expect("counted")
    }
}

async fn run(link: &mut PgConnection, text: &str) {
    let query = sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
    query.execute(link).await.expect("the statement runs");
}

fn change(operation: Operation, account: &str, login: &str) -> Change {
    Change {
        operation,
        account: account.into(),
        login: login.to_owned(),
        entitlement: None,
    }
}

fn taking(account: &str, login: &str, id: &str) -> Change {
    Change {
        entitlement: Some(Entitlement {
            id: id.into(),
            kind: EntitlementKind::Role,
            name: id.to_owned(),
            inherited_from: None,
        }),
        ..change(Operation::RevokeEntitlement, account, login)
    }
}

const ROLE: &str = "0b1e0000-0000-4000-8000-000000000001";

#[tokio::test]
async fn c2_each_operation_reaches_its_rows_and_no_other() {
    let mut shop = Shop::new("rows").await;
    let (writer, verifier) = (shop.writer(), shop.verifier());
    let listing = shop.connector.list(&verifier).await.expect("listed");
    assert_eq!(listing.accounts.len(), 2);
    assert_eq!(listing.completeness.gap(), None);
    let reading = shop.connector.read(&verifier, &"1".into()).await;
    let ada = reading.expect("read").account.expect("is there");
    assert_eq!((ada.state, ada.sessions), (AccountState::Enabled, Some(2)));
    assert_eq!(ada.entitlements[0].id.as_str(), ROLE);
    for change in [
        change(Operation::Disable, "1", "ada"),
        change(Operation::EndSessions, "1", "ada"),
        taking("1", "ada", ROLE),
    ] {
        let answer = shop.connector.write(&writer, &change).await;
        assert_eq!(answer, Ok(Answered::Accepted), "{:?}", change.operation);
    }
    assert_eq!(shop.count("staff WHERE stand = 'on'").await, 1);
    assert_eq!(shop.count("session WHERE staff = 2").await, 1);
    assert_eq!(shop.count("staff_role WHERE staff = 2").await, 1);
    let reading = shop.connector.read(&verifier, &"1".into()).await;
    let ada = reading.expect("read").account.expect("stays");
    assert_eq!((ada.state, ada.sessions), (AccountState::Disabled, Some(0)));
    assert_eq!(ada.entitlements, []);
    let delete = change(Operation::Delete, "1", "ada");
    assert_eq!(
        shop.connector.write(&writer, &delete).await,
        Ok(Answered::Accepted)
    );
    assert_eq!(
        shop.connector.write(&writer, &delete).await,
        Ok(Answered::Absent)
    );
    assert_eq!(shop.count("staff").await, 1);
}

#[tokio::test]
async fn p30_hostile_and_foreign_values_change_nothing() {
    let mut shop = Shop::new("values").await;
    let writer = shop.writer();
    let moved = change(Operation::Disable, "1", "eve");
    let failure = shop.connector.write(&writer, &moved).await;
    assert_eq!(failure.expect_err("another").class, FailureClass::Ambiguous);
    for id in ["1 OR 1=1", "1; DROP TABLE staff", "99999999999999999999"] {
        let hostile = change(Operation::Delete, id, "ada");
        let failure = shop.connector.write(&writer, &hostile).await;
        assert_eq!(failure.expect_err("no id").class, FailureClass::Drifted);
    }
    let role = taking("1", "ada", "x' OR '1'='1");
    let failure = shop.connector.write(&writer, &role).await;
    assert_eq!(failure.expect_err("no uuid").class, FailureClass::Drifted);
    assert_eq!(shop.count("staff WHERE stand = 'on'").await, 2);
    assert_eq!(shop.count("staff_role").await, 2);
}

#[tokio::test]
async fn each_refusal_of_the_server_has_its_class() {
    let mut shop = Shop::new("classes").await;
    let wrong = shop.credential(CredentialRole::Writer, "guess");
    let failure = shop.connector.try_credential(&wrong).await;
    assert_eq!(failure.expect_err("wrong").class, FailureClass::AuthFailure);
    let disable = change(Operation::Disable, "1", "ada");
    let writer = shop.writer();
    assert_eq!(shop.connector.try_credential(&writer).await, Ok(()));

    // Another transaction holds the row.
    run(
        &mut shop.owner,
        "BEGIN; SELECT * FROM staff WHERE id = 1 FOR UPDATE",
    )
    .await;
    let failure = shop.connector.write(&writer, &disable).await;
    assert_eq!(
        failure.expect_err("locked").class,
        FailureClass::RateLimited
    );
    run(&mut shop.owner, "ROLLBACK").await;

    // Roles still point to the account.
    let delete = change(Operation::Delete, "1", "ada");
    let failure = shop.connector.write(&writer, &delete).await;
    assert_eq!(failure.expect_err("held").class, FailureClass::WriteFailure);

    let revoke = format!("REVOKE UPDATE ON staff FROM {}_writer", shop.name);
    run(&mut shop.owner, &revoke).await;
    let failure = shop.connector.write(&writer, &disable).await;
    assert_eq!(failure.expect_err("no grant").class, FailureClass::Refused);

    run(
        &mut shop.owner,
        "ALTER TABLE staff RENAME COLUMN login TO user_name",
    )
    .await;
    let failure = shop.connector.list(&shop.verifier()).await;
    assert_eq!(failure.expect_err("renamed").class, FailureClass::Drifted);
    assert_eq!(shop.count("staff WHERE stand = 'on'").await, 2);
}

#[tokio::test]
async fn c6_rows_hidden_by_policy_are_an_error_and_not_an_absence() {
    let mut shop = Shop::new("policy").await;
    let text = "ALTER TABLE staff ENABLE ROW LEVEL SECURITY; \
                CREATE POLICY visible ON staff FOR SELECT USING (id > 1)";
    run(&mut shop.owner, text).await;
    let verifier = shop.verifier();
    let failure = shop.connector.read(&verifier, &"1".into()).await;
    assert_eq!(failure.expect_err("hidden").class, FailureClass::Refused);
}

#[tokio::test]
async fn d2_a_chosen_password_works_at_once_and_the_old_one_is_dead() {
    let shop = Shop::new("rotation").await;
    let rotator = shop.credential(CredentialRole::Rotator, "rotator-1");
    assert_eq!(shop.connector.try_credential(&rotator).await, Ok(()));
    let order = MintOrder {
        role: CredentialRole::Writer,
        label: "clawback:test".to_owned(),
        username: None,
        chosen: Some("n3w-value".to_owned().into()),
        expires: None,
    };
    shop.connector.mint(&rotator, &order).await.expect("set");
    let mut new = shop.credential(CredentialRole::Writer, "n3w-value");
    new.version = 2;
    assert_eq!(shop.connector.try_credential(&new).await, Ok(()));
    let failure = shop.connector.try_credential(&shop.writer()).await;
    assert_eq!(failure.expect_err("dead").class, FailureClass::AuthFailure);
    let disable = change(Operation::Disable, "1", "ada");
    let answer = shop.connector.write(&new, &disable).await;
    assert_eq!(answer, Ok(Answered::Accepted));
    let mut other = order.clone();
    other.role = CredentialRole::Verifier;
    let failure = shop.connector.mint(&rotator, &other).await;
    let failure = failure.expect_err("the manifest rotates only the writer");
    assert_eq!(failure.class, FailureClass::Unsupported);
}

#[tokio::test]
async fn c3_a_writer_that_may_write_more_than_the_manifest_is_told() {
    let mut shop = Shop::new("powers").await;
    let told = shop
        .connector
        .powers(&shop.verifier())
        .await
        .expect("asked");
    assert_eq!(told.expect("PostgreSQL tells").excess, [""; 0]);
    let told = shop.connector.powers(&shop.writer()).await.expect("asked");
    assert_eq!(
        told.expect("PostgreSQL tells").excess,
        [
            "may UPDATE on public.session",
            "may UPDATE on public.staff",
            "may UPDATE on public.staff_role",
        ]
    );
    let narrow = format!(
        "REVOKE UPDATE ON ALL TABLES IN SCHEMA public FROM {0}_writer; \
         GRANT UPDATE (stand) ON staff TO {0}_writer",
        shop.name
    );
    run(&mut shop.owner, &narrow).await;
    let told = shop.connector.powers(&shop.writer()).await.expect("asked");
    assert_eq!(told.expect("PostgreSQL tells").excess, [""; 0]);
    let disable = change(Operation::Disable, "1", "ada");
    let answer = shop.connector.write(&shop.writer(), &disable).await;
    assert_eq!(answer, Ok(Answered::Accepted), "and that is enough");
}
