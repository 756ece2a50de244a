//! Passwords and secrets: hashed, drawn, compared.
//!
//! Owns argon2id (RFC 9106) with the parameters that OWASP names first, and 256-bit secrets of
//! sessions and tokens. Compares in constant time. Keeps nothing and knows no user.

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _, phc};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::domain::user::{PasswordHash, SecretDigest};

/// Memory in KiB, passes, lanes: OWASP Password Storage Cheat Sheet, argon2id.
const COST: (u32, u32, u32) = (19_456, 2, 1);
/// What NIST SP 800-63B asks of a password that stands alone, rounded down a little.
const SHORTEST: usize = 12;
/// Hashing more would only cost time.
const LONGEST: usize = 512;

/// A password, or the machine's library, is no good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("CB-CONSOLE-9: a password has {SHORTEST} to {LONGEST} characters")]
    Length,
    /// The library failed: no memory, no randomness.
    #[error("CB-CONSOLE-10: the password could not be hashed")]
    Library,
}

fn argon2() -> Result<Argon2<'static>, PasswordError> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).map_err(|_| PasswordError::Library)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Hashes a password; takes a moment on purpose, so not for an asynchronous task's own thread.
///
/// # Errors
/// When it is too short or too long, or the library fails.
pub fn hash(password: &str) -> Result<PasswordHash, PasswordError> {
    if !(SHORTEST..=LONGEST).contains(&password.chars().count()) {
        return Err(PasswordError::Length);
    }
    let mut salt = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| PasswordError::Library)?;
    let hash: phc::PasswordHash = argon2()?
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|_| PasswordError::Library)?;
    Ok(PasswordHash(hash.to_string()))
}

/// True when the password is the one that was hashed. Without a hash the same time goes by.
pub fn verify(password: &str, hash: Option<&PasswordHash>) -> bool {
    let Ok(argon2) = argon2() else {
        return false;
    };
    if password.chars().count() > LONGEST {
        return false;
    }
    let Some(hash) = hash else {
        let nobody: Result<phc::PasswordHash, _> =
            argon2.hash_password_with_salt(password.as_bytes(), b"nobody has this ");
        drop(nobody);
        return false;
    };
    argon2
        .verify_password(password.as_bytes(), hash.0.as_str())
        .is_ok()
}

/// 256 random bits as hexadecimal digits.
///
/// # Errors
/// When the machine gives no randomness.
pub fn secret() -> Result<String, PasswordError> {
    let mut bytes = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| PasswordError::Library)?;
    Ok(hex::encode(bytes))
}

/// What a form of this session shows: derived from the cookie's secret, which no page can read.
pub fn form_token(secret: &str) -> String {
    SecretDigest::of(&format!("clawback form {secret}")).0
}

/// Compares without telling by time how far two texts agree.
pub fn same(one: &str, other: &str) -> bool {
    verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_a_password_is_kept_as_argon2id_and_known_again() {
        let hash = hash("correct horse battery").expect("hashed");
        assert!(hash.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(!format!("{hash:?}").contains("argon2id"));
        assert!(verify("correct horse battery", Some(&hash)));
        assert!(!verify("correct horse batterz", Some(&hash)));
        assert!(!verify("correct horse battery", None));
        assert!(!verify("x", Some(&PasswordHash("no hash".to_owned()))));
        let again = super::hash("correct horse battery").expect("hashed");
        assert_ne!(hash, again, "each has its own salt");
    }

    #[test]
    fn h1_short_and_endless_passwords_are_refused() {
        assert_eq!(hash("elevenchars"), Err(PasswordError::Length));
        assert_eq!(hash(&"x".repeat(513)), Err(PasswordError::Length));
    }

    #[test]
    fn h1_secrets_differ_and_their_form_tokens_do_not_show_them() {
        let (one, other) = (secret().expect("drawn"), secret().expect("drawn"));
        assert_eq!(one.len(), 64);
        assert_ne!(one, other);
        assert_ne!(form_token(&one), one);
        assert!(same(&form_token(&one), &form_token(&one)));
        assert!(!same(&form_token(&one), &form_token(&other)));
    }
}
