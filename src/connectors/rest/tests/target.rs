//! One scripted server and the connector under test.
//!
//! Owns the notes: every request is kept with its method, path and body, and answered as the test
//! says. A member `link` of the answer becomes the header `Link`, the members of `headers` become
//! headers; `raw` is sent as it is, and `lost` cuts the connection before the answer is whole.

use std::sync::Mutex;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request, Response};
use tokio::task::JoinSet;

use super::super::*;
use crate::connectors::Credential;
use crate::connectors::fixture::{Moved, crm};
use crate::connectors::rehearsal::{Recorder, credential};
use crate::document::{Document, Problems};

/// Method, path with query, body.
pub type Seen = (String, String, Value);
type Script = dyn Fn(&Asked) -> (u16, Value) + Send + Sync;

/// A request as the server got it.
#[derive(Debug)]
pub struct Asked {
    pub method: String,
    /// With the query.
    pub path: String,
    pub headers: HeaderMap,
    /// Null unless it was JSON.
    pub body: Value,
    pub text: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|v| v.to_str().ok());
        value.unwrap_or_default()
    }
}

/// A connector and the server that it talks to.
pub struct Target {
    pub connector: RestConnector,
    pub gate: Recorder,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    pub writer: Credential,
    pub verifier: Credential,
    pub clock: Arc<Moved>,
    _serving: JoinSet<()>,
}

/// The connector of this table, with a manifest that approves what the tests send.
pub fn load(base: &str, shape: &str) -> Result<RestConnector, Problems> {
    let clock: Arc<dyn Clock> = Moved::new();
    let mut manifest = approving();
    manifest.limits.timeout_seconds = 10;
    connector(&manifest, base, shape, &clock)
}

pub fn approving() -> Manifest {
    let mut manifest = crm();
    for (role, one) in &mut manifest.credentials {
        one.rotation = None;
        one.username = Some(format!("client-{}", role.as_str()));
    }
    manifest.writes.insert("profile.note".into());
    manifest.expect.fields = vec!["hr.number".into()];
    manifest
}

pub fn connector(
    manifest: &Manifest,
    base: &str,
    shape: &str,
    clock: &Arc<dyn Clock>,
) -> Result<RestConnector, Problems> {
    let origin = base.trim_end_matches("/api");
    let text = shape.replace("{base}", base).replace("{origin}", origin);
    let document = Document::parse("crm.toml", &text).expect("syntax is right");
    let root = document.root();
    let table = root.required_table("rest").expect("is there");
    let connector = RestConnector::read(manifest, &table, clock);
    document.take_problems().or(connector)
}

impl Target {
    /// A server that answers as `script` says to method and path with query.
    pub async fn new(
        shape: &str,
        script: impl Fn(&str, &str) -> (u16, Value) + Send + Sync + 'static,
    ) -> Self {
        Self::with(
            shape,
            |_| {},
            move |asked| script(&asked.method, &asked.path),
        )
        .await
    }

    /// A server that answers as `script` says, behind an edited manifest.
    pub async fn with(
        shape: &str,
        edit: impl FnOnce(&mut Manifest),
        script: impl Fn(&Asked) -> (u16, Value) + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("loopback");
        let base = format!("http://{}/api", listener.local_addr().expect("bound"));
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (notes, script): (_, Arc<Script>) = (Arc::clone(&seen), Arc::new(script));
        let app = axum::Router::new().fallback(move |request: Request<Body>| {
            answer(request, Arc::clone(&notes), Arc::clone(&script))
        });
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            axum::serve(listener, app).await.expect("served");
        });
        let mut manifest = approving();
        edit(&mut manifest);
        let clock = Moved::new();
        let shared: Arc<dyn Clock> = clock.clone();
        let loaded = connector(&manifest, &base, shape, &shared);
        let named = |role, secret| {
            let declared = manifest.credentials.get(&role);
            let name = declared.and_then(|one| one.username.as_deref());
            credential(role, name, secret)
        };
        Self {
            connector: loaded.unwrap_or_else(|problems| panic!("{problems}")),
            gate: Recorder::default(),
            seen,
            writer: named(CredentialRole::Writer, "s3cret"),
            verifier: named(CredentialRole::Verifier, "v3rify"),
            clock,
            _serving: serving,
        }
    }

    pub async fn list(&self) -> Result<Listing, Failure> {
        self.connector.list(&self.gate.call(&self.verifier)).await
    }

    pub async fn write(&self, change: &Change) -> Result<Answered, Failure> {
        let call = Call {
            login: Some(&change.login),
            ..self.gate.call(&self.writer)
        };
        self.connector.write(&call, change).await
    }

    pub async fn read(&self, id: &str) -> Result<Reading, Failure> {
        let call = self.gate.call(&self.verifier);
        self.connector.read(&call, &id.into()).await
    }

    /// What was sent to change something.
    pub fn changes(&self) -> Vec<Seen> {
        let mut seen = self.seen.lock().expect("not poisoned").clone();
        seen.retain(|(method, path, _)| method != "GET" && !path.ends_with("/token"));
        seen
    }

    /// How often something was asked whose path begins so.
    pub fn asked(&self, begin: &str) -> usize {
        let seen = self.seen.lock().expect("not poisoned");
        seen.iter().filter(|seen| seen.1.starts_with(begin)).count()
    }
}

async fn answer(
    request: Request<Body>,
    notes: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Script>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.expect("read");
    let asked = Asked {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: head.headers,
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        text: String::from_utf8_lossy(&bytes).into_owned(),
    };
    let (status, mut answer) = script(&asked);
    notes
        .lock()
        .expect("not poisoned")
        .push((asked.method, asked.path, asked.body));
    let mut response = Response::builder().status(status);
    if let Some(Value::String(link)) = answer.get_mut("link").map(Value::take) {
        response = response.header("Link", link);
    }
    if let Some(Value::Object(headers)) = answer.get_mut("headers").map(Value::take) {
        for (name, value) in headers {
            response = response.header(name, value.as_str().expect("text"));
        }
    }
    let body = match answer.get("raw").and_then(Value::as_str) {
        Some(raw) => Body::from(raw.to_owned()),
        None if answer.get("lost").is_some() => {
            let parts = [
                Ok(Bytes::from_static(b"{\"half\":")),
                Err(std::io::Error::other("cut")),
            ];
            Body::from_stream(futures_util::stream::iter(parts))
        }
        None => Body::from(answer.to_string()),
    };
    response.body(body).expect("built")
}
