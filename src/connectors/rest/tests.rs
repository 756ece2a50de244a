//! The rest kind against servers in this process that lie, cap, loop and lose.
//!
//! Owns the traps of JSON APIs. What a target was really sent is read from the notes of the
//! scripted server (`target`), never from the connector's own answer.

mod changes;
mod closing;
mod held;
mod jobs;
mod oauth;
mod orphans;
mod owners;
mod places;
mod rotation;
mod target;
mod truths;

use serde_json::json;

use super::*;
use crate::connectors::Registry;
use crate::connectors::fixture::Moved;
use crate::connectors::rehearsal::{Recorder, change, manifest_in, taking};
use crate::domain::access::AccountState;
use crate::domain::outcome::FailureClass;
use target::{Target, load};

const SHAPE: &str = r#"
[rest]
base_url = "{base}"
error = "$.error"
auth_errors = ["invalid_auth"]
[rest.account]
id = "$.id"
login = "$.login"
state = "$.status"
[rest.account.states]
enabled = ["active"]
disabled = ["suspended"]
gone = ["deleted"]
[rest.account.attributes]
externalId = "$.hr.number"
[rest.list]
path = "/users"
items = "$.users"
total = "$.total"
paging = "page"
size = 100
size_parameter = "per_page"
[rest.read]
path = "/users/{account.id}"
account = "$.user"
[[rest.entitlements]]
items = "$.roles"
id = "$.id"
name = "$.title"
kind = "role"
[[rest.entitlements]]
path = "/users/{account.id}/keys"
items = "$.keys"
id = "$.id"
kind = "credential"
[rest.disable]
method = "PATCH"
path = "/users/{account.id}"
body = { active = false, profile = { note = "left: {account.login}" } }
success = { "$.ok" = true }
[rest.revoke_entitlement]
method = "DELETE"
path = "/users/{account.id}/members/{entitlement.id}"
[rest.delete]
method = "DELETE"
path = "/users/{account.id}"
"#;

fn user(id: u64, login: &str) -> Value {
    json!({"id": id, "login": login, "status": "active", "hr": {"number": format!("E{id}")},
        "roles": [{"id": "admin", "title": "Administrator"}]})
}

/// One user 7 with one key, who is always there and to whose changes the answer is `changed`.
fn steadfast(changed: (u16, Value)) -> impl Fn(&str, &str) -> (u16, Value) {
    move |method, path| match (method, path) {
        ("GET", "/api/users/7") => (200, json!({"user": user(7, "ada")})),
        ("GET", "/api/users/7/keys") => (200, json!({"keys": [{"id": "k1"}]})),
        ("GET", _) => (404, json!({"error": "no such user"})),
        _ => changed.clone(),
    }
}

/// Page `n` of users, `capped` to a page whatever was asked for.
fn page(path: &str, all: u64, capped: u64) -> Vec<Value> {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let number = query.split('&').find_map(|p| p.strip_prefix("page="));
    let number: u64 = number.and_then(|n| n.parse().ok()).unwrap_or(1);
    let ids = ((number - 1) * capped + 1)..=(number * capped).min(all);
    ids.map(|id| user(id, &format!("user{id}"))).collect()
}

#[tokio::test]
async fn u6_a_server_that_caps_its_pages_is_read_to_the_end() {
    let target = Target::new(SHAPE, |_, path| {
        (200, json!({"users": page(path, 25, 10), "total": 25}))
    })
    .await;
    let listing = target.list().await.expect("listed");
    assert_eq!(listing.accounts.len(), 25);
    assert_eq!(listing.completeness, Completeness::WHOLE);
    assert_eq!(listing.accounts[24].attributes["externalId"], "E25");
    let (_, first, _) = target.seen.lock().expect("not poisoned")[0].clone();
    assert_eq!(first, "/api/users?per_page=100&page=1");
}

#[tokio::test]
async fn c6_half_a_list_is_never_whole() {
    let target = Target::new(SHAPE, |_, path| {
        let users = if path.contains("page=1") {
            page(path, 10, 10)
        } else {
            vec![]
        };
        (200, json!({"users": users, "total": 25}))
    })
    .await;
    let listing = target.list().await.expect("listed");
    assert_eq!(listing.accounts.len(), 10);
    assert!(!listing.completeness.pages_closed);
    let broken = Target::new(SHAPE, |_, path| {
        if path.contains("page=2") {
            return (500, json!({"error": "boom"}));
        }
        (200, json!({"users": page(path, 25, 10), "total": 25}))
    })
    .await;
    let failure = broken.list().await.expect_err("the second page failed");
    assert_eq!(failure.class, FailureClass::Unreachable);
}

#[tokio::test]
async fn a_mark_that_comes_again_leaves_the_list_open() {
    let shape = SHAPE
        .replace("total = \"$.total\"\n", "cursor = \"$.next\"\n")
        .replace("\"page\"", "\"cursor\"");
    let looping = Target::new(&shape, |_, _| {
        (200, json!({"users": [user(1, "a")], "next": "same"}))
    })
    .await;
    assert!(
        !looping
            .list()
            .await
            .expect("listed")
            .completeness
            .pages_closed
    );
    let sound = Target::new(&shape, |_, path| {
        let next = if path.contains("cursor=two%2F2") {
            json!(null)
        } else {
            json!("two/2")
        };
        (
            200,
            json!({"users": [user(path.len() as u64, "a")], "next": next}),
        )
    })
    .await;
    let listing = sound.list().await.expect("listed");
    assert_eq!(listing.accounts.len(), 2);
    assert!(listing.completeness.pages_closed);
}

#[tokio::test]
async fn b4_a_flood_is_not_read_on_beyond_the_declared_band() {
    let shape = SHAPE
        .replace("total = \"$.total\"\n", "cursor = \"$.next\"\n")
        .replace("\"page\"", "\"cursor\"");
    let pages = std::sync::atomic::AtomicU64::new(0);
    let flooding = Target::with(
        &shape,
        |manifest| manifest.expect.accounts_max = 5,
        move |_| {
            let page = pages.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let users = [user(page * 2, "a"), user(page * 2 + 1, "b")];
            (200, json!({"users": users, "next": page.to_string()}))
        },
    )
    .await;
    let listing = flooding.list().await.expect("listed");
    assert_eq!(listing.accounts.len(), 6, "the third page is one too many");
    assert!(!listing.completeness.pages_closed);
}

#[tokio::test]
async fn links_are_followed_at_home_only() {
    let shape = SHAPE
        .replace("total = \"$.total\"\n", "")
        .replace("\"page\"", "\"link\"");
    let home = Target::new(&shape, |_, path| {
        let link = if path.contains("after=1") {
            "</api/users>; rel=\"first\""
        } else {
            "</api/users?after=1>; rel=\"next\""
        };
        (
            200,
            json!({"users": [user(path.len() as u64, "a")], "link": link}),
        )
    })
    .await;
    let listing = home.list().await.expect("listed");
    assert_eq!(
        (listing.accounts.len(), listing.completeness.pages_closed),
        (2, true)
    );
    let away = Target::new(&shape, |_, _| {
        let link = "<https://elsewhere.example/api/users?after=1>; rel=\"next\"";
        (200, json!({"users": [user(1, "a")], "link": link}))
    })
    .await;
    let failure = away.list().await.expect_err("a credential would travel");
    assert_eq!(failure.code, "CB-REST-6");
}

#[tokio::test]
async fn a_read_shows_embedded_and_separate_entitlements() {
    let target = Target::new(SHAPE, steadfast((500, Value::Null))).await;
    let reading = target.read("7").await.expect("read");
    assert_eq!(reading.completeness, Completeness::WHOLE);
    let account = reading.account.expect("is there");
    let shown = account
        .entitlements
        .iter()
        .map(|e| (e.id.as_str(), e.name.as_str()));
    let shown: Vec<_> = shown.collect();
    assert_eq!(shown, [("admin", "Administrator"), ("k1", "k1")]);
    assert_eq!(target.read("8").await.expect("read").account, None);
}

#[tokio::test]
async fn p1_success_without_effect_is_accepted_and_no_more() {
    let target = Target::new(SHAPE, steadfast((200, json!({"ok": true})))).await;
    let disable = change(Operation::Disable, "7", "ada");
    assert_eq!(target.write(&disable).await, Ok(Answered::Accepted));
    let still = target.read("7").await.expect("read").account;
    assert_eq!(still.expect("is there").state, AccountState::Enabled);
    let sent = target.changes();
    assert_eq!(
        sent[0].2,
        json!({"active": false, "profile": {"note": "left: ada"}})
    );
    let judged = target.gate.take_writes();
    let fields: Vec<_> = judged[0].writes.iter().map(String::as_str).collect();
    assert_eq!(fields, ["active", "profile.note"]);
    assert_eq!(judged[0].line, "PATCH /users/7");
}

#[tokio::test]
async fn what_is_refused_is_not_sent() {
    let mut target = Target::new(SHAPE, steadfast((200, json!({"ok": true})))).await;
    target.gate = Recorder::forbidding(&["profile.note"]);
    let failure = target.write(&change(Operation::Disable, "7", "ada")).await;
    assert_eq!(failure.expect_err("refused").class, FailureClass::Refused);
    assert_eq!(target.changes(), []);
}

#[tokio::test]
async fn an_answer_that_says_no_with_200_is_a_failure() {
    for (answer, class) in [
        (
            json!({"ok": false, "error": "locked"}),
            FailureClass::WriteFailure,
        ),
        (json!({"done": true}), FailureClass::WriteFailure),
        (
            json!({"ok": false, "error": "invalid_auth"}),
            FailureClass::AuthFailure,
        ),
    ] {
        let target = Target::new(SHAPE, steadfast((200, answer.clone()))).await;
        let failure = target.write(&change(Operation::Disable, "7", "ada")).await;
        assert_eq!(failure.expect_err("no").class, class, "{answer}");
    }
}

#[tokio::test]
async fn p9_not_found_is_looked_at_again() {
    let target = Target::new(SHAPE, steadfast((404, json!({})))).await;
    let failure = target.write(&change(Operation::Delete, "7", "ada")).await;
    let failure = failure.expect_err("she is still there");
    assert_eq!(failure.code, "CB-REST-5");
    let gone = target.write(&change(Operation::Delete, "8", "bob")).await;
    assert_eq!(gone, Ok(Answered::Absent));
    let other = target.write(&taking("7", "ada", "editor")).await;
    assert_eq!(other, Ok(Answered::Absent), "she no longer holds it");
    let held = target.write(&taking("7", "ada", "admin")).await;
    assert_eq!(held.expect_err("she holds it").code, "CB-REST-5");
}

#[tokio::test]
async fn p30_an_id_that_shows_another_login_is_left_alone() {
    let target = Target::new(SHAPE, steadfast((200, json!({"ok": true})))).await;
    let failure = target.write(&change(Operation::Delete, "7", "eve")).await;
    assert_eq!(failure.expect_err("another").class, FailureClass::Ambiguous);
    assert_eq!(target.changes(), []);
}

#[tokio::test]
async fn hostile_ids_stay_one_segment() {
    let target = Target::new(SHAPE, |_, _| (404, json!({}))).await;
    for hostile in ["../admin", "7/keys?x=1#y", "%2e%2e", "7;drop"] {
        let answer = target
            .write(&change(Operation::Delete, hostile, hostile))
            .await;
        assert_eq!(answer, Ok(Answered::Absent));
    }
    for dotted in ["", ".", ".."] {
        let failure = target
            .write(&change(Operation::Delete, dotted, dotted))
            .await;
        assert_eq!(
            failure.expect_err("no segment").class,
            FailureClass::Refused
        );
    }
    let paths: Vec<_> = target
        .seen
        .lock()
        .expect("not poisoned")
        .iter()
        .map(|s| s.1.clone())
        .collect();
    assert_eq!(
        paths,
        [
            "/api/users/..%2Fadmin",
            "/api/users/7%2Fkeys%3Fx%3D1%23y",
            "/api/users/%252e%252e",
            "/api/users/7%3Bdrop",
        ]
    );
}

#[tokio::test]
async fn c6_renamed_parts_are_drifted() {
    let renamed = |from: &'static str, to: &'static str| {
        move |_: &str, path: &str| {
            let whole = if path.contains("/users/7") {
                json!({"user": user(7, "ada"), "keys": []})
            } else {
                json!({"users": [user(7, "ada")], "total": 1})
            };
            let text = whole.to_string().replace(from, to);
            (200, serde_json::from_str(&text).expect("json"))
        }
    };
    for (from, to) in [
        ("\"users\"", "\"members\""),
        ("\"login\"", "\"name\""),
        ("\"number\"", "\"no\""),
        ("\"total\"", "\"count\""),
        ("\"active\"", "\"ok\""),
    ] {
        let target = Target::new(SHAPE, renamed(from, to)).await;
        let failure = target.list().await.expect_err(from);
        assert_eq!(failure.class, FailureClass::Drifted, "{from}");
    }
    for (from, to) in [
        ("\"user\"", "\"person\""),
        ("\"roles\"", "\"groups\""),
        ("\"keys\"", "\"tokens\""),
        ("\"id\":7", "\"id\":8"),
    ] {
        let target = Target::new(SHAPE, renamed(from, to)).await;
        let failure = target.read("7").await.expect_err(from);
        assert_eq!(failure.class, FailureClass::Drifted, "{from}");
    }
}

/// Whether the second page is asked for.
fn is_second(path: &str) -> bool {
    path.ends_with("page=2") || path.contains("page=2&")
}

#[tokio::test]
async fn p15_a_softly_deleted_account_counts_as_absent_where_declared() {
    let target = Target::new(SHAPE, |_, path| {
        let mut gone = user(7, "ada");
        gone["status"] = json!("deleted");
        if path.contains("/users/7") {
            return (200, json!({"user": gone, "keys": []}));
        }
        if is_second(path) {
            return (200, json!({"users": [], "total": 2}));
        }
        (200, json!({"users": [gone, user(8, "bob")], "total": 2}))
    })
    .await;
    assert_eq!(target.read("7").await.expect("read").account, None);
    let listing = target.list().await.expect("listed");
    assert_eq!(listing.accounts.len(), 1);
    assert!(listing.completeness.pages_closed);
    let delete = change(Operation::Delete, "7", "ada");
    assert_eq!(target.write(&delete).await, Ok(Answered::Absent));
}

#[test]
fn h3_every_fault_of_the_table_is_told_at_once() {
    let faulty = SHAPE
        .replace("$.login", "login")
        .replace("/members/{entitlement.id}", "")
        .replace("{account.login}", "{account.password}")
        .replace("\"page\"", "\"pages\"")
        .replace("[rest.delete]", "[rest.end_sessions]");
    let told = load("https://crm.acme.example", &faulty)
        .expect_err("faults")
        .to_string();
    for part in [
        "rest.account.login",
        "`entitlement.id`",
        "`{account.password}` cannot be filled in",
        "no kind of paging",
        "`delete` is approved but has no request",
        "`end_sessions` has a request but",
    ] {
        assert!(told.contains(part), "{part} is not in:\n{told}");
    }
    let wide = SHAPE.replace("active = false", "active = false, role = \"owner\"");
    let told = load("https://crm.acme.example", &wide)
        .expect_err("wide")
        .to_string();
    assert!(told.contains("writes `role`"), "{told}");
}

#[test]
fn h3_the_manifests_in_the_documentation_can_be_loaded() {
    let pages = [
        include_str!("../../../docs/connectors/rest.md"),
        include_str!("../../../docs/connectors/keycloak.md"),
    ];
    let mut files = Vec::new();
    for page in pages {
        let blocks = page.match_indices("```toml\n");
        files.extend(blocks.map(|(at, _)| manifest_in(&page[at..])));
    }
    let clock: Arc<dyn Clock> = Moved::new();
    match Registry::load(&files, &clock) {
        Ok(registry) => assert_eq!(registry.names().count(), 3),
        Err(problems) => panic!("{problems}"),
    }
}

#[test]
fn the_page_names_a_test_for_each_truth() {
    let page = include_str!("../../../docs/connectors/rest.md");
    let tests = [
        include_str!("tests.rs"),
        include_str!("tests/changes.rs"),
        include_str!("tests/closing.rs"),
        include_str!("tests/held.rs"),
        include_str!("tests/jobs.rs"),
        include_str!("tests/oauth.rs"),
        include_str!("tests/orphans.rs"),
        include_str!("tests/owners.rs"),
        include_str!("tests/rotation.rs"),
        include_str!("tests/truths.rs"),
        include_str!("../../../tests/integration/rest.rs"),
    ];
    let named = crate::connectors::rehearsal::truths_in(page);
    assert!(named.len() > 20, "{named:?}");
    for name in named {
        let head = format!("fn {name}()");
        assert!(tests.iter().any(|file| file.contains(&head)), "{name}");
    }
}

#[test]
fn h3_the_manifests_of_the_simulated_estate_can_be_loaded() {
    let texts = [
        ("crm", include_str!("../../demo/manifests/crm.toml")),
        (
            "directory",
            include_str!("../../demo/manifests/directory.toml"),
        ),
        ("payroll", include_str!("../../demo/manifests/payroll.toml")),
        ("wiki", include_str!("../../demo/manifests/wiki.toml")),
    ];
    let files: Vec<_> = texts
        .into_iter()
        .map(|(name, text)| {
            let text = text.replace("{base_url}", "http://127.0.0.1:1");
            (format!("{name}.toml"), text.replace("{path}", "/srv/place"))
        })
        .collect();
    let clock: Arc<dyn Clock> = Moved::new();
    match Registry::load(&files, &clock) {
        Ok(registry) => assert_eq!(registry.names().count(), 4),
        Err(problems) => panic!("{problems}"),
    }
}
