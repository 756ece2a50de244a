//! The table `account`: the shape of one account, and what its state means.
//!
//! Owns the reading and checking of the table. How answers are read by it is `shape`'s. Paths are
//! JSONPath (RFC 9535) and start at the account.

use std::collections::BTreeMap;

use serde_json_path::JsonPath;

use super::request::{optional_path, required_path};
use crate::connectors::Manifest;
use crate::document::Table;
use crate::domain::access::AccountState;

/// The shape of one account; paths start at the account.
#[derive(Debug, Clone)]
pub struct AccountShape {
    /// The immutable id.
    pub id: JsonPath,
    /// The sign-in name.
    pub login: JsonPath,
    /// For people to read.
    pub display_name: Option<JsonPath>,
    /// Whether it can sign in.
    pub state: Option<JsonPath>,
    /// What the values of `state` mean.
    pub states: BTreeMap<String, Meaning>,
    /// Says something when the account is softly deleted, such as the time of that.
    pub gone: Option<JsonPath>,
    /// What changes with each change of the account.
    pub version: Option<VersionPlace>,
    /// True for administrators.
    pub privileged: Option<JsonPath>,
    /// Number of live sessions.
    pub sessions: Option<JsonPath>,
    /// Attributes by name.
    pub attributes: BTreeMap<String, JsonPath>,
    /// Dotted names of members that every account must have.
    pub fields: Vec<String>,
}

/// Where an account's version stands.
#[derive(Debug, Clone)]
pub enum VersionPlace {
    /// The header `ETag` of the answer that shows the account alone (RFC 9110 §8.8.3).
    Etag,
    /// A member of the account.
    Member(JsonPath),
}

/// What a value of `state` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The account can or cannot sign in.
    State(AccountState),
    /// Softly deleted: it counts as absent.
    Gone,
}

/// Reads the table `account`.
pub fn read(table: &Table<'_>, manifest: &Manifest) -> Option<AccountShape> {
    let id = required_path(table, "id");
    let login = required_path(table, "login");
    let display_name = optional_path(table, "display_name");
    let state = optional_path(table, "state");
    let gone = optional_path(table, "gone");
    let version = read_version(table);
    let privileged = optional_path(table, "privileged");
    let sessions = optional_path(table, "sessions");
    let mut attributes = BTreeMap::new();
    let mut sound = true;
    if let Some(declared) = table.table("attributes") {
        for key in declared.keys() {
            match required_path(&declared, &key.value) {
                Some(path) => drop(attributes.insert(key.value, path)),
                None => sound = false,
            }
        }
        declared.finish();
    }
    let states = read_states(table);
    if table.has("state") != table.has("states") {
        sound = false;
        table.report(
            table.line(),
            format!("`{}` has one of `state` and `states`", table.path()),
            "say where the state stands and what its values mean, or leave both out",
        );
    }
    table.finish();
    sound.then_some(())?;
    Some(AccountShape {
        id: id?,
        login: login?,
        display_name: display_name?,
        state: state?,
        states: states?,
        gone: gone?,
        version: version?,
        privileged: privileged?,
        sessions: sessions?,
        attributes,
        fields: manifest.expect.fields.clone(),
    })
}

#[allow(clippy::option_option)] // Not there, there but wrong (told), there.
fn read_version(table: &Table<'_>) -> Option<Option<VersionPlace>> {
    let etag = table
        .string("version")
        .is_some_and(|item| item.value == "etag");
    if etag {
        return Some(Some(VersionPlace::Etag));
    }
    let path = optional_path(table, "version")?;
    Some(path.map(VersionPlace::Member))
}

fn read_states(table: &Table<'_>) -> Option<BTreeMap<String, Meaning>> {
    let mut states = BTreeMap::new();
    let Some(declared) = table.table("states") else {
        return (!table.has("states")).then_some(states);
    };
    let mut sound = true;
    for (key, meaning) in [
        ("enabled", Meaning::State(AccountState::Enabled)),
        ("disabled", Meaning::State(AccountState::Disabled)),
        ("gone", Meaning::Gone),
    ] {
        for item in declared.strings(key) {
            if states.insert(item.value.clone(), meaning).is_some() {
                sound = false;
                declared.report(
                    item.line,
                    format!("the state `{}` has two meanings", item.value),
                    "list each value once",
                );
            }
        }
    }
    declared.finish();
    sound.then_some(states)
}
