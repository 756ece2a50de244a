//! One scripted server and the connector under test.
//!
//! Owns the notes: every request is kept with its method, path and body, and answered as the test
//! says. A `link` member of the answer becomes the header `Link`.

use std::sync::Mutex;

use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use tokio::task::JoinSet;

use super::super::*;
use crate::connectors::Credential;
use crate::connectors::fixture::crm;
use crate::connectors::rehearsal::{Recorder, credential};
use crate::document::{Document, Problems};

/// Method, path with query, body.
pub type Seen = (String, String, Value);
type Script = dyn Fn(&str, &str) -> (u16, Value) + Send + Sync;

/// A connector and the server that it talks to.
pub struct Target {
    pub connector: RestConnector,
    pub gate: Recorder,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    pub writer: Credential,
    pub verifier: Credential,
    _serving: JoinSet<()>,
}

/// The connector of this table, with a manifest that approves what the tests send.
pub fn load(base: &str, shape: &str) -> Result<RestConnector, Problems> {
    let text = shape.replace("{base}", base);
    let document = Document::parse("crm.toml", &text).expect("syntax is right");
    let mut manifest = crm();
    manifest.credentials.retain(|_, one| {
        one.rotation = None;
        true
    });
    manifest.writes.insert("profile.note".into());
    manifest.expect.fields = vec!["hr.number".into()];
    let root = document.root();
    let table = root.required_table("rest").expect("is there");
    let transport = Transport::read(&table, &manifest).map(Arc::new);
    let settings = Settings::read(&table, &manifest);
    table.finish();
    let parts = transport.zip(settings);
    let connector = parts.map(|(transport, settings)| RestConnector {
        transport,
        settings,
        tokens: None,
    });
    document.take_problems().or(connector)
}

impl Target {
    /// A server that answers as `script` says to method and path with query.
    pub async fn new(
        shape: &str,
        script: impl Fn(&str, &str) -> (u16, Value) + Send + Sync + 'static,
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
        Self {
            connector: load(&base, shape).unwrap_or_else(|problems| panic!("{problems}")),
            gate: Recorder::default(),
            seen,
            writer: credential(CredentialRole::Writer, None, "s3cret"),
            verifier: credential(CredentialRole::Verifier, None, "v3rify"),
            _serving: serving,
        }
    }

    pub async fn list(&self) -> Result<Listing, Failure> {
        self.connector.list(&self.gate.call(&self.verifier)).await
    }

    pub async fn write(&self, change: &Change) -> Result<Answered, Failure> {
        let call = self.gate.call(&self.writer);
        self.connector.write(&call, change).await
    }

    pub async fn read(&self, id: &str) -> Result<Reading, Failure> {
        let call = self.gate.call(&self.verifier);
        self.connector.read(&call, &id.into()).await
    }

    /// What was sent to change something.
    pub fn changes(&self) -> Vec<Seen> {
        let mut seen = self.seen.lock().expect("not poisoned").clone();
        seen.retain(|(method, _, _)| method != "GET");
        seen
    }
}

async fn answer(
    request: Request<Body>,
    notes: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Script>,
) -> Response<Body> {
    let method = request.method().to_string();
    let path = request.uri().to_string();
    let body = to_bytes(request.into_body(), 1 << 20).await.expect("read");
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let (status, mut answer) = script(&method, &path);
    notes
        .lock()
        .expect("not poisoned")
        .push((method, path, body));
    let mut response = Response::builder().status(status);
    if let Some(Value::String(link)) = answer.get_mut("link").map(Value::take) {
        response = response.header("Link", link);
    }
    response
        .body(Body::from(answer.to_string()))
        .expect("built")
}
