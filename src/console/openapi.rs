//! The description of the API (OpenAPI 3.1), made from the route table.
//!
//! Owns its form. Paths, roles and shapes are those that the router uses, so it cannot say anything
//! else than what is served; a test and schemathesis hold it against the running console.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::{SchemaGenerator, generate::Contract};
use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::route::{Doc, Need, Route, Speaks, Verb};
use super::routes::ROUTES;
use crate::domain::user::Role;
use crate::domain::verdict::CredentialRole;

/// The description, made once.
pub(super) static DESCRIPTION: LazyLock<Value> = LazyLock::new(describe);

fn describe() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
        settings.contract = Contract::Serialize;
    });
    let mut generator = SchemaGenerator::new(settings);
    let problem = json!(generator.subschema_for::<Problem>());
    let mut paths = Map::new();
    for route in ROUTES.iter().copied().flatten() {
        let Some(doc) = &route.doc else { continue };
        let operation = operation(route, doc, &problem, &mut generator);
        let verb = match route.verb {
            Verb::Get => "get",
            Verb::Post => "post",
        };
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[verb] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Clawback",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the console shows and does. Errors are problem details (RFC 9457) \
                with a stable `code` of docs/errors.md. Tokens are made on one's account page or by \
                `clawback users token`.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": generator.take_definitions(true),
        },
    })
}

fn operation(route: &Route, doc: &Doc, problem: &Value, generator: &mut SchemaGenerator) -> Value {
    let gives = json!((doc.gives)(generator));
    let told = json!({
        "description": "Why it did not work",
        "content": { "application/problem+json": { "schema": problem } },
    });
    let mut responses = Map::new();
    responses.insert(
        "200".to_owned(),
        json!({
            "description": "As asked",
            "content": { "application/json": { "schema": gives } },
        }),
    );
    responses.insert("default".to_owned(), told);
    let mut parameters: Vec<Value> = in_path(route.path);
    if let Some(asked) = doc.asked {
        parameters.extend(in_query(&json!(asked(generator))));
    }
    let mut operation = json!({
        "summary": doc.what,
        "description": match route.need {
            Need::Nobody => "Takes nothing.".to_owned(),
            Need::Somebody | Need::Role(Role::Viewer) => "Takes any role.".to_owned(),
            Need::Role(role) => format!("Takes the role {role}."),
        },
        "operationId": id(route),
        "parameters": parameters,
        "responses": responses,
    });
    if route.need == Need::Nobody {
        operation["security"] = json!([]);
    }
    if let Some(takes) = doc.takes {
        operation["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": takes(generator) } },
        });
    }
    debug_assert_eq!(route.speaks, Speaks::Api);
    operation
}

/// A name for generated clients: `get_cases_case`.
fn id(route: &Route) -> String {
    let path = route.path.trim_start_matches("/api/v1/");
    let words = path.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    let verb = match route.verb {
        Verb::Get => "get",
        Verb::Post => "do",
    };
    format!("{verb}_{}", words.join("_"))
}

fn in_path(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?;
        name.strip_suffix('}')
    });
    let parameters = names.map(|name| {
        let schema = match name {
            "connector" => json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9-]*$" }),
            "role" => json!({
                "type": "string",
                "enum": [
                    CredentialRole::Writer.as_str(),
                    CredentialRole::Verifier.as_str(),
                    CredentialRole::Rotator.as_str(),
                ],
            }),
            _ => json!({ "type": "string", "format": "uuid" }),
        };
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    });
    parameters.collect()
}

fn in_query(shape: &Value) -> Vec<Value> {
    let properties = shape["properties"].as_object();
    let parameters = properties.into_iter().flatten().map(|(name, schema)| {
        let mut schema = schema.clone();
        let words = schema["description"].take();
        if let Some(fields) = schema.as_object_mut() {
            fields.remove("description");
            fields.remove("default");
            // An absent parameter is absent; there is no `null` in a query.
            if let Some(kinds) = fields.get("type").and_then(Value::as_array) {
                let kind = kinds.iter().find(|kind| *kind != "null").cloned();
                fields.insert("type".to_owned(), kind.unwrap_or_default());
            }
        }
        json!({ "name": name, "in": "query", "description": words, "schema": schema })
    });
    parameters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_every_route_of_the_api_is_described_and_nothing_else() {
        let paths = DESCRIPTION["paths"].as_object().expect("paths");
        let api: std::collections::BTreeSet<_> = ROUTES
            .iter()
            .copied()
            .flatten()
            .filter(|route| route.speaks == Speaks::Api)
            .map(|route| route.path)
            .collect();
        assert!(api.len() > 20);
        assert!(paths.keys().map(String::as_str).eq(api));
        let limit = &DESCRIPTION["paths"]["/api/v1/cases"]["get"]["parameters"];
        let limit = limit.as_array().expect("a list");
        let limit = limit.iter().find(|one| one["name"] == "limit");
        let limit = limit.expect("it is there");
        assert_eq!(limit["schema"]["maximum"], 1000);
        assert_eq!(limit["schema"]["type"], "integer");
    }

    #[test]
    fn h1_every_reference_in_the_description_leads_somewhere() {
        let text = DESCRIPTION.to_string();
        let mut seen = 0;
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().expect("an end");
            assert!(DESCRIPTION.pointer(pointer).is_some(), "{pointer}");
            seen += 1;
        }
        assert!(seen > 20);
        let identifiers = DESCRIPTION["paths"].as_object().expect("paths").values();
        let identifiers: Vec<_> = identifiers
            .flat_map(|path| path.as_object().expect("verbs").values())
            .map(|operation| operation["operationId"].as_str().expect("an id"))
            .collect();
        let distinct: std::collections::BTreeSet<_> = identifiers.iter().collect();
        assert_eq!(distinct.len(), identifiers.len());
    }
}
