//! The real connectors against the simulated estate: what `clawback dev` relies on.
//!
//! Owns one test for each target: list, read, take everything, and what is special about it. What
//! came of it is read from the estate's ground truth, never from the connector.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clawback::app::examine::{Mark, Order, Point, examine};
use clawback::connectors::{Change, Credential, Guarded, MintOrder, Registry};
use clawback::demo::{AccountTruth, Estate, Options, Outage};
use clawback::domain::access::{EntitlementKind, Operation};
use clawback::domain::id::AccountId;
use clawback::domain::outcome::FailureClass;
use clawback::domain::time::{Chance, Clock, Timestamp, after_ms};
use clawback::domain::verdict::CredentialRole;
use secrecy::{ExposeSecret, SecretString};

use crate::parts::part;

/// A hundredth of a second passes with each look, so that the limiter's bucket fills again.
#[derive(Debug, Default)]
struct SteppingClock(AtomicU64);

impl Clock for SteppingClock {
    fn now(&self) -> Timestamp {
        let looks = self.0.fetch_add(1, Ordering::Relaxed);
        after_ms(Timestamp::UNIX_EPOCH, looks * 10)
    }
}

#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Chance for Counter {
    fn fraction(&self) -> f64 {
        0.5
    }

    fn id(&self) -> uuid::Uuid {
        uuid::Uuid::from_u64_pair(7, self.0.fetch_add(1, Ordering::Relaxed))
    }
}

struct Bench {
    estate: Estate,
    registry: Registry,
    _folder: tempfile::TempDir,
}

async fn bench(connectors: &[&str], expired_token: bool, outage: Option<Outage>) -> Bench {
    bench_of(60, connectors, expired_token, outage).await
}

async fn bench_of(
    employees: usize,
    connectors: &[&str],
    expired_token: bool,
    outage: Option<Outage>,
) -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options {
        seed: 1,
        employees,
        folder: folder.path().to_owned(),
        expired_token,
        outage,
    };
    let clock: Arc<dyn Clock> = Arc::new(SteppingClock::default());
    let chance: Arc<dyn Chance> = Arc::new(Counter::default());
    let estate = Estate::start(&options, Arc::clone(&clock), &chance)
        .await
        .expect("the estate starts");
    let mut manifests = estate.manifests();
    manifests.retain(|(file, _)| {
        connectors
            .iter()
            .any(|name| file == &format!("{name}.toml"))
    });
    let registry = Registry::load(&manifests, &clock).unwrap_or_else(|found| panic!("{found}"));
    Bench {
        estate,
        registry,
        _folder: folder,
    }
}

impl Bench {
    fn connector(&self, name: &str) -> Arc<Guarded> {
        self.registry.get(&name.into()).expect("was loaded")
    }

    fn credential(&self, connector: &str, role: CredentialRole) -> Credential {
        let manifest = self.connector(connector).manifest().clone();
        if !manifest.credentials[&role].needs_secret() {
            return no_secret(role);
        }
        let mut secrets = self.estate.secrets().iter();
        let found = secrets.find(|secret| secret.connector == connector && secret.role == role);
        let secret = found.expect("the estate hands it out");
        Credential {
            role,
            version: 1,
            remote_ref: secret.remote_ref.clone(),
            username: None,
            secret: secret.value.clone(),
        }
    }

    async fn truth(&self, connector: &str, account: &AccountId) -> Option<AccountTruth> {
        let truth = self.estate.ground_truth().await.expect("can be read");
        truth.targets[&connector.into()]
            .accounts
            .get(account)
            .cloned()
    }

    /// The first account that fits, by the truth.
    async fn find(&self, connector: &str, fits: impl Fn(&AccountTruth) -> bool) -> AccountId {
        let truth = self.estate.ground_truth().await.expect("can be read");
        let mut accounts = truth.targets[&connector.into()].accounts.iter();
        let found = accounts.find(|(_, account)| fits(account));
        found.expect("the company has one").0.clone()
    }

    /// The connector's listing must be whole and the same as the truth; so must every reading.
    async fn reads_agree_with_the_truth(&self, name: &str) {
        let connector = self.connector(name);
        let verifier = self.credential(name, CredentialRole::Verifier);
        let listing = connector.list(&verifier).await.expect("lists");
        assert_eq!(listing.completeness.gap(), None, "{name}");
        let truth = self.estate.ground_truth().await.expect("can be read");
        let accounts = &truth.targets[&name.into()].accounts;
        assert_eq!(listing.accounts.len(), accounts.len(), "{name}");
        for (id, real) in accounts.iter().take(12) {
            let reading = connector.read(&verifier, id).await.expect("reads");
            let shown = reading.account.expect("is there");
            assert_eq!(shown.login, real.login, "{name}");
            // The group file of the wiki is not its connector's; everywhere else all is shown.
            if name != "wiki" {
                assert_eq!(
                    shown.entitlements.len(),
                    real.entitlements.len(),
                    "{name} {id}"
                );
            }
        }
        let nobody = accounts
            .keys()
            .next()
            .expect("somebody")
            .as_str()
            .replace(|_| true, "0");
        let reading = connector.read(&verifier, &nobody.as_str().into()).await;
        assert!(reading.expect("reads").account.is_none(), "{name}");
    }

    /// The suite of `connectors test` on one account, which is taken apart.
    async fn examined(&self, name: &str, id: &AccountId) -> Vec<Point> {
        let connector = self.connector(name);
        let roles = connector.manifest().credentials.keys();
        let keys = roles.map(|role| (*role, Ok(self.credential(name, *role))));
        let order = Order {
            canary: Some(id.clone()),
            change: true,
            patience: Duration::ZERO,
        };
        examine(&connector, &keys.collect(), &order).await
    }

    /// Everything that the manifest allows, done to one account as read before.
    async fn take_everything(&self, name: &str, id: &AccountId) {
        let connector = self.connector(name);
        let writer = self.credential(name, CredentialRole::Writer);
        let verifier = self.credential(name, CredentialRole::Verifier);
        let reading = connector.read(&verifier, id).await.expect("reads");
        let account = reading.account.expect("is there");
        for operation in [
            Operation::Disable,
            Operation::EndSessions,
            Operation::RevokeCredential,
            Operation::RevokeEntitlement,
            Operation::Delete,
        ] {
            if !connector.manifest().operations.contains(&operation) {
                continue;
            }
            let mut changes = vec![None];
            let credentials = operation == Operation::RevokeCredential;
            if credentials || operation == Operation::RevokeEntitlement {
                let held = account.entitlements.iter();
                let fits = |kind| (kind == EntitlementKind::Credential) == credentials;
                changes = held.filter(|e| fits(e.kind)).cloned().map(Some).collect();
            }
            for entitlement in changes {
                let change = Change {
                    operation,
                    account: id.clone(),
                    login: account.login.clone(),
                    entitlement,
                };
                let answer = connector.write(&writer, &change).await;
                answer.unwrap_or_else(|failure| panic!("{name} {change:?}: {failure}"));
            }
        }
    }
}

#[tokio::test]
async fn every_manifest_of_the_estate_is_accepted() {
    let bench = bench(&["directory", "crm", "payroll", "wiki"], false, None).await;
    assert_eq!(bench.registry.names().count(), 4);
}

#[tokio::test]
async fn the_payroll_is_reached_by_the_sql_connector() {
    let bench = bench(&["payroll"], false, None).await;
    bench.reads_agree_with_the_truth("payroll").await;
    let id = bench
        .find("payroll", |account| account.entitlements.len() > 1)
        .await;
    bench.take_everything("payroll", &id).await;
    let left = bench.truth("payroll", &id).await.expect("the row stays");
    assert!(
        !left.can_sign_in && left.entitlements.is_empty() && left.sessions == 0,
        "{left:?}"
    );
}

#[tokio::test]
async fn a_leaver_is_stopped_at_the_door_of_the_wiki_by_the_file_connector() {
    let bench = bench(&["wiki"], false, None).await;
    bench.reads_agree_with_the_truth("wiki").await;
    let id = bench.find("wiki", |_| true).await;
    let password = bench.estate.wiki_password(id.as_str()).expect("has one");
    let client = reqwest::Client::new();
    let knock = || async {
        let request = client.get(bench.estate.wiki_url());
        let request = request.basic_auth(id.as_str(), Some(&password));
        request.send().await.expect("answers").status().as_u16()
    };
    assert_eq!(knock().await, 200);
    bench.take_everything("wiki", &id).await;
    assert_eq!(knock().await, 401);
    assert_eq!(bench.truth("wiki", &id).await, None);
}

#[tokio::test]
async fn a_wiki_that_is_away_is_unreachable_and_not_empty() {
    let outage = Outage {
        after: Duration::ZERO,
        lasting: Duration::from_secs(3600),
        every: None,
    };
    let bench = bench(&["wiki"], false, Some(outage)).await;
    let verifier = bench.credential("wiki", CredentialRole::Verifier);
    let failure = bench
        .connector("wiki")
        .list(&verifier)
        .await
        .expect_err("is away");
    assert_eq!(failure.class, FailureClass::Unreachable);
}

#[tokio::test]
async fn the_directory_is_reached_by_the_scim_connector() {
    let bench = bench(&["directory"], false, None).await;
    bench.reads_agree_with_the_truth("directory").await;
    let id = bench
        .find("directory", |account| account.entitlements.len() > 2)
        .await;
    let before = bench.estate.before();
    bench.take_everything("directory", &id).await;
    assert_eq!(bench.truth("directory", &id).await, None);
    // The groups lost that one member and no other.
    let after = bench.estate.ground_truth().await.expect("can be read");
    let name = "directory".into();
    for (other, account) in &after.targets[&name].accounts {
        assert_eq!(account, &before.targets[&name].accounts[other]);
    }
}

#[tokio::test]
async fn an_expired_token_of_the_directory_is_replaced_with_the_rotators() {
    let bench = bench(&["directory"], true, None).await;
    rotation_works(&bench, "directory", true).await;
}

#[tokio::test]
async fn the_crm_is_reached_by_the_rest_connector() {
    let bench = bench(&["crm"], false, None).await;
    bench.reads_agree_with_the_truth("crm").await;
    let with_key = |account: &AccountTruth| {
        let mut held = account.entitlements.iter();
        account.sessions > 0 && held.any(|(kind, _)| *kind == EntitlementKind::Credential)
    };
    let id = bench.find("crm", with_key).await;
    bench.take_everything("crm", &id).await;
    let left = bench.truth("crm", &id).await.expect("the account stays");
    assert!(
        !left.can_sign_in && left.entitlements.is_empty() && left.sessions == 0,
        "{left:?}"
    );
    rotation_works(&bench, "crm", false).await;
}

#[tokio::test]
async fn the_crm_says_yes_and_its_reads_say_what_is() {
    let bench = bench(&["crm"], false, None).await;
    let truth = bench.estate.ground_truth().await.expect("can be read");
    for id in truth.targets[&"crm".into()].accounts.keys() {
        bench.take_everything("crm", id).await;
    }
    assert!(bench.estate.lies_told() > 0, "the fault must have fired");
    let connector = bench.connector("crm");
    let verifier = bench.credential("crm", CredentialRole::Verifier);
    let after = bench.estate.ground_truth().await.expect("can be read");
    let mut lied_about = 0;
    for (id, real) in &after.targets[&"crm".into()].accounts {
        let reading = connector.read(&verifier, id).await.expect("reads");
        let shown = reading.account.expect("is there");
        assert_eq!(shown.entitlements.len(), real.entitlements.len());
        lied_about += usize::from(!real.entitlements.is_empty());
    }
    assert!(lied_about > 0, "somebody must still have access");
}

/// The simulated SCIM target is no more lenient than RFC 7643 and 7644, by the judgement of
/// scim2-tester, which nobody here wrote.
#[tokio::test(flavor = "multi_thread")]
async fn c11_the_directory_satisfies_a_scim_tester() {
    // The tester reads one page of a search over everything, so everything has to fit on it.
    let bench = bench_of(5, &["directory"], false, None).await;
    let manifests = bench.estate.manifests();
    let (_, text) = manifests
        .iter()
        .find(|(file, _)| file == "directory.toml")
        .expect("is there");
    let base = text.split("base_url = \"").nth(1).expect("an address");
    let base = base.split('"').next().expect("it ends");
    let token = bench.credential("directory", CredentialRole::Writer).secret;
    let header = format!("Authorization: Bearer {}", token.expose_secret());
    let program = format!("{}/venv/bin/scim2", part("CLAWBACK_TEST_TOOLS"));
    let mut judge = tokio::process::Command::new(&program);
    judge
        .args(["--url", base, "test"])
        .env("SCIM_CLI_HEADERS", header);
    let judged = judge
        .output()
        .await
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let told = String::from_utf8_lossy(&judged.stdout);
    let words = String::from_utf8_lossy(&judged.stderr);
    assert!(judged.status.success(), "{told}\n{words}");
    assert!(told.contains("SUCCESS"), "{told}");
    assert!(!told.contains("ERROR"), "{told}");
}

fn failed(points: &[Point]) -> Vec<&Point> {
    let failed = points.iter().filter(|one| one.mark == Mark::Failed);
    failed.collect()
}

#[tokio::test]
async fn c8_an_honest_target_passes_the_examination() {
    for name in ["directory", "payroll", "wiki"] {
        let bench = bench(&[name], false, None).await;
        let id = bench.find(name, |_| true).await;
        let points = bench.examined(name, &id).await;
        assert!(failed(&points).is_empty(), "{name}: {points:#?}");
        let effects = points.iter().filter(|one| one.point.ends_with("an effect"));
        assert!(effects.count() > 0, "{name}: {points:#?}");
    }
}

#[tokio::test]
async fn c8_a_target_that_says_yes_and_does_nothing_fails_the_examination() {
    let bench = bench(&["crm"], false, None).await;
    let before = bench.estate.ground_truth().await.expect("can be read");
    let (mut honest, mut liars) = (0, 0);
    for id in before.targets[&"crm".into()].accounts.keys() {
        let points = bench.examined("crm", id).await;
        let left = bench.truth("crm", id).await.expect("the account stays");
        let failed = failed(&points);
        let lost_all = !left.can_sign_in && left.entitlements.is_empty() && left.sessions == 0;
        assert_eq!(lost_all, failed.is_empty(), "{left:?} {failed:#?}");
        assert!(failed.iter().all(|one| one.point.ends_with("an effect")));
        if lost_all {
            honest += 1;
        } else {
            liars += 1;
        }
        if honest > 0 && liars > 0 {
            return;
        }
    }
    panic!("{honest} honest answers and {liars} lies");
}

#[tokio::test]
async fn c8_a_dead_credential_fails_the_examination() {
    let bench = bench(&["directory"], true, None).await;
    let id = bench.find("directory", |_| true).await;
    let points = bench.examined("directory", &id).await;
    let failed: Vec<_> = failed(&points).iter().map(|one| &one.point).collect();
    assert!(
        failed.iter().any(|point| *point == "the writer works"),
        "{points:#?}"
    );
}

async fn rotation_works(bench: &Bench, name: &str, expired: bool) {
    let connector = bench.connector(name);
    let rotator = bench.credential(name, CredentialRole::Rotator);
    let old = bench.credential(name, CredentialRole::Writer);
    let tried = connector.try_credential(&old).await;
    assert_eq!(tried.is_err(), expired, "{tried:?}");
    if let Err(failure) = tried {
        assert_eq!(failure.class, FailureClass::AuthFailure);
    }
    let order = MintOrder {
        role: CredentialRole::Writer,
        label: "clawback:rotation-1".to_owned(),
        username: None,
        chosen: None,
        expires: None,
    };
    let minted = connector.mint(&rotator, &order).await.expect("mints");
    let new_ref = minted.remote_ref.clone().expect("the target names it");
    let known = connector
        .minted(&rotator, CredentialRole::Writer)
        .await
        .expect("lists");
    assert!(
        known
            .iter()
            .any(|k| k.remote_ref == new_ref && k.label == order.label)
    );
    let new = with_secret(&old, &new_ref, minted.secret);
    connector
        .try_credential(&new)
        .await
        .expect("the new one works");
    let old_ref = old.remote_ref.as_deref().expect("the target names it");
    let retired = connector
        .retire(&rotator, CredentialRole::Writer, old_ref)
        .await;
    retired.expect("retires");
    let refused = connector.try_credential(&old).await.expect_err("is dead");
    assert_eq!(refused.class, FailureClass::AuthFailure);
    let truth = bench.estate.ground_truth().await.expect("can be read");
    let secrets = truth.targets[&name.into()].secrets.iter();
    let writers: Vec<_> = secrets
        .filter(|s| s.role == CredentialRole::Writer)
        .collect();
    assert!(writers.len() == 1 && writers[0].works && writers[0].used > 0);
}

/// For a file, which asks for none.
fn no_secret(role: CredentialRole) -> Credential {
    Credential {
        role,
        version: 0,
        remote_ref: None,
        username: None,
        secret: SecretString::from(String::new()),
    }
}

fn with_secret(old: &Credential, remote_ref: &str, secret: SecretString) -> Credential {
    Credential {
        version: old.version + 1,
        remote_ref: Some(remote_ref.to_owned()),
        secret,
        ..old.clone()
    }
}
