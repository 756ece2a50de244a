//! Checkpoints: what is signed, and the window of links that each one closes.
//!
//! Owns the text that a signature covers. A checkpoint names every strand that grew in its window with
//! its last link, the digest over the window's links in their order, and the checkpoint before it; so
//! a link that is cut off, a strand that is missing and a changed order all show. Holds no key.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Digest, Link, Tip};
use crate::domain::time::Timestamp;

/// What a checkpoint's first field says.
const FORMAT: &str = "clawback-checkpoint-1";

/// What is signed, as JSON in this order of fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    format: String,
    /// Counted from 1 without a gap.
    pub number: i64,
    /// When it was made.
    pub at: Timestamp,
    /// Of the text of the checkpoint before it; [`Digest::NONE`] for the first.
    pub previous: Digest,
    /// Its window begins after this link.
    pub after: i64,
    /// Its window ends with this link.
    pub until: i64,
    /// How many links lie in the window.
    pub links: u64,
    /// Over all links of the window in their order.
    pub root: Digest,
    /// The strands that grew in the window, by number.
    pub heads: Vec<Head>,
    /// The public key that signs this checkpoint, Ed25519, hex.
    pub key: String,
    /// The key that signs what follows, when it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_key: Option<String>,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        // A value without maps whose keys are no text, so it is always written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The end of one strand at a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Which.
    pub strand: i64,
    /// Its links so far.
    pub sequence: i64,
    /// The last one's digest.
    pub hash: Digest,
}

/// A checkpoint as stored: its exact text, and the signature over that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The number, beside the text.
    pub number: i64,
    /// The text that is signed.
    pub text: String,
    /// Ed25519, hex.
    pub signature: String,
}

impl Signed {
    /// What it says; `None` when it is no checkpoint of this format.
    pub fn read(&self) -> Option<Checkpoint> {
        let read: Checkpoint = serde_json::from_str(&self.text).ok()?;
        (read.format == FORMAT).then_some(read)
    }

    /// The digest by which the next one refers to it, and by which it can be noted elsewhere.
    pub fn digest(&self) -> Digest {
        Digest::of("clawback checkpoint 1", self.text.as_bytes())
    }
}

/// The links since the last checkpoint, taken in one by one in their order.
#[derive(Debug, Clone)]
pub struct Window {
    after: i64,
    until: i64,
    links: u64,
    root: Sha256,
    heads: std::collections::BTreeMap<i64, (i64, Digest)>,
}

impl Window {
    /// An empty window after this link.
    pub fn after(seq: i64) -> Self {
        Self {
            after: seq,
            until: seq,
            links: 0,
            root: Sha256::new_with_prefix(b"clawback window 1\0"),
            heads: std::collections::BTreeMap::new(),
        }
    }

    /// Takes the next link in.
    pub fn take(&mut self, link: &Link) {
        self.until = link.seq;
        self.links += 1;
        self.root.update(link.seq.to_be_bytes());
        self.root.update(link.hash.0);
        self.heads.insert(link.strand, (link.sequence, link.hash));
    }

    /// The last link taken in, or the one that it begins after.
    pub fn until(&self) -> i64 {
        self.until
    }

    /// Links taken in.
    pub fn links(&self) -> u64 {
        self.links
    }

    /// The digest over them.
    pub fn root(&self) -> Digest {
        Digest(self.root.clone().finalize().into())
    }

    /// Where the strands stand that grew.
    pub fn tips(&self) -> impl Iterator<Item = Tip> {
        self.heads.iter().map(|(strand, (sequence, hash))| Tip {
            strand: *strand,
            sequence: *sequence,
            hash: *hash,
        })
    }

    /// The checkpoint that closes it, to be signed with `key`; `before` is the one before it.
    pub fn close(
        &self,
        before: Option<&Signed>,
        at: Timestamp,
        key: &str,
        next_key: Option<&str>,
    ) -> Checkpoint {
        Checkpoint {
            format: FORMAT.to_owned(),
            number: before.map_or(0, |signed| signed.number) + 1,
            at,
            previous: before.map_or(Digest::NONE, Signed::digest),
            after: self.after,
            until: self.until,
            links: self.links,
            root: self.root(),
            heads: self
                .tips()
                .map(|tip| Head {
                    strand: tip.strand,
                    sequence: tip.sequence,
                    hash: tip.hash,
                })
                .collect(),
            key: key.to_owned(),
            next_key: next_key.map(str::to_owned),
        }
    }
}
