//! Sign-in: by OAuth client credentials, and as it is plainly.
//!
//! Owns a token endpoint with two clients beside the API. What was fetched, and with which secret,
//! is read from the server's notes; the connector's own word counts for nothing.

use std::collections::BTreeMap;
use std::sync::Mutex;

use secrecy::SecretString;

use super::target::Asked;
use super::*;
use crate::connectors::Credential;
use crate::connectors::rehearsal::credential;

pub(super) const OAUTH: &str = r#"
auth = "oauth"
[rest.oauth]
token_url = "{origin}/oauth/token"
scope = "users"
verifier_scope = "users:read"
audience = "https://crm.acme.example/"
"#;

pub(super) fn shape(keys: &str) -> String {
    let head =
        "[rest]\nbase_url = \"{base}\"\nerror = \"$.error\"\nauth_errors = [\"invalid_auth\"]\n";
    let (before, after) = SHAPE.split_once(head).expect("the head of the table");
    let plain = "error = \"$.error\"\nauth_errors = [\"invalid_auth\"]\n";
    format!("{before}[rest]\nbase_url = \"{{base}}\"\n{plain}{keys}{after}")
}

/// The clients' secrets and the tokens that are good.
#[derive(Debug, Default)]
pub(super) struct Issuer {
    pub(super) secrets: Vec<(String, String)>,
    tokens: Vec<String>,
    /// Tokens that were given out.
    given: usize,
    /// What each was asked with: `Authorization`, form.
    asked: Vec<(String, String)>,
    /// Answers in place of a token, in order.
    instead: Vec<(u16, Value)>,
    expires_in: Value,
}

impl Issuer {
    pub(super) fn shared() -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            secrets: vec![
                ("client-writer".into(), "s3cret".into()),
                ("client-verifier".into(), "v3rify".into()),
            ],
            expires_in: json!(3600),
            ..Self::default()
        }))
    }

    pub(super) fn token(&mut self, asked: &Asked) -> (u16, Value) {
        let signed = asked.header("authorization").to_owned();
        self.asked.push((signed.clone(), asked.text.clone()));
        if !self.instead.is_empty() {
            return self.instead.remove(0);
        }
        let form: BTreeMap<_, _> = asked
            .text
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .collect();
        let known = self.secrets.iter().any(|(id, secret)| {
            let by_form = form.get("client_id") == Some(&id.as_str())
                && form.get("client_secret") == Some(&secret.as_str());
            by_form || signed == basic(id, secret)
        });
        if !known {
            return (401, json!({"error": "invalid_client"}));
        }
        self.given += 1;
        let token = format!("t0ken-{}", self.given);
        self.tokens.push(token.clone());
        let life = self.expires_in.clone();
        (
            200,
            json!({"access_token": token, "token_type": "Bearer", "expires_in": life}),
        )
    }

    pub(super) fn api(&self, asked: &Asked) -> (u16, Value) {
        let bearer = asked.header("authorization").strip_prefix("Bearer ");
        if !bearer.is_some_and(|token| self.tokens.iter().any(|good| good == token)) {
            let words = format!("token {} is not known", bearer.unwrap_or_default());
            return (401, json!({ "error": words }));
        }
        match asked.path.as_str() {
            "/api/users/7" => (200, json!({"user": user(7, "ada")})),
            "/api/users/7/keys" => (200, json!({"keys": []})),
            _ => (200, json!({"users": page(&asked.path, 3, 10), "total": 3})),
        }
    }
}

fn basic(id: &str, secret: &str) -> String {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::STANDARD;
    format!("Basic {}", engine.encode(format!("{id}:{secret}")))
}

async fn target(keys: &str) -> (Target, Arc<Mutex<Issuer>>) {
    let issuer = Issuer::shared();
    let served = Arc::clone(&issuer);
    let script = move |asked: &Asked| {
        let mut issuer = served.lock().expect("not poisoned");
        if asked.path == "/oauth/token" {
            issuer.token(asked)
        } else {
            issuer.api(asked)
        }
    };
    (Target::with(&shape(keys), |_| {}, script).await, issuer)
}

fn given(issuer: &Mutex<Issuer>) -> usize {
    issuer.lock().expect("not poisoned").given
}

#[tokio::test]
async fn rfc7617_basic_bearer_and_a_header_of_its_own_carry_the_credential_and_are_masked() {
    let by_header = "auth = \"header\"\nauth_header = \"X-Api-Key\"\n";
    for (keys, name, expected) in [
        (
            "auth = \"basic\"\n",
            "authorization",
            basic("client-verifier", "v3rify"),
        ),
        (by_header, "x-api-key", "v3rify".to_owned()),
        ("", "authorization", "Bearer v3rify".to_owned()),
    ] {
        let script = move |asked: &Asked| {
            let sent = asked.header(name);
            if sent == expected {
                return (200, json!({"users": page("/", 3, 10), "total": 3}));
            }
            (401, json!({"error": format!("{sent} is not known")}))
        };
        let target = Target::with(&shape(keys), |_| {}, script).await;
        target.list().await.expect("listed");
        let stranger = credential(CredentialRole::Verifier, Some("nobody"), "wr0ng");
        let call = target.gate.call(&stranger);
        let failure = target.connector.list(&call).await.expect_err("unknown");
        assert_eq!(failure.class, FailureClass::AuthFailure, "{keys}");
        assert!(failure.message.contains("[redacted]"), "{failure}");
        for secret in [
            "wr0ng",
            basic("nobody", "wr0ng").trim_start_matches("Basic "),
        ] {
            assert!(!failure.message.contains(secret), "{failure}");
        }
    }
}

#[tokio::test]
async fn rfc6749_a_token_is_fetched_once_and_kept_until_shortly_before_its_end() {
    let (target, issuer) = target(OAUTH).await;
    target.list().await.expect("listed");
    target.read("7").await.expect("read");
    assert_eq!(given(&issuer), 1);
    let (signed, form) = issuer.lock().expect("not poisoned").asked[0].clone();
    assert_eq!(signed, basic("client-verifier", "v3rify"));
    assert_eq!(
        form,
        "grant_type=client_credentials&audience=https%3A%2F%2Fcrm.acme.example%2F\
         &scope=users%3Aread"
    );
    // The guard saw the request for the token as part of what it was fetched for.
    let judged = target.gate.take();
    assert_eq!(judged[0].line, "POST /oauth/token (token)");
    assert!(judged[0].writes.is_empty() && judged[0].account.is_none());
    assert_eq!(judged[0].operation, Some(Operation::List));
    // The writer has a token of its own.
    let denied = target.write(&change(Operation::Disable, "7", "eve")).await;
    assert_eq!(denied.expect_err("another").class, FailureClass::Ambiguous);
    assert_eq!(given(&issuer), 2);
    target.clock.advance(3600 - 31);
    target.list().await.expect("listed");
    assert_eq!(given(&issuer), 2);
    target.clock.advance(2);
    target.list().await.expect("listed");
    assert_eq!(given(&issuer), 3);
}

#[tokio::test]
async fn rfc6749_the_secret_may_go_into_the_form_and_a_life_may_be_text_or_missing() {
    let keys = format!("{OAUTH}client_auth = \"client_secret_post\"\n");
    let (target, issuer) = target(&keys).await;
    issuer.lock().expect("not poisoned").expires_in = json!("120");
    target.list().await.expect("listed");
    let (signed, form) = issuer.lock().expect("not poisoned").asked[0].clone();
    assert_eq!(signed, "");
    assert!(form.ends_with("&client_id=client-verifier&client_secret=v3rify"));
    issuer.lock().expect("not poisoned").expires_in = Value::Null;
    for (seconds, fetched) in [(89, 1), (2, 2), (29, 2), (2, 3)] {
        target.clock.advance(seconds);
        target.list().await.expect("listed");
        assert_eq!(given(&issuer), fetched, "after {seconds} s more");
    }
}

#[tokio::test]
async fn a_kept_token_that_is_refused_is_replaced_once_and_then_it_is_an_auth_failure() {
    let (target, issuer) = target(OAUTH).await;
    target.list().await.expect("listed");
    issuer.lock().expect("not poisoned").tokens.clear();
    target.list().await.expect("listed with a new one");
    assert_eq!(given(&issuer), 2);
    // Now no token is ever good: the kept one and one more are tried, and no third.
    issuer.lock().expect("not poisoned").tokens.clear();
    let before = target.asked("/api/users");
    let spoilt = (
        200,
        json!({"access_token": "spoilt", "token_type": "bearer"}),
    );
    issuer.lock().expect("not poisoned").instead.push(spoilt);
    let failure = target.list().await.expect_err("refused");
    assert_eq!(failure.class, FailureClass::AuthFailure);
    assert_eq!(failure.code, "CB-HTTP-401");
    assert_eq!(target.asked("/api/users") - before, 2);
    assert!(failure.message.contains("[redacted]"), "{failure}");
    assert!(!failure.message.contains("spoilt"), "{failure}");
}

/// Status, answer, and what it means.
#[rustfmt::skip] // One refusal to a line.
fn refusals() -> Vec<(u16, Value, FailureClass, &'static str)> {
    use FailureClass as C;
    let minute = json!({"headers": {"Retry-After": "60"}});
    vec![
        (401, json!({"error": "invalid_client"}), C::AuthFailure, "CB-HTTP-8"),
        (400, json!({"error": "unauthorized_client"}), C::AuthFailure, "CB-HTTP-8"),
        (403, json!({"raw": "<html>no</html>"}), C::AuthFailure, "CB-HTTP-8"),
        (200, json!({"error": "incorrect_client_credentials"}), C::AuthFailure, "CB-HTTP-8"),
        (400, json!({"error": "invalid_scope"}), C::Drifted, "CB-HTTP-9"),
        (400, json!({"error": "temporarily_unavailable"}), C::Unreachable, "CB-HTTP-503"),
        (429, minute.clone(), C::RateLimited, "CB-HTTP-429"),
        (500, json!({"error": "invalid_client"}), C::Unreachable, "CB-HTTP-500"),
        (503, minute, C::Unreachable, "CB-HTTP-503"),
        (302, json!({}), C::Drifted, "CB-HTTP-9"),
        (200, json!({"raw": "<html>Please sign in</html>"}), C::Drifted, "CB-HTTP-9"),
        (200, json!({"raw": "{\"access_to"}), C::Drifted, "CB-HTTP-9"),
        (200, json!({"access_token": "", "token_type": "Bearer"}), C::Drifted, "CB-HTTP-9"),
        (200, json!({"access_token": "x", "token_type": "mac"}), C::Drifted, "CB-HTTP-9"),
    ]
}

#[tokio::test]
async fn each_refusal_of_the_token_endpoint_has_its_class() {
    for (status, answer, class, code) in refusals() {
        let (target, issuer) = target(OAUTH).await;
        let instead = (status, answer.clone());
        issuer.lock().expect("not poisoned").instead.push(instead);
        // A change whose sign-in fails was not made, and is not in doubt.
        let change = change(Operation::Delete, "7", "ada");
        let failure = target.write(&change).await.expect_err("no token");
        assert_eq!(failure.class, class, "{status} {answer}: {failure}");
        assert_eq!(failure.code, code, "{status} {answer}: {failure}");
        let wait = matches!(status, 429 | 503).then_some(60);
        assert_eq!(failure.retry_after_seconds, wait, "{status}");
        assert!(!failure.to_string().contains("s3cret"));
        assert_eq!(target.asked("/api"), 0, "{status} {answer}");
    }
}

#[tokio::test]
async fn trying_a_credential_tries_its_secret_and_not_a_kept_token() {
    let (target, issuer) = target(OAUTH).await;
    let call = target.gate.call(&target.verifier);
    assert_eq!(target.connector.try_credential(&call).await, Ok(()));
    issuer.lock().expect("not poisoned").secrets.pop();
    target.list().await.expect("the token is still good");
    let failure = target.connector.try_credential(&call).await;
    assert_eq!(failure.expect_err("dead").class, FailureClass::AuthFailure);
    // A wrong secret of the same version rides on nobody's token either.
    let writers = target.gate.call(&target.writer);
    assert_eq!(target.connector.try_credential(&writers).await, Ok(()));
    let wrong = Credential {
        secret: SecretString::from("wrong"),
        ..target.writer.clone()
    };
    let call = target.gate.call(&wrong);
    let failure = target.connector.list(&call).await.expect_err("wrong");
    assert_eq!(failure.class, FailureClass::AuthFailure);
    let shown = format!("{:?}", target.connector);
    assert!(!shown.contains("t0ken-"), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[tokio::test]
async fn what_comes_at_once_shares_one_token() {
    let (target, issuer) = target(OAUTH).await;
    let lists = (0..8).map(|_| target.list());
    for listed in futures_util::future::join_all(lists).await {
        listed.expect("listed");
    }
    assert_eq!(given(&issuer), 1);
}
