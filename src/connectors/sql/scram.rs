//! A PostgreSQL password verifier, made on our side (RFC 5803, SCRAM-SHA-256 of RFC 7677).
//!
//! Owns the derivation. With it the server stores what it needs and neither its log nor its
//! statistics ever see the password. The passwords are ours and ASCII, so SASLprep changes nothing.

use std::num::NonZeroU32;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::domain::outcome::{Failure, FailureClass};

/// What PostgreSQL itself uses (`scram_iterations`).
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("not zero");

/// `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey` with a random salt.
///
/// # Errors
/// `refused` for a password that is not printable ASCII, or without randomness.
pub fn verifier(password: &str) -> Result<String, Failure> {
    let refused = |why: &str| Failure::new(FailureClass::Refused, "CB-SQL-12", why);
    if password.is_empty() || !password.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
        return Err(refused("a chosen password is not printable ASCII"));
    }
    let mut salt = [0_u8; 16];
    SystemRandom::new()
        .fill(&mut salt)
        .map_err(|_| refused("the system has no randomness"))?;
    Ok(derive(password, &salt))
}

fn derive(password: &str, salt: &[u8]) -> String {
    let mut salted = [0_u8; digest::SHA256_OUTPUT_LEN];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        ITERATIONS,
        salt,
        password.as_bytes(),
        &mut salted,
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client = hmac::sign(&key, b"Client Key");
    let stored = digest::digest(&digest::SHA256, client.as_ref());
    let server = hmac::sign(&key, b"Server Key");
    format!(
        "SCRAM-SHA-256${ITERATIONS}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored),
        STANDARD.encode(server)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7677_keys_of_the_example_exchange() {
        // The exchange of RFC 7677 §3: password "pencil", this salt, 4096 iterations.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
        assert_eq!(
            derive("pencil", &salt),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }

    #[test]
    fn a_password_that_the_server_could_read_differently_is_refused() {
        for password in ["", "a b", "pässword", "a\n"] {
            assert!(verifier(password).is_err());
        }
        assert_ne!(verifier("pencil"), verifier("pencil"), "salted");
    }
}
