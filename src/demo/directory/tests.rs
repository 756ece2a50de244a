//! The directory, used over plain HTTP as any SCIM client would.
//!
//! Owns the proof that it keeps to the standard where a connector could be fooled.

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use super::super::rehearsal;
use super::super::site::Site;
use super::*;

struct Bench {
    client: Client,
    _site: Site,
    directory: Shared,
    url: String,
    writer: String,
    verifier: String,
    rotator: String,
}

async fn bench() -> Bench {
    let company = Company::new(1, 60);
    let reserved = Site::reserve().await.expect("a port");
    let url = reserved.url();
    let directory = Directory::new(&url, &company, 1, rehearsal::clock(), rehearsal::chance());
    let site = reserved.open(directory.clone().router());
    Bench {
        client: Client::new(),
        url,
        _site: site,
        writer: directory.issue(CredentialRole::Writer, "start").1,
        verifier: directory.issue(CredentialRole::Verifier, "start").1,
        rotator: directory.issue(CredentialRole::Rotator, "start").1,
        directory,
    }
}

impl Bench {
    async fn send(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(token);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/scim+json")
                .body(body.to_string());
        }
        let response = request.send().await.expect("answers");
        let status = response.status();
        let bytes = response.bytes().await.expect("a body");
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send(&self.verifier, Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }
}

#[tokio::test]
async fn pages_close_and_their_total_is_the_truth() {
    let bench = bench().await;
    let mut seen = 0;
    loop {
        let page = bench
            .get(&format!("/Users?startIndex={}&count=1000", seen + 1))
            .await;
        let items = page["itemsPerPage"].as_u64().expect("a number");
        assert!(
            items <= routes::PAGE as u64,
            "a page is at most {}",
            routes::PAGE
        );
        seen += items;
        if seen >= page["totalResults"].as_u64().expect("a number") {
            break;
        }
        assert!(items > 0, "a page in the middle is empty");
    }
    assert_eq!(seen as usize, bench.directory.truth().accounts.len());
    assert_eq!(bench.get("/Users?count=0").await["itemsPerPage"], 0);
}

#[tokio::test]
async fn one_member_is_removed_by_a_value_filter_and_the_others_stay() {
    let bench = bench().await;
    let user = bench.get("/Users?count=1").await["Resources"][0].clone();
    let id = user["id"].as_str().expect("an id");
    let group = user["groups"][0]["value"].as_str().expect("a group");
    let filter = format!("/Groups?filter=members.value%20eq%20%22{id}%22");
    let before = bench.get(&filter).await["totalResults"].clone();
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "remove", "path": format!("members[value eq \"{id}\"]")}],
    });
    let others = bench.get(&format!("/Groups/{group}")).await["members"]
        .as_array()
        .map(Vec::len);
    let path = format!("/Groups/{group}");
    let (status, after) = bench
        .send(&bench.writer, Method::PATCH, &path, Some(body))
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        after["members"].as_array().map(Vec::len),
        others.map(|n| n - 1)
    );
    let left = bench.get(&filter).await["totalResults"].clone();
    assert_eq!(left.as_u64(), before.as_u64().map(|n| n - 1));
    let truth = bench.directory.truth();
    let account = &truth.accounts[&AccountId::from(id)];
    assert!(
        !account
            .entitlements
            .contains(&(EntitlementKind::Group, group.to_owned()))
    );
}

#[tokio::test]
async fn a_deleted_user_is_gone_from_every_group() {
    let bench = bench().await;
    let user = bench.get("/Users?count=1").await["Resources"][0].clone();
    let path = format!("/Users/{}", user["id"].as_str().expect("an id"));
    let (status, _) = bench.send(&bench.writer, Method::DELETE, &path, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, error) = bench.send(&bench.verifier, Method::GET, &path, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(error["status"], "404");
    let filter = format!("/Groups?filter=members.value%20eq%20{}", user["id"]);
    assert_eq!(bench.get(&filter).await["totalResults"], 0);
}

#[tokio::test]
async fn a_write_for_an_older_version_is_refused() {
    let bench = bench().await;
    let user = bench.get("/Users?count=1").await["Resources"][0].clone();
    let url = format!(
        "{}/Users/{}",
        bench.url,
        user["id"].as_str().expect("an id")
    );
    let patch = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "active", "value": false}],
    });
    let send = |version: String| {
        bench
            .client
            .patch(&url)
            .bearer_auth(&bench.writer)
            .header("content-type", "application/scim+json")
            .header("if-match", version)
            .body(patch.to_string())
            .send()
    };
    let version = user["meta"]["version"]
        .as_str()
        .expect("a version")
        .to_owned();
    assert_eq!(
        send(version.clone()).await.expect("answers").status(),
        StatusCode::OK
    );
    let stale = send(version).await.expect("answers");
    assert_eq!(stale.status(), StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn each_token_opens_its_own_door_only() {
    let bench = bench().await;
    let all = [&bench.writer, &bench.verifier, &bench.rotator];
    let mut users = Vec::new();
    let mut deletions = Vec::new();
    let mut admin = Vec::new();
    for token in all {
        users.push(
            bench
                .send(token, Method::GET, "/Users", None)
                .await
                .0
                .as_u16(),
        );
        deletions.push(
            bench
                .send(token, Method::DELETE, "/Users/none", None)
                .await
                .0
                .as_u16(),
        );
        admin.push(
            bench
                .send(token, Method::GET, "/admin/tokens", None)
                .await
                .0
                .as_u16(),
        );
    }
    assert_eq!(users, [200, 200, 403]);
    assert_eq!(deletions, [404, 403, 403]);
    assert_eq!(admin, [403, 403, 200]);
    let (status, error) = bench.send("nonsense", Method::GET, "/Users", None).await;
    assert_eq!(
        (status, &error["status"]),
        (StatusCode::UNAUTHORIZED, &json!("401"))
    );
}

#[tokio::test]
async fn an_expired_token_is_refused_until_the_rotator_mints_another() {
    let bench = bench().await;
    bench.directory.expire(CredentialRole::Writer);
    let get = |token: String| async {
        let token = token;
        bench.send(&token, Method::GET, "/Users", None).await.0
    };
    assert_eq!(get(bench.writer.clone()).await, StatusCode::UNAUTHORIZED);
    let order = json!({"label": "clawback:1", "role": "writer"});
    let (status, minted) = bench
        .send(&bench.rotator, Method::POST, "/admin/tokens", Some(order))
        .await;
    assert_eq!(status, StatusCode::CREATED);
    let fresh = minted["value"].as_str().expect("a value").to_owned();
    assert_eq!(get(fresh.clone()).await, StatusCode::OK);
    let path = format!("/admin/tokens/{}", minted["id"].as_str().expect("an id"));
    let (status, _) = bench
        .send(&bench.rotator, Method::DELETE, &path, None)
        .await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(get(fresh).await, StatusCode::UNAUTHORIZED);
}
