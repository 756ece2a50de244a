//! D2, B2: the secrets of OAuth clients at Keycloak, a real server that keeps two for each client.
//!
//! Owns a realm with a policy by which secrets rotate, its clients, and the page's manifest for them. Which
//! secrets are accepted is asked at the token endpoint, and what stands where of the administration, both
//! past Clawback and past the gate.

use clawback::domain::outcome::{Failure, FailureClass};
use clawback::domain::rotation::{RotationBody, RotationFacts, Strategy, Trigger};
use clawback::domain::time::Timestamp;
use clawback::domain::verdict::CredentialRole;
use clawback::domain::workflow::RotationStep;
use clawback::secrets::{NewSecret, Slot};
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::house::{House, Plan};
use crate::parts::{Service, until};
use crate::rotation::Place;
use crate::rotation_kills::gate::{Gate, Point};
use crate::rotation_kills::{Bench, Break};

/// The clients of Clawback's roles, and what each may do.
const CLIENTS: [(&str, &str); 3] = [
    ("writer", "manage-users"),
    ("verifier", "view-users"),
    ("rotator", "manage-clients"),
];

/// In the server's first realm, only for the test's own requests.
const ADMIN: &str = "/admin/realms/acme";

/// A realm of a Keycloak of its own.
struct Realm {
    service: Service,
    http: reqwest::Client,
    token: String,
    /// The administration's id of the verifier's client.
    verifier: String,
    writer: String,
}

fn first(role: &str) -> String {
    format!("the-first-of-the-{role}")
}

impl Realm {
    async fn build(name: &str) -> Self {
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
        let path = format!("{ADMIN}/users/profile");
        let mut profile = realm.admin(Method::GET, &path, &Value::Null).await;
        profile["unmanagedAttributePolicy"] = json!("ADMIN_EDIT");
        realm.admin(Method::PUT, &path, &profile).await;
        let ada = json!({
            "username": "ada", "enabled": true, "attributes": { "employeeNumber": ["E1"] },
        });
        realm
            .admin(Method::POST, &format!("{ADMIN}/users"), &ada)
            .await;
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
        realm.old_ones_last(86_400).await;
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

    /// How long a secret is accepted after another has taken its place, from the next one on.
    async fn old_ones_last(&self, seconds: u32) {
        let profile = json!({"profiles": [{"name": "rotating", "executors": [{
            "executor": "secret-rotation", "configuration": {
                "expiration-period": 2_592_000, "rotated-expiration-period": seconds,
                "remaining-rotation-period": 86_400,
            },
        }]}]});
        let path = format!("{ADMIN}/client-policies/profiles");
        self.admin(Method::PUT, &path, &profile).await;
    }

    /// The verifier's secrets as the administration shows them, the newest first.
    async fn standing(&self) -> Vec<String> {
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
    async fn regenerate(&self) -> String {
        let path = format!("{ADMIN}/clients/{}/client-secret", self.verifier);
        let told = self.admin(Method::POST, &path, &Value::Null).await;
        told["value"].as_str().expect("a value").to_owned()
    }

    /// Whether the token endpoint gives the verifier a token for this secret.
    async fn accepts(&self, secret: &str) -> bool {
        let url = self.service.value("URL");
        let url = format!("{url}/realms/acme/protocol/openid-connect/token");
        let asked = self.http.post(url);
        let asked = asked.basic_auth("clawback-verifier", Some(secret));
        let asked = asked.form(&[("grant_type", "client_credentials")]);
        let answer = asked.send().await.expect("Keycloak answers");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("text");
        assert!(matches!(status, 200 | 401), "{status} {text}");
        status == 200 && text.contains("access_token")
    }

    /// The page's manifest with what an engineer puts in, at this address.
    fn manifest(&self, url: &str) -> String {
        let page = include_str!("../../../docs/connectors/keycloak.md");
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

async fn perform(
    place: &Place,
    step: RotationStep,
    body: &RotationBody,
) -> Result<RotationFacts, Failure> {
    let now = Timestamp::UNIX_EPOCH;
    place
        .secrets
        .perform(step, body, &place.connector, now)
        .await
}

/// One rotation, each step made twice; what Keycloak accepts is looked at after each. Returns the new secret.
async fn rotate(realm: &Realm, place: &Place, label: &str, old: &str) -> String {
    let mut body = place.body(label);
    for step in RotationStep::ALL {
        let before = body.clone();
        for _ in 0..2 {
            let done = perform(place, step, &before).await;
            body.facts = done.unwrap_or_else(|failure| panic!("{label}, {step:?}: {failure}"));
        }
        let standing = realm.standing().await;
        let at = format!("{label}, {step:?}");
        match step {
            RotationStep::Prepare => assert_eq!(standing[0], old, "{at}"),
            RotationStep::Create | RotationStep::Test | RotationStep::Promote => {
                assert_eq!(standing.len(), 2, "{at}");
                assert_eq!(standing[1], old, "{at}");
                assert!(realm.accepts(&standing[0]).await, "{at}: the new one");
                assert!(realm.accepts(old).await, "{at}: the old one");
            }
            RotationStep::Retire | RotationStep::ProveRejected => {
                assert_eq!(standing.len(), 1, "{at}");
                assert!(realm.accepts(&standing[0]).await, "{at}: the new one");
                assert!(!realm.accepts(old).await, "{at}: the old one");
            }
        }
    }
    assert!(body.facts.previous_rejected && !body.facts.needless);
    let (_, new) = place.now();
    assert_eq!(realm.standing().await, std::slice::from_ref(&new));
    new
}

#[tokio::test]
async fn d2_a_clients_secret_is_rotated_at_keycloak_and_both_are_accepted_meanwhile() {
    let realm = Realm::build("oauth-secrets-keycloak").await;
    let manifest = realm.manifest(realm.service.value("URL"));
    let manifest = manifest.replace("\"keycloak\"", "\"own\"");
    let manifest = manifest.replace("local:keycloak/", "local:own/");
    let values = [first("verifier"), first("rotator")];
    let values = [values[0].as_str(), values[1].as_str()];
    let place = Place::new(manifest, Strategy::Add, values).await;
    let mut old = values[0].to_owned();
    for round in 0..3 {
        old = rotate(&realm, &place, &format!("r{round}"), &old).await;
        place.refuses(values[0]).await;
    }

    // Somebody draws one by hand. A third would push out the one in use, so none is made.
    realm.old_ones_last(1).await;
    let theirs = realm.regenerate().await;
    let mut body = place.body("full");
    body.facts = perform(&place, RotationStep::Prepare, &body)
        .await
        .expect("done");
    let full = perform(&place, RotationStep::Create, &body).await;
    let full = full.expect_err("no room");
    let told = (full.class, full.code.as_str());
    assert_eq!(told, (FailureClass::Unsupported, "CB-HTTP-10"), "{full}");
    assert_eq!(realm.standing().await, [theirs.clone(), old.clone()]);

    // Put into the vault, it is rotated; the one that has ended meanwhile is still shown, and makes room.
    let new = NewSecret {
        value: SecretString::from(theirs.as_str()),
        username: None,
        remote_ref: None,
        expires: None,
    };
    let (secrets, now) = (&place.secrets, Timestamp::UNIX_EPOCH);
    let put = secrets.put(
        place.connector.manifest(),
        CredentialRole::Verifier,
        new,
        now,
    );
    put.await.expect("put");
    until("the old one has ended", async || !realm.accepts(&old).await).await;
    assert_eq!(realm.standing().await.len(), 2, "it is still shown");
    realm.old_ones_last(86_400).await;
    let last = rotate(&realm, &place, "after", &theirs).await;

    // The connector goes: what it signed in with is refused, though the newest cannot be taken away.
    let mut body = place.body("end");
    body.trigger = Trigger::Retired {
        by: "ann".to_owned(),
    };
    for step in RotationStep::ALL {
        let done = perform(&place, step, &body).await;
        body.facts = done.unwrap_or_else(|failure| panic!("{step:?}: {failure}"));
    }
    assert!(body.facts.previous_rejected && body.facts.seen_accepted);
    assert!(!realm.accepts(&last).await);
    let standing = realm.standing().await;
    assert!(
        standing.len() == 1 && standing[0] != last,
        "nobody keeps it"
    );
}

/// What makes a secret at Keycloak, and what takes one away.
const MADE: (&str, &str) = ("POST /admin/realms/acme/clients/", "HTTP/1");
const TAKEN: (&str, &str) = ("DELETE /admin/realms/acme/clients/", "HTTP/1");

/// Whether both secrets are to be there when a rotation stands here. A line that was cut stands nowhere.
fn both_stand(broken: &Break) -> bool {
    match broken {
        Break::BeforeSettle(state) => ["create", "test", "promote"].contains(state),
        Break::OnTheLine(Point {
            request,
            answer,
            hold,
        }) => *hold && (answer.is_some() == (*request == MADE.0)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_a_worker_killed_anywhere_in_a_rotation_at_keycloak_orphans_no_clients_secret() {
    let realm = Realm::build("rotation-kills-keycloak").await;
    let host = realm.service.value("URL").trim_start_matches("http://");
    let gate = Gate::before(host).await;
    let house = House::build(Plan {
        name: "killclient",
        leavers: 1,
        ..Plan::default()
    })
    .await;
    let text = realm.manifest(&format!("http://{}", gate.address));
    let path = house.folder.path().join("connectors/keycloak.toml");
    std::fs::write(path, text).expect("written");
    for (role, _) in CLIENTS {
        let set = ["secrets", "set", "keycloak", "--role", role];
        let told = house.cli(&set, &first(role));
        assert_eq!(told.code, 0, "{}", told.words);
    }
    let mut bench = Bench::begin(house, gate, ("keycloak", CredentialRole::Verifier)).await;
    let mut old = first("verifier");
    for broken in Break::all(&[MADE, TAKEN]) {
        let stuck = bench.break_off(&broken).await;
        let (_, used) = bench.kept(Slot::Current).expect("there");
        assert!(realm.accepts(&used).await, "{broken:?}: the one in use");
        if both_stand(&broken) {
            let standing = realm.standing().await;
            assert_eq!(standing.len(), 2, "{broken:?}");
            for one in &standing {
                assert!(realm.accepts(one).await, "{broken:?}: both");
            }
        }
        bench.get_over(&broken, stuck).await;
        let (_, new) = bench.kept(Slot::Current).expect("there");
        for slot in [Slot::Pending, Slot::Previous] {
            assert_eq!(bench.kept(slot), None, "{broken:?}: {slot:?} is left");
        }
        assert_ne!(new, old, "{broken:?}");
        let standing = realm.standing().await;
        assert_eq!(standing, [new.as_str()], "{broken:?}: nothing is orphaned");
        assert!(realm.accepts(&new).await, "{broken:?}: the new one");
        assert!(!realm.accepts(&old).await, "{broken:?}: the old one");
        old = new;
    }
}
