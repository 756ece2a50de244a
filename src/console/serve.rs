//! The routes and their serving.
//!
//! Owns status codes: 200 when all is well, 503 when a part is not. Stops taking connections when it
//! is told to, after everything else has drained, so that `/readyz` can say so meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::health::{Check, PATIENCE, Parts, ask, each};
use super::office::Shared;
use super::routes;
use crate::telemetry::metrics;

/// `/livez`, `/readyz` and `/metrics`; with an office also the pages and the API.
pub fn router(parts: Parts, office: Option<&Shared>) -> Router {
    let checks = Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(page))
        .with_state(Arc::new(parts));
    match office {
        Some(office) => routes::router(office).merge(checks),
        None => checks,
    }
}

/// Serves `routes` on `listener` until `closing`.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    closing: CancellationToken,
) -> std::io::Result<()> {
    let address: Option<SocketAddr> = listener.local_addr().ok();
    tracing::info!(?address, "console listens");
    let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, routes)
        .with_graceful_shutdown(closing.cancelled_owned())
        .await
}

async fn live(State(parts): State<Arc<Parts>>) -> Response {
    answer(&parts.live, &[]).await
}

async fn ready(State(parts): State<Arc<Parts>>) -> Response {
    answer(&parts.ready, &parts.beside).await
}

async fn answer(checks: &[Arc<dyn Check>], beside: &[Arc<dyn Check>]) -> Response {
    let (well, body) = ask(checks, beside, PATIENCE).await;
    let status = if well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

async fn page(State(parts): State<Arc<Parts>>) -> Response {
    // Gauges stand at their last value while what tells them stands still; these do not.
    for (part, ready) in each(&parts, PATIENCE).await {
        metrics::part_ready(part, ready);
    }
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics::page()).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use async_trait::async_trait;

    use super::*;

    #[derive(Debug, Default)]
    struct Switch(AtomicBool);

    #[async_trait]
    impl Check for Switch {
        fn part(&self) -> &'static str {
            "engine"
        }

        async fn check(&self) -> Result<(), String> {
            let on = self.0.load(Ordering::Relaxed);
            on.then_some(()).ok_or_else(|| "it is off".to_owned())
        }
    }

    #[derive(Debug)]
    struct Relay;

    #[async_trait]
    impl Check for Relay {
        fn part(&self) -> &'static str {
            "publish"
        }

        async fn check(&self) -> Result<(), String> {
            Err("CB-PUBLISH-3: messages for clawback.status do not go out".to_owned())
        }
    }

    #[derive(Debug)]
    struct Hangs;

    #[async_trait]
    impl Check for Hangs {
        fn part(&self) -> &'static str {
            "store"
        }

        async fn check(&self) -> Result<(), String> {
            std::future::pending().await
        }
    }

    async fn get_json(address: SocketAddr, path: &str) -> (u16, serde_json::Value) {
        let answer = reqwest::get(format!("http://{address}{path}"))
            .await
            .expect("answered");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    #[tokio::test]
    async fn h2_readiness_names_the_part_that_is_not_ready() {
        let engine = Arc::new(Switch::default());
        let parts = Parts {
            live: Vec::new(),
            ready: vec![engine.clone()],
            beside: vec![Arc::new(Relay)],
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let closing = CancellationToken::new();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(serve(listener, router(parts, None), closing.clone()));

        let (status, body) = get_json(address, "/readyz").await;
        assert_eq!((status, &body["ok"]), (503, &false.into()));
        assert_eq!(body["parts"][0]["part"], "engine");
        assert_eq!(body["parts"][0]["reason"], "it is off");
        assert_eq!(get_json(address, "/livez").await.0, 200, "it need not die");
        engine.0.store(true, Ordering::Relaxed);
        let (status, body) = get_json(address, "/readyz").await;
        assert_eq!((status, &body["ok"]), (200, &true.into()));
        // Status events that do not go out are told, and take nothing away.
        let relay = &body["parts"][1];
        assert_eq!(
            (&relay["part"], &relay["ok"]),
            (&"publish".into(), &false.into())
        );
        let reason = relay["reason"].as_str().expect("a reason");
        assert!(reason.starts_with("CB-PUBLISH-3: "), "{reason}");

        metrics::case_opened("leaver");
        let page = reqwest::get(format!("http://{address}/metrics"))
            .await
            .expect("answered");
        assert!(
            page.headers()["content-type"]
                .to_str()
                .expect("text")
                .starts_with("text/plain")
        );
        assert!(
            page.text()
                .await
                .expect("text")
                .contains("clawback_cases_opened_total")
        );
        closing.cancel();
        tasks
            .join_next()
            .await
            .expect("one")
            .expect("no panic")
            .expect("served");
    }

    #[tokio::test]
    async fn a_check_that_hangs_has_failed() {
        let checks = [Arc::new(Hangs) as Arc<dyn Check>];
        let (well, body) = ask(&checks, &[], Duration::from_millis(5)).await;
        assert!(!well);
        assert_eq!(body["parts"][0]["reason"], "no answer within 5 ms");
    }
}
