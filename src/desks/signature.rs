//! Signatures of the webhook, both ways.
//!
//! Owns HMAC-SHA256 (RFC 2104, FIPS 198-1) over id, time and body as the Standard Webhooks
//! specification 1.0 lays it out: `webhook-id`, `webhook-timestamp` in Unix seconds, and
//! `webhook-signature`, a list of `v1,<base64>`; secrets may be written `whsec_<base64>`. Compares in
//! constant time. Knows no message's meaning.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::domain::time::Timestamp;

/// How far a signature's time may be from ours, in seconds, either way.
pub(super) const WINDOW_SECONDS: i64 = 300;

/// The headers of one signed message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signed<'a> {
    pub(super) id: &'a str,
    pub(super) timestamp: &'a str,
    pub(super) signature: &'a str,
}

/// Why a signature is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Untrue {
    /// No Unix time, or one outside of the window.
    Time,
    /// No signature of the list is by our secret.
    Signature,
}

/// The value of `webhook-signature` for a message.
pub(super) fn sign(secret: &SecretString, id: &str, at: Timestamp, body: &[u8]) -> String {
    let tag = hmac::sign(
        &key(secret),
        &content(id, &at.as_second().to_string(), body),
    );
    format!("v1,{}", STANDARD.encode(tag.as_ref()))
}

/// Checks a message; returns when it was signed.
pub(super) fn verify(
    secret: &SecretString,
    signed: Signed<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<Timestamp, Untrue> {
    let seconds: i64 = signed.timestamp.parse().map_err(|_| Untrue::Time)?;
    let key = key(secret);
    let content = content(signed.id, signed.timestamp, body);
    let genuine = signed.signature.split(' ').any(|one| {
        let tag = one.strip_prefix("v1,").map(|text| STANDARD.decode(text));
        matches!(tag, Some(Ok(tag)) if hmac::verify(&key, &content, &tag).is_ok())
    });
    if !genuine {
        return Err(Untrue::Signature);
    }
    if now.as_second().abs_diff(seconds) > WINDOW_SECONDS.unsigned_abs() {
        return Err(Untrue::Time);
    }
    Timestamp::from_second(seconds).map_err(|_| Untrue::Time)
}

fn key(secret: &SecretString) -> hmac::Key {
    let text = secret.expose_secret();
    let bytes = text
        .strip_prefix("whsec_")
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .map_or_else(|| Zeroizing::new(text.as_bytes().to_vec()), Zeroizing::new);
    hmac::Key::new(hmac::HMAC_SHA256, &bytes)
}

fn content(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    let mut content = format!("{id}.{timestamp}.").into_bytes();
    content.extend_from_slice(body);
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[test]
    fn f2_signatures_agree_with_published_vectors() {
        // RFC 4231 §4.2 and §4.3: HMAC-SHA-256 itself.
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[0x0b; 20]), b"Hi There");
        let known = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert_eq!(hex::encode(tag.as_ref()), known);
        let tag = hmac::sign(&key(&secret("Jefe")), b"what do ya want for nothing?");
        let known = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex::encode(tag.as_ref()), known);
        // The example of the Standard Webhooks libraries.
        let at = Timestamp::from_second(1_614_265_330).expect("an instant");
        let made = sign(
            &secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            at,
            b"{\"test\": 2432232314}",
        );
        assert_eq!(made, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn f2_a_changed_old_or_foreign_message_is_not_taken() {
        let ours = secret("a-secret-of-ours");
        let now = Timestamp::from_second(1_800_000_000).expect("an instant");
        let signature = sign(&ours, "m-1", now, b"{}");
        let timestamp = now.as_second().to_string();
        let signed = Signed {
            id: "m-1",
            timestamp: &timestamp,
            signature: &signature,
        };
        assert_eq!(verify(&ours, signed, b"{}", now), Ok(now));
        // While a secret is replaced, messages carry a signature by each.
        let both = format!("v1,AAAA v1a,x {signature}");
        let signed_twice = Signed {
            signature: &both,
            ..signed
        };
        assert_eq!(verify(&ours, signed_twice, b"{}", now), Ok(now));
        let untrue = Err(Untrue::Signature);
        assert_eq!(verify(&ours, signed, b"{ }", now), untrue);
        assert_eq!(verify(&secret("another"), signed, b"{}", now), untrue);
        assert_eq!(
            verify(
                &ours,
                Signed {
                    id: "m-2",
                    ..signed
                },
                b"{}",
                now
            ),
            untrue
        );
        let later = Timestamp::from_second(1_800_000_301).expect("an instant");
        assert_eq!(verify(&ours, signed, b"{}", later), Err(Untrue::Time));
        let earlier = Timestamp::from_second(1_799_999_699).expect("an instant");
        assert_eq!(verify(&ours, signed, b"{}", earlier), Err(Untrue::Time));
    }
}
