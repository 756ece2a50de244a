//! What a look can and cannot prove.
//!
//! Owns a target whose answers each test sets, and counts its listings.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use secrecy::SecretString;

use super::probing::is_digest;
use super::{Trial, Verification};
use crate::connectors::fixture::Moved;
use crate::connectors::{
    Answered, Call, Change, Connector, Credential, Guarded, Knock, KnownSecret, Listing, Manifest,
    MintOrder, Minted, Reading, Registry, SignIn, unsupported,
};
use crate::document::Document;
use crate::domain::access::{Account, AccountState, Entitlement, EntitlementKind};
use crate::domain::id::{AccountId, ConnectorName};
use crate::domain::outcome::Failure;
use crate::domain::probe::{ProbeFinding, Probed};
use crate::domain::time::{Clock, Timestamp, after};
use crate::domain::verdict::{
    Completeness, CredentialRole, Expectation, Finding, Observation, Sighting, judge,
};

#[derive(Debug, Default)]
struct Fake {
    listed: Mutex<Vec<Account>>,
    /// What a read by id shows.
    readable: Mutex<Vec<Account>>,
    cut: Mutex<Option<Completeness>>,
    listings: AtomicU64,
    /// How long a listing takes, by this clock.
    slow: Mutex<Option<(Arc<Moved>, u64)>>,
    /// What the control's sign-in comes to, and how often accounts were tried.
    turns_all_away: std::sync::atomic::AtomicBool,
    tried: AtomicU64,
}

#[async_trait]
impl Connector for Arc<Fake> {
    async fn list(&self, _: &Call<'_>) -> Result<Listing, Failure> {
        self.listings.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        if let Some((clock, seconds)) = &*self.slow.lock().expect("not poisoned") {
            clock.advance(*seconds);
        }
        let cut = *self.cut.lock().expect("not poisoned");
        Ok(Listing {
            accounts: self.listed.lock().expect("not poisoned").clone(),
            completeness: cut.unwrap_or(Completeness::WHOLE),
            data_age_seconds: 0,
            method: "list".to_owned(),
        })
    }

    async fn read(&self, _: &Call<'_>, id: &AccountId) -> Result<Reading, Failure> {
        let readable = self.readable.lock().expect("not poisoned");
        Ok(Reading {
            account: readable.iter().find(|one| one.id == *id).cloned(),
            completeness: Completeness::WHOLE,
            data_age_seconds: 0,
            method: "read".to_owned(),
        })
    }

    async fn write(&self, _: &Call<'_>, _: &Change) -> Result<Answered, Failure> {
        Err(unsupported("write"))
    }

    async fn try_credential(&self, _: &Call<'_>) -> Result<(), Failure> {
        Ok(())
    }

    async fn sign_in(&self, _: &Call<'_>, order: &SignIn) -> Result<Knock, Failure> {
        let control = order.account.is_none();
        self.tried.fetch_add(u64::from(!control), Ordering::SeqCst);
        let entered = control && !self.turns_all_away.load(Ordering::SeqCst);
        Ok(Knock {
            entered,
            code: if entered { "0" } else { "locked" }.to_owned(),
            words: "answered".to_owned(),
            sessions: None,
        })
    }

    async fn mint(&self, _: &Call<'_>, _: &MintOrder) -> Result<Minted, Failure> {
        Err(unsupported("mint"))
    }

    async fn minted(&self, _: &Call<'_>, _: CredentialRole) -> Result<Vec<KnownSecret>, Failure> {
        Err(unsupported("list secrets"))
    }

    async fn retire(&self, _: &Call<'_>, _: CredentialRole, _: &str) -> Result<(), Failure> {
        Err(unsupported("retire"))
    }
}

const MANIFEST: &str = r#"
name = "crm"
kind = "ldap"
purpose = "p"
owner = "a@acme.example"
deputy = "b@acme.example"
review_by = "2099-12-31"
after_removal = "account_gone"
operations = ["list", "read"]
writes = []
[without]
[[correlation]]
identifier = "id"
attribute = "id"
decides = true
[credentials.writer]
secret = "local:crm/writer"
[credentials.verifier]
secret = "local:crm/verifier"
[expect]
accounts_min = 2
accounts_max = 10
[fallback]
deadline_hours = 1
steps = ["by hand"]
[[probe]]
name = "bind"
kind = "ldap_bind"
tries = "wrong_password"
sign_in_name = "uid={login}"
refused = ["locked"]
[[probe]]
name = "key"
kind = "http"
tries = "listed"
url = "https://crm.acme.example"
path = "/me"
shown_as = "bearer"
refused = { status = ["401"] }
control = { login = "canary", secret = "local:crm/probe/canary" }
"#;

fn account(id: &str) -> Account {
    Account {
        id: AccountId(id.to_owned()),
        login: format!("login-{id}"),
        display_name: None,
        state: AccountState::Enabled,
        attributes: BTreeMap::new(),
        entitlements: Vec::new(),
        sessions: None,
        further: BTreeMap::new(),
        privileged: false,
    }
}

fn verifier() -> Credential {
    Credential {
        role: CredentialRole::Verifier,
        version: 1,
        remote_ref: None,
        username: Some("verifier".to_owned()),
        secret: SecretString::from("s"),
    }
}

struct Scene {
    fake: Arc<Fake>,
    registry: Registry,
    verification: Verification,
    clock: Arc<Moved>,
}

impl Scene {
    fn new(listed: &[&str]) -> Self {
        Self::by("id", listed)
    }

    /// Where this attribute decides whose an account is.
    fn by(attribute: &str, listed: &[&str]) -> Self {
        let fake = Arc::new(Fake::default());
        *fake.listed.lock().expect("not poisoned") = listed.iter().map(|id| account(id)).collect();
        let decides = format!("attribute = \"{attribute}\"");
        let text = MANIFEST.replacen("attribute = \"id\"", &decides, 1);
        let document = Document::parse("crm.toml", &text).expect("syntax");
        let manifest = Manifest::read(&document.root());
        assert!(document.take_problems().is_empty());
        let moved = Moved::new();
        let clock: Arc<dyn Clock> = moved.clone();
        let part: Arc<dyn Connector> = Arc::new(fake.clone());
        Self {
            fake,
            registry: Registry::assemble(vec![(manifest, part)], &clock),
            verification: Verification::new(clock),
            clock: moved,
        }
    }

    fn connector(&self) -> Arc<Guarded> {
        let name = ConnectorName::from("crm");
        self.registry.get(&name).expect("there")
    }

    async fn look(&self, role: CredentialRole) -> Observation {
        self.look_after(role, Timestamp::MIN).await
    }

    async fn look_after(&self, role: CredentialRole, not_before: Timestamp) -> Observation {
        let connector = self.connector();
        let credential = Credential {
            role,
            version: 1,
            remote_ref: None,
            username: None,
            secret: SecretString::from("s"),
        };
        let own = account("gone");
        let looked = self
            .verification
            .observe(&connector, &credential, &own, not_before);
        looked.await.expect("readable")
    }

    /// The one probe, of an account that is gone.
    async fn probed(&self) -> Probed {
        let connector = self.connector();
        let verifier = verifier();
        let trial = Trial {
            probe: &connector.manifest().probes[0],
            account: &account("gone"),
            keys: Vec::new(),
            kept: None,
            control: None,
        };
        let mut tries = self.verification.probe(&connector, &verifier, &trial).await;
        assert_eq!(tries.len(), 1);
        tries.remove(0)
    }

    async fn finding(&self) -> Finding {
        let observation = self.look(CredentialRole::Verifier).await;
        judge(&observation, Expectation::AccountGone, Timestamp::MIN, 60)
    }
}

#[tokio::test]
async fn e1_absence_needs_a_whole_listing_besides_the_not_found() {
    let scene = Scene::new(&["a", "b"]);
    assert_eq!(scene.finding().await, Finding::Absent);
}

#[tokio::test]
async fn e1_a_not_found_that_hides_the_account_is_seen_through() {
    let scene = Scene::new(&["a", "gone"]);
    assert!(matches!(scene.finding().await, Finding::Present(_)));
}

#[tokio::test]
async fn an_account_made_anew_under_the_old_login_is_still_there() {
    let scene = Scene::new(&["a", "b"]);
    let mut again = account("new-id");
    again.login = "LOGIN-GONE".to_owned();
    scene.fake.listed.lock().expect("not poisoned").push(again);
    let observation = scene.look(CredentialRole::Verifier).await;
    assert!(matches!(observation.sighting, Sighting::There(_)));
}

/// An account that cannot sign in, under a login that may not be its own.
fn disabled(id: &str, login: &str) -> Account {
    Account {
        login: login.to_owned(),
        state: AccountState::Disabled,
        ..account(id)
    }
}

fn powerless(observation: &Observation) -> Finding {
    let expected = Expectation::AccountPowerless;
    judge(observation, expected, Timestamp::MIN, 60)
}

#[tokio::test]
async fn e1_a_row_of_the_listing_proves_nothing_of_an_account_that_its_own_read_hides() {
    let scene = Scene::new(&["a", "b"]);
    let row = disabled("gone", "login-gone");
    scene.fake.listed.lock().expect("not poisoned").push(row);
    let looked = scene.look(CredentialRole::Verifier).await;
    // The listing shows no keys and roles: that it shows none says nothing.
    let finding = powerless(&looked);
    assert!(matches!(finding, Finding::Inconclusive(_)), "{finding:?}");
}

#[tokio::test]
async fn e1_no_disabled_namesake_stands_for_the_account() {
    let scene = Scene::new(&["a"]);
    let rows = [disabled("old", "login-gone"), account("gone")];
    scene.fake.listed.lock().expect("not poisoned").extend(rows);
    let looked = scene.look(CredentialRole::Verifier).await;
    let finding = powerless(&looked);
    assert!(matches!(finding, Finding::Present(_)), "{finding:?}");
}

#[tokio::test]
async fn e1_an_account_under_the_old_login_is_judged_by_its_own_read() {
    let scene = Scene::new(&["a", "b"]);
    let row = disabled("new", "Login-Gone");
    let (fake, key) = (&scene.fake, "k1");
    fake.listed.lock().expect("not poisoned").push(row.clone());
    let looked = scene.look(CredentialRole::Verifier).await;
    let finding = powerless(&looked);
    assert!(matches!(finding, Finding::Inconclusive(_)), "{finding:?}");
    fake.readable
        .lock()
        .expect("not poisoned")
        .push(row.clone());
    let looked = scene.look(CredentialRole::Verifier).await;
    assert_eq!(powerless(&looked), Finding::Absent);
    // A second one, of which only its own read shows the key.
    let mut second = disabled("newer", "login-gone");
    fake.listed
        .lock()
        .expect("not poisoned")
        .push(second.clone());
    second.entitlements.push(Entitlement {
        id: key.into(),
        kind: EntitlementKind::Credential,
        name: key.to_owned(),
        inherited_from: None,
    });
    fake.readable.lock().expect("not poisoned").push(second);
    scene.clock.advance(6);
    let looked = scene.look(CredentialRole::Verifier).await;
    let finding = powerless(&looked);
    assert!(matches!(finding, Finding::Present(_)), "{finding:?}");
}

#[tokio::test]
async fn e1_a_namesake_who_is_surely_somebody_else_is_no_return() {
    let with = |id: &str, login: &str, number: Option<&str>| {
        let mut row = account(id);
        row.login = login.to_owned();
        let number = number.map(|number| ("number".to_owned(), number.to_owned()));
        row.attributes.extend(number);
        row
    };
    let own = with("gone", "login-gross", Some("E1"));
    for (row, is_theirs) in [
        (with("new", "Login-Gross", Some("E2")), false),
        (with("new", "login-gross", Some("e1")), true),
        (with("new", "login-gross", None), true),
        (with("new", "login-groß", None), false),
        (with("new", "login-groß", Some("E1")), true),
    ] {
        let scene = Scene::by("number", &["a", "b"]);
        let fake = &scene.fake;
        fake.listed.lock().expect("not poisoned").push(row.clone());
        fake.readable
            .lock()
            .expect("not poisoned")
            .push(row.clone());
        let connector = scene.connector();
        let looked = scene
            .verification
            .observe(&connector, &verifier(), &own, Timestamp::MIN)
            .await
            .expect("readable");
        let there = matches!(looked.sighting, Sighting::There(_));
        assert_eq!(there, is_theirs, "{row:?}");
        // An auditor is told why it was left out.
        assert_eq!(
            looked.method.contains("new"),
            !is_theirs,
            "{}",
            looked.method
        );
    }
}

#[tokio::test]
async fn c6_a_count_out_of_its_band_proves_nothing() {
    for listed in [&["a"] as &[&str], &[]] {
        let scene = Scene::new(listed);
        assert!(matches!(scene.finding().await, Finding::Inconclusive(_)));
    }
}

#[tokio::test]
async fn e1_an_incomplete_listing_proves_nothing() {
    let scene = Scene::new(&["a", "b"]);
    *scene.fake.cut.lock().expect("not poisoned") = Some(Completeness {
        pages_closed: false,
        ..Completeness::WHOLE
    });
    assert!(matches!(scene.finding().await, Finding::Inconclusive(_)));
}

#[tokio::test]
async fn e1_the_writers_own_eyes_prove_nothing() {
    let scene = Scene::new(&["a", "b"]);
    let observation = scene.look(CredentialRole::Writer).await;
    let finding = judge(&observation, Expectation::AccountGone, Timestamp::MIN, 60);
    assert!(matches!(finding, Finding::Inconclusive(_)));
}

#[tokio::test]
async fn e2_nothing_is_tried_where_the_control_is_turned_away() {
    let scene = Scene::new(&["a", "b"]);
    let tried = scene.probed().await;
    assert_eq!((tried.finding, tried.spent), (ProbeFinding::Refused, true));
    scene.fake.turns_all_away.store(true, Ordering::SeqCst);
    let tried = scene.probed().await;
    // It could not tell, and the one try that is allowed was not spent on it.
    let untold = ProbeFinding::CouldNotTell;
    assert_eq!((tried.finding, tried.spent), (untold, false), "{tried:?}");
    assert_eq!(scene.fake.tried.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn e2_a_key_that_is_known_by_a_digest_is_not_tried() {
    for key in ["sha256:00", "certificate:00", "sshPublicKey:sha256:00"] {
        assert!(is_digest(key), "{key}");
    }
    assert!(!is_digest("AKIAIOSFODNN7EXAMPLE"));
    let scene = Scene::new(&["a", "b"]);
    let connector = scene.connector();
    let verifier = verifier();
    let trial = Trial {
        probe: &connector.manifest().probes[1],
        account: &account("gone"),
        keys: vec!["sha256:00".to_owned()],
        kept: None,
        control: None,
    };
    let tries = scene.verification.probe(&connector, &verifier, &trial);
    let tries = tries.await;
    let found: Vec<_> = tries.iter().map(|one| (one.finding, one.spent)).collect();
    assert_eq!(found, [(ProbeFinding::CouldNotTell, false)]);
}

#[tokio::test]
async fn observers_of_one_target_share_a_listing() {
    let scene = Scene::new(&["a", "b"]);
    let looks = (0..8).map(|_| scene.look(CredentialRole::Verifier));
    futures_util::future::join_all(looks).await;
    assert_eq!(scene.fake.listings.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn e1_a_long_listing_is_shared_by_all_who_waited_for_it_and_by_none_who_wrote_meanwhile() {
    let scene = Scene::new(&["a", "b"]);
    *scene.fake.slow.lock().expect("not poisoned") = Some((scene.clock.clone(), 20));
    let began = scene.clock.now();
    scene.clock.advance(1);
    let looks = (0..8).map(|_| scene.look_after(CredentialRole::Verifier, began));
    futures_util::future::join_all(looks).await;
    assert_eq!(scene.fake.listings.load(Ordering::SeqCst), 1);
    let meanwhile = after(began, 10);
    let looks = (0..8).map(|_| scene.look_after(CredentialRole::Verifier, meanwhile));
    for seen in futures_util::future::join_all(looks).await {
        assert!(seen.at >= meanwhile, "{seen:?}");
    }
    assert_eq!(scene.fake.listings.load(Ordering::SeqCst), 2);
    scene.clock.advance(6);
    scene.look(CredentialRole::Verifier).await;
    assert_eq!(scene.fake.listings.load(Ordering::SeqCst), 3, "too old");
}
