//! Where an HTTP target makes, lists and takes back the connector's own tokens.
//!
//! Owns the declarative `[<kind>.rotation]` table and its requests, sent with the rotator's
//! credential. Every target has its own endpoint for tokens, keys or the secrets of an OAuth client,
//! so the manifest says the paths, the bodies and where in the answers the values stand (JSON
//! Pointer, RFC 6901). Most list secrets by their ids; some keep each at a place of its own. Stores
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::contract::{Call, KnownSecret, MintOrder, Minted, RenderedRequest, unsupported};
use super::http::{HttpAnswer, HttpRequest, Transport};
use super::manifest::Manifest;
use crate::document::Table;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::rotation::Strategy;
use crate::domain::time::Clock;
use crate::domain::verdict::CredentialRole;

mod filling;
mod places;
mod reading;

use filling::{fill, fill_path, instant, mentions, plain, render};
use places::Place;
use reading::{check_rotator, names, read_create, read_list, read_removal};

/// A target's token endpoint.
#[derive(Debug)]
pub(super) struct TokenEndpoint {
    transport: Arc<Transport>,
    create: Create,
    list: Option<List>,
    /// What some targets want before a deletion: an active secret cannot be deleted.
    disable: Option<Removal>,
    delete: Option<Removal>,
    /// Where secrets stand that have no ids, the newest one's first; else empty.
    places: Vec<Place>,
    /// The OAuth client ids, or sign-in names, of the roles.
    usernames: BTreeMap<CredentialRole, String>,
    /// The ids by which the target's administration knows the clients, where those are others.
    objects: BTreeMap<CredentialRole, String>,
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
        let places = places::read(&table);
        if adds && !table.has("place") && (list.is_none() || delete.is_none()) {
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
        if chooses && table.has("place") {
            table.report(
                table.line(),
                "`rotation = \"choose\"` where a new secret stands beside the old one",
                "use `rotation = \"add\"`, so that the old one is taken away",
            );
        }
        let (usernames, objects) = names(&table, manifest);
        table.finish();
        Some(Self {
            transport: own?,
            create: create?,
            list,
            disable,
            delete,
            places,
            usernames,
            objects,
        })
    }

    /// Makes a token under the order's label.
    pub(super) async fn mint(&self, call: &Call<'_>, order: &MintOrder) -> Result<Minted, Failure> {
        if !self.places.is_empty() {
            self.has_room(call, order.role).await?;
        }
        let chosen = order.chosen.as_ref().map(ExposeSecret::expose_secret);
        let [_, role, client, object] = self.words(order.role, "");
        let words = [
            ("{label}", order.label.as_str()),
            role,
            client,
            object,
            ("{chosen}", chosen.unwrap_or_default()),
        ];
        let path = fill_path(&self.create.path, &words[..4])?;
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
        let remote_ref = match self.places.as_slice() {
            [] => at(&self.create.remote_ref),
            [..] => Some(places::digest(&secret)),
        };
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
        if !self.places.is_empty() {
            return self.at_places(call, role).await;
        }
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
            known.push(KnownSecret::by_id(
                remote_ref.ok_or_else(|| lacks("a secret's id"))?,
                item.pointer(&list.label)
                    .and_then(plain)
                    .unwrap_or_default(),
            ));
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
        if !self.places.is_empty() {
            return self.retire_at_place(call, role, remote_ref).await;
        }
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
        self.delete(call, delete, &words).await
    }

    /// What is not there is gone.
    async fn delete(
        &self,
        call: &Call<'_>,
        delete: &Removal,
        words: &[(&str, &str)],
    ) -> Result<(), Failure> {
        let answer = self.send(call, render(delete, words)?).await?;
        if answer.is_success() || matches!(answer.status, 404 | 410) {
            return Ok(());
        }
        Err(answer.failure(None))
    }

    fn words<'a>(&'a self, role: CredentialRole, remote_ref: &'a str) -> [(&'a str, &'a str); 4] {
        let of = |names: &'a BTreeMap<_, String>| names.get(&role).map_or("", String::as_str);
        [
            ("{ref}", remote_ref),
            ("{role}", role.as_str()),
            ("{client_id}", of(&self.usernames)),
            ("{object}", of(&self.objects)),
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
