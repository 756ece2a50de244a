//! The bytes and bits of Active Directory.
//!
//! Owns what differs there: ids of sixteen bytes, one bit of a number that others write too, a group
//! that is told by the end of an identifier. Scripted; no such server can be had for a test.

use super::*;
use crate::domain::access::EntitlementKind;

const ACTIVE: &str = r#"
[ldap]
url = "{url}"
base = "ou=staff"
object_class = "user"
filter = "(!(objectClass=computer))"
id = "objectGUID"
login = "sAMAccountName"
credentials = ["sshPublicKey"]
memberships_of_deleted = "directory"
[ldap.state]
form = "account_control"
[ldap.primary_group]
form = "domain_rid"
base = "dc=acme"
object_class = "group"
park = 513
[[ldap.groups]]
base = "dc=acme"
object_class = "group"
member = "member"
may_be_empty = true
"#;

const GUID: &str = "03020100-0504-0706-0809-0a0b0c0d0e0f";

/// A user of Active Directory with this `userAccountControl`, whose primary group is 1200.
fn user(control: &str) -> Said {
    let mut sid = vec![1, 2, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0];
    sid.extend(7_u32.to_le_bytes());
    Said::Entry(
        "CN=Ada,ou=staff",
        vec![
            ("objectGUID", (0..16).collect()),
            ("sAMAccountName", b"ada".to_vec()),
            ("employeeNumber", b"E17".to_vec()),
            ("userAccountControl", control.as_bytes().to_vec()),
            ("primaryGroupID", b"1200".to_vec()),
            ("objectSid", sid),
            ("sshPublicKey", b"ssh-ed25519 AAAA ada".to_vec()),
        ],
    )
}

fn active(control: &'static str) -> impl Fn(&Asked, usize) -> Option<Vec<Said>> + Send + Sync {
    move |asked, _| match asked {
        Asked::Search(base, _) if base == "ou=staff" => Some(vec![user(control), END]),
        // The end of the group's identifier is 1200: b0 04 00 00.
        Asked::Search(_, filter) if filter.contains("objectSid=") => {
            assert!(filter.contains("15000000b0040000"), "{filter}");
            let values = vec![
                ("objectGUID", (1..17).collect()),
                ("cn", b"Finance".to_vec()),
            ];
            Some(vec![Said::Entry("CN=Finance,dc=acme", values), END])
        }
        Asked::Modify(_, changes) if changes[0].ends_with("Control: 66048") => {
            Some(vec![Said::Done(16, None)])
        }
        _ => None,
    }
}

#[tokio::test]
async fn active_directory_is_read_by_its_bytes_and_bits() {
    let stage = Stage::new(ACTIVE, active("514")).await;
    let reading = stage.read(GUID).await.expect("read");
    let ada = reading.account.expect("is there");
    assert_eq!((ada.id.as_str(), ada.login.as_str()), (GUID, "ada"));
    assert_eq!(ada.state, AccountState::Disabled);
    assert_eq!(ada.entitlements[0].name, "Finance");
    assert_eq!(ada.entitlements[1].kind, EntitlementKind::Credential);
    assert!(!ada.entitlements[1].id.as_str().contains("AAAA"));
    let asked = stage.double.seen();
    let sought = "(objectGUID=000102030405060708090a0b0c0d0e0f)";
    let by_bytes = |one: &Asked| matches!(one, Asked::Search(_, filter) if filter == sought);
    assert!(asked.iter().any(by_bytes), "{sought} is not in {asked:?}");
    let disable = change(Operation::Disable, GUID, "ada");
    assert_eq!(stage.write(&disable).await, Ok(Answered::Absent));
    assert_eq!(stage.double.changes(), []);
}

#[tokio::test]
async fn a_bit_is_set_only_on_the_value_that_was_read() {
    let stage = Stage::new(ACTIVE, active("512")).await;
    let disable = change(Operation::Disable, GUID, "ada");
    assert_eq!(stage.write(&disable).await, Ok(Answered::Accepted));
    let sent = vec![
        "delete userAccountControl: 512".to_owned(),
        "add userAccountControl: 514".to_owned(),
    ];
    let dn = "CN=Ada,ou=staff".to_owned();
    assert_eq!(stage.double.changes(), [Asked::Modify(dn, sent)]);

    let stage = Stage::new(ACTIVE, active("66048")).await;
    let told = fault(stage.write(&disable).await);
    assert_eq!(told, expected(FailureClass::WriteFailure, "CB-LDAP-7"));
}

#[tokio::test]
async fn a_primary_group_is_left_for_the_one_that_gives_nothing() {
    let finance = "group:04030201-0605-0807-090a-0b0c0d0e0f10";
    let stage = Stage::new(ACTIVE, active("512")).await;
    let answer = stage.write(&taking(GUID, "ada", finance)).await;
    assert_eq!(answer, Ok(Answered::Accepted));
    let sent = vec![
        "delete primaryGroupID: 1200".to_owned(),
        "add primaryGroupID: 513".to_owned(),
    ];
    let dn = "CN=Ada,ou=staff".to_owned();
    assert_eq!(stage.double.changes(), [Asked::Modify(dn, sent)]);

    let stage = Stage::new(&ACTIVE.replace("park = 513\n", ""), active("512")).await;
    let told = fault(stage.write(&taking(GUID, "ada", finance)).await);
    assert_eq!(told, expected(FailureClass::Unsupported, "CB-LDAP-12"));
}

#[tokio::test]
async fn e1_an_account_without_a_primary_group_is_one_that_is_not_all_shown() {
    let stage = Stage::new(ACTIVE, |asked, before| {
        let mut said = active("514")(asked, before)?;
        if let Some(Said::Entry(_, values)) = said.first_mut() {
            values.retain(|(name, _)| *name != "primaryGroupID");
        }
        Some(said)
    })
    .await;
    let reading = stage.read(GUID).await.expect("read");
    assert!(reading.completeness.permission_cut);
}
