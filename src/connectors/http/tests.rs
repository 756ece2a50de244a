//! What a lost or strange answer means, against a server that misbehaves on purpose.
//!
//! Owns a raw TCP server, because well-behaved libraries cannot cut an answer in half.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::contract::{Call, Gate, RenderedRequest};
use super::super::fixture::{Moved, credential, crm};
use super::*;
use crate::document::Document;
use crate::domain::access::Operation;
use crate::domain::verdict::CredentialRole;

#[derive(Debug)]
struct Open;

#[async_trait::async_trait]
impl Gate for Open {
    fn judge(&self, _: &RenderedRequest) -> Result<(), Failure> {
        Ok(())
    }
}

/// Long enough for a busy machine; the tests of silence wait this long.
const SECONDS: u64 = 3;

fn transport(base: &str) -> Transport {
    let text = format!("base_url = \"{base}\"");
    let document = Document::parse("x.toml", &text).expect("syntax");
    let mut manifest = crm();
    manifest.limits.timeout_seconds = SECONDS;
    let clock: Arc<dyn Clock> = Moved::new();
    Transport::read(&document.root(), &manifest, WORKERS, &clock).expect("no problems")
}

/// Serves one connection: reads a request head, answers with `answer`, and closes or stays silent.
/// Returns what it was sent.
async fn one(listener: TcpListener, answer: &str, stay: bool) -> String {
    let (mut socket, _) = listener.accept().await.expect("a connection");
    let mut seen = Vec::new();
    let mut chunk = [0; 4096];
    while !seen.windows(4).any(|w| w == b"\r\n\r\n") {
        let n = socket.read(&mut chunk).await.expect("readable");
        seen.extend_from_slice(&chunk[..n]);
    }
    socket.write_all(answer.as_bytes()).await.expect("writable");
    if stay {
        std::future::pending::<()>().await;
    }
    String::from_utf8_lossy(&seen).into_owned()
}

async fn ask(
    operation: Operation,
    answer: &str,
    stay: bool,
) -> (Result<HttpAnswer, Failure>, Option<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let base = format!("http://{}/v2", listener.local_addr().expect("bound"));
    let serving = one(listener, answer, stay);
    let asking = send(&base, operation);
    tokio::pin!(serving);
    tokio::select! {
        seen = &mut serving => unreachable!("the server ended first: {seen}"),
        answer = asking => (answer, None),
    }
}

async fn send(base: &str, operation: Operation) -> Result<HttpAnswer, Failure> {
    let transport = transport(base);
    let writer = credential(CredentialRole::Writer, "t0ken");
    let call = Call {
        credential: &writer,
        login: None,
        last: None,
        trial: false,
        gate: &Open,
    };
    let method = if operation.writes() {
        Method::PATCH
    } else {
        Method::GET
    };
    let request = HttpRequest::new(method, "/Users/7");
    let rendered = RenderedRequest {
        operation: Some(operation),
        account: None,
        writes: std::collections::BTreeSet::new(),
        line: request.line(),
    };
    transport.exchange(&call, rendered, request).await
}

/// As [`ask`], but waits for both ends.
async fn whole(operation: Operation, answer: &str) -> (Result<HttpAnswer, Failure>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let base = format!("http://{}/v2", listener.local_addr().expect("bound"));
    let (seen, answer) = tokio::join!(one(listener, answer, false), send(&base, operation));
    (answer, seen)
}

#[tokio::test]
async fn an_answer_that_is_lost_after_sending_is_unknown_for_a_change_and_unreachable_for_a_read() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"half\":";
    for (operation, class) in [
        (Operation::Disable, FailureClass::UnknownOutcome),
        (Operation::Read, FailureClass::Unreachable),
    ] {
        for answer in ["", cut] {
            let (lost, seen) = whole(operation, answer).await;
            assert!(seen.contains("/v2/Users/7"), "{seen}");
            assert_eq!(lost.expect_err("cut").class, class);
        }
        let (lost, _) = ask(operation, "", true).await;
        let failure = lost.expect_err("silent");
        assert_eq!((failure.class, failure.code.as_str()), (class, "CB-HTTP-2"));
    }
}

#[tokio::test]
async fn no_connection_means_that_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let base = format!("http://{}/v2", listener.local_addr().expect("bound"));
    drop(listener);
    let failure = send(&base, Operation::Delete).await.expect_err("closed");
    assert_eq!(failure.class, FailureClass::Unreachable);
    assert_eq!(failure.code, "CB-HTTP-1");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = "HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n";
    let (answer, seen) = whole(Operation::Read, elsewhere).await;
    let failure = answer.expect("an answer").failure(None);
    assert_eq!(failure.class, FailureClass::Drifted);
    assert!(seen.contains("authorization: Bearer t0ken"), "{seen}");
}

#[tokio::test]
async fn each_status_has_its_class_and_no_secret_is_repeated() {
    use FailureClass as C;
    for (status, reading, changing) in [
        (400, C::Drifted, C::WriteFailure),
        (401, C::AuthFailure, C::AuthFailure),
        (403, C::AuthFailure, C::AuthFailure),
        (409, C::Drifted, C::WriteFailure),
        (429, C::RateLimited, C::RateLimited),
        (500, C::Unreachable, C::WriteFailure),
        (501, C::Unsupported, C::Unsupported),
        (503, C::Unreachable, C::Unreachable),
        (504, C::Unreachable, C::UnknownOutcome),
    ] {
        for (operation, class) in [(Operation::Read, reading), (Operation::Delete, changing)] {
            let text =
                format!("HTTP/1.1 {status} x\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n");
            let (answer, _) = whole(operation, &text).await;
            let failure = answer
                .expect("an answer")
                .failure(Some("token t0ken\n is bad"));
            assert_eq!(failure.class, class, "{status} {operation:?}");
            assert_eq!(failure.retry_after_seconds, Some(7));
            assert!(
                failure.message.ends_with("token [redacted] is bad"),
                "{failure}"
            );
        }
    }
}

#[tokio::test]
async fn a_retry_after_date_is_counted_from_the_answers_own_date() {
    let text = "HTTP/1.1 503 x\r\ndate: Fri, 20 Nov 2026 10:00:00 GMT\r\n\
        retry-after: Fri, 20 Nov 2026 10:01:30 GMT\r\ncontent-length: 0\r\n\r\n";
    let (answer, _) = whole(Operation::Read, text).await;
    assert_eq!(answer.expect("an answer").retry_after_seconds(), Some(90));
}

#[test]
fn a_credential_is_not_sent_in_clear_over_a_network() {
    for (text, problems) in [
        ("base_url = \"https://crm.example/v2\"", 0),
        ("base_url = \"http://127.0.0.1:8080\"", 0),
        ("base_url = \"http://crm.example\"", 1),
        (
            "base_url = \"http://crm.example\"\nallow_plaintext = true",
            0,
        ),
        ("base_url = \"https://me:pw@crm.example\"", 1),
        ("base_url = \"https://crm.example\"\nauth = \"basic\"", 2),
        ("base_url = \"https://crm.example\"\nauth = \"header\"", 1),
        (
            "base_url = \"https://crm.example\"\nauth = \"header\"\nauth_header = \"X-Key\"",
            0,
        ),
    ] {
        let document = Document::parse("x.toml", text).expect("syntax");
        let clock: Arc<dyn Clock> = Moved::new();
        let read = Transport::read(&document.root(), &crm(), WORKERS, &clock);
        assert_eq!(document.take_problems().0.len(), problems, "{text}");
        assert!(read.is_some() || problems > 0);
    }
}

#[test]
fn an_id_cannot_lead_to_another_place() {
    assert!(segment("").is_err() && segment("..").is_err() && segment(".").is_err());
    assert_eq!(segment("a/../b?c").ok().as_deref(), Some("a%2F..%2Fb%3Fc"));
}
