//! `[drill]` in a manifest: the canary whose access drills take away, and when.
//!
//! Owns the reading and its defaults. Makes no canary: Clawback never grants, so the manifest says in
//! words who or what does.

use crate::document::Table;
use crate::domain::correlation::Rule;
use crate::domain::drill::Terms;
use crate::domain::id::ConnectorName;
use crate::domain::subject::{Identifier, Subject, SubjectKind};

use super::{number, text};

const WITHIN_HOURS: u64 = 24;

pub(super) fn read(
    root: &Table<'_>,
    connector: &ConnectorName,
    correlation: &Rule,
) -> Option<Terms> {
    let table = root.table("drill")?;
    let every_days = number(&table, "every_days", 1..=366);
    let within_hours = number(&table, "within_hours", 1..=24 * 31);
    let made_by = text(&table, "made_by");
    let canary = table.required_table("canary");
    let mut identifiers = Vec::new();
    if let Some(canary) = &canary {
        for key in canary.keys() {
            if let Some(value) = text(canary, &key.value) {
                identifiers.push(Identifier {
                    kind: key.value,
                    value: value.value,
                });
            }
        }
        let decides = |kind: &str| {
            let mut pairs = correlation.pairs.iter();
            pairs.any(|pair| pair.decides && pair.identifier == kind)
        };
        if !identifiers.iter().any(|one| decides(&one.kind)) {
            canary.report(
                canary.line(),
                "the canary has no identifier by which accounts are found",
                "give it one that a `[[correlation]]` with `decides = true` names",
            );
        }
        canary.finish();
    }
    table.finish();
    canary?;
    Some(Terms {
        canary: Subject {
            kind: SubjectKind::Person,
            tenant: "clawback".to_owned(),
            id: format!("canary-{connector}"),
            identifiers,
            display_name: Some(format!("Canary of {connector}")),
            privileged: false,
        },
        every_seconds: every_days.map(|days| days * 86_400),
        within_seconds: within_hours.unwrap_or(WITHIN_HOURS) * 3600,
        made_by: made_by?.value,
    })
}
