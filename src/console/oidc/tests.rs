//! ID tokens that are right, and each way in which one can be wrong.
//!
//! Owns no provider: tokens are signed here by keys of this test's own. The whole way there and back
//! is tested with a real provider.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::Away;
use super::claims::{Claims, Keys, claims, with_info};
use super::provider::ProviderError;
use crate::console::settings::OidcSettings;
use crate::domain::time::Timestamp;
use crate::domain::user::Role;

fn settings() -> OidcSettings {
    OidcSettings {
        issuer: "https://id.example".to_owned(),
        client_id: "clawback".to_owned(),
        client_secret: None,
        scopes: Vec::new(),
        name_claim: "preferred_username".to_owned(),
        roles_claim: "groups".to_owned(),
        roles: BTreeMap::from([(Role::Operator, vec!["ops".to_owned()])]),
    }
}

fn said() -> Value {
    json!({
        "iss": "https://id.example", "aud": "clawback", "sub": "17", "nonce": "n",
        "iat": 1000, "exp": 1600, "preferred_username": "ada", "name": "Ada", "groups": ["ops", "x"],
    })
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Self(key.expect("a key"))
    }

    fn keys(&self) -> Keys {
        let point = self.0.public_key().as_ref();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let keys = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "kid": "k", "use": "sig",
            "x": part(&point[1..33]), "y": part(&point[33..]),
        }]});
        serde_json::from_value(keys).expect("keys")
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encoded(header), encoded(claims));
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signature.expect("signed").as_ref());
        format!("{message}.{signature}")
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn read(token: &str, keys: &Keys) -> Result<Claims, ProviderError> {
    claims(token, keys, &settings(), "n", at(1100))
}

#[test]
fn h1_a_signed_token_of_this_sign_in_is_believed() {
    let signer = Signer::new();
    let token = signer.signed(&json!({ "alg": "ES256", "kid": "k" }), &said());
    let claims = read(&token, &signer.keys()).expect("believed");
    assert_eq!(
        (claims.name.as_str(), claims.subject.as_str()),
        ("ada", "17")
    );
    assert_eq!(claims.roles, BTreeSet::from([Role::Operator]));
}

#[test]
fn h1_whatever_is_wrong_with_a_token_it_is_not_believed() {
    let (signer, header) = (Signer::new(), json!({ "alg": "ES256", "kid": "k" }));
    let keys = signer.keys();
    let wrong: [(&str, Value); 9] = [
        ("iss", "https://evil.example".into()),
        ("aud", "another".into()),
        ("aud", json!(["clawback", "another"])),
        ("azp", "another".into()),
        ("nonce", "m".into()),
        ("exp", 900.into()),
        ("exp", Value::Null),
        ("iat", 5000.into()),
        ("sub", "".into()),
    ];
    for (claim, value) in wrong {
        let mut claims = said();
        claims[claim] = value.clone();
        let read = read(&signer.signed(&header, &claims), &keys);
        assert!(
            matches!(read, Err(ProviderError::Untrue(_))),
            "{claim} {value}: {read:?}"
        );
    }
    let other = Signer::new().signed(&header, &said());
    assert!(read(&other, &keys).is_err(), "another's signature");
    let none = format!(
        "{}.{}.",
        encoded(&json!({ "alg": "none" })),
        encoded(&said())
    );
    assert!(read(&none, &keys).is_err(), "no signature");
    let shared = signer.signed(&json!({ "alg": "HS256", "kid": "k" }), &said());
    assert!(
        read(&shared, &keys).is_err(),
        "a shared secret is no signature"
    );
    let unknown = signer.signed(&json!({ "alg": "ES256", "kid": "other" }), &said());
    assert!(read(&unknown, &keys).is_err(), "a key that is not known");
    let mut changed = signer.signed(&header, &said());
    let body = encoded(&json!({ "groups": ["ops"] }));
    let signature = changed.split('.').nth(2).expect("three parts").to_owned();
    changed = format!("{}.{body}.{signature}", encoded(&header));
    assert!(read(&changed, &keys).is_err(), "changed on the way");
}

#[test]
fn h1_user_info_counts_for_the_same_subject_alone() {
    let signer = Signer::new();
    let mut thin = said();
    thin["groups"] = Value::Null;
    let token = signer.signed(&json!({ "alg": "ES256" }), &thin);
    let claims = read(&token, &signer.keys()).expect("believed");
    assert!(claims.roles.is_empty());
    let info = json!({ "sub": "17", "groups": "ops" });
    let more = with_info(claims.clone(), &info, &settings());
    assert_eq!(more.roles, BTreeSet::from([Role::Operator]));
    let info = json!({ "sub": "18", "groups": "ops" });
    assert!(with_info(claims, &info, &settings()).roles.is_empty());
}

#[test]
fn h1_what_a_sign_in_is_bound_to_comes_back_whole() {
    let away = Away {
        state: "a".to_owned(),
        nonce: "b".to_owned(),
        verifier: "c".to_owned(),
        back: "/cases?open=true".to_owned(),
    };
    assert_eq!(Away::decode(&away.encode()), Some(away));
    assert_eq!(Away::decode("a.b"), None);
}
