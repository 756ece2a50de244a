//! The schemas of the directory, and what they make of a body (RFC 7643 §2, §7; RFC 7644 §3.3).
//!
//! Owns the attribute definitions and the check of values: types, names without regard to case,
//! read-only attributes ignored, unknown ones refused, required ones demanded. Knows no resources.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::ScimError;
use super::filter::AttrPath;

/// The definitions as the directory serves them.
static DEFINITIONS: &str = include_str!("schemas.json");

/// The two resource types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    User,
    Group,
}

/// What an attribute is.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attribute {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: AttributeKind,
    #[serde(rename = "multiValued")]
    pub(super) multi: bool,
    #[serde(default)]
    pub(super) required: bool,
    #[serde(default)]
    pub(super) case_exact: bool,
    pub(super) mutability: Mutability,
    #[serde(default, rename = "subAttributes")]
    pub(super) subs: Vec<Attribute>,
}

/// The type of a value (RFC 7643 §2.3), those that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum AttributeKind {
    String,
    Boolean,
    DateTime,
    Reference,
    Complex,
}

/// Who may change a value (RFC 7643 §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Mutability {
    ReadOnly,
    ReadWrite,
    Immutable,
}

/// One schema: its URN and its attributes.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Schema {
    pub(super) id: String,
    pub(super) attributes: Vec<Attribute>,
}

static SCHEMAS: LazyLock<Vec<Schema>> = LazyLock::new(|| {
    serde_json::from_str(DEFINITIONS).expect("schemas.json is part of the program")
});

/// `id`, `externalId`, `schemas` and `meta`: common to all resources (RFC 7643 §3.1).
static COMMON: LazyLock<Vec<Attribute>> = LazyLock::new(|| {
    let plain = |name: &str, kind, mutability, subs| Attribute {
        name: name.to_owned(),
        kind,
        multi: name == "schemas",
        required: false,
        case_exact: true,
        mutability,
        subs,
    };
    let fixed = |name: &str, kind| plain(name, kind, Mutability::ReadOnly, Vec::new());
    let meta = vec![
        fixed("resourceType", AttributeKind::String),
        fixed("created", AttributeKind::DateTime),
        fixed("lastModified", AttributeKind::DateTime),
        fixed("location", AttributeKind::Reference),
        fixed("version", AttributeKind::String),
    ];
    vec![
        fixed("id", AttributeKind::String),
        plain(
            "externalId",
            AttributeKind::String,
            Mutability::ReadWrite,
            Vec::new(),
        ),
        fixed("schemas", AttributeKind::Reference),
        plain("meta", AttributeKind::Complex, Mutability::ReadOnly, meta),
    ]
});

/// The definitions as JSON, for `/Schemas`.
pub(super) fn definitions() -> Vec<Value> {
    serde_json::from_str(DEFINITIONS).expect("schemas.json is part of the program")
}

impl Kind {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::User, Self::Group];

    /// The resource type with this endpoint.
    pub(super) fn at(endpoint: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.endpoint() == endpoint)
    }

    /// The name in `meta.resourceType`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }

    /// The path below the base URL, without a slash.
    pub(super) fn endpoint(self) -> &'static str {
        match self {
            Self::User => "Users",
            Self::Group => "Groups",
        }
    }

    fn core(self) -> &'static Schema {
        match self {
            Self::User => &SCHEMAS[0],
            Self::Group => &SCHEMAS[2],
        }
    }

    /// The URN of the core schema.
    pub(super) fn urn(self) -> &'static str {
        &self.core().id
    }

    /// The extension that resources of this kind may have.
    pub(super) fn extension(self) -> Option<&'static Schema> {
        match self {
            Self::User => Some(&SCHEMAS[1]),
            Self::Group => None,
        }
    }

    /// The definition of an attribute of this schema or of the common ones, by its name.
    pub(super) fn attribute(self, name: &str) -> Option<&'static Attribute> {
        let own = self.core().attributes.iter();
        own.chain(COMMON.iter())
            .find(|attribute| attribute.name.eq_ignore_ascii_case(name))
    }

    /// The attribute that a path names, whether in the core schema or in the extension, and the
    /// extension's URN in the latter case. The last attribute is the deepest one named.
    pub(super) fn resolve(
        self,
        path: &AttrPath,
    ) -> Option<(
        Option<&'static str>,
        &'static Attribute,
        Option<&'static Attribute>,
    )> {
        let (urn, attribute) = match &path.urn {
            Some(urn) if !urn.eq_ignore_ascii_case(self.urn()) => {
                let extension = self.extension()?;
                let matches = extension.id.eq_ignore_ascii_case(urn);
                let attribute = matches.then(|| by_name(&extension.attributes, &path.attr))??;
                (Some(extension.id.as_str()), attribute)
            }
            _ => (None, self.attribute(&path.attr)?),
        };
        let sub = match &path.sub {
            Some(sub) => Some(by_name(&attribute.subs, sub)?),
            None => None,
        };
        Some((urn, attribute, sub))
    }

    /// A body as it may be stored: canonical names, no read-only attribute, no unassigned value.
    ///
    /// # Errors
    /// `invalidSyntax`, `invalidValue`.
    pub(super) fn accept(self, body: &Value) -> Result<Map<String, Value>, ScimError> {
        let body = body
            .as_object()
            .ok_or_else(|| ScimError::bad("invalidSyntax", "the body is not a JSON object"))?;
        self.check_schemas(body)?;
        let mut accepted = Map::new();
        for (key, value) in body {
            if key.eq_ignore_ascii_case("schemas") {
                continue;
            }
            if let Some(extension) = self.extension()
                && extension.id.eq_ignore_ascii_case(key)
            {
                let inner = accept_attributes(&extension.attributes, value, key)?;
                if !inner.is_empty() {
                    accepted.insert(extension.id.clone(), Value::Object(inner));
                }
                continue;
            }
            let attribute = self.attribute(key).ok_or_else(|| unknown(key))?;
            if let Some(value) = attribute.accept(value)? {
                accepted.insert(attribute.name.clone(), value);
            }
        }
        self.check_required(&accepted)?;
        Ok(accepted)
    }

    fn check_schemas(self, body: &Map<String, Value>) -> Result<(), ScimError> {
        let named = body
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case("schemas"))
            .and_then(|(_, value)| value.as_array())
            .ok_or_else(|| ScimError::bad("invalidSyntax", "`schemas` is missing"))?;
        let is = |urn: &str| {
            named.iter().any(|name| {
                name.as_str()
                    .is_some_and(|name| name.eq_ignore_ascii_case(urn))
            })
        };
        if !is(self.urn()) {
            let detail = format!("`schemas` does not name {}", self.urn());
            return Err(ScimError::bad("invalidSyntax", detail));
        }
        Ok(())
    }

    /// # Errors
    /// `invalidValue` when a required attribute is missing.
    pub(super) fn check_required(self, resource: &Map<String, Value>) -> Result<(), ScimError> {
        let missing = self.core().attributes.iter().find(|attribute| {
            attribute.required && resource.get(&attribute.name).is_none_or(unassigned)
        });
        missing.map_or(Ok(()), |attribute| {
            let detail = format!("attribute {} is required", attribute.name);
            Err(ScimError::bad("invalidValue", detail))
        })
    }

    /// The `schemas` of a stored resource.
    pub(super) fn schemas_of(self, resource: &Map<String, Value>) -> Value {
        let mut urns = vec![self.urn()];
        if let Some(extension) = self.extension()
            && resource.contains_key(&extension.id)
        {
            urns.push(&extension.id);
        }
        json!(urns)
    }
}

impl Attribute {
    /// The value as it may be stored; `None` when it is read-only or unassigned.
    ///
    /// # Errors
    /// `invalidValue` for another type than declared, `invalidSyntax` for an unknown sub-attribute.
    pub(super) fn accept(&self, value: &Value) -> Result<Option<Value>, ScimError> {
        if self.mutability == Mutability::ReadOnly || unassigned(value) {
            return Ok(None);
        }
        if !self.multi {
            return self.accept_one(value).map(Some);
        }
        let items = value
            .as_array()
            .ok_or_else(|| self.wrong("an array"))?
            .iter()
            .map(|item| self.accept_one(item))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Value::Array(items)))
    }

    /// One value of a multi-valued attribute, or the value of a simple one.
    pub(super) fn accept_one(&self, value: &Value) -> Result<Value, ScimError> {
        match (self.kind, value) {
            (AttributeKind::Boolean, Value::Bool(_))
            | (
                AttributeKind::String | AttributeKind::DateTime | AttributeKind::Reference,
                Value::String(_),
            ) => Ok(value.clone()),
            (AttributeKind::Complex, Value::Object(_)) => {
                accept_attributes(&self.subs, value, &self.name).map(Value::Object)
            }
            (AttributeKind::Boolean, _) => Err(self.wrong("a boolean")),
            (AttributeKind::Complex, _) => Err(self.wrong("a JSON object")),
            _ => Err(self.wrong("a string")),
        }
    }

    fn wrong(&self, expected: &str) -> ScimError {
        let detail = format!("attribute {} takes {expected}", self.name);
        ScimError::bad("invalidValue", detail)
    }
}

/// The attribute with this name, without regard to case (RFC 7643 §2.1).
pub(super) fn by_name<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Attribute> {
    attributes
        .iter()
        .find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

/// `null` and the empty array are the same as no value (RFC 7643 §2.5).
pub(super) fn unassigned(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn accept_attributes(
    attributes: &[Attribute],
    value: &Value,
    place: &str,
) -> Result<Map<String, Value>, ScimError> {
    let fields = value
        .as_object()
        .ok_or_else(|| ScimError::bad("invalidValue", format!("{place} takes a JSON object")))?;
    let mut accepted = Map::new();
    for (key, value) in fields {
        let attribute = by_name(attributes, key).ok_or_else(|| unknown(key))?;
        if let Some(value) = attribute.accept(value)? {
            accepted.insert(attribute.name.clone(), value);
        }
    }
    Ok(accepted)
}

fn unknown(key: &str) -> ScimError {
    ScimError::bad(
        "invalidSyntax",
        format!("attribute {key} is not in the schema"),
    )
}
