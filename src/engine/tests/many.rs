//! Many leave at once: what that costs a target.
//!
//! Owns the counting of a target's listings, and that none stands for what came after it.

use super::ward::{Ward, numbered};
use crate::domain::access::{Account, AccountState};
use crate::domain::event::Urgency;

fn can_sign_in(account: &Account) -> bool {
    account.state != AccountState::Disabled
}

/// The clock stands still: nothing lies between the event and the first write but the target.
#[tokio::test]
async fn i1_containment_waits_for_nothing_but_the_target() {
    for urgency in [Urgency::Planned, Urgency::ForCause] {
        let ward = Ward::new("", false).await;
        ward.leaves("a-2", urgency).await;
        ward.work_now().await;
        let shown = ward.target.shown();
        let theirs = shown.accounts.iter().find(|one| one.id.as_str() == "a-2");
        assert!(theirs.is_none_or(|one| !can_sign_in(one)), "{theirs:?}");
    }
}

#[tokio::test]
async fn i3_a_mass_departure_lists_a_target_a_few_times_and_not_once_for_each_leaver() {
    let ward = Ward::new("", false).await;
    let names: Vec<_> = (1..=60).map(|number| format!("a-{number}")).collect();
    let ids: Vec<&str> = names.iter().map(String::as_str).collect();
    ward.target.shown().accounts = numbered(&ids);
    // What is still there is seen by its own read, so that only searches list.
    ward.target.shown().deaf = true;
    for name in &names {
        ward.leaves(name, Urgency::ForCause).await;
    }
    ward.work_now().await;
    ward.work_now().await;
    let counts = ward
        .store
        .counts(ward.engine.clock.now())
        .await
        .expect("counted");
    assert_eq!(counts.removals, 60);
    let listings = ward.target.shown().listings;
    assert!(listings <= 2, "{listings} listings");
}

#[tokio::test]
async fn e1_no_listing_stands_for_an_account_that_was_made_after_it_began() {
    let ward = Ward::new("", false).await;
    ward.leaves("a-2", Urgency::ForCause).await;
    ward.work_now().await;
    let before = ward.target.shown().listings;
    // The listing is no second old, and would be shared.
    ward.clock.advance(1);
    ward.target.shown().accounts.extend(numbered(&["late"]));
    ward.leaves("late", Urgency::ForCause).await;
    ward.work_now().await;
    let shown = ward.target.shown();
    let late = shown
        .accounts
        .iter()
        .filter(|one| one.id.as_str() == "late");
    assert_eq!(late.filter(|one| can_sign_in(one)).count(), 0);
    assert!(shown.listings > before);
}
