//! Sign-in by OAuth 2.0 client credentials (RFC 6749 §4.4).
//!
//! Owns the token request, what the token endpoint's answers mean, and the keeping of tokens until
//! shortly before they expire. Kept in memory, by role, version and digest of the credential: a
//! secret never rides on a token that another secret got. One call fetches, the others wait for it.
//! The credential's `username` is the client id, its secret the client secret.

use std::collections::BTreeMap;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::settings::read_address;
use super::{HttpAnswer, Transport, basic, escape, header_value};
use crate::connectors::contract::{Call, Credential, RenderedRequest};
use crate::document::Table;
use crate::domain::access::Operation;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::time::{Timestamp, after};
use crate::domain::verdict::CredentialRole;

/// A token is given up this long before its end, so that it does not end under way.
const MARGIN_SECONDS: u64 = 30;

/// How long a token is kept of which the endpoint does not tell the life (RFC 6749 §5.1 only
/// recommends to).
const UNTOLD_SECONDS: u64 = 60;

/// Longest belief in a token, whatever the endpoint says.
const LONGEST_SECONDS: u64 = 86_400;

/// Errors that mean that the client itself is not accepted (RFC 6749 §5.2, and words that are met
/// in its place).
const NOT_ACCEPTED: [&str; 5] = [
    "invalid_client",
    "unauthorized_client",
    "access_denied",
    "invalid_grant",
    "incorrect_client_credentials",
];

/// A token endpoint, and the tokens that it gave.
#[derive(Debug)]
pub(super) struct TokenSource {
    url: Url,
    client_auth: ClientAuth,
    /// Parameters of the request beside the grant type and the client, in order.
    parameters: Vec<(&'static str, String)>,
    /// The scope by role, where a role asks for its own.
    scopes: BTreeMap<CredentialRole, String>,
    kept: Mutex<BTreeMap<Owner, Kept>>,
}

/// How the client shows its secret (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientAuth {
    /// `client_secret_basic`
    Basic,
    /// `client_secret_post`
    Post,
}

/// Whose token it is: role, version, and digest of client id and secret.
type Owner = (CredentialRole, u64, [u8; 32]);

#[derive(Debug)]
struct Kept {
    value: SecretString,
    until: Timestamp,
}

/// A token to send.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) value: SecretString,
    /// False when it was fetched just now.
    pub(super) kept: bool,
}

impl TokenSource {
    /// Reads the table `oauth` of a kind's table.
    pub(super) fn read(table: &Table<'_>, plaintext: bool) -> Option<Self> {
        let url = table
            .required_string("token_url")
            .and_then(|item| read_address(table, "token_url", &item, plaintext));
        let client_auth = match table.string("client_auth") {
            None => Some(ClientAuth::Basic),
            Some(item) => match item.value.as_str() {
                "client_secret_basic" => Some(ClientAuth::Basic),
                "client_secret_post" => Some(ClientAuth::Post),
                other => {
                    table.report(
                        item.line,
                        format!("`client_auth` is `{other}`"),
                        "use client_secret_basic or client_secret_post",
                    );
                    None
                }
            },
        };
        let mut parameters = Vec::new();
        for key in ["scope", "audience", "resource"] {
            if let Some(item) = table.string(key) {
                parameters.push((key, item.value));
            }
        }
        let mut scopes = BTreeMap::new();
        for (key, role) in [
            ("writer_scope", CredentialRole::Writer),
            ("verifier_scope", CredentialRole::Verifier),
            ("rotator_scope", CredentialRole::Rotator),
        ] {
            if let Some(item) = table.string(key) {
                scopes.insert(role, item.value);
            }
        }
        table.finish();
        Some(Self {
            url: url?,
            client_auth: client_auth?,
            parameters,
            scopes,
            kept: Mutex::default(),
        })
    }

    /// The token that is kept for the call's credential, or a new one; never `rejected`.
    ///
    /// # Errors
    /// `auth_failure` when the client is not accepted, `unreachable` and `rate_limited` as the
    /// endpoint answers, `drifted` when it refuses the request or answers without a token. Never
    /// `unknown_outcome`: fetching changes nothing.
    pub(super) async fn token(
        &self,
        transport: &Transport,
        call: &Call<'_>,
        request: &RenderedRequest,
        rejected: Option<&SecretString>,
    ) -> Result<Token, Failure> {
        let owner = owner(call.credential);
        // Held while fetching: whoever comes meanwhile takes what this one brings.
        let mut kept = self.kept.lock().await;
        let now = transport.clock.now();
        kept.retain(|_, token| now < token.until);
        if let Some(token) = kept.get(&owner) {
            let same = rejected
                .is_some_and(|rejected| rejected.expose_secret() == token.value.expose_secret());
            if !same {
                return Ok(Token {
                    value: token.value.clone(),
                    kept: true,
                });
            }
            kept.remove(&owner);
        }
        let answer = self.ask(transport, call, request).await?;
        let (value, seconds) = token_in(&answer)?;
        let until = after(transport.clock.now(), believed(seconds));
        let token = Kept {
            value: value.clone(),
            until,
        };
        kept.insert(owner, token);
        Ok(Token { value, kept: false })
    }

    /// Forgets the credential's token.
    pub(super) async fn forget(&self, credential: &Credential) {
        self.kept.lock().await.remove(&owner(credential));
    }

    async fn ask(
        &self,
        transport: &Transport,
        call: &Call<'_>,
        request: &RenderedRequest,
    ) -> Result<HttpAnswer, Failure> {
        let line = format!("POST {} (token)", self.url.path());
        let rendered = RenderedRequest {
            // Part of what it is fetched for, of which it is the harmless part.
            operation: request.operation.map(|operation| match operation {
                Operation::List => Operation::List,
                Operation::Read
                | Operation::Disable
                | Operation::EndSessions
                | Operation::RevokeEntitlement
                | Operation::RevokeCredential
                | Operation::Delete => Operation::Read,
            }),
            account: None,
            writes: std::collections::BTreeSet::new(),
            line: line.clone(),
        };
        let credential = call.credential;
        let id = credential.username.as_deref().unwrap_or_default();
        let secret = credential.secret.expose_secret();
        let form = self.form(credential);
        let mut built = transport
            .client
            .post(self.url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.as_bytes().to_vec());
        let mut scrub = vec![credential.secret.clone()];
        if self.client_auth == ClientAuth::Basic {
            // RFC 6749 §2.3.1: id and secret are encoded as a form's before they are joined.
            let text = Zeroizing::new(basic(&escape(id), &escape(secret)));
            let sent = text.rsplit(' ').next().unwrap_or_default();
            scrub.push(SecretString::from(sent));
            built = built.header(AUTHORIZATION, header_value(text)?);
        }
        let built = built
            .build()
            .map_err(|_| super::unusable(format!("{line} cannot be rendered")))?;
        let permit = call.permit(rendered, built).await?;
        transport
            .receive(permit.into_inner(), line, false, scrub)
            .await
    }

    fn form(&self, credential: &Credential) -> Zeroizing<String> {
        let mut form = Zeroizing::new("grant_type=client_credentials".to_owned());
        let mut add = |name: &str, value: &str| {
            form.extend(["&", name, "=", escape(value).as_str()]);
        };
        let own = self.scopes.get(&credential.role);
        for (name, value) in &self.parameters {
            if *name != "scope" || own.is_none() {
                add(name, value);
            }
        }
        if let Some(scope) = own {
            add("scope", scope);
        }
        if self.client_auth == ClientAuth::Post {
            add(
                "client_id",
                credential.username.as_deref().unwrap_or_default(),
            );
            add("client_secret", credential.secret.expose_secret());
        }
        form
    }
}

fn owner(credential: &Credential) -> Owner {
    let mut digest = Sha256::new();
    digest.update(credential.username.as_deref().unwrap_or_default());
    digest.update([0]);
    digest.update(credential.secret.expose_secret());
    (
        credential.role,
        credential.version,
        digest.finalize().into(),
    )
}

/// How long a token of this life is kept.
fn believed(seconds: Option<u64>) -> u64 {
    let life = seconds.unwrap_or(UNTOLD_SECONDS).min(LONGEST_SECONDS);
    life - MARGIN_SECONDS.min(life / 2)
}

/// The token and its life in seconds (RFC 6749 §5.1).
fn token_in(answer: &HttpAnswer) -> Result<(SecretString, Option<u64>), Failure> {
    let body = answer.json().ok();
    let field = |name: &str| body.as_ref()?.get(name);
    let error = field("error").and_then(Value::as_str);
    let value = field("access_token").and_then(Value::as_str);
    if !answer.is_success() || error.is_some() {
        return Err(refusal(answer, error));
    }
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Err(lacking(answer, "an access token"));
    };
    let bearer = field("token_type")
        .and_then(Value::as_str)
        .is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    if !bearer {
        return Err(lacking(answer, "a token of type bearer"));
    }
    // Some send the number as text.
    let life = field("expires_in").and_then(|life| {
        let text = life.as_str().and_then(|text| text.parse().ok());
        life.as_u64().or(text)
    });
    Ok((SecretString::from(value), life))
}

fn refusal(answer: &HttpAnswer, error: Option<&str>) -> Failure {
    if answer.status == 429 || answer.status >= 500 {
        return answer.failure(error);
    }
    let told = error.map_or(String::new(), |error| format!(": {}", answer.words(error)));
    let unknown = error.is_some_and(|error| NOT_ACCEPTED.contains(&error));
    if unknown || matches!(answer.status, 401 | 403) {
        return Failure::new(
            FailureClass::AuthFailure,
            "CB-HTTP-8",
            format!("the token endpoint does not accept the client{told}"),
        );
    }
    if matches!(error, Some("temporarily_unavailable" | "server_error")) {
        let failure = Failure::new(
            FailureClass::Unreachable,
            "CB-HTTP-503",
            format!("the token endpoint is not available{told}"),
        );
        return failure.retry_after(answer.retry_after_seconds());
    }
    Failure::new(
        FailureClass::Drifted,
        "CB-HTTP-9",
        format!("the token endpoint answered {}{told}", answer.status),
    )
}

fn lacking(answer: &HttpAnswer, what: &str) -> Failure {
    Failure::new(
        FailureClass::Drifted,
        "CB-HTTP-9",
        format!(
            "the token endpoint answered {} without {what}",
            answer.status
        ),
    )
}
