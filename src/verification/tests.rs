//! What a look can and cannot prove.
//!
//! Owns a target whose answers each test sets, and counts its listings.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use secrecy::SecretString;

use super::{Trial, Verification};
use crate::connectors::fixture::Moved;
use crate::connectors::{
    Answered, Call, Change, Connector, Credential, Knock, KnownSecret, Listing, Manifest,
    MintOrder, Minted, Reading, Registry, SignIn, unsupported,
};
use crate::document::Document;
use crate::domain::access::{Account, AccountState};
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

    async fn read(&self, _: &Call<'_>, _: &AccountId) -> Result<Reading, Failure> {
        Ok(Reading {
            account: None,
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
        privileged: false,
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
        let fake = Arc::new(Fake::default());
        *fake.listed.lock().expect("not poisoned") = listed.iter().map(|id| account(id)).collect();
        let document = Document::parse("crm.toml", MANIFEST).expect("syntax");
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

    async fn look(&self, role: CredentialRole) -> Observation {
        self.look_after(role, Timestamp::MIN).await
    }

    async fn look_after(&self, role: CredentialRole, not_before: Timestamp) -> Observation {
        let connector = self
            .registry
            .get(&ConnectorName::from("crm"))
            .expect("there");
        let credential = Credential {
            role,
            version: 1,
            remote_ref: None,
            username: None,
            secret: SecretString::from("s"),
        };
        let id = AccountId::from("gone");
        let looked =
            self.verification
                .observe(&connector, &credential, &id, "login-gone", not_before);
        looked.await.expect("readable")
    }

    /// The one probe, of an account that is gone.
    async fn probed(&self) -> Probed {
        let connector = self
            .registry
            .get(&ConnectorName::from("crm"))
            .expect("there");
        let verifier = Credential {
            role: CredentialRole::Verifier,
            version: 1,
            remote_ref: None,
            username: Some("verifier".to_owned()),
            secret: SecretString::from("s"),
        };
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
