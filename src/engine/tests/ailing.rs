//! B4, C5, E1: a store that fails in one thing, and runs that cannot go on.
//!
//! Owns what must not follow: a search that ends without what it is held against, a survey that is lost,
//! and sound work that waits behind work that can never be done.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::ward::{Ward, manifest};
use crate::domain::id::{ConnectorName, DefinitionDigest, RunId};
use crate::domain::round::discovery_of;
use crate::domain::time::Clock;
use crate::engine::{Pulse, Settings};
use crate::store::CaseFilter;
use crate::store::fixture::Ailing;

async fn ailing() -> (Ward, Ailing) {
    let ailing = Ailing::new().await;
    let parts = (manifest("", false), None);
    let ward = Ward::kept_in(ailing.store.clone(), parts, Settings::default(), None).await;
    (ward, ailing)
}

#[tokio::test]
async fn e1_no_search_is_over_without_the_inventory() {
    // Given an account that only the inventory shows, which cannot be read.
    let (ward, ailing) = ailing().await;
    ward.survey_after(0).await.expect("due");
    ward.target.shown().unlisted = Some("a-1".into());
    ailing.forgets_accounts().await;
    // When its owner leaves, then the search is not over.
    ward.leaver_leaves().await;
    ward.work(600).await;
    let cases = ward.store.cases(&CaseFilter::default()).await;
    let ended: Vec<_> = cases.expect("read").iter().map(|one| one.ended).collect();
    assert_eq!(ended, [None]);
    // And it finds the account when the inventory is there.
    ailing.knows_accounts_again().await;
    ward.work(3600).await;
    assert_eq!(ward.target.shown().accounts.len(), 4);
}

#[tokio::test]
async fn c5_a_survey_is_kept_though_its_listing_is_not() {
    let (ward, ailing) = ailing().await;
    ailing.refuses_listings().await;
    let kept = ward.survey_after(0).await.expect("kept");
    assert_eq!(kept.sample.accounts, Some(5));
    assert_eq!(ward.standing().await.surveyed, Some(kept.sample.at));
    let inventory = ward.store.inventory(&"crm".into()).await.expect("read");
    assert_eq!(inventory, None);
}

#[tokio::test]
async fn b4_runs_that_cannot_go_on_keep_no_other_of_their_target_waiting() {
    // Given more runs than a worker holds of one target, of a workflow that nobody knows, all of them before
    // the one that somebody's departure has begun.
    let ward = Ward::new("", false).await;
    ward.leaver_leaves().await;
    ward.admit().await;
    let cases = ward.store.cases(&CaseFilter::default()).await;
    let case = cases.expect("read").remove(0).row.id;
    let crm = ConnectorName::from("crm");
    let sound = ward.store.run(discovery_of(case, &crm, 0)).await;
    let (sound, _) = sound.expect("read").expect("begun");
    let served = ward.engine.serving().registry.get(&crm).expect("served");
    for number in 0..=served.manifest().limits.concurrency * 2 {
        let mut stuck = sound.clone();
        stuck.id = RunId(uuid::Uuid::from_u64_pair(0xbad, u64::from(number)));
        stuck.definition = DefinitionDigest("of another version".to_owned());
        stuck.priority -= 100;
        let now = ward.clock.now();
        assert!(ward.store.start(&stuck, now).await.expect("started"));
    }
    // When a worker does what is due, then the account goes all the same.
    let (mut life, shutdown) = (JoinSet::new(), CancellationToken::new());
    let engine = ward.engine.clone();
    life.spawn(engine.run(Arc::new(Pulse::default()), shutdown.clone()));
    let story = async {
        while ward.target.shown().accounts.len() == 5 {
            tokio::task::yield_now().await;
        }
        shutdown.cancel();
        life.join_next().await.expect("one").expect("no panic")
    };
    let ended = tokio::time::timeout(Duration::from_secs(60), story).await;
    ended.expect("it does not wait").expect("well");
}
