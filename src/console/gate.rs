//! The one way to every handler: who asks, may they, is the form ours, is the body small enough.
//!
//! Owns these checks for all routes alike, by what the route table says; a handler cannot forget them.
//! Owns also the outermost layer: security headers, and the form in which a problem is told.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Form, FromRequest, Request, State};
use axum::http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION,
    REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use std::net::{IpAddr, SocketAddr};

use super::cookies::{self, DOOR, SESSION, TOLD, Told};
use super::office::{Office, Shared, Who};
use super::page;
use super::password::{form_token, same};
use super::problem::Problem;
use super::route::{Need, Route, Speaks};
use super::sign_in::{Use, nobody};
use crate::domain::time::after;
use crate::domain::user::{ApiToken, SecretDigest};

/// Nothing that anybody fills in is longer.
pub(super) const LONGEST_BODY: usize = 64 * 1024;

/// A page says so when it fetches itself.
const WATCHES: &str = "x-clawback-watches";

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The fields of a form, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The field's text without blanks around it; empty where there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.trim())
    }

    /// The field's text as it came.
    pub(super) fn whole(&self, name: &str) -> String {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map_or_else(String::new, |(_, value)| value.clone())
    }

    /// All texts under this name.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let found = self.0.iter().filter(|(key, _)| key == name);
        found.map(|(_, value)| value.trim()).collect()
    }
}

/// What the page tells once, from the request before.
#[derive(Debug, Clone, Default)]
pub(super) struct Flash(pub Option<Told>);

/// Lets a request through to its handler, or not.
pub(super) async fn gate(
    State((office, route)): State<(Shared, &'static Route)>,
    request: Request,
    next: Next,
) -> Response {
    let back = request.uri().path_and_query().map(ToString::to_string);
    let told = cookies::cookie(request.headers(), TOLD).map(str::to_owned);
    match admit(&office, route, request).await {
        Ok((request, fresh)) => {
            let mut response = next.run(request).await;
            let shown = route.speaks == Speaks::Page && response.status().is_success();
            let headers = response.headers_mut();
            if let Some(secret) = fresh {
                cookies::set(headers, SESSION, &secret, office.bounds.longest_seconds);
            }
            if told.is_some() && shown {
                cookies::set(headers, TOLD, "", 0);
            }
            response
        }
        Err(problem) if problem.status == 401 && route.speaks.is_for_people() => {
            // A form that was open when the session ended cannot be sent again by a redirect.
            let back = back.filter(|_| route.speaks == Speaks::Page);
            Redirect::to(&page::sign_in_path(back.as_deref())).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

/// The request with its person, and the session's new secret where it was replaced.
async fn admit(
    office: &Office,
    route: &Route,
    request: Request,
) -> Result<(Request, Option<String>), Problem> {
    let (mut parts, body) = request.into_parts();
    let address = address(office, &parts.headers, &parts.extensions);
    let (who, fresh, bound_to) = if route.speaks == Speaks::Api {
        let who = bearer(office, &parts.headers, &address).await?;
        (who, None, None)
    } else {
        person(office, route, &parts.headers, &address).await?
    };
    let who = match (who, route.need) {
        (Some(who), Need::Role(role)) if !who.may(role) => {
            let path = parts.uri.path().to_owned();
            office.note(&who, "refused", &path, role.as_str()).await?;
            return Err(Problem::forbidden(role.as_str()));
        }
        (Some(who), _) => who,
        (None, Need::Nobody) => nobody("", &address),
        (None, Need::Somebody | Need::Role(_)) => return Err(Problem::signed_out()),
    };
    let body = to_bytes(body, LONGEST_BODY).await;
    let body = body.map_err(|_| Problem::oversized())?;
    if route.speaks == Speaks::Form {
        let fields = fields(&parts.headers, &body).await?;
        ours(&parts.headers, &fields, bound_to.as_deref())?;
        parts.extensions.insert(fields);
    }
    let flash = cookies::cookie(&parts.headers, TOLD).and_then(Told::decode);
    parts.extensions.insert(Flash(flash));
    parts.extensions.insert(who);
    Ok((Request::from_parts(parts, Body::from(body)), fresh))
}

type Found = (Option<Who>, Option<String>, Option<String>);

/// The person by the session's cookie; what their forms are bound to.
async fn person(
    office: &Office,
    route: &Route,
    headers: &HeaderMap,
    address: &str,
) -> Result<Found, Problem> {
    let door = cookies::cookie(headers, DOOR).map(str::to_owned);
    let Some(secret) = cookies::cookie(headers, SESSION) else {
        return Ok((None, None, door));
    };
    let how = match route.speaks {
        Speaks::Page if !headers.contains_key(WATCHES) => Use::Opens,
        Speaks::Form => Use::Sends,
        Speaks::Page | Speaks::Stream | Speaks::Api => Use::Watches,
    };
    let found = office.session(secret, how).await?;
    let Some((session, user, fresh)) = found else {
        return Ok((None, None, door));
    };
    let bound_to = fresh.clone().unwrap_or_else(|| secret.to_owned());
    let who = Who {
        form_token: form_token(&bound_to),
        session: Some(session),
        ..Who::of(&user, address)
    };
    Ok((Some(who), fresh, Some(bound_to)))
}

/// The program by its token (RFC 6750, section 2.1).
async fn bearer(
    office: &Office,
    headers: &HeaderMap,
    address: &str,
) -> Result<Option<Who>, Problem> {
    let shown = headers
        .get(AUTHORIZATION)
        .and_then(|line| line.to_str().ok());
    let Some((scheme, token)) = shown.and_then(|line| line.split_once(' ')) else {
        return Ok(None);
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Ok(None);
    }
    let now = office.now();
    let found = office.store.token(&SecretDigest::of(token.trim())).await?;
    let Some((token, user)) = found else {
        return Ok(None);
    };
    if user.disabled.is_some() || !token.is_alive(now) {
        return Ok(None);
    }
    if token.used.is_none_or(|used| now >= after(used, 60)) {
        let used = ApiToken {
            used: Some(now),
            ..token.clone()
        };
        office.store.save_token(&used).await?;
    }
    let mut who = Who::of(&user, address);
    who.roles = user.roles.intersection(&token.scopes).copied().collect();
    who.token = Some(token.id);
    Ok(Some(who))
}

async fn fields(headers: &HeaderMap, body: &Bytes) -> Result<Fields, Problem> {
    let mut request = Request::new(Body::from(body.clone()));
    *request.method_mut() = axum::http::Method::POST;
    if let Some(kind) = headers.get(CONTENT_TYPE) {
        request.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    match Form::<Vec<(String, String)>>::from_request(request, &()).await {
        Ok(Form(fields)) => Ok(Fields(fields)),
        Err(_) => Err(Problem::unreadable("the form cannot be read")),
    }
}

/// True to the session's own pages: the token that they show, and what the browser says of the sender.
fn ours(headers: &HeaderMap, fields: &Fields, bound_to: Option<&str>) -> Result<(), Problem> {
    let site = headers.get("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin" && site != "none") {
        return Err(Problem::forged());
    }
    match bound_to {
        Some(secret) if same(&form_token(secret), fields.get("csrf")) => Ok(()),
        Some(_) | None => Err(Problem::forged()),
    }
}

/// From where a request comes: the peer, or what our own proxy says of it.
fn address(office: &Office, headers: &HeaderMap, extensions: &axum::http::Extensions) -> String {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|ConnectInfo(address)| address.ip());
    let told = headers.get_all("x-forwarded-for").iter().next_back();
    let told = told
        .filter(|_| office.settings.trust_forwarded)
        .and_then(|line| line.to_str().ok())
        .and_then(|line| line.rsplit(',').next())
        .and_then(|text| text.trim().parse::<IpAddr>().ok());
    told.or(peer)
        .map_or_else(|| "unknown".to_owned(), |ip| ip.to_canonical().to_string())
}

/// The outermost layer: every answer gets the headers, every problem its form.
pub(super) async fn dress(State(office): State<Shared>, request: Request, next: Next) -> Response {
    let api = request.uri().path().starts_with("/api/");
    let wants_json = request
        .headers()
        .get(ACCEPT)
        .is_some_and(|accept| accept.as_bytes().starts_with(b"application/json"));
    let response = next.run(request).await;
    let mut response = if told_already(&response) {
        response
    } else {
        tell(response, api || wants_json)
    };
    let secure = office.settings.public_url.as_deref();
    headers(
        response.headers_mut(),
        secure.is_some_and(|url| url.starts_with("https:")),
    );
    response
}

/// True for whatever needs no telling: success, or a problem that the handler has written out.
fn told_already(response: &Response) -> bool {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return true;
    }
    let kind = response.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
    kind.starts_with("application/json") || kind.starts_with("text/html")
}

fn tell(response: Response, as_json: bool) -> Response {
    let (mut parts, _) = response.into_parts();
    let problem = parts.extensions.remove::<Problem>();
    let problem = problem.unwrap_or_else(|| match parts.status {
        StatusCode::NOT_FOUND => Problem::missing("page"),
        StatusCode::METHOD_NOT_ALLOWED => Problem::new(
            parts.status,
            Some("CB-CONSOLE-8"),
            "this path has no such method",
        ),
        status => Problem::new(status, Some("CB-CONSOLE-6"), "the request cannot be read"),
    });
    if parts.status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        parts.headers.insert(WWW_AUTHENTICATE, scheme);
    }
    parts.headers.remove(axum::http::header::CONTENT_LENGTH);
    let (kind, body) = if as_json {
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        ("application/problem+json", Body::from(body))
    } else {
        let body = page::problem(&problem).into_string();
        ("text/html; charset=utf-8", Body::from(body))
    };
    parts
        .headers
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Response::from_parts(parts, body)
}

fn headers(headers: &mut HeaderMap, secure: bool) {
    let fixed: [(HeaderName, &'static str); 7] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=(), payment=()",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if secure {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(STRICT_TRANSPORT_SECURITY, year);
    }
    if !headers.contains_key(CACHE_CONTROL) && !headers.contains_key(LOCATION) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}
