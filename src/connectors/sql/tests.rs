//! The sql kind on a real SQLite file, and the checks of its table.
//!
//! Owns the traps of access tables: row counts, logins that moved, hostile ids, renamed columns,
//! answers without effect. PostgreSQL's own traps are in `tests/integration/sql.rs`.

use std::collections::BTreeSet;

use sqlx::{Connection, SqliteConnection};

use super::*;
use crate::connectors::Credential;
use crate::connectors::rehearsal::{Recorder, change, credential, taking};
use crate::document::{Document, Problems};
use crate::domain::access::AccountState;
use crate::domain::outcome::FailureClass;

const HEAD: &str = r#"
name = "shop"
kind = "sql"
purpose = "Shop back office"
owner = "shop-it@acme.example"
deputy = "iam@acme.example"
review_by = "2027-03-31"
after_removal = "account_gone"
operations = ["list", "read", "disable", "end_sessions", "revoke_entitlement", "delete"]
writes = ["staff.active", "session.*", "staff_role.*", "*"]
[[correlation]]
identifier = "employee_number"
attribute = "employee_number"
decides = true
[credentials.writer]
secret = "none:writer"
[credentials.verifier]
secret = "none:verifier"
[expect]
fields = ["id", "login", "employee_number"]
[fallback]
steps = ["Open the back office and remove the person"]
"#;

const STATEMENTS: &str = r#"
list = "SELECT id, login, active AS state, employee_number FROM staff ORDER BY id"
read = "SELECT id, login, active AS state, employee_number FROM staff WHERE id = :account"
entitlements = "SELECT role AS id, role AS name, 'role' AS kind FROM staff_role WHERE staff = :account"
sessions = "SELECT count(*) AS sessions FROM session WHERE staff = :account"
disable = "UPDATE staff SET active = 0 WHERE id = :account AND login = :login"
end_sessions = "DELETE FROM session WHERE staff = :account"
revoke_entitlement = "DELETE FROM staff_role WHERE staff = :account AND role = :entitlement"
delete = "DELETE FROM staff WHERE id = :account"
"#;

const TABLES: &str = "
CREATE TABLE staff (id INTEGER PRIMARY KEY, login TEXT, active INTEGER, employee_number TEXT);
CREATE TABLE staff_role (staff INTEGER REFERENCES staff, role TEXT);
CREATE TABLE session (token TEXT, staff INTEGER);
INSERT INTO staff VALUES (1, 'ada', 1, 'E1'), (2, 'bob', 1, 'E2'), (3, 'o''hara', 1, NULL);
INSERT INTO staff_role VALUES (1, 'admin'), (1, 'editor'), (2, 'admin');
INSERT INTO session VALUES ('s1', 1), ('s2', 1), ('s3', 2);
";

struct Shop {
    directory: tempfile::TempDir,
    connector: SqlConnector,
    gate: Recorder,
    writer: Credential,
    verifier: Credential,
}

fn read_settings(text: &str) -> Result<(Place, Settings), Problems> {
    let document = Document::parse("shop.toml", text).expect("syntax is right");
    let root = document.root();
    let manifest = Manifest::read(&root);
    let table = root.required_table("sql").expect("is there");
    let place = Place::read(&table, &manifest);
    let settings = Settings::read(&table, &manifest, place.as_ref());
    document.take_problems().or(place.zip(settings))
}

impl Shop {
    async fn new(statements: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite:{}", directory.path().join("shop.db").display());
        let text = format!("{HEAD}[sql]\nurl = \"{url}\"\n{statements}");
        let read = read_settings(&text);
        let (place, settings) = read.unwrap_or_else(|problems| panic!("{problems}"));
        let shop = Self {
            directory,
            connector: SqlConnector {
                client: Client::new(place),
                settings,
            },
            gate: Recorder::default(),
            writer: credential(CredentialRole::Writer, None, ""),
            verifier: credential(CredentialRole::Verifier, None, ""),
        };
        shop.run(TABLES).await;
        shop
    }

    async fn open(&self) -> SqliteConnection {
        let file = self.directory.path().join("shop.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true);
        SqliteConnection::connect_with(&options)
            .await
            .expect("open")
    }

    async fn run(&self, text: &str) {
        let query = sqlx::raw_sql(sqlx::AssertSqlSafe(text.to_owned()));
        query.execute(&mut self.open().await).await.expect("run");
    }

    /// Looks at the table itself, past the connector.
    async fn count(&self, condition: &str) -> i64 {
        let text = format!("SELECT count(*) FROM {condition}");
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(text));
        query
            .fetch_one(&mut self.open().await)
            .await
            .expect("counted")
    }

    async fn write(&self, change: &Change) -> Result<Answered, Failure> {
        let call = self.gate.call(&self.writer);
        self.connector.write(&call, change).await
    }

    async fn account(&self, id: &str) -> Option<Account> {
        let call = self.gate.call(&self.verifier);
        let reading = self.connector.read(&call, &id.into()).await;
        reading.expect("read").account
    }
}

#[tokio::test]
async fn accounts_are_shown_with_all_that_they_hold() {
    let shop = Shop::new(STATEMENTS).await;
    let call = shop.gate.call(&shop.verifier);
    let listing = shop.connector.list(&call).await.expect("listed");
    assert_eq!(listing.accounts.len(), 3);
    assert!(!listing.completeness.fields_present, "one number is NULL");
    assert_eq!(listing.accounts[0].attributes["employee_number"], "E1");
    let ada = shop.account("1").await.expect("is there");
    assert_eq!((ada.state, ada.sessions), (AccountState::Enabled, Some(2)));
    let roles: Vec<_> = ada.entitlements.iter().map(|e| e.id.as_str()).collect();
    assert_eq!(roles, ["admin", "editor"]);
    assert_eq!(shop.account("9").await, None);
}

#[tokio::test]
async fn e1_what_outlives_the_accounts_row_is_access_that_is_there() {
    let shop = Shop::new(STATEMENTS).await;
    shop.run("PRAGMA foreign_keys = OFF; DELETE FROM staff WHERE id = 1")
        .await;
    let left = shop.account("1").await.expect("roles and sessions");
    assert_eq!((left.entitlements.len(), left.sessions), (2, Some(2)));
    shop.run("DELETE FROM staff_role WHERE staff = 1").await;
    let left = shop.account("1").await.expect("sessions");
    assert_eq!((left.entitlements.len(), left.sessions), (0, Some(2)));
    shop.run("DELETE FROM session WHERE staff = 1").await;
    assert_eq!(shop.account("1").await, None);
    // Where the statement looks the account up itself, it has no row without one.
    let joined = STATEMENTS.replace(
        "SELECT count(*) AS sessions FROM session WHERE staff = :account",
        "SELECT (SELECT count(*) FROM session WHERE staff = id) AS sessions FROM staff WHERE id = :account",
    );
    let shop = Shop::new(&joined).await;
    assert_eq!(shop.account("9").await, None);
}

#[tokio::test]
async fn e1_only_a_statement_that_asks_no_table_of_the_accounts_shows_what_outlives_them() {
    let plain = "FROM staff_role WHERE staff = :account\"\nsessions";
    assert!(STATEMENTS.contains(plain));
    for (from, says, shown) in [
        ("staff_role WHERE staff = :account", true, true),
        (
            "staff_role JOIN session USING (staff) WHERE staff = :account",
            true,
            true,
        ),
        (
            "staff_role r JOIN staff s ON s.id = r.staff WHERE s.id = :account",
            false,
            false,
        ),
        (
            "staff_role, Staff s WHERE s.id = staff AND s.id = :account",
            false,
            false,
        ),
        (
            "staff_role WHERE staff IN (SELECT id FROM \\\"staff\\\") AND staff = :account",
            false,
            false,
        ),
        // What it reads besides cannot be told.
        ("staff_role WHERE abs(staff) = abs(:account)", false, true),
    ] {
        let statement = format!("FROM {from}\"\nsessions");
        let shop = Shop::new(&STATEMENTS.replace(plain, &statement)).await;
        assert_eq!(shop.connector.shows_orphans(), says, "{from}");
        shop.run("PRAGMA foreign_keys = OFF; DELETE FROM staff WHERE id = 1")
            .await;
        let left = shop.account("1").await.expect("its sessions");
        assert_eq!(!left.entitlements.is_empty(), shown, "{from}");
    }
    let none = STATEMENTS.split_inclusive('\n');
    let none: String = none.filter(|line| !line.contains("entitlement")).collect();
    let head = HEAD.replace("\"revoke_entitlement\", ", "");
    let text = format!("{head}[sql]\nurl = \"sqlite:/shop.db\"\n{none}");
    let (_, settings) = read_settings(&text).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(!settings.shows_orphans(), "it shows no entitlements at all");
}

#[tokio::test]
async fn each_write_does_what_it_says_and_no_more() {
    let shop = Shop::new(STATEMENTS).await;
    for (operation, written) in [
        (Operation::Disable, "staff.active"),
        (Operation::EndSessions, "session.*"),
    ] {
        let answer = shop.write(&change(operation, "1", "ada")).await;
        assert_eq!(answer, Ok(Answered::Accepted));
        let judged = shop.gate.take_writes();
        assert_eq!(judged[0].writes, BTreeSet::from([written.to_owned()]));
        assert!(!judged[0].line.contains("ada"), "values are bound");
    }
    assert_eq!(shop.count("staff WHERE active = 1").await, 2);
    assert_eq!(shop.count("session").await, 1);
    let taken = taking("1", "ada", "admin");
    assert_eq!(shop.write(&taken).await, Ok(Answered::Accepted));
    assert_eq!(shop.write(&taken).await, Ok(Answered::Absent));
    assert_eq!(shop.count("staff_role").await, 2);
    let again = change(Operation::EndSessions, "1", "ada");
    assert_eq!(shop.write(&again).await, Ok(Answered::Absent));
    shop.run("DELETE FROM staff_role WHERE staff = 1").await;
    let delete = change(Operation::Delete, "1", "ada");
    assert_eq!(shop.write(&delete).await, Ok(Answered::Accepted));
    assert_eq!(shop.write(&delete).await, Ok(Answered::Absent));
    assert_eq!(shop.count("staff").await, 2);
}

#[tokio::test]
async fn a_refused_request_never_reaches_the_table() {
    let mut shop = Shop::new(STATEMENTS).await;
    shop.gate = Recorder::forbidding(&["staff.active"]);
    let failure = shop.write(&change(Operation::Disable, "1", "ada")).await;
    assert_eq!(failure.expect_err("refused").class, FailureClass::Refused);
    assert_eq!(shop.count("staff WHERE active = 1").await, 3);
}

#[tokio::test]
async fn c11_more_rows_than_allowed_are_rolled_back() {
    let wide = STATEMENTS.replace(
        "DELETE FROM staff_role WHERE staff = :account AND role = :entitlement",
        "DELETE FROM staff_role WHERE role = :entitlement AND 1 = :account",
    );
    let text = format!("{HEAD}[sql]\nurl = \"sqlite:/shop.db\"\n{wide}");
    assert!(read_settings(&text).is_err(), "told at load");
    // Two rows for one role, which the target should not have.
    let shop = Shop::new(STATEMENTS).await;
    shop.run("INSERT INTO staff_role VALUES (1, 'admin')").await;
    let failure = shop.write(&taking("1", "ada", "admin")).await;
    assert_eq!(
        failure.expect_err("two rows").class,
        FailureClass::Ambiguous
    );
    assert_eq!(shop.count("staff_role WHERE staff = 1").await, 3);
}

#[tokio::test]
async fn p30_an_id_that_shows_another_login_is_left_alone() {
    let shop = Shop::new(STATEMENTS).await;
    shop.run("UPDATE staff SET login = 'new hire' WHERE id = 1")
        .await;
    let failure = shop.write(&change(Operation::Disable, "1", "ada")).await;
    let failure = failure.expect_err("another person");
    assert_eq!(failure.class, FailureClass::Ambiguous);
    assert_eq!(shop.count("staff WHERE active = 1").await, 3);
}

#[tokio::test]
async fn d2_a_trial_runs_no_statement() {
    let shop = Shop::new(STATEMENTS).await;
    // Not even of an account that is there.
    let answer = shop
        .connector
        .write(
            &shop.gate.trial(&shop.writer),
            &change(Operation::Disable, "1", "ada"),
        )
        .await;
    assert_eq!(answer, Ok(Answered::Absent));
    assert_eq!(shop.gate.take_writes(), []);
    assert_eq!(shop.count("staff WHERE active = 1").await, 3);
}

#[tokio::test]
async fn hostile_values_stay_values() {
    let shop = Shop::new(STATEMENTS).await;
    for hostile in ["1 OR 1=1", "1'; DROP TABLE staff; --", "' OR ''='", "1\0"] {
        let answer = shop
            .write(&change(Operation::Delete, hostile, hostile))
            .await;
        assert_eq!(answer, Ok(Answered::Absent), "{hostile:?}");
    }
    let quoted = change(Operation::Disable, "3", "o'hara");
    assert_eq!(shop.write(&quoted).await, Ok(Answered::Accepted));
    let role = taking("1", "ada", "x' OR '1'='1");
    assert_eq!(shop.write(&role).await, Ok(Answered::Absent));
    assert_eq!(shop.count("staff").await, 3);
    assert_eq!(shop.count("staff_role").await, 3);
}

#[tokio::test]
async fn a_write_without_effect_is_a_failure_while_the_access_is_there() {
    let narrow = STATEMENTS.replace(
        "DELETE FROM staff WHERE id = :account",
        "DELETE FROM staff WHERE id = :account AND active = 0",
    );
    let shop = Shop::new(&narrow).await;
    let failure = shop.write(&change(Operation::Delete, "2", "bob")).await;
    let failure = failure.expect_err("still there");
    assert_eq!(failure.class, FailureClass::WriteFailure);
    assert_eq!(failure.code, "CB-SQL-11");
}

#[tokio::test]
async fn what_the_table_itself_refuses_is_a_write_failure() {
    let shop = Shop::new(STATEMENTS).await;
    // Roles still point to the account.
    let failure = shop.write(&change(Operation::Delete, "1", "ada")).await;
    let failure = failure.expect_err("foreign key");
    assert_eq!(failure.class, FailureClass::WriteFailure);
    assert_eq!(shop.count("staff").await, 3);
}

#[tokio::test]
async fn c6_a_renamed_column_is_drifted() {
    let shop = Shop::new(STATEMENTS).await;
    let call = shop.gate.call(&shop.verifier);
    shop.run("ALTER TABLE staff RENAME COLUMN login TO user_name")
        .await;
    let failure = shop.connector.list(&call).await.expect_err("renamed");
    assert_eq!(failure.class, FailureClass::Drifted);
    shop.run("ALTER TABLE staff RENAME COLUMN user_name TO login")
        .await;
    shop.run("UPDATE staff SET active = 7").await;
    let failure = shop.connector.list(&call).await.expect_err("unknown state");
    assert_eq!(failure.class, FailureClass::Drifted);
}

#[tokio::test]
async fn e1_an_id_that_is_compared_without_a_type_is_drifted_and_not_without_access() {
    let untyped = "DROP TABLE staff_role; CREATE TABLE staff_role (staff, role TEXT);
        INSERT INTO staff_role VALUES (1, 'admin');";
    let view = "ALTER TABLE session RENAME TO visit;
        CREATE VIEW session AS SELECT COALESCE(staff, 0) AS staff FROM visit;";
    for (change, asked) in [
        (untyped, "AS kind FROM staff_role WHERE staff = :account\""),
        (view, "AS sessions FROM session WHERE staff = :account\""),
    ] {
        let shop = Shop::new(STATEMENTS).await;
        shop.run(change).await;
        let call = shop.gate.call(&shop.verifier);
        let failure = shop.connector.read(&call, &"1".into()).await;
        let failure = failure.expect_err("roles or sessions would be overlooked");
        assert_eq!(failure.class, FailureClass::Drifted, "{asked}");
        assert!(failure.message.contains("CAST(:account AS INTEGER)"));
        // When the statement says the type, what is there is shown.
        let typed = asked.replace(":account", "CAST(:account AS INTEGER)");
        let said = STATEMENTS.replace(asked, &typed);
        assert_ne!(said, STATEMENTS);
        let shop = Shop::new(&said).await;
        shop.run(change).await;
        let ada = shop.account("1").await.expect("is there");
        assert!(!ada.entitlements.is_empty());
        assert_eq!(ada.sessions, Some(2));
    }
}

#[tokio::test]
async fn a_locked_table_asks_to_come_back() {
    let shop = Shop::new(&format!("{STATEMENTS}lock_timeout_seconds = 1\n")).await;
    let mut other = shop.open().await;
    sqlx::raw_sql("BEGIN EXCLUSIVE")
        .execute(&mut other)
        .await
        .expect("locked");
    let failure = shop.write(&change(Operation::Disable, "1", "ada")).await;
    assert_eq!(
        failure.expect_err("locked").class,
        FailureClass::RateLimited
    );
}

#[tokio::test]
async fn the_verifier_cannot_write_and_a_missing_file_is_no_empty_table() {
    let shop = Shop::new(STATEMENTS).await;
    let call = shop.gate.call(&shop.verifier);
    let disable = change(Operation::Disable, "1", "ada");
    let failure = shop.connector.write(&call, &disable).await;
    assert_eq!(failure.expect_err("read-only").class, FailureClass::Refused);
    assert_eq!(shop.connector.try_credential(&call).await, Ok(()));
    std::fs::remove_file(shop.directory.path().join("shop.db")).expect("removed");
    let failure = shop.connector.try_credential(&call).await;
    assert_eq!(failure.expect_err("gone").class, FailureClass::Unreachable);
}

#[tokio::test]
async fn e1_a_file_that_was_put_in_the_place_of_another_is_the_one_that_is_read() {
    let shop = Shop::new(STATEMENTS).await;
    let call = shop.gate.call(&shop.verifier);
    let listing = shop.connector.list(&call).await.expect("listed");
    assert_eq!(listing.accounts.len(), 3);
    let path = shop.directory.path().join("shop.db");
    let other = shop.directory.path().join("backup.db");
    std::fs::copy(&path, &other).expect("copied");
    std::fs::remove_file(&path).expect("removed");
    std::fs::rename(&other, &path).expect("put in its place");
    shop.run("INSERT INTO staff VALUES (4, 'eve', 1, 'E4')")
        .await;
    let listing = shop.connector.list(&call).await.expect("listed");
    assert_eq!(listing.accounts.len(), 4);
}

#[test]
fn h3_every_fault_of_the_table_is_told_at_once() {
    let faults = STATEMENTS
        .replace("SELECT id, login", "DELETE id, login")
        .replace("active = 0", "salary = 0")
        .replace("delete = ", "erase = ");
    for (url, about) in [
        ("postgres://bob:pw@db/x", "names a user"),
        ("postgres://db.acme.example/x", "without checking"),
        ("mysql://db/x", "another scheme"),
        ("sqlite:shop.db", "absolute"),
    ] {
        let text = format!("{HEAD}[sql]\nurl = \"{url}\"\n{faults}");
        let problems = read_settings(&text).expect_err("many faults");
        let told = problems.to_string();
        for part in [
            about,
            "begins with SELECT",
            "writes `staff.salary`",
            "no statement for it",
            "unknown key `sql.erase`",
        ] {
            assert!(told.contains(part), "{part} is not in:\n{told}");
        }
        assert!(!told.contains("pw@"), "no password in a message");
    }
}

#[test]
fn h3_the_manifest_in_the_documentation_can_be_loaded() {
    let page = include_str!("../../../docs/connectors/sql.md");
    let file = crate::connectors::rehearsal::manifest_in(page);
    let clock: Arc<dyn Clock> = crate::connectors::fixture::Moved::new();
    if let Err(problems) = crate::connectors::Registry::load(&[file], &clock) {
        panic!("{problems}");
    }
}
