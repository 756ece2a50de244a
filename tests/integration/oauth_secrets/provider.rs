//! Two identity providers by their published descriptions, with two active secrets for each client.
//!
//! Owns the clients' secrets and the tokens that they got. As Microsoft Graph describes it: `POST
//! /applications/{id}/addPassword` and `removePassword`, `passwordCredentials` of the application. As Okta
//! describes it: `/api/v1/apps/{id}/credentials/secrets`, two at most, no labels, and deleted only once
//! they are inactive. Answers as they do, as far as a connector sees it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// One secret of a client.
#[derive(Debug, Clone)]
pub struct Secret {
    pub id: String,
    pub label: String,
    pub value: String,
    pub active: bool,
}

#[derive(Debug, Default)]
pub struct Truth {
    /// By client id.
    pub clients: BTreeMap<String, Vec<Secret>>,
    tokens: BTreeMap<String, String>,
    made: u32,
    /// The most active secrets that a client had at one time.
    pub most: usize,
}

/// The provider; ends when dropped.
#[derive(Debug)]
pub struct Provider {
    pub url: String,
    pub truth: Arc<Mutex<Truth>>,
    _serving: JoinSet<()>,
}

impl Provider {
    /// With these clients and their first secrets.
    pub async fn start(clients: &[(&str, &str)]) -> Self {
        let mut truth = Truth::default();
        for (id, value) in clients {
            let first = Secret {
                id: format!("{id}-first"),
                label: "by hand".to_owned(),
                value: (*value).to_owned(),
                active: true,
            };
            truth.clients.insert((*id).to_owned(), vec![first]);
        }
        let truth = Arc::new(Mutex::new(truth));
        let routes = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&truth));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, routes).await.expect("serves") });
        Self {
            url,
            truth,
            _serving: serving,
        }
    }

    /// The values that get a token for this client.
    pub fn live(&self, client: &str) -> Vec<String> {
        let truth = self.truth.lock().expect("sound");
        let all = truth.clients[client].iter().filter(|one| one.active);
        all.map(|one| one.value.clone()).collect()
    }
}

async fn answer(
    State(truth): State<Arc<Mutex<Truth>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut truth = truth.lock().expect("sound");
    let signed = headers
        .get("authorization")
        .and_then(|one| one.to_str().ok());
    let signed = signed.unwrap_or_default().to_owned();
    let text = String::from_utf8_lossy(&body).into_owned();
    let (status, body) = truth.answer(&method, uri.path(), &signed, &text);
    let status = StatusCode::from_u16(status).expect("a status");
    if status == StatusCode::NO_CONTENT {
        return status.into_response();
    }
    (
        status,
        [("content-type", "application/json")],
        body.to_string(),
    )
        .into_response()
}

impl Truth {
    fn answer(&mut self, method: &Method, path: &str, signed: &str, body: &str) -> (u16, Value) {
        if path.ends_with("/token") {
            return self.token(signed, body);
        }
        let bearer = signed.strip_prefix("Bearer ").unwrap_or_default();
        if !self.tokens.contains_key(bearer) {
            return (
                401,
                json!({"error": {"code": "InvalidAuthenticationToken"}}),
            );
        }
        let parts: Vec<_> = path.split('/').collect();
        let order: Value = serde_json::from_str(body).unwrap_or(Value::Null);
        match (method, &parts[1..]) {
            (&Method::GET, ["api", "users"]) => {
                (200, json!({"users": [{"id": "1", "login": "ada"}]}))
            }
            (&Method::GET, ["applications", id]) => {
                let all = self.clients[*id].iter().map(|one| {
                    json!({
                        "keyId": one.id, "displayName": one.label, "hint": &one.value[..3],
                        "secretText": null, "endDateTime": "2027-05-01T00:00:00Z",
                    })
                });
                (
                    200,
                    json!({"id": id, "passwordCredentials": all.collect::<Vec<_>>()}),
                )
            }
            (&Method::POST, ["applications", id, "addPassword"]) => {
                let label = order["passwordCredential"]["displayName"].as_str();
                let new = self.add(id, label.expect("a name"));
                (
                    200,
                    json!({
                        "keyId": new.id, "displayName": new.label, "secretText": new.value,
                        "endDateTime": "2027-05-01T00:00:00Z",
                    }),
                )
            }
            (&Method::POST, ["applications", id, "removePassword"]) => {
                let key = order["keyId"].as_str().expect("a key");
                match self.remove(id, key, false) {
                    Ok(()) => (204, Value::Null),
                    Err(()) => (400, json!({"error": {"code": "Request_BadRequest"}})),
                }
            }
            (method, ["api", "v1", "apps", id, "credentials", "secrets", rest @ ..]) => {
                self.okta(method, id, rest)
            }
            other => panic!("{other:?} is in no description"),
        }
    }

    fn okta(&mut self, method: &Method, id: &str, rest: &[&str]) -> (u16, Value) {
        let shown = |one: &Secret| {
            let status = if one.active { "ACTIVE" } else { "INACTIVE" };
            json!({"id": one.id, "status": status, "client_secret": one.value, "secret_hash": "x"})
        };
        match (method, rest) {
            (&Method::GET, []) => (200, self.clients[id].iter().map(shown).collect()),
            (&Method::POST, []) if self.clients[id].len() >= 2 => (
                400,
                json!({"errorCode": "E0000001", "errorSummary": "two secrets at most"}),
            ),
            (&Method::POST, []) => (201, shown(&self.add(id, ""))),
            (&Method::POST, [secret, "lifecycle", "deactivate"]) => {
                let all = self.clients.get_mut(id).expect("a client");
                match all.iter_mut().find(|one| one.id == *secret) {
                    Some(found) => {
                        found.active = false;
                        (200, shown(found))
                    }
                    None => (404, json!({"errorCode": "E0000007"})),
                }
            }
            (&Method::DELETE, [secret]) => match self.remove(id, secret, true) {
                Ok(()) => (204, Value::Null),
                Err(()) => (403, json!({"errorCode": "E0000022"})),
            },
            other => panic!("{other:?} is in no description"),
        }
    }

    fn add(&mut self, client: &str, label: &str) -> Secret {
        self.made += 1;
        let new = Secret {
            id: format!("{client}-{}", self.made),
            label: label.to_owned(),
            value: format!(
                "oc-{}-{}",
                self.made,
                hex::encode(rand::random::<[u8; 12]>())
            ),
            active: true,
        };
        let all = self.clients.get_mut(client).expect("a client");
        all.push(new.clone());
        self.most = self.most.max(all.iter().filter(|one| one.active).count());
        new
    }

    fn remove(&mut self, client: &str, id: &str, only_inactive: bool) -> Result<(), ()> {
        let all = self.clients.get_mut(client).expect("a client");
        let found = all.iter().position(|one| one.id == id).ok_or(())?;
        if only_inactive && all[found].active {
            return Err(());
        }
        all.remove(found);
        Ok(())
    }

    /// RFC 6749 section 4.4, the secret in the header or in the form.
    fn token(&mut self, signed: &str, body: &str) -> (u16, Value) {
        let field = |name: &str| {
            let mut pairs = body.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
        };
        let basic = signed.strip_prefix("Basic ").unwrap_or_default();
        let basic = STANDARD.decode(basic).unwrap_or_default();
        let basic = String::from_utf8_lossy(&basic).into_owned();
        let (id, secret) = match basic.split_once(':') {
            Some((id, secret)) => (Some(id.to_owned()), Some(secret.to_owned())),
            None => (field("client_id"), field("client_secret")),
        };
        let (id, secret) = (id.unwrap_or_default(), secret.unwrap_or_default());
        let known = self.clients.get(&id).into_iter().flatten();
        if !known
            .filter(|one| one.active)
            .any(|one| one.value == secret)
        {
            return (
                401,
                json!({"error": "invalid_client", "error_codes": [7_000_215]}),
            );
        }
        let token = hex::encode(rand::random::<[u8; 16]>());
        self.tokens.insert(token.clone(), id);
        (
            200,
            json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token}),
        )
    }
}
