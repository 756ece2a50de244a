//! The `scim` connector against `scim2-server`, which nobody here wrote.
//!
//! Owns users and groups of its own names; the server is shared. The outcome is looked up at the
//! server itself, past the connector.

use std::sync::Arc;

use clawback::connectors::{Answered, Change, Credential, Guarded, Registry};
use clawback::domain::access::{Account, AccountState, Operation};
use clawback::domain::id::{AccountId, ConnectorName};
use clawback::domain::outcome::FailureClass;
use clawback::domain::time::{Clock, Timestamp};
use clawback::domain::verdict::CredentialRole;
use reqwest::Method;
use serde_json::{Value, json};

use crate::parts::part;

#[derive(Debug)]
struct Standing;

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("a time")
    }
}

/// The server itself, past the connector.
struct Target {
    base: String,
    token: String,
    http: reqwest::Client,
}

impl Target {
    fn new() -> Self {
        Self {
            base: part("CLAWBACK_TEST_SCIM"),
            token: part("CLAWBACK_TEST_SCIM_WRITER_TOKEN"),
            http: reqwest::Client::new(),
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/scim+json");
            request = request.body(body.to_string());
        }
        let answer = request.send().await.expect("the server answers");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("the server answers whole");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn create(&self, path: &str, body: Value) -> String {
        let (status, created) = self.ask(Method::POST, path, Some(body)).await;
        assert_eq!(status, 201, "{created}");
        created["id"].as_str().expect("an id").to_owned()
    }

    async fn user(&self, login: &str) -> String {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": login, "externalId": format!("E-{login}"), "active": true,
            "roles": [{"value": "editor"}, {"value": "viewer"}],
        });
        self.create("/Users", body).await
    }

    async fn group(&self, name: &str, members: &[&str]) -> String {
        let members: Vec<_> = members.iter().map(|id| json!({ "value": id })).collect();
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
            "displayName": name, "members": members,
        });
        self.create("/Groups", body).await
    }

    async fn members(&self, group: &str) -> Vec<String> {
        let path = format!("/Groups/{group}");
        let (_, group) = self.ask(Method::GET, &path, None).await;
        let members = group["members"].as_array().cloned().unwrap_or_default();
        let ids = members.iter().filter_map(|member| member["value"].as_str());
        ids.map(ToOwned::to_owned).collect()
    }
}

fn connector(base: &str) -> Arc<Guarded> {
    let manifest = format!(
        r#"
name = "crm"
kind = "scim"
purpose = "Customer records"
owner = "sales-it@acme.example"
deputy = "iam@acme.example"
review_by = "2099-03-31"
after_removal = "account_gone"
operations = ["list", "read", "disable", "revoke_entitlement", "delete"]
writes = ["active", "members", "roles", "*"]
[[correlation]]
identifier = "employee_number"
attribute = "externalId"
decides = true
[credentials.writer]
secret = "local:crm/writer"
[credentials.verifier]
secret = "local:crm/verifier"
[limits]
requests_per_second = 1000
[expect]
fields = ["userName"]
[fallback]
steps = ["Delete the user by hand"]
[scim]
base_url = "{base}"
page_size = 3
"#
    );
    let clock: Arc<dyn Clock> = Arc::new(Standing);
    let registry = Registry::load(&[("crm.toml".to_owned(), manifest)], &clock);
    let registry = registry.map_err(|problems| problems.to_string());
    let name = ConnectorName::from("crm");
    registry.expect("valid").get(&name).expect("loaded")
}

fn credential(role: CredentialRole, variable: &str) -> Credential {
    Credential {
        role,
        version: 1,
        remote_ref: None,
        username: None,
        secret: part(variable).into(),
    }
}

fn entitlements(account: &Account) -> Vec<&str> {
    let ids = account.entitlements.iter().map(|one| one.id.as_str());
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable();
    ids
}

/// Listed and read alike, with the roles and memberships that it was given.
async fn seen(crm: &Guarded, verifier: &Credential, user: &str, groups: [&str; 2]) -> AccountId {
    let listing = crm.list(verifier).await.expect("lists");
    assert_eq!(listing.completeness.gap(), None, "{}", listing.method);
    let shown = listing.accounts.iter().find(|one| one.id.as_str() == user);
    let shown = shown.expect("listed");
    let external = shown.attributes.get("externalId").map(String::as_str);
    assert_eq!(external, Some("E-connector-ada@acme"));
    for _ in 0..2 {
        let reading = crm.read(verifier, &shown.id).await.expect("reads");
        assert_eq!(reading.completeness.gap(), None, "{}", reading.method);
        let account = reading.account.expect("there");
        let [staff, admins] = groups.map(|group| format!("group:{group}"));
        let mut expected = [staff.as_str(), &admins, "role:editor", "role:viewer"];
        expected.sort_unstable();
        assert_eq!(entitlements(&account), expected, "{}", reading.method);
    }
    shown.id.clone()
}

#[tokio::test]
async fn c1_a_user_of_a_real_scim_server_is_stripped_disabled_and_deleted() {
    let target = Target::new();
    let crm = connector(&target.base);
    let writer = credential(CredentialRole::Writer, "CLAWBACK_TEST_SCIM_WRITER_TOKEN");
    let verifier = credential(
        CredentialRole::Verifier,
        "CLAWBACK_TEST_SCIM_VERIFIER_TOKEN",
    );
    assert_eq!(crm.try_credential(&writer).await, Ok(()));

    // Given a user with roles and memberships among others.
    let ada = target.user("connector-ada@acme").await;
    let mut others = Vec::new();
    for i in 0..4 {
        others.push(target.user(&format!("connector-other-{i}@acme")).await);
    }
    let staff = target
        .group("connector-staff", &[&ada, &others[0], &others[1]])
        .await;
    let admins = target.group("connector-admins", &[&ada]).await;

    let id = seen(&crm, &verifier, &ada, [&staff, &admins]).await;

    // When it is disabled and stripped, then nobody else is touched.
    let mut change = Change {
        operation: Operation::Disable,
        account: id.clone(),
        login: "connector-ada@acme".to_owned(),
        entitlement: None,
    };
    assert_eq!(crm.write(&writer, &change).await, Ok(Answered::Accepted));
    let reading = crm.read(&verifier, &id).await.expect("reads");
    let account = reading.account.expect("there");
    assert_eq!(account.state, AccountState::Disabled);
    for entitlement in account.entitlements {
        change.operation = Operation::RevokeEntitlement;
        change.entitlement = Some(entitlement);
        assert_eq!(crm.write(&writer, &change).await, Ok(Answered::Accepted));
    }
    assert_eq!(crm.write(&writer, &change).await, Ok(Answered::Absent));
    let mut left = target.members(&staff).await;
    left.sort();
    let mut expected = others[..2].to_vec();
    expected.sort();
    assert_eq!(left, expected);
    assert!(target.members(&admins).await.is_empty());
    let (_, user) = target
        .ask(Method::GET, &format!("/Users/{ada}"), None)
        .await;
    assert_eq!(user["active"], false);
    assert_eq!(user["externalId"], "E-connector-ada@acme");

    // When it is deleted, then the server has no such user any more.
    let delete = Change {
        operation: Operation::Delete,
        entitlement: None,
        ..change
    };
    assert_eq!(crm.write(&writer, &delete).await, Ok(Answered::Accepted));
    let (status, _) = target
        .ask(Method::GET, &format!("/Users/{ada}"), None)
        .await;
    assert_eq!(status, 404);
    let reading = crm.read(&verifier, &id).await.expect("reads");
    assert_eq!(reading.account, None);
    assert_eq!(crm.write(&writer, &delete).await, Ok(Answered::Absent));
    for other in others {
        target
            .ask(Method::DELETE, &format!("/Users/{other}"), None)
            .await;
    }
}

#[tokio::test]
async fn a_token_that_the_server_does_not_know_is_an_auth_failure() {
    let target = Target::new();
    let crm = connector(&target.base);
    let mut stranger = credential(CredentialRole::Writer, "CLAWBACK_TEST_SCIM_WRITER_TOKEN");
    stranger.secret = "not-a-token".to_owned().into();
    let failure = crm.try_credential(&stranger).await.expect_err("refused");
    assert_eq!(failure.class, FailureClass::AuthFailure);
}
