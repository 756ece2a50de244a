//! Secrets that no machine can replace: a person does, and both values are tried.
//!
//! Owns what counts as done, what makes room for the value that is replaced, and what is never called proved.
//! Whom the task goes to is the workflow's. The world and its oracle are its parent's.

use super::ends::rotating;
use super::*;

const WRITER: CredentialRole = CredentialRole::Writer;

/// A world whose writer's secret nobody is declared to replace, and that is found to be too old.
async fn undeclared() -> World {
    let mut world = World::new(Strategy::Add).await;
    world.guarded = rotating(&world, WRITER, None);
    world.body = body(Strategy::Delegated, "clawback:r1");
    world.body.trigger = Trigger::Age { seconds: 0 };
    world
}

/// The steps in their order until one fails.
fn steps(world: &mut World) -> Result<(), Failure> {
    for step in RotationStep::ALL {
        world.step(step).expect("alive")?;
    }
    Ok(())
}

fn code(result: Result<(), Failure>) -> String {
    result.expect_err("not yet").code
}

/// The new one at the target, under this id, and in the vault.
async fn replace(world: &World, id: &str, value: &str) {
    let new = (value.to_owned(), "by hand".to_owned());
    world.target.truth().live.insert(id.to_owned(), new);
    put(&world.secrets, world.guarded.manifest(), WRITER, value).await;
}

#[tokio::test]
async fn d3_a_person_is_told_at_once_and_believed_when_both_were_tried() {
    let mut world = undeclared().await;
    let failure = steps(&mut world).expect_err("nobody has done it");
    let found = (failure.class, failure.code.as_str());
    assert_eq!(found, (FailureClass::Unsupported, "CB-SECRETS-28"));
    assert_eq!(world.value(Slot::Current).as_deref(), Some(FIRST));
    replace(&world, "k7", "by hand").await;
    assert_eq!(
        code(steps(&mut world)),
        "CB-SECRETS-16",
        "the old one works"
    );
    world.target.truth().live.remove("k0");
    assert_eq!(steps(&mut world), Ok(()));
    world.only_a_new_one_works();
}

#[tokio::test]
async fn d3_a_person_who_is_faster_than_the_machine_is_believed_too() {
    let mut world = undeclared().await;
    // Given a secret that was seen to be old, and replaced before the run looked first.
    world.body.trigger = Trigger::Age { seconds: 1 };
    replace(&world, "k7", "by hand").await;
    assert_eq!(code(steps(&mut world)), "CB-SECRETS-16");
    world.target.truth().live.remove("k0");
    assert_eq!(steps(&mut world), Ok(()));
    world.only_a_new_one_works();
}

#[tokio::test]
async fn d3_a_value_that_was_replaced_earlier_makes_room_and_stands_for_no_other() {
    // Given one that was replaced long ago, and is refused.
    let mut world = undeclared().await;
    replace(&world, "k1", "second").await;
    world.target.truth().live.remove("k0");
    assert_eq!(code(steps(&mut world)), "CB-SECRETS-28");
    assert_eq!(world.value(Slot::Previous), None);
    replace(&world, "k2", "third").await;
    assert_eq!(world.value(Slot::Previous).as_deref(), Some("second"));
    assert_eq!(code(steps(&mut world)), "CB-SECRETS-16");
    world.target.truth().live.remove("k1");
    assert_eq!(steps(&mut world), Ok(()));
    world.only_a_new_one_works();
    // Given one that still works when the run begins: the one after it is not kept.
    let mut world = undeclared().await;
    replace(&world, "k1", "second").await;
    assert_eq!(code(steps(&mut world)), "CB-SECRETS-28");
    replace(&world, "k2", "third").await;
    assert_eq!(world.value(Slot::Previous).as_deref(), Some(FIRST));
    world.target.truth().live.remove("k0");
    let failure = steps(&mut world).expect_err("the second one works");
    let found = (failure.class, failure.code.as_str());
    assert_eq!(found, (FailureClass::Unsupported, "CB-SECRETS-29"));
}

#[tokio::test]
async fn d3_a_person_who_is_faster_is_not_believed_by_an_older_value() {
    for declared in [None, Some(Strategy::Delegated)] {
        // Given an old value in the vault's one place, and one in use that was found to be too old.
        let mut world = undeclared().await;
        world.guarded = rotating(&world, WRITER, declared);
        world.body.trigger = Trigger::Age { seconds: 1 };
        replace(&world, "k1", "second").await;
        world.target.truth().live.remove("k0");
        // When a person replaces that one before the run looks first: it works, and nobody has it.
        replace(&world, "k2", "third").await;
        assert_eq!(world.value(Slot::Previous).as_deref(), Some(FIRST));
        for _ in 0..2 {
            assert_eq!(code(steps(&mut world)), "CB-SECRETS-29", "{declared:?}");
        }
        assert!(world.target.truth().live.contains_key("k1"));
    }
}

#[tokio::test]
async fn d3_a_refusal_proves_nothing_of_a_value_that_was_replaced_and_not_kept() {
    // Given an older value in the one place, and one in use that the target refused for a moment.
    let mut world = undeclared().await;
    world.guarded = rotating(&world, WRITER, Some(Strategy::Delegated));
    world.body.trigger = Trigger::AuthFailure;
    replace(&world, "k1", "second").await;
    world.target.truth().live.remove("k0");
    // When a person replaces it at once, it works again, and nobody has its value.
    replace(&world, "k2", "third").await;
    for _ in 0..2 {
        assert_eq!(code(steps(&mut world)), "CB-SECRETS-29");
    }
    // Given one that was set right instead: nothing was replaced, and nothing is left to refuse.
    let mut world = undeclared().await;
    world.guarded = rotating(&world, WRITER, Some(Strategy::Delegated));
    world.body.trigger = Trigger::AuthFailure;
    assert_eq!(steps(&mut world), Ok(()));
    // Given one whose predecessor is kept and refused: it makes room as before.
    let mut world = undeclared().await;
    world.guarded = rotating(&world, WRITER, Some(Strategy::Delegated));
    world.body.trigger = Trigger::AuthFailure;
    replace(&world, "k1", "second").await;
    world.target.truth().live.remove("k0");
    assert_eq!(steps(&mut world), Ok(()));
    assert_eq!(world.value(Slot::Previous), None);
}

/// The same target behind a manifest in which the writer signs in as somebody else.
fn named(world: &World, name: &str) -> Guarded {
    let mut manifest = world.guarded.manifest().clone();
    let declared = manifest.credentials.get_mut(&WRITER).expect("declared");
    declared.username = Some(name.to_owned());
    let connector: Arc<dyn Connector> = Arc::clone(&world.target) as _;
    Guarded::new(manifest, connector, Arc::clone(&world.clock) as _)
}

/// The first value opens the target as the first name only, and was put in while that one was declared.
async fn first_named(mut world: World) -> World {
    world.guarded = named(&world, NAMES[0]);
    world.vault.remove(&world.owner).expect("removed");
    put(&world.secrets, world.guarded.manifest(), WRITER, FIRST).await;
    world.target.truth().live.clear();
    let first = (FIRST.to_owned(), "by hand".to_owned());
    world.target.truth().live.insert(NAMES[0].to_owned(), first);
    world
}

#[tokio::test]
async fn d3_a_value_that_is_replaced_is_tried_under_the_name_that_it_was_put_in_with() {
    // Given a manifest that names another account, and a value for that one.
    let mut world = first_named(undeclared().await).await;
    assert_eq!(code(steps(&mut world)), "CB-SECRETS-28");
    world.guarded = named(&world, NAMES[1]);
    replace(&world, NAMES[1], "second").await;
    // Then the one before is not proved to be gone while it opens the account before.
    for _ in 0..2 {
        assert_eq!(code(steps(&mut world)), "CB-SECRETS-16");
    }
    world.target.truth().live.remove(NAMES[0]);
    assert_eq!(steps(&mut world), Ok(()));
    world.only_a_new_one_works();
    // Given that the account was renamed instead, and takes both values.
    let mut world = first_named(undeclared().await).await;
    assert_eq!(code(steps(&mut world)), "CB-SECRETS-28");
    world.guarded = named(&world, NAMES[1]);
    let first = world.target.truth().live.remove(NAMES[0]).expect("there");
    world.target.truth().live.insert(NAMES[1].to_owned(), first);
    replace(&world, "k7", "second").await;
    assert_eq!(code(steps(&mut world)), "CB-SECRETS-16");
    world.target.truth().live.remove(NAMES[1]);
    assert_eq!(steps(&mut world), Ok(()));
    world.only_a_new_one_works();
}

#[tokio::test]
async fn d3_a_rotation_under_another_name_leaves_no_value_of_the_name_before() {
    for strategy in [Strategy::Choose, Strategy::Add] {
        let mut world = first_named(World::new(strategy).await).await;
        world.target.truth().forgetful = true;
        world.guarded = named(&world, NAMES[1]);
        let failure = world.rotate().expect_err("the first one works");
        assert_eq!(failure.code, "CB-SECRETS-16", "{strategy:?}");
        assert!(!world.body.facts.previous_rejected);
        assert_eq!(world.value(Slot::Previous).as_deref(), Some(FIRST));
        let manifest = world.guarded.manifest();
        let current = world.secrets.credential(manifest, WRITER).await;
        let current = current.expect("there").username;
        assert_eq!(current.as_deref(), Some(NAMES[1]), "{strategy:?}");
        // When somebody takes it away, it goes on.
        world.target.truth().live.remove(NAMES[0]);
        assert_eq!(world.rotate(), Ok(()), "{strategy:?}");
        world.only_a_new_one_works();
    }
}

#[tokio::test]
async fn d3_the_same_value_under_the_same_name_takes_nobodys_place() {
    let mut world = first_named(undeclared().await).await;
    put(&world.secrets, world.guarded.manifest(), WRITER, FIRST).await;
    assert_eq!(world.value(Slot::Previous), None);
    // Put in again for an account that was renamed, it is that one's.
    world.guarded = named(&world, NAMES[1]);
    put(&world.secrets, world.guarded.manifest(), WRITER, FIRST).await;
    let manifest = world.guarded.manifest();
    let current = world.secrets.credential(manifest, WRITER).await;
    let current = current.expect("there").username;
    assert_eq!(current.as_deref(), Some(NAMES[1]));
    let first = world.target.truth().live.remove(NAMES[0]).expect("there");
    world.target.truth().live.insert(NAMES[1].to_owned(), first);
    world.body.trigger = Trigger::Age { seconds: 1 };
    assert_eq!(steps(&mut world), Ok(()));
    assert_eq!(world.value(Slot::Previous), None);
}

#[tokio::test]
async fn d3_no_older_value_stands_for_the_one_a_person_replaced_in_a_rotations_place() {
    // Given a rotation that could not begin, because an older value is still accepted.
    let mut world = World::new(Strategy::Add).await;
    replace(&world, "k1", "second").await;
    world.target.truth().forgetful = true;
    let failure = world.step(RotationStep::Prepare).expect("alive");
    assert!(failure.is_err(), "{failure:?}");
    // When a person does it, and takes only the older one away.
    replace(&world, "k2", "third").await;
    world.target.truth().live.remove("k0");
    let proof = world.step(RotationStep::ProveRejected).expect("alive");
    assert_eq!(proof.expect_err("k1 works").code, "CB-SECRETS-29");
}

#[tokio::test]
async fn d3_whoever_is_declared_to_replace_it_gets_their_time() {
    let mut world = undeclared().await;
    world.guarded = rotating(&world, WRITER, Some(Strategy::Delegated));
    let failure = steps(&mut world).expect_err("nothing was done");
    assert_eq!(failure.class, FailureClass::StaleData, "tried again");
    assert_eq!(failure.code, "CB-SECRETS-15");
}

/// The rotation has begun, and then somebody puts in a secret of their own, with its id.
async fn overtaken(known: Known) -> World {
    let mut world = World::of(Strategy::Add, known).await;
    world
        .step(RotationStep::Prepare)
        .expect("alive")
        .expect("prepared");
    let new = ("theirs".to_owned(), String::new());
    world.target.truth().live.insert("k7".to_owned(), new);
    let new = NewSecret {
        value: SecretString::from("theirs"),
        username: None,
        remote_ref: Some("k7".to_owned()),
        expires: None,
    };
    let manifest = world.guarded.manifest();
    let put = world.secrets.put(manifest, WRITER, new, NOW).await;
    put.expect("put");
    world
}

#[tokio::test]
async fn d2_a_secret_put_in_meanwhile_is_not_taken_away_while_it_is_in_use() {
    for known in [Known::Labels, Known::Ids] {
        let mut world = overtaken(known).await;
        // However often the new one cannot be made.
        for _ in 0..3 {
            world.target.before_mint(|| {});
            let _ = world.step(RotationStep::Create);
            assert!(world.target.opens("theirs"));
        }
    }
}

#[tokio::test]
async fn d2_a_value_that_a_person_pushed_aside_meanwhile_is_tried_before_it_is_forgotten() {
    for known in [Known::Labels, Known::Ids] {
        // Given a value that was put in while the new one was made, and that the machine takes away after.
        let mut world = overtaken(known).await;
        let mut stuck = None;
        for step in &RotationStep::ALL[1..] {
            if let Err(failure) = world.step(*step).expect("alive") {
                stuck = Some((step, failure.code));
                break;
            }
        }
        // Then the first one, which works still, is not passed over.
        assert!(world.target.opens(FIRST), "{known:?}");
        let code = "CB-SECRETS-16".to_owned();
        assert_eq!(stuck, Some((&RotationStep::Promote, code)), "{known:?}");
        assert_eq!(world.value(Slot::Previous).as_deref(), Some(FIRST));
        // When somebody takes it away, it goes on.
        world.target.truth().live.remove("k0");
        assert_eq!(steps(&mut world), Ok(()), "{known:?}");
        world.only_a_new_one_works();
    }
}
