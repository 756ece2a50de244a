//! What a request is told when it did not work.
//!
//! Owns problem details (RFC 9457), with our stable code as an extension member, and the mapping from
//! other rooms' errors to status codes. How a problem looks on a page is `page`'s.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::backing::{Trouble, TroubleKind};
use crate::store::StoreError;

/// Problem details, RFC 9457 section 3.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// Always `about:blank`: the status and `code` say what kind it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The status code again.
    pub status: u16,
    /// What happened, and what to do.
    pub detail: String,
    /// Heading in `docs/errors.md`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl Problem {
    /// A problem with this status.
    pub fn new(status: StatusCode, code: Option<&str>, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.map(str::to_owned),
        }
    }

    /// Nobody is signed in.
    pub fn signed_out() -> Self {
        let words = "sign in first; a program shows its token as `Authorization: Bearer …`";
        Self::new(StatusCode::UNAUTHORIZED, Some("CB-CONSOLE-1"), words)
    }

    /// The role is missing.
    pub fn forbidden(role: &str) -> Self {
        let words = format!("this takes the role {role}, which you do not have");
        Self::new(StatusCode::FORBIDDEN, Some("CB-CONSOLE-2"), words)
    }

    /// The form was not sent from a page of this console.
    pub fn forged() -> Self {
        let words = "the form did not come from a page of this session; open the page again";
        Self::new(StatusCode::FORBIDDEN, Some("CB-CONSOLE-3"), words)
    }

    /// There is no such thing.
    pub fn missing(what: &str) -> Self {
        let words = format!("there is no such {what}");
        Self::new(StatusCode::NOT_FOUND, Some("CB-CONSOLE-5"), words)
    }

    /// What was sent cannot be meant.
    pub fn unreadable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Some("CB-CONSOLE-6"), detail)
    }

    /// The body is longer than anything that a form or call needs.
    pub fn oversized() -> Self {
        let words = "the body is longer than 64 KiB";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Some("CB-CONSOLE-7"), words)
    }

    /// It conflicts with how things stand.
    pub fn refused(code: Option<String>, detail: impl Into<String>) -> Self {
        Self {
            code,
            ..Self::new(StatusCode::CONFLICT, None, detail)
        }
    }

    /// The status that it is told with.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    /// Bare: the outermost layer gives it its form, by who asked.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let status = match &error {
            StoreError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            StoreError::Broken { .. } | StoreError::Locked(_) => StatusCode::CONFLICT,
            StoreError::Corrupt { .. }
            | StoreError::Schema(_)
            | StoreError::Refused(_)
            | StoreError::WentBack => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the console could not answer"
            );
        }
        let words = error.to_string();
        let (code, words) = words.split_once(": ").unwrap_or(("", &words));
        let code = (!code.is_empty()).then_some(code);
        Self::new(status, code, words)
    }
}

impl From<Trouble> for Problem {
    fn from(trouble: Trouble) -> Self {
        let status = match trouble.kind {
            TroubleKind::NotFound => StatusCode::NOT_FOUND,
            TroubleKind::Refused => StatusCode::CONFLICT,
            TroubleKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            TroubleKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self {
            code: trouble.code,
            ..Self::new(status, None, trouble.words)
        }
    }
}
