//! What a removal may leave, where that is less than the manifests want gone.
//!
//! Owns the word `leaves` and who may say it: a workflow that only silences identities. In any other a
//! departure could end as proved with access that its manifest wants gone.

use crate::document::Table;
use crate::domain::event::EventKind;
use crate::domain::verdict::Expectation;
use crate::domain::workflow::{RunKind, Workflow};

/// `leaves` of a removal: what of the account may stay, where that is less than the manifests want gone.
pub fn read(kind: RunKind, table: &Table<'_>) -> Option<Expectation> {
    let item = table.string("leaves")?;
    if kind != RunKind::Removal || item.value != "no_way_in" {
        table.report(
            item.line,
            format!(
                "`leaves = \"{}\"` means nothing to a {}",
                item.value,
                kind.as_str()
            ),
            "write `leaves = \"no_way_in\"` in `[removal]`, or leave it out for what manifests say",
        );
        return None;
    }
    Some(Expectation::NoWayIn)
}

/// True unless the workflow says `leaves` and opens on other events than that an identity fell silent.
pub fn may_be_said(workflow: &Workflow) -> bool {
    let removal = workflow.machines.get(&RunKind::Removal);
    let mut opens_on = workflow.opens_on.iter();
    removal.is_none_or(|machine| machine.expect.is_none())
        || opens_on.all(|kind| *kind == EventKind::NhiSilent)
}
