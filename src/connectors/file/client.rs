//! The file system as a protocol: a steady read, and an atomic replacement with compare-and-swap.
//!
//! Owns the system calls. A replacement re-reads the list under an advisory lock right before the
//! rename and gives up when its digest is not the one that the change was rendered from, or when
//! another list stands at its path; mode and owner move over, file and directory are synchronised.
//! A program that does not take the lock has a window of one rename, whether it writes in place or
//! puts a list of its own there; the next read shows what stands then.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::classify;
use crate::connectors::Permit;
use crate::domain::outcome::Failure;

/// A control list of this size is not one; reading it whole would hurt.
const LARGEST: u64 = 64 * 1024 * 1024;
/// Reads that may meet a program writing in place before the list counts as unsteady.
const STEADY_TRIES: usize = 3;

/// One read of the list.
#[derive(Debug)]
pub struct Snapshot {
    /// The content.
    pub bytes: Vec<u8>,
    /// Its digest.
    pub digest: [u8; 32],
    /// When it was last written, in seconds since the epoch.
    pub modified: i64,
    /// False when it changed while it was read, each time.
    pub steady: bool,
}

/// What may be read.
#[derive(Debug)]
pub struct Look(pub PathBuf);

/// A list to put in the place of another.
#[derive(Debug)]
pub struct Replacement {
    /// Where.
    pub path: PathBuf,
    /// Digest of the list that it was rendered from.
    pub before: [u8; 32],
    /// The whole new content.
    pub content: Vec<u8>,
}

/// How a replacement went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// The new list stands.
    Done,
    /// Another list stands than the one it was rendered from; nothing was done.
    ChangedMeanwhile,
    /// Another program holds the lock; nothing was done.
    Locked,
}

/// Opens the file afresh and reads it whole.
///
/// # Errors
/// As `classify` says.
pub fn look(permit: Permit<Look>) -> Result<Snapshot, Failure> {
    read_path(&permit.into_inner().0)
}

/// True when this process could replace the list: it may open it and write its directory.
///
/// # Errors
/// `auth_failure` without the right.
pub fn may_replace(permit: Permit<Look>) -> Result<(), Failure> {
    let Look(path) = permit.into_inner();
    open_plain(&path)?;
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(directory(&path), access)
        .map_err(|errno| classify::writing(&path, &errno.into()))
}

/// Puts the new list in the place of the old one, or says why not.
///
/// # Errors
/// As `classify` says; `unknown_outcome` only after the new list stands.
pub fn replace(permit: Permit<Replacement>) -> Result<Replaced, Failure> {
    replace_while(permit, || {})
}

/// The same, while somebody else does `meanwhile` once the draft is written.
pub(super) fn replace_while(
    permit: Permit<Replacement>,
    meanwhile: impl FnOnce(),
) -> Result<Replaced, Failure> {
    let Replacement {
        path,
        before,
        content,
    } = permit.into_inner();
    let held = open_plain(&path)?;
    match rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(Replaced::Locked),
        Err(errno) => return Err(classify::writing(&path, &errno.into())),
    }
    // The lock may be on a list that another program has replaced since we opened it.
    if !still_there(&held, &path)? {
        return Ok(Replaced::ChangedMeanwhile);
    }
    let next = path.with_file_name(draft_name(&path));
    let written = write_draft(&held, &next, &content);
    meanwhile();
    let swapped = written
        .map_err(|error| classify::writing(&path, &error))
        .and_then(|()| swap(&held, &next, &path, before));
    match swapped {
        Ok(true) => {
            let directory = File::open(directory(&path)).and_then(|dir| dir.sync_all());
            directory.map_err(|error| classify::not_durable(&path, &error))?;
            Ok(Replaced::Done)
        }
        Ok(false) => {
            discard(&next);
            Ok(Replaced::ChangedMeanwhile)
        }
        Err(failure) => {
            discard(&next);
            Err(failure)
        }
    }
}

/// Renames the draft over the list, unless that is no longer the one that the change was rendered
/// from. Synchronising the draft may have taken long enough for another program to put a list of its
/// own there, which the open file does not show.
fn swap(held: &File, next: &Path, path: &Path, before: [u8; 32]) -> Result<bool, Failure> {
    let writing = |error: &io::Error| classify::writing(path, error);
    let current = read_open(held).map_err(|error| writing(&error))?;
    if current.digest != before || !current.steady || !still_there(held, path)? {
        return Ok(false);
    }
    rustix::fs::rename(next, path).map_err(|errno| writing(&errno.into()))?;
    Ok(true)
}

fn read_path(path: &Path) -> Result<Snapshot, Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        let file = open_plain(path)?;
        let snapshot = read_open(&file).map_err(|error| classify::reading(path, &error))?;
        if snapshot.steady || tries == STEADY_TRIES {
            return Ok(snapshot);
        }
    }
}

/// Reads an open file from its start. The same size and time before and after is the sign that no
/// one wrote in between.
fn read_open(file: &File) -> io::Result<Snapshot> {
    let before = file.metadata()?;
    if before.len() > LARGEST {
        return Err(io::Error::other("it is larger than 64 MiB"));
    }
    let mut bytes = Vec::with_capacity(before.len() as usize + 1);
    let mut reader = file;
    io::Seek::rewind(&mut reader)?;
    reader.take(LARGEST).read_to_end(&mut bytes)?;
    let after = file.metadata()?;
    let stamp = |m: &std::fs::Metadata| (m.len(), m.mtime(), m.mtime_nsec());
    Ok(Snapshot {
        digest: Sha256::digest(&bytes).into(),
        modified: after.mtime(),
        steady: stamp(&before) == stamp(&after) && bytes.len() as u64 == after.len(),
        bytes,
    })
}

/// Opens a plain file at exactly this place: no link in its name or on the way to it, and no second
/// name, which a rename would silently leave with the old list.
fn open_plain(path: &Path) -> Result<File, Failure> {
    let directory = directory(path);
    let real = directory
        .canonicalize()
        .map_err(|error| classify::reading(path, &error))?;
    if real != directory {
        return Err(classify::not_plain(path, "a symbolic link"));
    }
    // Without waiting, so that a pipe in the file's place does not hang the call.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty())
        .map(File::from)
        .map_err(|errno| classify::reading(path, &errno.into()))?;
    let metadata = file
        .metadata()
        .map_err(|error| classify::reading(path, &error))?;
    if !metadata.is_file() {
        return Err(classify::not_plain(path, "not a plain file"));
    }
    if metadata.nlink() > 1 {
        return Err(classify::not_plain(path, "a file with a second name"));
    }
    Ok(file)
}

fn still_there(held: &File, path: &Path) -> Result<bool, Failure> {
    let held = held
        .metadata()
        .map_err(|error| classify::reading(path, &error))?;
    let there = rustix::fs::statat(rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| classify::reading(path, &errno.into()))?;
    Ok(held.ino() == there.st_ino && held.dev() == there.st_dev)
}

/// Writes the new list beside the old one, with its owner and mode. The draft's name is fixed: the
/// lock makes us its only writer, and what a crash left of it is cleared by the next change.
fn write_draft(held: &File, next: &Path, content: &[u8]) -> io::Result<()> {
    discard(next);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut draft = File::from(rustix::fs::open(next, flags, Mode::RUSR | Mode::WUSR)?);
    let old = held.metadata()?;
    let new = draft.metadata()?;
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        std::os::unix::fs::fchown(&draft, Some(old.uid()), Some(old.gid()))?;
    }
    // After the owner: changing it clears the set-id bits.
    draft.set_permissions(old.permissions())?;
    draft.write_all(content)?;
    draft.sync_all()
}

fn draft_name(path: &Path) -> std::ffi::OsString {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".clawback");
    name
}

/// Best effort: what stays is cleared by the next change.
fn discard(draft: &Path) {
    let _ = std::fs::remove_file(draft);
}

fn directory(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}
