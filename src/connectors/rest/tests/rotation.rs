//! The rotation of an OAuth client's secret by declared requests, two of them active meanwhile.
//!
//! Owns the clients' secrets at the target. That an old one is dead is shown by the token endpoint:
//! a token that it got before is still good, and must not count.

use std::collections::BTreeMap;
use std::sync::Mutex;

use secrecy::ExposeSecret;

use super::oauth::{Issuer, OAUTH, shape};
use super::target::Asked;
use super::*;
use crate::connectors::Credential;
use crate::connectors::rehearsal::credential;

const ROTATION: &str = r#"
[rest.rotation]
create_path = "/clients/{client_id}/secrets"
create_body = { note = "{label}" }
create_ref = "/id"
create_value = "/client_secret"
list_path = "/clients/{client_id}/secrets"
list_items = "/secrets"
list_ref = "/id"
list_label = "/note"
disable_path = "/clients/{client_id}/secrets/{ref}/deactivate"
delete_method = "POST"
delete_path = "/clients/{client_id}/secrets/remove"
delete_body = { ids = ["{ref}"] }
"#;

/// The clients' secrets by id: label, value, active.
type Secrets = BTreeMap<String, (String, String, bool)>;

fn clients(secrets: &mut Secrets, issuer: &mut Issuer, asked: &Asked) -> (u16, Value) {
    let path = asked
        .path
        .trim_start_matches("/api/clients/client-writer/secrets");
    let answer = match (asked.method.as_str(), path) {
        ("POST", "") if secrets.len() >= 2 => (409, json!({"error": "two at most"})),
        ("POST", "") => {
            let value = format!("fresh-{}", secrets.len());
            let label = asked.body["note"].as_str().expect("a label").to_owned();
            secrets.insert("id-2".into(), (label, value.clone(), true));
            (201, json!({"id": "id-2", "client_secret": value}))
        }
        ("GET", "") => {
            let shown = secrets
                .iter()
                .map(|(id, one)| json!({"id": id, "note": one.0}));
            (200, json!({ "secrets": shown.collect::<Vec<_>>() }))
        }
        ("POST", "/remove") => {
            let id = asked.body["ids"][0].as_str().expect("an id").to_owned();
            match secrets.get(&id).map(|one| one.2) {
                Some(true) => (409, json!({"error": "deactivate it first"})),
                Some(false) => {
                    secrets.remove(&id);
                    (204, json!({"raw": ""}))
                }
                None => (404, json!({})),
            }
        }
        ("POST", other) => {
            let id = other
                .trim_start_matches('/')
                .trim_end_matches("/deactivate");
            match secrets.get_mut(id).filter(|one| one.2) {
                Some(one) => {
                    one.2 = false;
                    (200, json!({}))
                }
                None => (400, json!({"error": "not active"})),
            }
        }
        other => panic!("{other:?}"),
    };
    issuer.secrets.retain(|(id, _)| id != "client-writer");
    let good = secrets.values().filter(|one| one.2);
    let good = good.map(|one| ("client-writer".to_owned(), one.1.clone()));
    issuer.secrets.extend(good);
    answer
}

/// A target with one secret of the writer's client.
async fn rotating_target() -> Target {
    let issuer = Issuer::shared();
    issuer
        .lock()
        .expect("not poisoned")
        .secrets
        .push(("client-rotator".into(), "r0tate".into()));
    let served = Arc::clone(&issuer);
    let old = ("first".to_owned(), "s3cret".to_owned(), true);
    let secrets = Mutex::new(Secrets::from([("id-1".to_owned(), old)]));
    let script = move |asked: &Asked| {
        let mut issuer = served.lock().expect("not poisoned");
        if asked.path == "/oauth/token" {
            return issuer.token(asked);
        }
        if issuer.api(asked).0 == 401 || !asked.path.contains("/clients/") {
            return issuer.api(asked);
        }
        clients(
            &mut secrets.lock().expect("not poisoned"),
            &mut issuer,
            asked,
        )
    };
    let text = format!("{}{ROTATION}", shape(OAUTH));
    let adds = |manifest: &mut Manifest| {
        let writer = manifest.credentials.get_mut(&CredentialRole::Writer);
        writer.expect("a writer").rotation = Some(crate::domain::rotation::Strategy::Add);
    };
    Target::with(&text, adds, script).await
}

#[tokio::test]
async fn d2_a_clients_secret_is_made_beside_the_old_one_tried_and_the_old_one_retired() {
    let target = rotating_target().await;
    let rotator = credential(CredentialRole::Rotator, Some("client-rotator"), "r0tate");
    let rotating = target.gate.call(&rotator);
    let order = MintOrder {
        role: CredentialRole::Writer,
        label: "clawback-9".into(),
        username: None,
        chosen: None,
        expires: None,
    };
    let minted = target.connector.mint(&rotating, &order).await;
    let minted = minted.expect("minted");
    assert_eq!(minted.remote_ref.as_deref(), Some("id-2"));
    assert_eq!(minted.secret.expose_secret(), "fresh-1");
    let known = target
        .connector
        .minted(&rotating, CredentialRole::Writer)
        .await;
    let labels = known.expect("listed").into_iter().map(|one| one.label);
    assert_eq!(labels.collect::<Vec<_>>(), ["first", "clawback-9"]);
    // Both are active: the overlap, in which nobody loses access.
    let fresh = Credential {
        secret: minted.secret,
        version: 2,
        ..target.writer.clone()
    };
    for usable in [&fresh, &target.writer] {
        let call = target.gate.call(usable);
        assert_eq!(target.connector.try_credential(&call).await, Ok(()));
    }
    // Once more after a crash in between: what is retired stays retired.
    for _ in 0..2 {
        let retired = target
            .connector
            .retire(&rotating, CredentialRole::Writer, "id-1")
            .await;
        assert_eq!(retired, Ok(()));
    }
    let call = target.gate.call(&target.writer);
    let dead = target.connector.try_credential(&call).await;
    let dead = dead.expect_err("its token is still good, and the secret is not");
    assert_eq!(
        (dead.class, dead.code.as_str()),
        (FailureClass::AuthFailure, "CB-HTTP-8")
    );
    let call = target.gate.call(&fresh);
    assert_eq!(target.connector.try_credential(&call).await, Ok(()));
}

#[test]
fn h3_every_fault_of_sign_in_and_rotation_is_told() {
    let faulty = OAUTH
        .replace("{origin}", "http://idp.acme.example")
        .replace(
            "scope = \"users\"",
            "client_auth = \"jwt\"\nscop = \"users\"",
        );
    let rotation = ROTATION
        .replace("/{ref}/deactivate", "/deactivate")
        .replace("{ ids = [\"{ref}\"] }", "{ ids = [] }");
    let text = format!("{}{rotation}", shape(&faulty));
    let told = load("https://crm.acme.example", &text)
        .expect_err("faults")
        .to_string();
    for part in [
        "the credential would be sent in clear",
        "`client_auth` is `jwt`",
        "unknown key `rest.oauth.scop`",
        "the request of `disable_path` does not name `{ref}`",
        "the request of `delete_path` does not name `{ref}`",
    ] {
        assert!(told.contains(part), "{part} is not in:\n{told}");
    }
    let unused = shape("[rest.oauth]\ntoken_url = \"{origin}/oauth/token\"\n");
    let told = load("https://crm.acme.example", &unused).expect_err("unused");
    assert!(
        told.to_string().contains("without `auth = \"oauth\"`"),
        "{told}"
    );
}
