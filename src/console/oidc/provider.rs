//! The identity provider: found, asked, believed no further than it signs.
//!
//! Owns discovery (OpenID Connect Discovery 1.0), the exchange of a code, and the fetching of keys,
//! anew when a token names a key that is not known. Keeps what it found for an hour.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::claims::{self, Claims, Keys};
use crate::console::settings::OidcSettings;
use crate::domain::time::{Timestamp, after};

const PATIENCE: Duration = Duration::from_secs(10);
/// How long what was found is believed.
const KEPT_SECONDS: u64 = 3600;

/// A sign-in through the provider did not work.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It does not answer, or not as such a provider does.
    #[error("CB-CONSOLE-12: the identity provider does not answer as one does")]
    Away(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It refuses the code.
    #[error("CB-CONSOLE-11: the identity provider refuses the sign-in: {0}")]
    Refused(String),
    /// What it says is not to be believed.
    #[error("CB-CONSOLE-11: {0}")]
    Untrue(String),
}

/// Where things are at the provider.
#[derive(Debug, Clone, Deserialize)]
struct Found {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

/// What a code is exchanged for.
#[derive(Debug, Deserialize)]
struct Exchanged {
    id_token: String,
    #[serde(default)]
    access_token: Option<String>,
}

#[derive(Debug, Clone)]
struct Known {
    found: Found,
    keys: Keys,
    until: Timestamp,
}

/// One provider.
#[derive(Debug)]
pub struct Provider {
    settings: OidcSettings,
    /// Where the provider sends people back to.
    back: String,
    http: reqwest::Client,
    known: Mutex<Option<Known>>,
}

impl Provider {
    /// Knows the provider by its settings; asks nothing yet.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(settings: OidcSettings, public_url: &str) -> Result<Self, ProviderError> {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            // A provider that sends us elsewhere is not the one that was configured.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(away)?;
        Ok(Self {
            settings,
            back: format!("{public_url}/oidc/callback"),
            http,
            known: Mutex::new(None),
        })
    }

    pub(super) fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// The reference of the client's secret, where it has one.
    pub(super) fn client_secret(&self) -> Option<&str> {
        self.settings.client_secret.as_deref()
    }

    /// Where to send somebody (RFC 6749, section 4.1.1; RFC 7636, section 4.3).
    pub(super) async fn authorization(
        &self,
        state: &str,
        nonce: &str,
        verifier: &str,
    ) -> Result<String, ProviderError> {
        let found = self.found().await?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let scope = format!("openid {}", self.settings.scopes.join(" "));
        let mut url = Url::parse(&found.authorization_endpoint).map_err(away)?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", &self.back)
            .append_pair("scope", &scope)
            .append_pair("state", state)
            .append_pair("nonce", nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(url.into())
    }

    /// Exchanges a code for what the provider says of somebody; `secret` is the client's, where it has
    /// one.
    pub(super) async fn claims(
        &self,
        code: &str,
        (verifier, nonce): (&str, &str),
        secret: Option<&SecretString>,
        now: Timestamp,
    ) -> Result<Claims, ProviderError> {
        let found = self.found().await?;
        let exchanged = self.exchange(&found, code, verifier, secret).await?;
        let checked =
            |keys: &Keys| claims::claims(&exchanged.id_token, keys, &self.settings, nonce, now);
        let said = match checked(&self.keys(&found, now, false).await?) {
            // Perhaps it signs with a key that is newer than what we know.
            Err(ProviderError::Untrue(_)) => checked(&self.keys(&found, now, true).await?)?,
            other => other?,
        };
        let (Some(path), Some(token)) = (&found.userinfo_endpoint, &exchanged.access_token) else {
            return Ok(said);
        };
        if !said.roles.is_empty() && !said.name.is_empty() {
            return Ok(said);
        }
        let info = self.http.get(path).bearer_auth(token).send().await;
        let info = info.and_then(reqwest::Response::error_for_status);
        let info: Value = info.map_err(away)?.json().await.map_err(away)?;
        Ok(claims::with_info(said, &info, &self.settings))
    }

    async fn exchange(
        &self,
        found: &Found,
        code: &str,
        verifier: &str,
        secret: Option<&SecretString>,
    ) -> Result<Exchanged, ProviderError> {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.back),
            ("code_verifier", verifier),
        ];
        let id = self.settings.client_id.as_str();
        let mut request = self.http.post(&found.token_endpoint);
        let methods = &found.token_endpoint_auth_methods_supported;
        let basic = methods.is_empty() || methods.iter().any(|one| one == "client_secret_basic");
        match secret {
            // RFC 6749, section 2.3.1: both parts are encoded as in a form first.
            Some(secret) if basic => {
                let secret = form_encoded(secret.expose_secret());
                request = request.basic_auth(form_encoded(id), Some(secret));
            }
            Some(secret) => {
                form.extend([("client_id", id), ("client_secret", secret.expose_secret())]);
            }
            None => form.push(("client_id", id)),
        }
        let answer = request.form(&form).send().await.map_err(away)?;
        if answer.status().is_client_error() {
            let said: Value = answer.json().await.unwrap_or_default();
            let error = said["error"].as_str().unwrap_or("without a reason");
            return Err(ProviderError::Refused(crate::console::office::plain(error)));
        }
        let answer = answer.error_for_status().map_err(away)?;
        answer.json().await.map_err(away)
    }

    /// Where things are at the provider.
    async fn found(&self) -> Result<Found, ProviderError> {
        if let Some(known) = &*self.known.lock().await {
            return Ok(known.found.clone());
        }
        let issuer = self.settings.issuer.trim_end_matches('/');
        let path = format!("{issuer}/.well-known/openid-configuration");
        let answer = self.http.get(path).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        let found: Found = answer.map_err(away)?.json().await.map_err(away)?;
        if found.issuer != self.settings.issuer {
            let words = format!(
                "the provider calls itself {}, and `issuer` says {}",
                found.issuer, self.settings.issuer
            );
            return Err(ProviderError::Untrue(words));
        }
        Ok(found)
    }

    /// Its keys; `anew` fetches them whatever is known.
    async fn keys(&self, found: &Found, now: Timestamp, anew: bool) -> Result<Keys, ProviderError> {
        let mut known = self.known.lock().await;
        if let Some(kept) = known.as_ref().filter(|kept| !anew && now < kept.until) {
            return Ok(kept.keys.clone());
        }
        let answer = self.http.get(&found.jwks_uri).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        let keys: Keys = answer.map_err(away)?.json().await.map_err(away)?;
        *known = Some(Known {
            found: found.clone(),
            keys: keys.clone(),
            until: after(now, KEPT_SECONDS),
        });
        Ok(keys)
    }
}

fn away(error: impl std::error::Error + Send + Sync + 'static) -> ProviderError {
    ProviderError::Away(Box::new(error))
}

/// As in a form (`application/x-www-form-urlencoded`).
fn form_encoded(text: &str) -> String {
    let mut url = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => url.push('+'),
            byte if byte.is_ascii_alphanumeric() || b"*-._".contains(&byte) => {
                url.push(char::from(byte));
            }
            byte => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}
