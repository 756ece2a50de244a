//! D2: the secrets of OAuth clients, two of them active meanwhile, through a whole rotation.
//!
//! Owns the manifests for Microsoft Graph's and Okta's interfaces, and a client at Canaille, a real OAuth
//! server. Canaille keeps one secret for a client and has no interface to replace it (RFC 7592 lets nobody
//! choose one), so there a person replaces it and the machine sees the old one refused. Keycloak, which
//! keeps two, has a file of its own. What gets a token is asked at the token endpoint.

mod keycloak;
mod provider;

use std::fmt::Write as _;
use std::process::Command;

use clawback::domain::rotation::Strategy;
use clawback::domain::time::Timestamp;
use clawback::domain::verdict::CredentialRole;
use clawback::domain::workflow::RotationStep;
use clawback::secrets::{NewSecret, Owner, Slot};
use secrecy::SecretString;

use self::provider::Provider;
use crate::parts::{Service, part};
use crate::rotation::{Place, head};

const API: &str = r#"
[rest]
base_url = "{url}"
auth = "oauth"
[rest.oauth]
token_url = "{url}/oauth2/v2.0/token"
client_auth = "{client_auth}"
[rest.account]
id = "$.id"
login = "$.login"
[rest.list]
path = "/api/users"
items = "$.users"
paging = "none"
[rest.read]
path = "/api/users/{account.id}"
"#;

const GRAPH: &str = r#"
[rest.rotation]
create_path = "/applications/{client_id}/addPassword"
create_body = { passwordCredential = { displayName = "{label}" } }
create_ref = "/keyId"
create_value = "/secretText"
create_expires = "/endDateTime"
list_path = "/applications/{client_id}"
list_items = "/passwordCredentials"
list_ref = "/keyId"
list_label = "/displayName"
delete_method = "POST"
delete_path = "/applications/{client_id}/removePassword"
delete_body = { keyId = "{ref}" }
"#;

const OKTA: &str = r#"
[rest.rotation]
create_path = "/api/v1/apps/{client_id}/credentials/secrets"
create_ref = "/id"
create_value = "/client_secret"
list_path = "/api/v1/apps/{client_id}/credentials/secrets"
list_ref = "/id"
list_label = "/label"
disable_path = "/api/v1/apps/{client_id}/credentials/secrets/{ref}/lifecycle/deactivate"
delete_path = "/api/v1/apps/{client_id}/credentials/secrets/{ref}"
"#;

fn owner() -> Owner {
    Owner {
        reference: "local:own/verifier".to_owned(),
        connector: "own".into(),
        role: CredentialRole::Verifier,
    }
}

/// Three rotations in a row; each step is made twice.
async fn three_rotations(own: &str, client_auth: &str) -> Place {
    let provider =
        Provider::start(&[("app", "the-first-secret"), ("rotator", "the-rotator")]).await;
    let mut text = head("rest", "rotator", "app", "rotation = \"add\"");
    let api = API.replace("{client_auth}", client_auth);
    let _ = write!(text, "{}{own}", api.replace("{url}", &provider.url));
    let values = ["the-first-secret", "the-rotator"];
    let place = Place::new(text, Strategy::Add, values).await;
    let mut old = values[0].to_owned();
    for round in 0..3 {
        let (_, new) = place.rotate(&format!("r{round}")).await;
        assert_ne!(new, old);
        assert_eq!(
            provider.live("app"),
            std::slice::from_ref(&new),
            "round {round}: one, and no orphan"
        );
        place.refuses(&old).await;
        old = new;
    }
    assert_eq!(
        provider.truth.lock().expect("sound").most,
        2,
        "both at once"
    );
    place
}

#[tokio::test]
async fn d2_a_clients_secret_is_rotated_as_microsoft_graph_describes_it() {
    let place = three_rotations(GRAPH, "client_secret_post").await;
    // The end that the target told is known before it comes.
    let kept = place.vault.reveal(&owner(), Slot::Current);
    let kept = kept.expect("readable").expect("there").record;
    let end: Timestamp = "2027-05-01T00:00:00Z".parse().expect("an instant");
    assert_eq!(kept.expires, Some(end));
}

#[tokio::test]
async fn d2_a_clients_secret_is_rotated_as_okta_describes_it() {
    let place = three_rotations(OKTA, "client_secret_basic").await;
    let kept = place.vault.reveal(&owner(), Slot::Current);
    let kept = kept.expect("readable").expect("there").record;
    assert_eq!(kept.expires, None, "it tells no end");
}

const CANAILLE: &str = r#"
[rest]
base_url = "{base}"
auth = "oauth"
[rest.oauth]
token_url = "{token_url}"
scope = "profile"
[rest.account]
id = "$.id"
login = "$.userName"
[rest.list]
path = "/Users"
items = "$.Resources"
total = "$.totalResults"
paging = "offset"
offset_parameter = "startIndex"
first_offset = 1
[rest.read]
path = "/Users/{account.id}"
"#;

/// What an administrator of the server does.
fn administer(service: &Service, arguments: &[&str]) {
    let tools = std::path::PathBuf::from(part("CLAWBACK_TEST_TOOLS"));
    let log = std::path::PathBuf::from(service.value("LOG"));
    let home = log.with_extension("");
    let done = Command::new(tools.join("canaille/bin/canaille"))
        .args(arguments)
        .current_dir(&home)
        .env("CONFIG", home.join("config.toml"))
        .output()
        .expect("it runs");
    let words = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{arguments:?}: {words}");
}

const REPLACED: &str = "one-that-was-replaced";

/// The new one at the server, and in the vault.
async fn replace_by_hand(service: &Service, place: &Place) {
    let change = ["set", "client", "verifier", "--client-secret", REPLACED];
    administer(service, &change);
    let new = NewSecret {
        value: SecretString::from(REPLACED),
        username: None,
        remote_ref: None,
        expires: None,
    };
    let (manifest, role) = (place.connector.manifest(), CredentialRole::Verifier);
    let put = place
        .secrets
        .put(manifest, role, new, Timestamp::UNIX_EPOCH);
    put.await.expect("put");
}

#[tokio::test]
async fn d2_a_clients_secret_that_a_person_replaced_at_canaille_is_seen_refused() {
    let service = Service::up("canaille", "oauth-secrets", &[]);
    let mut text = head("rest", "writer", "verifier", "rotation = \"delegated\"");
    let api = CANAILLE.replace("{base}", service.value("URL"));
    text += &api.replace("{token_url}", service.value("TOKEN_URL"));
    let values = [
        service.value("VERIFIER_SECRET"),
        service.value("WRITER_SECRET"),
    ];
    let place = Place::new(text, Strategy::Delegated, values).await;
    let mut body = place.body("r1");
    for step in RotationStep::ALL {
        if step == RotationStep::Create {
            replace_by_hand(&service, &place).await;
        }
        let (connector, now) = (&place.connector, Timestamp::UNIX_EPOCH);
        let done = place.secrets.perform(step, &body, connector, now).await;
        body.facts = done.unwrap_or_else(|failure| panic!("{step:?}: {failure}"));
    }
    assert!(body.facts.previous_rejected && !body.facts.needless);
    assert_eq!(place.now().1, REPLACED);
    place.refuses(values[0]).await;
}
