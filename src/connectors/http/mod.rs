//! The HTTP transport of the kinds that speak it.
//!
//! Owns the client, sign-in, bounded answers and what a lost connection means. Sends nothing but a
//! [`Permit`], never follows a redirect (a credential must not travel to another host) and uses no
//! proxy from the environment. Knows no target's dialect and keeps no credential; the short-lived
//! tokens that a credential is exchanged for are kept by `oauth`, in memory.

mod answer;
mod oauth;
mod settings;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};

use super::contract::{Call, Credential, Permit, RenderedRequest};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::time::Clock;
use oauth::TokenSource;

pub(super) use answer::HttpAnswer;
pub(super) use settings::{WORKERS, read_address};

/// Larger answers are not read: a page of accounts is well below it.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;

/// One target's client.
#[derive(Debug)]
pub(super) struct Transport {
    client: reqwest::Client,
    base: Url,
    sign_in: SignIn,
    clock: Arc<dyn Clock>,
}

/// Where the credential goes.
#[derive(Debug)]
enum SignIn {
    /// `Authorization: Bearer …` (RFC 6750 §2.1).
    Bearer,
    /// User name and password (RFC 7617).
    Basic,
    /// The bare value in a header of its own.
    Header(HeaderName),
    /// Exchanged for a token that lives for a while (RFC 6749 §4.4).
    Token(Box<TokenSource>),
}

/// A request, relative to the target's base address.
#[derive(Debug, Clone)]
pub(super) struct HttpRequest {
    pub(super) method: Method,
    /// Begins with `/`; values in it are escaped with [`segment`] and [`escape`].
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    /// Media type and content.
    pub(super) body: Option<(&'static str, Bytes)>,
    /// What may be shown in place of a path that holds a secret.
    pub(super) hidden: Option<Hidden>,
}

/// A secret in a path: some targets know a key by nothing but its value.
#[derive(Debug, Clone)]
pub(super) struct Hidden {
    /// The path as it may be shown.
    pub(super) shown: String,
    /// What is not shown.
    pub(super) secret: SecretString,
}

impl Hidden {
    /// The same for another path, to which an answer led: the secret may stand in it again, escaped in
    /// whatever way, and is shown as `name`.
    pub(super) fn beneath(&self, path: &str, name: &str) -> Self {
        let secret = self.secret.expose_secret();
        let mut shown = unescape(path);
        if !secret.is_empty() && shown.contains(secret) {
            shown = shown.replace(secret, name);
            shown.retain(|c| !c.is_control());
        } else {
            path.clone_into(&mut shown);
        }
        Self {
            shown,
            secret: self.secret.clone(),
        }
    }
}

impl HttpRequest {
    /// A request without a body.
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: HeaderMap::new(),
            body: None,
            hidden: None,
        }
    }

    /// With a JSON body of this media type.
    #[must_use]
    pub(super) fn json(mut self, media_type: &'static str, body: &serde_json::Value) -> Self {
        self.body = Some((media_type, body.to_string().into()));
        self
    }

    /// Method and path, without the query, which may hold personal data.
    pub(super) fn line(&self) -> String {
        let path = self.hidden.as_ref().map_or(&self.path, |h| &h.shown);
        let path = path.split('?').next().unwrap_or_default();
        format!("{} {path}", self.method)
    }
}

impl Transport {
    /// Has a request judged, signs in and sends it. Where sign-in is by a short-lived token and the
    /// target no longer takes the one that was kept, a new one is fetched and the request is sent a
    /// second time: 401 means that nothing was done (RFC 9110 §15.5.2).
    ///
    /// # Errors
    /// As the gate and [`Self::send`] say; what the token endpoint's refusal means is told in
    /// `oauth`.
    pub(super) async fn exchange(
        &self,
        call: &Call<'_>,
        rendered: RenderedRequest,
        request: HttpRequest,
    ) -> Result<HttpAnswer, Failure> {
        let SignIn::Token(tokens) = &self.sign_in else {
            let permit = call.permit(rendered, request).await?;
            return self.send(permit, call.credential, None).await;
        };
        let token = tokens.token(self, call, &rendered, None).await?;
        let permit = call.permit(rendered.clone(), request.clone()).await?;
        let answer = self
            .send(permit, call.credential, Some(&token.value))
            .await?;
        if answer.status != 401 || !token.kept {
            return Ok(answer);
        }
        let rejected = Some(&token.value);
        let token = tokens.token(self, call, &rendered, rejected).await?;
        let permit = call.permit(rendered, request).await?;
        self.send(permit, call.credential, Some(&token.value)).await
    }

    /// Forgets what was kept for a credential, so that the next request shows whether the secret
    /// itself is still taken.
    pub(super) async fn forget(&self, credential: &Credential) {
        if let SignIn::Token(tokens) = &self.sign_in {
            tokens.forget(credential).await;
        }
    }

    /// True when each credential needs a name beside its secret.
    pub(super) fn needs_username(&self) -> bool {
        matches!(self.sign_in, SignIn::Basic | SignIn::Token(_))
    }

    /// Sends a request once, with `token` where sign-in is by one.
    ///
    /// # Errors
    /// `unreachable` when nothing was sent or only a read was lost, `unknown_outcome` when a change
    /// was sent and its answer was lost. Any answer that arrived whole is `Ok`, whatever its status.
    async fn send(
        &self,
        permit: Permit<HttpRequest>,
        credential: &Credential,
        token: Option<&SecretString>,
    ) -> Result<HttpAnswer, Failure> {
        let changes = match permit.rendered().operation {
            Some(operation) => operation.writes(),
            None => permit.request().method != Method::GET,
        };
        let request = permit.into_inner();
        let line = request.line();
        let (name, value) = self.signed(credential, token)?;
        let mut scrub = vec![credential.secret.clone()];
        scrub.extend(token.cloned());
        scrub.extend(request.hidden.as_ref().map(|hidden| hidden.secret.clone()));
        // Whole, as a target might repeat it: with Basic the secret is not recognised in it.
        let sent = value.to_str().unwrap_or_default();
        let sent = sent.split(' ').next_back().unwrap_or_default();
        scrub.push(SecretString::from(sent));
        let built = self.build(request, changes)?.header(name, value).build();
        let built = built.map_err(|_| unusable(format!("{line} cannot be rendered")))?;
        self.receive(built, line, changes, scrub).await
    }

    /// Sends and reads the whole answer.
    async fn receive(
        &self,
        built: reqwest::Request,
        line: String,
        changes: bool,
        scrub: Vec<SecretString>,
    ) -> Result<HttpAnswer, Failure> {
        let mut response = self
            .client
            .execute(built)
            .await
            .map_err(|error| lost(&error, changes, &line))?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut body = BytesMut::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| lost(&error, changes, &line))?
        {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(Failure::new(
                    if changes {
                        FailureClass::UnknownOutcome
                    } else {
                        FailureClass::Drifted
                    },
                    "CB-HTTP-3",
                    format!("the answer to {line} is larger than {LARGEST_ANSWER} bytes"),
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(HttpAnswer {
            status,
            headers,
            body: body.freeze(),
            line,
            changes,
            scrub,
            received: self.clock.now(),
        })
    }

    /// The path beneath the base address that a link of the target leads to, seen from the path that
    /// was asked for (RFC 3986 §5); `None` when it leads elsewhere, where the credential must not go.
    pub(super) fn relative(&self, from: &str, link: &str) -> Option<String> {
        let here = format!("{}{from}", self.base.as_str().trim_end_matches('/'));
        let url = Url::parse(&here).ok()?.join(link).ok()?;
        let base = self.base.path().trim_end_matches('/');
        let path = url.path().strip_prefix(base)?;
        if url.origin() != self.base.origin() || !path.starts_with('/') {
            return None;
        }
        Some(match url.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        })
    }

    fn build(
        &self,
        request: HttpRequest,
        changes: bool,
    ) -> Result<reqwest::RequestBuilder, Failure> {
        let line = request.line();
        let by_reading = [Method::GET, Method::HEAD, Method::POST];
        if !changes && !by_reading.contains(&request.method) {
            return Err(unusable(format!("{line} is meant to read")));
        }
        let whole = format!(
            "{}{}",
            self.base.as_str().trim_end_matches('/'),
            request.path
        );
        let url = Url::parse(&whole)
            .ok()
            .filter(|url| request.path.starts_with('/') && url.origin() == self.base.origin())
            .ok_or_else(|| unusable(format!("{line} does not stay at the target")))?;
        let mut built = self.client.request(request.method, url);
        built = built.headers(request.headers);
        if let Some((media_type, content)) = request.body {
            built = built.header(http::header::CONTENT_TYPE, media_type);
            built = built.body(content);
        }
        Ok(built)
    }

    fn signed(
        &self,
        credential: &Credential,
        token: Option<&SecretString>,
    ) -> Result<(HeaderName, HeaderValue), Failure> {
        let secret = token.unwrap_or(&credential.secret).expose_secret();
        let (name, text) = match &self.sign_in {
            SignIn::Bearer | SignIn::Token(_) => (AUTHORIZATION, format!("Bearer {secret}")),
            SignIn::Basic => {
                let user = credential.username.as_deref().unwrap_or_default();
                (AUTHORIZATION, basic(user, secret))
            }
            SignIn::Header(name) => (name.clone(), secret.to_owned()),
        };
        Ok((name, header_value(zeroize::Zeroizing::new(text))?))
    }
}

/// User name and password (RFC 7617).
pub(super) fn basic(user: &str, secret: &str) -> String {
    use base64::Engine as _;
    let pair = zeroize::Zeroizing::new(format!("{user}:{secret}"));
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair.as_bytes());
    format!("Basic {encoded}")
}

pub(super) fn header_value(text: zeroize::Zeroizing<String>) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(&text).map_err(|_| {
        Failure::new(
            FailureClass::AuthFailure,
            "CB-HTTP-6",
            "the credential holds characters that no header can carry",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// `text` as one path segment.
///
/// # Errors
/// `refused` for an empty or dotted segment: `/Users/` and `/Users/..` name something else.
pub(super) fn segment(text: &str) -> Result<String, Failure> {
    if text.is_empty() || text == "." || text == ".." {
        return Err(unusable(format!("`{text}` cannot be part of a path")));
    }
    Ok(escape(text))
}

/// `text` with everything escaped that is not unreserved (RFC 3986 §2.3).
pub(super) fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// `text` without its escapes (RFC 3986 §2.1), to be looked through.
fn unescape(text: &str) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octet = after.get(..2).filter(|_| *first == b'%');
        match octet.and_then(|digits| hex::decode(digits).ok()) {
            Some(octet) => {
                plain.extend(octet);
                rest = &after[2..];
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn unusable(message: String) -> Failure {
    Failure::new(FailureClass::Refused, "CB-HTTP-4", message)
}

/// What a lost connection means.
fn lost(error: &reqwest::Error, changes: bool, line: &str) -> Failure {
    if error.is_builder() {
        return unusable(format!("{line} cannot be rendered"));
    }
    // Only the innermost cause: the outer ones repeat the address, which may hold personal data.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let words = if error.is_timeout() {
        "no answer in time".to_owned()
    } else if error.source().is_some() {
        cause.to_string()
    } else {
        "the connection was lost".to_owned()
    };
    if error.is_connect() {
        return Failure::new(
            FailureClass::Unreachable,
            "CB-HTTP-1",
            format!("cannot connect for {line}: {words}"),
        );
    }
    let class = if changes {
        FailureClass::UnknownOutcome
    } else {
        FailureClass::Unreachable
    };
    Failure::new(class, "CB-HTTP-2", format!("{line} was lost: {words}"))
}

pub(super) fn client(timeout: Duration) -> Option<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .timeout(timeout)
        // Shorter than the whole, so that a host that swallows packets shows as not connected.
        .connect_timeout(timeout / 2)
        // Common servers close idle connections after five seconds; a request that meets the close
        // would be lost without having been read.
        .pool_idle_timeout(Duration::from_secs(4))
        .user_agent(concat!("clawback/", env!("CARGO_PKG_VERSION")))
        .build()
        .ok()
}

#[cfg(test)]
mod tests;
