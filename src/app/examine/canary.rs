//! What is tried on a canary.
//!
//! Owns the changes that an examination makes of an account as it was read, and the id that nobody
//! has. Sends nothing.

use crate::connectors::Change;
use crate::domain::access::{Account, AccountState, Entitlement, EntitlementKind, Operation};
use crate::domain::id::AccountId;

/// One change of the account.
pub(super) fn change(
    operation: Operation,
    account: &Account,
    entitlement: Option<Entitlement>,
) -> Change {
    Change {
        operation,
        account: account.id.clone(),
        login: account.login.clone(),
        entitlement,
    }
}

/// What a change of this kind takes from the canary, one by one; `None` for the account as a whole.
pub(super) fn taken_by(operation: Operation, canary: &Account) -> Vec<Option<Entitlement>> {
    let credentials = operation == Operation::RevokeCredential;
    if !credentials && operation != Operation::RevokeEntitlement {
        return vec![None];
    }
    let own = canary.entitlements.iter().filter(|one| {
        one.inherited_from.is_none() && (one.kind == EntitlementKind::Credential) == credentials
    });
    own.cloned().map(Some).collect()
}

/// Something to take, for a change that will be refused.
pub(super) fn example(operation: Operation) -> Option<Entitlement> {
    let takes_one = matches!(
        operation,
        Operation::RevokeEntitlement | Operation::RevokeCredential
    );
    takes_one.then(|| Entitlement {
        id: "clawback-examines".into(),
        kind: EntitlementKind::Group,
        name: "clawback-examines".to_owned(),
        inherited_from: None,
    })
}

/// True where the target does not tell what the change was about.
pub(super) fn cannot_be_seen(change: &Change, account: &Account) -> bool {
    match change.operation {
        Operation::Disable => account.state == AccountState::NotTold,
        Operation::EndSessions => account.sessions.is_none(),
        Operation::RevokeEntitlement
        | Operation::RevokeCredential
        | Operation::Delete
        | Operation::List
        | Operation::Read => false,
    }
}

/// An id of the same form that nobody has.
pub(super) fn nobody(like: &AccountId) -> AccountId {
    let text = like.as_str();
    if text.parse::<u64>().is_ok() {
        return AccountId(i32::MAX.to_string());
    }
    if let Ok(id) = text.parse::<uuid::Uuid>() {
        let flipped = uuid::Uuid::from_u128(!id.as_u128());
        let simple = !text.contains('-');
        return AccountId(if simple {
            flipped.simple().to_string()
        } else {
            flipped.to_string()
        });
    }
    AccountId(format!("{text}-nobody"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_the_form_of_somebody() {
        let nobody = |like: &str| nobody(&AccountId(like.to_owned())).as_str().to_owned();
        assert_eq!(nobody("17"), "2147483647");
        assert_eq!(nobody("ada"), "ada-nobody");
        let id = "2819c223-7f76-453a-919d-413861904646";
        assert_eq!(nobody(id).len(), id.len());
        assert_ne!(nobody(id), id);
        assert!(!nobody(&id.replace('-', "")).contains('-'));
    }
}
