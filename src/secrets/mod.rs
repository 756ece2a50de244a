//! The connectors' own secrets: where they lie, and how one replaces another.
//!
//! Owns the local vault (one encrypted file), the look-up of a credential for a call, and the six
//! steps of a rotation, each repeatable after a crash at any instant. Configuration and database
//! hold references only; a value lives here and, for the length of a call, in memory. Decides
//! neither when a secret is due (`domain::rotation`) nor what follows a failure (the workflow).

mod access;
mod error;
mod key;
mod process;
mod rotate;
mod seal;
mod settings;
pub mod signing;
mod slots;
mod vault;

pub use access::{SecretListing, Secrets};
pub use error::VaultError;
pub use key::VaultKey;
pub use process::forbid_core_dumps;
pub use settings::{KeySource, Settings};
pub use slots::{NewSecret, Owner, Revealed, Slot, SlotRecord};
pub use vault::{LocalVault, SecretRecord};
