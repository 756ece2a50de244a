//! Targets that keep each secret of a client at a place of its own, without ids.
//!
//! Owns the places and what stands there. A new secret comes to the first and pushes the one before it
//! on to the next, and what is pushed from the last is gone: so none is made while all are taken. A
//! deletion names the place alone, so it is sent only when the very secret that is to go was just
//! read there. In place of an id stands a digest of the value; it tells nothing about the long random
//! values that such targets draw.

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::filling::{fill_path, plain};
use super::reading::{read_path, read_pointer, read_request};
use super::{Removal, TokenEndpoint, lacks};
use crate::connectors::contract::{Call, KnownSecret};
use crate::connectors::http::HttpRequest;
use crate::document::Table;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::verdict::CredentialRole;

/// Keys of targets that know their secrets by an id.
const BY_ID: [&str; 12] = [
    "create_ref",
    "list_path",
    "list_items",
    "list_ref",
    "list_label",
    "list_role",
    "disable_path",
    "disable_method",
    "disable_body",
    "delete_path",
    "delete_method",
    "delete_body",
];

/// Where one secret of a client stands.
#[derive(Debug)]
pub(super) struct Place {
    path: String,
    value: String,
    /// Takes away what stands there; `None` where the target does not.
    delete: Option<Removal>,
}

/// Reads `[[place]]`; none when secrets have ids.
pub(super) fn read(table: &Table<'_>) -> Vec<Place> {
    let places = table.tables("place");
    if places.is_empty() {
        return Vec::new();
    }
    for key in BY_ID.into_iter().filter(|key| table.has(key)) {
        let line = table.json(key).map_or(table.line(), |item| item.line);
        table.report(
            line,
            format!("`{key}` beside places: a secret at a place has no id"),
            "remove it; what is shown and deleted is said at each place",
        );
    }
    if places.len() < 2 {
        table.report(
            places[0].line(),
            "one place has no room for a new secret beside the old one",
            "declare every place, the newest secret's first",
        );
    }
    if !places.iter().any(|place| place.has("delete_path")) {
        table.report(
            places[0].line(),
            "no place has a `delete_path`",
            "say at which place the old secret is taken away",
        );
    }
    places.iter().filter_map(read_place).collect()
}

fn read_place(table: &Table<'_>) -> Option<Place> {
    let path = read_path(table, "path", table.required_string("path"));
    let value = read_pointer(table, "value", table.required_string("value"));
    let delete = read_request(table, "delete", Method::DELETE);
    table.finish();
    Some(Place {
        path: path?,
        value: value?,
        delete,
    })
}

impl TokenEndpoint {
    /// What stands at the places.
    pub(super) async fn at_places(
        &self,
        call: &Call<'_>,
        role: CredentialRole,
    ) -> Result<Vec<KnownSecret>, Failure> {
        let mut known: Vec<KnownSecret> = Vec::new();
        for place in &self.places {
            if let Some(shown) = self.look(call, role, place).await? {
                let remote_ref = digest(&shown);
                // Pushed on between two looks, it is shown twice and stands at the later place.
                known.retain(|one| one.remote_ref != remote_ref);
                known.push(KnownSecret {
                    remote_ref,
                    label: String::new(),
                    shown: Some(shown),
                    fixed: place.delete.is_none(),
                });
            }
        }
        // Each path may be wrong, or the client gone; that it has no secret at all is neither's proof.
        if known.is_empty() {
            return Err(lacks("a secret at any place"));
        }
        Ok(known)
    }

    /// A target with one at each place would push the oldest out, whoever uses it.
    pub(super) async fn has_room(
        &self,
        call: &Call<'_>,
        role: CredentialRole,
    ) -> Result<(), Failure> {
        let taken = self.at_places(call, role).await?.len();
        if taken < self.places.len() {
            return Ok(());
        }
        Err(Failure::new(
            FailureClass::Unsupported,
            "CB-HTTP-10",
            format!(
                "the target holds {taken} secrets already, and one more would push one of them out"
            ),
        ))
    }

    /// Takes the secret away where it stands, and nothing else that may stand there.
    pub(super) async fn retire_at_place(
        &self,
        call: &Call<'_>,
        role: CredentialRole,
        remote_ref: &str,
    ) -> Result<(), Failure> {
        let mut fixed = false;
        for place in &self.places {
            let shown = self.look(call, role, place).await?;
            if shown.is_none_or(|shown| digest(&shown) != remote_ref) {
                continue;
            }
            match &place.delete {
                Some(delete) => {
                    let words = self.words(role, remote_ref);
                    return self.delete(call, delete, &words).await;
                }
                None => fixed = true,
            }
        }
        if fixed {
            return Err(Failure::new(
                FailureClass::Unsupported,
                "CB-HTTP-11",
                "the secret stands where the target takes none away: it is the newest one",
            ));
        }
        Ok(())
    }

    async fn look(
        &self,
        call: &Call<'_>,
        role: CredentialRole,
        place: &Place,
    ) -> Result<Option<SecretString>, Failure> {
        let path = fill_path(&place.path, &self.words(role, ""))?;
        let answer = self.send(call, HttpRequest::new(Method::GET, path)).await?;
        if matches!(answer.status, 404 | 410) {
            return Ok(None);
        }
        if !answer.is_success() {
            return Err(answer.failure(None));
        }
        let shown = answer.json()?.pointer(&place.value).and_then(plain);
        shown
            .map(|value| Some(SecretString::from(value)))
            .ok_or_else(|| lacks("the secret at a place"))
    }
}

/// Stands for the id that the target does not have.
pub(super) fn digest(secret: &SecretString) -> String {
    let digest = Sha256::digest(secret.expose_secret());
    format!("sha256:{}", hex::encode(digest))
}
