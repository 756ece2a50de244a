//! Rotation of the connector's own passwords (`choose`, `dual_slot`).
//!
//! Owns the order for a new password. A database role has one password at a time, so setting the
//! new one with the rotator's credential retires the old one. Where two roles take turns, the one
//! that is no longer used is left without a password. The server gets a verifier, never the password
//! itself.

use std::collections::BTreeSet;

use aws_lc_rs::digest;
use secrecy::ExposeSecret;

use super::classify::{self, Phase};
use super::client::{Client, SetPassword};
use super::link::Link;
use super::place::Target;
use super::render::{Batch, Bound, read_request};
use super::scram;
use crate::connectors::{Call, MintOrder, Minted, RenderedRequest, unsupported};
use crate::domain::access::Operation;
use crate::domain::outcome::Failure;
use crate::domain::time::Timestamp;
use crate::domain::verdict::CredentialRole;

/// Sets the password that the order chose.
///
/// # Errors
/// `unsupported` for a role whose manifest does not rotate it, else as `classify` says.
pub async fn mint(client: &Client, call: &Call<'_>, order: &MintOrder) -> Result<Minted, Failure> {
    let Some(chosen) = &order.chosen else {
        return Err(unsupported("mint a password that we do not choose"));
    };
    let role = own(client, order.role, order.username.as_deref())?;
    let password = chosen.expose_secret();
    // Judged alike for both servers: printable, without blanks.
    let scram = scram::verifier(password)?;
    let (verb, verifier) = match client.place().target {
        Target::Mariadb(_) => ("ALTER USER", native(password)),
        Target::Postgres(_) | Target::Sqlite(_) => ("ALTER ROLE", scram),
    };
    set(client, call, (verb, role), Some((verifier, order.expires))).await?;
    Ok(Minted {
        remote_ref: None,
        secret: chosen.clone(),
        expires: order.expires,
    })
}

/// Leaves one of two roles that take turns without a password, so that nobody signs in as it with
/// one; where a role has no second, there is nothing to do: its old password died when the new one
/// was set.
///
/// # Errors
/// `unsupported` for a role that the manifest does not name, else as `classify` says.
pub async fn close(
    client: &Client,
    call: &Call<'_>,
    role: CredentialRole,
    remote_ref: &str,
) -> Result<(), Failure> {
    let named = client.place().passwords.get(&role);
    if named.is_some_and(|named| named.len() < 2) {
        return Ok(());
    }
    let role = own(client, role, Some(remote_ref))?;
    let verb = match client.place().target {
        Target::Mariadb(_) => "ALTER USER",
        Target::Postgres(_) | Target::Sqlite(_) => "ALTER ROLE",
    };
    set(client, call, (verb, role), None).await
}

/// When PostgreSQL ends the passwords of one of the connector's own roles: an older VALID UNTIL outlives
/// the password that it was set with. One so far away that no time can be told counts as none.
///
/// # Errors
/// `unsupported` for a role whose manifest does not rotate it, else as `classify` says.
pub async fn end(
    client: &Client,
    call: &Call<'_>,
    role: CredentialRole,
    name: Option<&str>,
) -> Result<Option<Timestamp>, Failure> {
    let Target::Postgres(_) = client.place().target else {
        return Ok(None);
    };
    let find = Bound {
        // What never ends, or ended before all time, is `infinity` there, and has no seconds.
        sql: "SELECT CASE WHEN isfinite(rolvaliduntil) THEN \
              CAST(CAST(floor(extract(epoch FROM rolvaliduntil)) AS bigint) AS text) END AS ends \
              FROM pg_catalog.pg_roles WHERE rolname = CAST($1 AS text)"
            .to_owned(),
        values: vec![own(client, role, name)?.to_owned()],
    };
    let rendered = read_request(Operation::Read, None, "SELECT the end of a role's password");
    let permit = call.permit(rendered, Batch(vec![find])).await?;
    let seen = client.read_afresh(call.credential, permit).await?;
    let row = seen.rows.first().and_then(|rows| rows.first());
    let ends = row.and_then(|row| row.get("ends")?.as_deref()?.parse().ok());
    Ok(ends.and_then(|ends| Timestamp::from_second(ends).ok()))
}

/// A database role of the connector itself: the named one, or the only one.
fn own<'c>(
    client: &'c Client,
    role: CredentialRole,
    named: Option<&str>,
) -> Result<&'c str, Failure> {
    let declared = client.place().passwords.get(&role).into_iter().flatten();
    let declared: Vec<_> = declared.map(String::as_str).collect();
    let found = match (named, declared.as_slice()) {
        (None, [only]) => Some(*only),
        (Some(named), declared) => declared.iter().find(|one| **one == named).copied(),
        (None, _) => None,
    };
    found.ok_or_else(|| unsupported("set the password of a role that its manifest does not rotate"))
}

async fn set(
    client: &Client,
    call: &Call<'_>,
    (verb, role): (&str, &str),
    verifier: Option<(String, Option<Timestamp>)>,
) -> Result<(), Failure> {
    let (verifier, expires) = verifier.unzip();
    let set = SetPassword {
        role: role.to_owned(),
        verifier,
        expires: expires.flatten(),
    };
    let rendered = RenderedRequest {
        operation: None,
        account: None,
        writes: BTreeSet::new(),
        line: format!("{verb} {role} PASSWORD"),
    };
    let permit = call.permit(rendered, set).await?;
    client.set_password(call.credential, permit).await
}

/// Sets the password of the one account of that user name.
///
/// # Errors
/// `ambiguous` where several accounts have the name, else as `classify` says.
pub async fn set_in_mariadb(link: &mut Link, order: &SetPassword) -> Result<(), Failure> {
    let find = Bound {
        sql: "SELECT CONCAT(QUOTE(u.User), '@', QUOTE(u.Host)) AS account \
              FROM mysql.global_priv u WHERE u.User = ?"
            .to_owned(),
        values: vec![order.role.clone()],
    };
    let rows = link.fetch(&find).await?;
    let [row] = rows.as_slice() else {
        return Err(classify::several_rows(rows.len()));
    };
    let account = row.get("account").and_then(Option::as_deref);
    let account = account.ok_or_else(|| classify::drifted("an account has no name"))?;
    // `invalid` is what MariaDB itself keeps for an account that no password opens.
    let text = match &order.verifier {
        Some(verifier) => format!("ALTER USER {account} IDENTIFIED BY PASSWORD '{verifier}'"),
        None => {
            format!("ALTER USER {account} IDENTIFIED VIA mysql_native_password USING 'invalid'")
        }
    };
    link.run(text, Phase::Commit).await
}

/// What `mysql_native_password` keeps: `*` and the SHA-1 of the SHA-1, in capital hexadecimals. The
/// method is old; passwords that we choose are long and random, which is what it needs.
fn native(password: &str) -> String {
    let sha1 = &digest::SHA1_FOR_LEGACY_USE_ONLY;
    let twice = digest::digest(sha1, digest::digest(sha1, password.as_bytes()).as_ref());
    format!("*{}", hex::encode_upper(twice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_native_verifier_is_what_the_server_itself_would_keep() {
        // SELECT PASSWORD('clawback') of MariaDB 10.11.
        assert_eq!(
            native("clawback"),
            "*F6C1ED74492872C621BCEF5B740B40E62EEE32E3"
        );
    }
}
