//! A double of a vault server, held to the documented API of KV version 2, AppRole and tokens.
//!
//! Owns paths, status codes, shapes and error texts as the API pages of HashiCorp Vault give them:
//! versions and check-and-set, soft deletion (404 with metadata), `sealed`, `permission denied`, leases
//! of tokens. Faults strike before or after the effect of the n-th request. No server can be had in the
//! tests, so what a real one does beyond those pages is not shown here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The AppRole that the double knows.
pub(super) const ROLE_ID: &str = "role-1";
/// Its secret id.
pub(super) const SECRET_ID: &str = "canary-secret-id-1";
/// A token that an operator gave.
pub(super) const TOKEN: &str = "hvs.canary-token-1";

/// What strikes at a request for a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection ends, nothing happened.
    LostBefore,
    /// It happened, and the connection ends.
    LostAfter,
    /// This status, nothing happened.
    Status(u16),
}

#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) sealed: bool,
    pub(super) read_only: bool,
    /// Versions by path; `None` is one that was deleted.
    pub(super) documents: BTreeMap<String, Vec<Option<Value>>>,
    /// Tokens that are taken, with whether they can be renewed.
    pub(super) tokens: BTreeMap<String, bool>,
    pub(super) lease_seconds: u64,
    pub(super) signed_in: u32,
    pub(super) renewed: u32,
    /// Requests for documents.
    pub(super) requests: u32,
    pub(super) faults: BTreeMap<u32, Fault>,
    pub(super) struck: u32,
}

pub(super) struct Server {
    pub(super) address: String,
    truth: Arc<Mutex<Truth>>,
    _serving: JoinSet<()>,
}

impl Server {
    pub(super) async fn start() -> Self {
        let truth = Arc::new(Mutex::new(Truth {
            tokens: BTreeMap::from([(TOKEN.to_owned(), true)]),
            lease_seconds: 3600,
            ..Truth::default()
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let router = Router::new().fallback(answer).with_state(truth.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            axum::serve(listener, router).await.expect("serves");
        });
        Self {
            address,
            truth,
            _serving: serving,
        }
    }

    pub(super) fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().expect("not poisoned")
    }
}

fn errors(status: u16, texts: &[&str]) -> (u16, Value) {
    (status, json!({ "errors": texts }))
}

/// Ends the connection in the middle of an answer.
fn cut() -> Response {
    let broken = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("cut"))]);
    Response::new(Body::from_stream(broken))
}

async fn answer(
    State(truth): State<Arc<Mutex<Truth>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut truth = truth.lock().expect("not poisoned");
    let path = uri.path().trim_start_matches("/v1/").to_owned();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let token = headers.get("X-Vault-Token");
    let token = token.and_then(|token| token.to_str().ok()).unwrap_or("");
    let mut fault = None;
    if path.starts_with("secret/") {
        let number = truth.requests;
        truth.requests += 1;
        fault = truth.faults.get(&number).copied();
        truth.struck += u32::from(fault.is_some());
    }
    let (status, shown) = match fault {
        Some(Fault::LostBefore) => return cut(),
        Some(Fault::Status(status)) => errors(status, &["internal error"]),
        Some(Fault::LostAfter) | None => truth.answer(&method, &path, token, &body),
    };
    if fault == Some(Fault::LostAfter) {
        return cut();
    }
    let status = StatusCode::from_u16(status).expect("a status");
    if status == StatusCode::NO_CONTENT {
        return status.into_response();
    }
    (status, axum::Json(shown)).into_response()
}

impl Truth {
    fn answer(&mut self, method: &Method, path: &str, token: &str, body: &Value) -> (u16, Value) {
        if self.sealed {
            return errors(503, &["Vault is sealed"]);
        }
        if path == "auth/approle/login" {
            return self.login(body);
        }
        let Some(renewable) = self.tokens.get(token).copied() else {
            return errors(403, &["permission denied"]);
        };
        let lease = self.lease_seconds;
        match path {
            "auth/token/lookup-self" => {
                (200, json!({"data": {"ttl": lease, "renewable": renewable}}))
            }
            "auth/token/renew-self" if renewable => {
                self.renewed += 1;
                let auth =
                    json!({"client_token": token, "lease_duration": lease, "renewable": true});
                (200, json!({ "auth": auth }))
            }
            "auth/token/renew-self" => errors(400, &["lease is not renewable"]),
            "sys/capabilities-self" => {
                let all = ["create", "delete", "read", "update"];
                let may = if self.read_only { &all[2..3] } else { &all };
                (
                    200,
                    json!({"capabilities": may, "data": {"capabilities": may}}),
                )
            }
            _ => self.document(method, path, body),
        }
    }

    fn login(&mut self, body: &Value) -> (u16, Value) {
        if body["role_id"] != ROLE_ID || body["secret_id"] != SECRET_ID {
            return errors(400, &["invalid role or secret ID"]);
        }
        self.signed_in += 1;
        let token = format!("hvs.canary-of-{}", self.signed_in);
        self.tokens.insert(token.clone(), true);
        let auth = json!({
            "client_token": token,
            "lease_duration": self.lease_seconds,
            "renewable": true,
            "policies": ["default", "clawback"],
        });
        (200, json!({ "auth": auth }))
    }

    fn document(&mut self, method: &Method, path: &str, body: &Value) -> (u16, Value) {
        if let Some(name) = path.strip_prefix("secret/metadata/") {
            self.documents.remove(name);
            return (204, Value::Null);
        }
        let Some(name) = path.strip_prefix("secret/data/") else {
            return errors(404, &["no handler for route"]);
        };
        let versions = self.documents.entry(name.to_owned()).or_default();
        let metadata = |deleted: bool| {
            let deletion = if deleted { "2026-01-01T00:00:00Z" } else { "" };
            json!({"version": versions.len(), "deletion_time": deletion, "destroyed": false})
        };
        if *method == Method::GET {
            return match versions.last() {
                None => errors(404, &[]),
                Some(None) => {
                    let data = json!({"data": null, "metadata": metadata(true)});
                    (404, json!({ "data": data }))
                }
                Some(Some(data)) => {
                    let data = json!({"data": data, "metadata": metadata(false)});
                    (200, json!({ "data": data }))
                }
            };
        }
        if self.read_only {
            return errors(403, &["1 error occurred:\n\t* permission denied\n\n"]);
        }
        match body.pointer("/options/cas").and_then(Value::as_u64) {
            Some(cas) if cas == versions.len() as u64 => {}
            Some(_) => {
                return errors(
                    400,
                    &["check-and-set parameter did not match the current version"],
                );
            }
            None => return errors(400, &["check-and-set parameter required for this call"]),
        }
        versions.push(Some(body["data"].clone()));
        (
            200,
            json!({"data": {"version": versions.len(), "destroyed": false}}),
        )
    }
}
