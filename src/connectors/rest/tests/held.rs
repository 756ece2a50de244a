//! What accounts hold, where programs keep it in odd places: with the groups, or as bare secrets.
//!
//! Owns one test for each truth about entitlements that `docs/connectors/rest.md` lists by its name.

use super::truths::number;
use super::*;

/// The shape with something in place of its entitlements.
pub(super) fn entitled(tables: &str) -> String {
    let (before, rest) = SHAPE
        .split_once("[[rest.entitlements]]")
        .expect("the first");
    let (_, after) = rest.split_once("[rest.disable]").expect("what follows");
    format!("{before}{tables}\n[rest.disable]{after}")
}

const GROUPS: &str = r#"
[[rest.entitlements]]
kind = "group"
path = "/groups"
items = "$.groups"
id = "$.id"
name = "$.title"
paging = "page"
[rest.entitlements.members]
items = "$.members"
id = "$.user"
"#;

fn groups(path: &str, of: fn(&str) -> Value) -> Option<(u16, Value)> {
    let page = number(path, "page")?;
    let all = [
        ("staff", "Staff"),
        ("admins", "Admins"),
        ("guests", "Guests"),
    ];
    let shown = all.iter().skip((page as usize - 1) * 2).take(2);
    let shown: Vec<_> = shown
        .map(|(id, title)| json!({"id": id, "title": title, "members": of(id)}))
        .collect();
    path.starts_with("/api/groups?")
        .then(|| (200, json!({ "groups": shown })))
}

fn of_ada(group: &str) -> Value {
    match group {
        "guests" => json!([{"user": "8"}]),
        _ => json!([{"user": 7}, {"user": "8"}]),
    }
}

#[tokio::test]
async fn a_user_without_groups_is_found_in_the_groups_and_a_membership_outlives_its_user() {
    let target = Target::new(&entitled(GROUPS), |method, path| {
        if let Some(answer) = groups(path, of_ada) {
            return answer;
        }
        match (method, path) {
            ("GET", "/api/users/7") => (200, json!({"user": user(7, "ada")})),
            ("GET", _) => (404, json!({})),
            _ => (204, json!({"raw": ""})),
        }
    })
    .await;
    let held = |account: Option<Account>| -> Vec<String> {
        let account = account.expect("there");
        account
            .entitlements
            .into_iter()
            .map(|one| one.id.0)
            .collect()
    };
    let reading = target.read("7").await.expect("read");
    assert_eq!(reading.completeness, Completeness::WHOLE);
    assert_eq!(held(reading.account), ["staff", "admins"]);
    assert_eq!(reading.method, "GET /users/7, members of 3 groups");
    // User 8 is deleted, and three groups still name it.
    let reading = target.read("8").await.expect("read");
    assert_eq!(held(reading.account), ["staff", "admins", "guests"]);
    let nobody = target.read("9").await.expect("read");
    assert_eq!(nobody.account, None);
    let taken = target.write(&taking("8", "bob", "guests")).await;
    assert_eq!(taken, Ok(Answered::Accepted));
    let (_, path, _) = target.changes()[0].clone();
    assert_eq!(path, "/api/users/8/members/guests");
    let deleted = target.write(&change(Operation::Delete, "8", "bob")).await;
    assert_eq!(deleted, Ok(Answered::Absent));
    let other = target.write(&taking("9", "eve", "guests")).await;
    assert_eq!(other, Ok(Answered::Absent));
    assert_eq!(target.changes().len(), 1);
}

#[tokio::test]
async fn groups_that_keep_their_members_to_themselves_are_asked_one_by_one_and_by_login() {
    let tables = GROUPS.replace(
        "items = \"$.members\"\nid = \"$.user\"",
        "path = \"/groups/{entitlement.id}/members\"\nitems = \"$.names\"\nby = \"login\"\nempty = [404]",
    );
    let target = Target::new(&entitled(&tables), |_, path| {
        if let Some(answer) = groups(path, |_| json!(null)) {
            return answer;
        }
        match path {
            "/api/users/7" => (200, json!({"user": user(7, "ada")})),
            "/api/groups/staff/members" => (200, json!({"names": ["bob", "Ada"]})),
            "/api/groups/admins/members" => (200, json!({"names": ["bob"]})),
            _ => (404, json!({})),
        }
    })
    .await;
    let reading = target.read("7").await.expect("read");
    let account = reading.account.expect("there");
    let ids = account.entitlements.iter().map(|one| one.id.as_str());
    assert_eq!(ids.collect::<Vec<_>>(), ["staff"]);
    assert_eq!(target.asked("/api/groups/"), 3);
    // Without the account its login is not known, and nobody is taken for it.
    assert_eq!(target.read("8").await.expect("read").account, None);
}

#[test]
fn a_request_that_takes_a_group_from_everybody_in_it_is_refused_at_load() {
    let owned = "[[rest.entitlements]]\nkind = \"role\"\nitems = \"$.roles\"\nid = \"$.id\"\n";
    for (tables, path, sound) in [
        (GROUPS, "/members/{entitlement.id}", false),
        (GROUPS, "/members/{entitlement.id}/of/{account.id}", true),
        (GROUPS, "/members/{entitlement.id}/of/{account.login}", true),
        // A grant has an address of its own, and one holder.
        (owned, "/members/{entitlement.id}", true),
    ] {
        let taken = "/users/{account.id}/members/{entitlement.id}";
        let shape = entitled(tables).replace(taken, path);
        let loaded = target::load("https://crm.acme.example/api", &shape);
        let told = loaded.err().map_or(String::new(), |all| all.to_string());
        assert_eq!(!told.contains("names a group alone"), sound, "{told}");
    }
}

#[tokio::test]
async fn an_origin_that_says_nothing_is_none_and_the_access_is_direct() {
    let tables = "[[rest.entitlements]]\nkind = \"role\"\nitems = \"$.roles\"\nid = \"$.id\"\n\
        inherited_from = \"$.via\"\n";
    let target = Target::new(&entitled(tables), |_, _| {
        let mut ada = user(7, "ada");
        ada["roles"] = json!([
            {"id": "a", "via": null}, {"id": "b", "via": ""}, {"id": "c", "via": false},
            {"id": "d", "via": "Ops"}, {"id": "e"},
        ]);
        (200, json!({ "user": ada }))
    })
    .await;
    let reading = target.read("7").await.expect("read");
    let held = reading.account.expect("there").entitlements;
    let origins: Vec<_> = held
        .iter()
        .map(|one| one.inherited_from.as_deref())
        .collect();
    assert_eq!(origins, [None, None, None, Some("Ops"), None]);
}

#[tokio::test]
async fn e1_groups_that_show_no_member_at_all_prove_nothing() {
    let asked = GROUPS.replace(
        "items = \"$.members\"\nid = \"$.user\"",
        "path = \"/groups/{entitlement.id}/members\"\nitems = \"$.names\"\nempty = [404]",
    );
    for tables in [GROUPS, asked.as_str()] {
        for (declared, whole) in [("", false), ("may_be_empty = true\n", true)] {
            let shape = entitled(&format!("{tables}{declared}"));
            let target = Target::new(&shape, |_, path| match path {
                "/api/users/7" => (200, json!({"user": user(7, "ada")})),
                _ => groups(path, |_| json!([])).unwrap_or((404, json!({}))),
            })
            .await;
            let reading = target.read("7").await.expect("read");
            assert_eq!(reading.account.expect("there").entitlements, []);
            let gap = reading.completeness.gap();
            assert_eq!(gap.is_none(), whole, "{shape}");
        }
    }
}

#[tokio::test]
async fn a_group_list_without_members_is_drifted_and_one_without_end_proves_nothing() {
    let shape = entitled(GROUPS);
    let bare = Target::new(&shape, |_, path| match path {
        "/api/users/7" => (200, json!({"user": user(7, "ada")})),
        _ => (200, json!({"groups": [{"id": "staff", "title": "Staff"}]})),
    })
    .await;
    let failure = bare.read("7").await.expect_err("no members");
    assert_eq!(failure.class, FailureClass::Drifted);
    let endless = Target::new(&shape, |_, path| {
        if path.starts_with("/api/groups") {
            let group = json!({"id": "staff", "title": "Staff", "members": []});
            return (200, json!({ "groups": [group] }));
        }
        (404, json!({}))
    })
    .await;
    let reading = endless.read("7").await.expect("read");
    assert!(!reading.completeness.pages_closed);
    let failure = endless.write(&taking("7", "ada", "staff")).await;
    assert_eq!(failure.expect_err("unsure").class, FailureClass::Drifted);
}

#[tokio::test]
async fn answers_that_carry_other_secrets_leave_none_of_them_behind() {
    let tables = "[[rest.entitlements]]\nkind = \"credential\"\npath = \"/users/{account.id}/keys\"\n\
        items = \"$.keys\"\nid = \"$.key\"\nsecret_id = true\nempty = [204]\n";
    let shape = entitled(tables).replace("revoke_entitlement", "revoke_credential");
    let script = |method: &str, path: &str| match (method, path) {
        ("GET", "/api/users/7") => {
            let mut ada = user(7, "ada");
            ada["password"] = json!("hunter2-hunter2");
            (200, json!({"user": ada, "session_token": "live-session"}))
        }
        ("GET", "/api/users/8") => (200, json!({"user": user(8, "bob")})),
        ("GET", "/api/users/7/keys") => (200, json!({"keys": [{"key": "sk/live 1"}]})),
        ("GET", _) => (204, json!({"raw": ""})),
        ("DELETE", "/api/users/7/members/sk%2Flive%201") => {
            let words = "key sk/live 1 of ada (password=hunter2-hunter2) is locked";
            (423, json!({ "error": words }))
        }
        other => panic!("{other:?}"),
    };
    let edit = |manifest: &mut Manifest| {
        manifest.operations.remove(&Operation::RevokeEntitlement);
        manifest.operations.insert(Operation::RevokeCredential);
    };
    let answer = move |asked: &target::Asked| script(&asked.method, &asked.path);
    let target = Target::with(&shape, edit, answer).await;
    let reading = target.read("7").await.expect("read");
    let shown = format!("{reading:?}");
    for secret in ["hunter2", "live-session", "sk/live"] {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
    let key = reading.account.expect("there").entitlements.remove(0);
    assert!(key.id.as_str().starts_with("sha256:"));
    assert_eq!(key.name, key.id.as_str());
    let bob = target.read("8").await.expect("read").account;
    assert_eq!(bob.expect("there").entitlements, []);
    target.gate.take();
    let mut revoke = change(Operation::RevokeCredential, "7", "ada");
    revoke.entitlement = Some(key);
    let failure = target.write(&revoke).await.expect_err("locked");
    let judged = target.gate.take_writes();
    let told = format!("{failure} {judged:?}");
    for secret in ["hunter2", "sk/live", "sk%2F"] {
        assert!(!told.contains(secret), "{secret} is in {told}");
    }
    assert!(failure.message.contains("[redacted]"), "{failure}");
    assert_eq!(target.changes().len(), 1);
}

#[tokio::test]
async fn d1_a_key_in_a_path_is_shown_by_its_digest_however_the_target_repeats_it() {
    const KEY: &str = "a/b+c==-4711";
    let tables = "[[rest.entitlements]]\nkind = \"credential\"\npath = \"/users/{account.id}/keys\"\n\
        items = \"$.keys\"\nid = \"$.key\"\nsecret_id = true\n";
    let job = "[rest.revoke_credential.job]\nwait_milliseconds = 10\npolls = 2\nlocation = true\n\
        [rest.delete]";
    let shape = entitled(tables)
        .replace("revoke_entitlement", "revoke_credential")
        .replace("[rest.delete]", job);
    let path = "/api/users/7/members/a%2Fb%2Bc%3D%3D-4711";
    let refused = |path: &str| (500, json!({ "error": format!("cannot DELETE {path}") }));
    let put_off = |path: &str| {
        (
            202,
            json!({"headers": {"Location": format!("{path}/jobs/1")}}),
        )
    };
    for (changed, followed) in [
        (refused(path), false),
        (
            refused(
                &path
                    .replace("%2F", "%2f")
                    .replace("%2B", "%2b")
                    .replace("%3D", "%3d"),
            ),
            false,
        ),
        (put_off(path), true),
        (put_off("/api/users/7/members/a%2fb+c==-4711"), true),
    ] {
        let edit = |manifest: &mut Manifest| {
            manifest.operations.remove(&Operation::RevokeEntitlement);
            manifest.operations.insert(Operation::RevokeCredential);
        };
        let target = Target::with(&shape, edit, move |asked| match asked.path.as_str() {
            "/api/users/7" => (200, json!({"user": user(7, "ada")})),
            "/api/users/7/keys" => (200, json!({"keys": [{ "key": KEY }]})),
            _ if asked.method == "DELETE" => changed.clone(),
            other => (500, json!({ "error": format!("no {other}") })),
        })
        .await;
        let account = target.read("7").await.expect("read").account;
        let mut revoke = change(Operation::RevokeCredential, "7", "ada");
        revoke.entitlement = account.expect("there").entitlements.pop();
        target.gate.take();
        let failure = target.write(&revoke).await.expect_err("not done");
        let judged = target.gate.take();
        let jobs = judged.iter().filter(|one| one.line.ends_with("/jobs/1"));
        assert_eq!(jobs.count() > 0, followed, "{judged:?}");
        let told = format!("{failure} {judged:?}");
        assert!(!told.contains("4711"), "{told}");
        assert!(
            told.contains("sha256:") || told.contains("sha256%3A"),
            "{told}"
        );
    }
}

#[test]
fn e2_a_key_that_is_known_by_a_digest_is_no_key_to_try() {
    let key = "[[rest.entitlements]]\nkind = \"credential\"\npath = \"/users/{account.id}/keys\"\n\
        items = \"$.keys\"\nid = \"$.key\"\n";
    for (secret, sound) in [("", true), ("secret_id = true\n", false)] {
        let shape = entitled(&format!("{key}{secret}"));
        let probe = "[[probe]]\nname = \"keys\"\nkind = \"http\"\ntries = \"listed\"\n\
            url = \"https://crm.acme.example\"\npath = \"/me\"\nshown_as = \"bearer\"\n\
            refused = { status = [\"401\"] }\ncontrol = { login = \"c\", secret = \"local:c\" }\n";
        let document = crate::document::Document::parse("p.toml", probe).expect("syntax");
        let mut manifest = target::approving();
        manifest.probes = crate::connectors::probe::read(&document.root(), "rest");
        let clock: Arc<dyn Clock> = Moved::new();
        let loaded = target::connector(&manifest, "https://crm.acme.example/api", &shape, &clock);
        let all = loaded.err().map_or(String::new(), |all| all.to_string());
        assert_eq!(!all.contains("tries `listed`"), sound, "{all}");
    }
}
