//! Keys and memberships that are left when their account is gone.
//!
//! Owns what a read asks for without an account: every list that names it by its id, and by its login
//! where that is known. What is left is shown, and what was not asked for proves nothing.

use super::held::entitled;
use super::*;

const BY_ID: &str = "[[rest.entitlements]]\nkind = \"credential\"\npath = \"/keys?user={account.id}\"\n\
    items = \"$.keys\"\nid = \"$.id\"\nowner = \"$.user_id\"\n";
const BENEATH: &str = "[[rest.entitlements]]\nkind = \"credential\"\npath = \"/users/{account.id}/keys\"\n\
    items = \"$.keys\"\nid = \"$.id\"\n";
const BY_LOGIN: &str = "[[rest.entitlements]]\nkind = \"credential\"\npath = \"/keys/{account.login}\"\n\
    items = \"$.keys\"\nid = \"$.id\"\n";

/// User 7, deleted softly or wholly, with these keys still listed.
async fn deleted(tables: &str, softly: bool, keys: Option<Value>) -> Target {
    let shape = entitled(tables).replace("revoke_entitlement", "revoke_credential");
    let edit = |manifest: &mut Manifest| {
        manifest.operations.remove(&Operation::RevokeEntitlement);
        manifest.operations.insert(Operation::RevokeCredential);
    };
    Target::with(&shape, edit, move |asked| {
        match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/api/users/7") if softly => {
                let mut gone = user(7, "ada");
                gone["status"] = json!("deleted");
                (200, json!({ "user": gone }))
            }
            ("GET", path) if path.starts_with("/api/users?") => {
                (200, json!({"users": [], "total": 0}))
            }
            ("GET", "/api/keys?user=7" | "/api/users/7/keys" | "/api/keys/ada") => match &keys {
                Some(keys) => (200, json!({ "keys": keys })),
                None => (404, json!({})),
            },
            ("GET", path) if path.starts_with("/api/users?") => {
                (200, json!({"users": [], "total": 0}))
            }
            ("GET", _) => (404, json!({})),
            _ => (204, json!({"raw": ""})),
        }
    })
    .await
}

fn held(reading: &Reading) -> Vec<&str> {
    let all = reading
        .account
        .iter()
        .flat_map(|account| &account.entitlements);
    all.map(|one| one.id.as_str()).collect()
}

#[tokio::test]
async fn e1_keys_that_outlive_their_account_are_asked_for_and_can_be_revoked() {
    let open = Some("not all pages were read");
    for (tables, softly, open) in [
        (BY_ID, true, open),
        (BY_ID, false, open),
        (BENEATH, true, None),
        (BENEATH, false, None),
    ] {
        let keys = json!([{"id": "k1", "user_id": 7}]);
        let target = deleted(tables, softly, Some(keys)).await;
        let reading = target.read("7").await.expect("read");
        assert_eq!(held(&reading), ["k1"], "{tables}{softly}");
        let mut revoke = taking("7", "ada", "k1");
        revoke.operation = Operation::RevokeCredential;
        let answer = target.write(&revoke).await;
        assert_eq!(answer, Ok(Answered::Accepted), "{tables}");
        // Nothing is left where the list is empty, or beneath the account and not there any more than it.
        // "Not found" by a list of its own may mean the account, whose keys still work: that is open.
        let declared = format!("{tables}empty = [404]\n");
        for (tables, none, gap) in [
            (tables, Some(json!([])), None),
            (tables, None, open),
            (&*declared, None, None),
        ] {
            let reading = deleted(tables, softly, none).await.read("7").await;
            let reading = reading.expect("read");
            assert_eq!(
                (held(&reading), reading.completeness.gap()),
                (vec![], gap),
                "{tables}"
            );
        }
    }
    // Another's key is no answer to the question.
    let eves = deleted(BY_ID, false, Some(json!([{"id": "k9", "user_id": 9}]))).await;
    let failure = eves.read("7").await.expect_err("another's");
    assert_eq!(failure.class, FailureClass::Drifted);
}

#[tokio::test]
async fn e1_keys_that_are_listed_by_login_are_asked_for_by_the_one_that_is_known() {
    let target = deleted(BY_LOGIN, false, Some(json!([{"id": "k1"}]))).await;
    let mut call = target.gate.call(&target.verifier);
    let reading = target.connector.read(&call, &"7".into()).await;
    let reading = reading.expect("read");
    assert_eq!(reading.account, None);
    assert_eq!(reading.completeness.gap(), Some("not all pages were read"));
    call.login = Some("ada");
    let reading = target.connector.read(&call, &"7".into()).await;
    let reading = reading.expect("read");
    assert_eq!(held(&reading), ["k1"]);
    // What stands for the account keeps the name by which the rest is asked for.
    assert_eq!(reading.account.expect("shown").login, "ada");
}

#[tokio::test]
async fn p30_what_is_listed_under_a_login_that_was_given_out_again_is_left_alone() {
    let members = entitled(
        "[[rest.entitlements]]\nkind = \"group\"\npath = \"/groups\"\nitems = \"$.groups\"\nid = \"$.id\"\n\
         [rest.entitlements.members]\nitems = \"$.members\"\nid = \"$.login\"\nby = \"login\"\n",
    );
    let target = Target::new(&members, |_, path| match path {
        _ if path.starts_with("/api/users?") => {
            (200, json!({"users": [user(8, "Ada")], "total": 1}))
        }
        "/api/groups" => {
            let groups = json!([{"id": "g1", "members": [{"login": "ada"}]}]);
            (200, json!({ "groups": groups }))
        }
        _ => (404, json!({})),
    })
    .await;
    let mut call = target.gate.call(&target.verifier);
    call.login = Some("ada");
    let reading = target.connector.read(&call, &"7".into()).await;
    let reading = reading.expect("read");
    assert_eq!(reading.account, None);
    assert_eq!(reading.completeness.gap(), Some("not all pages were read"));
    let failure = target.write(&taking("7", "ada", "g1")).await;
    let failure = failure.expect_err("another's");
    assert_eq!(failure.class, FailureClass::Drifted);
}

#[tokio::test]
async fn e1_keys_within_the_record_of_a_softly_deleted_account_are_shown() {
    let within = entitled(
        "[[rest.entitlements]]\nkind = \"credential\"\nitems = \"$.keys\"\nid = \"$.id\"\n",
    );
    for (keys, shown) in [
        (json!([{"id": "k1"}]), vec!["k1"]),
        (json!([]), vec![]),
        (Value::Null, vec![]),
    ] {
        let shape = within.replace("revoke_entitlement", "revoke_credential");
        let edit = |manifest: &mut Manifest| {
            manifest.operations.remove(&Operation::RevokeEntitlement);
            manifest.operations.insert(Operation::RevokeCredential);
        };
        let target = Target::with(&shape, edit, move |_| {
            let mut gone = user(7, "ada");
            gone["status"] = json!("deleted");
            gone["keys"] = keys.clone();
            (200, json!({ "user": gone }))
        });
        let reading = target.await.read("7").await.expect("read");
        assert_eq!((held(&reading), reading.completeness.gap()), (shown, None));
    }
}

#[tokio::test]
async fn e1_only_lists_of_their_own_show_keys_without_their_account() {
    let within =
        "[[rest.entitlements]]\nkind = \"credential\"\nitems = \"$.keys\"\nid = \"$.id\"\n";
    for (tables, shown) in [
        (BY_ID, true),
        (BENEATH, false),
        (BY_LOGIN, false),
        (within, false),
    ] {
        let target = deleted(tables, false, None).await;
        assert_eq!(target.connector.shows_orphans(), shown, "{tables}");
    }
}

#[tokio::test]
async fn e1_sessions_in_the_record_of_what_is_deleted_softly_are_shown_and_can_be_ended() {
    let shape = SHAPE
        .replace("[rest.account.states]", "sessions = \"$.sessions\"\n[rest.account.states]")
        .replace(
            "[rest.delete]\n",
            "[rest.end_sessions]\nmethod = \"DELETE\"\npath = \"/users/{account.id}/sessions\"\n[rest.delete]\n",
        );
    let gone = async |sessions: Value| {
        let edit = |manifest: &mut Manifest| {
            manifest.operations.insert(Operation::EndSessions);
            manifest.writes.insert("sessions".to_owned());
        };
        let target = Target::with(&shape, edit, move |asked| {
            match (asked.method.as_str(), asked.path.as_str()) {
                ("GET", "/api/users/7") => {
                    let mut gone = user(7, "ada");
                    gone["status"] = json!("deleted");
                    gone["sessions"] = sessions.clone();
                    (200, json!({ "user": gone }))
                }
                ("GET", "/api/users/7/keys") => (200, json!({"keys": []})),
                ("GET", _) => (404, json!({})),
                _ => (204, json!({"raw": ""})),
            }
        });
        target.await
    };
    let change = crate::connectors::rehearsal::change(Operation::EndSessions, "7", "ada");
    let target = gone(json!(3)).await;
    let left = target.read("7").await.expect("read").account;
    assert_eq!(left.expect("sessions go on").sessions, Some(3));
    assert_eq!(target.write(&change).await, Ok(Answered::Accepted));
    // None, or none told any more, is nothing left.
    for none in [json!(0), Value::Null] {
        let target = gone(none).await;
        assert_eq!(target.read("7").await.expect("read").account, None);
        assert_eq!(target.write(&change).await, Ok(Answered::Absent));
    }
    // What cannot be read is not none.
    for odd in [json!("many"), json!({"open": 3}), json!(-1)] {
        let target = gone(odd).await;
        let refused = target.read("7").await.expect_err("it is no number");
        assert_eq!(refused.class, FailureClass::Drifted);
        let refused = target.write(&change).await.expect_err("it is no number");
        assert_eq!(refused.class, FailureClass::Drifted);
    }
}
