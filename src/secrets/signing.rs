//! Signatures: Ed25519 (RFC 8032), keys that lie in the vault, and their check with a public key alone.
//!
//! Owns the key's form (32 bytes of seed, hex) and when the next key takes its place. What is signed is
//! the caller's; a checkpoint that names the next key is what makes others believe it.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::{Change, NewSecret, Owner, Slot, Vault, VaultError};
use crate::domain::time::Timestamp;

const SEED_BYTES: usize = 32;

/// A key that signs.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.public)
    }
}

impl Signer {
    /// The key with this seed: 64 hex digits.
    ///
    /// # Errors
    /// When it is no such seed.
    pub fn from_seed(seed: &SecretString) -> Result<Self, VaultError> {
        let mut bytes = Zeroizing::new([0_u8; SEED_BYTES]);
        hex::decode_to_slice(seed.expose_secret().trim(), bytes.as_mut_slice())
            .map_err(|_| VaultError::Crypto)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(bytes.as_slice())
            .map_err(|_| VaultError::Crypto)?;
        let public = hex::encode(pair.public_key().as_ref());
        Ok(Self { pair, public })
    }

    /// The public key, hex.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The signature over these bytes, hex.
    pub fn sign(&self, message: &[u8]) -> String {
        hex::encode(self.pair.sign(message).as_ref())
    }

    /// Draws a seed.
    fn draw() -> Result<SecretString, VaultError> {
        let mut bytes = Zeroizing::new([0_u8; SEED_BYTES]);
        aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| VaultError::Crypto)?;
        Ok(SecretString::from(hex::encode(bytes.as_slice())))
    }
}

/// True when `signature` over `message` is by this public key (both hex).
pub fn signed_by(public: &str, message: &[u8], signature: &str) -> bool {
    let (Ok(public), Ok(signature)) = (hex::decode(public), hex::decode(signature)) else {
        return false;
    };
    UnparsedPublicKey::new(&ED25519, public)
        .verify(message, &signature)
        .is_ok()
}

/// The key that signs now. Where the log names one (`expected`, a public key), it is that one, even if
/// a change of keys was cut short; where there is none yet, one is drawn.
///
/// # Errors
/// When the vault cannot be used, or has not the key that the log names.
pub async fn signer(
    vault: &dyn Vault,
    owner: &Owner,
    expected: Option<&str>,
    now: Timestamp,
) -> Result<Signer, VaultError> {
    if vault.reveal(owner, Slot::Current).await?.is_none() && expected.is_none() {
        let next = next_signer(vault, owner, now).await?;
        promote(vault, owner, &next).await?;
    }
    for slot in [Slot::Current, Slot::Pending, Slot::Previous] {
        let Some(revealed) = vault.reveal(owner, slot).await? else {
            continue;
        };
        let signer = Signer::from_seed(&revealed.value)?;
        if expected.is_none_or(|expected| expected == signer.public()) {
            if slot == Slot::Pending {
                promote(vault, owner, &signer).await?;
            }
            return Ok(signer);
        }
    }
    Err(VaultError::Missing {
        reference: owner.reference.clone(),
        slot: "current",
    })
}

/// The key that is to follow: pending in the vault until [`promote`] makes it current. One that an
/// earlier attempt had drawn is taken up.
///
/// # Errors
/// When the vault cannot be written.
pub async fn next_signer(
    vault: &dyn Vault,
    owner: &Owner,
    now: Timestamp,
) -> Result<Signer, VaultError> {
    if let Some(pending) = vault.reveal(owner, Slot::Pending).await? {
        return Signer::from_seed(&pending.value);
    }
    let base = vault
        .record(owner)
        .await?
        .map_or(0, |record| record.version);
    let seed = Signer::draw()?;
    let signer = Signer::from_seed(&seed)?;
    let new = NewSecret {
        value: seed,
        username: None,
        remote_ref: None,
        expires: None,
    };
    let save = Change::SavePending {
        base,
        label: signer.public().to_owned(),
        new,
        at: now,
    };
    match vault.change(owner, save).await {
        Ok(_) => Ok(signer),
        // Another process drew one at the same moment: that one it is.
        Err(VaultError::Overtaken { .. } | VaultError::NotPending { .. }) => {
            let slots = [Slot::Pending, Slot::Current];
            for slot in slots {
                if let Some(revealed) = vault.reveal(owner, slot).await? {
                    return Signer::from_seed(&revealed.value);
                }
            }
            Err(VaultError::Crypto)
        }
        Err(error) => Err(error),
    }
}

/// Makes the next key the current one; doing it again changes nothing.
///
/// # Errors
/// When the vault cannot be written.
pub async fn promote(vault: &dyn Vault, owner: &Owner, next: &Signer) -> Result<(), VaultError> {
    let promote = Change::Promote {
        label: next.public().to_owned(),
        replaced: None,
    };
    vault.change(owner, promote).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::ConnectorName;
    use crate::domain::verdict::CredentialRole;
    use crate::secrets::LocalVault;

    fn owner() -> Owner {
        Owner {
            reference: "local:audit".to_owned(),
            connector: ConnectorName("the platform".to_owned()),
            role: CredentialRole::Writer,
        }
    }

    #[tokio::test]
    async fn a_signature_is_of_one_key_over_one_message() {
        let vault = LocalVault::in_memory().expect("a vault");
        let signer = signer(&vault, &owner(), None, Timestamp::UNIX_EPOCH)
            .await
            .expect("a key");
        let signature = signer.sign(b"text");
        assert!(signed_by(signer.public(), b"text", &signature));
        assert!(!signed_by(signer.public(), b"texts", &signature));
        assert!(!signed_by(&"00".repeat(32), b"text", &signature));
        assert!(!signed_by("no hex", b"text", &signature));
    }

    #[tokio::test]
    async fn a_key_is_drawn_once_and_changed_in_two_steps_that_survive_a_crash() {
        let vault = LocalVault::in_memory().expect("a vault");
        let now = Timestamp::UNIX_EPOCH;
        let first = signer(&vault, &owner(), None, now).await.expect("a key");
        let again = signer(&vault, &owner(), None, now).await.expect("the key");
        assert_eq!(first.public(), again.public());

        let next = next_signer(&vault, &owner(), now).await.expect("drawn");
        assert_ne!(next.public(), first.public());
        let same = next_signer(&vault, &owner(), now).await.expect("the same");
        assert_eq!(same.public(), next.public());
        // Before the log names it, the first one signs; when the log names it, it does.
        let now_signs = signer(&vault, &owner(), Some(first.public()), now)
            .await
            .expect("a key");
        assert_eq!(now_signs.public(), first.public());
        let now_signs = signer(&vault, &owner(), Some(next.public()), now)
            .await
            .expect("a key");
        assert_eq!(now_signs.public(), next.public());
        assert!(
            signer(&vault, &owner(), Some("another"), now)
                .await
                .is_err()
        );
    }
}
