//! Values whose end the target sets by itself.
//!
//! Owns what the vault knows of such an end, wherever a rotation broke off, and what a rotation does that
//! could not move it, or that came too late for it. The world and its oracle are its parent's.

use super::*;
use crate::domain::time::after;

const CHOSEN: [(Strategy, Known); 2] = [
    (Strategy::Choose, Known::Labels),
    (Strategy::DualSlot, Known::Labels),
];

const DAY: u64 = 86_400;

async fn ending(strategy: Strategy) -> (World, Timestamp) {
    let world = World::new(strategy).await;
    let end = after(NOW, DAY);
    world.target.truth().ends = Some(end);
    (world, end)
}

impl World {
    fn end(&self, slot: Slot) -> Option<Timestamp> {
        let revealed = self.vault.reveal(&self.owner, slot).expect("readable");
        revealed.expect("there").record.expires
    }

    fn wait(&mut self, seconds: u64) {
        self.now = after(self.now, seconds);
        self.target.truth().now = self.now;
        self.clock.advance(seconds);
    }
}

/// A target that ends each password that a rotation sets after a day, because the manifest says so.
async fn lasting(strategy: Strategy) -> World {
    let mut world = World::new(strategy).await;
    let mut manifest = world.guarded.manifest().clone();
    let writer = manifest.credentials.get_mut(&CredentialRole::Writer);
    writer.expect("a writer").lasts_seconds = Some(DAY);
    let connector: Arc<dyn Connector> = Arc::clone(&world.target) as _;
    world.guarded = Guarded::new(manifest, connector, Arc::clone(&world.clock) as _);
    world
}

#[tokio::test]
async fn d4_the_vault_knows_the_end_that_the_target_gives_a_password_wherever_the_rotation_breaks()
{
    for (strategy, known) in CHOSEN {
        for number in 0..calls((strategy, known)).await {
            for fault in Fault::ALL {
                let (mut world, end) = ending(strategy).await;
                world.target.truth().faults.insert(number, fault);
                assert_eq!(
                    world.rotate(),
                    Ok(()),
                    "{strategy:?}, {fault:?} at {number}"
                );
                assert_eq!(world.target.truth().struck, 1, "{fault:?} at {number}");
                assert_eq!(world.end(Slot::Current), Some(end), "{fault:?} at {number}");
                world.only_a_new_one_works();
            }
        }
    }
}

#[tokio::test]
async fn d4_a_target_that_does_not_show_the_end_keeps_no_password_from_use() {
    for (strategy, _) in CHOSEN {
        let (mut world, _) = ending(strategy).await;
        world.target.truth().hides_ends = true;
        assert_eq!(world.rotate(), Ok(()));
        world.only_a_new_one_works();
        assert_eq!(world.end(Slot::Current), None);
    }
}

#[tokio::test]
async fn d4_what_would_end_no_later_does_not_replace_what_ends() {
    for (strategy, _) in CHOSEN {
        let (mut world, end) = ending(strategy).await;
        world.rotate().expect("undisturbed");
        let (kept, made) = (world.value(Slot::Current), world.target.truth().ever.len());
        world.body = body(strategy, "clawback:r2");
        world.body.trigger = Trigger::Expiry {
            seconds_left: 3_600,
        };
        assert_eq!(world.step(RotationStep::Prepare), Some(Ok(())));
        let failure = world.step(RotationStep::Create).expect("alive");
        let failure = failure.expect_err("a person's");
        let found = (failure.class, failure.code.as_str());
        assert_eq!(found, (FailureClass::Unsupported, "CB-SECRETS-33"));
        assert_eq!(world.target.truth().ever.len(), made, "nothing was set");
        assert_eq!(world.value(Slot::Current), kept);
        // When somebody has moved the end, it goes on.
        let later = after(end, DAY);
        world.target.truth().ends = Some(later);
        assert_eq!(world.rotate(), Ok(()));
        assert_ne!(world.value(Slot::Current), kept);
        assert_eq!(world.end(Slot::Current), Some(later));
    }
}

#[tokio::test]
async fn d4_a_value_that_is_set_late_gets_a_whole_life_and_ends_no_working_one_before_it_opens() {
    for (strategy, _) in CHOSEN {
        for (waited, begun) in [(DAY / 4, 0), (DAY * 3 / 4, DAY * 3 / 4), (2 * DAY, 2 * DAY)] {
            let mut world = lasting(strategy).await;
            assert_eq!(world.step(RotationStep::Prepare), Some(Ok(())));
            let drawn = world.value(Slot::Pending);
            // Given a rotator that is refused for so long.
            world.target.truth().rotator = Some("another".to_owned());
            let failure = world.step(RotationStep::Create).expect("alive");
            assert!(failure.is_err(), "{failure:?}");
            world.wait(waited);
            world.target.truth().rotator = None;
            let found = world.rotate();
            let way = format!("{strategy:?}, {waited} s late");
            assert_eq!(found, Ok(()), "{way}");
            assert_eq!(world.value(Slot::Current), drawn, "{way}: the same value");
            let end = after(NOW, begun + DAY);
            assert_eq!(world.end(Slot::Current), Some(end), "{way}");
            world.only_a_new_one_works();
            assert!(world.target.opens(&drawn.expect("drawn")), "{way}");
        }
    }
}
