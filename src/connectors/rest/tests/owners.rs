//! Whose the listed entitlements are, and elements that do not say which they are.
//!
//! Owns targets that list everybody's, or rename the member that tells whose something is.

use super::held::entitled;
use super::*;

const KEYS: &str = "[[rest.entitlements]]\nkind = \"credential\"\npath = \"/keys?user={account.id}\"\n\
    items = \"$.keys\"\nid = \"$.id\"\nowner = \"$.user_id\"\n";

/// User 7 with these keys, whatever is asked for.
async fn keys(keys: Value) -> Target {
    let shape = entitled(KEYS).replace("revoke_entitlement", "revoke_credential");
    let edit = |manifest: &mut Manifest| {
        manifest.operations.remove(&Operation::RevokeEntitlement);
        manifest.operations.insert(Operation::RevokeCredential);
    };
    let script = move |asked: &target::Asked| match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/api/users/7") => (200, json!({"user": user(7, "ada")})),
        ("GET", "/api/keys?user=7") => (200, json!({ "keys": keys })),
        other => panic!("{other:?}"),
    };
    Target::with(&shape, edit, script).await
}

#[tokio::test]
async fn a_list_that_shows_anothers_entitlements_is_drifted_and_nothing_is_revoked() {
    let own = json!([{"id": "k1", "user_id": 7}, {"id": "k2", "user_id": "ada"}]);
    let account = keys(own).await.read("7").await.expect("read").account;
    assert_eq!(account.expect("there").entitlements.len(), 2);
    for other in [
        json!({"id": "k3", "user_id": 8}),
        json!({"id": "k3", "user_id": "eve"}),
        json!({"id": "k3", "user_id": null}),
        json!({"id": "k3", "user_id": {"id": 7}}),
        json!({"id": "k3", "owner": 7}),
    ] {
        let target = keys(json!([{"id": "k1", "user_id": 7}, other])).await;
        let failure = target.read("7").await.expect_err("another's");
        assert_eq!(failure.class, FailureClass::Drifted, "{other}");
        let mut revoke = taking("7", "ada", "k1");
        revoke.operation = Operation::RevokeCredential;
        let failure = target.write(&revoke).await.expect_err("another's");
        assert_eq!(failure.class, FailureClass::Drifted, "{other}");
        assert_eq!(target.changes(), []);
    }
}

#[test]
fn h3_a_list_of_everybodys_entitlements_is_refused() {
    let told = |from: &str, to: &str| {
        let loaded = load(
            "https://crm.acme.example",
            &entitled(&KEYS.replace(from, to)),
        );
        loaded.map_or_else(|problems| problems.to_string(), |_| String::new())
    };
    assert_eq!(told("", ""), "");
    let owner = "owner = \"$.user_id\"\n";
    for nobody in ["/keys", "/keys?all=true"] {
        let all = told("/keys?user={account.id}", nobody);
        assert!(all.contains("does not name the account"), "{all}");
        assert!(
            all.contains("rest.entitlements[0]") && all.contains("`members`"),
            "{all}"
        );
    }
    let behind = "names the account only behind `?` or in its body";
    for query in [
        "/keys?user={account.login}",
        "/keys?all=1&user={account.id}",
    ] {
        let bare = KEYS
            .replace(owner, "")
            .replace("/keys?user={account.id}", query);
        let all = told(KEYS, &bare);
        assert!(
            all.contains(behind) && all.contains("say with `owner`"),
            "{all}"
        );
    }
    let posted =
        "path = \"/keys/search\"\nmethod = \"POST\"\nbody = { user = \"{account.id:number}\" }\n";
    let bare = KEYS
        .replace(owner, "")
        .replace("path = \"/keys?user={account.id}\"\n", posted);
    let all = told(KEYS, &bare);
    assert!(all.contains(behind), "{all}");
    assert_eq!(told(KEYS, &format!("{bare}{owner}")), "");
    for scoped in ["/users/{account.id}/keys", "/of/{account.login}?page=all"] {
        let bare = KEYS
            .replace(owner, "")
            .replace("/keys?user={account.id}", scoped);
        assert_eq!(told(KEYS, &bare), "", "{scoped}");
    }
    let grouped = format!("{KEYS}members = {{ items = \"$.members\" }}\n");
    let all = told(KEYS, &grouped);
    assert!(all.contains("`owner` beside `members`"), "{all}");
}

#[tokio::test]
async fn a_member_whose_id_cannot_be_read_is_drifted_and_no_absence() {
    let embedded = "[[rest.entitlements]]\nkind = \"group\"\npath = \"/groups\"\nitems = \"$.groups\"\n\
        id = \"$.id\"\n[rest.entitlements.members]\nitems = \"$.members\"\nid = \"$.user\"\n";
    let asked = embedded.replace(
        "items = \"$.members\"",
        "path = \"/groups/{entitlement.id}\"\nitems = \"$.members\"",
    );
    for tables in [embedded, asked.as_str()] {
        for (members, held) in [
            (json!([{"user": 8}, {"user": 7}]), Some(1)),
            (json!([{"user": 8}]), Some(0)),
            (json!([{"user": 8}, {"user_id": 7}]), None),
            (json!([{"user": 7}, {"user": null}]), None),
            (json!([{"user": ""}]), None),
            (json!(["7"]), None),
        ] {
            let shown = members.clone();
            let target = Target::new(&entitled(tables), move |_, path| match path {
                "/api/users/7" => (200, json!({"user": user(7, "ada")})),
                "/api/groups" => (200, json!({"groups": [{"id": "staff", "members": shown}]})),
                _ => (200, json!({ "members": shown })),
            })
            .await;
            let reading = target.read("7").await;
            let Some(held) = held else {
                let failure = reading.expect_err("unreadable");
                assert_eq!(failure.class, FailureClass::Drifted, "{members}");
                continue;
            };
            let account = reading.expect("read").account.expect("there");
            assert_eq!(account.entitlements.len(), held, "{members}");
        }
    }
}

#[tokio::test]
async fn an_account_that_cannot_be_read_among_others_is_drifted_and_no_absence() {
    let also = "[[rest.read_also]]\npath = \"/archive?id={account.id}\"\nitems = \"$.users\"\n\
        account = \"$.person\"\n[[rest.entitlements]]\n";
    let shape = SHAPE.replacen("[[rest.entitlements]]\n", also, 1);
    for item in [
        json!({"human": user(7, "ada")}),
        json!({"person": {"uid": 7, "login": "ada", "status": "active"}}),
        json!({"person": {"id": null}}),
    ] {
        let shown = item.clone();
        let target = Target::new(&shape, move |_, path| {
            if path.starts_with("/api/archive") {
                return (
                    200,
                    json!({"users": [json!({"person": user(8, "eve")}), shown]}),
                );
            }
            (404, json!({}))
        })
        .await;
        let failure = target.read("7").await.expect_err("unreadable");
        assert_eq!(failure.class, FailureClass::Drifted, "{item}");
        let delete = change(Operation::Delete, "7", "ada");
        assert!(target.write(&delete).await.is_err(), "{item}");
    }
}
