//! One secret: its slots and the moves between them.
//!
//! Owns what each [`Change`] means for the slots `current`, `pending` and `previous` of one secret:
//! never more than one of each, each move idempotent by the rotation's label. Every vault keeps
//! secrets in its own way and moves them by these rules. Touches neither file nor network, and seals
//! nothing.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::VaultError;
use crate::domain::id::ConnectorName;
use crate::domain::time::Timestamp;
use crate::domain::verdict::CredentialRole;

/// Which of a secret's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The one that calls use.
    Current,
    /// Made by a rotation that has not promoted it.
    Pending,
    /// Replaced, and not yet shown to be rejected.
    Previous,
}

impl Slot {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Current, Self::Pending, Self::Previous];

    /// The name in messages and in the seal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Pending => "pending",
            Self::Previous => "previous",
        }
    }
}

/// Whose secret, and under which reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// As the manifest writes it: `local:crm/writer`.
    pub reference: String,
    /// The connector.
    pub connector: ConnectorName,
    /// Which of its credentials.
    pub role: CredentialRole,
}

impl Owner {
    /// Of a secret that is kept for a probe of this connector. Only ever used to look, so kept as the
    /// verifier's.
    pub fn of_probe(connector: &ConnectorName, reference: &str) -> Self {
        Self {
            reference: reference.to_owned(),
            connector: connector.clone(),
            role: CredentialRole::Verifier,
        }
    }

    /// One connector's path can't reach another's secret.
    pub(super) fn is(
        &self,
        connector: &ConnectorName,
        role: CredentialRole,
    ) -> Result<(), VaultError> {
        if self.connector == *connector && self.role == role {
            Ok(())
        } else {
            Err(VaultError::foreign(&self.reference, connector, role))
        }
    }
}

/// What is known of a value without the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRecord {
    /// Never used twice within a secret.
    pub version: u64,
    /// When the value was made.
    pub created: Timestamp,
    /// When the target stops taking it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The rotation that made it; `None` for one that an operator put in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The target's id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_ref: Option<String>,
    /// Sign-in name that goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The version of the value whose place it took, where that is known: the one that has to be refused
    /// before this one counts as a replacement. Need not be the one that is kept as previous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<u64>,
}

/// A value on its way into the vault.
#[derive(Debug, Clone)]
pub struct NewSecret {
    /// The value.
    pub value: SecretString,
    /// Sign-in name that goes with it; where none is given or declared, a rotation keeps the current one.
    pub username: Option<String>,
    /// The target's id of it.
    pub remote_ref: Option<String>,
    /// When the target stops taking it, where that is known.
    pub expires: Option<Timestamp>,
}

/// A value on its way out.
#[derive(Debug, Clone)]
pub struct Revealed {
    /// What is known of it.
    pub record: SlotRecord,
    /// The value.
    pub value: SecretString,
}

/// One secret without its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretRecord {
    /// As the manifest writes it.
    pub reference: String,
    /// Whose.
    pub connector: ConnectorName,
    /// Which of its credentials.
    pub role: CredentialRole,
    /// Counts its changes.
    pub version: u64,
    /// The one that calls use.
    pub current: Option<SlotRecord>,
    /// Made by a rotation that has not promoted it.
    pub pending: Option<SlotRecord>,
    /// Replaced, and not yet shown to be rejected.
    pub previous: Option<SlotRecord>,
    /// The label of the last rotation that saw the target refuse the previous one.
    pub proved: Option<String>,
    /// When it saw that.
    pub proved_at: Option<Timestamp>,
}

/// One move. A vault makes it on what is there at that moment, whole or not at all.
#[derive(Debug, Clone)]
pub enum Change {
    /// An operator's own value becomes current. The one it replaces is kept as previous, so that it
    /// can be taken away at the target and shown to be refused; an older previous one stays. Where it is
    /// the same value, only what is known of it is added to.
    Put {
        /// The value.
        new: NewSecret,
        /// When.
        at: Timestamp,
    },
    /// Saves a rotation's new value. Refused when the secret changed since version `base` was read
    /// (0: nothing was there): what was decided on the older state no longer holds.
    SavePending {
        /// What the caller had read.
        base: u64,
        /// Names the rotation.
        label: String,
        /// The value.
        new: NewSecret,
        /// When.
        at: Timestamp,
    },
    /// Notes the end that the target gives the pending value of this rotation, if it is there.
    NoteEnd {
        /// Names the rotation.
        label: String,
        /// When the target stops taking it.
        expires: Timestamp,
    },
    /// Pending becomes current, current becomes previous. Doing it again changes nothing.
    Promote {
        /// Names the rotation.
        label: String,
        /// The target's id of what is replaced, where the vault did not know it.
        replaced: Option<String>,
    },
    /// Forgets the previous value if it is still this version of it (`None`: there is none), and
    /// remembers which rotation saw it refused.
    ForgetPrevious {
        /// Which value is meant.
        version: Option<u64>,
        /// Names the rotation.
        proved: String,
        /// When it saw that.
        at: Timestamp,
    },
    /// Forgets a previous value that an earlier rotation left behind and that is refused.
    ForgetLeftover {
        /// Which value is meant.
        version: u64,
    },
    /// Back to the previous value, if it is still this version of it; the current one is dropped.
    RestorePrevious {
        /// Which value is meant.
        version: u64,
    },
    /// Notes that all values were seen refused and are kept no more. What is still there goes.
    End {
        /// Names the run that saw it.
        proved: String,
        /// When it saw that.
        at: Timestamp,
    },
    /// Drops the pending value of this rotation, if it is there.
    DropPending {
        /// Names the rotation.
        label: String,
    },
}

/// All values of one secret, in clear, for the length of a change.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots {
    /// Counts the changes.
    pub(super) version: u64,
    pub(super) current: Option<Revealed>,
    pub(super) pending: Option<Revealed>,
    pub(super) previous: Option<Revealed>,
    /// The last rotation that saw the target refuse the previous value, and when.
    pub(super) proved: Option<String>,
    pub(super) proved_at: Option<Timestamp>,
}

impl Slots {
    /// What is in a slot.
    pub(super) fn slot(&self, slot: Slot) -> Option<&Revealed> {
        match slot {
            Slot::Current => self.current.as_ref(),
            Slot::Pending => self.pending.as_ref(),
            Slot::Previous => self.previous.as_ref(),
        }
    }

    /// Everything but the values.
    pub(super) fn record(&self, owner: &Owner) -> SecretRecord {
        let record = |slot| self.slot(slot).map(|held| held.record.clone());
        SecretRecord {
            reference: owner.reference.clone(),
            connector: owner.connector.clone(),
            role: owner.role,
            version: self.version,
            current: record(Slot::Current),
            pending: record(Slot::Pending),
            previous: record(Slot::Previous),
            proved: self.proved.clone(),
            proved_at: self.proved_at,
        }
    }

    /// Makes the move; returns the secret's version after it. A move that was made already, or that
    /// is about another value, changes nothing and leaves the version as it is.
    ///
    /// # Errors
    /// `Overtaken`, `NotPending` or `Empty`; then nothing is changed.
    pub(super) fn apply(&mut self, owner: &Owner, change: &Change) -> Result<u64, VaultError> {
        match change {
            Change::Put { new, at } => self.put(owner, new, *at)?,
            Change::SavePending {
                base,
                label,
                new,
                at,
            } => self.save_pending(owner, (*base, label), new, *at)?,
            Change::NoteEnd { label, expires } => self.note_end(label, *expires),
            Change::Promote { label, replaced } => self.promote(owner, label, replaced.as_ref())?,
            Change::ForgetPrevious {
                version,
                proved,
                at,
            } => {
                if self.is_previous(*version) {
                    self.previous = None;
                    self.proved = Some(proved.clone());
                    self.proved_at = Some(*at);
                    self.version += 1;
                }
            }
            Change::ForgetLeftover { version } => {
                if self.is_previous(Some(*version)) {
                    self.previous = None;
                    self.proved = None;
                    self.version += 1;
                }
            }
            Change::RestorePrevious { version } => {
                if self.is_previous(Some(*version)) {
                    self.current = self.previous.take();
                    self.version += 1;
                }
            }
            Change::End { proved, at } if !self.is_over(proved) => {
                *self = Self {
                    version: self.version + 1,
                    proved: Some(proved.clone()),
                    proved_at: Some(*at),
                    ..Self::default()
                };
            }
            Change::End { .. } => {}
            Change::DropPending { label } => {
                if is_of(self.pending.as_ref(), label) {
                    self.pending = None;
                    self.version += 1;
                }
            }
        }
        Ok(self.version)
    }

    fn put(&mut self, owner: &Owner, new: &NewSecret, at: Timestamp) -> Result<(), VaultError> {
        let mut fresh = self.fresh(owner, None, new, at)?;
        if let Some(held) = self.current.as_mut().filter(|held| is_same(held, new)) {
            // The same value again takes nobody's place: more is known of it, and it is as old as it was.
            let record = &mut held.record;
            record.remote_ref = new.remote_ref.clone().or(record.remote_ref.take());
            record.expires = new.expires.or(record.expires);
            self.version += 1;
            return Ok(());
        }
        fresh.record.replaces = self.in_use();
        if self.previous.is_none() {
            self.previous = self.current.take();
        }
        self.current = Some(fresh);
        self.version += 1;
        Ok(())
    }

    fn save_pending(
        &mut self,
        owner: &Owner,
        (base, label): (u64, &String),
        new: &NewSecret,
        at: Timestamp,
    ) -> Result<(), VaultError> {
        if base != self.version {
            return Err(VaultError::Overtaken {
                reference: owner.reference.clone(),
                expected: base,
                found: self.version,
            });
        }
        if self.pending.is_some() {
            return Err(not_pending(owner, label));
        }
        let mut fresh = self.fresh(owner, Some(label.clone()), new, at)?;
        if fresh.record.username.is_none() {
            let current = self.current.as_ref();
            fresh.record.username = current.and_then(|held| held.record.username.clone());
        }
        self.pending = Some(fresh);
        self.version += 1;
        Ok(())
    }

    fn note_end(&mut self, label: &str, expires: Timestamp) {
        let ours = is_of(self.pending.as_ref(), label);
        if let Some(pending) = self.pending.as_mut().filter(|_| ours)
            && pending.record.expires != Some(expires)
        {
            pending.record.expires = Some(expires);
            self.version += 1;
        }
    }

    fn promote(
        &mut self,
        owner: &Owner,
        label: &str,
        replaced: Option<&String>,
    ) -> Result<(), VaultError> {
        if !is_of(self.pending.as_ref(), label) {
            if is_of(self.current.as_ref(), label) {
                return Ok(());
            }
            return Err(not_pending(owner, label));
        }
        // Without a current one there is nothing to follow; an older leftover stays known.
        let in_use = self.in_use();
        if let Some(mut old) = self.current.take() {
            old.record.remote_ref = old.record.remote_ref.or_else(|| replaced.cloned());
            self.previous = Some(old);
        }
        self.current = self.pending.take();
        if let Some(current) = &mut self.current {
            current.record.replaces = in_use;
        }
        self.version += 1;
        Ok(())
    }

    /// The version of the value in use.
    fn in_use(&self) -> Option<u64> {
        self.current.as_ref().map(|held| held.record.version)
    }

    fn is_over(&self, proved: &str) -> bool {
        let kept = [&self.current, &self.pending, &self.previous];
        kept.iter().all(|slot| slot.is_none()) && self.proved.as_deref() == Some(proved)
    }

    fn is_previous(&self, version: Option<u64>) -> bool {
        self.previous.as_ref().map(|held| held.record.version) == version
    }

    fn fresh(
        &self,
        owner: &Owner,
        label: Option<String>,
        new: &NewSecret,
        at: Timestamp,
    ) -> Result<Revealed, VaultError> {
        if new.value.expose_secret().is_empty() {
            return Err(VaultError::Empty {
                reference: owner.reference.clone(),
            });
        }
        let record = SlotRecord {
            version: self.version + 1,
            created: at,
            expires: new.expires,
            label,
            remote_ref: new.remote_ref.clone(),
            username: new.username.clone(),
            replaces: None,
        };
        Ok(Revealed {
            record,
            value: new.value.clone(),
        })
    }
}

fn is_of(held: Option<&Revealed>, label: &str) -> bool {
    held.is_some_and(|held| held.record.label.as_deref() == Some(label))
}

fn is_same(held: &Revealed, new: &NewSecret) -> bool {
    held.value.expose_secret() == new.value.expose_secret()
        && (new.username.is_none() || held.record.username == new.username)
}

fn not_pending(owner: &Owner, label: &str) -> VaultError {
    VaultError::NotPending {
        reference: owner.reference.clone(),
        label: label.to_owned(),
    }
}
