//! The token that the vault's server knows us by.
//!
//! Owns signing in with an AppRole, renewal while a token still lives, and giving up one that the
//! server no longer takes. Lives in memory only. A token that somebody gave us is renewed too, for it
//! would end otherwise; when it has ended, nobody but its giver can help.

use std::sync::Arc;

use secrecy::SecretString;
use serde_json::Value;
use tokio::sync::Mutex;

use super::settings::SignIn;
use crate::domain::time::{Clock, Timestamp, after};

/// What is known of the token in use.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) value: SecretString,
    /// From when on it should be renewed; `None` means never.
    pub(super) renew_from: Option<Timestamp>,
    /// When it ends; `None` means never.
    pub(super) until: Option<Timestamp>,
    pub(super) renewable: bool,
}

/// Keeps the token in use. One call fetches it, the others wait.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) sign_in: SignIn,
    /// The token itself, or the AppRole's secret id.
    pub(super) given: SecretString,
    pub(super) kept: Mutex<Option<Token>>,
    clock: Arc<dyn Clock>,
}

/// What is to be done before the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// It can be used.
    Use,
    /// It can be used, and should be renewed.
    Renew,
    /// It has ended, or there is none.
    SignIn,
}

impl Tokens {
    pub(super) fn new(sign_in: SignIn, given: SecretString, clock: Arc<dyn Clock>) -> Self {
        Self {
            sign_in,
            given,
            kept: Mutex::new(None),
            clock,
        }
    }

    /// What the time makes of a token.
    pub(super) fn care(&self, token: Option<&Token>) -> Care {
        let now = self.clock.now();
        let Some(token) = token else {
            return Care::SignIn;
        };
        if token.until.is_some_and(|until| now >= until) {
            return Care::SignIn;
        }
        if token.renewable && token.renew_from.is_some_and(|from| now >= from) {
            return Care::Renew;
        }
        Care::Use
    }

    /// The token in the `auth` of a sign-in or a renewal, of which two thirds of its life may pass
    /// before it is renewed.
    pub(super) fn read(&self, auth: &Value) -> Option<Token> {
        let value = auth.get("client_token").and_then(Value::as_str)?;
        let seconds = auth.get("lease_duration").and_then(Value::as_u64)?;
        let renewable = auth.get("renewable").and_then(Value::as_bool);
        Some(self.token(SecretString::from(value), seconds, renewable))
    }

    /// The token that was given, with what `lookup-self` says of it.
    pub(super) fn looked_up(&self, data: &Value) -> Option<Token> {
        let seconds = data.get("ttl").and_then(Value::as_u64)?;
        let renewable = data.get("renewable").and_then(Value::as_bool);
        Some(self.token(self.given.clone(), seconds, renewable))
    }

    fn token(&self, value: SecretString, seconds: u64, renewable: Option<bool>) -> Token {
        let now = self.clock.now();
        // A life of zero is one without end: a root token.
        let lives = seconds > 0;
        Token {
            value,
            renew_from: lives.then(|| after(now, seconds * 2 / 3)),
            until: lives.then(|| after(now, seconds)),
            renewable: renewable.unwrap_or(false),
        }
    }
}
