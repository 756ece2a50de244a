//! D2, B2: the secrets of OAuth clients at Keycloak, a real server that keeps two for each client.
//!
//! Owns whole rotations by the page's manifest, and the points at which workers are killed. Which secrets are
//! accepted is asked at the token endpoint, and what stands where of the administration, both past
//! Clawback and past the gate.

use clawback::domain::outcome::{Failure, FailureClass};
use clawback::domain::rotation::{RotationBody, RotationFacts, Strategy, Trigger};
use clawback::domain::time::Timestamp;
use clawback::domain::verdict::CredentialRole;
use clawback::domain::workflow::RotationStep;
use clawback::secrets::{NewSecret, Slot};
use secrecy::SecretString;

use crate::house::{House, Plan};
use crate::keycloak::{CLIENTS, Realm, first};
use crate::parts::until;
use crate::rotation::Place;
use crate::rotation_kills::gate::{Gate, Point};
use crate::rotation_kills::{Bench, Break};

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

/// Put into the vault as an operator does it.
async fn by_hand(place: &Place, value: &str) {
    let new = NewSecret {
        value: SecretString::from(value),
        username: None,
        remote_ref: None,
        expires: None,
    };
    let manifest = place.connector.manifest();
    let (role, now) = (CredentialRole::Verifier, Timestamp::UNIX_EPOCH);
    let put = place.secrets.put(manifest, role, new, now);
    put.await.expect("put");
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
    realm.secrets_last(86_400, 1).await;
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
    by_hand(&place, &theirs).await;
    until("the old one has ended", async || !realm.accepts(&old).await).await;
    assert_eq!(realm.standing().await.len(), 2, "it is still shown");
    realm.secrets_last(2_592_000, 86_400).await;
    rotate(&realm, &place, "after", &theirs).await;

    // One that has ended comes alive again when another takes its place, and goes like any other.
    realm.secrets_last(2, 1).await;
    let ended = realm.regenerate().await;
    by_hand(&place, &ended).await;
    until("it has ended", async || !realm.accepts(&ended).await).await;
    realm.invalidate_rotated().await;
    realm.secrets_last(2_592_000, 86_400).await;
    let last = rotate(&realm, &place, "ended", &ended).await;

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
        let set = ["secrets", "set", "--as", "ada", "keycloak", "--role", role];
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
