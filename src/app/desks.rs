//! Desks as an operator and the outside meet them: the check, and the door for callbacks.
//!
//! Owns the look-up of a desk's secret, `desks check`, and the one route by which a desk tells by
//! itself what became of a ticket. Nothing is believed before its signature; what is told becomes a
//! row that a worker picks up, like everything else.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::FutureExt as _;
use secrecy::SecretString;

use super::{Parts, vault};
use crate::config::Settings;
use crate::desks::{Call, Callback, DeskEntry, Unheard};
use crate::domain::id::DeskName;
use crate::domain::outcome::Failure;
use crate::domain::time::Clock;
use crate::engine::{Desks, Keyring};
use crate::secrets::Vault;
use crate::telemetry::metrics;

/// A callback is a few lines.
const LARGEST_CALLBACK: usize = 64 * 1024;

/// One desk for people to read.
#[derive(Debug, Clone, serde::Serialize)]
pub struct DeskFact {
    /// As manifests name it.
    pub name: String,
    /// Which kind.
    pub kind: &'static str,
    /// Where tickets go.
    pub address: String,
    /// Reference to its secret.
    pub secret: String,
    /// Whether it may tell by itself.
    pub callbacks: bool,
}

/// The desks that the settings name.
pub fn list(settings: &Settings) -> Vec<DeskFact> {
    let facts = settings.desks.iter().map(|desk| DeskFact {
        name: desk.name.to_string(),
        kind: desk.desk.kind(),
        address: desk.address.clone(),
        secret: desk.secret.clone(),
        callbacks: desk.callback_secret.is_some(),
    });
    facts.collect()
}

/// Signs in at a desk and finds where its tickets go; makes nothing. `None` when no desk has this name.
///
/// # Errors
/// What the desk says, or that its secret is not in the vault.
pub async fn check(
    settings: &Settings,
    name: &str,
    clock: &Arc<dyn Clock>,
) -> Result<Option<String>, Failure> {
    let Some(desk) = settings.desks.get(&DeskName::from(name)) else {
        return Ok(None);
    };
    let vault = vault::open(settings, clock)?;
    let secret = vault::desk_secret(vault.as_ref(), &desk.secret).await?;
    if let Some(reference) = &desk.callback_secret {
        vault::desk_secret(vault.as_ref(), reference).await?;
    }
    let call = Call {
        secret: &secret,
        now: clock.now(),
    };
    desk.desk.check(call).await.map(Some)
}

/// What the engine brings copies with; `None` without desks.
pub fn served(settings: &Settings, vault: &Arc<dyn Vault>) -> Option<Desks> {
    settings.desks.iter().next()?;
    Some(Desks {
        settings: settings.desks.clone(),
        keyring: keyring(vault),
    })
}

fn keyring(vault: &Arc<dyn Vault>) -> Keyring {
    let vault = vault.clone();
    Arc::new(move |reference: &str| {
        let (vault, reference) = (vault.clone(), reference.to_owned());
        async move { vault::desk_secret(vault.as_ref(), &reference).await }.boxed()
    })
}

/// `POST /desks/{name}/callback`, for the console's listener.
pub fn router(parts: &Parts) -> Router {
    Router::new()
        .route("/desks/{name}/callback", post(callback))
        .layer(DefaultBodyLimit::max(LARGEST_CALLBACK))
        .with_state(parts.clone())
}

async fn callback(
    State(parts): State<Parts>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let name = DeskName(name);
    let desk = parts.settings().desks.get(&name).cloned();
    let status = match desk {
        // As for a desk that takes none: nobody outside learns which desks there are.
        None => StatusCode::UNAUTHORIZED,
        Some(desk) => heard(&parts, &desk, &headers, &body).await,
    };
    status.into_response()
}

async fn heard(parts: &Parts, desk: &DeskEntry, headers: &HeaderMap, body: &[u8]) -> StatusCode {
    let secret = match &desk.callback_secret {
        None => return StatusCode::UNAUTHORIZED,
        Some(reference) => vault::desk_secret(parts.vault.as_ref(), reference).await,
    };
    let secret: SecretString = match secret {
        Ok(secret) => secret,
        Err(failure) => {
            tracing::error!(code = failure.code, desk = desk.name.as_str(), "{failure}");
            return StatusCode::SERVICE_UNAVAILABLE;
        }
    };
    let header = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    };
    let callback = Callback {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
        body,
    };
    let asked = desk.desk.kind() != "webhook";
    let told = callback.hear(&secret, asked, parts.clock.now());
    let outcome = match &told {
        Ok(_) => "ok",
        Err(Unheard::Unsigned) => "auth_failure",
        Err(Unheard::Unreadable) => "drifted",
    };
    metrics::desk_call(desk.name.as_str(), "callback", outcome);
    let (task, heard) = match told {
        Ok(told) => told,
        Err(why) => {
            tracing::warn!(desk = desk.name.as_str(), "{why}");
            return match why {
                Unheard::Unsigned => StatusCode::UNAUTHORIZED,
                Unheard::Unreadable => StatusCode::BAD_REQUEST,
            };
        }
    };
    match parts.store.desk_said(&desk.name, task, &heard).await {
        // Said before: it has been heard.
        Ok(Some(true | false)) => StatusCode::NO_CONTENT,
        Ok(None) => StatusCode::NOT_FOUND,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "a callback was not kept; the desk sends it again");
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
