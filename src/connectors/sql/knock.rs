//! One try to sign in as somebody, and the live sessions of that name.
//!
//! Owns a login over a connection of its own, which is closed again, and the count of sessions with
//! the verifier's eyes: a session outlives the role that opened it. A server answers a login by a
//! code of its own (an SQLSTATE, a number of MariaDB); which of them are refusals is declared.

use secrecy::ExposeSecret;

use super::classify;
use super::client::Client;
use super::place::Target;
use super::render::{Batch, Bound};
use crate::connectors::{Call, Credential, Knock, RenderedRequest, SignIn, unsupported};
use crate::domain::access::Operation;
use crate::domain::outcome::Failure;

/// By name, and by id: of a role that was dropped the name is not told any more.
const POSTGRES: &str = "SELECT count(*) AS sessions FROM pg_stat_activity \
    WHERE usename = CAST($1 AS text) OR usesysid::text = CAST($2 AS text)";
const MARIADB: &str = "SELECT CAST(COUNT(*) AS CHAR) AS sessions \
    FROM information_schema.processlist WHERE user = ?";

/// Tries to sign in, and counts sessions.
///
/// # Errors
/// As the guard says, or when no answer came.
pub async fn sign_in(client: &Client, call: &Call<'_>, order: &SignIn) -> Result<Knock, Failure> {
    let rendered = |line: &str| RenderedRequest {
        operation: Some(Operation::Read),
        account: order.account.clone(),
        writes: std::collections::BTreeSet::new(),
        line: line.to_owned(),
    };
    if let Target::Sqlite(_) = client.place().target {
        return Err(unsupported("sign in to a file"));
    }
    let mut knock = Knock {
        entered: false,
        code: String::new(),
        words: "no password is kept, so none was tried".to_owned(),
        sessions: None,
    };
    if let Some(secret) = &order.secret {
        let as_somebody = Credential {
            username: Some(order.name.clone()),
            secret: secret.expose_secret().to_owned().into(),
            ..call.credential.clone()
        };
        let permit = call.permit(rendered("LOGIN"), as_somebody).await?;
        let answer = client.answer_to(&permit.into_inner()).await?;
        knock.entered = answer.is_none();
        knock.words = match &answer {
            None => "let in".to_owned(),
            Some(code) => format!("answered {code}"),
        };
        knock.code = answer.unwrap_or_else(|| "0".to_owned());
    }
    // A control has no sessions to look for.
    if let Some(account) = &order.account {
        let (sql, values) = match client.place().target {
            Target::Mariadb(_) => (MARIADB, vec![order.name.clone()]),
            Target::Postgres(_) | Target::Sqlite(_) => (
                POSTGRES,
                vec![order.name.clone(), account.as_str().to_owned()],
            ),
        };
        let batch = Batch(vec![Bound {
            sql: sql.to_owned(),
            values,
        }]);
        let permit = call.permit(rendered("SELECT live sessions"), batch).await?;
        let seen = client.read(call.credential, permit).await?;
        let row = seen.rows.first().and_then(|rows| rows.first());
        let count = row.and_then(|row| row.get("sessions")?.as_deref()?.parse().ok());
        let count: u64 = count.ok_or_else(|| classify::drifted("sessions were not counted"))?;
        knock.sessions = Some(count);
    }
    Ok(knock)
}
