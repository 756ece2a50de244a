//! The key that wraps the vault's data keys.
//!
//! Owns where it comes from (a file that only its owner can read, or a text that the caller took
//! from the environment or a terminal) and its id, by which a wrong key is told from a damaged entry. Reads no
//! environment variable itself; the key's bytes are wiped when it is dropped.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::VaultError;

/// Length in bytes: AES-256.
pub(super) const KEY_BYTES: usize = 32;

/// A 256-bit key. Debug shows its id only.
pub struct VaultKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    id: String,
}

impl VaultKey {
    /// Reads a key file: 64 hex digits, and nobody but its owner may have any right to it.
    pub fn from_file(path: &Path) -> Result<Self, VaultError> {
        Self::from_text(read_private(path)?.expose_secret())
    }

    /// Takes 64 hex digits; white space around them does not count.
    pub fn from_text(text: &str) -> Result<Self, VaultError> {
        let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
        hex::decode_to_slice(text.trim(), bytes.as_mut_slice())
            .map_err(|_| VaultError::Key(format!("it must be {} hex digits", KEY_BYTES * 2)))?;
        Ok(Self::new(bytes))
    }

    /// Draws a key.
    pub fn random() -> Result<Self, VaultError> {
        let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
        aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| VaultError::Crypto)?;
        Ok(Self::new(bytes))
    }

    /// Draws a key and keeps it in a new file that only its owner can read. An existing file is an
    /// error and stays as it is: to overwrite a key would be to lose the vault.
    pub fn create_file(path: &Path) -> Result<Self, VaultError> {
        let io = |error: std::io::Error| VaultError::Key(format!("{}: {error}", path.display()));
        let key = Self::random()?;
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(io)?;
        let mut text = hex::encode(key.bytes.as_slice());
        text.push('\n');
        let written = file.write_all(text.as_bytes());
        text.zeroize();
        let durable = written.and_then(|()| file.sync_all());
        durable.and_then(|()| sync_folder_of(path)).map_err(io)?;
        Ok(key)
    }

    fn new(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let digest = Sha256::new()
            .chain_update(b"clawback vault key id\0")
            .chain_update(bytes.as_slice())
            .finalize();
        Self {
            bytes,
            id: hex::encode(&digest[..8]),
        }
    }

    /// Tells keys apart; says nothing about the key.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }
}

/// Makes durable which files the folder of this one has: without it a power cut may take a new name
/// back, however well the file itself was written.
pub(super) fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Reads a key, token or secret id from a file to which nobody but its owner may have any right;
/// white space around it does not count.
pub fn read_private(path: &Path) -> Result<SecretString, VaultError> {
    let io = |error: std::io::Error| VaultError::Key(format!("{}: {error}", path.display()));
    let mut file = File::open(path).map_err(io)?;
    // Asked of the open file, not of the path: what is checked is what is read.
    let mode = file.metadata().map_err(io)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(VaultError::Key(format!(
            "{} has mode {mode:04o}; it must be 0600 or 0400",
            path.display()
        )));
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(io)?;
    Ok(SecretString::from(text.trim()))
}

impl fmt::Debug for VaultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VaultKey({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("key");
        let made = VaultKey::create_file(&path).expect("made");
        let read = VaultKey::from_file(&path).expect("read");
        assert_eq!(made.bytes(), read.bytes());
        assert_eq!(made.id(), read.id());

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("chmod");
        let error = VaultKey::from_file(&path).expect_err("refused");
        assert_eq!(error.code(), "CB-SECRETS-8");
        assert!(error.to_string().contains("0640"), "{error}");
        assert!(VaultKey::create_file(&path).is_err(), "never overwritten");
    }

    #[test]
    fn a_key_of_the_wrong_length_is_refused_without_quoting_it() {
        let error = VaultKey::from_text("abcdef0123").expect_err("refused");
        assert!(!error.to_string().contains("abcdef"), "{error}");
        assert!(VaultKey::from_text(&"0g".repeat(32)).is_err());
        let key = VaultKey::from_text(&format!(" {}\n", "0f".repeat(32))).expect("taken");
        assert!(!format!("{key:?}").contains("0f0f"));
    }
}
