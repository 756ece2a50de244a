//! What a new secret may do, what a denied request says, and what is nobody's to take away.
//!
//! Owns targets that mint secrets which only read, that answer strangers with "you may not", and that
//! begin to refuse everybody in the middle of a proof. The world and its oracle are its parent's.

use super::*;
use crate::domain::access::Operation;

#[tokio::test]
async fn d2_a_new_writer_that_may_only_read_is_never_promoted() {
    for (strategy, known) in WAYS {
        let mut world = World::of(strategy, known).await;
        world.target.truth().reads_only = true;
        // Where one value is known at a time, the old one is dead when the new one is tried.
        if strategy == Strategy::Choose {
            assert_eq!(
                world.rotate(),
                Ok(()),
                "nothing may hold up the one that is left"
            );
            world.only_a_new_one_works();
            assert_eq!(world.target.truth().tried, [], "and nothing is tried");
            continue;
        }
        let failure = world.rotate().expect_err("it may not write");
        let found = (failure.class, failure.code.as_str());
        assert_eq!(found, (FailureClass::WriteFailure, "CB-SECRETS-30"));
        assert_eq!(world.value(Slot::Current).as_deref(), Some(FIRST));
        assert!(world.target.opens(FIRST), "{strategy:?}, {known:?}");
        // Once it may, the same rotation goes on.
        world.target.truth().reads_only = false;
        assert_eq!(world.rotate(), Ok(()), "{strategy:?}, {known:?}");
        world.only_a_new_one_works();
    }
}

#[tokio::test]
async fn d2_a_new_writer_is_tried_by_changes_of_nobody() {
    let mut world = World::new(Strategy::Add).await;
    world.body.facts.label = "clawback:crm:writer:r1".to_owned();
    world.rotate().expect("undisturbed");
    let tried = world.target.truth().tried.clone();
    let operations: Vec<_> = tried.iter().map(|one| one.operation).collect();
    assert_eq!(operations, [Operation::Disable, Operation::Delete]);
    let nobody = tried[0].account.as_str();
    assert!(uuid::Uuid::try_parse(nobody).is_ok(), "{nobody}");
    assert!(
        tried
            .iter()
            .all(|one| one.account.as_str() == nobody && one.login == nobody)
    );
    assert!(
        nobody.starts_with('f'),
        "no number that somebody has: {nobody}"
    );
    let mut other = World::new(Strategy::Add).await;
    other.rotate().expect("undisturbed");
    let other = other.target.truth().tried[0].clone();
    assert_ne!(other.account.as_str(), nobody, "each rotation has its own");
}

/// Up to the proof that the old one is refused.
async fn retired() -> World {
    let mut world = World::new(Strategy::Add).await;
    for step in RotationStep::ALL {
        if step != RotationStep::ProveRejected {
            world.step(step).expect("alive").expect("undisturbed");
        }
    }
    world
}

#[tokio::test]
async fn d2_a_denied_request_is_no_proof_that_a_secret_is_refused() {
    let mut world = retired().await;
    world.target.truth().denies = true;
    let prove = RotationStep::ProveRejected;
    let failure = world.step(prove).expect("alive").expect_err("no proof");
    let found = (failure.class, failure.code.as_str());
    assert_eq!(found, (FailureClass::StaleData, "CB-SECRETS-31"));
    assert_eq!(world.value(Slot::Previous).as_deref(), Some(FIRST), "kept");
    world.target.truth().denies = false;
    assert_eq!(world.step(prove), Some(Ok(())));
    world.only_a_new_one_works();
}

#[tokio::test]
async fn d2_a_target_that_refuses_everybody_from_then_on_proves_nothing() {
    let mut world = retired().await;
    {
        let mut truth = world.target.truth();
        let first = (FIRST.to_owned(), "by hand".to_owned());
        truth.live.insert("k0".to_owned(), first);
        // The new one is still accepted, the old one no more, nor the new one after it.
        truth.locks_at = Some(truth.calls + 1);
    }
    let prove = RotationStep::ProveRejected;
    let failure = world.step(prove).expect("alive").expect_err("no proof");
    assert_eq!(failure.class, FailureClass::AuthFailure);
    assert_eq!(world.value(Slot::Previous).as_deref(), Some(FIRST), "kept");
    assert!(!world.body.facts.previous_rejected);
}

#[tokio::test]
async fn d2_a_leftover_is_kept_while_the_target_refuses_everybody() {
    let mut world = retired().await;
    world.body = body(Strategy::Add, "clawback:r2");
    world.target.truth().locked = true;
    let failure = world.step(RotationStep::Prepare).expect("alive");
    failure.expect_err("the rotator is refused, too");
    assert_eq!(world.value(Slot::Previous).as_deref(), Some(FIRST), "kept");
}

#[tokio::test]
async fn d2_what_bears_no_label_is_nobodys_orphan_where_others_bear_one() {
    let mut world = World::new(Strategy::Add).await;
    let theirs = |world: &World, id: &str| {
        let made = (id.to_owned(), String::new());
        world.target.truth().live.insert(id.to_owned(), made);
    };
    for step in RotationStep::ALL {
        match step {
            RotationStep::Create => theirs(&world, "made before ours"),
            RotationStep::Retire => theirs(&world, "made after ours"),
            _ => {}
        }
        world.step(step).expect("alive").expect("undisturbed");
    }
    assert!(!world.target.opens(FIRST));
    for id in ["made before ours", "made after ours"] {
        assert!(world.target.opens(id), "{id}");
    }
}
