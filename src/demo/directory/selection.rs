//! `attributes` and `excludedAttributes` (RFC 7644 §3.9).
//!
//! Owns which attributes an answer shows. `id` and `schemas` are always shown.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::error::ScimError;
use super::filter::AttrPath;
use super::schema::Kind;

/// What a client wants to see.
#[derive(Debug)]
pub(super) enum Selection {
    Everything,
    Only(Vec<AttrPath>),
    Without(Vec<AttrPath>),
}

impl Selection {
    /// # Errors
    /// `invalidValue` when both are given or one is not a list of attributes.
    pub(super) fn read(params: &HashMap<String, String>) -> Result<Self, ScimError> {
        let paths = |name: &str| match params.get(name) {
            None => Ok(None),
            Some(text) => text
                .split(',')
                .map(|path| {
                    AttrPath::parse(path.trim()).ok_or_else(|| {
                        ScimError::bad("invalidValue", format!("`{path}` is no attribute"))
                    })
                })
                .collect::<Result<Vec<_>, _>>()
                .map(Some),
        };
        match (paths("attributes")?, paths("excludedAttributes")?) {
            (Some(_), Some(_)) => Err(ScimError::bad(
                "invalidValue",
                "attributes and excludedAttributes exclude each other",
            )),
            (Some(only), None) => Ok(Self::Only(only)),
            (None, Some(without)) => Ok(Self::Without(without)),
            (None, None) => Ok(Self::Everything),
        }
    }

    /// The part of a resource that is shown.
    pub(super) fn of(&self, kind: Kind, resource: Map<String, Value>) -> Map<String, Value> {
        match self {
            Self::Everything => resource,
            Self::Only(paths) => {
                let mut shown = Map::new();
                for path in paths {
                    copy(kind, path, &resource, &mut shown);
                }
                for always in ["id", "schemas"] {
                    if let Some(value) = resource.get(always) {
                        shown.insert(always.to_owned(), value.clone());
                    }
                }
                shown
            }
            Self::Without(paths) => {
                let mut shown = resource;
                for path in paths {
                    cut(kind, path, &mut shown);
                }
                shown
            }
        }
    }
}

fn copy(kind: Kind, path: &AttrPath, from: &Map<String, Value>, to: &mut Map<String, Value>) {
    let Some((urn, attribute, sub)) = kind.resolve(path) else {
        return;
    };
    let holder = match urn {
        Some(urn) => from.get(urn).and_then(Value::as_object),
        None => Some(from),
    };
    let Some(value) = holder.and_then(|holder| holder.get(&attribute.name)) else {
        return;
    };
    let to = match urn {
        Some(urn) => to
            .entry(urn)
            .or_insert_with(|| Value::Object(Map::new()))
            .as_object_mut(),
        None => Some(to),
    };
    let Some(to) = to else { return };
    match sub {
        None => drop(to.insert(attribute.name.clone(), value.clone())),
        Some(sub) => {
            let only = |value: &Value| {
                let inner = value.get(&sub.name).cloned();
                Value::Object(inner.map(|v| (sub.name.clone(), v)).into_iter().collect())
            };
            let narrowed = match value {
                Value::Array(items) => Value::Array(items.iter().map(only).collect()),
                one => only(one),
            };
            merge(to.entry(attribute.name.clone()), narrowed);
        }
    }
}

fn merge(entry: serde_json::map::Entry<'_>, narrowed: Value) {
    let present = entry.or_insert_with(|| narrowed.clone());
    match (present, narrowed) {
        (Value::Object(present), Value::Object(narrowed)) => present.extend(narrowed),
        (Value::Array(present), Value::Array(narrowed)) => {
            for (present, narrowed) in present.iter_mut().zip(narrowed) {
                if let (Some(present), Value::Object(narrowed)) =
                    (present.as_object_mut(), narrowed)
                {
                    present.extend(narrowed);
                }
            }
        }
        _ => {}
    }
}

fn cut(kind: Kind, path: &AttrPath, shown: &mut Map<String, Value>) {
    let Some((urn, attribute, sub)) = kind.resolve(path) else {
        return;
    };
    if matches!(attribute.name.as_str(), "id" | "schemas") {
        return;
    }
    let holder = match urn {
        Some(urn) => shown.get_mut(urn).and_then(Value::as_object_mut),
        None => Some(shown),
    };
    let Some(holder) = holder else { return };
    let Some(sub) = sub else {
        holder.remove(&attribute.name);
        return;
    };
    match holder.get_mut(&attribute.name) {
        Some(Value::Object(inner)) => drop(inner.remove(&sub.name)),
        Some(Value::Array(items)) => {
            for item in items.iter_mut().filter_map(Value::as_object_mut) {
                item.remove(&sub.name);
            }
        }
        _ => {}
    }
}
