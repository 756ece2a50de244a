//! `[fallback]` of a manifest: what a person does when the machine cannot, and who is told when nobody does.
//!
//! Owns the reading of the table. What the names in steps become is `domain::instructions`.

use super::number;
use crate::document::Table;
use crate::domain::estate::Instructions;
use crate::domain::instructions::{NAMES, unknown_names};

/// What stands where the table could not be read.
pub(super) fn none() -> Instructions {
    Instructions {
        desk: String::new(),
        steps: Vec::new(),
        deadline_hours: 0,
        escalate_to: Vec::new(),
    }
}

pub(super) fn read(root: &Table<'_>) -> Option<Instructions> {
    let table = root.required_table("fallback")?;
    let desk = table
        .string("desk")
        .map_or_else(|| "built-in".to_owned(), |item| item.value);
    let deadline_hours = number(&table, "deadline_hours", 1..=24 * 365).unwrap_or(24);
    let steps = table.strings("steps");
    for step in &steps {
        for name in unknown_names(&step.value) {
            table.report(
                step.line,
                format!("a step names `{{{name}}}`"),
                format!("use one of: {{{}}}", NAMES.join("}, {")),
            );
        }
    }
    let steps: Vec<_> = steps.into_iter().map(|item| item.value).collect();
    let escalate_to = table.strings("escalate_to").into_iter();
    let escalate_to = escalate_to.map(|item| item.value).collect();
    if steps.is_empty() {
        table.report(
            table.line(),
            "the fallback has no `steps`",
            "write down what a person does when the machine cannot",
        );
    }
    table.finish();
    Some(Instructions {
        desk,
        steps,
        deadline_hours,
        escalate_to,
    })
}
