//! The end of a connector's own access, when the connector is retired.
//!
//! Owns what the steps of a rotation mean where nothing takes the secret's place: it is taken away at
//! the target and seen refused, beside a control, before the vault forgets it. What the machine cannot
//! take away, cannot try or cannot tell from an outage is an error that leads to a person. Every step
//! may be repeated. Asks nobody whether a connector may be retired.

use secrecy::SecretString;

use super::proof::still_accepted;
use super::{Answer, Rotation, draw};
use crate::connectors::Credential;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::rotation::{RotationFacts, Strategy, Trigger, own_labels};
use crate::domain::verdict::CredentialRole;
use crate::domain::workflow::RotationStep;
use crate::secrets::{Change, Owner, SecretRecord, Slot};

/// The credentials of a connector.
const ROLES: [CredentialRole; 3] = [
    CredentialRole::Writer,
    CredentialRole::Verifier,
    CredentialRole::Rotator,
];

impl Rotation<'_> {
    /// True where the secret is to end, and nothing takes its place.
    pub(super) fn is_ending(&self) -> bool {
        matches!(self.body.trigger, Trigger::Retired { .. })
    }

    /// One step of the end; those that make a new secret have nothing to do.
    pub(super) async fn end(&self, step: RotationStep) -> Result<RotationFacts, Failure> {
        match step {
            RotationStep::Prepare => self.look_before().await,
            RotationStep::Retire => self.take_away().await,
            RotationStep::ProveRejected => self.prove_ended().await,
            RotationStep::Create | RotationStep::Test | RotationStep::Promote => {
                Ok(self.body.facts.clone())
            }
        }
    }
    /// Whether the secret opens the target now: that it does not later is worth something then.
    async fn look_before(&self) -> Result<RotationFacts, Failure> {
        let mut facts = self.body.facts.clone();
        if self.record().await?.as_ref().is_some_and(is_over) {
            // An earlier retirement saw it refused.
            facts.needless = true;
            facts.previous_rejected = true;
            return Ok(facts);
        }
        for credential in self.held().await? {
            facts.seen_accepted |= self.ask(&credential).await? == Answer::Accepted;
        }
        Ok(facts)
    }

    async fn take_away(&self) -> Result<RotationFacts, Failure> {
        let mut facts = self.body.facts.clone();
        let held = self.held().await?;
        self.others_are_gone().await?;
        if self.all_refused(&held).await? {
            return Ok(facts);
        }
        facts.seen_accepted = true;
        match self.declared.rotation {
            Some(Strategy::Add) => self.retire_ours(&held).await?,
            // A value that nobody keeps: from then on nobody knows one.
            Some(Strategy::Choose) => self.set(draw()?).await?,
            Some(Strategy::DualSlot) => {
                let rotator = self.rotator().await?;
                for name in self.slots()? {
                    self.retire_one(&rotator, name).await?;
                }
            }
            Some(Strategy::Delegated) | None => {
                return Err(self.for_person(
                    "CB-SECRETS-23",
                    "the machine cannot take this access away: it is to be done at the target",
                ));
            }
        }
        Ok(facts)
    }

    async fn prove_ended(&self) -> Result<RotationFacts, Failure> {
        let mut facts = self.body.facts.clone();
        facts.previous_rejected = true;
        let record = self.record().await?;
        if record.is_some_and(|record| record.proved == Some(self.label()) && is_over(&record)) {
            return Ok(facts);
        }
        let held = self.held().await?;
        if !self.all_refused(&held).await? {
            return Err(still_accepted());
        }
        self.a_refusal_means_something().await?;
        let (proved, at) = (self.label(), self.now);
        // All versions that the vault may keep go first; what is written then says only that it is over.
        self.secrets.vault().remove(&self.owner).await?;
        self.change(Change::End { proved, at }).await?;
        Ok(facts)
    }

    /// Every value that is kept. None means that nothing can be tried, which is no proof.
    async fn held(&self) -> Result<Vec<Credential>, Failure> {
        let mut held = Vec::new();
        for slot in Slot::ALL {
            held.extend(self.in_slot(slot).await?);
        }
        if held.is_empty() {
            return Err(self.for_person(
                "CB-SECRETS-24",
                "the vault holds no value of it, so nobody can show that the target refuses it",
            ));
        }
        Ok(held)
    }

    async fn all_refused(&self, held: &[Credential]) -> Result<bool, Failure> {
        for credential in held {
            if self.opens(credential).await? || self.opens_as_declared(credential).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The rotator takes the others away, so it goes last.
    async fn others_are_gone(&self) -> Result<(), Failure> {
        if self.body.role != CredentialRole::Rotator {
            return Ok(());
        }
        for role in [CredentialRole::Writer, CredentialRole::Verifier] {
            if self.other(role).await?.is_some() {
                return Err(Failure::new(
                    FailureClass::PartialSuccess,
                    "CB-SECRETS-25",
                    format!(
                        "the {}'s access stands; the rotator goes after it",
                        role.as_str()
                    ),
                ));
            }
        }
        Ok(())
    }

    /// A target that refuses everybody proves nothing. Either another secret of the connector is
    /// accepted now, or, where there is none left, this one was accepted before it was taken away.
    async fn a_refusal_means_something(&self) -> Result<(), Failure> {
        let mut others = 0;
        for role in ROLES.into_iter().filter(|role| *role != self.body.role) {
            if let Some(other) = self.other(role).await? {
                others += 1;
                if self.ask(&other).await? == Answer::Accepted {
                    return Ok(());
                }
            }
        }
        if others > 0 {
            return Err(Failure::new(
                FailureClass::StaleData,
                "CB-SECRETS-26",
                "the target refuses every secret that could be tried, which proves nothing about this one",
            ));
        }
        if self.body.facts.seen_accepted {
            return Ok(());
        }
        Err(self.for_person(
            "CB-SECRETS-27",
            "the target refuses it, but was never seen to accept it, and no other secret is left to compare with",
        ))
    }

    /// Another credential of the connector, where the vault still keeps its value.
    async fn other(&self, role: CredentialRole) -> Result<Option<Credential>, Failure> {
        let manifest = self.connector.manifest();
        let declared = manifest.credentials.get(&role);
        let Some(declared) = declared.filter(|declared| declared.needs_secret()) else {
            return Ok(None);
        };
        let owner = Owner {
            reference: declared.secret.clone(),
            connector: manifest.name.clone(),
            role,
        };
        self.secrets.in_slot(&owner, declared, Slot::Current).await
    }

    /// What rotations of this credential made, and what the vault knows by its id; where it knows none, the
    /// only one.
    async fn retire_ours(&self, held: &[Credential]) -> Result<(), Failure> {
        let rotator = self.rotator().await?;
        let listed = self.listed(&rotator).await?;
        // Other connectors may have theirs under the same account of the target.
        let own = own_labels(&self.body.connector, self.body.role);
        let mut ours: Vec<_> = listed
            .iter()
            .filter(|known| {
                known.label.starts_with(&own) || held.iter().any(|one| known.is_of(one))
            })
            .collect();
        if let ([], [only]) = (ours.as_slice(), listed.as_slice()) {
            ours.push(only);
        }
        if ours.is_empty() {
            return Err(self.for_person(
                "CB-SECRETS-23",
                "the target lists several secrets, and the vault does not know which of them it is",
            ));
        }
        // Room first: what cannot go where it stands goes when another comes to stand there.
        ours.sort_by_key(|known| known.fixed);
        for known in ours {
            if known.fixed {
                // Its value is kept by nobody, and nobody knows it from then on.
                self.mint_another(&rotator).await?;
            }
            self.retire_one(&rotator, &known.remote_ref).await?;
        }
        Ok(())
    }

    async fn mint_another(&self, rotator: &Credential) -> Result<(), Failure> {
        let order = self.order(None);
        self.connector.mint(rotator, &order).await.map(drop)
    }

    async fn set(&self, value: SecretString) -> Result<(), Failure> {
        let order = self.order(Some(value));
        let rotator = self.rotator().await?;
        self.connector.mint(&rotator, &order).await.map(drop)
    }

    /// What no further try cures.
    fn for_person(&self, code: &str, why: &str) -> Failure {
        let role = self.body.role.as_str();
        let message = format!("the {role}'s access may still stand: {why}");
        Failure::new(FailureClass::Unsupported, code, message)
    }
}

/// Nothing is kept any more, and it was seen refused.
fn is_over(record: &SecretRecord) -> bool {
    let kept = [&record.current, &record.pending, &record.previous];
    record.proved.is_some() && kept.iter().all(|slot| slot.is_none())
}
