//! Rotations broken off at every point, against a target that knows the truth.
//!
//! The driver plays the engine: it stores the facts of a finished step, repeats a step that failed
//! or whose worker died, and goes back from the proof to `retire` as `rotate_secret.toml` does. The
//! oracle looks after each step: something known to the vault always works; at the end exactly one.

mod denied;
mod ends;
mod overtaken;
mod persons;
mod places;
mod target;
mod timed;
mod trials;

use std::sync::Arc;

use futures_util::FutureExt;
use secrecy::{ExposeSecret, SecretString};

use self::target::{Fault, Known, NAMES, ROTATOR, Target};
use super::*;
use crate::connectors::fixture::{Moved, crm};
use crate::connectors::{Connector, Manifest};
use crate::domain::rotation::Trigger;
use crate::secrets::{LocalVault, NewSecret};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const FIRST: &str = "first";

struct World {
    target: Arc<Target>,
    guarded: Guarded,
    clock: Arc<Moved>,
    vault: LocalVault,
    secrets: Secrets,
    owner: Owner,
    body: RotationBody,
    now: Timestamp,
}

impl World {
    async fn new(strategy: Strategy) -> Self {
        Self::of(strategy, Known::Labels).await
    }

    async fn of(strategy: Strategy, known: Known) -> Self {
        let target = Arc::new(Target::new(strategy, known, FIRST));
        let clock = Moved::new();
        let mut manifest = crm();
        if strategy == Strategy::DualSlot {
            let writer = manifest.credentials.get_mut(&CredentialRole::Writer);
            let writer = writer.expect("a writer");
            writer.username = Some(NAMES[0].to_owned());
            writer.alternate = Some(NAMES[1].to_owned());
            writer.rotation = Some(strategy);
        }
        let vault = LocalVault::in_memory().expect("a vault");
        let secrets = Secrets::new(Arc::new(vault.clone()));
        for (role, value) in [
            (CredentialRole::Rotator, ROTATOR),
            (CredentialRole::Writer, FIRST),
        ] {
            put(&secrets, &manifest, role, value).await;
        }
        let connector: Arc<dyn Connector> = Arc::clone(&target) as _;
        Self {
            guarded: Guarded::new(manifest, connector, Arc::clone(&clock) as _),
            target,
            clock,
            vault,
            secrets,
            owner: Owner {
                reference: "local:crm/writer".to_owned(),
                connector: "crm".into(),
                role: CredentialRole::Writer,
            },
            body: body(strategy, "clawback:r1"),
            now: NOW,
        }
    }

    /// One step; `None` when the worker died in it.
    fn step(&mut self, step: RotationStep) -> Option<Result<(), Failure>> {
        let now = self.now;
        let work = self.secrets.perform(step, &self.body, &self.guarded, now);
        // Unconstrained: the runtime's own turn-taking must not look like a death.
        let result = tokio::task::unconstrained(work).now_or_never()?;
        Some(result.map(|facts| self.body.facts = facts))
    }

    /// The whole rotation as the workflow file has it; gives up after many failures in a row.
    fn rotate(&mut self) -> Result<(), Failure> {
        let mut at = 0;
        let mut failures = 0;
        let mut deaths = 0;
        while let Some(step) = RotationStep::ALL.get(at) {
            let result = self.step(*step);
            self.look(*step);
            match result {
                Some(Ok(())) => at += 1,
                // The breaker of the guard rests; waiting is the engine's.
                None => {
                    self.clock.advance(3600);
                    deaths += 1;
                    assert!(deaths < 12, "{step:?} never ends");
                }
                Some(Err(failure)) => {
                    self.clock.advance(3600);
                    failures += 1;
                    if failures > 12 {
                        return Err(failure);
                    }
                    if *step == RotationStep::ProveRejected
                        && failure.class == FailureClass::WriteFailure
                    {
                        at -= 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// The oracle between steps.
    fn look(&self, step: RotationStep) {
        let known = [Slot::Current, Slot::Pending].map(|slot| self.value(slot));
        assert!(
            known.iter().flatten().any(|value| self.target.opens(value)),
            "no working secret is known after {step:?}"
        );
        let most = self.target.truth().most;
        assert!(most <= 2, "{most} secrets at once after {step:?}");
        if self.body.strategy != Strategy::Choose {
            let current = self.value(Slot::Current).expect("never without");
            assert!(
                self.target.opens(&current),
                "the current one is dead after {step:?}"
            );
        }
    }

    /// The oracle at the end.
    fn only_a_new_one_works(&self) {
        let current = self.value(Slot::Current).expect("there");
        let live: Vec<_> = self
            .target
            .truth()
            .live
            .values()
            .map(|(value, _)| value.clone())
            .collect();
        assert_eq!(
            live,
            std::slice::from_ref(&current),
            "exactly one, and it is known"
        );
        assert_ne!(current, FIRST);
        assert_eq!(self.value(Slot::Pending), None);
        assert_eq!(self.value(Slot::Previous), None);
        assert!(self.body.facts.previous_rejected);
    }

    fn value(&self, slot: Slot) -> Option<String> {
        let revealed = self.vault.reveal(&self.owner, slot);
        let revealed = revealed.expect("readable")?;
        Some(revealed.value.expose_secret().to_owned())
    }
}

async fn put(secrets: &Secrets, manifest: &Manifest, role: CredentialRole, value: &str) {
    let new = NewSecret {
        value: SecretString::from(value),
        username: None,
        remote_ref: None,
        expires: None,
    };
    secrets.put(manifest, role, new, NOW).await.expect("put");
}

fn body(strategy: Strategy, label: &str) -> RotationBody {
    RotationBody {
        connector: "crm".into(),
        role: CredentialRole::Writer,
        strategy,
        trigger: Trigger::Demand {
            by: "ops".to_owned(),
        },
        facts: RotationFacts {
            label: label.to_owned(),
            ..RotationFacts::default()
        },
        promoted_at: None,
        last_failure: None,
        claim: None,
    }
}

/// Every strategy in which the machine does the work, and how the target knows secrets again.
const WAYS: [(Strategy, Known); 5] = [
    (Strategy::Add, Known::Labels),
    (Strategy::Add, Known::Ids),
    (Strategy::Add, Known::Places),
    (Strategy::Choose, Known::Labels),
    (Strategy::DualSlot, Known::Labels),
];

/// Calls that an undisturbed rotation makes.
async fn calls((strategy, known): (Strategy, Known)) -> u32 {
    let mut world = World::of(strategy, known).await;
    world.rotate().expect("undisturbed");
    world.only_a_new_one_works();
    world.target.truth().calls
}

#[tokio::test]
async fn d2_a_rotation_broken_off_at_any_call_ends_with_one_working_secret() {
    for (strategy, known) in WAYS {
        for number in 0..calls((strategy, known)).await {
            for fault in Fault::ALL {
                let mut world = World::of(strategy, known).await;
                world.target.truth().faults.insert(number, fault);
                let result = world.rotate();
                let way = format!("{strategy:?}, {known:?}, {fault:?} at {number}");
                assert_eq!(result, Ok(()), "{way}");
                assert_eq!(world.target.truth().struck, 1, "the fault did strike");
                world.only_a_new_one_works();
            }
        }
    }
}

#[tokio::test]
async fn d2_so_does_one_broken_off_twice() {
    let mut struck = 0;
    for (strategy, known) in WAYS {
        let calls = calls((strategy, known)).await;
        for first in 0..calls {
            for second in first + 1..first + 6 {
                for (one, two) in Fault::ALL.into_iter().zip([2, 3, 3, 1]) {
                    let mut world = World::of(strategy, known).await;
                    let faults = [(first, one), (second, Fault::ALL[two])];
                    world.target.truth().faults.extend(faults);
                    assert_eq!(world.rotate(), Ok(()), "{strategy:?}, {faults:?}");
                    struck += world.target.truth().struck;
                    world.only_a_new_one_works();
                }
            }
        }
    }
    assert!(struck > 400, "{struck} faults struck");
}

#[tokio::test]
async fn b2_every_step_can_be_repeated_after_it_worked_and_its_settlement_was_lost() {
    for (strategy, known) in WAYS {
        let mut world = World::of(strategy, known).await;
        for step in RotationStep::ALL {
            let before = world.body.clone();
            for _ in 0..3 {
                world.body = before.clone();
                let result = world.step(step).expect("alive");
                assert_eq!(result, Ok(()), "{strategy:?} {step:?}");
                world.look(step);
            }
        }
        world.only_a_new_one_works();
    }
}

#[tokio::test]
async fn d2_a_minted_secret_that_cannot_be_saved_is_taken_away_again() {
    let mut world = World::new(Strategy::Add).await;
    assert_eq!(world.step(RotationStep::Prepare), Some(Ok(())));
    world.vault.fail_writes(1);
    let failure = world.step(RotationStep::Create).expect("alive");
    assert_eq!(failure.expect_err("fails").code, "CB-SECRETS-11");
    assert!(
        world.target.truth().ever.is_empty(),
        "nothing is minted for a vault that can't be written"
    );
    // Written by somebody else between the look and the save.
    let vault = world.vault.clone();
    let owner = world.owner.clone();
    let create = |world: &mut World| world.step(RotationStep::Create);
    let sneak = NewSecret {
        value: SecretString::from("sneaked in"),
        username: None,
        remote_ref: None,
        expires: None,
    };
    world.target.truth().live.insert(
        "k9".to_owned(),
        ("sneaked in".to_owned(), "by hand".to_owned()),
    );
    world.target.before_mint(move || {
        vault.put(&owner, sneak, NOW).expect("put");
    });
    let failure = create(&mut world).expect("alive").expect_err("overtaken");
    assert_eq!(failure.code, "CB-SECRETS-6");
    let minted = world.target.truth().ever.clone();
    assert_eq!(minted.len(), 1);
    assert!(!world.target.opens(&minted[0]), "it was retired again");
}

#[tokio::test]
async fn d2_without_a_current_secret_a_rotation_makes_one() {
    let mut world = World::new(Strategy::Add).await;
    world.vault.remove(&world.owner).expect("removed");
    world.target.truth().live.clear();
    let manifest = world.guarded.manifest();
    let failure = world
        .secrets
        .credential(manifest, CredentialRole::Writer)
        .await
        .expect_err("none");
    assert_eq!(failure.class, FailureClass::AuthFailure);
    for step in RotationStep::ALL {
        assert_eq!(world.step(step), Some(Ok(())), "{step:?}");
    }
    world.only_a_new_one_works();
}

#[tokio::test]
async fn d2_an_expired_secret_is_replaced() {
    for strategy in [Strategy::Add, Strategy::Choose, Strategy::DualSlot] {
        let mut world = World::new(strategy).await;
        world.target.truth().live.clear();
        world.body.trigger = Trigger::AuthFailure;
        for step in RotationStep::ALL {
            assert_eq!(world.step(step), Some(Ok(())), "{strategy:?} {step:?}");
        }
        world.only_a_new_one_works();
    }
}

#[tokio::test]
async fn d2_an_old_secret_that_still_works_is_never_called_rejected() {
    let mut world = World::new(Strategy::Add).await;
    world.target.truth().forgetful = true;
    let failure = world.rotate().expect_err("it can't be proved");
    assert_eq!(failure.code, "CB-SECRETS-16");
    assert!(!world.body.facts.previous_rejected);
    assert_eq!(world.value(Slot::Previous).as_deref(), Some(FIRST), "kept");
    world.target.truth().forgetful = false;
    assert_eq!(world.rotate(), Ok(()), "taken up again from the start");
    world.only_a_new_one_works();
}

#[tokio::test]
async fn d2_a_target_that_refuses_everybody_proves_nothing() {
    let mut world = World::new(Strategy::Add).await;
    for step in &RotationStep::ALL[..5] {
        assert_eq!(world.step(*step), Some(Ok(())));
    }
    world.target.truth().locked = true;
    let failure = world.step(RotationStep::ProveRejected).expect("alive");
    assert_eq!(
        failure.expect_err("unproved").class,
        FailureClass::AuthFailure
    );
    assert_eq!(world.value(Slot::Previous).as_deref(), Some(FIRST));
}

#[tokio::test]
async fn d2_a_rotation_that_was_given_up_is_cleared_away_by_the_next() {
    for (strategy, known) in WAYS {
        for given_up_after in 1..RotationStep::ALL.len() {
            let mut world = World::of(strategy, known).await;
            for step in &RotationStep::ALL[..given_up_after] {
                assert_eq!(world.step(*step), Some(Ok(())));
            }
            world.body = body(strategy, "clawback:r2");
            assert_eq!(world.rotate(), Ok(()), "{strategy:?} {given_up_after}");
            world.only_a_new_one_works();
        }
    }
}

#[tokio::test]
async fn d2_a_persons_own_rotation_is_checked_by_trying_the_old_secret() {
    for strategy in [Strategy::Add, Strategy::Delegated] {
        let mut world = World::new(strategy).await;
        assert_eq!(world.step(RotationStep::Prepare), Some(Ok(())));
        let check = |world: &mut World| world.step(RotationStep::ProveRejected).expect("alive");
        let failure = check(&mut world).expect_err("nothing was done");
        assert_eq!(failure.code, "CB-SECRETS-15");

        let new = ("by hand".to_owned(), "by hand".to_owned());
        world.target.truth().live.insert("k7".to_owned(), new);
        let manifest = crm();
        put(&world.secrets, &manifest, CredentialRole::Writer, "by hand").await;
        let failure = check(&mut world).expect_err("the old one works");
        assert_eq!(failure.code, "CB-SECRETS-16");

        world.target.truth().live.remove("k0");
        for _ in 0..2 {
            assert_eq!(check(&mut world), Ok(()), "also when repeated");
        }
        world.only_a_new_one_works();
    }
}

#[tokio::test]
async fn d1_no_failure_or_debug_output_shows_a_value() {
    let mut world = World::new(Strategy::Choose).await;
    assert_eq!(world.step(RotationStep::Prepare), Some(Ok(())));
    let pending = world.value(Slot::Pending).expect("chosen");
    world.target.truth().locked = true;
    for step in RotationStep::ALL {
        let Some(Err(failure)) = world.step(step) else {
            continue;
        };
        let shown = format!("{failure} {failure:?}");
        assert!(
            !shown.contains(&pending) && !shown.contains(FIRST),
            "{shown}"
        );
    }
    let manifest = world.guarded.manifest();
    let credential = world
        .secrets
        .credential(manifest, CredentialRole::Writer)
        .await;
    let listed = world.secrets.list(std::iter::once(manifest), NOW).await;
    let shown = format!("{credential:?} {listed:?} {:?}", world.secrets);
    assert!(
        !shown.contains(&pending) && !shown.contains("\"first\""),
        "{shown}"
    );
}
