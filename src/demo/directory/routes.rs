//! The directory's requests: users and groups (RFC 7644 §3), discovery (§4), tokens.
//!
//! Owns the mapping between HTTP and the resources, and who may send what: a writer everything but
//! tokens, a verifier only reads, a rotator only tokens. Sorting and bulk are not offered, and the
//! discovery says so.

use std::collections::HashMap;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde_json::{Map, Value, json};

use crate::domain::verdict::CredentialRole;

use super::Shared;
use super::error::{SCIM_JSON, ScimError};
use super::filter::Filter;
use super::resources::Stored;
use super::schema::Kind;
use super::{discovery, patch, selection};

/// The largest page.
pub(super) const PAGE: usize = 25;

type Answer = Result<Response, ScimError>;
type Params = Query<HashMap<String, String>>;

/// All routes, behind the check of the token.
pub(super) fn router(shared: Shared) -> Router {
    Router::new()
        .route("/ServiceProviderConfig", get(discovery::provider))
        .route("/Schemas", get(discovery::schemas))
        .route("/Schemas/{id}", get(discovery::one_schema))
        .route("/ResourceTypes", get(discovery::resource_types))
        .route("/ResourceTypes/{id}", get(discovery::one_resource_type))
        .route("/admin/tokens", get(list_tokens).post(issue_token))
        .route("/admin/tokens/{id}", delete(remove_token))
        .route("/.search", post(search_all))
        .route("/{endpoint}/.search", post(search))
        .route("/{endpoint}", get(list).post(create))
        .route(
            "/{endpoint}/{id}",
            get(read).put(replace).patch(modify).delete(remove),
        )
        .fallback(|| async { ScimError::not_found("at this address") })
        .layer(from_fn_with_state(shared.clone(), admit))
        .with_state(shared)
}

async fn admit(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let bearer = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let role = bearer.and_then(|value| shared.state().tokens.admit(value));
    let admin = request.uri().path().starts_with("/admin/");
    let allowed = match role {
        None => {
            let detail = "the token is missing, unknown or expired";
            return ScimError::plain(StatusCode::UNAUTHORIZED, detail).into_response();
        }
        Some(CredentialRole::Rotator) => admin,
        Some(CredentialRole::Verifier) => {
            let searches = request.uri().path().ends_with("/.search");
            !admin && (searches || request.method() == Method::GET)
        }
        Some(CredentialRole::Writer) => !admin,
    };
    if allowed {
        next.run(request).await
    } else {
        let detail = "the token does not allow this";
        ScimError::plain(StatusCode::FORBIDDEN, detail).into_response()
    }
}

fn kind_at(endpoint: &str) -> Result<Kind, ScimError> {
    Kind::at(endpoint).ok_or_else(|| ScimError::not_found("at this address"))
}

fn body(headers: &HeaderMap, bytes: &Bytes) -> Result<Value, ScimError> {
    let media = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    let media = media.map(|m| m.split(';').next().unwrap_or(m).trim());
    if !matches!(media, Some(SCIM_JSON | "application/json")) {
        let detail = format!("send {SCIM_JSON}");
        return Err(ScimError::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    serde_json::from_slice(bytes).map_err(|e| ScimError::bad("invalidSyntax", e.to_string()))
}

/// A JSON answer in the right media type.
pub(super) fn answer(status: StatusCode, body: &Value) -> Response {
    let content = [(header::CONTENT_TYPE, SCIM_JSON)];
    (status, content, body.to_string()).into_response()
}

fn resource_answer(status: StatusCode, stored: &Stored, shown: Map<String, Value>) -> Response {
    // A client that asks for a few attributes gets no `meta` (RFC 7644 section 3.9).
    let location = shown.get("meta").and_then(|meta| meta["location"].as_str());
    let location = location.unwrap_or_default().to_owned();
    let mut response = answer(status, &Value::Object(shown));
    let headers = response.headers_mut();
    for (name, value) in [(header::ETAG, stored.etag()), (header::LOCATION, location)] {
        if value.is_empty() {
            continue;
        }
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

/// RFC 7232 §3: `*` is any version; several may be named.
fn names_version(condition: &HeaderValue, etag: &str) -> bool {
    let text = condition.to_str().unwrap_or_default();
    text.split(',')
        .map(str::trim)
        .any(|one| one == "*" || one == etag)
}

fn check_if_match(headers: &HeaderMap, stored: &Stored) -> Result<(), ScimError> {
    match headers.get(header::IF_MATCH) {
        Some(wanted) if !names_version(wanted, &stored.etag()) => Err(ScimError::plain(
            StatusCode::PRECONDITION_FAILED,
            "the resource has changed since that version",
        )),
        _ => Ok(()),
    }
}

async fn list(
    State(shared): State<Shared>,
    Path(endpoint): Path<String>,
    Query(params): Params,
) -> Answer {
    found(&shared, &[kind_at(&endpoint)?], &params)
}

/// RFC 7644 section 3.4.3: the same as a list, with the parameters in the body.
async fn search(
    State(shared): State<Shared>,
    Path(endpoint): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    let params = searched(&body(&headers, &bytes)?);
    found(&shared, &[kind_at(&endpoint)?], &params)
}

async fn search_all(State(shared): State<Shared>, headers: HeaderMap, bytes: Bytes) -> Answer {
    found(&shared, &Kind::ALL, &searched(&body(&headers, &bytes)?))
}

/// The members of a search request as the parameters that they stand for.
fn searched(request: &Value) -> HashMap<String, String> {
    let members = request.as_object().into_iter().flatten();
    let told = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(names) => {
            let names: Vec<_> = names.iter().filter_map(Value::as_str).collect();
            names.join(",")
        }
        other => other.to_string(),
    };
    members
        .filter(|(name, value)| *name != "schemas" && !value.is_null())
        .map(|(name, value)| (name.clone(), told(value)))
        .collect()
}

fn found(shared: &Shared, kinds: &[Kind], params: &HashMap<String, String>) -> Answer {
    let number = |name: &str, default: i64| match params.get(name) {
        None => Ok(default),
        Some(text) => text
            .parse::<i64>()
            .map_err(|_| ScimError::bad("invalidValue", format!("{name} takes a whole number"))),
    };
    // Below 1 counts as 1, below 0 as 0 (RFC 7644 §3.4.2.4).
    let start = usize::try_from(number("startIndex", 1)?.max(1)).unwrap_or(1);
    let count = usize::try_from(number("count", PAGE as i64)?.max(0))
        .unwrap_or(0)
        .min(PAGE);
    let filter = params
        .get("filter")
        .map(|text| Filter::parse(text))
        .transpose()?;
    let selection = selection::Selection::read(params)?;
    let state = shared.state();
    let mut hits = Vec::new();
    for &kind in kinds {
        for (id, stored) in state.resources.of(kind) {
            let hit = match &filter {
                Some(filter) => filter.matches(kind, &state.resources.shown(kind, id, stored))?,
                None => true,
            };
            if hit {
                hits.push((kind, id, stored));
            }
        }
    }
    let total = hits.len();
    let page = hits.into_iter().skip(start - 1).take(count);
    let page: Vec<Value> = page
        .map(|(kind, id, stored)| (kind, state.resources.shown(kind, id, stored)))
        .map(|(kind, shown)| Value::Object(selection.of(kind, shown)))
        .collect();
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": page.len(),
        "Resources": page,
    });
    Ok(answer(StatusCode::OK, &body))
}

async fn read(
    State(shared): State<Shared>,
    Path((endpoint, id)): Path<(String, String)>,
    Query(params): Params,
    headers: HeaderMap,
) -> Answer {
    let kind = kind_at(&endpoint)?;
    let selection = selection::Selection::read(&params)?;
    let state = shared.state();
    let stored = state.resources.get(kind, &id)?;
    if let Some(known) = headers.get(header::IF_NONE_MATCH)
        && names_version(known, &stored.etag())
    {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, stored.etag())]).into_response());
    }
    let shown = state.resources.shown(kind, &id, stored);
    Ok(resource_answer(
        StatusCode::OK,
        stored,
        selection.of(kind, shown),
    ))
}

async fn create(
    State(shared): State<Shared>,
    Path(endpoint): Path<String>,
    Query(params): Params,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    let kind = kind_at(&endpoint)?;
    let selection = selection::Selection::read(&params)?;
    let attributes = kind.accept(&body(&headers, &bytes)?)?;
    let id = shared.chance.id().to_string();
    let mut state = shared.state();
    state
        .resources
        .create(kind, &id, attributes, shared.clock.now())?;
    let stored = state.resources.get(kind, &id)?;
    let shown = state.resources.shown(kind, &id, stored);
    Ok(resource_answer(
        StatusCode::CREATED,
        stored,
        selection.of(kind, shown),
    ))
}

async fn replace(
    State(shared): State<Shared>,
    Path((endpoint, id)): Path<(String, String)>,
    Query(params): Params,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    let kind = kind_at(&endpoint)?;
    let selection = selection::Selection::read(&params)?;
    let attributes = kind.accept(&body(&headers, &bytes)?)?;
    let mut state = shared.state();
    check_if_match(&headers, state.resources.get(kind, &id)?)?;
    state
        .resources
        .update(kind, &id, attributes, shared.clock.now())?;
    let stored = state.resources.get(kind, &id)?;
    let shown = state.resources.shown(kind, &id, stored);
    Ok(resource_answer(
        StatusCode::OK,
        stored,
        selection.of(kind, shown),
    ))
}

async fn modify(
    State(shared): State<Shared>,
    Path((endpoint, id)): Path<(String, String)>,
    Query(params): Params,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    let kind = kind_at(&endpoint)?;
    let selection = selection::Selection::read(&params)?;
    let wanted = body(&headers, &bytes)?;
    let mut state = shared.state();
    let stored = state.resources.get(kind, &id)?;
    check_if_match(&headers, stored)?;
    let attributes = patch::apply(kind, &stored.attributes, &wanted)?;
    state
        .resources
        .update(kind, &id, attributes, shared.clock.now())?;
    let stored = state.resources.get(kind, &id)?;
    let shown = state.resources.shown(kind, &id, stored);
    Ok(resource_answer(
        StatusCode::OK,
        stored,
        selection.of(kind, shown),
    ))
}

async fn remove(
    State(shared): State<Shared>,
    Path((endpoint, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let kind = kind_at(&endpoint)?;
    let mut state = shared.state();
    check_if_match(&headers, state.resources.get(kind, &id)?)?;
    state.resources.delete(kind, &id, shared.clock.now())?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn list_tokens(State(shared): State<Shared>) -> Response {
    let state = shared.state();
    let tokens: Vec<Value> = state
        .tokens
        .all()
        .iter()
        .map(|token| {
            json!({"id": token.id, "label": token.label, "role": token.role.as_str(), "expired": token.expired})
        })
        .collect();
    answer(StatusCode::OK, &json!({ "tokens": tokens }))
}

async fn issue_token(State(shared): State<Shared>, headers: HeaderMap, bytes: Bytes) -> Answer {
    let wanted = body(&headers, &bytes)?;
    let role = wanted["role"]
        .as_str()
        .and_then(crate::demo::tokens::role_named);
    let (Some(role), Some(label)) = (role, wanted["label"].as_str()) else {
        let detail = "`label` and `role` (writer, verifier, rotator) are needed";
        return Err(ScimError::bad("invalidValue", detail));
    };
    let mut state = shared.state();
    let token = state.tokens.issue(role, label, &*shared.chance);
    let body = json!({"id": token.id, "value": token.value, "label": label, "role": role.as_str()});
    Ok(answer(StatusCode::CREATED, &body))
}

async fn remove_token(State(shared): State<Shared>, Path(id): Path<String>) -> Answer {
    if shared.state().tokens.remove(&id) {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(ScimError::not_found(&id))
    }
}
