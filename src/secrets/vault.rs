//! The local vault: one encrypted file, or memory when it is opened without one.
//!
//! Owns reading, locking and replacing the file. Several processes may use it at once: each change
//! is made under an exclusive lock on a file beside it, on what is there at that moment, and
//! replaces the whole file atomically and durably. Calls are short and blocking; `Secrets` takes
//! the writing ones off the event loop. Decides nothing about rotations.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::slots::{Entry, NewSecret, Owner, Revealed, Slot, SlotRecord};
use super::{VaultError, VaultKey};
use crate::domain::id::ConnectorName;
use crate::domain::time::Timestamp;
use crate::domain::verdict::CredentialRole;

/// What the file's first field must say.
const FORMAT: &str = "clawback-vault-1";

/// The embedded vault.
#[derive(Debug)]
pub struct LocalVault {
    place: Place,
    key: VaultKey,
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
}

impl LocalVault {
    /// Opens the vault at `path`; a file that is not there yet is an empty vault. Anything else
    /// that is not a readable vault is an error, and so is one that this key does not open.
    pub fn open(path: &Path, key: VaultKey) -> Result<Self, VaultError> {
        let vault = Self {
            place: Place::File(FilePlace::new(path)),
            key,
        };
        let contents = vault.place.read()?;
        for (reference, entry) in &contents.entries {
            entry.reveal(&owner_of(reference, entry), Slot::Current, &vault.key)?;
        }
        Ok(vault)
    }

    /// A vault that is gone with the process, under a key of its own.
    pub fn in_memory() -> Result<Self, VaultError> {
        Ok(Self {
            place: Place::Memory(Mutex::new(Arc::new(Contents::default()))),
            key: VaultKey::random()?,
        })
    }

    /// True when its changes touch no disk.
    pub fn is_in_memory(&self) -> bool {
        matches!(self.place, Place::Memory(_))
    }

    /// Everything but the values, by reference.
    pub fn records(&self) -> Result<Vec<SecretRecord>, VaultError> {
        let contents = self.place.read()?;
        let records = contents.entries.iter();
        Ok(records.map(|(name, entry)| record(name, entry)).collect())
    }

    /// Everything but the values of one secret; `None` when the vault has none for the reference.
    pub fn record(&self, owner: &Owner) -> Result<Option<SecretRecord>, VaultError> {
        let name = local_name(&owner.reference)?;
        let contents = self.place.read()?;
        let Some(entry) = contents.entries.get(name) else {
            return Ok(None);
        };
        entry.check(owner)?;
        Ok(Some(record(name, entry)))
    }

    /// The value in a slot; `None` when there is none.
    pub fn reveal(&self, owner: &Owner, slot: Slot) -> Result<Option<Revealed>, VaultError> {
        let name = local_name(&owner.reference)?;
        let contents = self.place.read()?;
        let Some(entry) = contents.entries.get(name) else {
            return Ok(None);
        };
        entry.check(owner)?;
        entry.reveal(owner, slot, &self.key)
    }

    /// An operator's own value becomes current; returns the secret's version.
    pub fn put(&self, owner: &Owner, new: NewSecret, now: Timestamp) -> Result<u64, VaultError> {
        self.change(owner, |entry| entry.put(owner, new, now, &self.key))
    }

    /// Saves a rotation's new value as pending, decided on version `base` (0: nothing was there);
    /// returns the new value's version.
    pub fn save_pending(
        &self,
        owner: &Owner,
        base: u64,
        label: &str,
        new: NewSecret,
        now: Timestamp,
    ) -> Result<u64, VaultError> {
        self.change(owner, |entry| {
            entry.save_pending(owner, base, label, new, now, &self.key)
        })
    }

    /// Pending becomes current, current becomes previous. Doing it again changes nothing.
    /// `replaced` is the target's id of what is replaced, where the vault did not know it.
    pub fn promote(
        &self,
        owner: &Owner,
        label: &str,
        replaced: Option<&str>,
    ) -> Result<u64, VaultError> {
        self.change(owner, |entry| {
            entry.promote(owner, label, replaced, &self.key)
        })
    }

    /// Forgets the previous value if it is still this version of it (`None`: there is none), and
    /// remembers which rotation saw it refused.
    pub fn forget_previous(
        &self,
        owner: &Owner,
        version: Option<u64>,
        proved: &str,
    ) -> Result<(), VaultError> {
        self.change(owner, |entry| {
            entry.forget_previous(version, Some(proved));
            Ok(())
        })
    }

    /// Forgets a previous value that an earlier rotation left behind and that is refused.
    pub(super) fn forget_leftover(&self, owner: &Owner, version: u64) -> Result<(), VaultError> {
        self.change(owner, |entry| {
            entry.forget_previous(Some(version), None);
            Ok(())
        })
    }

    /// Back to the previous value, if it is still this version of it.
    pub(super) fn restore_previous(&self, owner: &Owner, version: u64) -> Result<(), VaultError> {
        self.change(owner, |entry| {
            entry.restore_previous(owner, version, &self.key)
        })
    }

    /// Drops the pending value of this rotation, if there is one.
    pub fn drop_pending(&self, owner: &Owner, label: &str) -> Result<(), VaultError> {
        self.change(owner, |entry| {
            entry.drop_pending(label);
            Ok(())
        })
    }

    /// Removes a secret with all its slots; `false` when there was none.
    pub fn remove(&self, owner: &Owner) -> Result<bool, VaultError> {
        let name = local_name(&owner.reference)?;
        self.place.change(|contents| {
            if let Some(entry) = contents.entries.get(name) {
                entry.check(owner)?;
            }
            Ok(contents.entries.remove(name).is_some())
        })
    }

    /// Shows that the vault can be written, by writing it as it is. A secret that the target hands
    /// out once is only asked for after this.
    pub fn probe(&self) -> Result<(), VaultError> {
        self.place.change(|_| Ok(()))
    }

    /// Seals every value with another key and goes on with that. Other processes must be started
    /// anew with it.
    pub fn rekey(&mut self, new: VaultKey) -> Result<(), VaultError> {
        self.place.change(|contents| {
            for (name, entry) in &mut contents.entries {
                let owner = owner_of(name, entry);
                entry.rekey(&owner, &self.key, &new)?;
            }
            Ok(())
        })?;
        self.key = new;
        Ok(())
    }

    /// Lets the next `times` changes of a vault in memory fail.
    #[cfg(test)]
    pub(super) fn fail_writes(&self, times: u32) {
        match &self.place {
            Place::Memory(memory) => Arc::make_mut(&mut lock(memory)).failing = times,
            Place::File(_) => panic!("only a vault in memory can be made to fail"),
        }
    }

    fn change<T>(
        &self,
        owner: &Owner,
        change: impl FnOnce(&mut Entry) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let name = local_name(&owner.reference)?;
        self.place.change(|contents| {
            let entry = contents
                .entries
                .entry(name.to_owned())
                .or_insert_with(|| Entry::new(owner));
            entry.check(owner)?;
            change(entry)
        })
    }
}

fn record(name: &str, entry: &Entry) -> SecretRecord {
    SecretRecord {
        reference: format!("local:{name}"),
        connector: entry.connector.clone(),
        role: entry.role,
        version: entry.version,
        current: entry.record(Slot::Current),
        pending: entry.record(Slot::Pending),
        previous: entry.record(Slot::Previous),
        proved: entry.proved.clone(),
    }
}

fn owner_of(name: &str, entry: &Entry) -> Owner {
    Owner {
        reference: format!("local:{name}"),
        connector: entry.connector.clone(),
        role: entry.role,
    }
}

/// The name in a reference of the form `local:<name>`.
pub(super) fn local_name(reference: &str) -> Result<&str, VaultError> {
    reference
        .strip_prefix("local:")
        .filter(|name| !name.is_empty())
        .ok_or_else(|| VaultError::Reference(reference.to_owned()))
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    format: String,
    /// Counts the writes.
    generation: u64,
    entries: BTreeMap<String, Entry>,
    #[cfg(test)]
    #[serde(skip)]
    failing: u32,
}

impl Default for Contents {
    fn default() -> Self {
        Self {
            format: FORMAT.to_owned(),
            generation: 0,
            entries: BTreeMap::new(),
            #[cfg(test)]
            failing: 0,
        }
    }
}

#[derive(Debug)]
enum Place {
    Memory(Mutex<Arc<Contents>>),
    File(FilePlace),
}

impl Place {
    fn read(&self) -> Result<Arc<Contents>, VaultError> {
        match self {
            Self::Memory(memory) => Ok(Arc::clone(&lock(memory))),
            Self::File(file) => file.read(),
        }
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut Contents) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        match self {
            Self::Memory(memory) => {
                let mut contents = lock(memory);
                #[cfg(test)]
                if contents.failing > 0 {
                    Arc::make_mut(&mut contents).failing -= 1;
                    return Err(VaultError::Crypto);
                }
                let mut next = Contents::clone(&contents);
                let result = change(&mut next)?;
                next.generation += 1;
                *contents = Arc::new(next);
                Ok(result)
            }
            Self::File(file) => file.change(change),
        }
    }
}

/// What a panic left behind is whole: contents are replaced, never changed in place.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells whether the file is still the one that was read: each write makes a new one.
type Stamp = (u64, u64, i64, i64, u64);

#[derive(Debug)]
struct FilePlace {
    path: PathBuf,
    /// What was last read, still encrypted; a look-up for a call costs one `stat`.
    cache: Mutex<Option<(Stamp, Arc<Contents>)>>,
}

impl FilePlace {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            cache: Mutex::new(None),
        }
    }

    fn failed(&self, deed: &'static str) -> impl Fn(std::io::Error) -> VaultError {
        let path = self.path.clone();
        move |source| VaultError::Io {
            path: path.clone(),
            deed,
            source,
        }
    }

    fn read(&self) -> Result<Arc<Contents>, VaultError> {
        let seen = match std::fs::metadata(&self.path) {
            Ok(metadata) => stamp(&metadata),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Arc::default());
            }
            Err(error) => return Err(self.failed("read")(error)),
        };
        if let Some((known, contents)) = lock(&self.cache).as_ref()
            && *known == seen
        {
            return Ok(Arc::clone(contents));
        }
        let (stamp, contents) = self.load()?;
        let contents = Arc::new(contents);
        *lock(&self.cache) = stamp.map(|stamp| (stamp, Arc::clone(&contents)));
        Ok(contents)
    }

    fn load(&self) -> Result<(Option<Stamp>, Contents), VaultError> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok((None, Contents::default()));
            }
            Err(error) => return Err(self.failed("read")(error)),
        };
        let metadata = file.metadata().map_err(self.failed("read"))?;
        let mut text = String::new();
        file.read_to_string(&mut text)
            .map_err(self.failed("read"))?;
        let contents: Contents =
            serde_json::from_str(&text).map_err(|error| VaultError::Format {
                path: self.path.clone(),
                message: format!("line {}, column {}", error.line(), error.column()),
            })?;
        if contents.format != FORMAT {
            return Err(VaultError::Format {
                path: self.path.clone(),
                message: format!("it is not of the format {FORMAT}"),
            });
        }
        Ok((Some(stamp(&metadata)), contents))
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut Contents) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        // The lock is on a file of its own, for the vault itself is replaced. It is held until
        // `guard` is dropped, and by the system's doing when the process dies.
        let guard = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(beside(&self.path, "lock"))
            .map_err(self.failed("locked"))?;
        guard.lock().map_err(self.failed("locked"))?;
        let (_, mut contents) = self.load()?;
        let result = change(&mut contents)?;
        contents.generation += 1;
        self.replace(&contents).map_err(self.failed("written"))?;
        drop(guard);
        Ok(result)
    }

    fn replace(&self, contents: &Contents) -> std::io::Result<()> {
        let fresh = beside(&self.path, "new");
        // Left over from a writer that died: the lock says that nobody is writing it.
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::options()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(contents)?)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.path)?;
        let parent = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }
}

fn stamp(metadata: &std::fs::Metadata) -> Stamp {
    (
        metadata.dev(),
        metadata.ino(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.size(),
    )
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests;
