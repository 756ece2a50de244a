//! The requests to the vault's server, and what its answers mean.
//!
//! Owns paths, headers, bounded answers and their classes: sealed (503), forbidden (403), a failed
//! check-and-set (400 with its words), and everything else as away. Follows no redirect, for the token
//! would travel with it, and uses no proxy from the environment. What an answer quotes of a request is
//! never shown: only the server's short `errors`, and only where they cannot hold a value.

use std::sync::Arc;

use reqwest::header::HeaderValue;
use reqwest::{Certificate, Method, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::settings::{ServerSettings, SignIn};
use super::token::{Care, Token, Tokens};
use crate::domain::time::Clock;
use crate::secrets::VaultError;

/// What the server says to a check-and-set write that comes too late.
const CONFLICT: &str = "check-and-set parameter did not match the current version";

/// Larger answers are not read: a document is a few kilobytes.
const LARGEST_ANSWER: u64 = 1024 * 1024;

/// One mount of one server.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    settings: ServerSettings,
    tokens: Tokens,
}

/// What lies under a name.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// KV's version, for check-and-set; 0 where there never was one.
    pub(super) version: u64,
    /// `None` when there is nothing, or it was deleted.
    pub(super) data: Option<Value>,
}

/// What a check-and-set write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    /// It was written.
    Done,
    /// The version is another one by now.
    Conflict,
}

struct Answer {
    status: u16,
    body: Value,
    request: String,
    /// Whether it changes something.
    sent: bool,
}

impl Client {
    pub(super) fn new(
        settings: &ServerSettings,
        secret: SecretString,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, VaultError> {
        let mut built = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .timeout(settings.timeout)
            .pool_idle_timeout(std::time::Duration::from_secs(4))
            .user_agent(concat!("clawback/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &settings.ca_file {
            let pem = std::fs::read(path).map_err(|source| VaultError::Io {
                path: path.clone(),
                deed: "read",
                source,
            })?;
            let authorities = Certificate::from_pem_bundle(&pem).unwrap_or_default();
            if authorities.is_empty() {
                let told = format!("{} holds no certificate", path.display());
                return Err(unusable(&told));
            }
            built = built.tls_certs_only(authorities);
        }
        Ok(Self {
            http: built
                .build()
                .map_err(|_| unusable("no HTTP client can be made here"))?,
            settings: settings.clone(),
            tokens: Tokens::new(settings.sign_in.clone(), secret, clock),
        })
    }

    /// The document under a name.
    pub(super) async fn read(&self, name: &str) -> Result<Kept, VaultError> {
        let answer = self
            .ask(Method::GET, &self.place("data", name), None)
            .await?;
        let version = |body: &Value| {
            let version = body.pointer("/data/metadata/version");
            version.and_then(Value::as_u64)
        };
        match answer.status {
            200 => {
                let data = answer.body.pointer("/data/data");
                let data = data.filter(|data| data.is_object()).cloned();
                let version = version(&answer.body).ok_or_else(|| answer.strange())?;
                let data = Some(data.ok_or_else(|| answer.strange())?);
                Ok(Kept { version, data })
            }
            // One that was deleted still has a version, which the next write must name. A mount that
            // is not there is told in words; a name that is not there without any.
            404 if answer.errors().is_empty() => Ok(Kept {
                version: version(&answer.body).unwrap_or(0),
                data: None,
            }),
            _ => Err(answer.failure()),
        }
    }

    /// Writes the document if its version is still `version`.
    pub(super) async fn write(
        &self,
        name: &str,
        version: u64,
        data: &Value,
    ) -> Result<Write, VaultError> {
        let body = json!({ "options": { "cas": version }, "data": data });
        let place = self.place("data", name);
        let answer = self.ask(Method::POST, &place, Some(&body)).await?;
        match answer.status {
            200 | 204 => Ok(Write::Done),
            400 if answer.errors().iter().any(|one| one.contains(CONFLICT)) => Ok(Write::Conflict),
            _ => Err(answer.failure()),
        }
    }

    /// Removes the document with its history.
    pub(super) async fn delete(&self, name: &str) -> Result<(), VaultError> {
        let place = self.place("metadata", name);
        let answer = self.ask(Method::DELETE, &place, None).await?;
        match answer.status {
            200 | 204 | 404 => Ok(()),
            _ => Err(answer.failure()),
        }
    }

    /// Whether the token may write the document, as the server sees it.
    pub(super) async fn may_write(&self, name: &str) -> Result<(), VaultError> {
        let place = self.place("data", name);
        let body = json!({ "paths": [place] });
        let path = "sys/capabilities-self";
        let answer = self.ask(Method::POST, path, Some(&body)).await?;
        if answer.status != 200 {
            return Err(answer.failure());
        }
        let found = answer.body.pointer("/data/capabilities");
        let found = found.or_else(|| answer.body.get("capabilities"));
        let found = found.and_then(Value::as_array).into_iter().flatten();
        let found: Vec<_> = found.filter_map(Value::as_str).collect();
        if found.contains(&"root") || ["create", "update"].iter().all(|one| found.contains(one)) {
            return Ok(());
        }
        Err(VaultError::Forbidden {
            request: format!("POST /v1/{place}"),
            message: "the policy lacks `create` and `update`".to_owned(),
        })
    }

    fn place(&self, what: &str, name: &str) -> String {
        let settings = &self.settings;
        let prefix = match settings.prefix.as_str() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        let name: Vec<_> = name.split('/').map(escape).collect();
        format!("{}/{what}/{prefix}{}", settings.mount, name.join("/"))
    }

    /// Asks with the token in use; once more with a new one where the server takes it no longer.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, VaultError> {
        let (token, fresh) = self.token().await?;
        let answer = self.send(&method, path, body, Some(&token.value)).await?;
        let renewable = matches!(self.tokens.sign_in, SignIn::AppRole { .. });
        if answer.status != 403 || fresh || !renewable {
            return Ok(answer);
        }
        // Forbidden, or a token that was taken back before its end: a new one tells.
        self.forget(&token).await;
        let (token, _) = self.token().await?;
        self.send(&method, path, body, Some(&token.value)).await
    }

    /// The token to use, and whether it was fetched just now.
    async fn token(&self) -> Result<(Token, bool), VaultError> {
        let mut kept = self.tokens.kept.lock().await;
        let token = match (self.tokens.care(kept.as_ref()), kept.as_ref()) {
            (Care::Use, Some(token)) => return Ok((token.clone(), false)),
            (Care::Renew, Some(token)) => match self.renew(token).await {
                Ok(Some(token)) => token,
                // It lives on for a while: the work goes on, and renewal is tried with the next call.
                Err(_) => return Ok((token.clone(), false)),
                Ok(None) => self.sign_in().await?,
            },
            (Care::SignIn, _) | (_, None) => self.sign_in().await?,
        };
        *kept = Some(token.clone());
        Ok((token, true))
    }

    async fn forget(&self, token: &Token) {
        let mut kept = self.tokens.kept.lock().await;
        let same = |one: &Token| one.value.expose_secret() == token.value.expose_secret();
        if kept.as_ref().is_some_and(same) {
            *kept = None;
        }
    }

    /// The token with a new life; `None` when the server refuses to give it one.
    async fn renew(&self, token: &Token) -> Result<Option<Token>, VaultError> {
        let path = "auth/token/renew-self";
        let body = json!({});
        let answer = self
            .send(&Method::POST, path, Some(&body), Some(&token.value))
            .await?;
        match answer.status {
            200 => Ok(answer
                .body
                .get("auth")
                .and_then(|auth| self.tokens.read(auth))),
            400 | 403 => Ok(None),
            _ => Err(answer.failure()),
        }
    }

    async fn sign_in(&self) -> Result<Token, VaultError> {
        let tokens = &self.tokens;
        let SignIn::AppRole { mount, role_id, .. } = &tokens.sign_in else {
            let path = "auth/token/lookup-self";
            let answer = self
                .send(&Method::GET, path, None, Some(&tokens.given))
                .await?;
            let found = answer.body.get("data");
            return match (answer.status, found.and_then(|data| tokens.looked_up(data))) {
                (200, Some(token)) => Ok(token),
                (200, None) => Err(answer.strange()),
                _ => Err(answer.failure()),
            };
        };
        let body = json!({ "role_id": role_id, "secret_id": tokens.given.expose_secret() });
        let path = format!("auth/{mount}/login");
        let answer = self.send(&Method::POST, &path, Some(&body), None).await?;
        let found = answer.body.get("auth");
        match (answer.status, found.and_then(|auth| tokens.read(auth))) {
            (200, Some(token)) => Ok(token),
            (200, None) => Err(answer.strange()),
            (400, _) => Err(VaultError::Forbidden {
                message: "the role id or the secret id is not taken".to_owned(),
                request: answer.request,
            }),
            _ => Err(answer.failure()),
        }
    }

    async fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        token: Option<&SecretString>,
    ) -> Result<Answer, VaultError> {
        let request = format!("{method} /v1/{path}");
        // Only a write of a document or its removal has an effect that counts.
        let sent = path.starts_with(&format!("{}/", self.settings.mount)) && *method != Method::GET;
        let mut built = self
            .http
            .request(
                method.clone(),
                format!("{}v1/{path}", self.settings.address),
            )
            .header("X-Vault-Request", "true");
        if let Some(namespace) = &self.settings.namespace {
            built = built.header("X-Vault-Namespace", namespace);
        }
        if let Some(token) = token {
            built = with_token(built, token)?;
        }
        if let Some(body) = body {
            built = built.json(body);
        }
        let away = |error: &reqwest::Error| VaultError::Away {
            request: request.clone(),
            message: lost(error),
            sent: sent && !error.is_connect() && !error.is_builder(),
        };
        let response = built.send().await.map_err(|error| away(&error))?;
        let status = response.status().as_u16();
        if response
            .content_length()
            .is_some_and(|n| n > LARGEST_ANSWER)
        {
            return Err(VaultError::Away {
                request,
                message: "the answer is too large".to_owned(),
                sent,
            });
        }
        let text = response.bytes().await.map_err(|error| away(&error))?;
        Ok(Answer {
            status,
            body: serde_json::from_slice(&text).unwrap_or_default(),
            request,
            sent,
        })
    }
}

impl Answer {
    fn errors(&self) -> Vec<&str> {
        let errors = self.body.get("errors").and_then(Value::as_array);
        let errors = errors.into_iter().flatten();
        errors.filter_map(Value::as_str).collect()
    }

    /// Every status that is not expected.
    fn failure(self) -> VaultError {
        let words = match self.errors().join("; ") {
            words if words.is_empty() => String::new(),
            // The server's words, cut: they are a line, and say which policy or parameter.
            words => format!(": {}", words.chars().take(200).collect::<String>()),
        };
        match self.status {
            503 => VaultError::Closed,
            401 | 403 => VaultError::Forbidden {
                message: format!("it answers {}{words}", self.status),
                request: self.request,
            },
            301..=308 => VaultError::Away {
                message: format!(
                    "it answers {}; name the active node, or one that forwards",
                    self.status
                ),
                request: self.request,
                sent: false,
            },
            // What it could not understand it did not do.
            status => VaultError::Away {
                message: format!("it answers {status}{words}"),
                request: self.request,
                sent: self.sent && status >= 500,
            },
        }
    }

    fn strange(&self) -> VaultError {
        VaultError::Away {
            request: self.request.clone(),
            message: "the answer is none of KV version 2".to_owned(),
            sent: self.sent,
        }
    }
}

fn with_token(request: RequestBuilder, token: &SecretString) -> Result<RequestBuilder, VaultError> {
    let mut value = HeaderValue::from_str(token.expose_secret())
        .map_err(|_| unusable("the token holds characters that no header can carry"))?;
    value.set_sensitive(true);
    Ok(request.header("X-Vault-Token", value))
}

/// What a lost connection says, without the address.
fn lost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    let mut depth = 0;
    while let Some(inner) = cause.source() {
        (cause, depth) = (inner, depth + 1);
    }
    if depth > 0 {
        cause.to_string()
    } else {
        "the connection was lost".to_owned()
    }
}

fn unusable(message: &str) -> VaultError {
    VaultError::Key(message.to_owned())
}

/// `text` with everything escaped that is not unreserved (RFC 3986 §2.3).
fn escape(text: &str) -> String {
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
