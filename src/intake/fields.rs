//! Reading a JSON object of the canonical event strictly, all faults at once.
//!
//! Owns typed look-ups that name the field and never its value, and the check for fields that the
//! schema does not have: a misspelt `effective` must not become "at once". Knows no field itself.

use std::cell::RefCell;

use serde_json::{Map, Value};

use super::rejection::{Code, Rejection};

/// Longest text that a field may hold, in characters, unless it says otherwise.
pub(super) const TEXT: usize = 512;

/// Longest name of an unknown field that is repeated.
const LONGEST_NAME: usize = 40;
/// So many unknown fields are named.
const MOST_NAMED: usize = 5;

/// The faults found so far in one event.
#[derive(Debug, Default)]
pub(super) struct Faults(RefCell<Vec<(Code, String)>>);

impl Faults {
    pub(super) fn add(&self, code: Code, words: impl Into<String>) {
        self.0.borrow_mut().push((code, words.into()));
    }

    /// `value` if there is one and nothing was found, else the rejection.
    pub(super) fn or<T>(self, value: Option<T>) -> Result<T, Rejection> {
        let faults = self.0.into_inner();
        match (value, faults.first()) {
            (Some(value), None) => Ok(value),
            (_, Some((code, _))) => {
                let words: Vec<_> = faults.iter().map(|(_, words)| words.as_str()).collect();
                Err(Rejection::new(*code, words.join("; ")))
            }
            (None, None) => Err(Rejection::new(
                Code::Field,
                "`data` is incomplete: see the schema",
            )),
        }
    }
}

/// One object with its place and the code under which its faults go.
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    path: String,
    code: Code,
    faults: &'a Faults,
}

impl<'a> Fields<'a> {
    pub(super) fn new(
        map: &'a Map<String, Value>,
        path: &str,
        code: Code,
        faults: &'a Faults,
    ) -> Self {
        Self {
            map,
            path: path.to_owned(),
            code,
            faults,
        }
    }

    /// Reports every field that is not `known`.
    pub(super) fn only(&self, known: &[&str]) {
        let strange = self.map.keys().filter(|key| !known.contains(&key.as_str()));
        let strange: Vec<_> = strange.map(|key| shown(key)).collect();
        if !strange.is_empty() {
            self.faults.add(
                Code::Field,
                format!(
                    "`{}` has {}, which the schema does not have: the fields are {}",
                    self.path,
                    named(&strange),
                    known.join(", ")
                ),
            );
        }
    }

    pub(super) fn path(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    pub(super) fn fault(&self, key: &str, words: &str) {
        self.faults
            .add(self.code, format!("`{}` {words}", self.path(key)));
    }

    /// The value, unless it is missing or null.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// A text of at most `longest` characters, not blank, without control characters.
    pub(super) fn text(&self, key: &str, longest: usize) -> Option<String> {
        let value = self.get(key)?;
        let Some(text) = value.as_str() else {
            self.fault(key, "is not a string: send a string");
            return None;
        };
        match flaw(text, longest) {
            Some(flaw) => {
                self.fault(key, &flaw);
                None
            }
            None => Some(text.to_owned()),
        }
    }

    /// A text that people read and nothing is decided by, of at most `longest` characters: how it is spaced
    /// keeps no departure back.
    pub(super) fn words(&self, key: &str, longest: usize) -> Option<String> {
        let value = self.get(key)?;
        let Some(text) = value.as_str() else {
            self.fault(key, "is not a string: send a string");
            return None;
        };
        let blank = |letter: char| if letter.is_control() { ' ' } else { letter };
        let text: String = text.chars().map(blank).collect();
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        match flaw(text, longest) {
            Some(flaw) => {
                self.fault(key, &flaw);
                None
            }
            None => Some(text.to_owned()),
        }
    }

    /// A text that must be there.
    pub(super) fn required(&self, key: &str, longest: usize) -> Option<String> {
        if self.get(key).is_none() {
            self.fault(key, "is missing: send it");
        }
        self.text(key, longest)
    }

    pub(super) fn boolean(&self, key: &str) -> bool {
        match self.get(key) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.fault(key, "is not true or false: send one of them");
                false
            }
        }
    }

    /// An object of the given code; reports if it is something else.
    pub(super) fn object(&self, key: &str, code: Code) -> Option<Fields<'a>> {
        let Some(map) = self.get(key)?.as_object() else {
            let words = format!("`{}` is not an object: send an object", self.path(key));
            self.faults.add(code, words);
            return None;
        };
        Some(Fields::new(map, &self.path(key), code, self.faults))
    }

    /// A list of at most `most` members; empty when missing.
    pub(super) fn list(&self, key: &str, most: usize, code: Code) -> &'a [Value] {
        let wrong = |words: &str| {
            let words = format!("`{}` {words}", self.path(key));
            self.faults.add(code, words);
        };
        match self.get(key).map(Value::as_array) {
            None => &[],
            Some(Some(list)) if list.len() <= most => list,
            Some(Some(_)) => {
                wrong(&format!("has more than {most} members: send fewer"));
                &[]
            }
            Some(None) => {
                wrong("is not a list: send a list");
                &[]
            }
        }
    }
}

/// A field's name, if it is written like one (`displayName`, `cost_center`): what looks otherwise may be a
/// value in its place, and is not repeated.
fn shown(key: &str) -> &str {
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let small = key.starts_with(|first: char| first.is_ascii_lowercase());
    let name = small && key.len() <= LONGEST_NAME && key.bytes().all(letter);
    if name { key } else { "" }
}

/// The first of them by name, and how many more there are.
fn named(strange: &[&str]) -> String {
    let names = strange.iter().filter(|name| !name.is_empty());
    let names: Vec<_> = names
        .take(MOST_NAMED)
        .map(|name| format!("`{name}`"))
        .collect();
    let others = strange.len() - names.len();
    match (names.is_empty(), others) {
        (true, 1) => "a field whose name is not repeated".to_owned(),
        (true, count) => format!("{count} fields whose names are not repeated"),
        (false, 0) => names.join(", "),
        (false, count) => format!("{} and {count} more", names.join(", ")),
    }
}

/// What is wrong with a text, and what to do. Texts reach databases, terminals and other systems.
fn flaw(text: &str, longest: usize) -> Option<String> {
    if text.trim().is_empty() {
        Some("is empty: send a value, or leave the field out".to_owned())
    } else if text.trim() != text {
        Some("begins or ends with white space: trim it".to_owned())
    } else if text.chars().count() > longest {
        Some(format!("is longer than {longest} characters: shorten it"))
    } else if text.chars().any(char::is_control) {
        Some("holds control characters: remove them".to_owned())
    } else {
        None
    }
}
