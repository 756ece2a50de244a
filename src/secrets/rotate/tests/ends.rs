//! Rotations in a row, and the end of a connector's own access.
//!
//! Owns the bound on repeats, the property that whatever breaks off there is never none that works and
//! never more than two, names that take turns, and revocation. The world and its oracle are its
//! parent's.

use futures_util::FutureExt;

use super::*;

#[tokio::test]
async fn d3_refusals_of_a_fresh_secret_begin_no_endless_rotations() {
    for (strategy, labels) in WAYS {
        let mut world = World::of(strategy, labels).await;
        world.rotate().expect("undisturbed");
        let (kept, minted) = (world.value(Slot::Current), world.target.truth().ever.len());
        // Given a worker that was refused with the old one: nothing is to be replaced.
        world.body = body(strategy, "clawback:r2");
        world.body.trigger = Trigger::AuthFailure;
        world.rotate().expect("nothing to do");
        assert!(world.body.facts.needless);
        assert_eq!(world.value(Slot::Current), kept);
        assert_eq!(world.target.truth().ever.len(), minted);
        // Given that the fresh one is refused: a person must look.
        world.target.truth().live.clear();
        world.body = body(strategy, "clawback:r3");
        world.body.trigger = Trigger::AuthFailure;
        let failure = world.step(RotationStep::Prepare).expect("alive");
        let failure = failure.expect_err("a person's business");
        let found = (failure.class, failure.code.as_str());
        assert_eq!(found, (FailureClass::Refused, "CB-SECRETS-22"));
        assert_eq!(world.target.truth().ever.len(), minted);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(192))]
    #[test]
    fn d2_whatever_breaks_there_is_never_none_that_works_and_never_more_than_two(
        way in 0..WAYS.len(),
        faults in proptest::collection::btree_map(0_u32..60, 0..Fault::ALL.len(), 0..6),
        rotations in 1..4,
    ) {
        // The oracle looks after each step of each rotation. The guard's clocks want a runtime.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let _inside = runtime.enter();
        let made = World::of(WAYS[way].0, WAYS[way].1).now_or_never();
        let mut world = made.expect("in memory");
        let faults = faults.into_iter().map(|(call, fault)| (call, Fault::ALL[fault]));
        world.target.truth().faults.extend(faults);
        for round in 0..rotations {
            world.body = body(WAYS[way].0, &format!("clawback:r{round}"));
            proptest::prop_assert_eq!(world.rotate(), Ok(()));
            world.only_a_new_one_works();
        }
    }
}

#[tokio::test]
async fn d5_a_retired_connectors_own_access_is_revoked_and_seen_refused() {
    for (strategy, labels) in WAYS {
        let mut world = World::of(strategy, labels).await;
        if strategy != Strategy::DualSlot {
            let writer = CredentialRole::Writer;
            world.guarded = rotating(&world, writer, strategy);
        }
        world.rotate().expect("undisturbed");
        let value = world.value(Slot::Current).expect("there");
        assert!(world.target.opens(&value));
        let revoked = world.secrets.revoke(&world.guarded).await;
        let writer = &revoked[0];
        assert_eq!((writer.proved, &writer.failure), (1, &None), "{strategy:?}");
        assert!(!world.target.opens(&value), "{strategy:?}");
        assert_eq!(world.value(Slot::Current), None, "and forgotten");
        // Nobody can take the last key away with itself: a person does, and it is seen refused.
        let rotator = revoked.last().expect("the rotator");
        let failure = rotator.failure.as_ref().expect("it stands");
        assert_eq!(failure.code, "CB-SECRETS-23");
        world.target.truth().locked = true;
        let revoked = world.secrets.revoke(&world.guarded).await;
        assert!(
            revoked.iter().all(|one| one.failure.is_none()),
            "{revoked:?}"
        );
        assert_eq!(revoked.last().map(|one| one.proved), Some(1));
    }
}

#[tokio::test]
async fn d5_what_a_target_goes_on_accepting_is_not_forgotten() {
    let world = World::new(Strategy::Add).await;
    world.target.truth().forgetful = true;
    let put = NewSecret {
        value: SecretString::from(FIRST),
        username: None,
        remote_ref: Some("k0".to_owned()),
        expires: None,
    };
    let put = Change::Put { new: put, at: NOW };
    world.vault.apply(&world.owner, &put).expect("put");
    let revoked = world.secrets.revoke(&world.guarded).await;
    let failure = revoked[0].failure.as_ref().expect("it still works");
    assert_eq!(failure.code, "CB-SECRETS-16");
    assert_eq!(world.value(Slot::Current).as_deref(), Some(FIRST), "kept");
}

/// The same target behind a manifest that rotates the role in this way.
fn rotating(world: &World, role: CredentialRole, strategy: Strategy) -> Guarded {
    let mut manifest = world.guarded.manifest().clone();
    let declared = manifest.credentials.get_mut(&role).expect("declared");
    declared.rotation = Some(strategy);
    let connector: Arc<dyn Connector> = Arc::clone(&world.target) as _;
    Guarded::new(manifest, connector, Arc::clone(&world.clock) as _)
}

#[tokio::test]
async fn d2_two_names_take_turns_and_the_idle_one_opens_nothing() {
    let mut world = World::new(Strategy::DualSlot).await;
    let writer = CredentialRole::Writer;
    for (round, name) in [NAMES[1], NAMES[0], NAMES[1]].into_iter().enumerate() {
        world.body = body(Strategy::DualSlot, &format!("clawback:r{round}"));
        assert_eq!(world.rotate(), Ok(()), "round {round}");
        world.only_a_new_one_works();
        let manifest = world.guarded.manifest();
        let current = world.secrets.credential(manifest, writer).await;
        assert_eq!(current.expect("there").username.as_deref(), Some(name));
        let live: Vec<_> = world.target.truth().live.keys().cloned().collect();
        assert_eq!(live, [name]);
    }
}

#[tokio::test]
async fn r6_a_name_that_the_manifest_does_not_declare_is_never_given_a_secret() {
    let mut world = World::new(Strategy::DualSlot).await;
    let new = NewSecret {
        value: SecretString::from("turned"),
        username: Some("root".to_owned()),
        remote_ref: None,
        expires: None,
    };
    let label = world.body.facts.label.clone();
    let save = Change::SavePending {
        base: 1,
        label,
        new,
        at: NOW,
    };
    world.vault.apply(&world.owner, &save).expect("saved");
    let failure = world.step(RotationStep::Create).expect("alive");
    assert_eq!(failure.expect_err("refused").code, "CB-SECRETS-7");
    assert!(world.target.truth().ever.is_empty());
}
