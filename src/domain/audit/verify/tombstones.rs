//! What a tombstone may stand for, and where verification begins after one.
//!
//! Owns the judgement of tombstones: their chain and signatures, that none stands for more than its
//! retention permits, and that the rows said to be gone are exactly those that it counted.

use serde::Serialize;

use super::super::{Digest, Entry, Rolls, Signed, Tip, Tombstone, Window, gone, heads_digest};
use super::{CHECKPOINTS, Fault, SignedBy, Verifier};
use crate::domain::time::Timestamp;

const TOMBSTONES: &str = "audit_tombstones";
const STRANDS: &str = "audit_strands";

/// A period that was let go, as its tombstone says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// The tombstone.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// What ended later than this was kept.
    pub cut: Timestamp,
    /// The last checkpoint of the period.
    pub through: i64,
    /// The last link of the period.
    pub until: i64,
    /// Links that went.
    pub links: u64,
    /// Cases that went.
    pub cases: u64,
    /// Rows that went, by table.
    pub rows: std::collections::BTreeMap<String, u64>,
}

/// How the recorded rows stand after a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The last link that was read.
    pub seen: i64,
    /// The rows that no link after the asked one covers, by table and key.
    pub entries: Vec<Entry>,
}

/// A tombstone, and what links say went under it.
pub(super) struct Stone {
    signed: Signed,
    says: Tombstone,
    /// The digest by which entries name it.
    mark: Digest,
    late: Rolls,
}

impl Verifier {
    /// Takes a tombstone in, by number.
    pub fn tombstone(&mut self, signed: &Signed, signed_by: SignedBy<'_>) {
        let row = signed.number.to_string();
        let Some(says) = Tombstone::read(signed) else {
            let detail = "it cannot be read".to_owned();
            self.find(Fault::Changed, TOMBSTONES, row, detail);
            return;
        };
        let before = self.stones.last();
        let expected = before.map_or(0, |one| one.signed.number) + 1;
        let previous = before.map_or(Digest::NONE, |one| Tombstone::digest_of(&one.signed));
        let further = before.is_none_or(|one| says.until >= one.says.until);
        if signed.number != says.number || signed.number != expected {
            let detail = format!(
                "it says that it is tombstone {}, and {expected} should follow here",
                says.number
            );
            self.find(Fault::Moved, TOMBSTONES, row.clone(), detail);
        } else if previous != says.previous || !further {
            let detail = "it does not follow the tombstone before it".to_owned();
            self.find(Fault::Changed, TOMBSTONES, row.clone(), detail);
        }
        if !signed_by(&says.key, &signed.text, &signed.signature) {
            let detail = format!("its signature is not by {}", says.key);
            self.find(Fault::NotSigned, TOMBSTONES, row.clone(), detail);
        }
        if let Some(detail) = says.excess() {
            self.find(Fault::TooMuch, TOMBSTONES, row, detail);
        }
        self.tally.dropped.push(dropped(&says));
        self.stones.push(Stone {
            signed: signed.clone(),
            mark: gone(says.number),
            says,
            late: Rolls::default(),
        });
    }

    /// All tombstones are in: where strands stood at the newest one, by number.
    pub fn heads(&mut self, tips: &[Tip], signed_by: SignedBy<'_>) {
        let Some(newest) = self.stones.last().map(|one| one.says.clone()) else {
            if let Some(tip) = tips.first() {
                let detail = "no tombstone signed its end".to_owned();
                self.find(Fault::Inserted, STRANDS, tip.strand.to_string(), detail);
            }
            return;
        };
        let row = newest.number.to_string();
        let place = (TOMBSTONES, row.as_str());
        for signed in newest.changes.iter().chain(&newest.closing) {
            match signed.read() {
                Some(says) => self.signature(signed, &says, place, signed_by),
                None => {
                    let detail = format!("its checkpoint {} cannot be read", signed.number);
                    self.find(Fault::Changed, TOMBSTONES, row.clone(), detail);
                }
            }
        }
        if heads_digest(tips) != newest.heads {
            let detail = format!("the strands' ends are not those that tombstone {row} signed");
            self.find(Fault::Changed, STRANDS, "all".to_owned(), detail);
        }
        for tip in tips {
            self.strands.insert(tip.strand, *tip);
        }
        self.previous.clone_from(&newest.closing);
        self.window = Window::after(newest.until);
        self.dropped_until = newest.until;
    }

    /// The closing checkpoint of the newest tombstone.
    pub(super) fn closing(&self) -> Option<&Signed> {
        self.stones.last().and_then(|one| one.says.closing.as_ref())
    }

    /// True for an entry that says that its row went under a tombstone whose links are still there.
    pub(super) fn let_go(&mut self, entry: &Entry) -> bool {
        let until = self.dropped_until;
        let stone = self.stones.iter_mut();
        let stone = stone.rev().find(|one| one.mark == entry.digest);
        let Some(stone) = stone.filter(|one| one.says.seen >= until) else {
            return false;
        };
        stone.late.key(entry);
        self.recorded
            .remove(&(entry.table, entry.key.as_slice().into()));
        true
    }

    /// All links are in: each tombstone is signed by the key of its time, and counted what went.
    pub(super) fn stones_over(&mut self) {
        let last = self.previous.as_ref().map_or(0, |signed| signed.number);
        // The links that say what went follow right behind what a tombstone had seen.
        let first = self.dropped_until.max(self.begins_after());
        let mut found = Vec::new();
        for stone in &self.stones {
            let says = &stone.says;
            let row = says.number.to_string();
            let key = self.keys.iter().rfind(|(after, _)| *after <= says.after);
            if key.is_some_and(|(_, key)| *key != says.key) {
                let detail = format!("it names the key {}, which was not in force", says.key);
                found.push((Fault::NotSigned, TOMBSTONES, row.clone(), detail));
            }
            if says.after > last {
                let detail = format!("tombstone {row} was made after it");
                found.push((Fault::CutOff, CHECKPOINTS, says.after.to_string(), detail));
            }
            let told = (stone.late.count(), stone.late.root());
            let counted = says.late == 0 && told.0 == 0 || told == (says.late, says.late_root);
            if says.seen >= first && !counted {
                let detail = format!(
                    "it let {} rows go that later links cover, and links say so of {}",
                    says.late, told.0
                );
                found.push((Fault::Changed, TOMBSTONES, row, detail));
            }
        }
        for (fault, table, row, detail) in found {
            self.find(fault, table, row, detail);
        }
    }
}

fn dropped(says: &Tombstone) -> Dropped {
    Dropped {
        number: says.number,
        at: says.at,
        by: says.by.clone(),
        reason: says.reason.clone(),
        cut: says.cut,
        through: says.through(),
        until: says.until,
        links: says.links,
        cases: says.cases,
        rows: says.rows.clone(),
    }
}
