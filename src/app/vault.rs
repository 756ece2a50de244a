//! The vault that the configuration names.
//!
//! Owns opening it with its key, an operator's own changes to it, and looking up the secrets of the
//! platform itself (Kafka's passwords), which belong to no connector. Values pass through and are
//! not kept.

use std::sync::Arc;

use secrecy::SecretString;

use crate::config::Settings;
use crate::connectors::Registry;
use crate::domain::id::ConnectorName;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::time::Timestamp;
use crate::domain::verdict::CredentialRole;
use crate::kafka::Connection;
use crate::secrets::{
    KeySource, LocalVault, NewSecret, Owner, SecretListing, Secrets, Slot, VaultError, VaultKey,
};

/// The owner of what no connector owns; no manifest can have this name, for it has a blank.
const PLATFORM: &str = "the platform";

/// Opens the vault.
///
/// # Errors
/// No key, a wrong key, or a file that is no vault.
pub fn open(settings: &Settings) -> Result<Arc<LocalVault>, VaultError> {
    let key = settings.vault_key()?;
    Ok(Arc::new(LocalVault::open(&settings.vault.path, key)?))
}

/// Draws a key and keeps it where the settings say; an existing key file is an error and stays.
///
/// # Errors
/// When the key comes from the environment, or the file is there or cannot be written.
pub fn create_key(settings: &Settings) -> Result<String, VaultError> {
    match &settings.vault.key {
        KeySource::File(path) => Ok(VaultKey::create_file(path)?.id().to_owned()),
        KeySource::Environment(name) => Err(VaultError::Key(format!(
            "it comes from the environment variable `{name}`; draw 64 hex digits yourself"
        ))),
    }
}

/// Every declared secret with its age; no values.
///
/// # Errors
/// When the vault cannot be read.
pub fn list(
    settings: &Settings,
    registry: &Registry,
    now: Timestamp,
) -> Result<Vec<SecretListing>, Failure> {
    let secrets = Secrets::new(open(settings)?);
    secrets.list(registry.iter().map(|connector| connector.manifest()), now)
}

/// An operator's own value for a connector's secret; returns the secret's version.
///
/// # Errors
/// When the manifest declares no such credential, or the vault cannot be written.
pub async fn put(
    settings: &Settings,
    registry: &Registry,
    of: (&ConnectorName, CredentialRole),
    new: NewSecret,
    now: Timestamp,
) -> Result<Option<u64>, Failure> {
    let Some(connector) = registry.get(of.0) else {
        return Ok(None);
    };
    let secrets = Secrets::new(open(settings)?);
    let version = secrets.put(connector.manifest(), of.1, new, now).await?;
    Ok(Some(version))
}

/// A new value as the vault takes it.
pub fn value(text: String, username: Option<String>, remote_ref: Option<String>) -> NewSecret {
    NewSecret {
        value: SecretString::from(text),
        username,
        remote_ref,
    }
}

/// An operator's own value for a secret of the platform.
///
/// # Errors
/// When it is no reference, or the vault cannot be written.
pub fn put_platform(
    settings: &Settings,
    reference: &str,
    new: NewSecret,
    now: Timestamp,
) -> Result<u64, VaultError> {
    open(settings)?.put(&platform(reference), new, now)
}

/// Looks up every secret that the connection to Kafka refers to.
///
/// # Errors
/// When one is not in the vault.
pub fn resolve(connection: &mut Connection, settings: &Settings) -> Result<(), Failure> {
    let references = connection.references();
    if references.is_empty() {
        return Ok(());
    }
    let vault = open(settings)?;
    for (key, reference) in references {
        match vault.reveal(&platform(&reference), Slot::Current)? {
            Some(revealed) => connection.resolve(&key, revealed.value),
            None => {
                return Err(Failure::new(
                    FailureClass::AuthFailure,
                    "CB-SECRETS-1",
                    format!("the vault has no `{reference}`, which Kafka's `{key}` refers to"),
                ));
            }
        }
    }
    Ok(())
}

/// The value of one secret of the platform.
///
/// # Errors
/// When it is not in the vault.
#[allow(clippy::unused_async)] // A vault may be a server; callers wait for either.
pub async fn platform_secret(
    settings: &Settings,
    reference: &str,
) -> Result<SecretString, Failure> {
    match open(settings)?.reveal(&platform(reference), Slot::Current)? {
        Some(revealed) => Ok(revealed.value),
        None => Err(Failure::new(
            FailureClass::AuthFailure,
            "CB-SECRETS-1",
            format!("the vault has no `{reference}`: put it there with `clawback secrets set`"),
        )),
    }
}

fn platform(reference: &str) -> Owner {
    Owner {
        reference: reference.to_owned(),
        connector: ConnectorName(PLATFORM.to_owned()),
        role: CredentialRole::Writer,
    }
}
