//! Whether what is stored is what was written: links, checkpoints and rows go in, findings come out.
//!
//! Owns the judgement and its words: each finding says what is wrong and where (table and row, link,
//! checkpoint). Reads in one pass, in the order of writing; keeps one digest for each recorded row. What
//! a tombstone stands for is no finding, and is told in the tally.

mod span;
mod tombstones;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Serialize;

use super::{
    Checkpoint, Digest, Entries, Entry, Link, Rule, Signed, Table, Tip, Window, key_in_words,
};

use span::Progress;
pub use span::{Mark, Span};
use tombstones::Stone;
pub use tombstones::{Dropped, Standing};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It is not what was written.
    Changed,
    /// It was written and is gone.
    Removed,
    /// It is there and was never written.
    Inserted,
    /// It is not where it was written.
    Moved,
    /// The end of a strand or of the checkpoints is gone.
    CutOff,
    /// The signature or key of a checkpoint or tombstone is not right.
    NotSigned,
    /// A tombstone stands for more than retention permits.
    TooMuch,
}

impl Fault {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Inserted => "inserted",
            Self::Moved => "moved",
            Self::CutOff => "cut off",
            Self::NotSigned => "not signed",
            Self::TooMuch => "too much",
        }
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// What.
    pub fault: Fault,
    /// Of which table; those that begin with `audit_` are the log itself.
    pub table: &'static str,
    /// Which row.
    pub row: String,
    /// What exactly.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fault,
            table,
            row,
            detail,
        } = self;
        write!(f, "{}: {table} {row}: {detail}", fault.as_str())
    }
}

/// What was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Links.
    pub links: u64,
    /// Links that no checkpoint covers yet.
    pub unsigned: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Rows, by table.
    pub rows: BTreeMap<&'static str, u64>,
    /// The number and digest of the last checkpoint: noted elsewhere, it shows a cut-off end later.
    pub last: Option<(i64, Digest)>,
    /// The public keys that signed, in order.
    pub keys: Vec<String>,
    /// What was let go, oldest first.
    pub dropped: Vec<Dropped>,
}

const LINKS: &str = "audit_links";
const CHECKPOINTS: &str = "audit_checkpoints";

/// Says whether a signature (hex) over a text is by this public key (hex).
pub type SignedBy<'a> = &'a (dyn Fn(&str, &str, &str) -> bool + Send + Sync);

/// What was last recorded of a row.
struct Recorded {
    digest: Digest,
    link: i64,
    seen: bool,
    /// Recorded again after the part that is looked at.
    later: bool,
}

/// Takes tombstones in first, then the ends of strands, checkpoints, links in their order, and rows.
pub struct Verifier {
    tables: &'static [Table],
    checkpoints: std::collections::VecDeque<(i64, Checkpoint)>,
    previous: Option<Signed>,
    key: Option<String>,
    strands: HashMap<i64, Tip>,
    window: Window,
    recorded: HashMap<(u8, Box<[u8]>), Recorded>,
    stones: Vec<Stone>,
    /// The key in force after each checkpoint that changed it.
    keys: Vec<(i64, String)>,
    /// Links up to here were let go.
    dropped_until: i64,
    seen: i64,
    span: Option<Span>,
    progress: Option<Progress>,
    findings: Vec<Finding>,
    tally: Tally,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("tally", &self.tally)
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// Nothing seen yet. `key` is the public key of the first checkpoint, where it is known; otherwise
    /// the first checkpoint is believed to name its own.
    pub fn new(tables: &'static [Table], key: Option<String>) -> Self {
        let keys = key.clone().map(|key| (0, key));
        Self {
            tables,
            checkpoints: std::collections::VecDeque::new(),
            previous: None,
            key,
            strands: HashMap::new(),
            window: Window::after(0),
            recorded: HashMap::new(),
            stones: Vec::new(),
            keys: keys.into_iter().collect(),
            dropped_until: 0,
            seen: 0,
            span: None,
            progress: None,
            findings: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Takes a checkpoint in, by number.
    pub fn checkpoint(&mut self, signed: &Signed, signed_by: SignedBy<'_>) {
        self.tally.checkpoints += 1;
        let row = signed.number.to_string();
        let Some(says) = signed.read() else {
            self.find(
                Fault::Changed,
                CHECKPOINTS,
                row,
                "it cannot be read".to_owned(),
            );
            return;
        };
        let expected = self.previous.as_ref().map_or(0, |before| before.number) + 1;
        if signed.number != says.number {
            let detail = format!("it says that it is checkpoint {}", says.number);
            self.find(Fault::Moved, CHECKPOINTS, row.clone(), detail);
        }
        if signed.number != expected {
            let detail = format!("checkpoint {expected} should follow here");
            self.find(Fault::Removed, CHECKPOINTS, expected.to_string(), detail);
        } else if says.previous != self.previous.as_ref().map_or(Digest::NONE, Signed::digest) {
            let detail = "it does not follow the checkpoint before it".to_owned();
            self.find(Fault::Changed, CHECKPOINTS, row.clone(), detail);
        }
        self.signature(signed, &says, (CHECKPOINTS, &row), signed_by);
        self.tally.last = Some((signed.number, signed.digest()));
        self.previous = Some(signed.clone());
        if !self.comes_before(&says) {
            self.checkpoints.push_back((signed.number, says));
        }
    }

    /// A checkpoint is signed by the key in force, and says which one follows it.
    fn signature(
        &mut self,
        signed: &Signed,
        says: &Checkpoint,
        (table, row): (&'static str, &str),
        signed_by: SignedBy<'_>,
    ) {
        let key = self.key.get_or_insert_with(|| says.key.clone()).clone();
        if self.keys.is_empty() {
            self.keys.push((0, key.clone()));
        }
        if key != says.key {
            let detail = format!("it names the key {}, expected {key}", says.key);
            self.find(Fault::NotSigned, table, row.to_owned(), detail);
        }
        if !signed_by(&key, &signed.text, &signed.signature) {
            let detail = format!("its signature is not by {key}");
            self.find(Fault::NotSigned, table, row.to_owned(), detail);
        }
        if self.tally.keys.last() != Some(&key) {
            self.tally.keys.push(key);
        }
        if let Some(next) = &says.next_key {
            self.key = Some(next.clone());
            self.keys.push((signed.number, next.clone()));
        }
    }

    /// The last checkpoint must be this one or follow it: `digest` was noted outside of the store. One
    /// that was let go with its period can't be compared any more.
    pub fn anchored(&mut self, number: i64, digest: Digest, all: &[(i64, Digest)]) {
        let kept = self.closing().is_none_or(|last| number > last.number);
        let closed = self.closing().map(|last| (last.number, last.digest()));
        if all.contains(&(number, digest)) || closed == Some((number, digest)) {
            return;
        }
        if !kept && closed.is_some_and(|(last, _)| last != number) {
            return;
        }
        let fault = if all.iter().any(|(one, _)| *one == number) {
            Fault::Changed
        } else {
            Fault::CutOff
        };
        let detail = format!("the checkpoint that was noted, {digest}, is not there");
        self.find(fault, CHECKPOINTS, number.to_string(), detail);
    }

    /// Takes the next link in.
    pub fn link(&mut self, link: &Link) {
        self.progressed();
        if self.comes_after(link) {
            return;
        }
        while let Some((_, checkpoint)) = self.checkpoints.front()
            && link.seq > checkpoint.until
        {
            self.close_window();
        }
        self.tally.links += 1;
        self.seen = self.seen.max(link.seq);
        let row = place(link);
        if link.seq <= self.dropped_until {
            let detail = "a tombstone says that it was let go".to_owned();
            self.find(Fault::Inserted, LINKS, row.clone(), detail);
        }
        if !link.holds() {
            let detail = "its digest is not that of what it says".to_owned();
            self.find(Fault::Changed, LINKS, row.clone(), detail);
        }
        self.follow(link, &row);
        self.window.take(link);
        match Entries::read(&link.entries) {
            Some(entries) => {
                for entry in entries {
                    self.record(entry, link.seq);
                }
            }
            None => self.find(
                Fault::Changed,
                LINKS,
                row,
                "its entries cannot be read".to_owned(),
            ),
        }
    }

    fn follow(&mut self, link: &Link, row: &str) {
        let tip = self.strands.get(&link.strand).copied();
        let tip = tip.unwrap_or(Tip::fresh(link.strand));
        let strand = link.strand;
        if link.sequence > tip.sequence + 1 {
            let gone = format!("strand {strand} link {}", tip.sequence + 1);
            let detail = format!(
                "links {} to {} are gone",
                tip.sequence + 1,
                link.sequence - 1
            );
            self.find(Fault::Removed, LINKS, gone, detail);
        } else if link.sequence <= tip.sequence {
            let detail = format!("it comes after link {} of its strand", tip.sequence);
            self.find(Fault::Moved, LINKS, row.to_owned(), detail);
        } else if link.previous != tip.hash {
            let detail = format!("it does not follow link {} as that is stored", tip.sequence);
            self.find(Fault::Changed, LINKS, row.to_owned(), detail);
        }
        let tip = Tip {
            strand,
            sequence: link.sequence.max(tip.sequence),
            hash: link.hash,
        };
        self.strands.insert(strand, tip);
    }

    fn close_window(&mut self) {
        let Some((number, checkpoint)) = self.checkpoints.pop_front() else {
            return;
        };
        let before = self.findings.len();
        for head in &checkpoint.heads {
            let tip = self.strands.get(&head.strand).copied();
            let tip = tip.unwrap_or(Tip::fresh(head.strand));
            let row = format!("strand {} link {}", head.strand, head.sequence);
            if tip.sequence < head.sequence {
                let detail = format!(
                    "checkpoint {number} signed it; the strand ends at link {}",
                    tip.sequence
                );
                self.find(Fault::CutOff, LINKS, row, detail);
            } else if tip.sequence > head.sequence {
                let row = format!("strand {} link {}", head.strand, head.sequence + 1);
                let detail = format!("checkpoint {number} did not sign it");
                self.find(Fault::Inserted, LINKS, row, detail);
            } else if tip.hash != head.hash {
                let detail = format!("checkpoint {number} signed another");
                self.find(Fault::Changed, LINKS, row, detail);
            }
        }
        let unknown: Vec<Tip> = self.window.tips().collect();
        for tip in unknown {
            if !checkpoint
                .heads
                .iter()
                .any(|head| head.strand == tip.strand)
            {
                let row = format!("strand {} link {}", tip.strand, tip.sequence);
                let detail = format!("checkpoint {number} knows no such strand");
                self.find(Fault::Inserted, LINKS, row, detail);
            }
        }
        let same = self.window.root() == checkpoint.root && self.window.links() == checkpoint.links;
        if !same && self.findings.len() == before {
            let row = format!("after {} until {}", checkpoint.after, checkpoint.until);
            let detail = format!(
                "checkpoint {number} signed {} links in another order or with other numbers, {} are there",
                checkpoint.links,
                self.window.links()
            );
            self.find(Fault::Moved, LINKS, row, detail);
        }
        self.window = Window::after(checkpoint.until);
    }

    fn record(&mut self, entry: Entry, link: i64) {
        let Some(table) = self.tables.iter().find(|table| table.code == entry.table) else {
            let row = format!("number {link}");
            let detail = format!(
                "it names table {}, which this version does not know",
                entry.table
            );
            self.find(Fault::Changed, LINKS, row, detail);
            return;
        };
        if self.let_go(&entry) {
            return;
        }
        let recorded = Recorded {
            digest: entry.digest,
            link,
            seen: false,
            later: false,
        };
        let words = key_in_words(&entry.key);
        let before = self
            .recorded
            .insert((entry.table, entry.key.into()), recorded);
        if let Some(before) = before
            && table.rule == Rule::Once
            && before.digest != entry.digest
        {
            let detail = format!("link {link} says otherwise than link {} did", before.link);
            self.find(Fault::Changed, table.name, words, detail);
        }
    }

    /// All links are in; rows follow.
    pub fn links_over(&mut self) {
        let until = self.span.map_or(i64::MAX, |span| span.until);
        self.close_windows_until(until);
        self.tally.unsigned = self.window.links();
    }

    /// Takes a row in, as it is now.
    pub fn row(&mut self, table: &Table, entry: Entry) {
        self.progressed();
        let words = key_in_words(&entry.key);
        let recorded = self.recorded.get_mut(&(entry.table, entry.key.into()));
        if self.span.is_some() && recorded.is_none() {
            return;
        }
        let rows = self.tally.rows.entry(table.name).or_default();
        *rows += 1;
        match recorded {
            None => self.find(
                Fault::Inserted,
                table.name,
                words,
                "no link covers it".to_owned(),
            ),
            Some(recorded) => {
                recorded.seen = true;
                if recorded.digest != entry.digest && !recorded.later {
                    let detail = format!("it is not what link {} covers", recorded.link);
                    self.find(Fault::Changed, table.name, words, detail);
                }
            }
        }
    }

    /// What is wrong, worst place first, and what was looked at.
    pub fn finish(self) -> (Vec<Finding>, Tally) {
        let (findings, tally, _) = self.standing(0);
        (findings, tally)
    }

    /// As [`Verifier::finish`], with the rows that no link after `until` covers.
    pub fn standing(mut self, until: i64) -> (Vec<Finding>, Tally, Standing) {
        self.stones_over();
        // Nothing wrong in what is not there says nothing: the end may have been taken away.
        let last = self.begins_after().max(self.seen).max(self.dropped_until);
        if let Some(span) = self.span.filter(|span| span.names > last) {
            let detail = format!("the log was asked for from here on, and ends at {last}");
            self.find(Fault::CutOff, LINKS, span.names.to_string(), detail);
        }
        let recorded = std::mem::take(&mut self.recorded);
        let mut entries = Vec::new();
        for ((code, key), one) in recorded {
            if one.seen && one.link <= until {
                entries.push(Entry {
                    table: code,
                    key: key.to_vec(),
                    digest: one.digest,
                });
            }
            let table = self.tables.iter().find(|table| table.code == code);
            let Some(table) = table.filter(|table| !one.seen && table.rule != Rule::Passing) else {
                continue;
            };
            let detail = format!("link {} covers it, and it is gone", one.link);
            self.find(Fault::Removed, table.name, key_in_words(&key), detail);
        }
        self.findings.sort();
        entries.sort_by(|one, other| (one.table, &one.key).cmp(&(other.table, &other.key)));
        let seen = self.seen;
        (self.findings, self.tally, Standing { seen, entries })
    }

    fn find(&mut self, fault: Fault, table: &'static str, row: String, detail: String) {
        self.findings.push(Finding {
            fault,
            table,
            row,
            detail,
        });
    }
}

fn place(link: &Link) -> String {
    format!(
        "strand {} link {} (number {})",
        link.strand, link.sequence, link.seq
    )
}
