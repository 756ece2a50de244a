//! A realm at Keycloak, a real OAuth server, and what the page's manifest does there.
//!
//! Owns the realm: a policy by which clients' secrets rotate, Clawback's clients, people in a group and a portal
//! that they sign in by. What was taken away is asked past the connector. Rotations by the same manifest
//! are in `oauth_secrets`.

use std::sync::Arc;

use clawback::connectors::{Answered, Change, Credential, Guarded, Registry};
use clawback::domain::access::{Account, AccountState, Operation};
use clawback::domain::id::ConnectorName;
use clawback::domain::probe::ProbeFinding;
use clawback::domain::time::{Clock, Timestamp};
use clawback::domain::verdict::CredentialRole;
use reqwest::Method;
use serde_json::{Value, json};

use crate::parts::Service;
use crate::probes::{Bench, LDAP};

/// The clients of Clawback's roles, and what each may do.
pub const CLIENTS: [(&str, &str); 3] = [
    ("writer", "manage-users"),
    ("verifier", "view-users"),
    ("rotator", "manage-clients"),
];

/// Everybody in the realm; each has a password made of the name, and is in the group `staff`.
const PEOPLE: [&str; 2] = ["ada", "canary"];

/// The secret of the client by which people sign in.
const PORTAL: &str = "the-portals-secret";

/// In the server's first realm, only for the test's own requests.
const ADMIN: &str = "/admin/realms/acme";

/// A realm of a Keycloak of its own.
pub struct Realm {
    pub service: Service,
    http: reqwest::Client,
    token: String,
    /// The administration's id of the verifier's client.
    verifier: String,
    writer: String,
}

pub fn first(role: &str) -> String {
    format!("the-first-of-the-{role}")
}

impl Realm {
    pub async fn build(name: &str) -> Self {
        let mut realm = Self {
            service: Service::up("keycloak", name, &[]),
            http: reqwest::Client::new(),
            token: String::new(),
            verifier: String::new(),
            writer: String::new(),
        };
        realm.sign_in().await;
        let long = json!({ "accessTokenLifespan": 86_400 });
        realm
            .admin(Method::PUT, "/admin/realms/master", &long)
            .await;
        realm.sign_in().await;
        let new = json!({ "realm": "acme", "enabled": true });
        realm.admin(Method::POST, "/admin/realms", &new).await;
        let staff = json!({ "name": "staff" });
        realm
            .admin(Method::POST, &format!("{ADMIN}/groups"), &staff)
            .await;
        let path = format!("{ADMIN}/users/profile");
        let mut profile = realm.admin(Method::GET, &path, &Value::Null).await;
        profile["unmanagedAttributePolicy"] = json!("ADMIN_EDIT");
        realm.admin(Method::PUT, &path, &profile).await;
        for (number, login) in PEOPLE.into_iter().enumerate() {
            let person = json!({
                "username": login, "enabled": true, "email": format!("{login}@acme.example"),
                "firstName": login, "lastName": "Acme", "groups": ["staff"],
                "attributes": { "employeeNumber": [format!("E{number}")] },
                "credentials": [{ "type": "password", "value": format!("{login}-password") }],
            });
            let users = format!("{ADMIN}/users");
            realm.admin(Method::POST, &users, &person).await;
        }
        let portal = json!({
            "clientId": "portal", "secret": PORTAL, "publicClient": false,
            "directAccessGrantsEnabled": true,
        });
        let clients = format!("{ADMIN}/clients");
        realm.admin(Method::POST, &clients, &portal).await;
        for (role, power) in CLIENTS {
            realm.client(role, power).await;
        }
        realm.verifier = realm.id_of("clawback-verifier").await;
        realm.writer = realm.id_of("clawback-writer").await;
        let policy = json!({"policies": [{
            "name": "rotating", "enabled": true, "profiles": ["rotating"],
            "conditions": [{
                "condition": "client-roles", "configuration": { "roles": ["rotates"] },
            }],
        }]});
        realm.secrets_last(2_592_000, 86_400).await;
        let path = format!("{ADMIN}/client-policies/policies");
        realm.admin(Method::PUT, &path, &policy).await;
        for id in [&realm.verifier, &realm.writer] {
            let path = format!("{ADMIN}/clients/{id}/roles");
            realm
                .admin(Method::POST, &path, &json!({ "name": "rotates" }))
                .await;
        }
        realm
    }

    async fn sign_in(&mut self) {
        let form = [
            ("grant_type", "password"),
            ("client_id", "admin-cli"),
            ("username", self.service.value("ADMIN")),
            ("password", self.service.value("ADMIN_PASSWORD")),
        ];
        let asked = self.http.post(self.service.value("TOKEN_URL")).form(&form);
        let answer = asked.send().await.expect("Keycloak answers");
        let text = answer.text().await.expect("text");
        let told: Value = serde_json::from_str(&text).expect("JSON");
        let token = told["access_token"].as_str().expect("a token");
        token.clone_into(&mut self.token);
    }

    /// A request of the administrator's that is answered well.
    async fn admin(&self, method: Method, path: &str, body: &Value) -> Value {
        let (status, told) = self.ask(method, path, body).await;
        assert!((200..300).contains(&status), "{path}: {status} {told}");
        told
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}{path}", self.service.value("URL"));
        let mut asked = self.http.request(method, url).bearer_auth(&self.token);
        if !body.is_null() {
            asked = asked.header("Content-Type", "application/json");
            asked = asked.body(body.to_string());
        }
        let answer = asked.send().await.expect("Keycloak answers");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("text");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn id_of(&self, client: &str) -> String {
        let path = format!("{ADMIN}/clients?clientId={client}");
        let found = self.admin(Method::GET, &path, &Value::Null).await;
        found[0]["id"].as_str().expect("an id").to_owned()
    }

    /// A client that signs in by its secret, and may do this with the realm.
    async fn client(&self, role: &str, power: &str) {
        let name = format!("clawback-{role}");
        let new = json!({
            "clientId": name, "secret": first(role), "publicClient": false,
            "serviceAccountsEnabled": true, "standardFlowEnabled": false,
        });
        self.admin(Method::POST, &format!("{ADMIN}/clients"), &new)
            .await;
        let (client, owner) = (
            self.id_of(&name).await,
            self.id_of("realm-management").await,
        );
        let path = format!("{ADMIN}/clients/{client}/service-account-user");
        let user = self.admin(Method::GET, &path, &Value::Null).await;
        let path = format!("{ADMIN}/clients/{owner}/roles/{power}");
        let power = self.admin(Method::GET, &path, &Value::Null).await;
        let user = user["id"].as_str().expect("an id");
        let path = format!("{ADMIN}/users/{user}/role-mappings/clients/{owner}");
        self.admin(Method::POST, &path, &json!([power])).await;
    }

    /// How many seconds a secret is accepted that is drawn from now on, and how many the one whose place it takes.
    pub async fn secrets_last(&self, new: u32, old: u32) {
        let profile = json!({"profiles": [{"name": "rotating", "executors": [{
            "executor": "secret-rotation", "configuration": {
                "expiration-period": new, "rotated-expiration-period": old,
                "remaining-rotation-period": old,
            },
        }]}]});
        let path = format!("{ADMIN}/client-policies/profiles");
        self.admin(Method::PUT, &path, &profile).await;
    }

    /// The verifier's secrets as the administration shows them, the newest first.
    pub async fn standing(&self) -> Vec<String> {
        let mut all = Vec::new();
        for place in ["client-secret", "client-secret/rotated"] {
            let path = format!("{ADMIN}/clients/{}/{place}", self.verifier);
            let (status, told) = self.ask(Method::GET, &path, &Value::Null).await;
            match status {
                200 => all.push(told["value"].as_str().expect("a value").to_owned()),
                404 => {}
                other => panic!("{place}: {other} {told}"),
            }
        }
        all
    }

    /// What an administrator does who presses the button.
    pub async fn regenerate(&self) -> String {
        let path = format!("{ADMIN}/clients/{}/client-secret", self.verifier);
        let told = self.admin(Method::POST, &path, &Value::Null).await;
        told["value"].as_str().expect("a value").to_owned()
    }

    /// And who presses the other one.
    pub async fn invalidate_rotated(&self) {
        let path = format!("{ADMIN}/clients/{}/client-secret/rotated", self.verifier);
        self.admin(Method::DELETE, &path, &Value::Null).await;
    }

    /// Whether the token endpoint gives the verifier a token for this secret.
    pub async fn accepts(&self, secret: &str) -> bool {
        let form = [("grant_type", "client_credentials")];
        let (status, told) = self.token(("clawback-verifier", secret), &form).await;
        assert!(matches!(status, 200 | 401), "{status} {told}");
        status == 200 && told["access_token"].is_string()
    }

    async fn token(&self, client: (&str, &str), form: &[(&str, &str)]) -> (u16, Value) {
        let url = self.service.value("URL");
        let url = format!("{url}/realms/acme/protocol/openid-connect/token");
        let asked = self.http.post(url).basic_auth(client.0, Some(client.1));
        let answer = asked.form(form).send().await.expect("Keycloak answers");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("text");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// What a person gets who signs in by the portal: an access token and a refresh token.
    async fn signs_in(&self, who: &str) -> (u16, [String; 2]) {
        let password = format!("{who}-password");
        let form = [
            ("grant_type", "password"),
            ("username", who),
            ("password", &password),
        ];
        let (status, told) = self.token(("portal", PORTAL), &form).await;
        let part = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        (status, [part("access_token"), part("refresh_token")])
    }

    /// The page's manifest with what an engineer puts in, at this address.
    pub fn manifest(&self, url: &str) -> String {
        let page = include_str!("../../docs/connectors/keycloak.md");
        let text = page.split("```toml\n").nth(1).expect("a manifest");
        let text = text.split("```").next().expect("it ends");
        let id = |last| format!("5b1c4f6e-0d0f-4f0c-9d0e-7a3a4b1c000{last}");
        let mut text = text.to_owned();
        for (from, to) in [
            ("https://sso.acme.example", url),
            (&id(1), &self.writer),
            (&id(2), &self.verifier),
            ("overlap_seconds = 300", "overlap_seconds = 1"),
            (
                "[expect]",
                "[limits]\nrequests_per_second = 10000\ntimeout_seconds = 60\n[expect]",
            ),
        ] {
            assert!(text.contains(from), "{from} is on the page");
            text = text.replace(from, to);
        }
        text
    }
}

#[derive(Debug)]
struct Standing;

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("a time")
    }
}

fn credential(role: CredentialRole) -> Credential {
    Credential {
        role,
        version: 1,
        remote_ref: None,
        username: Some(format!("clawback-{}", role.as_str())),
        secret: first(role.as_str()).into(),
    }
}

/// The portal's question about a person's token (RFC 7662).
fn asking(realm: &Realm) -> Bench {
    let probe = format!(
        "[[probe]]\nname = \"token\"\nkind = \"introspection\"\nurl = \"{}\"\n\
         path = \"/realms/acme/protocol/openid-connect/token/introspect\"\ntries = \"kept\"\n\
         kept = {{ ada = \"local:x\" }}\ncontrol = {{ secret = \"local:target/canary-token\" }}",
        realm.service.value("URL")
    );
    let ldap = LDAP.replace("{url}", "ldap://127.0.0.1:1");
    Bench::new(&ldap, &probe, "portal", PORTAL)
}

/// Every token is answered like this, beside the canary's, which lives.
async fn all_are(finding: ProbeFinding, probes: &Bench, tokens: &[String], canary: &str) {
    for token in tokens {
        let tried = probes.tried("ada", "ada", Some(token), Some(canary)).await;
        assert_eq!(tried.finding, finding, "{tried:?}");
    }
}

/// The person among the others, as the verifier reads her.
async fn ada_among_others(people: &Guarded, verifier: &Credential) -> Account {
    let listing = people.list(verifier).await.expect("lists");
    assert_eq!(listing.completeness.gap(), None, "{}", listing.method);
    let mut logins: Vec<_> = listing.accounts.iter().map(|one| &*one.login).collect();
    logins.sort_unstable();
    assert_eq!(logins, PEOPLE);
    let ada = listing.accounts.iter().find(|one| one.login == "ada");
    let ada = ada.expect("listed");
    assert_eq!(ada.attributes["employeeNumber"], "E0");
    let reading = people.read(verifier, &ada.id).await.expect("reads");
    assert_eq!(reading.completeness.gap(), None, "{}", reading.method);
    let account = reading.account.expect("there");
    assert_eq!(account.state, AccountState::Enabled);
    assert_eq!(account.entitlements.len(), 1, "{account:?}");
    assert_eq!(account.entitlements[0].name, "/staff");
    account
}

#[tokio::test]
async fn e2_a_person_whom_the_page_takes_out_of_keycloak_is_out_with_every_token() {
    let realm = Realm::build("keycloak-people").await;
    let text = realm.manifest(realm.service.value("URL"));
    let clock: Arc<dyn Clock> = Arc::new(Standing);
    let registry = Registry::load(&[("keycloak.toml".to_owned(), text)], &clock);
    let registry = registry.unwrap_or_else(|problems| panic!("{problems}"));
    let people = registry.get(&ConnectorName::from("keycloak"));
    let people = people.expect("loaded");
    let writer = credential(CredentialRole::Writer);
    let verifier = credential(CredentialRole::Verifier);

    // Given a person who has signed in.
    let probes = asking(&realm);
    let (_, tokens) = realm.signs_in("ada").await;
    let (_, [canary, _]) = realm.signs_in("canary").await;
    all_are(ProbeFinding::LetIn, &probes, &tokens, &canary).await;
    let account = ada_among_others(&people, &verifier).await;
    let id = account.id;

    // When her sessions are ended, both tokens are dead, and the refresh token buys no new one.
    let mut change = Change {
        operation: Operation::EndSessions,
        account: id.clone(),
        login: "ada".to_owned(),
        entitlement: None,
    };
    assert_eq!(people.write(&writer, &change).await, Ok(Answered::Accepted));
    all_are(ProbeFinding::Refused, &probes, &tokens, &canary).await;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &*tokens[1]),
    ];
    let (status, told) = realm.token(("portal", PORTAL), &form).await;
    let told = told["error"].as_str();
    assert_eq!((status, told), (400, Some("invalid_grant")));

    // When she is disabled, she can't sign in again.
    change.operation = Operation::Disable;
    assert_eq!(people.write(&writer, &change).await, Ok(Answered::Accepted));
    assert_eq!(people.write(&writer, &change).await, Ok(Answered::Absent));
    assert_eq!(realm.signs_in("ada").await.0, 400);
    change.operation = Operation::RevokeEntitlement;
    change.entitlement = Some(account.entitlements[0].clone());
    assert_eq!(people.write(&writer, &change).await, Ok(Answered::Accepted));
    let reading = people.read(&verifier, &id).await.expect("reads");
    let left = reading.account.expect("there");
    assert_eq!(left.state, AccountState::Disabled);
    assert!(left.entitlements.is_empty(), "{left:?}");
    assert_eq!(left.attributes, account.attributes, "and nothing else");

    // When she is deleted, the realm has her no more, and the others are as before.
    change.operation = Operation::Delete;
    change.entitlement = None;
    assert_eq!(people.write(&writer, &change).await, Ok(Answered::Accepted));
    assert_eq!(people.write(&writer, &change).await, Ok(Answered::Absent));
    let path = format!("{ADMIN}/users/{}", id.as_str());
    assert_eq!(realm.ask(Method::GET, &path, &Value::Null).await.0, 404);
    assert_eq!(realm.signs_in("canary").await.0, 200);
}
