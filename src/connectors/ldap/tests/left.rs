//! Memberships that outlive their account's entry.
//!
//! Owns groups that name members by login or by distinguished name: they are shown and left after the
//! entry is gone, as long as nobody else has that name.

use super::*;

/// Groups that name members by login, of a directory that cleans up by itself.
const BY_LOGIN: &str = r#"
[[ldap.groups]]
base = "ou=posix"
object_class = "posixGroup"
member = "memberUid"
named_by = "login"
"#;

/// Ada's entry is gone, and group g2 names her still until it is changed; `heir`: somebody else has her
/// login by now.
async fn gone(heir: bool) -> Stage {
    let head = HEAD.replace("\"member\", ", "\"member\", \"memberUid\", ");
    let changed = std::sync::atomic::AtomicBool::new(false);
    Stage::with(&head, &format!("{OPEN}{BY_LOGIN}"), move |asked, _| {
        use std::sync::atomic::Ordering;
        match asked {
            Asked::Modify(..) => {
                changed.store(true, Ordering::SeqCst);
                None
            }
            Asked::Search(base, filter) if base == "ou=people" && filter.contains("(uid=ada)") => {
                Some(if heir {
                    vec![person("99", "ada"), END]
                } else {
                    vec![END]
                })
            }
            Asked::Search(base, _) if base == "ou=people" => Some(vec![END]),
            Asked::Search(base, filter) if base == "ou=posix" => {
                let hers = filter.contains("(memberUid=ada)") && !changed.load(Ordering::SeqCst);
                Some(if hers || filter.contains("(memberUid=*)") {
                    vec![group("cn=g2,ou=posix", "g2"), END]
                } else {
                    vec![END]
                })
            }
            _ => None,
        }
    })
    .await
}

async fn read(stage: &Stage) -> Reading {
    let mut call = stage.gate.call(&stage.writer);
    call.login = Some("ada");
    let reading = stage.connector.read(&call, &"17".into()).await;
    reading.expect("read")
}

#[tokio::test]
async fn e1_a_membership_by_login_outlives_its_entry_and_is_seen_and_left() {
    let taking = taking("17", "ada", "group:g2");
    for change in [taking, change(Operation::Delete, "17", "ada")] {
        let stage = gone(false).await;
        let left = read(&stage).await.account.expect("something is left");
        assert_eq!(left.login, "ada");
        let held: Vec<_> = left
            .entitlements
            .iter()
            .map(|one| one.id.as_str())
            .collect();
        assert_eq!(held, ["group:g2"]);
        // What a deletion did not come to, its next try does.
        assert_eq!(stage.write(&change).await, Ok(Answered::Accepted));
        let sent = vec!["delete memberUid: ada".to_owned()];
        let group = "cn=g2,ou=posix".to_owned();
        assert_eq!(stage.double.changes(), [Asked::Modify(group, sent)]);
        assert_eq!(read(&stage).await.account, None);
        assert_eq!(stage.write(&change).await, Ok(Answered::Absent));
    }
}

#[tokio::test]
async fn e1_the_memberships_of_whoever_has_the_login_now_are_left_alone() {
    let stage = gone(true).await;
    let reading = read(&stage).await;
    assert_eq!(reading.account, None);
    let taking = taking("17", "ada", "group:g2");
    assert_eq!(stage.write(&taking).await, Ok(Answered::Absent));
    let deleting = change(Operation::Delete, "17", "ada");
    assert_eq!(stage.write(&deleting).await, Ok(Answered::Absent));
    assert!(stage.double.changes().is_empty());
}

const DN: &str = "uid=ada,ou=people";

/// Ada's entry is gone, and group g1 names her still by her distinguished name until it is changed; `heir`:
/// there is another entry of that name by now.
async fn named(heir: bool) -> Stage {
    let changed = std::sync::atomic::AtomicBool::new(false);
    Stage::new(OPEN, move |asked, _| {
        use std::sync::atomic::Ordering;
        match asked {
            Asked::Modify(..) => {
                changed.store(true, Ordering::SeqCst);
                None
            }
            Asked::Search(base, _) if base == DN && heir => Some(vec![person("99", "ada"), END]),
            Asked::Search(base, _) if base == DN => Some(vec![Said::Done(32, None)]),
            Asked::Search(base, _) if base == "ou=people" => Some(vec![END]),
            Asked::Search(base, filter) if base == "ou=groups" => {
                let hers = filter.contains(&format!("(member={DN})"));
                let hers = hers && !changed.load(Ordering::SeqCst);
                Some(if hers || filter.contains("(member=*)") {
                    vec![group("cn=g1,ou=groups", "g1"), END]
                } else {
                    vec![END]
                })
            }
            _ => None,
        }
    })
    .await
}

/// Ada as she was last seen.
fn last() -> Account {
    Account {
        attributes: [("dn".to_owned(), DN.to_owned())].into(),
        ..Account::left_behind(&"17".into(), Some("ada"))
    }
}

async fn read_last(stage: &Stage) -> Reading {
    let last = last();
    let call = stage.gate.call(&stage.writer).about(Some(&last));
    let reading = stage.connector.read(&call, &"17".into()).await;
    reading.expect("read")
}

async fn write_last(stage: &Stage, change: &Change) -> Result<Answered, Failure> {
    let last = last();
    let call = stage.gate.call(&stage.writer).about(Some(&last));
    stage.connector.write(&call, change).await
}

#[tokio::test]
async fn e1_a_membership_by_dn_outlives_its_entry_and_is_seen_and_left() {
    let taking = taking("17", "ada", "group:g1");
    for change in [taking, change(Operation::Delete, "17", "ada")] {
        let stage = named(false).await;
        let left = read_last(&stage).await.account.expect("something is left");
        let held = left.entitlements.iter().map(|one| one.id.as_str());
        assert_eq!(held.collect::<Vec<_>>(), ["group:g1"]);
        assert_eq!(left.attributes, last().attributes, "known to the next look");
        assert_eq!(write_last(&stage, &change).await, Ok(Answered::Accepted));
        let sent = vec![format!("delete member: {DN}")];
        let group = "cn=g1,ou=groups".to_owned();
        assert_eq!(stage.double.changes(), [Asked::Modify(group, sent)]);
        assert_eq!(read_last(&stage).await.account, None);
        assert_eq!(write_last(&stage, &change).await, Ok(Answered::Absent));
    }
}

#[tokio::test]
async fn e1_the_memberships_of_whoever_has_the_dn_now_are_left_alone() {
    let stage = named(true).await;
    assert_eq!(read_last(&stage).await.account, None);
    let taking = taking("17", "ada", "group:g1");
    assert_eq!(write_last(&stage, &taking).await, Ok(Answered::Absent));
    assert!(stage.double.changes().is_empty());
}

#[tokio::test]
async fn e1_an_account_is_seen_with_the_dn_that_groups_know_it_by() {
    let stage = Stage::new(OPEN, |asked, _| ada(asked)).await;
    let reading = stage.read("17").await.expect("read");
    assert_eq!(reading.account.expect("there").attributes["dn"], DN);
    let listed = stage.list().await.expect("listed").accounts;
    assert!(listed.iter().all(|one| one.attributes.contains_key("dn")));
}

#[tokio::test]
async fn e1_a_name_that_could_not_be_looked_for_is_taken_for_nobodys_by_no_one() {
    // Time, size, a referral, the administrator's limit.
    for code in [3, 4, 10, 11] {
        let stage = Stage::new(OPEN, move |asked, _| match asked {
            Asked::Search(base, _) if base == DN => Some(vec![Said::Done(code, None)]),
            Asked::Search(base, _) if base == "ou=people" => Some(vec![END]),
            Asked::Search(base, _) if base == "ou=groups" => {
                Some(vec![group("cn=g1,ou=groups", "g1"), END])
            }
            _ => None,
        })
        .await;
        let reading = read_last(&stage).await;
        assert_eq!(reading.account, None);
        assert!(
            reading.completeness.gap().is_some(),
            "{code} proves nothing"
        );
        let deleting = change(Operation::Delete, "17", "ada");
        let refused = write_last(&stage, &deleting).await.expect_err("not known");
        assert_eq!(refused.class, FailureClass::StaleData, "{code}");
        assert!(stage.double.changes().is_empty());
    }
}
