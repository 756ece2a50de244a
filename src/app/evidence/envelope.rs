//! The file: a DSSE envelope (Dead Simple Signing Envelope, v1.0.2) around the payload's exact bytes.
//!
//! Owns the pre-authentication encoding, signing and the offline check. The signature covers type and
//! payload; every other field is compared with what they say, so no field can be changed unseen.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::audit::{Digest, Signed};
use crate::secrets::signing::{Signer, signed_by};

/// The type of the payload: `docs/schemas/clawback.evidence.v1.json`.
pub const PAYLOAD_TYPE: &str = "application/vnd.clawback.evidence.v1+json";

/// Why a file is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// Not an envelope, or not of this form.
    #[error("CB-APP-8: the file is no evidence: {0}")]
    Form(String),
    /// The signature, or something that it covers, is not what was signed.
    #[error("CB-APP-9: the evidence is not as it was signed: {0}")]
    Changed(String),
}

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// What the payload is.
    pub payload_type: String,
    /// Base64 of its bytes.
    pub payload: String,
    /// Exactly one.
    pub signatures: Vec<Signature>,
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Which key: the first 16 hex digits of the SHA-256 of the public key.
    pub keyid: String,
    /// Base64, Ed25519 over the pre-authentication encoding.
    pub sig: String,
}

/// The short name of a public key (hex).
pub fn key_id(public: &str) -> String {
    let digest = Digest::of("clawback public key 1", public.as_bytes()).to_string();
    digest.chars().take(16).collect()
}

/// `DSSEv1 SP length(type) SP type SP length(body) SP body`.
fn encoded(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    );
    let mut bytes = head.into_bytes();
    bytes.extend(payload);
    bytes
}

impl Envelope {
    /// Signs a payload.
    pub fn sign(payload: &Value, signer: &Signer) -> Self {
        let bytes = payload.to_string().into_bytes();
        let signature = signer.sign(&encoded(PAYLOAD_TYPE, &bytes));
        let signature = hex::decode(signature).unwrap_or_default();
        Self {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload: STANDARD.encode(bytes),
            signatures: vec![Signature {
                keyid: key_id(signer.public()),
                sig: STANDARD.encode(signature),
            }],
        }
    }

    /// The file's text.
    pub fn text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it is no envelope.
    pub fn read(text: &str) -> Result<Self, EvidenceError> {
        serde_json::from_str(text).map_err(|error| EvidenceError::Form(error.to_string()))
    }

    /// What the payload says, unchecked: for who has just signed it.
    ///
    /// # Errors
    /// When it is no JSON.
    pub fn says(&self) -> Result<Value, EvidenceError> {
        let form = |error: &dyn std::fmt::Display| EvidenceError::Form(error.to_string());
        let payload = STANDARD
            .decode(&self.payload)
            .map_err(|error| form(&error))?;
        serde_json::from_slice(&payload).map_err(|error| form(&error))
    }

    /// Checks the file with the public key (hex) and returns what it says.
    ///
    /// # Errors
    /// When anything in it is not as it was signed.
    pub fn verify(&self, public: &str) -> Result<Value, EvidenceError> {
        let changed = |what: &str| EvidenceError::Changed(what.to_owned());
        let public = public.trim().to_ascii_lowercase();
        if self.payload_type != PAYLOAD_TYPE {
            return Err(EvidenceError::Form(format!(
                "the payload is {}",
                self.payload_type
            )));
        }
        let [signature] = self.signatures.as_slice() else {
            return Err(changed("it must have one signature"));
        };
        if signature.keyid != key_id(&public) {
            return Err(changed("it names another key than the one given"));
        }
        let payload = STANDARD.decode(&self.payload);
        let payload = payload.map_err(|_| changed("the payload is not base64"))?;
        let sig = STANDARD.decode(&signature.sig);
        let sig = hex::encode(sig.map_err(|_| changed("the signature is not base64"))?);
        if !signed_by(&public, &encoded(&self.payload_type, &payload), &sig) {
            return Err(changed(
                "the signature does not fit the payload and the key",
            ));
        }
        let says: Value = serde_json::from_slice(&payload)
            .map_err(|error| EvidenceError::Form(error.to_string()))?;
        checkpoint_holds(&says)?;
        Ok(says)
    }
}

/// The checkpoint in the payload must bear the signature of the key that it names.
fn checkpoint_holds(says: &Value) -> Result<(), EvidenceError> {
    let checkpoint = &says["log"]["checkpoint"];
    if checkpoint.is_null() {
        return Ok(());
    }
    let signed: Signed = serde_json::from_value(checkpoint.clone())
        .map_err(|error| EvidenceError::Form(format!("its checkpoint: {error}")))?;
    let key = signed.read().map(|says| says.key).unwrap_or_default();
    if signed_by(&key, signed.text.as_bytes(), &signed.signature) {
        return Ok(());
    }
    Err(EvidenceError::Changed(
        "its checkpoint is not signed by the key it names".to_owned(),
    ))
}
