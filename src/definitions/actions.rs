//! The words after `do =` and what they mean.
//!
//! Owns the names of actions in workflow files, and which run kind may use which. The names are the
//! field's verbs; `domain::workflow::Action` is the meaning. Does not read files.

use crate::domain::access::Operation;
use crate::domain::verdict::Verdict;
use crate::domain::workflow::{Action, Fallback, RotationStep, RunKind};

/// Every name, in the order in which a reader meets them.
pub const NAMES: [&str; 23] = [
    "await_effective",
    "discover",
    "find_accounts",
    "remove_accounts",
    "inspect",
    "disable",
    "end_sessions",
    "revoke_credentials",
    "revoke_entitlements",
    "delete",
    "verify",
    "probe",
    "reverify",
    "cut_upstream",
    "prepare_secret",
    "create_secret",
    "test_secret",
    "promote_secret",
    "overlap",
    "retire_secret",
    "prove_rejected",
    "wait",
    "gather",
];

/// The name of the action that opens a fallback task; it takes keys of its own.
pub const FALLBACK: &str = "fallback";

/// The action with this name, with its usual settings; `None` for `fallback` and for what is no
/// action.
pub fn from_name(name: &str) -> Option<Action> {
    let each = |operation| Action::Each {
        operation,
        side_by_side: true,
    };
    Some(match name {
        "await_effective" => Action::AwaitEffective,
        "discover" => Action::Discover,
        "find_accounts" => Action::FindAccounts,
        "remove_accounts" => Action::RemoveAccounts,
        "inspect" => Action::Inspect,
        "disable" => Action::Act(Operation::Disable),
        "end_sessions" => Action::Act(Operation::EndSessions),
        "delete" => Action::Act(Operation::Delete),
        "revoke_credentials" => each(Operation::RevokeCredential),
        "revoke_entitlements" => each(Operation::RevokeEntitlement),
        "verify" => Action::Verify {
            rung: Verdict::ObservedAbsent,
        },
        "reverify" => Action::Verify {
            rung: Verdict::Reverified,
        },
        "cut_upstream" => Action::CutUpstream,
        "probe" => Action::Probe,
        "wait" => Action::Wait { seconds: 0 },
        "overlap" => Action::Overlap,
        "gather" => Action::Gather,
        other => Action::Rotate(
            RotationStep::ALL
                .into_iter()
                .find(|step| step.as_str() == other)?,
        ),
    })
}

/// The name of an action; for an end, the end's own.
pub fn name(action: &Action) -> &'static str {
    match action {
        Action::AwaitEffective => "await_effective",
        Action::Discover => "discover",
        Action::FindAccounts => "find_accounts",
        Action::RemoveAccounts => "remove_accounts",
        Action::Inspect => "inspect",
        Action::Act(operation) => operation.as_str(),
        Action::Each {
            operation: Operation::RevokeCredential,
            ..
        } => "revoke_credentials",
        Action::Each { .. } => "revoke_entitlements",
        Action::Verify {
            rung: Verdict::Reverified,
        } => "reverify",
        Action::Verify { .. } => "verify",
        Action::CutUpstream => "cut_upstream",
        Action::Probe => "probe",
        Action::Wait { .. } => "wait",
        Action::Rotate(step) => step.as_str(),
        Action::Overlap => "overlap",
        Action::Gather => "gather",
        Action::Fallback(Fallback { .. }) => FALLBACK,
        Action::End(end) => end.as_str(),
    }
}

/// True when a run of this kind has what the action needs.
pub fn fits(action: &Action, kind: RunKind) -> bool {
    match action {
        Action::AwaitEffective | Action::Discover => kind == RunKind::Case,
        Action::FindAccounts | Action::RemoveAccounts => kind == RunKind::Discovery,
        Action::Inspect | Action::Probe => kind == RunKind::Removal,
        Action::Act(operation) => {
            kind == RunKind::Removal
                && matches!(
                    operation,
                    Operation::Disable | Operation::EndSessions | Operation::Delete
                )
        }
        Action::Each { operation, .. } => {
            kind == RunKind::Removal
                && matches!(
                    operation,
                    Operation::RevokeEntitlement | Operation::RevokeCredential
                )
        }
        Action::Verify { rung } => {
            kind == RunKind::Removal
                && matches!(rung, Verdict::ObservedAbsent | Verdict::Reverified)
        }
        Action::CutUpstream => matches!(kind, RunKind::Discovery | RunKind::Removal),
        Action::Rotate(_) | Action::Overlap => kind == RunKind::Rotation,
        Action::Gather => matches!(kind, RunKind::Case | RunKind::Discovery),
        Action::Wait { .. } | Action::Fallback(_) | Action::End(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_means_an_action_that_has_that_name_and_fits_somewhere() {
        for word in NAMES {
            let action = from_name(word).unwrap_or_else(|| panic!("{word} means nothing"));
            assert_eq!(name(&action), word);
            assert!(RunKind::ALL.into_iter().any(|kind| fits(&action, kind)));
        }
        assert_eq!(from_name("enable"), None);
    }
}
