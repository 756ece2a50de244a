//! Tombstones: what stands in the log's place where a closed period was let go.
//!
//! Owns the text that a signature covers, and which period may go at all. A tombstone holds the last
//! checkpoint of the period whole, the ends of all strands at that place and every change of the key
//! before it, so that what follows is verified as if nothing were missing. Holds no key and drops nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Checkpoint, Digest, Entry, Signed, Tip};
use crate::domain::time::Timestamp;

/// What a tombstone's first field says.
const FORMAT: &str = "clawback-tombstone-1";
/// The shortest retention, in days: removed accounts are watched for 90 days, and a case must outlast
/// that.
pub const LEAST_RETAINED_DAYS: u32 = 120;
const DAY: i64 = 86_400;

/// What is signed, as JSON in this order of fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tombstone {
    format: String,
    /// Counted from 1 without a gap.
    pub number: i64,
    /// When it was made.
    pub at: Timestamp,
    /// Who let the period go.
    pub by: String,
    /// Why, in their words.
    pub reason: String,
    /// How long records are kept, in days.
    pub retain_days: u32,
    /// What ended later than this was kept.
    pub cut: Timestamp,
    /// Of the text of the tombstone before it; [`Digest::NONE`] for the first.
    pub previous: Digest,
    /// The last checkpoint of the period, whole; none where rows went and no link.
    pub closing: Option<Signed>,
    /// The last link of the period.
    pub until: i64,
    /// How many checkpoints went, the closing one among them.
    pub checkpoints: u64,
    /// How many links went.
    pub links: u64,
    /// How many cases went.
    pub cases: u64,
    /// How many rows went, by recorded table.
    pub rows: BTreeMap<String, u64>,
    /// Over table, key and digest of each row that went, in their order.
    pub root: Digest,
    /// How many of those rows a kept link covers: links that follow say of each that it went.
    pub late: u64,
    /// Over the keys of these, in their order.
    pub late_root: Digest,
    /// How many rows stayed that only links of the period covered: links that follow cover them.
    pub carried: u64,
    /// Over the ends of all strands at `until`, by number.
    pub heads: Digest,
    /// Every checkpoint before the closing one in which the key changed.
    pub changes: Vec<Signed>,
    /// The last link before its own.
    pub seen: i64,
    /// The last checkpoint when it was made.
    pub after: i64,
    /// The public key that signs it, Ed25519, hex.
    pub key: String,
}

/// What a tombstone is made of, besides its signature.
#[derive(Debug, Clone)]
pub struct Epitaph {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// How long records are kept, in days.
    pub retain_days: u32,
    /// What ended later than this is kept.
    pub cut: Timestamp,
    /// The last checkpoint of the period.
    pub closing: Option<Signed>,
}

impl Epitaph {
    /// The tombstone that follows `before`, with nothing counted yet and not signed.
    pub fn after(self, before: Option<&Signed>) -> Tombstone {
        let says = before.and_then(Tombstone::read);
        let closing = self
            .closing
            .or_else(|| says.as_ref().and_then(|one| one.closing.clone()));
        Tombstone {
            format: FORMAT.to_owned(),
            number: before.map_or(0, |signed| signed.number) + 1,
            at: self.at,
            by: self.by,
            reason: self.reason,
            retain_days: self.retain_days,
            cut: self.cut,
            previous: before.map_or(Digest::NONE, Tombstone::digest_of),
            until: closing
                .as_ref()
                .and_then(Signed::read)
                .map_or(0, |one| one.until),
            closing,
            checkpoints: 0,
            links: 0,
            cases: 0,
            rows: BTreeMap::new(),
            root: Digest::NONE,
            late: 0,
            late_root: Digest::NONE,
            carried: 0,
            heads: heads_digest(&[]),
            changes: says.map_or_else(Vec::new, |one| one.changes),
            seen: 0,
            after: 0,
            key: String::new(),
        }
    }
}

impl Tombstone {
    /// What a signed text says; `None` when it is no tombstone of this format.
    pub fn read(signed: &Signed) -> Option<Self> {
        let read: Self = serde_json::from_str(&signed.text).ok()?;
        (read.format == FORMAT).then_some(read)
    }

    /// The digest by which the next one refers to it.
    pub fn digest_of(signed: &Signed) -> Digest {
        Digest::of("clawback tombstone 1", signed.text.as_bytes())
    }

    /// The text that is signed.
    pub fn text(&self) -> String {
        // A value without maps whose keys are no text, so it is always written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The number of the last checkpoint of the period; 0 where no link went.
    pub fn through(&self) -> i64 {
        self.closing.as_ref().map_or(0, |signed| signed.number)
    }

    /// Takes the checkpoints of the period in, oldest first: how many go, and where the key changed.
    pub fn bury(&mut self, dropped: &[Signed]) {
        self.checkpoints = dropped.len() as u64;
        let through = self.through();
        for signed in dropped {
            let changed = signed.read().is_some_and(|one| one.next_key.is_some());
            if changed && signed.number < through {
                self.changes.push(signed.clone());
            }
        }
    }

    /// What in it no retention permits, in words.
    pub fn excess(&self) -> Option<String> {
        if self.retain_days < LEAST_RETAINED_DAYS {
            return Some(format!(
                "it kept records for {} days, fewer than {LEAST_RETAINED_DAYS}",
                self.retain_days
            ));
        }
        let kept = self.at.as_second() - self.cut.as_second();
        if kept < i64::from(self.retain_days) * DAY {
            return Some(format!(
                "it let go what had ended by {}, which is less than {} days before",
                self.cut, self.retain_days
            ));
        }
        let closed = self.closing.as_ref().and_then(Signed::read);
        match (&self.closing, closed) {
            (None, _) if self.until == 0 => None,
            (Some(_), Some(closed)) if closed.until == self.until && closed.at <= self.cut => None,
            (_, Some(closed)) => Some(format!(
                "it let links go up to {}, and its closing checkpoint of {} covers them up to {}",
                self.until, closed.at, closed.until
            )),
            (_, None) => Some("it let links go that no checkpoint closed".to_owned()),
        }
    }
}

/// The instant before which records may go.
pub fn cut(now: Timestamp, retain_days: u32) -> Timestamp {
    let kept = jiff::SignedDuration::from_hours(24 * i64::from(retain_days));
    now.checked_sub(kept).unwrap_or(Timestamp::MIN)
}

/// The last checkpoint of the period that may go: all of it made by `cut`, and no more links than
/// `at_most` unless the first window alone has more.
pub fn closing(checkpoints: &[Signed], cut: Timestamp, at_most: u64) -> Option<Signed> {
    let mut links = 0;
    let mut last = None;
    for signed in checkpoints {
        let says: Option<Checkpoint> = signed.read();
        let Some(says) = says.filter(|says| says.at <= cut) else {
            break;
        };
        links += says.links;
        if last.is_some() && links > at_most {
            break;
        }
        last = Some(signed.clone());
    }
    last
}

/// Over the ends of strands, by number.
pub fn heads_digest(tips: &[Tip]) -> Digest {
    let mut hash = Sha256::new_with_prefix(b"clawback heads 1\0");
    for tip in tips {
        hash.update(tip.strand.to_be_bytes());
        hash.update(tip.sequence.to_be_bytes());
        hash.update(tip.hash.0);
    }
    Digest(hash.finalize().into())
}

/// What an entry's digest says of a row that went under this tombstone.
pub fn gone(number: i64) -> Digest {
    Digest::of("clawback gone 1", &number.to_be_bytes())
}

/// Rows one after the other: how many, and a digest over them.
#[derive(Debug, Clone)]
pub struct Rolls {
    count: u64,
    hash: Sha256,
}

impl Default for Rolls {
    fn default() -> Self {
        Self {
            count: 0,
            hash: Sha256::new_with_prefix(b"clawback rolls 1\0"),
        }
    }
}

impl Rolls {
    /// Takes a row in, by what tells it apart.
    pub fn key(&mut self, entry: &Entry) {
        self.count += 1;
        self.hash.update([entry.table]);
        self.hash.update((entry.key.len() as u64).to_be_bytes());
        self.hash.update(&entry.key);
    }

    /// Takes a row in, with its digest.
    pub fn whole(&mut self, entry: &Entry) {
        self.key(entry);
        self.hash.update(entry.digest.0);
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Over all of them.
    pub fn root(&self) -> Digest {
        Digest(self.hash.clone().finalize().into())
    }
}
