//! Rotation of the connector's own passwords: one at a time (`choose`), or two (`add`).
//!
//! Owns both, with the rotator's credential. By `choose` the directory takes the new value in place of
//! the old one. By `add` a second value of `userPassword` (RFC 4519 §2.41, which is multi-valued) is
//! added beside the first; it is hashed here, with the rotation's label in its salt, so that an orphan
//! is known by its label and a value by a digest of what is stored. Signs in as nobody but the caller.

use std::collections::BTreeSet;

use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ldap3::Mod;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::classify;
use super::client::{Client, Edit, EditKind, Page, SetPassword};
use crate::connectors::{Call, KnownSecret, MintOrder, Minted, RenderedRequest, unsupported};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::verdict::CredentialRole;

/// Where an entry keeps its passwords.
const ATTRIBUTE: &str = "userPassword";

/// The scheme in which we store: salted SHA-1, the one that every directory knows (RFC 2307 §5.3 names
/// the form). The values are 256 random bits, which no search of hashes reaches.
const SCHEME: &str = "{SSHA}";

/// Length of a SHA-1, before the salt.
const SHA1_BYTES: usize = 20;

/// What an older value is called that does not show who made it.
const UNLABELLED: &str = "not by clawback";

/// Sets the password that the order chose, or adds one of our own drawing beside what is there.
///
/// # Errors
/// `unsupported` for a role whose manifest does not rotate it, else as `classify` says.
pub async fn mint(client: &Client, call: &Call<'_>, order: &MintOrder) -> Result<Minted, Failure> {
    let dn = own(client, order.role)?;
    if let Some(chosen) = &order.chosen {
        let set = SetPassword {
            dn: dn.to_owned(),
            way: client.settings().password_way,
            chosen: chosen.clone(),
        };
        let permit = call.permit(rendered("PASSWORD of", dn), set).await?;
        let mut link = client.connect(call.credential).await?;
        link.set_password(permit).await?;
        return Ok(Minted {
            remote_ref: None,
            secret: chosen.clone(),
            expires: None,
        });
    }
    let secret = draw()?;
    let stored = hashed(&secret, &order.label);
    let added = Mod::Add(ATTRIBUTE.as_bytes().to_vec(), [stored.clone()].into());
    change(client, call, dn, added).await?;
    Ok(Minted {
        remote_ref: Some(reference(&stored)),
        secret,
        expires: None,
    })
}

/// The passwords of an entry, by digest of what is stored and by label.
///
/// # Errors
/// `drifted` when the rotator may not see them: none at all would be an entry that nobody signs in as.
pub async fn list(
    client: &Client,
    call: &Call<'_>,
    role: CredentialRole,
) -> Result<Vec<KnownSecret>, Failure> {
    if role == CredentialRole::Rotator || !adds(client, role) {
        // An entry that has one password at a time tells nothing about it.
        return Ok(Vec::new());
    }
    let stored = stored(client, call, own(client, role)?).await?;
    let known = stored
        .iter()
        .map(|value| KnownSecret::by_id(reference(value), label(value)));
    Ok(known.collect())
}

/// Takes one of two passwords away; one that is not there is gone. Where an entry has one at a time,
/// the old one died when the new one was set.
///
/// # Errors
/// `write_failure` for the last one, else as `classify` says.
pub async fn take_away(
    client: &Client,
    call: &Call<'_>,
    role: CredentialRole,
    remote_ref: &str,
) -> Result<(), Failure> {
    if !adds(client, role) {
        return Ok(());
    }
    let dn = own(client, role)?;
    let stored = stored(client, call, dn).await?;
    let Some(doomed) = stored.iter().find(|one| reference(one) == remote_ref) else {
        return Ok(());
    };
    let gone = Mod::Delete(ATTRIBUTE.as_bytes().to_vec(), [doomed.clone()].into());
    change(client, call, dn, gone).await
}

fn own(client: &Client, role: CredentialRole) -> Result<&str, Failure> {
    let own = client.settings().own.get(&role);
    own.map(String::as_str)
        .ok_or_else(|| unsupported("set a password that its manifest does not rotate"))
}

fn adds(client: &Client, role: CredentialRole) -> bool {
    client.settings().two_passwords.contains(&role)
}

async fn stored(client: &Client, call: &Call<'_>, dn: &str) -> Result<Vec<Vec<u8>>, Failure> {
    let page = Page {
        base: dn.to_owned(),
        below: false,
        filter: "(objectClass=*)".to_owned(),
        attributes: vec![ATTRIBUTE.to_owned()],
        size: None,
        most: 1,
        cookie: Vec::new(),
    };
    let permit = call
        .permit(rendered("SEARCH the passwords of", dn), page)
        .await?;
    let mut link = client.connect(call.credential).await?;
    let shown = link.search(permit).await?;
    let values = shown.entries.first().map(|entry| entry.values(ATTRIBUTE));
    match values {
        Some(values) if !values.is_empty() => Ok(values.to_vec()),
        _ => Err(classify::drifted(format!(
            "the rotator does not see `{ATTRIBUTE}` of {dn}"
        ))),
    }
}

async fn change(
    client: &Client,
    call: &Call<'_>,
    dn: &str,
    change: Mod<Vec<u8>>,
) -> Result<(), Failure> {
    let edit = Edit {
        dn: dn.to_owned(),
        only_if: None,
        kind: EditKind::Modify(vec![change]),
    };
    let permit = call
        .permit(rendered("MODIFY the passwords of", dn), edit)
        .await?;
    let mut link = client.connect(call.credential).await?;
    let result = link.change(permit).await?;
    if result.rc == 0 {
        return Ok(());
    }
    // Without the directory's words, which may quote a value.
    Err(classify::refused_silently(&result))
}

fn rendered(what: &str, dn: &str) -> RenderedRequest {
    RenderedRequest {
        operation: None,
        account: None,
        writes: BTreeSet::new(),
        line: format!("{what} {dn}"),
    }
}

/// A value of 256 random bits, in letters that a directory's rules of passwords like.
fn draw() -> Result<SecretString, Failure> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    rand::fill(bytes.as_mut_slice()).map_err(|_| {
        Failure::new(
            FailureClass::Unreachable,
            "CB-LDAP-15",
            "the system has no randomness",
        )
    })?;
    let mut text = Zeroizing::new(String::from("Cb1-"));
    URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
    Ok(SecretString::from(text.as_str()))
}

/// What the directory stores: SHA-1 of value and salt, and the salt, which is the rotation's label. It
/// names one rotation, so that no two values share a salt.
fn hashed(secret: &SecretString, label: &str) -> Vec<u8> {
    let salted = Zeroizing::new([secret.expose_secret().as_bytes(), label.as_bytes()].concat());
    let sum = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &salted);
    let both = [sum.as_ref(), label.as_bytes()].concat();
    format!("{SCHEME}{}", STANDARD.encode(both)).into_bytes()
}

fn label(stored: &[u8]) -> String {
    let salt = || {
        let text = std::str::from_utf8(stored).ok()?.strip_prefix(SCHEME)?;
        let both = STANDARD.decode(text).ok()?;
        let salt = String::from_utf8(both.get(SHA1_BYTES..)?.to_vec()).ok()?;
        salt.starts_with("clawback:").then_some(salt)
    };
    salt().unwrap_or_else(|| UNLABELLED.to_owned())
}

/// Tells values apart; says nothing about them.
fn reference(stored: &[u8]) -> String {
    hex::encode(&Sha256::digest(stored)[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_value_shows_its_rotation_and_what_others_stored_does_not() {
        let secret = SecretString::from("secret");
        let stored = hashed(&secret, "clawback:r1");
        assert_eq!(label(&stored), "clawback:r1");
        assert!(stored.starts_with(b"{SSHA}"));
        for other in ["in-clear", "{SSHA}AAAA", "{CRYPT}x", "{SSHA}%%"] {
            assert_eq!(label(other.as_bytes()), UNLABELLED, "{other}");
        }
        assert_ne!(reference(&stored), reference(b"in-clear"));
    }
}
