//! The CRM, used over plain HTTP.
//!
//! Owns the proof that it lies exactly where it is meant to, and that its reads never do.

use reqwest::{Client, Method, StatusCode};

use super::super::rehearsal;
use super::super::site::Site;
use super::*;

struct Bench {
    client: Client,
    _site: Site,
    crm: Shared,
    url: String,
    writer: String,
    verifier: String,
}

async fn bench() -> Bench {
    let crm = Crm::new(&Company::new(1, 60), 1, rehearsal::chance());
    let site = Site::open(crm.clone().router()).await.expect("opens");
    Bench {
        client: Client::new(),
        url: site.url(),
        _site: site,
        writer: crm.issue(CredentialRole::Writer, "start").1,
        verifier: crm.issue(CredentialRole::Verifier, "start").1,
        crm,
    }
}

impl Bench {
    async fn send(
        &self,
        key: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let request = self.client.request(method, format!("{}{path}", self.url));
        let response = request.header("x-api-key", key).json(&body).send().await;
        let response = response.expect("answers");
        let status = response.status();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    fn member(&self, honesty: Honesty) -> String {
        let state = self.crm.state();
        let mut members = state.members.iter();
        let found = members.find(|(_, member)| member.honesty == honesty);
        found.expect("the company has one").0.clone()
    }

    async fn suspend(&self, id: &str) -> Value {
        let path = format!("/v1/members/{id}");
        let wanted = json!({"status": "suspended"});
        let (status, body) = self.send(&self.writer, Method::PATCH, &path, wanted).await;
        assert_eq!(status, StatusCode::OK);
        body["data"]["status"].clone()
    }

    async fn status(&self, id: &str) -> Value {
        let path = format!("/v1/members/{id}");
        let (_, body) = self
            .send(&self.verifier, Method::GET, &path, Value::Null)
            .await;
        body["data"]["status"].clone()
    }
}

#[tokio::test]
async fn an_honest_write_is_done_and_a_lie_says_so_too() {
    let bench = bench().await;
    let honest = bench.member(Honesty::Honest);
    let liar = bench.member(Honesty::Lies);
    for (id, really) in [(&honest, "suspended"), (&liar, "active")] {
        assert_eq!(bench.suspend(id).await, "suspended");
        assert_eq!(bench.status(id).await, really);
    }
    assert_eq!(bench.crm.lies_told(), 1);
    assert!(bench.crm.truth().accounts[&AccountId(liar)].can_sign_in);
}

#[tokio::test]
async fn what_the_administrator_does_by_hand_is_really_done() {
    let bench = bench().await;
    let liar = bench.member(Honesty::Lies);
    let path = format!("/admin/members/{liar}/offboard");
    let (status, body) = bench.send("", Method::POST, &path, Value::Null).await;
    assert_eq!(
        (status, &body["data"]["status"]),
        (StatusCode::OK, &json!("suspended"))
    );
    let truth = &bench.crm.truth().accounts[&AccountId(liar)];
    assert!(
        !truth.can_sign_in && truth.entitlements.is_empty(),
        "{truth:?}"
    );
    let path = "/admin/members/mem_nobody/offboard";
    let (status, _) = bench.send("", Method::POST, path, Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_passing_lie_gives_way_to_the_truth() {
    let bench = bench().await;
    let id = bench.member(Honesty::LiesFirst(1));
    bench.suspend(&id).await;
    assert_eq!(bench.status(&id).await, "active");
    bench.suspend(&id).await;
    assert_eq!(bench.status(&id).await, "suspended");
}

#[tokio::test]
async fn the_cursor_leads_through_every_member_once() {
    let bench = bench().await;
    let mut seen = Vec::new();
    let mut path = "/v1/members?limit=7".to_owned();
    loop {
        let (_, body) = bench
            .send(&bench.verifier, Method::GET, &path, Value::Null)
            .await;
        let ids = body["data"].as_array().expect("a page").iter();
        seen.extend(ids.map(|member| member["id"].as_str().expect("an id").to_owned()));
        match body["page"]["next"].as_str() {
            Some(cursor) => path = format!("/v1/members?limit=7&cursor={cursor}"),
            None => break,
        }
    }
    let truth = bench.crm.truth();
    let real: Vec<_> = truth
        .accounts
        .keys()
        .map(|id| id.as_str().to_owned())
        .collect();
    assert_eq!(seen, real);
}

#[tokio::test]
async fn roles_and_keys_go_one_by_one_and_a_verifier_takes_nothing() {
    let bench = bench().await;
    let id = {
        let state = bench.crm.state();
        let mut members = state.members.iter();
        let found = members.find(|(_, m)| m.honesty == Honesty::Honest && !m.keys.is_empty());
        found.expect("the company has one").0.clone()
    };
    let path = format!("/v1/members/{id}/roles/viewer");
    let (status, _) = bench
        .send(&bench.verifier, Method::DELETE, &path, Value::Null)
        .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let before = bench.crm.truth().accounts[&AccountId(id.clone())]
        .entitlements
        .len();
    for expected in [StatusCode::OK, StatusCode::NOT_FOUND] {
        let (status, _) = bench
            .send(&bench.writer, Method::DELETE, &path, Value::Null)
            .await;
        assert_eq!(status, expected);
    }
    let after = bench.crm.truth().accounts[&AccountId(id)]
        .entitlements
        .len();
    assert_eq!(after, before - 1);
}
