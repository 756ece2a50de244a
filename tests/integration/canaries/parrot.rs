//! A SCIM server with tokens and OAuth clients that repeats what it was shown, where it must not.
//!
//! Owns the ground truth of its secrets. While it is ill, each request is answered in another wrong way,
//! with the secret it came with in the words, plain and encoded; when it is well, it serves. Counts
//! what it did, so that a test can show that it happened.

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

#[derive(Debug, Default)]
struct Truth {
    well: bool,
    /// Tokens by id: role, label, value.
    tokens: BTreeMap<String, (String, String, String)>,
    /// OAuth clients: id and secret.
    clients: BTreeMap<String, String>,
    /// Access tokens that were given out.
    access: Vec<String>,
    minted: u32,
    /// Each counts for itself: callers that take turns would else meet the same answers for ever.
    babbled: usize,
    granted: usize,
    /// How often each wrong answer was given.
    wrong: BTreeMap<&'static str, usize>,
    /// Everything that was ever a secret here.
    ever: Vec<String>,
    users: BTreeMap<String, Vec<String>>,
}

/// The server; ends when dropped.
#[derive(Debug)]
pub struct Parrot {
    pub url: String,
    truth: Arc<Mutex<Truth>>,
    _serving: JoinSet<()>,
}

impl Parrot {
    /// With these tokens (role and value) and OAuth clients, ill.
    pub async fn start(tokens: &[(&str, &str)], clients: &[(&str, &str)]) -> Self {
        let mut truth = Truth::default();
        for (number, (role, value)) in tokens.iter().enumerate() {
            let token = (
                (*role).to_owned(),
                "by hand".to_owned(),
                (*value).to_owned(),
            );
            truth.tokens.insert(format!("t{number}"), token);
        }
        for (id, secret) in clients {
            truth.clients.insert((*id).to_owned(), (*secret).to_owned());
        }
        for part in ["echo", "grant"] {
            truth
                .users
                .insert(part.to_owned(), vec!["p0".to_owned(), "p1".to_owned()]);
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

    /// From here on it answers as it should.
    pub fn gets_well(&self) {
        self.truth.lock().expect("not poisoned").well = true;
    }

    /// How often each wrong answer was given.
    pub fn wrong(&self) -> BTreeMap<&'static str, usize> {
        self.truth.lock().expect("not poisoned").wrong.clone()
    }

    /// Everything that it ever made or gave out.
    pub fn ever(&self) -> Vec<String> {
        self.truth.lock().expect("not poisoned").ever.clone()
    }
}

async fn answer(
    State(truth): State<Arc<Mutex<Truth>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut truth = truth.lock().expect("not poisoned");
    let signed = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let signed = signed.unwrap_or_default().to_owned();
    let body = String::from_utf8_lossy(&body).into_owned();
    if uri.path().ends_with("/grant/token") {
        return truth.token(&signed, &body);
    }
    let bearer = signed
        .strip_prefix("Bearer ")
        .unwrap_or_default()
        .to_owned();
    let known = truth.tokens.values().any(|(_, _, value)| *value == bearer)
        || truth.access.contains(&bearer);
    if !known {
        return told(
            401,
            &json!({"detail": format!("nobody here is called {bearer}")}),
        );
    }
    if uri.path().contains("/tokens") {
        return truth.own(&method, uri.path(), &bearer, &body);
    }
    if !truth.well {
        return truth.babble(&bearer);
    }
    truth.serve(&method, &uri)
}

impl Truth {
    /// One wrong answer after another, each with what it was shown.
    fn babble(&mut self, shown: &str) -> Response {
        let encoded = STANDARD.encode(shown);
        let plain = format!("we do not like {shown} here, nor {encoded}");
        let kinds = ["away", "refused", "slow", "moved", "drifted", "cut"];
        let kind = kinds[self.babbled % kinds.len()];
        self.babbled += 1;
        *self.wrong.entry(kind).or_default() += 1;
        match kind {
            "away" => told(500, &json!({ "detail": plain })),
            "refused" => told(401, &json!({ "detail": plain })),
            "slow" => (
                StatusCode::TOO_MANY_REQUESTS,
                [("retry-after", "1"), ("x-seen", shown)],
                plain,
            )
                .into_response(),
            "moved" => (
                StatusCode::FOUND,
                [("location", format!("/elsewhere?session={shown}"))],
                plain,
            )
                .into_response(),
            "drifted" => told(200, &json!({ "Resources": plain, shown: 1 })),
            _ => (StatusCode::OK, format!("{{\"Resources\": [\"{plain}")).into_response(),
        }
    }

    /// RFC 6749 section 4.4; the wrong answers of section 5.2, and some that are in no standard.
    fn token(&mut self, signed: &str, body: &str) -> Response {
        let basic = signed.strip_prefix("Basic ").unwrap_or_default();
        let basic = STANDARD.decode(basic).unwrap_or_default();
        let basic = String::from_utf8_lossy(&basic).into_owned();
        let (id, secret) = basic.split_once(':').unwrap_or_default();
        if !self.well {
            let kinds = ["grant refused", "grant away", "grant drifted"];
            let kind = kinds[self.granted % kinds.len()];
            self.granted += 1;
            *self.wrong.entry(kind).or_default() += 1;
            let words = format!("{id} came with {secret}, in {signed} and {body}");
            let told_of = json!({"error": "invalid_client", "error_description": words});
            return match kind {
                "grant refused" => told(401, &told_of),
                "grant away" => told(503, &told_of),
                _ => told(200, &json!({ "acces_token": secret, "note": words })),
            };
        }
        if self.clients.get(id).is_none_or(|known| known != secret) {
            return told(
                401,
                &json!({"error": "invalid_client", "error_description": secret}),
            );
        }
        let token = format!("cn-access-{}-{}", self.access.len(), unlike());
        self.access.push(token.clone());
        self.ever.push(token.clone());
        told(
            200,
            &json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}),
        )
    }

    /// The tokens of the connector itself. The first order is carried out, and answered as an error
    /// that shows the new token.
    fn own(&mut self, method: &Method, path: &str, shown: &str, body: &str) -> Response {
        if *method == Method::GET {
            let all = self.tokens.iter().map(|(id, (role, label, _))| {
                json!({"id": id, "role": role, "name": label, "seen": shown})
            });
            return told(200, &json!({ "tokens": all.collect::<Vec<_>>() }));
        }
        if *method == Method::DELETE {
            let id = path.rsplit('/').next().unwrap_or_default();
            let gone = self.tokens.remove(id);
            return told(if gone.is_some() { 204 } else { 404 }, &json!({}));
        }
        let order: Value = serde_json::from_str(body).expect("an order");
        let text = |key: &str| order[key].as_str().expect("text").to_owned();
        self.minted += 1;
        let (id, value) = (
            format!("m{}", self.minted),
            format!("cn-minted-{}", unlike()),
        );
        self.ever.push(value.clone());
        let token = (text("role"), text("name"), value.clone());
        self.tokens.insert(id.clone(), token);
        if self.minted == 1 {
            *self.wrong.entry("lost order").or_default() += 1;
            return told(
                500,
                &json!({"detail": format!("could not hand out {value}")}),
            );
        }
        told(201, &json!({ "id": id, "token": value }))
    }

    fn serve(&mut self, method: &Method, uri: &Uri) -> Response {
        let part = uri.path().split('/').nth(1).unwrap_or_default().to_owned();
        let users = self.users.entry(part).or_default();
        let id = uri.path().rsplit('/').next().unwrap_or_default();
        let shown = |login: &String| {
            json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "id": login,
                "userName": login, "externalId": login.replace('p', "E"), "active": true,
            })
        };
        if id == "ServiceProviderConfig" {
            return told(
                200,
                &json!({"patch": {"supported": true}, "filter": {"supported": false}}),
            );
        }
        if id == "Users" {
            let first = uri
                .query()
                .is_none_or(|query| query.contains("startIndex=1&"));
            let all: Vec<_> = users.iter().filter(|_| first).map(shown).collect();
            return told(200, &json!({"totalResults": users.len(), "Resources": all}));
        }
        let Some(found) = users.iter().position(|login| login == id) else {
            return told(404, &json!({"detail": "no such user"}));
        };
        if *method == Method::DELETE {
            users.remove(found);
            return told(204, &json!({}));
        }
        told(200, &shown(&users[found]))
    }
}

/// What nobody guesses, and nothing else holds by chance.
fn unlike() -> String {
    hex::encode(rand::random::<[u8; 12]>())
}

fn told(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    if status == StatusCode::NO_CONTENT {
        return status.into_response();
    }
    let headers = [("content-type", "application/scim+json")];
    (status, headers, body.to_string()).into_response()
}
