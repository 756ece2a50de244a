//! Exceptions that take two people, over HTTP: read, approved by another, turned down.
//!
//! Owns that a page and the API decide alike, and that nobody approves their own.

use serde_json::json;

use super::*;
use crate::domain::approval::{self, Content, Matter, MatterKind, Record};
use crate::domain::id::ContentDigest;

impl House {
    /// Nadia proposes that the CRM serves without a drill.
    async fn propose(&self) {
        let matter = Matter {
            kind: MatterKind::DrillOverride,
            name: "crm".to_owned(),
        };
        let content = Content {
            digest: ContentDigest("ab".repeat(32)),
            text: SCRIPT.to_owned(),
        };
        let signed = Signed {
            by: "nadia".to_owned(),
            at: self.clock.now(),
            reason: "the canary is away".to_owned(),
        };
        let until = after(self.clock.now(), 86_400);
        let decide = |record: &Record| {
            approval::propose(record, &matter, content.clone(), until, signed.clone())
        };
        let ruled = self.store.rule(&matter, &decide).await.expect("ruled");
        ruled.expect("proposed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_an_exception_takes_two_people_here_too() {
    let house = House::open().await;
    house.user("nadia", &Role::ALL).await;
    house.user("tom", &Role::ALL).await;
    house.propose().await;
    let (mut nadia, mut tom) = (house.signed_in("nadia").await, house.signed_in("tom").await);
    assert!(tom.page("/").await.contains("drill override crm"));
    let offer = "Approve exactly this";
    let page = nadia.page("/approvals").await;
    assert!(!page.contains(offer) && !page.contains(SCRIPT), "{page}");
    let token = house.token("nadia", &Role::ALL).await;
    let path = "/api/v1/matters";
    let listed = house.api(Verb::Get, path, Some(&token), &Value::Null).await;
    let listed: Value = listed.json().await.expect("JSON");
    assert_eq!(listed["items"][0]["state"], "waits");
    let id = listed["items"][0]["proposal"].as_str().expect("an id");
    let path = format!("/api/v1/matters/{id}/approve");
    let body = json!({ "digest": "abababab", "reason": "mine" });
    let own = house.api(Verb::Post, &path, Some(&token), &body).await;
    assert_eq!(own.status(), 409);
    let told: Value = own.json().await.expect("JSON");
    assert_eq!(told["code"], "CB-APPROVAL-2");
    assert!(tom.page("/approvals").await.contains(offer));
    let csrf = tom.form_token("/approvals").await;
    for (digest, words) in [
        ("cdcdcdcd", "CB-APPROVAL-3"),
        ("abababab", "it binds from now on"),
    ] {
        let fields = [
            ("csrf", csrf.as_str()),
            ("digest", digest),
            ("reason", "read"),
        ];
        let path = format!("/matters/{id}/approve");
        let answer = tom.post(&path, &fields).await;
        assert_eq!(location(&answer), "/approvals");
        let page = tom.page("/approvals").await;
        assert!(page.contains(words), "{page}");
    }
    let page = tom.page("/approvals").await;
    assert!(page.contains("Exceptions that two people made"), "{page}");
    assert!(!page.contains(offer), "it waits no more");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_an_exception_is_turned_down() {
    let house = House::open().await;
    house.user("tom", &Role::ALL).await;
    house.propose().await;
    let token = house.token("tom", &Role::ALL).await;
    let path = "/api/v1/matters";
    let listed = house.api(Verb::Get, path, Some(&token), &Value::Null).await;
    let listed: Value = listed.json().await.expect("JSON");
    let id = listed["items"][0]["proposal"].as_str().expect("an id");
    let path = format!("/api/v1/matters/{id}/reject");
    let body = json!({ "reason": "the canary is back" });
    let answer = house.api(Verb::Post, &path, Some(&token), &body).await;
    assert_eq!(answer.status(), 200);
    let again = house.api(Verb::Post, &path, Some(&token), &body).await;
    assert_eq!(again.status(), 404, "it waits no more");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_what_is_held_is_proposed_from_its_task() {
    let house = House::open().await;
    house.user("nadia", &Role::ALL).await;
    let token = house.token("nadia", &Role::ALL).await;
    for (task, hours, status) in [
        ("00000000-0000-8000-8000-000000000001", json!(24), 200),
        ("00000000-0000-8000-8000-000000000001", json!(24.0), 200),
        ("00000000-0000-8000-8000-000000000001", json!(0), 422),
        ("00000000-0000-8000-8000-000000000001", json!(2161), 422),
        ("00000000-0000-8000-8000-000000000001", json!("a day"), 422),
        ("ffffffff-ffff-ffff-ffff-ffffffffffff", json!(24), 404),
    ] {
        let path = format!("/api/v1/tasks/{task}/propose");
        let body = json!({ "hours": hours, "reason": "the board knows" });
        let answer = house.api(Verb::Post, &path, Some(&token), &body).await;
        assert_eq!(answer.status(), status, "{task} {body}");
    }
    let acts = house.store.acts(&crate::store::ActFilter::default()).await;
    let acts = acts.expect("read");
    assert_eq!(acts[0].1.what, "propose_exception");
    assert_eq!(acts[0].1.came_to, "done: proposed by nadia");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_secret_that_cannot_be_read_is_told_beside_the_others() {
    let house = House::open().await;
    house.user("ada", &Role::ALL).await;
    let token = house.token("ada", &Role::ALL).await;
    let told = async |path: &str| {
        let told = house.api(Verb::Get, path, Some(&token), &Value::Null).await;
        told.json::<Value>().await.expect("JSON")
    };
    let secrets = told("/api/v1/secrets").await;
    let states = secrets["items"].as_array().expect("a list").iter();
    let states: Vec<_> = states.map(|one| &one["state"]).collect();
    assert_eq!(states, ["ended", "in order", "unreadable"]);
    let overview = told("/api/v1/overview").await;
    let urgent = overview["urgent"].as_array().expect("a list").iter();
    let urgent: Vec<_> = urgent
        .filter(|one| one["kind"] == "secret")
        .map(|one| one["why"].as_str().expect("words"))
        .collect();
    assert_eq!(urgent.len(), 2, "{urgent:?}");
    assert!(urgent[0].starts_with("ended") && urgent[1].starts_with("unreadable"));
    let page = house.signed_in("ada").await.page("/secrets").await;
    assert!(
        page.contains("not known") && !page.contains(SCRIPT),
        "{page}"
    );
    house.close().await;
}
