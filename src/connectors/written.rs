//! A manifest as its author wrote it, with the digest of what it says.
//!
//! Owns the canonical form: the whole document as JSON with sorted keys, so that comments, blanks
//! and the order of tables make no other manifest. What the comparison knows as fields of
//! [`Manifest`] is kept apart from the rest, which it can only find equal or changed. Reads no file.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::contract::Connector;
use super::manifest::Manifest;
use crate::document::Document;
use crate::domain::approval::{Content, Matter, MatterKind, never};
use crate::domain::id::{ConnectorName, ContentDigest};
use crate::domain::time::Timestamp;

/// Keys of the document that become fields of [`Manifest`]. Whatever is not here is part of
/// [`Written::rest`]: the kind's own table, and what a later version adds and forgets to name.
const FIELDS: [&str; 19] = [
    "name",
    "kind",
    "purpose",
    "owner",
    "deputy",
    "review_by",
    "privileged",
    "after_removal",
    "operations",
    "writes",
    "without",
    "correlation",
    "credentials",
    "rotation",
    "probe",
    "fed_by",
    "limits",
    "expect",
    "fallback",
];

/// A manifest and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// What it says.
    pub manifest: Manifest,
    /// Its text and digest.
    pub content: Content,
    /// What is not in [`Manifest`], by dotted path.
    pub(super) rest: BTreeMap<String, Value>,
}

/// A manifest that was read, and the connector that it makes; behind no guard yet.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The manifest.
    pub written: Arc<Written>,
    pub(super) connector: Arc<dyn Connector>,
}

impl Written {
    pub(super) fn new(manifest: Manifest, document: &Document<'_>, text: &str) -> Self {
        let whole = document.json();
        let mut rest = BTreeMap::new();
        for (key, value) in whole.as_object().into_iter().flatten() {
            if !FIELDS.contains(&key.as_str()) {
                leaves(key, value, &mut rest);
            }
        }
        let content = Content {
            digest: digest(&whole),
            text: text.to_owned(),
        };
        Self {
            manifest,
            content,
            rest,
        }
    }

    /// The end of the review date (UTC): until then an approval lasts.
    pub fn until(&self) -> Timestamp {
        let after = self.manifest.review_by.tomorrow();
        let midnight = after.and_then(|date| date.to_zoned(TimeZone::UTC));
        midnight.map_or_else(|_| never(), |midnight| midnight.timestamp())
    }
}

/// What two people decide about when they decide about this connector.
pub fn matter(name: &ConnectorName) -> Matter {
    Matter {
        kind: MatterKind::Manifest,
        name: name.0.clone(),
    }
}

/// The content that says that a connector is to serve no more.
pub fn retirement() -> Content {
    Content {
        digest: digest(&Value::Null),
        text: String::new(),
    }
}

fn digest(value: &Value) -> ContentDigest {
    let mut text = String::new();
    canonical(value, &mut text);
    ContentDigest(hex::encode(Sha256::digest(text.as_bytes())))
}

/// JSON without blanks, keys in order of their bytes.
fn canonical(value: &Value, into: &mut String) {
    match value {
        Value::Object(entries) => {
            let entries: BTreeMap<_, _> = entries.iter().collect();
            into.push('{');
            for (place, (key, value)) in entries.into_iter().enumerate() {
                into.push_str(if place == 0 { "" } else { "," });
                into.push_str(&Value::from(key.as_str()).to_string());
                into.push(':');
                canonical(value, into);
            }
            into.push('}');
        }
        Value::Array(items) => {
            into.push('[');
            for (place, item) in items.iter().enumerate() {
                into.push_str(if place == 0 { "" } else { "," });
                canonical(item, into);
            }
            into.push(']');
        }
        plain => into.push_str(&plain.to_string()),
    }
}

fn leaves(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                leaves(&format!("{path}.{key}"), value, into);
            }
        }
        leaf => {
            into.insert(path.to_owned(), leaf.clone());
        }
    }
}
