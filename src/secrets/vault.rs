//! What a vault must do: keep the slots of each secret, and move them whole or not at all.
//!
//! Owns the trait. There are two: a local encrypted file, and Vault KV v2. What a move means is in
//! `slots`, for both alike. Holds no credential and decides nothing about rotations.

use std::fmt;

use async_trait::async_trait;

use super::VaultError;
use super::slots::{Change, Owner, Revealed, SecretRecord, Slot};

/// Keeps secrets by reference, each for one owner.
///
/// Several processes may use one at once: a change is made on what is there at that moment.
#[async_trait]
pub trait Vault: Send + Sync + fmt::Debug {
    /// Everything but the values of one secret; `None` when nothing is kept for the reference.
    ///
    /// # Errors
    /// `Foreign` for another owner's, and whatever keeps the vault from answering.
    async fn record(&self, owner: &Owner) -> Result<Option<SecretRecord>, VaultError>;

    /// The value in a slot; `None` when there is none.
    ///
    /// # Errors
    /// As for [`Self::record`].
    async fn reveal(&self, owner: &Owner, slot: Slot) -> Result<Option<Revealed>, VaultError>;

    /// Makes one move; returns the secret's version after it.
    ///
    /// # Errors
    /// As the move says, and as for [`Self::record`]. `BrokenOff` or `Away` where it is not known
    /// whether the move was made: each can be repeated.
    async fn change(&self, owner: &Owner, change: Change) -> Result<u64, VaultError>;

    /// Removes a secret with all its slots; `false` when there was none.
    ///
    /// # Errors
    /// As for [`Self::record`].
    async fn remove(&self, owner: &Owner) -> Result<bool, VaultError>;

    /// Shows that the secret can be written now. What a target hands out once is only asked for
    /// after this.
    ///
    /// # Errors
    /// Whatever a change would meet.
    async fn probe(&self, owner: &Owner) -> Result<(), VaultError>;
}
