//! Whether an event is one of OCSF 1.8.0: an extract of the published schema, and the check against it.
//!
//! Owns the rules of the schema that an event can break: unknown and missing attributes, types, values of
//! enumerations and their captions, and attributes of which one at least is needed. The extract
//! (`schema-1.8.0.json`) was resolved from the schema's own repository at the release; a newer version is a new
//! extract.

use serde_json::{Map, Value};

/// What is wrong with an event, each with where.
pub fn problems(event: &Value) -> Vec<String> {
    let schema: Value = serde_json::from_str(include_str!("schema-1.8.0.json")).expect("JSON");
    let mut found = Vec::new();
    if event["metadata"]["version"] != schema["version"] {
        found.push(format!("metadata.version is not {}", schema["version"]));
    }
    let class = event["class_uid"].to_string();
    let Some(says) = schema["classes"].get(&class) else {
        found.push(format!("class_uid {class} is not in the extract"));
        return found;
    };
    attributes(&schema, says, event, "", &mut found);
    if event["category_uid"] != schema["category_uid"]
        || event["category_name"] != schema["category_name"]
    {
        found.push("category".to_owned());
    }
    if event["class_name"] != says["caption"] {
        found.push(format!("class_name is not {}", says["caption"]));
    }
    let kind = event["class_uid"]
        .as_u64()
        .zip(event["activity_id"].as_u64());
    let kind = kind.map(|(class, activity)| class * 100 + activity);
    if event["type_uid"].as_u64() != kind {
        found.push("type_uid is not class_uid * 100 + activity_id".to_owned());
    }
    for (id, name) in [
        ("activity_id", "activity_name"),
        ("status_id", "status"),
        ("severity_id", "severity"),
    ] {
        let number = event[id].to_string();
        // 99 is the source's own, and so is its name.
        if number != "99" && event[name] != says["attributes"][id]["captions"][&number] {
            found.push(format!("{name} is not the caption of {id} {number}"));
        }
    }
    found
}

fn attributes(schema: &Value, says: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let none = Map::new();
    let known = says["attributes"].as_object().expect("attributes");
    let given = value.as_object().unwrap_or(&none);
    for (name, one) in known {
        if one["requirement"] == "required" && !given.contains_key(name) {
            found.push(format!("{path}{name} is missing"));
        }
    }
    if let Some(needed) = says["constraints"]["at_least_one"].as_array() {
        let any = needed
            .iter()
            .any(|name| given.contains_key(name.as_str().expect("a name")));
        if !any {
            found.push(format!("{path} has none of {needed:?}"));
        }
    }
    for (name, inner) in given {
        let place = format!("{path}{name}");
        let Some(one) = known.get(name) else {
            found.push(format!("{place} is no attribute of it"));
            continue;
        };
        let many = one["is_array"] == true;
        match (many, inner.as_array()) {
            (true, Some(elements)) if elements.is_empty() => {
                found.push(format!("{place} is empty"));
            }
            (true, Some(elements)) => {
                for element in elements {
                    typed(schema, one, element, &place, found);
                }
            }
            (true, None) => found.push(format!("{place} is no list")),
            (false, _) => typed(schema, one, inner, &place, found),
        }
    }
}

fn typed(schema: &Value, says: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    let kind = says["type"].as_str().expect("a type");
    let primitive = says["primitive"].as_str().unwrap_or(kind);
    let right = match primitive {
        "object_t" => value.is_object(),
        "integer_t" | "long_t" => value.is_i64(),
        "boolean_t" => value.is_boolean(),
        "float_t" => value.is_number(),
        _ => value.as_str().is_some_and(|text| !text.is_empty()),
    };
    if !right {
        found.push(format!("{place} is no {kind}: {value}"));
        return;
    }
    if let Some(allowed) = says["enum"].as_array() {
        let number = value.as_str().map_or(value.to_string(), str::to_owned);
        if !allowed.iter().any(|one| *one == number.as_str()) {
            found.push(format!("{place}: {number} is not among {allowed:?}"));
        }
    }
    // What is unmapped has no attributes of its own.
    let object = says["object"].as_str().filter(|name| *name != "object");
    if let Some(object) = object {
        match schema["objects"].get(object) {
            Some(inner) => attributes(schema, inner, value, &format!("{place}."), found),
            None => found.push(format!(
                "{place}: the object {object} is not in the extract"
            )),
        }
    }
}
