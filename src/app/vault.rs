//! The vault that the configuration names.
//!
//! Owns opening it with its key or token, an operator's own changes to it, and looking up the secrets of the
//! platform itself (Kafka's passwords), which belong to no connector. Values pass through and are
//! not kept.

use std::sync::Arc;

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use crate::config::Settings;
use crate::connectors::{Guarded, Registry};
use crate::domain::id::ConnectorName;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::time::{Clock, Timestamp};
use crate::domain::verdict::CredentialRole;
use crate::kafka::Connection;
pub use crate::secrets::SecretListing;
use crate::secrets::{
    Change, KeySource, Kv2Vault, LocalVault, NewSecret, Owner, Place, Secrets, Slot, Vault,
    VaultError, VaultKey,
};

/// The owner of what no connector owns; no manifest can have this name, for it has a blank.
const PLATFORM: &str = "the platform";

/// Opens the vault.
///
/// # Errors
/// No key, a wrong key, or a file that is no vault. A server is not asked yet.
pub fn open(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Arc<dyn Vault>, VaultError> {
    Ok(match &settings.vault.place {
        Place::Local { path, key } => Arc::new(open_local(path, key)?),
        Place::Server(server) => {
            let secret = Settings::vault_secret(server.sign_in.source())?;
            Arc::new(Kv2Vault::new(server, secret, Arc::clone(clock))?)
        }
    })
}

fn open_local(path: &Path, key: &KeySource) -> Result<LocalVault, VaultError> {
    match key {
        // So that it is read again when another process changes it.
        KeySource::File(key_file) => LocalVault::open_by_file(path, key_file),
        KeySource::Environment(_) | KeySource::Prompt => {
            let text = Settings::vault_secret(key)?;
            LocalVault::open(path, VaultKey::from_text(text.expose_secret())?)
        }
    }
}

/// Seals the local vault with a new key; returns the key's id. Where the key lies in a file, the new
/// one takes its place, and the old one stays beside it; else the new one is written to `to`.
///
/// # Errors
/// The vault is a server, it cannot be opened, or no place for the new key is named.
pub fn rekey(settings: &Settings, to: Option<&Path>) -> Result<String, VaultError> {
    let Place::Local { path, key } = &settings.vault.place else {
        return Err(VaultError::Key(
            "the vault is a server, which has keys of its own".to_owned(),
        ));
    };
    let vault = open_local(path, key)?;
    match (key, to) {
        (KeySource::File(_), None) => vault.rekey_file(),
        (_, Some(to)) => {
            let new = VaultKey::create_file(to)?;
            let id = new.id().to_owned();
            vault.rekey(new)?;
            Ok(id)
        }
        (KeySource::Environment(_) | KeySource::Prompt, None) => Err(VaultError::Key(
            "it does not come from a file; say with --to where the new one shall be written"
                .to_owned(),
        )),
    }
}

/// Draws a key and keeps it where the settings say; an existing key file is an error and stays.
///
/// # Errors
/// When the key comes from elsewhere, or the file is there or cannot be written.
pub fn create_key(settings: &Settings) -> Result<String, VaultError> {
    let elsewhere = match &settings.vault.place {
        Place::Local { key, .. } => match key {
            KeySource::File(path) => return Ok(VaultKey::create_file(path)?.id().to_owned()),
            KeySource::Environment(name) => {
                format!("comes from the environment variable `{name}`; draw 64 hex digits yourself")
            }
            KeySource::Prompt => "is asked for; draw 64 hex digits yourself".to_owned(),
        },
        Place::Server(_) => "is the server's own affair".to_owned(),
    };
    Err(VaultError::Key(format!("it {elsewhere}")))
}

/// Every credential that manifests declare with its age, or why the vault does not tell it; no values.
pub async fn list(
    vault: &Arc<dyn Vault>,
    registry: &Registry,
    clock: &Arc<dyn Clock>,
) -> Vec<SecretListing> {
    let secrets = Secrets::new(vault.clone());
    let manifests: Vec<_> = registry.iter().collect();
    let manifests = manifests.iter().map(|connector| connector.manifest());
    secrets.list(manifests, clock.now()).await
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
    clock: &Arc<dyn Clock>,
) -> Result<Option<u64>, Failure> {
    let Some(connector) = registry.get(of.0) else {
        return Ok(None);
    };
    let secrets = Secrets::new(open(settings, clock)?);
    let put = secrets.put(connector.manifest(), of.1, new, clock.now());
    Ok(Some(put.await?))
}

/// A secret that a probe of the connector refers to; returns its version.
///
/// # Errors
/// When no probe refers to it, or the vault cannot be written.
pub async fn keep(
    settings: &Settings,
    connector: &Guarded,
    reference: &str,
    new: NewSecret,
    clock: &Arc<dyn Clock>,
) -> Result<u64, Failure> {
    let mut probes = connector.manifest().probes.iter();
    if !probes.any(|probe| probe.refers_to(reference)) {
        return Err(Failure::new(
            FailureClass::Unsupported,
            "CB-PROBE-6",
            format!("no probe of {} refers to {reference}", connector.name()),
        ));
    }
    let secrets = Secrets::new(open(settings, clock)?);
    let kept = secrets.keep(connector.name(), reference, new, clock.now());
    kept.await
}

/// A new value as the vault takes it.
pub fn value(
    text: String,
    username: Option<String>,
    remote_ref: Option<String>,
    expires: Option<Timestamp>,
) -> NewSecret {
    NewSecret {
        value: SecretString::from(text),
        username,
        remote_ref,
        expires,
    }
}

/// An operator's own value for a secret of the platform.
///
/// # Errors
/// When it is no reference, or the vault cannot be written.
pub async fn put_platform(
    settings: &Settings,
    reference: &str,
    new: NewSecret,
    clock: &Arc<dyn Clock>,
) -> Result<u64, VaultError> {
    let put = Change::Put {
        new,
        at: clock.now(),
    };
    let vault = open(settings, clock)?;
    vault.change(&platform(reference), put).await
}

/// Looks up every secret that the connection to Kafka refers to.
///
/// # Errors
/// When one is not in the vault.
pub async fn resolve(
    connection: &mut Connection,
    settings: &Settings,
    clock: &Arc<dyn Clock>,
) -> Result<(), Failure> {
    let references = connection.references();
    if references.is_empty() {
        return Ok(());
    }
    let vault = open(settings, clock)?;
    for (key, reference) in references {
        match vault.reveal(&platform(&reference), Slot::Current).await? {
            Some(revealed) => connection.resolve(&key, revealed.value),
            None => return Err(lacking(&reference, &format!("Kafka's `{key}`"))),
        }
    }
    Ok(())
}

fn lacking(reference: &str, by: &str) -> Failure {
    Failure::new(
        FailureClass::AuthFailure,
        "CB-SECRETS-1",
        format!("the vault has no `{reference}`, which {by} refers to"),
    )
}

/// Looks up a secret of the platform; `by` says in words where it is referred to.
///
/// # Errors
/// When it is not in the vault, or the vault does not tell.
pub(super) async fn platform_secret(
    vault: &dyn Vault,
    reference: &str,
    by: &str,
) -> Result<SecretString, Failure> {
    let revealed = vault.reveal(&platform(reference), Slot::Current).await?;
    let revealed = revealed.ok_or_else(|| lacking(reference, by))?;
    Ok(revealed.value)
}

/// Looks up a secret of a desk.
///
/// # Errors
/// When it is not in the vault.
pub(super) async fn desk_secret(
    vault: &dyn Vault,
    reference: &str,
) -> Result<SecretString, Failure> {
    platform_secret(vault, reference, "[desks]").await
}

/// Whose a secret of the platform is.
pub(super) fn platform(reference: &str) -> Owner {
    Owner {
        reference: reference.to_owned(),
        connector: ConnectorName(PLATFORM.to_owned()),
        role: CredentialRole::Writer,
    }
}
