//! Envelope encryption of one value: a fresh data key for each, wrapped by the vault's key.
//!
//! AES-256-GCM (NIST SP 800-38D) twice, both times with the place of the value as associated data:
//! an entry that is moved to another connector, role, slot or version, or whose username or remote
//! id is changed, does not open. Knows neither files nor slots' transitions.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::VaultKey;
use super::key::KEY_BYTES;

/// A value as it lies in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sealed {
    /// Which key wraps the data key.
    key: String,
    /// Nonce and wrapped data key, base64.
    wrapped: String,
    /// Nonce and ciphertext, base64.
    value: String,
}

/// Why a value could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SealError {
    /// Wrapped by another key.
    OtherKey,
    /// Changed, cut or moved.
    Damaged,
    /// The library or its random source failed.
    Library,
}

/// Parts of the associated data; each is preceded by its length, so none runs into the next.
pub(super) fn associated_data(parts: &[&str]) -> Vec<u8> {
    let mut data = b"clawback vault 1".to_vec();
    for part in parts {
        data.extend_from_slice(&(part.len() as u64).to_be_bytes());
        data.extend_from_slice(part.as_bytes());
    }
    data
}

impl Sealed {
    /// Encrypts `value` for the place that `aad` names.
    pub(super) fn seal(
        key: &VaultKey,
        aad: &[u8],
        value: &SecretString,
    ) -> Result<Self, SealError> {
        let mut data_key = Zeroizing::new([0_u8; KEY_BYTES]);
        aws_lc_rs::rand::fill(data_key.as_mut_slice()).map_err(|_| SealError::Library)?;
        Ok(Self {
            key: key.id().to_owned(),
            wrapped: encrypt(key.bytes(), aad, data_key.as_slice())?,
            value: encrypt(data_key.as_slice(), aad, value.expose_secret().as_bytes())?,
        })
    }

    /// The value, if it was sealed with this key for this place.
    pub(super) fn open(&self, key: &VaultKey, aad: &[u8]) -> Result<SecretString, SealError> {
        if self.key != key.id() {
            return Err(SealError::OtherKey);
        }
        let data_key = decrypt(key.bytes(), aad, &self.wrapped)?;
        let value = decrypt(&data_key, aad, &self.value)?;
        let text = std::str::from_utf8(&value).map_err(|_| SealError::Damaged)?;
        Ok(SecretString::from(text))
    }
}

fn cipher(key: &[u8]) -> Result<LessSafeKey, SealError> {
    let unbound = UnboundKey::new(&AES_256_GCM, key).map_err(|_| SealError::Damaged)?;
    Ok(LessSafeKey::new(unbound))
}

fn encrypt(key: &[u8], aad: &[u8], plain: &[u8]) -> Result<String, SealError> {
    // Random nonces are safe here: a data key seals one value, and the vault's key wraps far fewer
    // than the 2^32 data keys that SP 800-38D section 8.3 allows.
    let mut nonce = [0_u8; NONCE_LEN];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| SealError::Library)?;
    let mut buffer = Zeroizing::new(Vec::with_capacity(plain.len() + AES_256_GCM.tag_len()));
    buffer.extend_from_slice(plain);
    cipher(key)?
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            &mut *buffer,
        )
        .map_err(|_| SealError::Library)?;
    let mut out = nonce.to_vec();
    out.extend_from_slice(&buffer);
    Ok(BASE64.encode(out))
}

fn decrypt(key: &[u8], aad: &[u8], text: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let mut bytes = Zeroizing::new(BASE64.decode(text).map_err(|_| SealError::Damaged)?);
    if bytes.len() < NONCE_LEN {
        return Err(SealError::Damaged);
    }
    let (nonce, sealed) = bytes.split_at_mut(NONCE_LEN);
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Damaged)?;
    let plain = cipher(key)?
        .open_in_place(nonce, Aad::from(aad), sealed)
        .map_err(|_| SealError::Damaged)?;
    Ok(Zeroizing::new(plain.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: &str) -> VaultKey {
        VaultKey::from_text(&digit.repeat(64)).expect("a key")
    }

    #[test]
    fn d1_a_sealed_value_opens_only_in_its_own_place_and_with_its_own_key() {
        let here = associated_data(&["crm", "writer", "current", "1"]);
        let there = associated_data(&["erp", "writer", "current", "1"]);
        let value = SecretString::from("s3cret-värde");
        let sealed = Sealed::seal(&key("a"), &here, &value).expect("sealed");
        let text = serde_json::to_string(&sealed).expect("serialises");
        assert!(!text.contains("s3cret"));
        assert_eq!(
            sealed
                .open(&key("a"), &here)
                .expect("opens")
                .expose_secret(),
            value.expose_secret()
        );
        assert_eq!(
            sealed.open(&key("a"), &there).err(),
            Some(SealError::Damaged)
        );
        assert_eq!(
            sealed.open(&key("b"), &here).err(),
            Some(SealError::OtherKey)
        );
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let here = associated_data(&["crm"]);
        let sealed = Sealed::seal(&key("a"), &here, &SecretString::from("abc")).expect("sealed");
        for field in [&sealed.wrapped, &sealed.value] {
            let whole = BASE64.decode(field).expect("base64");
            for place in 0..whole.len() {
                let mut bent = whole.clone();
                bent[place] ^= 1;
                let mut copy = sealed.clone();
                if field == &sealed.wrapped {
                    copy.wrapped = BASE64.encode(&bent);
                } else {
                    copy.value = BASE64.encode(&bent);
                }
                assert_eq!(copy.open(&key("a"), &here).err(), Some(SealError::Damaged));
            }
        }
    }

    #[test]
    fn parts_of_the_associated_data_do_not_run_into_each_other() {
        assert_ne!(associated_data(&["ab", "c"]), associated_data(&["a", "bc"]));
    }
}
