//! A target that keeps each secret at its place, shows it, and takes none away where the newest stands.
//!
//! Owns what somebody else does there meanwhile, and what is left there from before. That a rotation broken
//! off anywhere ends well there too is its parent's.

use super::*;

fn by_hand(world: &World, id: &str) {
    let mut truth = world.target.truth();
    id.clone_into(&mut truth.newest);
    let new = (format!("{id} by hand"), String::new());
    truth.live.insert(id.to_owned(), new);
}

fn ids(world: &World) -> Vec<String> {
    world.target.truth().live.keys().cloned().collect()
}

#[tokio::test]
async fn d2_where_all_places_are_taken_nothing_is_pushed_out() {
    let mut world = World::of(Strategy::Add, Known::Places).await;
    by_hand(&world, "k9");
    let failure = world.rotate().expect_err("no room");
    assert_eq!(failure.code, "T-FULL");
    assert_eq!(ids(&world), ["k0", "k9"], "both stand");
    assert_eq!(world.value(Slot::Current).as_deref(), Some(FIRST));
}

#[tokio::test]
async fn d2_what_ended_by_itself_makes_room_while_the_current_one_is_accepted() {
    let mut world = World::of(Strategy::Add, Known::Places).await;
    let old = ("k-1".to_owned(), "long ago".to_owned());
    world.target.truth().ended.extend([old]);
    assert_eq!(world.rotate(), Ok(()));
    world.only_a_new_one_works();
    assert!(world.target.truth().ended.is_empty());
    // Given a target that refuses everybody of this client: that says nothing about the other one.
    let mut world = World::of(Strategy::Add, Known::Places).await;
    let old = ("k-1".to_owned(), "long ago".to_owned());
    let mut truth = world.target.truth();
    truth.ended.extend([old]);
    let first = truth.live.remove("k0").expect("the first");
    truth.ended.insert("k0".to_owned(), first.0);
    drop(truth);
    for step in &RotationStep::ALL[..1] {
        assert_eq!(world.step(*step), Some(Ok(())));
    }
    let failure = world.step(RotationStep::Create).expect("alive");
    assert_eq!(failure.expect_err("no room").code, "T-FULL");
    assert_eq!(world.target.truth().ended.len(), 2, "both stand");
}

#[tokio::test]
async fn d2_a_secret_that_somebody_made_after_ours_is_neither_used_nor_pushed_on() {
    let mut world = World::of(Strategy::Add, Known::Places).await;
    for step in &RotationStep::ALL[..4] {
        assert_eq!(world.step(*step), Some(Ok(())));
    }
    // The oldest of three fell out.
    world.target.truth().live.remove("k0");
    by_hand(&world, "k9");
    let failure = world.step(RotationStep::Retire).expect("alive");
    assert_eq!(failure.expect_err("a person's business").code, "T-FIXED");
    assert_eq!(ids(&world), ["k1", "k9"], "ours stands, and so does theirs");
    let current = world.value(Slot::Current).expect("there");
    assert!(world.target.opens(&current));
}

#[tokio::test]
async fn d2_one_whose_answer_was_lost_is_found_where_it_stands() {
    let mut world = World::of(Strategy::Add, Known::Places).await;
    assert_eq!(world.step(RotationStep::Prepare), Some(Ok(())));
    by_hand(&world, "k9");
    for step in &RotationStep::ALL[1..] {
        assert_eq!(world.step(*step), Some(Ok(())), "{step:?}");
    }
    world.only_a_new_one_works();
    assert!(
        world.target.truth().ever.is_empty(),
        "no second one was made"
    );
    assert_eq!(world.value(Slot::Current).as_deref(), Some("k9 by hand"));
}

#[tokio::test]
async fn d2_one_that_could_not_be_saved_is_taken_up_by_the_next_attempt() {
    let mut world = World::of(Strategy::Add, Known::Places).await;
    assert_eq!(world.step(RotationStep::Prepare), Some(Ok(())));
    // Given that somebody writes to the vault between the look and the save.
    let (vault, owner) = (world.vault.clone(), world.owner.clone());
    let same = NewSecret {
        value: SecretString::from(FIRST),
        username: None,
        remote_ref: None,
        expires: None,
    };
    world.target.before_mint(move || {
        vault.put(&owner, same, NOW).expect("put");
    });
    let failure = world.step(RotationStep::Create).expect("alive");
    assert_eq!(failure.expect_err("overtaken").code, "CB-SECRETS-6");
    assert_eq!(
        ids(&world),
        ["k0", "k1"],
        "it stands, and nothing else went"
    );
    for step in &RotationStep::ALL[1..] {
        assert_eq!(world.step(*step), Some(Ok(())), "{step:?}");
    }
    world.only_a_new_one_works();
    assert_eq!(world.target.truth().ever.len(), 1, "no second one was made");
}
