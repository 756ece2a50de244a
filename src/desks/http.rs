//! The HTTP client of the desks, and what their answers mean.
//!
//! Owns sign-in, bounded answers and the class of every status (RFC 9110 §15). Follows no redirect,
//! since a secret must not travel to another host, uses no proxy from the environment, and tries
//! nothing twice. Words of a desk are shortened and scrubbed before anyone sees them.

use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Url};
use secrecy::ExposeSecret;
use serde_json::Value;
use zeroize::Zeroizing;

use super::contract::Call;
use crate::domain::outcome::{Failure, FailureClass};
use crate::telemetry;

/// Larger answers are not read.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;
/// Longest excerpt of a desk's words.
const LONGEST_WORDS: usize = 200;

/// One desk's client.
#[derive(Debug)]
pub(super) struct Client {
    client: reqwest::Client,
    base: Url,
    sign_in: SignIn,
}

/// Where the secret goes.
#[derive(Debug)]
pub(super) enum SignIn {
    /// User name and password or token (RFC 7617).
    Basic(String),
    /// `Authorization: <scheme> <secret>`, such as `Bearer` (RFC 6750 §2.1) and RT's `token`.
    Scheme(&'static str),
    /// The secret signs the body and does not travel.
    Signature,
}

/// An answer that arrived whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    text: String,
    line: String,
    changes: bool,
    retry_after: Option<u64>,
}

/// A request, relative to the desk's base address.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: Method,
    /// Begins with `/`, or is empty for the base itself; values in it are escaped with [`escape`].
    pub(super) path: String,
    pub(super) body: Option<&'a [u8]>,
    pub(super) headers: HeaderMap,
    /// False for a search that is sent as a POST.
    pub(super) changes: bool,
}

impl<'a> Request<'a> {
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            body: None,
            headers: HeaderMap::new(),
            changes: false,
        }
    }

    pub(super) fn change(method: Method, path: impl Into<String>, body: &'a [u8]) -> Self {
        Self {
            method,
            path: path.into(),
            body: Some(body),
            headers: HeaderMap::new(),
            changes: true,
        }
    }
}

impl Client {
    /// `None` when no client can be made here.
    pub(super) fn new(base: Url, sign_in: SignIn, timeout: Duration) -> Option<Self> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .timeout(timeout)
            .connect_timeout(timeout / 2)
            .pool_idle_timeout(Duration::from_secs(4))
            .user_agent(concat!("clawback/", env!("CARGO_PKG_VERSION")))
            .build()
            .ok()?;
        Some(Self {
            client,
            base,
            sign_in,
        })
    }

    /// Where people see what lies at this path.
    pub(super) fn page(&self, path: &str) -> String {
        format!("{}{path}", self.base.as_str().trim_end_matches('/'))
    }

    /// Sends a request once and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// `unreachable` when nothing was sent or only a read was lost, `unknown_outcome` when a change
    /// was sent and its answer was lost.
    pub(super) async fn send(
        &self,
        call: Call<'_>,
        request: Request<'_>,
    ) -> Result<Answer, Failure> {
        let path = request.path.split('?').next().unwrap_or_default();
        let line = format!("{} {path}", request.method);
        let changes = request.changes;
        let whole = format!(
            "{}{}",
            self.base.as_str().trim_end_matches('/'),
            request.path
        );
        let url = Url::parse(&whole)
            .ok()
            .filter(|url| url.origin() == self.base.origin())
            .ok_or_else(|| unusable(&line))?;
        let mut built = self.client.request(request.method, url);
        built = built.header(http::header::ACCEPT, "application/json");
        let authorization = self.signed(call)?;
        if let Some(value) = &authorization {
            built = built.header(AUTHORIZATION, value);
        }
        if let Some(body) = request.body {
            built = built.header(http::header::CONTENT_TYPE, "application/json");
            built = built.body(body.to_vec());
        }
        let sent = built.headers(request.headers).send().await;
        let mut response = sent.map_err(|error| lost(&error, changes, &line))?;
        let status = response.status().as_u16();
        let asked = response.headers().get(RETRY_AFTER);
        let retry_after = asked
            .and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok())
            .map(|seconds| seconds.min(86_400));
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| lost(&error, changes, &line))?
        {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(drifted(&line, "it is larger than 4 MiB"));
            }
            body.extend_from_slice(&chunk);
        }
        let text = String::from_utf8_lossy(&body);
        Ok(Answer {
            status,
            text: without(&text, call, authorization.as_ref()),
            line,
            changes,
            retry_after,
        })
    }

    /// Sends a request; anything but a 2xx is a failure.
    ///
    /// # Errors
    /// As [`Self::send`], and what the status means.
    pub(super) async fn ask(
        &self,
        call: Call<'_>,
        request: Request<'_>,
    ) -> Result<Answer, Failure> {
        let answer = self.send(call, request).await?;
        answer.good()
    }

    fn signed(&self, call: Call<'_>) -> Result<Option<HeaderValue>, Failure> {
        use base64::Engine as _;
        let secret = call.secret.expose_secret();
        let text = match &self.sign_in {
            SignIn::Basic(user) => {
                let pair = Zeroizing::new(format!("{user}:{secret}"));
                let encoded = base64::engine::general_purpose::STANDARD.encode(pair.as_bytes());
                format!("Basic {encoded}")
            }
            SignIn::Scheme(scheme) => format!("{scheme} {secret}"),
            SignIn::Signature => return Ok(None),
        };
        let text = Zeroizing::new(text);
        let mut value = HeaderValue::from_str(&text).map_err(|_| {
            Failure::new(
                FailureClass::AuthFailure,
                "CB-DESK-3",
                "the secret holds characters that no header can carry",
            )
        })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl Answer {
    /// Itself, if it is a 2xx.
    ///
    /// # Errors
    /// What the status means otherwise.
    pub(super) fn good(self) -> Result<Self, Failure> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        Err(self.failure())
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// `drifted` when it is something else: a sign-in page answers 200, too.
    pub(super) fn json(&self) -> Result<Value, Failure> {
        serde_json::from_str(&self.text).map_err(|_| drifted(&self.line, "it is no JSON"))
    }

    /// A text that must be there; numbers become text.
    ///
    /// # Errors
    /// `drifted` when it is not.
    pub(super) fn text_at(&self, value: &Value, pointer: &str) -> Result<String, Failure> {
        match value.pointer(pointer) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            _ => Err(drifted(&self.line, &format!("it lacks `{pointer}`"))),
        }
    }

    /// The failure that a status other than 2xx means.
    fn failure(&self) -> Failure {
        let (class, code) = match self.status {
            401 | 403 => (FailureClass::AuthFailure, "CB-DESK-3"),
            429 => (FailureClass::RateLimited, "CB-DESK-5"),
            408 | 503 => (FailureClass::Unreachable, "CB-DESK-1"),
            // A gateway lost the answer; what is behind it may have carried the change out.
            500 | 502 | 504 if self.changes => (FailureClass::UnknownOutcome, "CB-DESK-2"),
            500..600 => (FailureClass::Unreachable, "CB-DESK-1"),
            400..500 => (FailureClass::WriteFailure, "CB-DESK-6"),
            _ => (FailureClass::Drifted, "CB-DESK-7"),
        };
        let words: String = self.text.chars().filter(|c| !c.is_control()).collect();
        let words = telemetry::scrub(&words);
        let words: String = words.chars().take(LONGEST_WORDS).collect();
        let told = format!("{} was answered {}: {words}", self.line, self.status);
        Failure::new(class, code, told).retry_after(self.retry_after)
    }

    /// `drifted`, with what is wrong with this answer.
    pub(super) fn drifted(&self, what: &str) -> Failure {
        drifted(&self.line, what)
    }
}

/// `text` without the secret, as it is and as it was sent: some systems repeat what they got.
fn without(text: &str, call: Call<'_>, authorization: Option<&HeaderValue>) -> String {
    let sent = authorization.and_then(|value| value.to_str().ok()?.split_once(' '));
    let sent = sent.map(|(_, credentials)| credentials);
    let secrets = [Some(call.secret.expose_secret()), sent];
    let mut text = text.to_owned();
    for secret in secrets.into_iter().flatten().filter(|one| !one.is_empty()) {
        if text.contains(secret) {
            text = text.replace(secret, "[redacted]");
        }
    }
    text
}

/// `text` with everything escaped that is not unreserved (RFC 3986 §2.3).
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

fn drifted(line: &str, what: &str) -> Failure {
    Failure::new(
        FailureClass::Drifted,
        "CB-DESK-7",
        format!("the answer to {line} is not as the desk's API says: {what}"),
    )
}

fn unusable(line: &str) -> Failure {
    Failure::new(
        FailureClass::Refused,
        "CB-DESK-8",
        format!("{line} does not stay at the desk's address"),
    )
}

/// What a lost connection means.
fn lost(error: &reqwest::Error, changes: bool, line: &str) -> Failure {
    // Only the innermost cause: the outer ones repeat the address, which may hold personal data.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let words = if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        cause.to_string()
    };
    if error.is_connect() || !changes {
        return Failure::new(
            FailureClass::Unreachable,
            "CB-DESK-1",
            format!("{line}: {words}"),
        );
    }
    Failure::new(
        FailureClass::UnknownOutcome,
        "CB-DESK-2",
        format!("{line} was sent and its answer lost: {words}"),
    )
}

#[cfg(test)]
mod tests;
