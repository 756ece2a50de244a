//! The local vault: one encrypted file, or memory when it is opened without one.
//!
//! Owns the file's key, also when it is changed while other processes go on, and what each call
//! means for the entries. Calls are short and blocking; the asynchronous ones take those that write
//! a file off the event loop. Decides nothing about rotations.

mod place;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use self::place::{Contents, FilePlace, Place, beside, lock};
use super::entry::Entry;
use super::key::sync_folder_of;
use super::slots::{Change, NewSecret, Owner, Revealed, SecretRecord, Slot, Slots};
use super::{Vault, VaultError, VaultKey};
use crate::domain::time::Timestamp;

/// How often the key is looked for while other processes change it.
const LOOKS: usize = 5;

/// The embedded vault.
#[derive(Debug, Clone)]
pub struct LocalVault {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    place: Place,
    key: Mutex<Arc<VaultKey>>,
    /// Where the key is read again when another process has changed it.
    key_file: Option<PathBuf>,
}

impl LocalVault {
    /// Opens the vault at `path`; a file that is not there yet is an empty vault. Anything else
    /// that is not a readable vault is an error, and so is one that this key does not open.
    pub fn open(path: &Path, key: VaultKey) -> Result<Self, VaultError> {
        Self::new(path, key, None)
    }

    /// Opens it with the key in a file, and reads that again when another process has changed the
    /// key. A change of keys that broke off is found too: its key lies beside the old one.
    pub fn open_by_file(path: &Path, key_file: &Path) -> Result<Self, VaultError> {
        let mut first = None;
        // Between a look at the key and one at the vault another process may have changed both.
        for place in (0..LOOKS).flat_map(|_| places_of_key(key_file)) {
            let key = VaultKey::from_file(&place);
            match key.and_then(|key| Self::new(path, key, Some(key_file.to_owned()))) {
                Err(error @ (VaultError::OtherKey { .. } | VaultError::Key(_))) => {
                    first = first.or(Some(error));
                }
                result => return result,
            }
        }
        Err(first.unwrap_or(VaultError::Crypto))
    }

    fn new(path: &Path, key: VaultKey, key_file: Option<PathBuf>) -> Result<Self, VaultError> {
        let vault = Self {
            inner: Arc::new(Inner {
                place: Place::File(FilePlace::new(path)),
                key: Mutex::new(Arc::new(key)),
                key_file,
            }),
        };
        let (contents, key) = (vault.inner.place.read()?, vault.key());
        for (reference, entry) in &contents.entries {
            entry.reveal(&owner_of(reference, entry), Slot::Current, &key)?;
        }
        Ok(vault)
    }

    /// A vault that is gone with the process, under a key of its own.
    pub fn in_memory() -> Result<Self, VaultError> {
        Ok(Self {
            inner: Arc::new(Inner {
                place: Place::Memory(Mutex::new(Arc::new(Contents::default()))),
                key: Mutex::new(Arc::new(VaultKey::random()?)),
                key_file: None,
            }),
        })
    }

    /// Everything but the values, by reference.
    pub fn records(&self) -> Result<Vec<SecretRecord>, VaultError> {
        let contents = self.inner.place.read()?;
        let records = contents.entries.iter();
        Ok(records
            .map(|(name, entry)| entry.record(&owner_of(name, entry)))
            .collect())
    }

    /// Everything but the values of one secret; `None` when the vault has none for the reference.
    pub fn record(&self, owner: &Owner) -> Result<Option<SecretRecord>, VaultError> {
        let name = local_name(&owner.reference)?;
        let contents = self.inner.place.read()?;
        let Some(entry) = contents.entries.get(name) else {
            return Ok(None);
        };
        entry.check(owner)?;
        Ok(Some(entry.record(owner)))
    }

    /// The value in a slot; `None` when there is none.
    pub fn reveal(&self, owner: &Owner, slot: Slot) -> Result<Option<Revealed>, VaultError> {
        let name = local_name(&owner.reference)?;
        self.with_key(|key| {
            let contents = self.inner.place.read()?;
            let Some(entry) = contents.entries.get(name) else {
                return Ok(None);
            };
            entry.check(owner)?;
            entry.reveal(owner, slot, key)
        })
    }

    /// An operator's own value becomes current; returns the secret's version.
    pub fn put(&self, owner: &Owner, new: NewSecret, now: Timestamp) -> Result<u64, VaultError> {
        self.apply(owner, &Change::Put { new, at: now })
    }

    /// Makes one move; returns the secret's version after it.
    pub fn apply(&self, owner: &Owner, change: &Change) -> Result<u64, VaultError> {
        let name = local_name(&owner.reference)?;
        self.with_key(|key| {
            self.inner.place.change(|contents| {
                // Changed by another process since it was read: the entry would be lost with the key.
                if !contents.is_sealed_with(key.id()) {
                    return Err(VaultError::OtherKey {
                        reference: owner.reference.clone(),
                        slot: Slot::Current.as_str(),
                    });
                }
                let mut slots = match contents.entries.get(name) {
                    Some(entry) => {
                        entry.check(owner)?;
                        entry.open(owner, key)?
                    }
                    None => Slots::default(),
                };
                let version = slots.apply(owner, change)?;
                let entry = Entry::seal(owner, &slots, key)?;
                contents.entries.insert(name.to_owned(), entry);
                contents.key = Some(key.id().to_owned());
                Ok(version)
            })
        })
    }

    /// Removes a secret with all its slots; `false` when there was none.
    pub fn remove(&self, owner: &Owner) -> Result<bool, VaultError> {
        let name = local_name(&owner.reference)?;
        self.inner.place.change(|contents| {
            if let Some(entry) = contents.entries.get(name) {
                entry.check(owner)?;
            }
            Ok(contents.entries.remove(name).is_some())
        })
    }

    /// Seals every value with another key and goes on with that. Processes that were given the old
    /// key by hand must be started anew.
    pub fn rekey(&self, new: VaultKey) -> Result<(), VaultError> {
        self.with_key(|old| {
            self.inner.place.change(|contents| {
                for (name, entry) in &mut contents.entries {
                    let owner = owner_of(name, entry);
                    *entry = Entry::seal(&owner, &entry.open(&owner, old)?, &new)?;
                }
                contents.key = Some(new.id().to_owned());
                Ok(())
            })
        })?;
        *lock(&self.inner.key) = Arc::new(new);
        Ok(())
    }

    /// Draws a new key, seals every value with it, and puts it in the place of the key file; the old
    /// key stays beside it as `.old`, for copies of the vault that were made before. The new key is on
    /// disk before the first value is sealed with it, and other processes find it by themselves.
    pub fn rekey_file(&self) -> Result<String, VaultError> {
        let Some(file) = &self.inner.key_file else {
            return Err(VaultError::Key("it does not come from a file".to_owned()));
        };
        let io = |error: std::io::Error| VaultError::Key(format!("{}: {error}", file.display()));
        let fresh = beside(file, "new");
        // One that is there already is of a change that broke off, and may be the vault's.
        let new = if fresh.exists() {
            let left = VaultKey::from_file(&fresh)?;
            sync_folder_of(&fresh).map_err(io)?;
            left
        } else {
            VaultKey::create_file(&fresh)?
        };
        let id = new.id().to_owned();
        if self.key().id() == id {
            *lock(&self.inner.key) = Arc::new(new);
        } else {
            self.rekey(new)?;
        }
        let old = beside(file, "old");
        match std::fs::remove_file(&old) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        match std::fs::hard_link(file, &old) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        std::fs::rename(&fresh, file)
            .and_then(|()| sync_folder_of(file))
            .map_err(io)?;
        Ok(id)
    }

    /// Lets the next `times` changes of a vault in memory fail.
    #[cfg(test)]
    pub(super) fn fail_writes(&self, times: u32) {
        match &self.inner.place {
            Place::Memory(memory) => Arc::make_mut(&mut lock(memory)).failing = times,
            Place::File(_) => panic!("only a vault in memory can be made to fail"),
        }
    }

    fn key(&self) -> Arc<VaultKey> {
        Arc::clone(&lock(&self.inner.key))
    }

    /// Does it with the key that is known, and anew where another process has changed it.
    fn with_key<T>(
        &self,
        deed: impl Fn(&VaultKey) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let known = self.key();
        let mut key = Arc::clone(&known);
        let mut done = deed(&key);
        for _ in 0..LOOKS {
            let Err(VaultError::OtherKey { .. }) = &done else {
                break;
            };
            // None found may be one that has just gone from its first place to its second.
            if let Some(new) = self.changed_key(&key) {
                key = new;
            }
            done = deed(&key);
        }
        if done.is_ok() && !Arc::ptr_eq(&key, &known) {
            *lock(&self.inner.key) = key;
        }
        done
    }

    fn changed_key(&self, known: &VaultKey) -> Option<Arc<VaultKey>> {
        let file = self.inner.key_file.as_ref()?;
        let places = places_of_key(file);
        let mut found = places.iter().filter_map(|p| VaultKey::from_file(p).ok());
        found.find(|key| key.id() != known.id()).map(Arc::new)
    }

    /// Makes a change without holding up the event loop: it waits for a lock and the disk.
    async fn aside<T: Send + 'static>(
        &self,
        deed: impl FnOnce(&Self) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        if matches!(self.inner.place, Place::Memory(_)) {
            return deed(self);
        }
        let vault = self.clone();
        tokio::task::spawn_blocking(move || deed(&vault))
            .await
            // It panicked, or the runtime is being shut down: whether it was written is not known.
            .unwrap_or(Err(VaultError::BrokenOff))
    }
}

#[async_trait]
impl Vault for LocalVault {
    async fn record(&self, owner: &Owner) -> Result<Option<SecretRecord>, VaultError> {
        Self::record(self, owner)
    }

    async fn reveal(&self, owner: &Owner, slot: Slot) -> Result<Option<Revealed>, VaultError> {
        Self::reveal(self, owner, slot)
    }

    async fn change(&self, owner: &Owner, change: Change) -> Result<u64, VaultError> {
        let owner = owner.clone();
        self.aside(move |vault| vault.apply(&owner, &change)).await
    }

    async fn remove(&self, owner: &Owner) -> Result<bool, VaultError> {
        let owner = owner.clone();
        self.aside(move |vault| Self::remove(vault, &owner)).await
    }

    async fn probe(&self, _: &Owner) -> Result<(), VaultError> {
        self.aside(|vault| vault.inner.place.change(|_| Ok(())))
            .await
    }
}

/// Where the key may be while another process changes it: in its place, beside it, or in its place
/// again by the time that one has looked beside it.
fn places_of_key(file: &Path) -> [PathBuf; 3] {
    [file.to_owned(), beside(file, "new"), file.to_owned()]
}

fn owner_of(name: &str, entry: &Entry) -> Owner {
    Owner {
        reference: format!("local:{name}"),
        connector: entry.connector.clone(),
        role: entry.role,
    }
}

/// The name in a reference of the form `local:<name>`.
fn local_name(reference: &str) -> Result<&str, VaultError> {
    reference
        .strip_prefix("local:")
        .filter(|name| !name.is_empty())
        .ok_or_else(|| VaultError::Reference {
            reference: reference.to_owned(),
            form: "local:<name>",
        })
}

#[cfg(test)]
mod tests;
