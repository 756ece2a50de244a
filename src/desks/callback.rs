//! What a desk says by itself.
//!
//! Owns the reading of a signed callback: signature, time, message. A desk that can be asked only
//! wakes its copy with it, and what is true is then read there; the webhook's receiver, which cannot
//! be asked, says how its ticket stands. Changes nothing itself.

use secrecy::SecretString;
use serde::Deserialize;

use super::signature::{Signed, Untrue, verify};
use crate::domain::desk::{Heard, Seen, Stands};
use crate::domain::id::TaskId;
use crate::domain::time::Timestamp;

/// A callback as it came.
#[derive(Debug, Clone, Copy)]
pub struct Callback<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`.
    pub timestamp: &'a str,
    /// `webhook-signature`.
    pub signature: &'a str,
    /// The body as sent.
    pub body: &'a [u8],
}

/// Longest `webhook-id`.
const LONGEST_ID: usize = 200;

/// Why a callback is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unheard {
    /// It is not signed by the desk's secret, or too old, or from the future.
    #[error("CB-DESK-9: the callback's signature is not right, or its time is not now")]
    Unsigned,
    /// It is signed, and not what a callback holds.
    #[error("CB-DESK-10: the callback's body is not as documented")]
    Unreadable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    task: TaskId,
    state: Option<Stands>,
    #[serde(default)]
    by: String,
    #[serde(default)]
    note: String,
}

impl Callback<'_> {
    /// Checks and reads the callback; `asked` is true for a desk that can be asked how a ticket
    /// stands, which is then believed instead.
    ///
    /// # Errors
    /// Why it is not taken; nothing was changed then.
    pub fn hear(
        &self,
        secret: &SecretString,
        asked: bool,
        now: Timestamp,
    ) -> Result<(TaskId, Heard), Unheard> {
        let signed = Signed {
            id: self.id,
            timestamp: self.timestamp,
            signature: self.signature,
        };
        let at = match verify(secret, signed, self.body, now) {
            Ok(at) => at,
            Err(Untrue::Time | Untrue::Signature) => return Err(Unheard::Unsigned),
        };
        if self.id.is_empty() || self.id.len() > LONGEST_ID {
            return Err(Unheard::Unreadable);
        }
        let body: Body = serde_json::from_slice(self.body).map_err(|_| Unheard::Unreadable)?;
        let seen = match (asked, body.state) {
            (true, _) => None,
            (false, Some(stands @ (Stands::Open | Stands::Closed))) => Some(Seen {
                stands,
                by: body.by,
                words: body.note,
            }),
            (false, Some(Stands::Unknown | Stands::Gone) | None) => {
                return Err(Unheard::Unreadable);
            }
        };
        let heard = Heard {
            message: self.id.to_owned(),
            at,
            seen,
            before: Vec::new(),
        };
        Ok((body.task, heard))
    }
}
