//! The users and groups that the directory holds.
//!
//! Owns versions (ETags), uniqueness, and memberships: `groups` of a user is made from the groups'
//! `members`, and a user that is deleted leaves every group. Takes only values that the schema let
//! through. Knows no HTTP.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::domain::time::Timestamp;

use super::error::ScimError;
use super::schema::Kind;

/// One stored resource.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) attributes: Map<String, Value>,
    pub(super) version: u64,
    created: Timestamp,
    modified: Timestamp,
}

/// Everything that is stored.
#[derive(Debug, Default)]
pub(super) struct Resources {
    base: String,
    users: BTreeMap<String, Stored>,
    groups: BTreeMap<String, Stored>,
}

impl Stored {
    /// The weak validator of this version (RFC 7644 §3.14).
    pub(super) fn etag(&self) -> String {
        format!("W/\"{}\"", self.version)
    }
}

impl Resources {
    /// None yet; `base` begins every location.
    pub(super) fn new(base: String) -> Self {
        Self {
            base,
            ..Self::default()
        }
    }

    /// All of one kind, by id.
    pub(super) fn of(&self, kind: Kind) -> &BTreeMap<String, Stored> {
        match kind {
            Kind::User => &self.users,
            Kind::Group => &self.groups,
        }
    }

    fn of_mut(&mut self, kind: Kind) -> &mut BTreeMap<String, Stored> {
        match kind {
            Kind::User => &mut self.users,
            Kind::Group => &mut self.groups,
        }
    }

    /// # Errors
    /// 404.
    pub(super) fn get(&self, kind: Kind, id: &str) -> Result<&Stored, ScimError> {
        self.of(kind)
            .get(id)
            .ok_or_else(|| ScimError::not_found(id))
    }

    /// Puts a new resource in.
    ///
    /// # Errors
    /// 409 `uniqueness`, `invalidValue` for a member that does not exist.
    pub(super) fn create(
        &mut self,
        kind: Kind,
        id: &str,
        attributes: Map<String, Value>,
        now: Timestamp,
    ) -> Result<(), ScimError> {
        self.check(kind, id, &attributes)?;
        let stored = Stored {
            attributes,
            version: 1,
            created: now,
            modified: now,
        };
        self.of_mut(kind).insert(id.to_owned(), stored);
        Ok(())
    }

    /// Puts other attributes in the place of those of a resource; the version rises if they differ.
    ///
    /// # Errors
    /// As above, and 404.
    pub(super) fn update(
        &mut self,
        kind: Kind,
        id: &str,
        attributes: Map<String, Value>,
        now: Timestamp,
    ) -> Result<(), ScimError> {
        self.check(kind, id, &attributes)?;
        let stored = self
            .of_mut(kind)
            .get_mut(id)
            .ok_or_else(|| ScimError::not_found(id))?;
        if stored.attributes != attributes {
            stored.attributes = attributes;
            stored.version += 1;
            stored.modified = now;
        }
        Ok(())
    }

    /// Takes a resource out, and out of every group.
    ///
    /// # Errors
    /// 404.
    pub(super) fn delete(&mut self, kind: Kind, id: &str, now: Timestamp) -> Result<(), ScimError> {
        let gone = self.of_mut(kind).remove(id);
        gone.ok_or_else(|| ScimError::not_found(id))?;
        for group in self.groups.values_mut() {
            let Some(Value::Array(members)) = group.attributes.get_mut("members") else {
                continue;
            };
            let before = members.len();
            members.retain(|member| member["value"] != id);
            if members.len() < before {
                group.version += 1;
                group.modified = now;
                if members.is_empty() {
                    group.attributes.remove("members");
                }
            }
        }
        Ok(())
    }

    fn check(
        &self,
        kind: Kind,
        id: &str,
        attributes: &Map<String, Value>,
    ) -> Result<(), ScimError> {
        kind.check_required(attributes)?;
        let name = |attributes: &Map<String, Value>| {
            let name = attributes.get("userName").and_then(Value::as_str);
            name.map(str::to_lowercase)
        };
        let taken = kind == Kind::User
            && self
                .users
                .iter()
                .any(|(other, stored)| other != id && name(&stored.attributes) == name(attributes));
        if taken {
            return Err(ScimError {
                scim_type: Some("uniqueness"),
                ..ScimError::plain(StatusCode::CONFLICT, "userName is taken")
            });
        }
        for member in members(attributes) {
            if !self.users.contains_key(member) && !self.groups.contains_key(member) {
                let detail = format!("member {member} does not exist");
                return Err(ScimError::bad("invalidValue", detail));
            }
        }
        Ok(())
    }

    /// The resource as clients see it: with `id`, `schemas`, `meta` and what is derived.
    pub(super) fn shown(&self, kind: Kind, id: &str, stored: &Stored) -> Map<String, Value> {
        let mut shown = stored.attributes.clone();
        shown.insert("schemas".into(), kind.schemas_of(&stored.attributes));
        shown.insert("id".into(), id.into());
        let meta = json!({
            "resourceType": kind.name(),
            "created": stored.created.to_string(),
            "lastModified": stored.modified.to_string(),
            "location": self.location(kind, id),
            "version": stored.etag(),
        });
        shown.insert("meta".into(), meta);
        match kind {
            Kind::User => {
                let groups = self.groups_of(id);
                if !groups.is_empty() {
                    shown.insert("groups".into(), Value::Array(groups));
                }
            }
            Kind::Group => {
                if let Some(Value::Array(members)) = shown.get_mut("members") {
                    for member in members {
                        self.complete_member(member);
                    }
                }
            }
        }
        shown
    }

    /// The address of a resource.
    pub(super) fn location(&self, kind: Kind, id: &str) -> String {
        format!("{}/{}/{id}", self.base, kind.endpoint())
    }

    fn groups_of(&self, user: &str) -> Vec<Value> {
        self.groups
            .iter()
            .filter(|(_, group)| members(&group.attributes).any(|member| member == user))
            .map(|(id, group)| {
                json!({
                    "value": id,
                    "$ref": self.location(Kind::Group, id),
                    "display": group.attributes.get("displayName"),
                    "type": "direct",
                })
            })
            .collect()
    }

    fn complete_member(&self, member: &mut Value) {
        let Some(id) = member["value"].as_str().map(str::to_owned) else {
            return;
        };
        let (kind, name) = match (self.users.get(&id), self.groups.get(&id)) {
            (Some(user), _) => (Kind::User, user.attributes.get("displayName")),
            (None, Some(group)) => (Kind::Group, group.attributes.get("displayName")),
            (None, None) => return,
        };
        if let Some(name) = name {
            member["display"] = name.clone();
        }
        member["type"] = kind.name().into();
        member["$ref"] = self.location(kind, &id).into();
    }
}

/// The ids of a group's members.
pub(super) fn members(attributes: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let members = attributes.get("members").and_then(Value::as_array);
    members
        .into_iter()
        .flatten()
        .filter_map(|member| member["value"].as_str())
}
