//! E2: what a probe proves, and what it must not be taken to prove.
//!
//! Owns a raw TCP server that answers as each test says. What is refused at load is in `loading`.

mod loading;

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::connectors::fixture::{CRM, Moved, credential};
use crate::connectors::{Credential, Guarded, Manifest, RenderedRequest, unsupported};
use crate::document::Document;
use crate::domain::time::Clock;
use crate::domain::verdict::CredentialRole;

/// Answers by the request's head and body; remembers what it was sent.
struct Server {
    base: String,
    seen: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Server {
    async fn new(answer: fn(&str) -> String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut read = vec![0; 16 * 1024];
                let mut text = String::new();
                while !whole(&text) {
                    let n = socket.read(&mut read).await.unwrap_or(0);
                    if n == 0 {
                        break;
                    }
                    text.push_str(&String::from_utf8_lossy(&read[..n]));
                }
                kept.lock().expect("not poisoned").push(text.clone());
                let _ = socket.write_all(answer(&text).as_bytes()).await;
            }
        });
        Self {
            base,
            seen,
            _serving: serving,
        }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("not poisoned").clone()
    }
}

fn whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let lines = head.to_ascii_lowercase();
    let length = lines
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn answer(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A connector that can nothing but sign in, and sends for it what the test says.
#[derive(Debug, Default)]
struct Nothing {
    sends: Option<RenderedRequest>,
}

#[async_trait::async_trait]
impl Connector for Nothing {
    async fn list(&self, _: &Call<'_>) -> Result<crate::connectors::Listing, Failure> {
        Err(unsupported("list"))
    }
    async fn read(
        &self,
        _: &Call<'_>,
        _: &AccountId,
    ) -> Result<crate::connectors::Reading, Failure> {
        Err(unsupported("read"))
    }
    async fn write(
        &self,
        _: &Call<'_>,
        _: &crate::connectors::Change,
    ) -> Result<crate::connectors::Answered, Failure> {
        Err(unsupported("write"))
    }
    async fn try_credential(&self, _: &Call<'_>) -> Result<(), Failure> {
        Ok(())
    }
    async fn sign_in(&self, call: &Call<'_>, _: &SignIn) -> Result<Knock, Failure> {
        let Some(rendered) = self.sends.clone() else {
            return Err(unsupported("sign in"));
        };
        call.permit(rendered, ()).await?;
        Ok(Knock {
            entered: false,
            code: "28P01".to_owned(),
            words: "answered 28P01".to_owned(),
            sessions: None,
        })
    }
    async fn mint(
        &self,
        _: &Call<'_>,
        _: &crate::connectors::MintOrder,
    ) -> Result<crate::connectors::Minted, Failure> {
        Err(unsupported("mint"))
    }
    async fn minted(
        &self,
        _: &Call<'_>,
        _: CredentialRole,
    ) -> Result<Vec<crate::connectors::KnownSecret>, Failure> {
        Err(unsupported("list secrets"))
    }
    async fn retire(&self, _: &Call<'_>, _: CredentialRole, _: &str) -> Result<(), Failure> {
        Err(unsupported("retire"))
    }
}

fn manifest(probe: &str) -> Result<Manifest, Vec<String>> {
    let text = format!("{CRM}\n{probe}");
    let document = Document::parse("crm.toml", &text).expect("syntax");
    let manifest = Manifest::read(&document.root());
    let problems = document.take_problems();
    if problems.is_empty() {
        return Ok(manifest);
    }
    let told = problems.0.into_iter();
    Err(told.map(|problem| problem.message).collect())
}

fn guarded(probe: &str) -> Guarded {
    let clock: Arc<dyn Clock> = Moved::new();
    let manifest = manifest(probe).expect("no problems");
    Guarded::new(manifest, Arc::new(Nothing::default()), clock)
}

fn verifier() -> Credential {
    Credential {
        username: Some("clawback-verifier".to_owned()),
        ..credential(CredentialRole::Verifier, "s3cret")
    }
}

async fn knock(guarded: &Guarded, secret: Option<&str>) -> Result<Answer, Failure> {
    let id = AccountId::from("42");
    let secret = secret.map(SecretString::from);
    let caller = Caller {
        account: Some(&id),
        login: "ada",
        id: "42",
        secret: secret.as_ref(),
    };
    let probe = &guarded.manifest().probes[0];
    guarded.knock(&verifier(), probe, &caller).await
}

fn page(base: &str) -> String {
    format!(
        r#"
[[probe]]
name = "wiki"
kind = "page"
url = "{base}"
path = "/people/{{login}}"
refused = {{ status = ["403", "404"] }}
control = {{ login = "canary" }}
"#
    )
}

#[tokio::test]
async fn e2_a_downstream_page_must_refuse_the_leaver_and_show_the_control() {
    let server = Server::new(|request| {
        let there = request.starts_with("GET /people/canary ");
        answer(if there { 200 } else { 404 }, "")
    })
    .await;
    let guarded = guarded(&page(&server.base));
    let probe = &guarded.manifest().probes[0];
    let control = guarded.control(&verifier(), probe, None).await;
    assert_eq!(control.expect("let in"), "canary was let in: answered 200");
    let tried = knock(&guarded, None).await.expect("answered");
    assert_eq!(tried.finding, ProbeFinding::Refused);
    assert_eq!(tried.method, "GET /people/{login}");
}

#[tokio::test]
async fn e2_an_address_that_refuses_everybody_proves_nothing() {
    let server = Server::new(|_| answer(404, "")).await;
    let guarded = guarded(&page(&server.base));
    let probe = &guarded.manifest().probes[0];
    let control = guarded.control(&verifier(), probe, None).await;
    assert_eq!(control.expect_err("turned away").code, "CB-PROBE-2");
}

#[tokio::test]
async fn e2_a_server_that_is_down_proves_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let guarded = guarded(&page(&base));
    let probe = &guarded.manifest().probes[0];
    let control = guarded.control(&verifier(), probe, None).await;
    assert_eq!(control.expect_err("no answer").code, "CB-PROBE-3");
    let tried = knock(&guarded, None).await;
    assert_eq!(
        tried.expect_err("no answer").class,
        FailureClass::Unreachable
    );
}

#[tokio::test]
async fn e2_an_answer_that_is_not_declared_tells_nothing() {
    for status in [302, 429, 500, 503] {
        let page = page(&server_that_says(status).await);
        let guarded = guarded(&page);
        let tried = knock(&guarded, None).await.expect("answered");
        assert_eq!(tried.finding, ProbeFinding::CouldNotTell, "{status}");
    }
}

/// The server lives as long as the test's runtime.
async fn server_that_says(status: u16) -> String {
    let by_status: fn(&str) -> String = match status {
        302 => |_| answer(302, ""),
        429 => |_| answer(429, ""),
        500 => |_| answer(500, ""),
        _ => |_| answer(503, ""),
    };
    let server = Server::new(by_status).await;
    let base = server.base.clone();
    std::mem::forget(server);
    base
}

#[tokio::test]
async fn e2_a_kept_password_is_tried_as_the_leaver_and_shown_nowhere() {
    let server = Server::new(|request| {
        let canary = request.contains("authorization: Basic Y2FuYXJ5");
        answer(if canary { 200 } else { 401 }, "")
    })
    .await;
    let guarded = guarded(&format!(
        r#"
[[probe]]
name = "site"
kind = "http"
url = "{}"
path = "/private/"
shown_as = "basic"
refused = {{ status = ["401"] }}
control = {{ login = "canary", secret = "local:crm/probe/canary" }}
kept = {{ ada = "local:crm/probe/ada" }}
"#,
        server.base
    ));
    let probe = &guarded.manifest().probes[0];
    assert_eq!(probe.kept("ada"), Some("local:crm/probe/ada"));
    assert_eq!(probe.kept("bob"), None);
    let canary = SecretString::from("canary-password");
    let control = guarded.control(&verifier(), probe, Some(&canary)).await;
    assert!(control.expect("let in").starts_with("canary was let in"));
    let tried = knock(&guarded, Some("hunter2")).await.expect("answered");
    assert_eq!(tried.finding, ProbeFinding::Refused);
    assert!(!format!("{tried:?}").contains("hunter2"));
    // It went out as `ada:hunter2`, and not with the verifier's own name.
    let sent = server.seen();
    assert!(
        sent[1].contains("authorization: Basic YWRhOmh1bnRlcjI="),
        "{sent:?}"
    );
}

const INTROSPECTION: &str = r#"
[[probe]]
name = "tokens"
kind = "introspection"
url = "BASE"
path = "/introspect"
control = { token_path = "/token", sees_every_token = true }
"#;

#[tokio::test]
async fn e2_a_token_must_not_be_active_while_the_verifiers_own_is() {
    let server = Server::new(|request| {
        if request.starts_with("POST /token ") {
            return answer(200, r#"{"access_token":"own","token_type":"Bearer"}"#);
        }
        let alive = request.ends_with("token=own") || request.ends_with("token=alive");
        answer(200, &format!(r#"{{"active":{alive}}}"#))
    })
    .await;
    let guarded = guarded(&INTROSPECTION.replace("BASE", &server.base));
    let probe = &guarded.manifest().probes[0];
    let control = guarded.control(&verifier(), probe, None).await;
    assert_eq!(
        control.expect("active"),
        "the verifier's own token is active"
    );
    for (token, finding) in [
        ("dead", ProbeFinding::Refused),
        ("alive", ProbeFinding::LetIn),
    ] {
        let tried = knock(&guarded, Some(token)).await.expect("answered");
        assert_eq!(tried.finding, finding);
    }
}

#[tokio::test]
async fn e2_a_server_that_calls_every_token_dead_proves_nothing() {
    let server = Server::new(|request| {
        if request.starts_with("POST /token ") {
            return answer(200, r#"{"access_token":"own"}"#);
        }
        answer(200, r#"{"active":false}"#)
    })
    .await;
    let guarded = guarded(&INTROSPECTION.replace("BASE", &server.base));
    let probe = &guarded.manifest().probes[0];
    let control = guarded.control(&verifier(), probe, None).await;
    assert_eq!(control.expect_err("not active").code, "CB-PROBE-2");
}

#[tokio::test]
async fn e2_an_introspection_without_its_one_member_tells_nothing() {
    let server = Server::new(|_| answer(200, r#"{"error":"no"}"#)).await;
    let guarded = guarded(&INTROSPECTION.replace("BASE", &server.base));
    let tried = knock(&guarded, Some("t")).await.expect("answered");
    assert_eq!(tried.finding, ProbeFinding::CouldNotTell);
}

#[tokio::test]
async fn e2_a_probe_is_judged_like_any_request() {
    let of = |operation, account: Option<&str>, writes: &[&str]| RenderedRequest {
        operation: Some(operation),
        account: account.map(Into::into),
        writes: writes.iter().map(ToString::to_string).collect(),
        line: "LOGIN".to_owned(),
    };
    let read = crate::domain::access::Operation::Read;
    let disable = crate::domain::access::Operation::Disable;
    let cases = [
        (of(read, Some("42"), &[]), None),
        (of(read, Some("43"), &[]), Some("CB-GUARD-5")),
        (of(read, None, &[]), Some("CB-GUARD-5")),
        (of(read, Some("42"), &["active"]), Some("CB-GUARD-4")),
        (of(disable, Some("42"), &["active"]), Some("CB-GUARD-4")),
    ];
    for (rendered, expected) in cases {
        let mut manifest = manifest("").expect("no problems");
        manifest.probes = vec![Probe {
            name: "login".to_owned(),
            tries: Tries::Kept(BTreeMap::new()),
            door: Door::SignIn(SignInDoor {
                kind: "sql_login",
                name: "{login}".to_owned(),
                refused: vec!["28P01".to_owned()],
                control: None,
            }),
        }];
        let clock: Arc<dyn Clock> = Moved::new();
        let sends = Some(rendered.clone());
        let guarded = Guarded::new(manifest, Arc::new(Nothing { sends }), clock);
        let tried = knock(&guarded, Some("secret")).await;
        let code = tried.err().map(|failure| failure.code);
        assert_eq!(code.as_deref(), expected, "{rendered:?}");
    }
}

#[test]
fn e2_live_sessions_are_a_way_in_whatever_the_login_was_answered() {
    let door = SignInDoor {
        kind: "sql_login",
        name: "{login}".to_owned(),
        refused: vec!["28P01".to_owned()],
        control: None,
    };
    let knock = |entered, code: &str, sessions| Knock {
        entered,
        code: code.to_owned(),
        words: "answered".to_owned(),
        sessions,
    };
    let read = |knock, tried| door.read(knock, tried).finding;
    assert_eq!(
        read(knock(false, "28P01", Some(0)), true),
        ProbeFinding::Refused
    );
    assert_eq!(
        read(knock(false, "28P01", Some(1)), true),
        ProbeFinding::LetIn
    );
    assert_eq!(read(knock(true, "0", Some(0)), true), ProbeFinding::LetIn);
    assert_eq!(
        read(knock(false, "53300", Some(0)), true),
        ProbeFinding::CouldNotTell
    );
    assert_eq!(
        read(knock(false, "", Some(0)), false),
        ProbeFinding::NothingToTry
    );
    assert_eq!(read(knock(false, "", Some(2)), false), ProbeFinding::LetIn);
    assert_eq!(
        read(knock(false, "53300", None), false),
        ProbeFinding::CouldNotTell
    );
}
