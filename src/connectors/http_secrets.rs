//! Where an HTTP target makes, lists and takes back the connector's own tokens.
//!
//! Owns the declarative `[<kind>.rotation]` table and its requests, sent with the rotator's
//! credential. Every target has its own endpoint for tokens, keys or the secrets of an OAuth client,
//! so the manifest says the paths, the bodies and where in the answers the values stand (JSON
//! Pointer, RFC 6901). Stores nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::contract::{Call, KnownSecret, MintOrder, Minted, RenderedRequest, unsupported};
use super::http::{HttpAnswer, HttpRequest, Transport};
use super::manifest::Manifest;
use crate::document::{Item, Table};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::rotation::Strategy;
use crate::domain::time::Clock;
use crate::domain::verdict::CredentialRole;

mod filling;

use filling::{fill, fill_path, instant, mentions, plain, render};

/// The keys in which names are filled in.
const REQUESTS: [&str; 7] = [
    "create_path",
    "create_body",
    "list_path",
    "disable_path",
    "disable_body",
    "delete_path",
    "delete_body",
];

/// A target's token endpoint.
#[derive(Debug)]
pub(super) struct TokenEndpoint {
    transport: Arc<Transport>,
    create: Create,
    list: Option<List>,
    /// What some targets want before a deletion: an active secret cannot be deleted.
    disable: Option<Removal>,
    delete: Option<Removal>,
    /// The OAuth client ids, or sign-in names, of the roles.
    usernames: BTreeMap<CredentialRole, String>,
}

#[derive(Debug)]
struct Create {
    method: Method,
    path: String,
    body: Value,
    remote_ref: Option<String>,
    value: Option<String>,
    expires: Option<String>,
}

/// A request that names one secret.
#[derive(Debug)]
struct Removal {
    method: Method,
    path: String,
    body: Option<Value>,
}

#[derive(Debug)]
struct List {
    path: String,
    items: String,
    remote_ref: String,
    label: String,
    role: Option<String>,
}

impl TokenEndpoint {
    /// Reads `rotation` of the kind's table, if there; `base` is the kind's own transport.
    pub(super) fn read(
        kind: &Table<'_>,
        manifest: &Manifest,
        base: Option<&Arc<Transport>>,
        clock: &Arc<dyn Clock>,
    ) -> Option<Self> {
        let needed = |role: CredentialRole, strategy: Strategy| {
            let declared = manifest.credentials.get(&role);
            declared.is_some_and(|one| one.rotation == Some(strategy))
        };
        let any = |strategy| {
            needed(CredentialRole::Writer, strategy) || needed(CredentialRole::Verifier, strategy)
        };
        let (adds, chooses) = (any(Strategy::Add), any(Strategy::Choose));
        if !kind.has("rotation") && (adds || chooses) {
            kind.report(
                kind.line(),
                "a credential is to be rotated, but it is not said how the target makes one",
                format!("add [{}.rotation], or remove `rotation`", kind.path()),
            );
        }
        let table = kind.table("rotation")?;
        let own = if table.has("base_url") {
            Transport::read(&table, manifest, &[CredentialRole::Rotator], clock).map(Arc::new)
        } else {
            check_rotator(&table, manifest, base);
            base.cloned()
        };
        let create = read_create(&table);
        let list = read_list(&table);
        let disable = read_removal(&table, "disable", Method::POST);
        let delete = read_removal(&table, "delete", Method::DELETE);
        if adds && (list.is_none() || delete.is_none()) {
            table.report(
                table.line(),
                "`rotation = \"add\"` without `list_path` or `delete_path`",
                "say how tokens are listed and deleted: an old one must be taken away",
            );
        }
        if chooses
            && create
                .as_ref()
                .is_some_and(|c| !mentions(&c.body, "{chosen}"))
        {
            table.report(
                table.line(),
                "`rotation = \"choose\"` but `create_body` lacks \"{chosen}\"",
                "put \"{chosen}\" where the target takes the new value",
            );
        }
        let usernames = usernames(&table, manifest);
        table.finish();
        Some(Self {
            transport: own?,
            create: create?,
            list,
            disable,
            delete,
            usernames,
        })
    }

    /// Makes a token under the order's label.
    pub(super) async fn mint(&self, call: &Call<'_>, order: &MintOrder) -> Result<Minted, Failure> {
        let role = order.role.as_str();
        let chosen = order.chosen.as_ref().map(ExposeSecret::expose_secret);
        let words = [
            ("{label}", order.label.as_str()),
            ("{role}", role),
            ("{client_id}", self.client_id(order.role)),
            ("{chosen}", chosen.unwrap_or_default()),
        ];
        let path = fill_path(&self.create.path, &words[..3])?;
        let request = HttpRequest::new(self.create.method.clone(), path);
        let body = fill(&self.create.body, &words);
        let answer = self
            .send(call, request.json("application/json", &body))
            .await?;
        if !answer.is_success() {
            return Err(answer.failure(None));
        }
        let shown = if self.create.value.is_some() || self.create.remote_ref.is_some() {
            answer.json()?
        } else {
            Value::Null
        };
        let at = |pointer: &Option<String>| {
            let pointer = pointer.as_ref()?;
            shown.pointer(pointer).and_then(plain)
        };
        let value = match (&self.create.value, &order.chosen) {
            (Some(_), _) => at(&self.create.value).map(SecretString::from),
            (None, chosen) => chosen.clone(),
        };
        // The target may have made one: it is found by its label and taken back later.
        let secret = value.ok_or_else(|| lacks("the new secret"))?;
        let remote_ref = at(&self.create.remote_ref);
        if self.create.remote_ref.is_some() && remote_ref.is_none() {
            return Err(lacks("the new secret's id"));
        }
        let expires = self.create.expires.as_ref();
        let expires = expires.and_then(|pointer| shown.pointer(pointer));
        Ok(Minted {
            remote_ref,
            secret,
            expires: expires.map(instant).transpose()?.flatten(),
        })
    }

    /// The tokens of one role.
    pub(super) async fn minted(
        &self,
        call: &Call<'_>,
        role: CredentialRole,
    ) -> Result<Vec<KnownSecret>, Failure> {
        let Some(list) = &self.list else {
            return Err(unsupported("list its own secrets"));
        };
        let path = fill_path(&list.path, &self.words(role, ""))?;
        let answer = self.send(call, HttpRequest::new(Method::GET, path)).await?;
        if !answer.is_success() {
            return Err(answer.failure(None));
        }
        let body = answer.json()?;
        let items = body.pointer(&list.items).and_then(Value::as_array);
        let mut known = Vec::new();
        for item in items.ok_or_else(|| lacks("the list of secrets"))? {
            if let Some(pointer) = &list.role
                && item.pointer(pointer).and_then(Value::as_str) != Some(role.as_str())
            {
                continue;
            }
            let remote_ref = item.pointer(&list.remote_ref).and_then(plain);
            known.push(KnownSecret {
                remote_ref: remote_ref.ok_or_else(|| lacks("a secret's id"))?,
                label: item
                    .pointer(&list.label)
                    .and_then(plain)
                    .unwrap_or_default(),
            });
        }
        Ok(known)
    }

    /// Takes a token away; one that is not there is gone.
    pub(super) async fn retire(
        &self,
        call: &Call<'_>,
        role: CredentialRole,
        remote_ref: &str,
    ) -> Result<(), Failure> {
        let Some(delete) = &self.delete else {
            return Err(unsupported("retire its own secrets"));
        };
        let words = self.words(role, remote_ref);
        if let Some(disable) = &self.disable {
            let answer = self.send(call, render(disable, &words)?).await?;
            // What is disabled already is refused by some: whether it can be deleted now is told
            // by the deletion. Everything else must end here.
            let refused = matches!(answer.status, 400 | 404 | 405..=428);
            if !answer.is_success() && !refused {
                return Err(answer.failure(None));
            }
        }
        let answer = self.send(call, render(delete, &words)?).await?;
        if answer.is_success() || matches!(answer.status, 404 | 410) {
            return Ok(());
        }
        Err(answer.failure(None))
    }

    fn client_id(&self, role: CredentialRole) -> &str {
        self.usernames.get(&role).map_or("", String::as_str)
    }

    fn words<'a>(&'a self, role: CredentialRole, remote_ref: &'a str) -> [(&'a str, &'a str); 3] {
        [
            ("{ref}", remote_ref),
            ("{role}", role.as_str()),
            ("{client_id}", self.client_id(role)),
        ]
    }

    async fn send(&self, call: &Call<'_>, request: HttpRequest) -> Result<HttpAnswer, Failure> {
        let rendered = RenderedRequest {
            operation: None,
            account: None,
            writes: BTreeSet::new(),
            line: request.line(),
        };
        self.transport.exchange(call, rendered, request).await
    }
}

fn lacks(what: &str) -> Failure {
    Failure::new(
        FailureClass::Drifted,
        "CB-HTTP-7",
        format!("the token endpoint's answer lacks {what}"),
    )
}

fn read_create(table: &Table<'_>) -> Option<Create> {
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
fn read_removal(table: &Table<'_>, verb: &str, usual: Method) -> Option<Removal> {
    let method = read_method(table, &format!("{verb}_method"), usual);
    let body = table
        .json(&format!("{verb}_body"))
        .map(|item| (item.value, item.line));
    let key = format!("{verb}_path");
    let item = table.string(&key);
    let line = item.as_ref().map_or(table.line(), |item| item.line);
    let path = read_path(table, &key, item);
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
    let body = body.map(|(body, _)| body);
    let path = path?;
    if !path.contains("{ref}") && !body.as_ref().is_some_and(|body| mentions(body, "{ref}")) {
        table.report(
            line,
            format!("the request of `{key}` does not name `{{ref}}`"),
            "put \"{ref}\" into the path or the body: it must be about one secret",
        );
        return None;
    }
    Some(Removal {
        method: method?,
        path,
        body,
    })
}

/// The rotator signs in where the others do.
fn check_rotator(table: &Table<'_>, manifest: &Manifest, base: Option<&Arc<Transport>>) {
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

/// The names by role; missed where a request names `{client_id}`.
fn usernames(table: &Table<'_>, manifest: &Manifest) -> BTreeMap<CredentialRole, String> {
    let mut named = BTreeMap::new();
    let mut requests = REQUESTS.iter().filter_map(|key| table.json(key));
    let mentioned = requests.find(|item| mentions(&item.value, "{client_id}"));
    for (role, declared) in &manifest.credentials {
        if let Some(name) = &declared.username {
            named.insert(*role, name.clone());
        } else if let (Some(item), true) = (&mentioned, declared.rotation.is_some()) {
            table.report(
                item.line,
                format!(
                    "`{{client_id}}` is not known: the {} has no `username`",
                    role.as_str()
                ),
                "add `username` to its credential",
            );
        }
    }
    named
}

fn read_list(table: &Table<'_>) -> Option<List> {
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

fn read_path(table: &Table<'_>, key: &str, item: Option<Item<String>>) -> Option<String> {
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

fn read_pointer(table: &Table<'_>, key: &str, item: Option<Item<String>>) -> Option<String> {
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
