//! What the other rooms ask for: a credential for a call, the ages, the list, one rotation step.
//!
//! Owns the way from a manifest's reference to a value. A value leaves only as a [`Credential`]
//! that is dropped, and wiped, after the call. Lists never carry values.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::rotate::Rotation;
use super::{Change, NewSecret, Owner, SecretRecord, Slot, SlotRecord, Vault, VaultError};
use crate::connectors::{Credential, CredentialDeclaration, Guarded, Manifest};
use crate::domain::expiry::{self, Alarm};
use crate::domain::id::ConnectorName;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::rotation::{RotationBody, RotationFacts, Rotations, SecretAge, Strategy};
use crate::domain::time::Timestamp;
use crate::domain::verdict::CredentialRole;
use crate::domain::workflow::RotationStep;

/// How long a vault may take to tell of one secret, when many are looked at.
const ANSWER_SECONDS: u64 = 10;

/// So many secrets are asked for at once.
const AT_ONCE: usize = 64;

/// A declared secret, and what is kept of it.
type Recorded<'m> = (
    &'m Manifest,
    CredentialRole,
    &'m CredentialDeclaration,
    Result<Option<SecretRecord>, VaultError>,
);

/// The connectors' secrets.
#[derive(Debug, Clone)]
pub struct Secrets {
    vault: Arc<dyn Vault>,
}

/// How old the secrets are, as far as the vault tells.
#[derive(Debug, Clone, Default)]
pub struct Ages {
    /// Those that are there.
    pub known: Vec<SecretAge>,
    /// Those of which the vault does not tell.
    pub unreadable: Vec<Unreadable>,
}

/// A secret whose record cannot be read, and so is not known to be in time.
#[derive(Debug, Clone)]
pub struct Unreadable {
    /// Whose.
    pub connector: ConnectorName,
    /// Which of its credentials.
    pub role: CredentialRole,
    /// Why.
    pub failure: Failure,
}

/// One line of the list of secrets: what is declared and what is kept. No value.
#[derive(Debug, Clone, Serialize)]
pub struct SecretListing {
    /// Whose.
    pub connector: ConnectorName,
    /// Which of its credentials.
    pub role: CredentialRole,
    /// Where the manifest says that it lies.
    pub reference: String,
    /// How it is replaced; `None` means that the machine can't.
    pub rotation: Option<Strategy>,
    /// The oldest it may become.
    pub max_age_seconds: Option<u64>,
    /// Age of the current value; `None` when the vault has none.
    pub age_seconds: Option<u64>,
    /// When the target stops taking it, where that is known.
    pub expires: Option<Timestamp>,
    /// What is wrong with its time, if anything.
    pub alarm: Option<Alarm>,
    /// Who could read it, as the manifest says.
    pub known_by: Vec<String>,
    /// When a rotation made the current value; `None` for one that an operator put in.
    pub rotated: Option<Timestamp>,
    /// When a replaced value was last seen to be refused.
    pub proved: Option<Timestamp>,
    /// What the vault keeps under the reference.
    pub record: Option<SecretRecord>,
    /// Why the vault does not tell, if it does not.
    pub unreadable: Option<Failure>,
}

impl Secrets {
    /// Over this vault.
    pub fn new(vault: Arc<dyn Vault>) -> Self {
        Self { vault }
    }

    /// The credential to sign in with; one without a value for `none:<name>`. Looked up for
    /// each call, so that a replaced secret is used at once: one `stat` and one decryption, or one
    /// request to the vault's server.
    ///
    /// # Errors
    /// `auth_failure` when the vault has no such secret, so that a rotation may make one.
    pub async fn credential(
        &self,
        manifest: &Manifest,
        role: CredentialRole,
    ) -> Result<Credential, Failure> {
        let (owner, declared) = declared(manifest, role)?;
        if !declared.needs_secret() {
            return Ok(Credential {
                role,
                version: 0,
                remote_ref: None,
                username: declared.username.clone(),
                secret: String::new().into(),
            });
        }
        self.in_slot(&owner, declared, Slot::Current)
            .await?
            .ok_or_else(|| VaultError::missing(&owner.reference, Slot::Current).into())
    }

    /// A secret that is kept for a probe: of an account that is tried, or of a control. `None` when
    /// the vault has no such secret.
    ///
    /// # Errors
    /// When the vault cannot be read.
    pub async fn kept(
        &self,
        connector: &ConnectorName,
        reference: &str,
    ) -> Result<Option<SecretString>, Failure> {
        let revealed = self
            .vault
            .reveal(&Owner::of_probe(connector, reference), Slot::Current)
            .await?;
        Ok(revealed.map(|revealed| revealed.value))
    }

    /// Puts a secret in for a probe; returns its version.
    ///
    /// # Errors
    /// When the vault cannot be written.
    pub async fn keep(
        &self,
        connector: &ConnectorName,
        reference: &str,
        new: NewSecret,
        now: Timestamp,
    ) -> Result<u64, Failure> {
        let owner = Owner::of_probe(connector, reference);
        Ok(self
            .vault
            .change(&owner, Change::Put { new, at: now })
            .await?)
    }

    /// Carries out one step of a rotation. May be repeated after a crash or a lost answer at any
    /// instant; returns what is known afterwards.
    pub async fn perform(
        &self,
        step: RotationStep,
        body: &RotationBody,
        connector: &Guarded,
        now: Timestamp,
    ) -> Result<RotationFacts, Failure> {
        let (owner, declared) = declared(connector.manifest(), body.role)?;
        let rotation = Rotation {
            secrets: self,
            owner,
            declared,
            body,
            connector,
            now,
        };
        rotation.perform(step).await
    }

    /// Puts an operator's own value in as current; returns the secret's version. Where they tell no sign-in
    /// name, it goes with the one that is declared now: once it is replaced it is tried under that one,
    /// whatever the manifest says by then.
    pub async fn put(
        &self,
        manifest: &Manifest,
        role: CredentialRole,
        mut new: NewSecret,
        now: Timestamp,
    ) -> Result<u64, Failure> {
        let (owner, declared) = declared(manifest, role)?;
        if new.username.is_none() && !self.is_kept(&owner, declared, &new).await? {
            new.username.clone_from(&declared.username);
        }
        Ok(self
            .vault
            .change(&owner, Change::Put { new, at: now })
            .await?)
    }

    /// Whether the value in use is this one, under a name that the manifest declares: then it stays as it is.
    async fn is_kept(
        &self,
        owner: &Owner,
        declared: &CredentialDeclaration,
        new: &NewSecret,
    ) -> Result<bool, Failure> {
        let Some(held) = self.vault.reveal(owner, Slot::Current).await? else {
            return Ok(false);
        };
        let name = held.record.username;
        let is_declared = name == declared.username || name == declared.alternate;
        let same = held.value.expose_secret() == new.value.expose_secret();
        Ok(same && (name.is_none() || is_declared))
    }

    /// What the sweep looks at. One that cannot be read keeps no other from being known.
    pub async fn ages<'m>(
        &self,
        manifests: impl Iterator<Item = &'m Manifest>,
        rotations: &Rotations,
    ) -> Ages {
        let mut ages = Ages::default();
        for (manifest, role, declared, read) in self.records(manifests).await {
            let record = match read {
                Ok(record) => record,
                Err(error) => {
                    ages.unreadable.push(Unreadable {
                        connector: manifest.name.clone(),
                        role,
                        failure: error.into(),
                    });
                    continue;
                }
            };
            let Some(current) = record.and_then(|record| record.current) else {
                continue;
            };
            ages.known.push(SecretAge {
                rotating: rotations.open.contains(&(manifest.name.clone(), role)),
                attested: rotations.attested(&manifest.name, role, current.version),
                ..age(manifest, role, declared, &current)
            });
        }
        ages
    }

    /// What is kept of every declared secret, in their order.
    async fn records<'m>(
        &self,
        manifests: impl Iterator<Item = &'m Manifest>,
    ) -> Vec<Recorded<'m>> {
        let declared = manifests.flat_map(|manifest| {
            let declared = manifest.credentials.iter();
            declared.map(move |(role, declared)| (manifest, *role, declared))
        });
        let declared: Vec<_> = declared.collect();
        let owners = declared.iter().map(|(manifest, role, declared)| {
            let owner = || owner(manifest, *role, declared);
            declared.needs_secret().then(owner)
        });
        let read = self.kept_of(&owners.collect::<Vec<_>>()).await;
        let kept = declared.into_iter().zip(read);
        kept.map(|((manifest, role, declared), read)| (manifest, role, declared, read))
            .collect()
    }

    /// What is kept for each of these, in their order; nothing where no owner is named. They are asked
    /// for side by side: a vault that hangs costs one wait, and not one for each.
    pub async fn kept_of(
        &self,
        owners: &[Option<Owner>],
    ) -> Vec<Result<Option<SecretRecord>, VaultError>> {
        let mut kept = Vec::with_capacity(owners.len());
        for some in owners.chunks(AT_ONCE) {
            let read = some.iter().map(async |owner| match owner {
                Some(owner) => self.record(owner).await,
                None => Ok(None),
            });
            kept.extend(join_all(read).await);
        }
        kept
    }

    /// What is kept of one secret, by a vault that answers in time.
    async fn record(&self, owner: &Owner) -> Result<Option<SecretRecord>, VaultError> {
        let within = Duration::from_secs(ANSWER_SECONDS);
        let read = tokio::time::timeout(within, self.vault.record(owner)).await;
        read.unwrap_or_else(|_elapsed| {
            Err(VaultError::Away {
                request: format!("the read of {}", owner.reference),
                message: format!("no end within {ANSWER_SECONDS} s"),
                sent: false,
            })
        })
    }

    /// Every declared secret with what is kept of it. One that cannot be read is told as such, and
    /// keeps no other from being told.
    pub async fn list<'m>(
        &self,
        manifests: impl Iterator<Item = &'m Manifest>,
        now: Timestamp,
    ) -> Vec<SecretListing> {
        let mut lines = Vec::new();
        for (manifest, role, declared, read) in self.records(manifests).await {
            let (record, unreadable) = match read {
                Ok(record) => (record, None),
                Err(error) => (None, Some(Failure::from(error))),
            };
            let current = record.as_ref().and_then(|record| record.current.as_ref());
            let alarm = match current {
                Some(current) => expiry::alarm(&age(manifest, role, declared, current), now),
                None if unreadable.is_some() => None,
                None => declared.needs_secret().then_some(Alarm::Missing),
            };
            lines.push(SecretListing {
                alarm,
                connector: manifest.name.clone(),
                role,
                reference: declared.secret.clone(),
                rotation: declared.rotation,
                max_age_seconds: declared.max_age_seconds,
                age_seconds: current.map(|current| {
                    u64::try_from(now.duration_since(current.created).as_secs()).unwrap_or(0)
                }),
                expires: current.and_then(|current| current.expires),
                known_by: declared.known_by.iter().cloned().collect(),
                rotated: current.and_then(|one| one.label.is_some().then_some(one.created)),
                proved: record.as_ref().and_then(|record| record.proved_at),
                record,
                unreadable,
            });
        }
        lines
    }

    pub(super) fn vault(&self) -> &dyn Vault {
        self.vault.as_ref()
    }

    /// The value of a slot, ready to sign in with: under its own name, and under the declared one where the
    /// vault knows none, as of values that were put in before it kept names.
    pub(super) async fn in_slot(
        &self,
        owner: &Owner,
        declared: &CredentialDeclaration,
        slot: Slot,
    ) -> Result<Option<Credential>, Failure> {
        let revealed = self.vault.reveal(owner, slot).await?;
        Ok(revealed.map(|revealed| Credential {
            role: owner.role,
            version: revealed.record.version,
            remote_ref: revealed.record.remote_ref,
            username: revealed
                .record
                .username
                .or_else(|| declared.username.clone()),
            secret: revealed.value,
        }))
    }
}

/// What is known of a current secret's time.
fn age(
    manifest: &Manifest,
    role: CredentialRole,
    declared: &CredentialDeclaration,
    current: &SlotRecord,
) -> SecretAge {
    SecretAge {
        connector: manifest.name.clone(),
        role,
        created: current.created,
        max_age_seconds: declared.max_age_seconds,
        expires: current.expires,
        renew_before_seconds: declared.renew_before_seconds,
        rotating: false,
        attested: None,
    }
}

fn owner(manifest: &Manifest, role: CredentialRole, declared: &CredentialDeclaration) -> Owner {
    Owner {
        reference: declared.secret.clone(),
        connector: manifest.name.clone(),
        role,
    }
}

fn declared(
    manifest: &Manifest,
    role: CredentialRole,
) -> Result<(Owner, &CredentialDeclaration), Failure> {
    match manifest.credentials.get(&role) {
        Some(declared) => Ok((owner(manifest, role, declared), declared)),
        None => Err(Failure::new(
            FailureClass::Unsupported,
            "CB-SECRETS-13",
            format!("{} declares no {}", manifest.name, role.as_str()),
        )),
    }
}
