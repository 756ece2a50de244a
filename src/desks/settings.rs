//! The tables `[desks.NAME]` of `clawback.toml`.
//!
//! Owns the keys that every kind has, the table of kinds, and the secret's reference; a kind reads its
//! own keys. A secret is not sent in clear over a network: `http://` is for loopback, unless the owner
//! takes it on in writing. Connects to nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use serde_json::{Map, Value};

use super::contract::Desk;
use super::http::{Client, SignIn};
use super::{jira, request_tracker, servicenow, webhook};
use crate::document::{Item, Table};
use crate::domain::desk::BUILT_IN;
use crate::domain::id::DeskName;

/// Requests of one visit at most; a lease lasts for so many.
const REQUESTS: u64 = 24;

/// All desks by name.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    desks: BTreeMap<DeskName, Arc<DeskEntry>>,
    /// All that have a table, also where it cannot be read: a manifest that names one is right.
    named: BTreeSet<DeskName>,
}

/// One desk as configured.
#[derive(Debug)]
pub struct DeskEntry {
    /// Its name, as manifests write it.
    pub name: DeskName,
    /// The client.
    pub desk: Arc<dyn Desk>,
    /// Where tickets go, for people to read.
    pub address: String,
    /// Reference to its secret in the vault.
    pub secret: String,
    /// Reference to the secret by which its callbacks are signed; `None` takes no callbacks.
    pub callback_secret: Option<String>,
    /// How often an open ticket is looked at.
    pub poll_seconds: u64,
    /// How long one copy may be worked on.
    pub lease_seconds: u64,
}

/// What a kind is built from.
pub(super) struct Common {
    pub(super) client: Client,
    /// Fields that every new ticket gets, in the desk's own words.
    pub(super) fields: Map<String, Value>,
}

impl Settings {
    /// The desks in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<DeskEntry>> {
        self.desks.values()
    }

    /// The desk of this name.
    pub fn get(&self, name: &DeskName) -> Option<&Arc<DeskEntry>> {
        self.desks.get(name)
    }

    /// True when a manifest may name this desk.
    pub fn knows(&self, name: &str) -> bool {
        name == BUILT_IN || self.named.contains(&DeskName::from(name))
    }

    /// How a manifest's desk may be called.
    pub fn names(&self) -> String {
        let names = self.named.iter().map(DeskName::as_str);
        let names: Vec<_> = [BUILT_IN].into_iter().chain(names).collect();
        names.join(", ")
    }
}

/// Reads the table `[desks]`; problems go into its document.
pub fn read(table: &Table<'_>) -> Settings {
    let mut desks = BTreeMap::new();
    let mut named = BTreeSet::new();
    for key in table.keys() {
        named.insert(DeskName::from(key.value.as_str()));
        let Some(one) = table.table(&key.value) else {
            continue;
        };
        check_name(table, &key);
        if let Some(entry) = read_one(DeskName(key.value), &one) {
            desks.insert(entry.name.clone(), Arc::new(entry));
        }
        one.finish();
    }
    table.finish();
    Settings { desks, named }
}

fn check_name(table: &Table<'_>, key: &Item<String>) {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let name = &key.value;
    if name == BUILT_IN || name.is_empty() || name.len() > 63 || !name.chars().all(fits) {
        table.report(
            key.line,
            format!("a desk cannot be called `{name}`"),
            "use up to 63 lower-case letters, digits and `-`; `built-in` is taken",
        );
    }
}

fn read_one(name: DeskName, table: &Table<'_>) -> Option<DeskEntry> {
    let kind = table.required_string("kind");
    let url = read_url(table);
    let secret = table
        .required_string("secret")
        .and_then(|item| reference(table, item));
    let callback_secret = table
        .string("callback_secret")
        .and_then(|item| reference(table, item));
    let username = table.string("username").map(|item| item.value);
    let poll = table.integer("poll_seconds", 1..=86_400);
    let timeout = table.integer("timeout_seconds", 1..=300);
    let timeout = timeout.map_or(15, |item| item.value.unsigned_abs());
    let fields = table.json("fields");
    if let Some(item) = &fields
        && !item.value.is_object()
    {
        let remedy = "write a table of the desk's own field names";
        table.report(item.line, "`fields` is no table", remedy);
    }
    let fields = match fields.map(|item| item.value) {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let sign_in = kind
        .as_ref()
        .and_then(|kind| sign_in(table, kind, username));
    // Read with a stand-in where something is wrong, so that the kind's own problems are told, too.
    let address = url
        .clone()
        .or_else(|| Url::parse("https://desk.invalid/").ok())?;
    let client = Client::new(
        address.clone(),
        sign_in.unwrap_or(SignIn::Signature),
        Duration::from_secs(timeout),
    );
    if client.is_none() {
        let remedy = "install the system's root certificates";
        table.report(table.line(), "no HTTP client can be made here", remedy);
    }
    let common = Common {
        client: client?,
        fields,
    };
    let desk: Option<Arc<dyn Desk>> = match kind?.value.as_str() {
        servicenow::KIND => servicenow::build(table, common),
        jira::KIND => jira::build(table, common),
        request_tracker::KIND => request_tracker::build(table, common),
        webhook::KIND => webhook::build(table, common),
        _ => None,
    };
    Some(DeskEntry {
        name,
        desk: desk?,
        address: address.to_string(),
        secret: secret?,
        callback_secret,
        poll_seconds: poll.map_or(60, |item| item.value.unsigned_abs()),
        lease_seconds: timeout * REQUESTS + 60,
    })
}

fn sign_in(table: &Table<'_>, kind: &Item<String>, username: Option<String>) -> Option<SignIn> {
    match (kind.value.as_str(), username) {
        (webhook::KIND, None) => Some(SignIn::Signature),
        (webhook::KIND, Some(_)) => {
            let what = "`username` means nothing to a webhook, whose secret signs";
            table.report(kind.line, what, "remove it");
            None
        }
        (servicenow::KIND | jira::KIND | request_tracker::KIND, Some(user)) => {
            Some(SignIn::Basic(user))
        }
        (servicenow::KIND | jira::KIND, None) => Some(SignIn::Scheme("Bearer")),
        (request_tracker::KIND, None) => Some(SignIn::Scheme("token")),
        (other, _) => {
            let what = format!("`kind` is `{other}`");
            let remedy = "use servicenow, jira, request_tracker or webhook";
            table.report(kind.line, what, remedy);
            None
        }
    }
}

fn reference(table: &Table<'_>, item: Item<String>) -> Option<String> {
    let named = item.value.split_once(':');
    if named.is_some_and(|(vault, name)| !vault.is_empty() && !name.is_empty()) {
        return Some(item.value);
    }
    table.report(
        item.line,
        "this is no reference to a secret",
        "write where it lies in the vault, such as local:desks/servicedesk, and put it there with \
         `clawback secrets set local:desks/servicedesk`",
    );
    None
}

fn read_url(table: &Table<'_>) -> Option<Url> {
    let plaintext = table.boolean("allow_plaintext");
    let plaintext = plaintext.is_some_and(|item| item.value);
    let item = table.required_string("url")?;
    let plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    let Some(url) = Url::parse(&item.value).ok().filter(plain) else {
        table.report(
            item.line,
            format!("`{}.url` is no plain address", table.path()),
            "use https://host/path without user, query or fragment",
        );
        return None;
    };
    let loopback = match url.host_str().unwrap_or_default() {
        "localhost" | "[::1]" => true,
        host => host
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback()),
    };
    if url.scheme() == "http" && !loopback && !plaintext {
        table.report(
            item.line,
            "the secret, or personal data, would be sent in clear",
            "use https, or take the risk on with `allow_plaintext = true`",
        );
        return None;
    }
    Some(url)
}

/// A text with a usual value.
pub(super) fn text(table: &Table<'_>, key: &str, usual: &str) -> String {
    match table.string(key) {
        Some(item) if item.value.trim().is_empty() => {
            table.report(item.line, format!("`{key}` is empty"), "fill it in");
            String::new()
        }
        Some(item) => item.value,
        None => usual.to_owned(),
    }
}

/// A text that must be there.
pub(super) fn required(table: &Table<'_>, key: &str) -> Option<String> {
    let item = table.required_string(key)?;
    if item.value.trim().is_empty() {
        table.report(item.line, format!("`{key}` is empty"), "fill it in");
        return None;
    }
    Some(item.value)
}

/// A list with usual values.
pub(super) fn list(table: &Table<'_>, key: &str, usual: &[&str]) -> Vec<String> {
    if !table.has(key) {
        // Asked for, so that it is among the known keys.
        let _ = table.strings(key);
        return usual.iter().map(|&one| one.to_owned()).collect();
    }
    let items = table.strings(key).into_iter();
    items.map(|item| item.value).collect()
}
