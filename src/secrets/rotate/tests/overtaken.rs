//! A person's own secret in the middle of a rotation, beside what the rotation itself has made.
//!
//! Owns that what the machine made does not live on when the person is believed, that what the person uses is
//! not taken for an orphan, and that both can be told to go on. The world and its oracle are its parent's.

use super::*;

const WRITER: CredentialRole = CredentialRole::Writer;
const PROVE: RotationStep = RotationStep::ProveRejected;

fn code(result: Option<Result<(), Failure>>) -> String {
    result.expect("alive").expect_err("not yet").code
}

/// The new one at the target, under this id, and in the vault, with its id or without.
async fn replace(world: &World, id: &str, value: &str, told: bool) {
    let new = (value.to_owned(), String::new());
    world.target.truth().live.insert(id.to_owned(), new);
    let new = NewSecret {
        value: SecretString::from(value),
        username: None,
        remote_ref: told.then(|| id.to_owned()),
        expires: None,
    };
    let manifest = world.guarded.manifest();
    let put = world.secrets.put(manifest, WRITER, new, NOW).await;
    put.expect("put");
}

/// The new one took over, the target honours the old one still, and a person puts in one of their own.
async fn pushed_out(known: Known) -> World {
    let mut world = World::of(Strategy::Add, known).await;
    world.target.truth().forgetful = true;
    let failure = world.rotate().expect_err("the old one is honoured");
    assert_eq!(failure.code, "CB-SECRETS-16");
    world.target.truth().forgetful = false;
    replace(&world, "k7", "theirs", true).await;
    world.target.truth().live.remove("k0");
    assert!(world.target.truth().live.contains_key("k1"), "ours works");
    world
}

#[tokio::test]
async fn d2_what_a_rotation_made_does_not_outlive_a_person_who_is_believed() {
    for known in [Known::Labels, Known::Ids] {
        let mut world = pushed_out(known).await;
        assert_eq!(world.step(PROVE), Some(Ok(())), "{known:?}");
        assert!(!world.target.truth().live.contains_key("k1"), "{known:?}");
        world.only_a_new_one_works();
        // Where it cannot be taken away, nobody is believed.
        let mut world = pushed_out(known).await;
        world.target.truth().forgetful = true;
        assert_eq!(code(world.step(PROVE)), "CB-SECRETS-16", "{known:?}");
        assert!(!world.body.facts.previous_rejected);
    }
}

#[tokio::test]
async fn d2_nor_does_one_that_is_pending() {
    for (strategy, known) in [(Strategy::Add, Known::Labels), (Strategy::Add, Known::Ids)] {
        let mut world = World::of(strategy, known).await;
        world.target.truth().reads_only = true;
        let failure = world.rotate().expect_err("it may not write");
        assert_eq!(failure.code, "CB-SECRETS-30");
        replace(&world, "k7", "theirs", true).await;
        world.target.truth().live.remove("k0");
        assert_eq!(world.step(PROVE), Some(Ok(())), "{known:?}");
        world.only_a_new_one_works();
    }
}

#[tokio::test]
async fn d3_one_of_several_that_a_person_put_in_is_not_passed_over() {
    let mut world = World::new(Strategy::Add).await;
    assert_eq!(world.step(RotationStep::Prepare), Some(Ok(())));
    replace(&world, "k7", "second", true).await;
    replace(&world, "k8", "third", true).await;
    world.target.truth().live.remove("k0");
    assert!(world.target.opens("second"), "and the vault has lost it");
    assert_eq!(code(world.step(PROVE)), "CB-SECRETS-29");
}

#[tokio::test]
async fn d3_a_rotator_that_is_refused_keeps_nobody_from_being_believed() {
    let mut world = World::new(Strategy::Add).await;
    assert_eq!(world.step(RotationStep::Prepare), Some(Ok(())));
    world.target.truth().rotator = Some("another".to_owned());
    replace(&world, "k7", "theirs", true).await;
    world.target.truth().live.remove("k0");
    assert_eq!(world.step(PROVE), Some(Ok(())));
    world.only_a_new_one_works();
}

#[tokio::test]
async fn d2_what_a_person_uses_is_no_orphan_though_nobody_told_its_id() {
    let mut world = World::of(Strategy::Add, Known::Ids).await;
    assert_eq!(world.step(RotationStep::Prepare), Some(Ok(())));
    replace(&world, "k7", "theirs", false).await;
    assert_eq!(code(world.step(RotationStep::Create)), "CB-SECRETS-32");
    assert!(world.target.opens("theirs"));
    // Nor where it is taken up again from the start.
    world.target.truth().live.remove("k0");
    assert_eq!(code(world.step(RotationStep::Prepare)), "CB-SECRETS-32");
    assert!(world.target.opens("theirs"));
    assert_eq!(world.target.truth().ever, [""; 0], "none was made");
    // When its id is told, the rotation goes on from it.
    replace(&world, "k7", "theirs", true).await;
    assert_eq!(world.rotate(), Ok(()));
    world.only_a_new_one_works();
}

#[tokio::test]
async fn d2_a_rotation_that_a_person_helped_comes_to_its_end_by_itself() {
    for known in [Known::Labels, Known::Ids] {
        let mut world = pushed_out(known).await;
        assert_eq!(world.rotate(), Ok(()), "{known:?}");
        world.only_a_new_one_works();
        // Only what was seen refused is passed over.
        let mut world = pushed_out(known).await;
        let first = (FIRST.to_owned(), String::new());
        world.target.truth().live.insert("k0".to_owned(), first);
        world.target.truth().forgetful = true;
        let failure = world.rotate().expect_err("the first one works");
        assert_eq!(failure.code, "CB-SECRETS-16", "{known:?}");
    }
}

#[tokio::test]
async fn d2_where_no_labels_are_kept_no_try_leaves_another_secret_behind() {
    let mut world = World::of(Strategy::Add, Known::Ids).await;
    world.target.truth().unusable = 2;
    assert_eq!(world.step(RotationStep::Prepare), Some(Ok(())));
    assert_eq!(code(world.step(RotationStep::Create)), "T-LACKS");
    // When the machine tries again from the start, it neither adopts what it lost nor makes another.
    for _ in 0..3 {
        assert_eq!(code(world.step(RotationStep::Prepare)), "CB-SECRETS-32");
    }
    assert_eq!(world.target.truth().live.len(), 2);
    // When a person has looked and taken it away, it goes on.
    world.target.truth().live.remove("k1");
    world.target.truth().unusable = 0;
    assert_eq!(world.rotate(), Ok(()));
    world.only_a_new_one_works();
}
