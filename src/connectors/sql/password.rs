//! Rotation of the connector's own passwords (`choose`).
//!
//! Owns the order for a new password. A database role has one password at a time, so setting the
//! new one with the rotator's credential retires the old one, and nothing is left to retire. The
//! server gets a verifier, never the password itself.

use std::collections::BTreeSet;

use secrecy::ExposeSecret;

use super::client::{Client, SetPassword};
use crate::connectors::{Call, MintOrder, Minted, RenderedRequest, unsupported};
use crate::domain::outcome::Failure;

/// Sets the password that the order chose.
///
/// # Errors
/// `unsupported` for a role whose manifest does not rotate it, else as `classify` says.
pub async fn mint(client: &Client, call: &Call<'_>, order: &MintOrder) -> Result<Minted, Failure> {
    let role = client.place().passwords.get(&order.role);
    let (Some(role), Some(chosen)) = (role, &order.chosen) else {
        return Err(unsupported("mint a password that we do not choose"));
    };
    let set = SetPassword::new(role, chosen.expose_secret())?;
    let rendered = RenderedRequest {
        operation: None,
        account: None,
        writes: BTreeSet::new(),
        line: format!("ALTER ROLE {role} PASSWORD"),
    };
    let permit = call.permit(rendered, set).await?;
    client.set_password(call.credential, permit).await?;
    Ok(Minted {
        remote_ref: None,
        secret: chosen.clone(),
    })
}
