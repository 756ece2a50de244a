//! What the directory says of itself (RFC 7644 §4, RFC 7643 §5 to §7).
//!
//! Owns the three discovery endpoints. They promise what the routes do, and no more.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::Shared;
use super::error::ScimError;
use super::routes::{PAGE, answer};
use super::schema::{self, Kind};

pub(super) async fn provider(State(shared): State<Shared>) -> Response {
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": {"supported": true},
        "bulk": {"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": true, "maxResults": PAGE},
        "changePassword": {"supported": false},
        "sort": {"supported": false},
        "etag": {"supported": true},
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "A token of the directory in the Authorization header",
            "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{}/ServiceProviderConfig", shared.base),
        },
    });
    answer(StatusCode::OK, &body)
}

pub(super) async fn schemas(State(shared): State<Shared>) -> Response {
    answer(StatusCode::OK, &list_of(&all_schemas(&shared.base)))
}

pub(super) async fn one_schema(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Response, ScimError> {
    one_of(all_schemas(&shared.base), &id)
}

pub(super) async fn resource_types(State(shared): State<Shared>) -> Response {
    answer(StatusCode::OK, &list_of(&all_resource_types(&shared.base)))
}

pub(super) async fn one_resource_type(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Response, ScimError> {
    one_of(all_resource_types(&shared.base), &id)
}

fn all_schemas(base: &str) -> Vec<Value> {
    let mut definitions = schema::definitions();
    for definition in &mut definitions {
        let id = definition["id"].as_str().unwrap_or_default();
        let location = format!("{base}/Schemas/{id}");
        definition["schemas"] = json!(["urn:ietf:params:scim:schemas:core:2.0:Schema"]);
        definition["meta"] = json!({"resourceType": "Schema", "location": location});
    }
    definitions
}

fn all_resource_types(base: &str) -> Vec<Value> {
    Kind::ALL
        .into_iter()
        .map(|kind| {
            let extensions: Vec<Value> = kind
                .extension()
                .map(|extension| json!({"schema": extension.id, "required": false}))
                .into_iter()
                .collect();
            json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
                "id": kind.name(),
                "name": kind.name(),
                "endpoint": format!("/{}", kind.endpoint()),
                "schema": kind.urn(),
                "schemaExtensions": extensions,
                "meta": {
                    "resourceType": "ResourceType",
                    "location": format!("{base}/ResourceTypes/{}", kind.name()),
                },
            })
        })
        .collect()
}

fn list_of(resources: &[Value]) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": resources.len(),
        "startIndex": 1,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}

fn one_of(resources: Vec<Value>, id: &str) -> Result<Response, ScimError> {
    let found = resources.into_iter().find(|resource| resource["id"] == id);
    let found = found.ok_or_else(|| ScimError::not_found(id))?;
    Ok(answer(StatusCode::OK, &found))
}
