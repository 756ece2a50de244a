//! The `[rest]` table of a manifest: the shape of answers, and what each operation sends.
//!
//! Owns the reading and checking of the table; every fault is reported with its line. Requests and
//! paging are read by `request`. JSONPath expressions (RFC 9535) are parsed here, once. Sends nothing.

use std::collections::BTreeMap;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json_path::JsonPath;

use super::request::{
    ACCOUNT, CHANGE, Collection, Request, TAKING, names_its_object, optional_path, path_or,
    read_collection, read_request, required_path,
};
use crate::connectors::Manifest;
use crate::document::Table;
use crate::domain::access::{AccountState, EntitlementKind, Operation};

/// Everything that the manifest says about one API.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Headers that go with every request.
    pub headers: HeaderMap,
    /// Where an error answer carries its words.
    pub error: Option<JsonPath>,
    /// Words that mean that the credential is not accepted, whatever the status.
    pub auth_errors: Vec<String>,
    /// The shape of one account.
    pub account: AccountShape,
    /// All accounts.
    pub list: Collection,
    /// One account.
    pub read: Request,
    /// Where its answer holds the account.
    pub read_account: JsonPath,
    /// Where entitlements are shown.
    pub entitlements: Vec<Entitlements>,
    /// What each operation sends.
    pub writes: BTreeMap<Operation, Request>,
}

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
    /// True for administrators.
    pub privileged: Option<JsonPath>,
    /// Number of live sessions.
    pub sessions: Option<JsonPath>,
    /// Attributes by name.
    pub attributes: BTreeMap<String, JsonPath>,
    /// Dotted names of members that every account must have.
    pub fields: Vec<String>,
}

/// What a value of `state` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The account can or cannot sign in.
    State(AccountState),
    /// Softly deleted: it counts as absent.
    Gone,
}

/// Entitlements of one kind.
#[derive(Debug, Clone)]
pub struct Entitlements {
    /// A request of their own; without one they are part of the account.
    pub request: Option<Collection>,
    /// Where the account holds the list, without a request.
    pub items: JsonPath,
    /// The id; starts at the item.
    pub id: JsonPath,
    /// For people to read.
    pub name: Option<JsonPath>,
    /// Group, role, …
    pub kind: EntitlementKind,
    /// The rule or parent that it comes from.
    pub inherited_from: Option<JsonPath>,
}

impl Settings {
    /// Reads what the transport has not; problems go into the document.
    pub fn read(table: &Table<'_>, manifest: &Manifest) -> Option<Self> {
        let headers = read_headers(table);
        let error = optional_path(table, "error");
        let auth_errors = table.strings("auth_errors");
        let account = table
            .required_table("account")
            .and_then(|table| read_account(&table, manifest));
        let list = table.required_table("list").and_then(|table| {
            let found = read_collection(&table, &[]);
            table.finish();
            found
        });
        let read = table.required_table("read").and_then(|table| {
            let request = read_request(&table, ACCOUNT, false);
            let account = path_or(&table, "account", "$");
            table.finish();
            Some((request?, account?))
        });
        let entitlements = table.tables("entitlements");
        let entitlements: Vec<_> = entitlements.iter().map(read_entitlements).collect();
        let writes = read_writes(table, manifest);
        let (read, read_account) = read?;
        Some(Self {
            headers: headers?,
            error: error?,
            auth_errors: auth_errors.into_iter().map(|item| item.value).collect(),
            account: account?,
            list: list?,
            read,
            read_account,
            entitlements: entitlements.into_iter().collect::<Option<_>>()?,
            writes: writes?,
        })
    }
}

fn read_headers(table: &Table<'_>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    let mut sound = true;
    let Some(declared) = table.table("headers") else {
        return (!table.has("headers")).then_some(headers);
    };
    for key in declared.keys() {
        let name = HeaderName::try_from(key.value.as_str()).ok();
        let value = declared.required_string(&key.value);
        let value = value.and_then(|item| HeaderValue::try_from(item.value).ok());
        match (name, value) {
            (Some(name), Some(value)) if name != http::header::AUTHORIZATION => {
                headers.insert(name, value);
            }
            _ => {
                sound = false;
                declared.report(
                    key.line,
                    format!("`{}` is no header that may stand here", key.value),
                    "use plain headers; the credential goes in by `auth`",
                );
            }
        }
    }
    declared.finish();
    sound.then_some(headers)
}

fn read_account(table: &Table<'_>, manifest: &Manifest) -> Option<AccountShape> {
    let id = required_path(table, "id");
    let login = required_path(table, "login");
    let display_name = optional_path(table, "display_name");
    let state = optional_path(table, "state");
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
        privileged: privileged?,
        sessions: sessions?,
        attributes,
        fields: manifest.expect.fields.clone(),
    })
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

fn read_entitlements(table: &Table<'_>) -> Option<Entitlements> {
    let request = if table.has("path") {
        Some(read_collection(table, CHANGE)?)
    } else {
        None
    };
    let items = required_path(table, "items");
    let id = required_path(table, "id");
    let name = optional_path(table, "name");
    let inherited_from = optional_path(table, "inherited_from");
    let kind = table.required_string("kind").and_then(|item| {
        let kind = match item.value.as_str() {
            "group" => EntitlementKind::Group,
            "role" => EntitlementKind::Role,
            "licence" => EntitlementKind::Licence,
            "permission" => EntitlementKind::Permission,
            "credential" => EntitlementKind::Credential,
            other => {
                table.report(
                    item.line,
                    format!("`{other}` is no kind of entitlement"),
                    "use group, role, licence, permission or credential",
                );
                return None;
            }
        };
        Some(kind)
    });
    table.finish();
    Some(Entitlements {
        request,
        items: items?,
        id: id?,
        name: name?,
        kind: kind?,
        inherited_from: inherited_from?,
    })
}

fn read_writes(table: &Table<'_>, manifest: &Manifest) -> Option<BTreeMap<Operation, Request>> {
    let mut writes = BTreeMap::new();
    let mut sound = true;
    for operation in Operation::ALL.into_iter().filter(|op| op.writes()) {
        let key = operation.as_str();
        let approved = manifest.operations.contains(&operation);
        if approved != table.has(key) {
            sound = false;
            let (message, remedy) = if approved {
                ("is approved but has no request", "add the table")
            } else {
                (
                    "has a request but is not in `operations`",
                    "remove one or add the other",
                )
            };
            table.report(table.line(), format!("`{key}` {message}"), remedy);
        }
        let Some(declared) = table.table(key) else {
            continue;
        };
        let takes = matches!(
            operation,
            Operation::RevokeEntitlement | Operation::RevokeCredential
        );
        let places = if takes { TAKING } else { CHANGE };
        let request = read_request(&declared, places, true);
        declared.finish();
        let Some(request) = request else {
            sound = false;
            continue;
        };
        sound &= names_its_object(&declared, operation, &request);
        for field in request.fields(operation).difference(&manifest.writes) {
            sound = false;
            declared.report(
                declared.line(),
                format!("the request writes `{field}`, which `writes` does not allow"),
                format!("add \"{field}\" to `writes` if it is meant"),
            );
        }
        writes.insert(operation, request);
    }
    sound.then_some(writes)
}
