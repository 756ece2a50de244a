//! Entries as a directory shows them, and values as a filter needs them.
//!
//! Owns the reading of attributes without regard to case (RFC 4512 §2.5), the immutable id in its
//! two forms (text, or the sixteen bytes of Active Directory) and the escaping of values (RFC 4515
//! §3). Knows no connection and no operation.

use std::collections::BTreeMap;
use std::fmt::Write;

use ldap3::SearchEntry;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::classify::drifted;
use crate::domain::outcome::Failure;

/// Active Directory's immutable id: sixteen bytes, the first three groups in little-endian order
/// (MS-DTYP §2.3.4).
const OBJECT_GUID: &str = "objectguid";

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub dn: String,
    /// Its values by the attribute's name in lower case.
    values: BTreeMap<String, Vec<Vec<u8>>>,
    /// Part of an attribute's values was left out (`member;range=0-1499`).
    pub ranged: bool,
    /// Attributes that came with options (`userCertificate;binary`, RFC 4512 §2.5.2), in lower case.
    optioned: Vec<String>,
}

impl Entry {
    /// Takes over what the library parsed.
    pub fn new(parsed: SearchEntry) -> Self {
        let text = parsed.attrs.into_iter().map(|(name, values)| {
            let values = values.into_iter().map(String::into_bytes).collect();
            (name, values)
        });
        let mut values = BTreeMap::new();
        let mut ranged = false;
        let mut optioned = Vec::new();
        for (name, found) in text.chain(parsed.bin_attrs) {
            let name = name.to_lowercase();
            if name.contains(";range=") {
                ranged = true;
            } else if name.contains(';') {
                optioned.push(name.clone());
            }
            values.insert(name, found);
        }
        Self {
            dn: parsed.dn,
            values,
            ranged,
            optioned,
        }
    }

    /// An attribute with options that nobody reads, of one that was asked for: its values are none of
    /// those that [`values`](Self::values) gives.
    pub fn unread<'e>(&'e self, asked: &[String]) -> Option<&'e str> {
        let base = |name: &str| name.split(';').next().unwrap_or(name).to_lowercase();
        let missed = |name: &&String| {
            let mut all = asked.iter();
            asked.iter().any(|one| base(one) == base(name))
                && !all.any(|one| one.eq_ignore_ascii_case(name))
        };
        self.optioned.iter().find(missed).map(String::as_str)
    }

    /// How much its values take up.
    pub fn bytes(&self) -> usize {
        self.values.values().flatten().map(Vec::len).sum()
    }

    /// All values of an attribute.
    pub fn values(&self, attribute: &str) -> &[Vec<u8>] {
        self.values
            .get(&attribute.to_lowercase())
            .map_or(&[], Vec::as_slice)
    }

    /// All values that are text.
    pub fn texts(&self, attribute: &str) -> impl Iterator<Item = &str> {
        let values = self.values(attribute).iter();
        values.filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// The first value that is text and holds something.
    pub fn text(&self, attribute: &str) -> Option<&str> {
        self.texts(attribute).find(|value| !value.is_empty())
    }

    /// The immutable id.
    ///
    /// # Errors
    /// `drifted` when it is missing, is there twice, or has another form.
    pub fn id(&self, attribute: &str) -> Result<String, Failure> {
        let [value] = self.values(attribute) else {
            return Err(drifted(format!(
                "an entry has not exactly one `{attribute}`"
            )));
        };
        if is_guid(attribute) {
            let bytes = <[u8; 16]>::try_from(value.as_slice());
            let bytes = bytes.map_err(|_| drifted(format!("a `{attribute}` has not 16 bytes")))?;
            return Ok(Uuid::from_bytes_le(bytes).to_string());
        }
        let text = std::str::from_utf8(value).ok().filter(|id| !id.is_empty());
        text.map(ToOwned::to_owned)
            .ok_or_else(|| drifted(format!("a `{attribute}` is no text")))
    }
}

/// `(attribute=id)` for an immutable id as we show it.
///
/// # Errors
/// `drifted` when it cannot be an id of this directory.
pub fn by_id(attribute: &str, id: &str) -> Result<String, Failure> {
    if !is_guid(attribute) {
        return Ok(equals(attribute, id));
    }
    let uuid = Uuid::try_parse(id);
    let uuid = uuid.map_err(|_| drifted("the account's id is no id of this directory"))?;
    Ok(format!("({attribute}={})", escaped(&uuid.to_bytes_le())))
}

/// `(attribute=value)`.
pub fn equals(attribute: &str, value: &str) -> String {
    format!("({attribute}={})", ldap3::ldap_escape(value))
}

/// Bytes as a filter writes them, each escaped.
pub fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "\\{byte:02x}");
        text
    })
}

/// The name by which a value that is too long or too secret to be shown is known.
pub fn digest(value: &[u8]) -> String {
    hex::encode(Sha256::digest(value))
}

fn is_guid(attribute: &str) -> bool {
    attribute.eq_ignore_ascii_case(OBJECT_GUID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objectguid_is_shown_and_sought_in_its_own_byte_order() {
        let bytes: Vec<u8> = (0..16).collect();
        let parsed = SearchEntry {
            dn: "cn=x".to_owned(),
            attrs: [].into(),
            bin_attrs: [("objectGUID".to_owned(), vec![bytes])].into(),
        };
        let id = Entry::new(parsed).id("objectGUID").expect("an id");
        assert_eq!(id, "03020100-0504-0706-0809-0a0b0c0d0e0f");
        let filter = by_id("objectGUID", &id).expect("a filter");
        assert!(filter.starts_with("(objectGUID=\\00\\01\\02\\03\\04\\05"));
        assert!(by_id("objectGUID", "*").is_err());
    }

    #[test]
    fn a_value_cannot_leave_its_place_in_a_filter() {
        assert_eq!(
            equals("uid", "a*)(uid=\\\0"),
            "(uid=a\\2a\\29\\28uid=\\5c\\00)"
        );
        assert_eq!(equals("uid", "o'hara ü"), "(uid=o'hara ü)");
    }

    #[test]
    fn part_of_the_values_is_not_taken_for_all() {
        let parsed = SearchEntry {
            dn: "cn=x".to_owned(),
            attrs: [("MEMBER;range=0-1".to_owned(), vec!["cn=a".to_owned()])].into(),
            bin_attrs: [].into(),
        };
        assert!(Entry::new(parsed).ranged);
    }
}
