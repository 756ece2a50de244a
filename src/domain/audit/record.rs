//! What is hashed of one row: declared columns, in an encoding that no two rows share.
//!
//! Owns the shape of a recorded table and of an entry of a link. Each value is tagged and carries its
//! length, so moving a byte from one column to the next changes the digest. Knows no SQL.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::Digest;

/// What kind of value a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Text.
    Text(&'static str),
    /// A whole number.
    Number(&'static str),
    /// True or false.
    Flag(&'static str),
    /// A UUID.
    Id(&'static str),
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell<'a> {
    /// Text.
    Text(Option<&'a str>),
    /// A whole number; flags are 0 and 1.
    Number(Option<i64>),
    /// A UUID.
    Id(Option<Uuid>),
}

/// How often a row is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Written once and never changed.
    Once,
    /// Changes; the row is as it was last recorded.
    Version,
    /// As `Version`, but the program itself takes old rows away.
    Passing,
}

/// A table, or a part of its columns that is written at another time than the rest.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Stands for it in entries; never given twice.
    pub code: u8,
    /// What findings call it.
    pub name: &'static str,
    /// The database's table.
    pub table: &'static str,
    /// Which of its rows; empty means all.
    pub only: &'static str,
    /// What tells rows apart.
    pub key: &'static [Column],
    /// What is recorded besides.
    pub columns: &'static [Column],
    /// How often.
    pub rule: Rule,
}

impl Column {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text(name) | Self::Number(name) | Self::Flag(name) | Self::Id(name) => name,
        }
    }
}

impl Table {
    /// The names of the columns that tell rows apart.
    pub fn key_names(&self) -> Vec<&'static str> {
        self.key.iter().map(|column| column.name()).collect()
    }

    /// Key and digest of a row: its key's values, then the others, in the declared order.
    pub fn entry(&self, cells: &[Cell<'_>]) -> Entry {
        let (key, _) = cells.split_at(self.key.len().min(cells.len()));
        let mut place = Vec::with_capacity(24);
        for cell in key {
            write(&mut place, cell);
        }
        let mut bytes = Vec::with_capacity(256);
        for cell in cells {
            write(&mut bytes, cell);
        }
        let hash = Sha256::new_with_prefix(b"clawback row 1\0")
            .chain_update([self.code])
            .chain_update(&bytes);
        Entry {
            table: self.code,
            key: place,
            digest: Digest(hash.finalize().into()),
        }
    }
}

fn write(bytes: &mut Vec<u8>, cell: &Cell<'_>) {
    match cell {
        Cell::Text(None) | Cell::Number(None) | Cell::Id(None) => bytes.push(0),
        Cell::Text(Some(text)) => {
            bytes.push(1);
            bytes.extend((text.len() as u32).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        Cell::Number(Some(number)) => {
            bytes.push(2);
            bytes.extend(number.to_be_bytes());
        }
        Cell::Id(Some(id)) => {
            bytes.push(3);
            bytes.extend(id.as_bytes());
        }
    }
}

/// A key for people: its values with blanks between.
pub fn key_in_words(key: &[u8]) -> String {
    let mut words = Vec::new();
    let mut rest = key;
    while let Some((tag, after)) = rest.split_first() {
        let taken = match tag {
            1 => after.split_first_chunk::<4>().and_then(|(length, text)| {
                let (text, rest) = text.split_at_checked(u32::from_be_bytes(*length) as usize)?;
                Some((String::from_utf8_lossy(text).into_owned(), rest))
            }),
            2 => after
                .split_first_chunk::<8>()
                .map(|(number, rest)| (i64::from_be_bytes(*number).to_string(), rest)),
            3 => after
                .split_first_chunk::<16>()
                .map(|(id, rest)| (Uuid::from_bytes(*id).to_string(), rest)),
            _ => Some((String::new(), after)),
        };
        let Some((word, left)) = taken else {
            words.push(hex::encode(rest));
            break;
        };
        words.push(word);
        rest = left;
    }
    words.join(" ")
}

/// What a link says of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The table's code.
    pub table: u8,
    /// The encoded key.
    pub key: Vec<u8>,
    /// Of the whole row.
    pub digest: Digest,
}

/// The entries of one link, encoded: table code, length of the key (2 bytes, big-endian), key, digest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    bytes: Vec<u8>,
}

impl Entries {
    /// Adds one.
    pub fn add(&mut self, entry: &Entry) {
        self.bytes.push(entry.table);
        self.bytes.extend((entry.key.len() as u16).to_be_bytes());
        self.bytes.extend(&entry.key);
        self.bytes.extend(entry.digest.0);
    }

    /// True when nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// As stored.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The entries in stored bytes; `None` when they are no such list.
    pub fn read(mut bytes: &[u8]) -> Option<Vec<Entry>> {
        let mut entries = Vec::new();
        while let Some((table, rest)) = bytes.split_first() {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            let (key, rest) = rest.split_at_checked(u16::from_be_bytes(*length) as usize)?;
            let (digest, rest) = rest.split_first_chunk::<32>()?;
            entries.push(Entry {
                table: *table,
                key: key.to_vec(),
                digest: Digest(*digest),
            });
            bytes = rest;
        }
        Some(entries)
    }
}
