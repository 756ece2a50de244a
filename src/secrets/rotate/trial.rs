//! Whether a new secret may do its work, before anybody depends on it.
//!
//! Owns what each role's is tried by: a list of accounts, or of secrets for a rotator, and a writer's changes:
//! each declared operation on an account, of an account that nobody has, under an id made up from the
//! rotation's label. A target that knows the credential's powers
//! denies them; one that has them finds nobody. What a kind can send of nobody is told by the kind.
//! Tries no revocation: there is nothing to name that nobody has.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::Rotation;
use crate::connectors::{Change, Credential};
use crate::domain::access::Operation;
use crate::domain::id::AccountId;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::rotation::Strategy;
use crate::domain::verdict::CredentialRole;

/// Operations on an account that name nothing but the account.
const TRIED: [Operation; 3] = [
    Operation::Disable,
    Operation::EndSessions,
    Operation::Delete,
];

impl Rotation<'_> {
    /// Does what the role is there for. It is asked for the rotation's own sake, so a drill that was not
    /// passed does not stand in its way.
    pub(super) async fn try_powers(&self, credential: &Credential) -> Result<(), Failure> {
        match self.body.role {
            CredentialRole::Writer | CredentialRole::Verifier => {
                let listing = self.connector.try_list(credential).await?;
                if listing.completeness.permission_cut {
                    return Err(Failure::new(
                        FailureClass::WriteFailure,
                        "CB-SECRETS-14",
                        "the new secret signs in but is not allowed to see everything",
                    ));
                }
                if self.body.role == CredentialRole::Writer {
                    self.try_writes(credential).await?;
                }
                Ok(())
            }
            CredentialRole::Rotator => self.try_listing_secrets(credential).await,
        }
    }

    /// Lists the secrets of a role that the rotator replaces. Where it sets passwords, or nothing is declared,
    /// there is no list, and that it signs in must do.
    async fn try_listing_secrets(&self, credential: &Credential) -> Result<(), Failure> {
        let declared = &self.connector.manifest().credentials;
        let listed = [CredentialRole::Writer, CredentialRole::Verifier]
            .into_iter()
            .find(|role| {
                let rotation = declared.get(role).and_then(|declared| declared.rotation);
                rotation == Some(Strategy::Add)
            });
        match listed {
            Some(role) => self.connector.minted(credential, role).await.map(drop),
            None => Ok(()),
        }
    }

    /// Asks for each change of nobody. An answer that is about the request and not about the credential
    /// tells nothing, and holds nothing up.
    pub(super) async fn try_writes(&self, credential: &Credential) -> Result<(), Failure> {
        let nobody = nobody(&self.label());
        for operation in TRIED {
            if !self.connector.manifest().operations.contains(&operation) {
                continue;
            }
            let change = Change {
                operation,
                account: AccountId(nobody.clone()),
                login: nobody.clone(),
                entitlement: None,
            };
            match self.connector.try_write(credential, &change).await {
                Err(failure) if denies(&failure) => return Err(may_not(operation, &failure)),
                Err(failure) if may_pass(&failure) => return Err(failure),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// An id that nobody can have, in the form that most targets give theirs. It begins with a letter, because
/// some targets make a number of the digits that an id begins with, and that number is somebody.
fn nobody(label: &str) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::digest(label)[..16]);
    bytes[0] |= 0xf0;
    let id: Uuid = uuid::Builder::from_random_bytes(bytes).into_uuid();
    id.to_string()
}

/// The target does not let this credential do that. What the guard refuses was never asked.
fn denies(failure: &Failure) -> bool {
    match failure.class {
        FailureClass::AuthFailure => true,
        FailureClass::Refused => failure.code.split('-').nth(1) != Some("GUARD"),
        _ => false,
    }
}

/// Another try may tell: nothing came back, or it was not the moment.
pub(super) fn may_pass(failure: &Failure) -> bool {
    failure.code == crate::connectors::PAUSED
        || matches!(
            failure.class,
            FailureClass::Unreachable | FailureClass::RateLimited | FailureClass::UnknownOutcome
        )
}

fn may_not(operation: Operation, failure: &Failure) -> Failure {
    let operation = operation.as_str();
    Failure::new(
        FailureClass::WriteFailure,
        "CB-SECRETS-30",
        format!("the new secret signs in but may not {operation}: {failure}"),
    )
}
