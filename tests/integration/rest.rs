//! The `rest` connector against Canaille, an OAuth server with a JSON API that nobody here wrote.
//!
//! Owns users and a group of its own names; the server is shared. Everything is said in the
//! manifest: sign-in by client credentials, pages by the number of the first item, versions by
//! ETag, members that groups name by login. The outcome is looked up past the connector.

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

const MANIFEST: &str = r#"
name = "people"
kind = "rest"
purpose = "Sign-in for everything"
owner = "iam@acme.example"
deputy = "platform@acme.example"
review_by = "2099-03-31"
after_removal = "account_gone"
operations = ["list", "read", "disable", "revoke_entitlement", "delete"]
writes = ["schemas", "Operations", "*"]
[[correlation]]
identifier = "email"
attribute = "email"
decides = false
[[correlation]]
identifier = "employee_number"
attribute = "employeeNumber"
decides = true
[credentials.writer]
secret = "local:people/writer"
username = "writer"
[credentials.verifier]
secret = "local:people/verifier"
username = "verifier"
[limits]
requests_per_second = 1000
timeout_seconds = 60
[expect]
fields = ["userName", "active"]
[fallback]
steps = ["Delete the person by hand"]

[rest]
base_url = "{base}"
auth = "oauth"
error = "$.detail"
[rest.oauth]
token_url = "{token_url}"
scope = "profile"
client_auth = "client_secret_basic"
[rest.account]
id = "$.id"
login = "$.userName"
display_name = "$.name.formatted"
state = "$.active"
version = "etag"
[rest.account.states]
enabled = ["true"]
disabled = ["false"]
[rest.account.attributes]
email = "$.emails[0].value"
employeeNumber = "$['urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'].employeeNumber"
[rest.list]
path = "/Users"
items = "$.Resources"
total = "$.totalResults"
paging = "offset"
offset_parameter = "startIndex"
first_offset = 1
[rest.read]
path = "/Users/{account.id}"
[[rest.entitlements]]
kind = "group"
path = "/Groups"
items = "$.Resources"
total = "$.totalResults"
id = "$.id"
name = "$.displayName"
paging = "offset"
offset_parameter = "startIndex"
first_offset = 1
[rest.entitlements.members]
items = "$.members"
omitted_when_empty = true
id = "$.value"
by = "login"
[rest.disable]
method = "PATCH"
path = "/Users/{account.id}"
if_match = true
body = { schemas = ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], Operations = [{ op = "replace", path = "active", value = false }] }
success = { "$.active" = false }
[rest.revoke_entitlement]
method = "PATCH"
path = "/Groups/{entitlement.id}"
body = { schemas = ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], Operations = [{ op = "remove", path = "members[value eq \"{account.login}\"]" }] }
[rest.delete]
method = "DELETE"
path = "/Users/{account.id}"
if_match = true
"#;

fn connector(edit: impl Fn(String) -> String) -> Arc<Guarded> {
    let manifest = MANIFEST
        .replace("{base}", &part("CLAWBACK_TEST_CANAILLE"))
        .replace("{token_url}", &part("CLAWBACK_TEST_CANAILLE_TOKEN_URL"));
    let clock: Arc<dyn Clock> = Arc::new(Standing);
    let registry = Registry::load(&[("people.toml".to_owned(), edit(manifest))], &clock);
    let registry = registry.map_err(|problems| problems.to_string());
    let name = ConnectorName::from("people");
    registry.expect("valid").get(&name).expect("loaded")
}

fn credential(role: CredentialRole, username: &str) -> Credential {
    let variable = format!("CLAWBACK_TEST_CANAILLE_{}_SECRET", username.to_uppercase());
    Credential {
        role,
        version: 1,
        remote_ref: None,
        username: Some(username.to_owned()),
        secret: part(&variable).into(),
    }
}

/// The server itself, past the connector.
struct Target {
    http: reqwest::Client,
    token: String,
}

impl Target {
    async fn new() -> Self {
        let http = reqwest::Client::new();
        let secret = part("CLAWBACK_TEST_CANAILLE_WRITER_SECRET");
        let asked = http
            .post(part("CLAWBACK_TEST_CANAILLE_TOKEN_URL"))
            .basic_auth("writer", Some(secret))
            .form(&[("grant_type", "client_credentials"), ("scope", "profile")]);
        let answer = asked.send().await.expect("the server answers");
        let text = answer.text().await.expect("whole");
        let body: Value = serde_json::from_str(&text).expect("a token");
        let token = body["access_token"].as_str().expect("a token").to_owned();
        Self { http, token }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}{path}", part("CLAWBACK_TEST_CANAILLE"));
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json");
            request = request.body(body.to_string());
        }
        let answer = request.send().await.expect("the server answers");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("the server answers whole");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn status(&self, method: Method, place: &str, id: &str) -> u16 {
        self.ask(method, &format!("{place}/{id}"), None).await.0
    }

    async fn user(&self, login: &str) -> String {
        let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", enterprise],
            "userName": login, "active": true,
            "name": {"familyName": login, "formatted": login},
            "emails": [{"value": format!("{login}@acme.example")}],
            enterprise: {"employeeNumber": format!("E-{login}")},
        });
        let (status, created) = self.ask(Method::POST, "/Users", Some(body)).await;
        assert_eq!(status, 201, "{created}");
        created["id"].as_str().expect("an id").to_owned()
    }

    async fn group(&self, name: &str, login: &str) -> String {
        let reference = format!("{}/Users/{login}", part("CLAWBACK_TEST_CANAILLE"));
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
            "displayName": name, "members": [{"value": login, "$ref": reference}],
        });
        let (status, created) = self.ask(Method::POST, "/Groups", Some(body)).await;
        assert_eq!(status, 201, "{created}");
        created["id"].as_str().expect("an id").to_owned()
    }
}

#[tokio::test]
async fn d4_a_person_of_a_real_oauth_protected_application_is_disabled_and_deleted() {
    let target = Target::new().await;
    let people = connector(|manifest| manifest);
    let writer = credential(CredentialRole::Writer, "writer");
    let verifier = credential(CredentialRole::Verifier, "verifier");
    assert_eq!(people.try_credential(&writer).await, Ok(()));

    // Given a person among others, in a group that names her by login.
    let ada = target.user("rest-ada").await;
    let bob = target.user("rest-bob").await;
    let staff = target.group("rest-staff", "rest-ada").await;
    // A server that shows no member of any group may be hiding them: one is left when she is gone.
    let crew = target.group("rest-crew", "rest-bob").await;
    let listing = people.list(&verifier).await.expect("lists");
    assert_eq!(listing.completeness.gap(), None, "{}", listing.method);
    let shown = listing.accounts.iter().find(|one| one.id.as_str() == ada);
    let shown = shown.expect("listed");
    assert_eq!(shown.attributes["employeeNumber"], "E-rest-ada");
    let id: AccountId = shown.id.clone();
    let reading = people.read(&verifier, &id).await.expect("reads");
    assert_eq!(reading.completeness.gap(), None, "{}", reading.method);
    let account = reading.account.expect("there");
    assert_eq!(account.state, AccountState::Enabled);
    let groups: Vec<_> = account.entitlements.iter().collect();
    assert_eq!(groups.len(), 1, "{}", reading.method);
    assert_eq!(
        (groups[0].id.as_str(), groups[0].name.as_str()),
        (staff.as_str(), "rest-staff")
    );

    // When she is disabled, then the server says so, and a second time there is nothing to do.
    let mut change = Change {
        operation: Operation::Disable,
        account: id.clone(),
        login: "rest-ada".to_owned(),
        entitlement: None,
    };
    assert_eq!(people.write(&writer, &change).await, Ok(Answered::Accepted));
    let (_, user) = target
        .ask(Method::GET, &format!("/Users/{ada}"), None)
        .await;
    assert_eq!(user["active"], false);
    assert_eq!(people.write(&writer, &change).await, Ok(Answered::Absent));

    // What the server fails to do is a failure, and a read still shows it.
    change.operation = Operation::RevokeEntitlement;
    change.entitlement = Some(groups[0].clone());
    let failure = people.write(&writer, &change).await.expect_err("it fails");
    assert_eq!(failure.class, FailureClass::WriteFailure, "{failure}");
    let reading = people.read(&verifier, &id).await.expect("reads");
    let account = reading.account.expect("there");
    assert_eq!(account.state, AccountState::Disabled);
    assert_eq!(account.entitlements.len(), 1);

    // When she is deleted, then the server has her no more, and the others are as before.
    let delete = Change {
        operation: Operation::Delete,
        entitlement: None,
        ..change
    };
    assert_eq!(people.write(&writer, &delete).await, Ok(Answered::Accepted));
    assert_eq!(target.status(Method::GET, "/Users", &ada).await, 404);
    // Groups name their members by login: without it nothing tells that none is left.
    for (login, gap) in [
        (None, Some("not all pages were read")),
        (Some("rest-ada"), None),
    ] {
        let last = login.map(|login| Account::left_behind(&id, Some(login)));
        let reading = people
            .read_known(&verifier, &id, last.as_ref())
            .await
            .expect("reads");
        assert_eq!((reading.account, reading.completeness.gap()), (None, gap));
    }
    assert_eq!(people.write(&writer, &delete).await, Ok(Answered::Absent));
    assert_eq!(target.status(Method::DELETE, "/Users", &bob).await, 204);
    target.status(Method::DELETE, "/Groups", &staff).await;
    target.status(Method::DELETE, "/Groups", &crew).await;
}

#[tokio::test]
async fn a_version_that_is_not_the_current_one_is_refused_by_a_real_server() {
    let target = Target::new().await;
    // Sent as a tag of its own making, which the server cannot know.
    let people = connector(|manifest| {
        manifest.replace("version = \"etag\"", "version = \"$.meta.lastModified\"")
    });
    let writer = credential(CredentialRole::Writer, "writer");
    let cyd = target.user("rest-cyd").await;
    let change = Change {
        operation: Operation::Disable,
        account: cyd.as_str().into(),
        login: "rest-cyd".to_owned(),
        entitlement: None,
    };
    let failure = people.write(&writer, &change).await.expect_err("stale");
    assert_eq!(failure.class, FailureClass::StaleData, "{failure}");
    let (_, user) = target
        .ask(Method::GET, &format!("/Users/{cyd}"), None)
        .await;
    assert_eq!(user["active"], true);
    target
        .ask(Method::DELETE, &format!("/Users/{cyd}"), None)
        .await;
}

#[tokio::test]
async fn a_client_that_the_server_does_not_accept_is_an_auth_failure() {
    let people = connector(|manifest| manifest);
    let mut stranger = credential(CredentialRole::Verifier, "verifier");
    stranger.secret = "not-a-secret".to_owned().into();
    let failure = people.try_credential(&stranger).await.expect_err("refused");
    assert_eq!(failure.class, FailureClass::AuthFailure);
    assert_eq!(failure.code, "CB-HTTP-8");
    // This server takes the secret in a header and, for this grant, in no other way.
    let posting = connector(|manifest| manifest.replace("secret_basic", "secret_post"));
    let verifier = credential(CredentialRole::Verifier, "verifier");
    let refused = posting.try_credential(&verifier).await;
    assert_eq!(
        refused.expect_err("refused").class,
        FailureClass::AuthFailure
    );
    assert_eq!(people.try_credential(&verifier).await, Ok(()));
}
