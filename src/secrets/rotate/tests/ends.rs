//! Rotations in a row, and the end of a connector's own access.
//!
//! Owns the bound on repeats, the property that whatever breaks off there is never none that works and
//! never more than two, names that take turns, and revocation. The world and its oracle are its
//! parent's.

use futures_util::FutureExt;

use super::*;

#[tokio::test]
async fn d3_refusals_of_a_fresh_secret_begin_no_endless_rotations() {
    for (strategy, known) in WAYS {
        let mut world = World::of(strategy, known).await;
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

/// The end of the writer's access, or of another role's: each step until one fails.
fn end(world: &mut World, role: CredentialRole) -> Result<(), Failure> {
    let label = format!("clawback:end-{}", role.as_str());
    if world.body.facts.label != label {
        world.body = body(Strategy::Delegated, &label);
        world.body.role = role;
        world.body.trigger = Trigger::Retired {
            by: "ann".to_owned(),
        };
    }
    for step in RotationStep::ALL {
        world.step(step).expect("alive")?;
    }
    Ok(())
}

#[tokio::test]
async fn d5_a_retired_connectors_own_access_is_revoked_and_seen_refused() {
    for (strategy, known) in WAYS {
        let mut world = World::of(strategy, known).await;
        if strategy != Strategy::DualSlot {
            let writer = CredentialRole::Writer;
            world.guarded = rotating(&world, writer, Some(strategy));
        }
        world.rotate().expect("undisturbed");
        let value = world.value(Slot::Current).expect("there");
        assert!(world.target.opens(&value));
        // The rotator waits for the one that only it can take away.
        let failure = end(&mut world, CredentialRole::Rotator).expect_err("it waits");
        assert_eq!(failure.code, "CB-SECRETS-25");
        assert_eq!(
            end(&mut world, CredentialRole::Writer),
            Ok(()),
            "{strategy:?}"
        );
        assert!(world.body.facts.previous_rejected && !world.body.facts.needless);
        assert!(!world.target.opens(&value), "{strategy:?}");
        assert_eq!(world.value(Slot::Current), None, "and forgotten");
        // A step that is made once more, after its settlement was lost, comes to the same.
        let again = world.step(RotationStep::ProveRejected).expect("alive");
        assert_eq!(again, Ok(()));
        // So does a retirement that somebody asks for once more: nothing is left to do.
        world.body.facts.label.clear();
        assert_eq!(end(&mut world, CredentialRole::Writer), Ok(()));
        assert!(world.body.facts.needless);
        // Nobody can take the last key away with itself: a person does, and it is seen refused.
        let failure = end(&mut world, CredentialRole::Rotator).expect_err("it stands");
        assert_eq!(failure.code, "CB-SECRETS-23");
        let failure = world.step(RotationStep::ProveRejected).expect("alive");
        assert_eq!(failure.expect_err("it works").code, "CB-SECRETS-16");
        world.target.truth().locked = true;
        assert_eq!(end(&mut world, CredentialRole::Rotator), Ok(()));
    }
}

#[tokio::test]
async fn d5_a_retirement_takes_nothing_of_other_connectors_or_roles() {
    let mut world = World::new(Strategy::Add).await;
    world.guarded = rotating(&world, CredentialRole::Writer, Some(Strategy::Add));
    world.rotate().expect("undisturbed");
    let others = [
        ("another connector's", "clawback:wiki:writer:r7"),
        ("another role's", "clawback:crm:verifier:r7"),
        ("of whom nobody can tell", "clawback:r7"),
    ];
    for (value, label) in others {
        let made = (value.to_owned(), label.to_owned());
        world.target.truth().live.insert(value.to_owned(), made);
    }
    let orphan = ("orphan".to_owned(), "clawback:crm:writer:r0".to_owned());
    world.target.truth().live.insert("k9".to_owned(), orphan);
    let current = world.value(Slot::Current).expect("there");
    assert_eq!(end(&mut world, CredentialRole::Writer), Ok(()));
    for (value, _) in others {
        assert!(world.target.opens(value), "{value}");
    }
    assert!(!world.target.opens("orphan") && !world.target.opens(&current));
}

#[tokio::test]
async fn d5_what_cannot_be_tried_is_never_called_revoked() {
    // Given a vault that holds no value any more.
    let mut world = World::new(Strategy::Choose).await;
    assert!(world.vault.remove(&world.owner).expect("written"));
    let failure = end(&mut world, CredentialRole::Writer).expect_err("nothing to try");
    let found = (failure.class, failure.code.as_str());
    assert_eq!(found, (FailureClass::Unsupported, "CB-SECRETS-24"));
    let failure = world.step(RotationStep::ProveRejected).expect("alive");
    assert_eq!(failure.expect_err("no proof").code, "CB-SECRETS-24");
    // Given a target that refuses everybody, then a refusal proves nothing.
    let mut world = World::new(Strategy::Choose).await;
    world.target.truth().locked = true;
    let failure = end(&mut world, CredentialRole::Writer).expect_err("an outage");
    assert_eq!(failure.code, "CB-SECRETS-26");
    assert_eq!(world.value(Slot::Current).as_deref(), Some(FIRST), "kept");
    // Given that no other secret is left to compare with, and it was never seen accepted.
    let mut world = World::new(Strategy::Choose).await;
    world.target.truth().locked = true;
    assert!(world.vault.remove(&world.owner).expect("written"));
    let failure = end(&mut world, CredentialRole::Rotator).expect_err("unknown");
    assert_eq!(failure.code, "CB-SECRETS-27");
    // Given a vault that cannot be read: an error that says so, and nothing is forgotten.
    let mut world = World::new(Strategy::Choose).await;
    world.owner.connector = "other".into();
    let manifest = world.guarded.manifest().clone();
    let elsewhere = Manifest {
        name: "other".into(),
        ..manifest
    };
    let connector: Arc<dyn Connector> = Arc::clone(&world.target) as _;
    world.guarded = Guarded::new(elsewhere, connector, Arc::clone(&world.clock) as _);
    assert!(end(&mut world, CredentialRole::Writer).is_err());
}

#[tokio::test]
async fn d5_what_a_target_goes_on_accepting_is_not_forgotten() {
    let mut world = World::new(Strategy::Add).await;
    world.target.truth().forgetful = true;
    let put = NewSecret {
        value: SecretString::from(FIRST),
        username: None,
        remote_ref: Some("k0".to_owned()),
        expires: None,
    };
    let put = Change::Put { new: put, at: NOW };
    world.vault.apply(&world.owner, &put).expect("put");
    world.guarded = rotating(&world, CredentialRole::Writer, Some(Strategy::Add));
    let failure = end(&mut world, CredentialRole::Writer).expect_err("it still works");
    assert_eq!(failure.code, "CB-SECRETS-16");
    assert_eq!(world.value(Slot::Current).as_deref(), Some(FIRST), "kept");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(192))]
    #[test]
    fn d5_whatever_breaks_there_an_end_is_proved_or_told(
        way in 0..WAYS.len(),
        faults in proptest::collection::btree_map(0_u32..40, 0..Fault::ALL.len(), 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let _inside = runtime.enter();
        let made = World::of(WAYS[way].0, WAYS[way].1).now_or_never();
        let mut world = made.expect("in memory");
        if WAYS[way].0 != Strategy::DualSlot {
            world.guarded = rotating(&world, CredentialRole::Writer, Some(WAYS[way].0));
        }
        let faults = faults.into_iter().map(|(call, fault)| (call, Fault::ALL[fault]));
        world.target.truth().faults.extend(faults);
        world.body.trigger = Trigger::Retired { by: "ann".to_owned() };
        // Broken off anywhere, and begun anew at the step that broke off, as the engine does.
        let (mut at, mut tries) = (0, 0);
        while let Some(step) = RotationStep::ALL.get(at) {
            tries += 1;
            proptest::prop_assert!(tries < 40, "{:?} never ends", step);
            let done = world.step(*step);
            // Whoever says that it is over has seen it refused; whoever forgot it, too.
            if world.value(Slot::Current).is_none() {
                proptest::prop_assert!(!world.target.opens(FIRST));
            }
            match done {
                Some(Ok(())) => at += 1,
                Some(Err(_)) | None => world.clock.advance(3600),
            }
        }
        proptest::prop_assert!(world.body.facts.previous_rejected);
        proptest::prop_assert!(!world.target.opens(FIRST));
    }
}

/// The same target behind a manifest that rotates the role in this way, or in none.
pub(super) fn rotating(world: &World, role: CredentialRole, strategy: Option<Strategy>) -> Guarded {
    let mut manifest = world.guarded.manifest().clone();
    let declared = manifest.credentials.get_mut(&role).expect("declared");
    declared.rotation = strategy;
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
