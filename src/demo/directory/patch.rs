//! PATCH (RFC 7644 §3.5.2): add, remove and replace, with and without a path and a value filter.
//!
//! Owns what one request does to one resource: all of it or nothing. Follows the letter, so that a
//! connector that is sloppy about it meets the error, or the damage, that a real directory has.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::ScimError;
use super::filter::{AttrPath, Filter};
use super::schema::{Attribute, AttributeKind, Kind, Mutability, unassigned};

type Resource = Map<String, Value>;

/// The body of a PATCH request.
#[derive(Debug, Deserialize)]
pub(super) struct PatchOp {
    schemas: Vec<String>,
    #[serde(rename = "Operations")]
    operations: Vec<Operation>,
}

#[derive(Debug, Deserialize)]
struct Operation {
    op: String,
    path: Option<String>,
    #[serde(default)]
    value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Add,
    Remove,
    Replace,
}

/// Where an operation applies.
struct Target {
    urn: Option<&'static str>,
    attribute: &'static Attribute,
    filter: Option<Filter>,
    sub: Option<&'static Attribute>,
}

/// The resource after all operations.
///
/// # Errors
/// `invalidSyntax`, `invalidPath`, `invalidValue`, `noTarget`, `mutability`; nothing has changed then.
pub(super) fn apply(kind: Kind, resource: &Resource, body: &Value) -> Result<Resource, ScimError> {
    let patch: PatchOp = serde_json::from_value(body.clone())
        .map_err(|error| ScimError::bad("invalidSyntax", error.to_string()))?;
    let urn = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
    if !patch.schemas.iter().any(|s| s.eq_ignore_ascii_case(urn)) {
        return Err(ScimError::bad(
            "invalidSyntax",
            "`schemas` does not name PatchOp",
        ));
    }
    if patch.operations.is_empty() {
        return Err(ScimError::bad("invalidSyntax", "`Operations` is empty"));
    }
    let mut changed = resource.clone();
    for operation in &patch.operations {
        let verb = match operation.op.as_str() {
            "add" => Verb::Add,
            "remove" => Verb::Remove,
            "replace" => Verb::Replace,
            other => {
                let detail = format!("`{other}` is no operation");
                return Err(ScimError::bad("invalidSyntax", detail));
            }
        };
        match &operation.path {
            Some(path) => match extension(kind, path) {
                // RFC 7644 section 3.10: an extension is addressed by its URI.
                Some(urn) if verb == Verb::Remove => drop(changed.remove(urn)),
                Some(urn) => apply_extension(kind, urn, verb, &mut changed, &operation.value)?,
                None => {
                    let target = Target::parse(kind, path)?;
                    target.apply(verb, &mut changed, &operation.value)?;
                }
            },
            None => apply_without_path(kind, verb, &mut changed, &operation.value)?,
        }
    }
    Ok(changed)
}

fn apply_without_path(
    kind: Kind,
    verb: Verb,
    resource: &mut Resource,
    value: &Value,
) -> Result<(), ScimError> {
    if verb == Verb::Remove {
        return Err(ScimError::bad("noTarget", "remove takes a path"));
    }
    let fields = value
        .as_object()
        .ok_or_else(|| ScimError::bad("invalidValue", "without a path the value is an object"))?;
    for (key, value) in fields {
        if let Some(urn) = extension(kind, key) {
            apply_extension(kind, urn, verb, resource, value)?;
        } else if !key.eq_ignore_ascii_case("schemas") {
            Target::parse(kind, key)?.apply(verb, resource, value)?;
        }
    }
    Ok(())
}

/// The URI of the kind's extension, where `path` is nothing else.
fn extension(kind: Kind, path: &str) -> Option<&'static str> {
    let extension = kind.extension()?;
    let named = extension.id.eq_ignore_ascii_case(path);
    named.then_some(extension.id.as_str())
}

fn apply_extension(
    kind: Kind,
    urn: &str,
    verb: Verb,
    resource: &mut Resource,
    value: &Value,
) -> Result<(), ScimError> {
    let fields = value
        .as_object()
        .ok_or_else(|| ScimError::bad("invalidValue", format!("{urn} takes a JSON object")))?;
    for (name, value) in fields {
        if name.eq_ignore_ascii_case("schemas") {
            continue;
        }
        let path = format!("{urn}:{name}");
        Target::parse(kind, &path)?.apply(verb, resource, value)?;
    }
    Ok(())
}

impl Target {
    /// `attrPath` or `valuePath [subAttr]` (RFC 7644 figure 7).
    fn parse(kind: Kind, path: &str) -> Result<Self, ScimError> {
        let wrong = || ScimError::bad("invalidPath", format!("`{path}` is not a path here"));
        let (head, filter, tail) = match path.split_once('[') {
            Some((head, rest)) => {
                let (filter, tail) = rest.rsplit_once(']').ok_or_else(wrong)?;
                (head, Some(filter), tail)
            }
            None => (path, None, ""),
        };
        let mut named = AttrPath::parse(head).ok_or_else(wrong)?;
        if filter.is_some() {
            if named.sub.is_some() || !(tail.is_empty() || tail.starts_with('.')) {
                return Err(wrong());
            }
            named.sub = (!tail.is_empty()).then(|| tail[1..].to_owned());
        }
        let (urn, attribute, sub) = kind.resolve(&named).ok_or_else(wrong)?;
        if filter.is_some() && !(attribute.multi && attribute.kind == AttributeKind::Complex) {
            return Err(wrong());
        }
        let filter = filter.map(Filter::parse).transpose();
        Ok(Self {
            urn,
            attribute,
            filter: filter.map_err(|error| ScimError::bad("invalidFilter", error.detail))?,
            sub,
        })
    }

    fn apply(&self, verb: Verb, resource: &mut Resource, value: &Value) -> Result<(), ScimError> {
        let deepest = self.sub.unwrap_or(self.attribute);
        let fixed = |attribute: &Attribute| attribute.mutability == Mutability::ReadOnly;
        if fixed(self.attribute) || fixed(deepest) {
            return Err(immutable(deepest));
        }
        if verb == Verb::Remove && self.filter.is_none() && deepest.required {
            return Err(immutable(deepest));
        }
        let Some(urn) = self.urn else {
            return self.apply_in(verb, resource, value);
        };
        let holder = resource
            .entry(urn)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Some(inner) = holder.as_object_mut() {
            self.apply_in(verb, inner, value)?;
            if inner.is_empty() {
                resource.remove(urn);
            }
        }
        Ok(())
    }

    fn apply_in(&self, verb: Verb, holder: &mut Resource, value: &Value) -> Result<(), ScimError> {
        if self.attribute.multi {
            self.apply_to_values(verb, holder, value)
        } else {
            self.apply_to_one(verb, holder, value)
        }
    }

    fn apply_to_one(
        &self,
        verb: Verb,
        holder: &mut Resource,
        value: &Value,
    ) -> Result<(), ScimError> {
        let name = &self.attribute.name;
        if let Some(sub) = self.sub {
            let inner = holder
                .entry(name)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Some(inner) = inner.as_object_mut() {
                set(verb, inner, sub, value)?;
                if inner.is_empty() {
                    holder.remove(name);
                }
            }
            return Ok(());
        }
        let before = holder.get(name).and_then(Value::as_object).cloned();
        set(verb, holder, self.attribute, value)?;
        // Sub-attributes that the value does not name are left as they were.
        if let (Some(before), Some(Value::Object(now))) = (before, holder.get_mut(name)) {
            for (key, old) in before {
                now.entry(key).or_insert(old);
            }
        }
        Ok(())
    }

    fn apply_to_values(
        &self,
        verb: Verb,
        holder: &mut Resource,
        value: &Value,
    ) -> Result<(), ScimError> {
        let name = &self.attribute.name;
        let mut items = match holder.remove(name) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        };
        if self.filter.is_none() && self.sub.is_none() {
            self.apply_to_all(verb, &mut items, value)?;
        } else {
            self.apply_to_chosen(verb, &mut items, value)?;
        }
        if !items.is_empty() {
            holder.insert(name.clone(), Value::Array(items));
        }
        Ok(())
    }

    /// The path names the whole attribute. A `remove` empties it whatever its `value` says: the
    /// standard gives `value` no part in a removal.
    fn apply_to_all(
        &self,
        verb: Verb,
        items: &mut Vec<Value>,
        value: &Value,
    ) -> Result<(), ScimError> {
        if matches!(verb, Verb::Remove | Verb::Replace) {
            items.clear();
        }
        if verb == Verb::Remove {
            return Ok(());
        }
        let given: &[Value] = match value {
            Value::Array(given) => given,
            Value::Null => &[],
            one => std::slice::from_ref(one),
        };
        let had = items.len();
        for item in given {
            let item = self.attribute.accept_one(item)?;
            if !items.iter().any(|present| same(present, &item)) {
                items.push(item);
            }
        }
        one_primary(items, |index| index >= had);
        Ok(())
    }

    fn apply_to_chosen(
        &self,
        verb: Verb,
        items: &mut Vec<Value>,
        value: &Value,
    ) -> Result<(), ScimError> {
        let mut chosen = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let hit = match &self.filter {
                Some(filter) => filter.matches_value(self.attribute, item)?,
                None => true,
            };
            if hit {
                chosen.push(index);
            }
        }
        if chosen.is_empty() && verb != Verb::Remove {
            return Err(ScimError::bad("noTarget", "no value matches the filter"));
        }
        for &index in chosen.iter().rev() {
            let Some(sub) = self.sub else {
                match verb {
                    Verb::Remove => drop(items.remove(index)),
                    Verb::Add => merge(&mut items[index], self.attribute.accept_one(value)?),
                    Verb::Replace => items[index] = self.attribute.accept_one(value)?,
                }
                continue;
            };
            if sub.mutability == Mutability::Immutable && items[index].get(&sub.name) != Some(value)
            {
                return Err(immutable(sub));
            }
            if let Some(inner) = items[index].as_object_mut() {
                set(verb, inner, sub, value)?;
                if inner.is_empty() {
                    items.remove(index);
                }
            }
        }
        one_primary(items, |index| chosen.contains(&index));
        Ok(())
    }
}

fn set(
    verb: Verb,
    holder: &mut Resource,
    attribute: &Attribute,
    value: &Value,
) -> Result<(), ScimError> {
    if verb == Verb::Remove || unassigned(value) {
        if attribute.required {
            return Err(immutable(attribute));
        }
        holder.remove(&attribute.name);
        return Ok(());
    }
    if let Some(value) = attribute.accept(value)? {
        holder.insert(attribute.name.clone(), value);
    }
    Ok(())
}

/// Values are the same when their `value` is, or when they are equal (RFC 7643 §2.4).
fn same(left: &Value, right: &Value) -> bool {
    match (left.get("value"), right.get("value")) {
        (Some(left_value), Some(right_value)) => {
            left_value == right_value && left.get("type") == right.get("type")
        }
        _ => left == right,
    }
}

fn merge(into: &mut Value, from: Value) {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
}

/// A new primary value takes the mark from the others (RFC 7644 §3.5.2).
fn one_primary(items: &mut [Value], is_new: impl Fn(usize) -> bool) {
    let primary = |item: &Value| item.get("primary") == Some(&Value::Bool(true));
    let marked = (0..items.len()).find(|&index| is_new(index) && primary(&items[index]));
    let Some(marked) = marked else { return };
    for (index, item) in items.iter_mut().enumerate() {
        if index != marked && primary(item) {
            item["primary"] = false.into();
        }
    }
}

fn immutable(attribute: &Attribute) -> ScimError {
    let detail = format!("attribute {} cannot be changed so", attribute.name);
    ScimError::bad("mutability", detail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn group() -> Resource {
        let group = json!({"displayName": "Sales", "members": [{"value": "u1"}, {"value": "u2"}]});
        group.as_object().cloned().expect("an object")
    }

    fn patched(kind: Kind, resource: &Resource, operations: &Value) -> Result<Resource, ScimError> {
        let schemas = ["urn:ietf:params:scim:api:messages:2.0:PatchOp"];
        apply(
            kind,
            resource,
            &json!({"schemas": schemas, "Operations": operations}),
        )
    }

    #[test]
    fn a_value_filter_removes_one_member_and_no_other() {
        let removal = json!([{"op": "remove", "path": "members[value eq \"u1\"]"}]);
        let after = patched(Kind::Group, &group(), &removal).expect("applies");
        assert_eq!(after["members"], json!([{"value": "u2"}]));
    }

    #[test]
    fn a_removal_without_a_filter_empties_the_group_whatever_its_value_says() {
        let removal = json!([{"op": "remove", "path": "members", "value": [{"value": "u1"}]}]);
        let after = patched(Kind::Group, &group(), &removal).expect("applies");
        assert!(!after.contains_key("members"));
    }

    #[test]
    fn what_the_standard_refuses_is_refused() {
        let refused = |operation: Value, scim_type| {
            let error = patched(Kind::Group, &group(), &json!([operation])).expect_err("refused");
            assert_eq!(error.scim_type, Some(scim_type));
        };
        refused(json!({"op": "remove"}), "noTarget");
        refused(json!({"op": "Remove", "path": "members"}), "invalidSyntax");
        refused(json!({"op": "remove", "path": "displayName"}), "mutability");
        refused(
            json!({"op": "replace", "path": "id", "value": "x"}),
            "mutability",
        );
        refused(
            json!({"op": "replace", "path": "shoeSize", "value": 4}),
            "invalidPath",
        );
        refused(
            json!({"op": "replace", "path": "displayName", "value": 4}),
            "invalidValue",
        );
        let nobody =
            json!({"op": "replace", "path": "members[value eq \"u9\"].type", "value": "User"});
        refused(nobody, "noTarget");
    }

    #[test]
    fn one_address_is_primary_and_a_merge_keeps_the_rest() {
        let user = json!({"userName": "ada", "name": {"givenName": "Ada", "familyName": "L"},
            "emails": [{"value": "a@x", "primary": true}]});
        let user = user.as_object().cloned().expect("an object");
        let operations = json!([
            {"op": "add", "path": "emails", "value": [{"value": "b@x", "primary": true}]},
            {"op": "replace", "value": {"name": {"familyName": "King"}, "active": false}},
        ]);
        let after = patched(Kind::User, &user, &operations).expect("applies");
        assert_eq!(after["emails"][0]["primary"], json!(false));
        assert_eq!(
            after["name"],
            json!({"givenName": "Ada", "familyName": "King"})
        );
        assert_eq!(after["active"], json!(false));
    }
}
