//! Values whose end the target sets by itself.
//!
//! Owns what the vault knows of such an end, wherever a rotation broke off, and what a rotation does that
//! could not move it. The world and its oracle are its parent's.

use super::*;
use crate::domain::time::after;

const CHOSEN: [(Strategy, Known); 2] = [
    (Strategy::Choose, Known::Labels),
    (Strategy::DualSlot, Known::Labels),
];

async fn ending(strategy: Strategy) -> (World, Timestamp) {
    let world = World::new(strategy).await;
    let end = after(NOW, 86_400);
    world.target.truth().ends = Some(end);
    (world, end)
}

impl World {
    fn end(&self, slot: Slot) -> Option<Timestamp> {
        let revealed = self.vault.reveal(&self.owner, slot).expect("readable");
        revealed.expect("there").record.expires
    }
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
        let later = after(end, 86_400);
        world.target.truth().ends = Some(later);
        assert_eq!(world.rotate(), Ok(()));
        assert_ne!(world.value(Slot::Current), kept);
        assert_eq!(world.end(Slot::Current), Some(later));
    }
}
