//! Where the local vault lies: a file that several processes share, or memory.
//!
//! Owns reading, locking and replacing the file. Each change is made under an exclusive lock on a file
//! beside it, on what is there at that moment, and replaces the whole file atomically and durably.
//! Knows entries only in sealed form.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::secrets::VaultError;
use crate::secrets::entry::Entry;
use crate::secrets::key::sync_folder_of;

/// What the file's first field must say.
const FORMAT: &str = "clawback-vault-1";

/// The whole file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contents {
    format: String,
    /// Counts the writes.
    generation: u64,
    /// The id of the key that every entry is sealed with: a writer that holds another one must not
    /// add to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    pub(super) entries: BTreeMap<String, Entry>,
    #[cfg(test)]
    #[serde(skip)]
    pub(super) failing: u32,
}

impl Default for Contents {
    fn default() -> Self {
        Self {
            format: FORMAT.to_owned(),
            generation: 0,
            key: None,
            entries: BTreeMap::new(),
            #[cfg(test)]
            failing: 0,
        }
    }
}

impl Contents {
    /// True when everything in it is sealed with this key, as far as it says.
    pub(super) fn is_sealed_with(&self, key: &str) -> bool {
        self.key.as_ref().is_none_or(|known| known == key)
    }
}

/// A file or memory.
#[derive(Debug)]
pub(super) enum Place {
    Memory(Mutex<Arc<Contents>>),
    File(FilePlace),
}

impl Place {
    /// What lies there, still encrypted.
    pub(super) fn read(&self) -> Result<Arc<Contents>, VaultError> {
        match self {
            Self::Memory(memory) => Ok(Arc::clone(&lock(memory))),
            Self::File(file) => file.read(),
        }
    }

    /// Makes one change on what is there at that moment, under the lock.
    pub(super) fn change<T>(
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
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells whether the file is still the one that was read: each write makes a new one.
type Stamp = (u64, u64, i64, i64, u64);

/// The file.
#[derive(Debug)]
pub(super) struct FilePlace {
    path: PathBuf,
    /// What was last read, still encrypted; a look-up for a call costs one `stat`.
    cache: Mutex<Option<(Stamp, Arc<Contents>)>>,
}

impl FilePlace {
    pub(super) fn new(path: &Path) -> Self {
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
        sync_folder_of(&self.path)
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

pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}
