//! The tamper-evident log, purely: what a record's digest is, how links follow each other, what a
//! checkpoint says, and whether what is stored is still what was written.
//!
//! Owns hashing and judgement. A *link* covers everything that one transaction wrote; links of one
//! writer form a *strand*, so that writers never wait for each other; a signed *checkpoint* commits to
//! all strands and to the checkpoint before it; a signed *tombstone* stands where a closed period was let
//! go. Reads no table and signs nothing: rows, links and the
//! check of a signature come in as arguments.

mod checkpoint;
mod record;
#[cfg(test)]
mod tests;
mod tombstone;
mod verify;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use checkpoint::{Checkpoint, Head, Signed, Window};
pub use record::{Cell, Column, Entries, Entry, Rule, Table, key_in_words};
pub use tombstone::{
    Epitaph, LEAST_RETAINED_DAYS, Rolls, Tombstone, closing, cut, gone, heads_digest,
};
pub use verify::{Dropped, Fault, Finding, Mark, Span, Standing, Tally, Verifier};

/// A SHA-256; hex when written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Before the first.
    pub const NONE: Self = Self([0; 32]);

    /// Of these bytes, set apart by `purpose` from digests of the same bytes for something else.
    pub fn of(purpose: &str, bytes: &[u8]) -> Self {
        let hash = Sha256::new_with_prefix(purpose)
            .chain_update([0])
            .chain_update(bytes);
        Self(hash.finalize().into())
    }

    /// The digest in these bytes, if they are 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Where a strand stands: its number, how many links it has, and the digest of the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// The strand.
    pub strand: i64,
    /// Links so far.
    pub sequence: i64,
    /// The last link's digest; [`Digest::NONE`] before the first.
    pub hash: Digest,
}

impl Tip {
    /// A strand without links.
    pub fn fresh(strand: i64) -> Self {
        Self {
            strand,
            sequence: 0,
            hash: Digest::NONE,
        }
    }

    /// The strand with one more link, which covers `entries`.
    #[must_use]
    pub fn grown(self, entries: &[u8]) -> Self {
        let sequence = self.sequence + 1;
        Self {
            strand: self.strand,
            sequence,
            hash: link_hash(self.strand, sequence, self.hash, entries),
        }
    }
}

/// One stored link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Place among all links of the store; what was written later about the same row has a higher one.
    pub seq: i64,
    /// Its strand.
    pub strand: i64,
    /// Its place in the strand, from 1 without a gap.
    pub sequence: i64,
    /// The digest of the link before it in the strand.
    pub previous: Digest,
    /// What it covers, as [`Entries`] encodes it.
    pub entries: Vec<u8>,
    /// Its own digest.
    pub hash: Digest,
}

impl Link {
    /// True when its digest is that of what it says.
    pub fn holds(&self) -> bool {
        self.hash == link_hash(self.strand, self.sequence, self.previous, &self.entries)
    }
}

fn link_hash(strand: i64, sequence: i64, previous: Digest, entries: &[u8]) -> Digest {
    let hash = Sha256::new_with_prefix(b"clawback link 1\0")
        .chain_update(strand.to_be_bytes())
        .chain_update(sequence.to_be_bytes())
        .chain_update(previous.0)
        .chain_update(entries);
    Digest(hash.finalize().into())
}
