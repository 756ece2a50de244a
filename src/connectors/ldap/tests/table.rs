//! What a wrong `[ldap]` table is told.
//!
//! Owns the faults of the table, all at once and without what may be secret, and that the manifests
//! of the documentation can be loaded. Talks to no directory.

use super::*;
use crate::connectors::Registry;

#[test]
fn h3_every_fault_of_the_table_is_told_at_once() {
    let faults = OPEN
        .replace(
            "page_size = 2",
            "page_size = 0\nfilter = \"uid=*\"\ncolour = 1",
        )
        .replace("disabled = [\"left\"]", "form = \"mood\"")
        .replace(
            "member = \"member\"",
            "member = \"uniqueMember\"\nnamed_by = \"face\"",
        );
    for (url, about) in [
        ("ldap://bob:pw@ldap.acme.example", "no plain address"),
        ("ldap://ldap.acme.example", "in clear"),
        ("https://ldap.acme.example", "no plain address"),
        ("ldap://127.0.0.1/dc=acme", "no plain address"),
    ] {
        let text = format!("{HEAD}{}", faults.replace("{url}", url));
        let told = read_settings(&text).expect_err("many faults").to_string();
        for part in [
            about,
            "page_size",
            "is no filter",
            "`mood`",
            "`face`",
            "ldap.colour",
        ] {
            assert!(told.contains(part), "{part} is not in:\n{told}");
        }
        assert!(!told.contains("pw@"), "no password in a message");
    }
    let text = HEAD
        .replace("\"member\", ", "")
        .replace("\"choose\"", "\"add\"");
    let table = OPEN.replace("{url}", "ldap://127.0.0.1:389");
    let told = read_settings(&format!("{text}{table}")).expect_err("faults");
    let told = told.to_string();
    assert!(
        told.contains("revoke_entitlement writes `member`"),
        "{told}"
    );
    assert!(told.contains("delete writes `member`"), "{told}");
    assert!(told.contains("cannot be rotated in this way"), "{told}");
}

#[test]
fn e1_an_expectation_that_no_read_could_show_is_refused_at_load() {
    let state = "[ldap.state]\nattribute = \"employeeType\"\ndisabled = [\"left\"]\n";
    let head = HEAD.replace("account_gone", "account_powerless");
    let table = OPEN.replace("{url}", "ldap://127.0.0.1:389");
    assert!(read_settings(&format!("{head}{table}")).is_ok());
    let silent = table.replace(state, "");
    let told = read_settings(&format!("{head}{silent}")).expect_err("refused");
    let told = told.to_string();
    assert!(
        told.contains("`account_powerless` without `[ldap.state]`"),
        "{told}"
    );
}

#[test]
fn h3_the_manifests_in_the_documentation_can_be_loaded() {
    let page = include_str!("../../../../docs/connectors/ldap.md");
    let (_, second) = page
        .split_once("\n## Active Directory\n")
        .expect("a heading");
    for page in [page, second] {
        let file = crate::connectors::rehearsal::manifest_in(page);
        let clock: Arc<dyn Clock> = Moved::new();
        if let Err(problems) = Registry::load(&[file], &clock) {
            panic!("{problems}");
        }
    }
}
