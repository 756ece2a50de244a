//! The rounds in which a case looks: the first, and one more whenever more is told of it under way.
//!
//! Owns how the runs of a round are named, so that a repeated step makes none twice and a later round's
//! are others. When a round begins is decided in `admit`, and what it leaves to another one in `step`.

use super::id::{CaseId, ConnectorName, RunId};
use super::workflow::RunKind;

/// As serde asks.
#[allow(clippy::trivially_copy_pass_by_ref)] // Serde gives a reference.
pub(super) fn is_first(round: &u32) -> bool {
    *round == 0
}

/// The run that looks at a target for a case.
pub fn discovery_of(case: CaseId, connector: &ConnectorName, round: u32) -> RunId {
    let name = in_round(connector.as_str(), round);
    case.run().child(RunKind::Discovery.as_str(), &name)
}

/// A child's name: what is begun anew is another one. Rounds count from 0.
pub fn in_round(name: &str, round: u32) -> String {
    match round {
        0 => name.to_owned(),
        round => format!("{name}#{round}"),
    }
}
