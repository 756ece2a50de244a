//! The connectors' own secrets: where they lie, and how one replaces another.
//!
//! Owns the vaults (one encrypted file, or Vault KV v2), the look-up of a credential for a call, and the six
//! steps of a rotation, each repeatable after a crash at any instant. Configuration and database
//! hold references only; a value lives here and, for the length of a call, in memory. Decides
//! neither when a secret is due (`domain::rotation`) nor what follows a failure (the workflow).

mod access;
mod entry;
mod error;
mod key;
mod kv2;
mod local;
mod process;
mod rotate;
mod seal;
mod settings;
pub mod signing;
mod slots;
mod vault;

pub use access::{Ages, SecretListing, Secrets, Unreadable};
pub use error::VaultError;
pub use key::{VaultKey, read_private};
pub use kv2::{Kv2Vault, ServerSettings, SignIn};
pub use local::LocalVault;
pub use process::forbid_core_dumps;
pub use settings::{KeySource, Place, Settings};
pub use slots::{Change, NewSecret, Owner, Revealed, SecretRecord, Slot, SlotRecord};
pub use vault::Vault;
