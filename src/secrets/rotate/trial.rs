//! Whether a new writer may write, before anybody depends on it.
//!
//! Owns the changes by which that is tried: each declared operation on an account, of an account that
//! nobody has, named by the rotation's own id. A target that knows the credential's powers denies them;
//! one that has them finds nobody. Tries no revocation: there is nothing to name that nobody has.

use super::Rotation;
use crate::connectors::{Change, Credential};
use crate::domain::access::Operation;
use crate::domain::id::AccountId;
use crate::domain::outcome::{Failure, FailureClass};

/// Operations on an account that name nothing but the account.
const TRIED: [Operation; 3] = [
    Operation::Disable,
    Operation::EndSessions,
    Operation::Delete,
];

impl Rotation<'_> {
    /// Asks for each change of nobody. An answer that is about the request and not about the credential
    /// tells nothing, and holds nothing up.
    pub(super) async fn try_writes(&self, credential: &Credential) -> Result<(), Failure> {
        let label = self.label();
        let nobody = label.rsplit(':').next().unwrap_or_default();
        for operation in TRIED {
            if !self.connector.manifest().operations.contains(&operation) {
                continue;
            }
            let change = Change {
                operation,
                account: AccountId(nobody.to_owned()),
                login: nobody.to_owned(),
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

/// The target does not let this credential do that. What the guard refuses was never asked.
fn denies(failure: &Failure) -> bool {
    match failure.class {
        FailureClass::AuthFailure => true,
        FailureClass::Refused => failure.code.split('-').nth(1) != Some("GUARD"),
        _ => false,
    }
}

/// Another try may tell: nothing came back, or it was not the moment.
fn may_pass(failure: &Failure) -> bool {
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
