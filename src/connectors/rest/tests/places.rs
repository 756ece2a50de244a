//! The rotation of an OAuth client's secret where secrets have no ids: each stands at its place.
//!
//! Owns the two places of a target that pushes the secret of the first on to the second, and takes away
//! only what stands at the second. What it was asked is read from its notes.

use std::sync::Mutex;

use secrecy::ExposeSecret;

use super::oauth::{Issuer, OAUTH, shape};
use super::target::Asked;
use super::*;
use crate::connectors::rehearsal::credential;
use crate::domain::rotation::Strategy;

const PLACES: &str = r#"
[rest.rotation]
objects = { writer = "o-7", verifier = "o-8" }
create_path = "/clients/{object}/secret"
create_value = "/value"
[[rest.rotation.place]]
path = "/clients/{object}/secret"
value = "/value"
[[rest.rotation.place]]
path = "/clients/{object}/secret/older"
value = "/value"
delete_path = "/clients/{object}/secret/older"
"#;

/// The newest secret first.
type Standing = Arc<Mutex<Vec<String>>>;

fn client(standing: &mut Vec<String>, asked: &Asked) -> (u16, Value) {
    let at = |index: usize| match standing.get(index) {
        Some(value) => (200, json!({"type": "secret", "value": value})),
        None => (404, json!({"error": "none there"})),
    };
    match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/api/clients/o-7/secret") => at(0),
        ("GET", "/api/clients/o-7/secret/older") => at(1),
        ("POST", "/api/clients/o-7/secret") => {
            standing.insert(0, format!("fresh-{}", standing.len()));
            standing.truncate(2);
            (200, json!({"value": standing[0]}))
        }
        ("DELETE", "/api/clients/o-7/secret/older") => {
            standing.truncate(1);
            (204, json!({"raw": ""}))
        }
        other => panic!("{other:?}"),
    }
}

async fn target(first: &[&str]) -> (Target, Standing) {
    let issuer = Issuer::shared();
    let rotator = ("client-rotator".into(), "r0tate".into());
    issuer.lock().expect("not poisoned").secrets.push(rotator);
    let first = first.iter().map(|one| (*one).to_owned()).collect();
    let standing: Standing = Arc::new(Mutex::new(first));
    let served = Arc::clone(&standing);
    let script = move |asked: &Asked| {
        let mut issuer = issuer.lock().expect("not poisoned");
        if asked.path == "/oauth/token" {
            return issuer.token(asked);
        }
        client(&mut served.lock().expect("not poisoned"), asked)
    };
    let adds = |manifest: &mut Manifest| {
        let writer = manifest.credentials.get_mut(&CredentialRole::Writer);
        writer.expect("a writer").rotation = Some(Strategy::Add);
    };
    let text = format!("{}{PLACES}", shape(OAUTH));
    (Target::with(&text, adds, script).await, standing)
}

fn order() -> MintOrder {
    MintOrder {
        role: CredentialRole::Writer,
        label: "clawback-9".into(),
        username: None,
        chosen: None,
        expires: None,
    }
}

fn deletions(target: &Target) -> usize {
    let seen = target.seen.lock().expect("not poisoned");
    seen.iter().filter(|one| one.0 == "DELETE").count()
}

#[tokio::test]
async fn d2_a_secret_without_an_id_is_known_by_its_value_and_only_the_old_one_is_taken_away() {
    let (target, standing) = target(&["s3cret"]).await;
    let rotator = credential(CredentialRole::Rotator, Some("client-rotator"), "r0tate");
    let call = target.gate.call(&rotator);
    let (connector, writer) = (&target.connector, CredentialRole::Writer);
    let first = connector.minted(&call, writer).await.expect("listed");
    assert!(first.len() == 1 && first[0].fixed && first[0].is_of(&target.writer));
    let minted = connector.mint(&call, &order()).await.expect("minted");
    assert_eq!(minted.secret.expose_secret(), "fresh-1");
    let known = connector.minted(&call, writer).await.expect("listed");
    let new = minted.remote_ref.expect("a digest");
    let found: Vec<_> = known
        .iter()
        .map(|one| (&one.remote_ref, one.fixed))
        .collect();
    let old = &first[0].remote_ref;
    assert_eq!(found, [(&new, true), (old, false)]);
    assert!(!format!("{known:?}").contains("s3cret"), "{known:?}");
    // No third one, which would push the old one out; nothing was sent.
    let full = connector.mint(&call, &order()).await.expect_err("no room");
    let told = (full.class, full.code.as_str());
    assert_eq!(told, (FailureClass::Unsupported, "CB-HTTP-10"));
    // Neither the newest, nor whatever stands where an unknown one once stood.
    let newest = connector.retire(&call, writer, &new).await;
    assert_eq!(newest.expect_err("it stays").code, "CB-HTTP-11");
    let gone = connector.retire(&call, writer, "sha256:00").await;
    assert_eq!(gone, Ok(()));
    assert_eq!(deletions(&target), 0);
    for _ in 0..2 {
        assert_eq!(connector.retire(&call, writer, old).await, Ok(()));
    }
    assert_eq!(deletions(&target), 1, "and not what came to stand there");
    assert_eq!(*standing.lock().expect("not poisoned"), ["fresh-1"]);
    // A client that shows no secret at all is not the one that is meant.
    standing.lock().expect("not poisoned").clear();
    let none = connector.minted(&call, writer).await.expect_err("none");
    assert_eq!(
        (none.class, none.code.as_str()),
        (FailureClass::Drifted, "CB-HTTP-7")
    );
}

#[test]
fn h3_every_fault_of_places_is_told() {
    let told = |rotation: &str, edit: fn(&mut Manifest)| {
        let clock: Arc<dyn Clock> = Moved::new();
        let mut manifest = super::target::approving();
        edit(&mut manifest);
        let text = format!("{}{rotation}", shape(OAUTH));
        let loaded = super::target::connector(&manifest, "https://crm.acme.example", &text, &clock);
        loaded.expect_err("faults").to_string()
    };
    let adds = |manifest: &mut Manifest| {
        for role in [CredentialRole::Writer, CredentialRole::Verifier] {
            let declared = manifest.credentials.get_mut(&role);
            declared.expect("declared").rotation = Some(Strategy::Add);
        }
    };
    let chooses = |manifest: &mut Manifest| {
        let writer = manifest.credentials.get_mut(&CredentialRole::Writer);
        writer.expect("a writer").rotation = Some(Strategy::Choose);
    };
    let (one, _) = PLACES.rsplit_once("[[rest.rotation.place]]").expect("two");
    let one = one
        .replace(", verifier = \"o-8\"", ", owner = \"o-8\"")
        .replace(
            "[[rest",
            "delete_path = \"/x/{ref}\"\nlist_ref = \"/id\"\n[[rest",
        )
        .replace("value = \"/value\"\n", "value = \"value\"\nvalues = 1\n");
    let all = told(&one, adds);
    for part in [
        "`delete_path` beside places",
        "`list_ref` beside places",
        "one place has no room",
        "no place has a `delete_path`",
        "unknown key `rest.rotation.place[0].values`",
        "`value` is `value`",
        "`{object}` is not known for the verifier",
        "unknown key `rest.rotation.objects.owner`",
    ] {
        assert!(all.contains(part), "{part} is not in:\n{all}");
    }
    let all = told(PLACES, chooses);
    assert!(all.contains("use `rotation = \"add\"`"), "{all}");
}
