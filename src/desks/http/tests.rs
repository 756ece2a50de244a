//! What goes out is bounded, stays where it is sent to, and comes back without the secret.
//!
//! Owns a desk that misbehaves below its API: hangs, floods, sends elsewhere, repeats what it was sent.
//! What the kinds make of good answers is tested with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::any;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::super::settings::DeskEntry;
use super::super::tests::{SECRET, call, order, parsed, secret};
use super::*;

/// A desk behind these routes, each way that a desk can sign in, and who serves it.
async fn behind(routes: Router) -> (Vec<Arc<DeskEntry>>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let _ = axum::serve(listener, routes).await;
    });
    let common =
        format!("url = \"http://{address}/base\"\nsecret = \"local:a\"\ntimeout_seconds = 1\n");
    let text = format!(
        "[basic]\nkind = \"servicenow\"\nusername = \"clawback\"\n{common}\
         [bearer]\nkind = \"jira\"\nproject = \"HELP\"\n{common}\
         [token]\nkind = \"request_tracker\"\nqueue = \"General\"\n{common}\
         [signature]\nkind = \"webhook\"\ncallback_secret = \"local:b\"\n{common}"
    );
    let settings = parsed(&text).unwrap_or_else(|problems| panic!("{problems:?}"));
    let entries: Vec<_> = settings.iter().cloned().collect();
    assert_eq!(entries.len(), 4);
    (entries, serving)
}

async fn failures(entry: &DeskEntry) -> (Option<Failure>, Failure) {
    let secret = secret();
    let asked = entry.desk.check(call(&secret)).await.err();
    let made = entry.desk.create(call(&secret), &order()).await;
    (asked, made.expect_err("it is no desk"))
}

#[tokio::test]
async fn f2_a_desk_that_hangs_is_left_and_an_order_may_have_been_carried_out() {
    let hangs = Router::new().fallback(any(async || std::future::pending::<()>().await));
    let (entries, _serving) = behind(hangs).await;
    for entry in entries {
        let (asked, made) = failures(&entry).await;
        let asked = asked.expect("no answer");
        // The check of a webhook is a message, too.
        let lost = entry.desk.kind() == "webhook";
        let expected = if lost { "CB-DESK-2" } else { "CB-DESK-1" };
        assert_eq!(asked.code, expected, "{asked}");
        assert_eq!(made.class, FailureClass::UnknownOutcome, "{made}");
    }
}

#[tokio::test]
async fn f2_an_answer_without_end_is_not_read_to_its_end() {
    let floods = Router::new().fallback(any(async || vec![b'x'; LARGEST_ANSWER + 1]));
    let (entries, _serving) = behind(floods).await;
    for entry in entries {
        let (_, made) = failures(&entry).await;
        assert_eq!(
            (made.class, made.code.as_str()),
            (FailureClass::Drifted, "CB-DESK-7")
        );
        assert!(made.to_string().contains("4 MiB"), "{made}");
    }
}

#[tokio::test]
async fn f2_a_secret_is_not_carried_to_where_a_desk_points() {
    let elsewhere = Arc::new(AtomicUsize::new(0));
    let count = elsewhere.clone();
    let sends_on = Router::new()
        .route(
            "/elsewhere",
            any(async move || count.fetch_add(1, Ordering::Relaxed).to_string()),
        )
        .fallback(any(async || {
            (StatusCode::TEMPORARY_REDIRECT, [("location", "/elsewhere")])
        }));
    let (entries, _serving) = behind(sends_on).await;
    for entry in entries {
        let (asked, made) = failures(&entry).await;
        assert_eq!(asked.map(|one| one.class), Some(FailureClass::Drifted));
        assert_eq!(made.class, FailureClass::Drifted, "{made}");
    }
    assert_eq!(elsewhere.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn f2_no_failure_repeats_the_secret_in_any_form() {
    let repeats = Router::new().fallback(any(async |headers: HeaderMap| {
        let sent = headers.get("authorization").map(|value| value.to_str());
        let sent = sent.and_then(Result::ok).unwrap_or_default().to_owned();
        let credentials = sent.split(' ').next_back().unwrap_or_default().to_owned();
        let body = format!("why {credentials}? it is {SECRET}");
        (StatusCode::BAD_REQUEST, body).into_response()
    }));
    let (entries, _serving) = behind(repeats).await;
    for entry in entries {
        let (_, made) = failures(&entry).await;
        let told = format!("{made} {made:?}");
        assert!(told.contains("it is [redacted]"), "{told}");
        let credentials = told.split("why ").nth(1).expect("the words");
        let signs = entry.desk.kind() == "webhook";
        assert!(signs || credentials.starts_with("[redacted]?"), "{told}");
        assert!(!told.contains(SECRET), "{told}");
        assert!(!format!("{entry:?}").contains(SECRET));
    }
}
