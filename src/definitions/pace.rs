//! The same workflow with shorter waits, for `clawback dev`.
//!
//! Owns the division of every duration in a checked workflow. Order, counts and edges stay as they
//! are, so the proofs hold; production runs workflows as written.

use crate::domain::retry::RetryPolicy;
use crate::domain::workflow::{Action, Next, Workflow};

/// Nobody watches longer than this for the next thing to happen.
const LONGEST_WAIT_SECONDS: u64 = 10;

/// `workflow` with every wait divided by `by` and rounded up; nothing becomes zero that was not, and
/// no state waits longer than somebody would watch.
pub fn divide(workflow: &Workflow, by: u64) -> Workflow {
    let mut quick = workflow.clone();
    let states = quick
        .machines
        .values_mut()
        .flat_map(|m| m.states.values_mut());
    for state in states {
        match &mut state.action {
            Action::Wait { seconds } => {
                *seconds = seconds.div_ceil(by).min(LONGEST_WAIT_SECONDS);
            }
            Action::Fallback(fallback) => {
                fallback.keep_trying_seconds = fallback.keep_trying_seconds.div_ceil(by);
            }
            Action::AwaitEffective
            | Action::Discover
            | Action::FindAccounts
            | Action::RemoveAccounts
            | Action::Inspect
            | Action::CutUpstream
            | Action::Act(_)
            | Action::Each { .. }
            | Action::Verify { .. }
            | Action::Probe
            | Action::Rotate(_)
            | Action::Overlap
            | Action::Gather
            | Action::End(_) => {}
        }
        for next in state.on.values_mut() {
            match next {
                Next::Go(_) => {}
                Next::Retry { policy, .. } | Next::Rotate { policy, .. } => {
                    *policy = RetryPolicy {
                        attempts: policy.attempts,
                        first_seconds: policy.first_seconds.div_ceil(by),
                        at_most_seconds: policy.at_most_seconds.div_ceil(by),
                    };
                }
            }
        }
    }
    quick
}
