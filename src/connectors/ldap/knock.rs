//! One try to bind as somebody.
//!
//! Owns a simple bind (RFC 4513 §5.1.3) over a connection of its own, which is closed again, and the
//! reading of the password policy control (draft-behera-ldap-password-policy-10 §6.2): with it a
//! directory may tell a locked account before it looks at the password. Never binds without a
//! password, which would succeed as nobody (§5.1.2).

use ldap3::LdapConnAsync;
use ldap3::controls::RawControl;
use secrecy::ExposeSecret;
use tokio::task::JoinSet;

use super::classify::{self, Phase};
use super::client::Client;
use crate::connectors::{Call, Knock, RenderedRequest, SignIn, unsupported};
use crate::domain::access::Operation;
use crate::domain::outcome::Failure;

/// Password policy request and response control.
const PASSWORD_POLICY: &str = "1.3.6.1.4.1.42.2.27.8.5.1";

/// Tries to bind.
///
/// # Errors
/// As the guard says, or when no answer came.
pub async fn sign_in(client: &Client, call: &Call<'_>, order: &SignIn) -> Result<Knock, Failure> {
    let Some(secret) = order.secret.as_ref() else {
        return Ok(Knock {
            entered: false,
            code: String::new(),
            words: "no password is kept, so none was tried".to_owned(),
            sessions: None,
        });
    };
    if secret.expose_secret().is_empty() || order.name.is_empty() {
        return Err(unsupported("bind without a name or a password"));
    }
    let rendered = RenderedRequest {
        operation: Some(Operation::Read),
        account: order.account.clone(),
        writes: std::collections::BTreeSet::new(),
        line: "BIND".to_owned(),
    };
    let permit = call.permit(rendered, order).await?;
    let order = permit.into_inner();
    let failed = |error| classify::lost(&error, Phase::Bind);
    let settings = client.connection().await?;
    let opened = LdapConnAsync::with_settings(settings, &client.settings().url).await;
    let (connection, mut ldap) = opened.map_err(failed)?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        if let Err(error) = connection.drive().await {
            tracing::debug!(%error, "a connection to a directory ended");
        }
    });
    let ldap_with = ldap.with_timeout(client.settings().timeout);
    ldap_with.with_controls(RawControl {
        ctype: PASSWORD_POLICY.to_owned(),
        crit: false,
        val: None,
    });
    let bound = ldap_with.simple_bind(&order.name, secret.expose_secret());
    let result = bound.await.map_err(failed)?;
    let locked = result.ctrls.iter().any(|control| {
        let raw = &control.1;
        raw.ctype == PASSWORD_POLICY && raw.val.as_deref().and_then(policy_error) == Some(1)
    });
    let (code, words) = match (result.rc, locked) {
        (0, _) => ("0".to_owned(), "let in".to_owned()),
        (rc, true) => (
            "locked".to_owned(),
            format!("LDAP result {rc}, and the password policy says that the account is locked"),
        ),
        (rc, false) => (rc.to_string(), format!("LDAP result {rc}")),
    };
    // Signed in or not, the connection ends here.
    let _ = ldap.unbind().await;
    Ok(Knock {
        entered: result.rc == 0,
        code,
        words,
        sessions: None,
    })
}

/// The error of a password policy response: `SEQUENCE { [0] warning, [1] error }`, both optional.
fn policy_error(value: &[u8]) -> Option<u8> {
    let [0x30, length, rest @ ..] = value else {
        return None;
    };
    let mut rest = rest.get(..usize::from(*length))?;
    while let [tag, length, after @ ..] = rest {
        let content = after.get(..usize::from(*length))?;
        if *tag == 0x81 {
            return content.first().copied();
        }
        rest = &after[content.len()..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e2_the_policy_tells_a_locked_account() {
        assert_eq!(policy_error(&[0x30, 3, 0x81, 1, 1]), Some(1));
        let with_warning = [0x30, 8, 0xa0, 3, 0x80, 1, 5, 0x81, 1, 0];
        assert_eq!(policy_error(&with_warning), Some(0));
    }

    #[test]
    fn e2_a_policy_that_tells_nothing_or_is_cut_off_tells_no_refusal() {
        for value in [
            &[0x30_u8, 0] as &[u8],
            &[],
            &[0x30, 3, 0x81, 1],
            &[0x30, 3, 0xa0, 9, 1],
            &[0x81, 1, 1],
        ] {
            assert_eq!(policy_error(value), None, "{value:?}");
        }
    }
}
