//! The table `[<kind>.rotation]` as it is read from a manifest.
//!
//! Owns the requests, the pointers into their answers, the names that are filled in, and every fault of
//! them. Places are read beside this. Sends nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Method;
use serde_json::Value;

use super::filling::mentions;
use super::{Create, List, Removal};
use crate::connectors::http::Transport;
use crate::connectors::manifest::Manifest;
use crate::document::{Item, Table};
use crate::domain::verdict::CredentialRole;

/// The keys in which names are filled in.
const REQUESTS: [&str; 8] = [
    "create_path",
    "create_body",
    "list_path",
    "disable_path",
    "disable_body",
    "delete_path",
    "delete_body",
    "place",
];

/// Names by role.
pub(super) type Names = BTreeMap<CredentialRole, String>;

pub(super) fn read_create(table: &Table<'_>) -> Option<Create> {
    let method = read_method(table, "create_method", Method::POST);
    let path = read_path(table, "create_path", table.required_string("create_path"));
    let body = table
        .json("create_body")
        .map_or_else(|| Value::Object(serde_json::Map::new()), |item| item.value);
    let value = read_pointer(table, "create_value", table.string("create_value"));
    if value.is_none() && !mentions(&body, "{chosen}") {
        table.report(
            table.line(),
            "`create_value` is missing",
            "say where the answer shows the new secret, for example \"/token\"",
        );
    }
    Some(Create {
        method: method?,
        path: path?,
        body,
        remote_ref: read_pointer(table, "create_ref", table.string("create_ref")),
        value,
        expires: read_pointer(table, "create_expires", table.string("create_expires")),
    })
}

/// `disable_path` or `delete_path`, with method and body. It must name the secret.
pub(super) fn read_removal(table: &Table<'_>, verb: &str, usual: Method) -> Option<Removal> {
    let key = format!("{verb}_path");
    let line = table.string(&key).map_or(table.line(), |item| item.line);
    let removal = read_request(table, verb, usual)?;
    let body = removal.body.as_ref();
    if !removal.path.contains("{ref}") && !body.is_some_and(|body| mentions(body, "{ref}")) {
        table.report(
            line,
            format!("the request of `{key}` does not name `{{ref}}`"),
            "put \"{ref}\" into the path or the body: it must be about one secret",
        );
        return None;
    }
    Some(removal)
}

/// The same, whether it names the secret or not.
pub(super) fn read_request(table: &Table<'_>, verb: &str, usual: Method) -> Option<Removal> {
    let method = read_method(table, &format!("{verb}_method"), usual);
    let body = table
        .json(&format!("{verb}_body"))
        .map(|item| (item.value, item.line));
    let key = format!("{verb}_path");
    let path = read_path(table, &key, table.string(&key));
    if path.is_none() {
        if let (Some((_, line)), false) = (&body, table.has(&key)) {
            table.report(
                *line,
                format!("`{verb}_body` without `{key}`"),
                "say where it is sent",
            );
        }
        return None;
    }
    Some(Removal {
        method: method?,
        path: path?,
        body: body.map(|(body, _)| body),
    })
}

/// The rotator signs in where the others do.
pub(super) fn check_rotator(table: &Table<'_>, manifest: &Manifest, base: Option<&Arc<Transport>>) {
    let rotator = manifest.credentials.get(&CredentialRole::Rotator);
    if base.is_some_and(|base| base.needs_username())
        && rotator.is_some_and(|rotator| rotator.username.is_none())
    {
        table.report(
            table.line(),
            "the rotator signs in as the others do, and has no `username`",
            "add `username` to its credential, or give the rotation a `base_url` and `auth`",
        );
    }
}

/// The client ids and the administration's ids by role; missed where a request names them.
pub(super) fn names(table: &Table<'_>, manifest: &Manifest) -> (Names, Names) {
    let (mut usernames, mut objects) = (Names::new(), Names::new());
    let declared = table.table("objects");
    for (role, credential) in &manifest.credentials {
        if let Some(name) = &credential.username {
            usernames.insert(*role, name.clone());
        }
        let object = declared.as_ref().and_then(|one| one.string(role.as_str()));
        if let Some(object) = object {
            objects.insert(*role, object.value);
        }
        if credential.rotation.is_none() {
            continue;
        }
        let role_name = role.as_str();
        if let (false, Some(line)) = (
            usernames.contains_key(role),
            mentioned(table, "{client_id}"),
        ) {
            table.report(
                line,
                format!("`{{client_id}}` is not known: the {role_name} has no `username`"),
                "add `username` to its credential",
            );
        }
        if let (false, Some(line)) = (objects.contains_key(role), mentioned(table, "{object}")) {
            table.report(
                line,
                format!("`{{object}}` is not known for the {role_name}"),
                format!("add it: objects = {{ {role_name} = \"…\" }}"),
            );
        }
    }
    if let Some(declared) = declared {
        declared.finish();
    }
    (usernames, objects)
}

/// The line of a request that holds this word.
fn mentioned(table: &Table<'_>, word: &str) -> Option<u32> {
    let mut requests = REQUESTS.iter().filter_map(|key| table.json(key));
    let item = requests.find(|item| mentions(&item.value, word))?;
    Some(item.line)
}

pub(super) fn read_list(table: &Table<'_>) -> Option<List> {
    let path = read_path(table, "list_path", table.string("list_path"));
    let items = table
        .has("list_items")
        .then(|| read_pointer(table, "list_items", table.string("list_items")))
        .flatten()
        .unwrap_or_default();
    let remote_ref = read_pointer(table, "list_ref", table.string("list_ref"));
    let label = read_pointer(table, "list_label", table.string("list_label"));
    let role = read_pointer(table, "list_role", table.string("list_role"));
    if path.is_some() && (remote_ref.is_none() || label.is_none()) {
        table.report(
            table.line(),
            "`list_path` without `list_ref` and `list_label`",
            "say where an item shows its id and its label, for example \"/id\" and \"/name\"",
        );
    }
    Some(List {
        path: path?,
        items,
        remote_ref: remote_ref?,
        label: label?,
        role,
    })
}

fn read_method(table: &Table<'_>, key: &str, default: Method) -> Option<Method> {
    let Some(item) = table.string(key) else {
        return Some(default);
    };
    let known = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let method = known.into_iter().find(|m| m.as_str() == item.value);
    if method.is_none() {
        table.report(
            item.line,
            format!("`{key}` is `{}`", item.value),
            "use POST, PUT, PATCH or DELETE",
        );
    }
    method
}

pub(super) fn read_path(
    table: &Table<'_>,
    key: &str,
    item: Option<Item<String>>,
) -> Option<String> {
    let item = item?;
    if !item.value.starts_with('/') {
        table.report(
            item.line,
            format!("`{key}` is `{}`", item.value),
            "begin the path with `/`; it stands behind `base_url`",
        );
        return None;
    }
    Some(item.value)
}

pub(super) fn read_pointer(
    table: &Table<'_>,
    key: &str,
    item: Option<Item<String>>,
) -> Option<String> {
    let item = item?;
    if !item.value.is_empty() && !item.value.starts_with('/') {
        table.report(
            item.line,
            format!("`{key}` is `{}`", item.value),
            "use a JSON Pointer such as \"/data/id\"",
        );
        return None;
    }
    Some(item.value)
}
