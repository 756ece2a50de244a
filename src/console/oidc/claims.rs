//! What an ID token says, believed only when everything about it is right.
//!
//! Owns the checks of OpenID Connect Core 1.0, section 3.1.3.7, and of the signature (RFC 7515, RS256
//! and ES256), and the mapping from claims to roles. Fetches nothing.

use std::collections::BTreeSet;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::provider::ProviderError;
use crate::console::settings::OidcSettings;
use crate::domain::time::Timestamp;
use crate::domain::user::Role;

/// How far the provider's clock may differ from ours, in seconds.
const LEEWAY: i64 = 120;

/// Who somebody is, and what they may do here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// The claim that names the user.
    pub name: String,
    /// For people to read.
    pub display_name: String,
    /// By the roles claim.
    pub roles: BTreeSet<Role>,
}

/// A provider's keys (RFC 7517).
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Keys {
    keys: Vec<Key>,
}

#[derive(Debug, Clone, Deserialize)]
struct Key {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, rename = "use")]
    usage: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
}

fn untrue(why: &str) -> ProviderError {
    ProviderError::Untrue(why.to_owned())
}

fn bytes(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

impl Keys {
    /// The payload of a token that one of these keys has signed.
    fn payload(&self, token: &str) -> Result<Value, ProviderError> {
        let mut parts = token.split('.');
        let (Some(head), Some(body), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(untrue("the ID token is no JWS"));
        };
        let header: Option<Header> =
            bytes(head).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let header = header.ok_or_else(|| untrue("the ID token's header cannot be read"))?;
        let signature = bytes(signature).ok_or_else(|| untrue("the signature cannot be read"))?;
        let message = &token[..head.len() + 1 + body.len()];
        // A key is tried only for what it is for; `none` and shared secrets are no signatures.
        let fits = |key: &&Key| {
            (header.kid.is_none() || key.kid == header.kid)
                && key.usage.as_deref().is_none_or(|usage| usage == "sig")
        };
        let signed = self
            .keys
            .iter()
            .filter(fits)
            .any(|key| key.has_signed(&header.alg, message.as_bytes(), &signature));
        if !signed {
            return Err(untrue("no key of the provider has signed the ID token"));
        }
        let payload = bytes(body).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        payload.ok_or_else(|| untrue("the ID token's claims cannot be read"))
    }
}

impl Key {
    fn has_signed(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let part = |text: &Option<String>| text.as_deref().and_then(bytes).unwrap_or_default();
        match (algorithm, self.kty.as_str()) {
            ("RS256", "RSA") => RsaPublicKeyComponents {
                n: part(&self.n),
                e: part(&self.e),
            }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            .is_ok(),
            ("ES256", "EC") if self.crv.as_deref() == Some("P-256") => {
                let mut point = vec![4];
                point.extend(part(&self.x));
                point.extend(part(&self.y));
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                    .verify(message, signature)
                    .is_ok()
            }
            _ => false,
        }
    }
}

/// Checks an ID token and reads who it is about.
///
/// # Errors
/// The first thing about it that is not right.
pub(super) fn claims(
    token: &str,
    keys: &Keys,
    settings: &OidcSettings,
    nonce: &str,
    now: Timestamp,
) -> Result<Claims, ProviderError> {
    let payload = keys.payload(token)?;
    let text = |name: &str| payload[name].as_str().unwrap_or_default().to_owned();
    if text("iss") != settings.issuer {
        return Err(untrue("the ID token is of another issuer"));
    }
    let audience = listed(&payload["aud"]);
    if !audience.contains(&settings.client_id) {
        return Err(untrue("the ID token is for another client"));
    }
    let party = payload["azp"].as_str();
    let party_fits = party.map_or(audience.len() == 1, |party| party == settings.client_id);
    if !party_fits {
        return Err(untrue("the ID token was given to another party"));
    }
    let second = now.as_second();
    if payload["exp"]
        .as_i64()
        .is_none_or(|exp| second >= exp + LEEWAY)
    {
        return Err(untrue("the ID token is over"));
    }
    if payload["iat"]
        .as_i64()
        .is_none_or(|iat| iat > second + LEEWAY)
    {
        return Err(untrue("the ID token is of the future"));
    }
    if payload["nonce"] != nonce {
        return Err(untrue("the ID token is of another sign-in"));
    }
    let subject = text("sub");
    if subject.is_empty() {
        return Err(untrue("the ID token names nobody"));
    }
    Ok(of(&payload, settings, subject))
}

/// Adds what the user-info endpoint says of the same subject, where the token did not say it.
pub(super) fn with_info(claims: Claims, info: &Value, settings: &OidcSettings) -> Claims {
    if info["sub"] != claims.subject.as_str() {
        return claims;
    }
    let more = of(info, settings, claims.subject.clone());
    Claims {
        name: either(claims.name, more.name),
        display_name: either(claims.display_name, more.display_name),
        roles: claims.roles.union(&more.roles).copied().collect(),
        ..claims
    }
}

fn either(one: String, other: String) -> String {
    if one.is_empty() { other } else { one }
}

fn of(said: &Value, settings: &OidcSettings, subject: String) -> Claims {
    let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
    let values = listed(&said[&settings.roles_claim]);
    let roles = settings.roles.iter();
    let roles = roles.filter(|(_, wanted)| wanted.iter().any(|one| values.contains(one)));
    let name = text(&settings.name_claim);
    Claims {
        issuer: settings.issuer.clone(),
        subject,
        display_name: either(text("name"), name.clone()),
        name,
        roles: roles.map(|(role, _)| *role).collect(),
    }
}

/// One text, or a list of texts.
fn listed(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => {
            let texts = items.iter().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}
