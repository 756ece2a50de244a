//! Who shares a listing, and who does not.
//!
//! Owns a target whose listings wait until a test lets them end, and counts them.

use std::sync::Mutex as StdMutex;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::*;
use crate::connectors::fixture::{Moved, credential, crm};
use crate::connectors::{
    Answered, BARRED, Call, Change, Connector, KnownSecret, Listing, Mandate, MintOrder, Minted,
    Reading, unsupported,
};
use crate::domain::drill::Pass;
use crate::domain::id::AccountId;
use crate::domain::outcome::FailureClass;
use crate::domain::time::{Clock, after};
use crate::domain::verdict::CredentialRole;

#[derive(Debug)]
struct Waiting {
    listings: AtomicU64,
    /// Listings end while there are permits.
    may_end: Semaphore,
    fails: StdMutex<bool>,
}

#[async_trait]
impl Connector for Arc<Waiting> {
    async fn list(&self, _: &Call<'_>) -> Result<Listing, Failure> {
        self.listings.fetch_add(1, Ordering::SeqCst);
        let permit = self.may_end.acquire().await.expect("never closed");
        permit.forget();
        if *self.fails.lock().expect("not poisoned") {
            let class = FailureClass::Unreachable;
            return Err(Failure::new(class, "CB-TEST", "planted"));
        }
        let one = |id: &str| Account::left_behind(&id.into(), None);
        Ok(Listing {
            accounts: vec![one("a-1"), one("a-2")],
            completeness: Completeness::WHOLE,
            data_age_seconds: 0,
            method: "list".to_owned(),
        })
    }

    async fn read(&self, _: &Call<'_>, _: &AccountId) -> Result<Reading, Failure> {
        Err(unsupported("read"))
    }

    async fn write(&self, _: &Call<'_>, _: &Change) -> Result<Answered, Failure> {
        Err(unsupported("write"))
    }

    async fn try_credential(&self, _: &Call<'_>) -> Result<(), Failure> {
        Ok(())
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

struct Scene {
    target: Arc<Waiting>,
    guard: Guarded,
    clock: Arc<Moved>,
}

impl Scene {
    fn new() -> Self {
        let target = Arc::new(Waiting {
            listings: AtomicU64::new(0),
            may_end: Semaphore::new(0),
            fails: StdMutex::new(false),
        });
        let clock = Moved::new();
        let guard = Guarded::new(crm(), Arc::new(target.clone()), clock.clone());
        Self {
            target,
            guard,
            clock,
        }
    }

    async fn shown(&self, not_before: Timestamp) -> Result<Arc<Shown>, Failure> {
        let verifier = credential(CredentialRole::Verifier, "s");
        self.guard.shown(&verifier, not_before).await
    }

    fn listings(&self) -> u64 {
        self.target.listings.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn i3_everybody_who_waits_for_a_listing_takes_it() {
    let scene = Scene::new();
    let now = scene.clock.now();
    let all = join_all((0..100).map(|_| scene.shown(now)));
    let ends = async {
        tokio::task::yield_now().await;
        scene.target.may_end.add_permits(100);
    };
    let (all, ()) = tokio::join!(all, ends);
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(scene.listings(), 1);
    // Who wants to see what happened after it began lists anew.
    let later = after(now, 1);
    scene.clock.advance(1);
    scene.shown(later).await.expect("listed");
    scene.shown(now).await.expect("the same");
    assert_eq!(scene.listings(), 2);
    scene.clock.advance(6);
    scene.shown(now).await.expect("listed");
    assert_eq!(scene.listings(), 3, "too old");
}

#[tokio::test]
async fn b4_who_waited_for_a_listing_that_failed_does_not_wait_for_another() {
    let scene = Scene::new();
    *scene.target.fails.lock().expect("not poisoned") = true;
    let now = scene.clock.now();
    let all = join_all((0..100).map(|_| scene.shown(now)));
    let ends = async {
        tokio::task::yield_now().await;
        scene.target.may_end.add_permits(1);
    };
    let (all, ()) = tokio::join!(all, ends);
    assert!(all.iter().all(Result::is_err));
    assert_eq!(scene.listings(), 1);
    // The next one tries for itself.
    *scene.target.fails.lock().expect("not poisoned") = false;
    scene.target.may_end.add_permits(1);
    scene.shown(now).await.expect("listed");
    assert_eq!(scene.listings(), 2);
}

#[tokio::test]
async fn b3_a_looker_who_is_gone_leaves_the_listing_to_the_next() {
    let scene = Scene::new();
    let now = scene.clock.now();
    let given_up = Box::pin(scene.shown(now));
    assert!(given_up.now_or_never().is_none());
    scene.target.may_end.add_permits(1);
    scene.shown(now).await.expect("listed");
    assert_eq!(scene.listings(), 2);
}

#[tokio::test]
async fn c8_a_failing_drill_shares_nothing_and_a_bar_binds_for_what_is_shared() {
    let scene = Scene::new();
    let now = scene.clock.now();
    scene.target.may_end.add_permits(9);
    scene.shown(now).await.expect("listed");
    let verifier = credential(CredentialRole::Verifier, "s");
    let failing = scene.guard.rehearsing(Pass::Failing);
    failing
        .shown(&verifier, now)
        .await
        .expect_err("made to fail");
    let well = scene.guard.rehearsing(Pass::Well);
    well.shown(&verifier, now).await.expect("the same");
    scene.shown(now).await.expect("the same");
    assert_eq!(scene.listings(), 1);
    let barred = well.under(Mandate::unapproved());
    let failure = barred.shown(&verifier, now).await.expect_err("barred");
    assert!(BARRED.contains(&failure.code.as_str()), "{failure:?}");
}

#[tokio::test]
async fn i3_a_listing_that_nobody_may_take_is_not_kept() {
    let scene = Scene::new();
    scene.target.may_end.add_permits(9);
    let shown = scene.shown(scene.clock.now()).await.expect("listed");
    scene.guard.forget_old();
    assert_eq!(Arc::strong_count(&shown), 2);
    scene.clock.advance(6);
    scene.guard.forget_old();
    assert_eq!(Arc::strong_count(&shown), 1);
}
