//! The checks of the `[sql.roles]` table, and the manifests of the documentation.
//!
//! Owns what can be seen without a server; what servers do is in `tests/integration/roles.rs`.

use super::*;
use crate::connectors::rehearsal::manifests_in;
use crate::connectors::{Registry, fixture};
use crate::document::{Document, Problems};
use crate::domain::time::Clock;

const HEAD: &str = r#"
name = "server"
kind = "sql"
purpose = "The people's own roles"
owner = "dba@acme.example"
deputy = "iam@acme.example"
review_by = "2027-03-31"
after_removal = "account_gone"
operations = ["list", "read", "disable", "end_sessions", "revoke_entitlement", "delete"]
writes = ["rolcanlogin", "rolconnlimit", "session", "membership", "*"]
[[correlation]]
identifier = "username"
attribute = "login"
decides = true
[credentials.writer]
secret = "local:server/writer"
username = "clawback_writer"
[credentials.verifier]
secret = "local:server/verifier"
username = "clawback_verifier"
[fallback]
steps = ["Drop the role"]
[sql]
url = "postgres://localhost/postgres"
"#;

fn read(table: &str) -> Result<Roles, Problems> {
    let text = format!("{HEAD}{table}");
    let document = Document::parse("server.toml", &text).expect("syntax is right");
    let root = document.root();
    let manifest = Manifest::read(&root);
    let sql = root.required_table("sql").expect("is there");
    let place = Place::read(&sql, &manifest);
    let roles = Roles::read(&sql, &manifest, place.as_ref().map(|place| &place.target));
    sql.finish();
    document.take_problems().or(roles)
}

fn told(table: &str) -> String {
    read(table).expect_err("there are faults").to_string()
}

#[test]
fn g2_only_declared_roles_are_accounts_and_never_the_connectors_own() {
    let roles = read(
        "[sql.roles]\nnames = [\"p_*\", \"clawback*\"]\nexcept = [\"p_*_batch\"]\nsuccessor = \"heir\"\n",
    );
    let roles = roles.unwrap_or_else(|problems| panic!("{problems}"));
    for (login, expected) in [
        ("p_ada", true),
        ("p_ada_batch", false),
        ("ada", false),
        ("clawback_writer", false),
        ("clawback_verifier", false),
        ("clawback_x", true),
    ] {
        assert_eq!(roles.take_in(login), expected, "{login}");
    }
}

#[test]
fn h3_every_fault_about_roles_is_told_at_once() {
    let faults = told(
        "list = \"SELECT 1\"\n[sql.roles]\ndisable = [\"rolconnlimit\", \"rolname\"]\nsuperuser = true\n",
    );
    for part in [
        "`sql.list` stands beside",
        "does not say which roles are accounts",
        "`disable` cannot write `rolname`",
        "does not write `rolcanlogin`",
        "`successor` is missing",
        "unknown key `sql.roles.superuser`",
        "`disable` writes `rolname`",
    ] {
        assert!(faults.contains(part), "{part} is not in:\n{faults}");
    }
    let faults = told("[sql.roles]\nnames = [\"*\"]\nsuccessor = \"heir\"\n");
    assert!(faults.contains("`heir` is itself taken in"), "{faults}");
    let table =
        "[sql.roles]\nnames = [\"p_*\"]\nsuccessor = \"heir\"\ndisable = [\"rolcanlogin\"]\n";
    let faults = told(table);
    assert!(
        faults.contains("allows `rolconnlimit`, which no operation"),
        "{faults}"
    );
}

#[test]
fn h3_the_manifests_of_the_page_about_roles_can_be_loaded() {
    let page = include_str!("../../../../docs/connectors/sql-roles.md");
    let files = manifests_in(page);
    assert!(!files.is_empty());
    let clock: Arc<dyn Clock> = fixture::Moved::new();
    if let Err(problems) = Registry::load(&files, &clock) {
        panic!("{problems}");
    }
}

#[test]
fn h3_what_means_nothing_at_a_mariadb_server_is_told() {
    let text = HEAD.replace("postgres://localhost/postgres", "mariadb://localhost");
    let read = |table: &str| {
        let text = format!("{text}{table}");
        let document = Document::parse("server.toml", &text).expect("syntax is right");
        let root = document.root();
        let manifest = Manifest::read(&root);
        let sql = root.required_table("sql").expect("is there");
        let place = Place::read(&sql, &manifest);
        let roles = Roles::read(&sql, &manifest, place.as_ref().map(|place| &place.target));
        document.take_problems().or(roles)
    };
    let faults =
        read("[sql.roles]\nnames = [\"*\"]\nsuccessor = \"heir\"\nmember_of = [\"staff\"]\n");
    let faults = faults.expect_err("there are faults").to_string();
    for part in [
        "`sql.roles.successor` means nothing",
        "`sql.roles.member_of` means nothing",
        "`disable` writes `account_locked`",
        "`writes` allows `rolcanlogin`",
    ] {
        assert!(faults.contains(part), "{part} is not in:\n{faults}");
    }
}
