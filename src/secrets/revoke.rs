//! The end of a connector's own access, when the connector is retired.
//!
//! Owns taking every secret of a credential away at the target and seeing each refused, before the
//! vault forgets it. What is forgotten first could never be proved. May be repeated: what a person
//! took away by hand is seen refused as well. Asks nobody whether a connector may be retired.

use secrecy::SecretString;
use serde::Serialize;

use super::rotate::{draw, still_accepted};
use super::{Owner, Secrets, Slot};
use crate::connectors::{Credential, CredentialDeclaration, Guarded, MintOrder};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::rotation::Strategy;
use crate::domain::verdict::CredentialRole;

/// Labels of secrets that rotations made begin like this.
const OWN_LABEL: &str = "clawback:";

/// What became of one credential.
#[derive(Debug, Clone, Serialize)]
pub struct Revoked {
    /// Which.
    pub role: CredentialRole,
    /// How many of its values were seen to be refused.
    pub proved: usize,
    /// Why it still stands; then a person takes it away, and this is done again.
    pub failure: Option<Failure>,
}

impl Secrets {
    /// Revokes the connector's own access at its target, the rotator's last.
    pub async fn revoke(&self, connector: &Guarded) -> Vec<Revoked> {
        let mut all = Vec::new();
        for role in [
            CredentialRole::Writer,
            CredentialRole::Verifier,
            CredentialRole::Rotator,
        ] {
            let Some(declared) = connector.manifest().credentials.get(&role) else {
                continue;
            };
            if !declared.needs_secret() {
                continue;
            }
            let owner = Owner {
                reference: declared.secret.clone(),
                connector: connector.name().clone(),
                role,
            };
            let ending = Ending {
                secrets: self,
                connector,
                declared,
                owner,
            };
            let (proved, failure) = match ending.end().await {
                Ok(proved) => (proved, None),
                Err(failure) => (0, Some(failure)),
            };
            all.push(Revoked {
                role,
                proved,
                failure,
            });
        }
        all
    }
}

struct Ending<'a> {
    secrets: &'a Secrets,
    connector: &'a Guarded,
    declared: &'a CredentialDeclaration,
    owner: Owner,
}

impl Ending<'_> {
    /// How many values were seen to be refused.
    async fn end(&self) -> Result<usize, Failure> {
        let mut held = Vec::new();
        for slot in Slot::ALL {
            let one = self.secrets.in_slot(&self.owner, self.declared, slot);
            held.extend(one.await?);
        }
        if held.is_empty() {
            return Ok(0);
        }
        if !self.all_refused(&held).await? {
            self.take_away(&held).await?;
            if !self.all_refused(&held).await? {
                return Err(still_accepted());
            }
        }
        self.a_refusal_means_something().await?;
        self.secrets.vault().remove(&self.owner).await?;
        Ok(held.len())
    }

    async fn all_refused(&self, held: &[Credential]) -> Result<bool, Failure> {
        for credential in held {
            match self.connector.try_credential(credential).await {
                Ok(()) => return Ok(false),
                Err(failure) if failure.class == FailureClass::AuthFailure => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(true)
    }

    /// A target that refuses everybody proves nothing: one that goes later, the rotator if there is
    /// one, is still let in. For the last there is nobody left to compare with.
    async fn a_refusal_means_something(&self) -> Result<(), Failure> {
        let later = match self.owner.role {
            CredentialRole::Writer => &[CredentialRole::Rotator, CredentialRole::Verifier][..],
            CredentialRole::Verifier => &[CredentialRole::Rotator],
            CredentialRole::Rotator => &[],
        };
        let manifest = self.connector.manifest();
        let declared = |role: &&CredentialRole| manifest.credentials.contains_key(role);
        let Some(role) = later.iter().find(declared) else {
            return Ok(());
        };
        let other = self.secrets.credential(manifest, *role).await?;
        self.connector.try_credential(&other).await
    }

    async fn take_away(&self, held: &[Credential]) -> Result<(), Failure> {
        let role = self.owner.role;
        match self.declared.rotation {
            Some(Strategy::Add) => {
                let rotator = self.rotator().await?;
                let ours = |remote_ref: &str, label: &str| {
                    let mut kept = held.iter().map(|one| one.remote_ref.as_deref());
                    label.starts_with(OWN_LABEL) || kept.any(|kept| kept == Some(remote_ref))
                };
                for known in self.connector.minted(&rotator, role).await? {
                    if ours(&known.remote_ref, &known.label) {
                        self.connector
                            .retire(&rotator, role, &known.remote_ref)
                            .await?;
                    }
                }
                Ok(())
            }
            Some(Strategy::Choose) => {
                // A value that nobody keeps: from then on nobody knows one.
                self.set(draw()?).await
            }
            Some(Strategy::DualSlot) => {
                let rotator = self.rotator().await?;
                let names = [&self.declared.username, &self.declared.alternate];
                for name in names.into_iter().flatten() {
                    self.connector.retire(&rotator, role, name).await?;
                }
                Ok(())
            }
            Some(Strategy::Delegated) | None => Err(Failure::new(
                FailureClass::Unsupported,
                "CB-SECRETS-23",
                format!(
                    "the machine cannot take the {}'s access away: do it at the target, then \
                     retire the connector once more, to see it refused",
                    role.as_str()
                ),
            )),
        }
    }

    async fn set(&self, value: SecretString) -> Result<(), Failure> {
        let order = MintOrder {
            role: self.owner.role,
            label: format!("{OWN_LABEL}retired"),
            username: None,
            chosen: Some(value),
        };
        let rotator = self.rotator().await?;
        self.connector.mint(&rotator, &order).await.map(drop)
    }

    async fn rotator(&self) -> Result<Credential, Failure> {
        let manifest = self.connector.manifest();
        self.secrets
            .credential(manifest, CredentialRole::Rotator)
            .await
    }
}
