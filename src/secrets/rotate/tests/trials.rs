//! What a new secret is tried by, and what does not stand in its way.
//!
//! Owns a target whose lists have drifted, a connector that passed no drill, and a rotator that a person
//! replaced. What a new writer may not do is told elsewhere; the world and its oracle are its parent's.

use super::ends::rotating;
use super::*;
use crate::connectors::Mandate;

/// The same world under a manifest that has passed no drill.
fn undrilled(world: &mut World) {
    let connector: Arc<dyn Connector> = Arc::clone(&world.target) as _;
    let manifest = world.guarded.manifest().clone();
    let mandate = Mandate {
        undrilled: Some(Failure::new(
            FailureClass::Refused,
            "CB-GUARD-15",
            "no drill",
        )),
        ..Mandate::default()
    };
    world.guarded = Guarded::new(manifest, connector, Arc::clone(&world.clock) as _).under(mandate);
}

#[tokio::test]
async fn d2_a_password_that_is_set_already_takes_over_whatever_the_lists_show() {
    let mut world = World::new(Strategy::Choose).await;
    world.target.truth().drifted = true;
    assert_eq!(world.rotate(), Ok(()));
    world.only_a_new_one_works();
    // Where the old one lives on, a new one that shows nothing does not take over.
    let mut world = World::new(Strategy::Add).await;
    world.target.truth().drifted = true;
    let failure = world.rotate().expect_err("it shows nothing");
    assert_eq!(failure.class, FailureClass::Drifted);
    assert_eq!(world.value(Slot::Current).as_deref(), Some(FIRST));
}

#[tokio::test]
async fn d2_a_connector_that_passed_no_drill_has_its_secrets_replaced() {
    for (strategy, known) in WAYS {
        let mut world = World::of(strategy, known).await;
        undrilled(&mut world);
        let writer = world.value(Slot::Current).expect("there");
        let manifest = world.guarded.manifest();
        let credential = world.secrets.credential(manifest, CredentialRole::Writer);
        let barred = world.guarded.list(&credential.await.expect("there")).await;
        assert_eq!(barred.expect_err("barred").code, "CB-GUARD-15");
        assert_eq!(world.rotate(), Ok(()), "{strategy:?}, {known:?}");
        world.only_a_new_one_works();
        assert_ne!(world.value(Slot::Current), Some(writer));
    }
}

#[tokio::test]
async fn d3_a_rotator_that_a_person_replaced_is_tried_by_what_it_lists() {
    let rotator = CredentialRole::Rotator;
    let mut world = World::new(Strategy::Add).await;
    world.guarded = rotating(&world, CredentialRole::Writer, Some(Strategy::Add));
    world.body = body(Strategy::Delegated, "clawback:r1");
    world.body.role = rotator;
    world.body.trigger = Trigger::Age { seconds: 0 };
    assert_eq!(world.step(RotationStep::Prepare), Some(Ok(())));
    put(&world.secrets, world.guarded.manifest(), rotator, "new").await;
    world.target.truth().rotator = Some("new".to_owned());
    for step in RotationStep::ALL {
        assert_eq!(world.step(step), Some(Ok(())), "{step:?}");
    }
    assert!(world.body.facts.previous_rejected);
}
