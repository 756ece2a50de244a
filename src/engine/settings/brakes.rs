//! `[brakes]` and `[protected]`: how many may go within a time, and who never does without approval.
//!
//! Owns the reading of both tables. What they mean is the domain's. All problems go into the document.

use std::collections::BTreeSet;

use crate::document::Table;
use crate::domain::brake::{Apart, Brakes, Departures, Limit, Writes};
use crate::domain::id::ConnectorName;

/// Reads the `[brakes]` table; problems go into its document.
pub fn read(table: &Table<'_>) -> Brakes {
    let departures = table.tables("departures");
    let writes = table.tables("writes");
    let brakes = Brakes {
        departures: departures.iter().map(departure).collect(),
        writes: writes.iter().map(write).collect(),
    };
    table.finish();
    brakes
}

/// Reads the `[protected]` table: subjects as `tenant/id`.
pub fn read_protected(table: &Table<'_>) -> BTreeSet<String> {
    let mut subjects = BTreeSet::new();
    for item in table.strings("subjects") {
        if !item.value.contains('/') {
            table.report(
                item.line,
                format!("`{}` names no tenant", item.value),
                "write tenant and id, such as acme/E1",
            );
        }
        subjects.insert(item.value);
    }
    table.finish();
    subjects
}

fn departure(table: &Table<'_>) -> Departures {
    let by = table.string("by").map(|item| match item.value.as_str() {
        "source" => Apart::Source,
        "organisation_unit" => Apart::Unit,
        other => {
            table.report(
                item.line,
                format!("`by` is `{other}`"),
                "use source or organisation_unit",
            );
            Apart::Source
        }
    });
    let brake = Departures {
        by: by.unwrap_or(Apart::Source),
        only: table.string("only").map(|item| item.value),
        population: number(table, "population"),
        limit: limit(table),
    };
    if brake.limit.share_percent.is_some() && brake.population.is_none() {
        table.report(
            table.line(),
            "a share of departures needs a `population`",
            "say how many people the source or unit has, or leave `share_percent` out",
        );
    }
    table.finish();
    brake
}

fn write(table: &Table<'_>) -> Writes {
    let brake = Writes {
        connector: table
            .string("connector")
            .map(|item| ConnectorName(item.value)),
        limit: limit(table),
    };
    table.finish();
    brake
}

fn limit(table: &Table<'_>) -> Limit {
    let at_most = number(table, "at_most");
    if at_most.is_none() && !table.has("at_most") {
        table.report(
            table.line(),
            "`at_most` is missing",
            "say how many may go within the window",
        );
    }
    Limit {
        window_seconds: number(table, "window_minutes")
            .unwrap_or(60)
            .saturating_mul(60),
        at_most: at_most.unwrap_or(0),
        share_percent: table
            .integer("share_percent", 0..=100)
            .map(|item| item.value.unsigned_abs()),
        at_least: number(table, "at_least").unwrap_or(1),
    }
}

fn number(table: &Table<'_>, key: &str) -> Option<u64> {
    table
        .integer(key, 0..=10_000_000)
        .map(|item| item.value.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    #[test]
    fn g1_brakes_are_read_and_what_is_wrong_is_told_at_once() {
        let text = "[[departures]]\nat_most = 50\nshare_percent = 5\npopulation = 900\nat_least = 3\n\
                    [[departures]]\nby = \"organisation_unit\"\nonly = \"sales\"\nat_most = 5\n\
                    [[writes]]\nconnector = \"crm\"\nwindow_minutes = 10\nat_most = 20\n";
        let document = Document::parse("clawback.toml", text).expect("is TOML");
        let brakes = read(&document.root());
        assert!(document.take_problems().is_empty());
        assert_eq!(brakes.departures[0].limit.of(Some(900)), 45);
        assert_eq!(brakes.departures[1].by, Apart::Unit);
        assert_eq!(brakes.writes[0].limit.window_seconds, 600);
        let text = "[[departures]]\nby = \"moon\"\nshare_percent = 5\nat_most = 1\n[[writes]]\n";
        let document = Document::parse("clawback.toml", text).expect("is TOML");
        read(&document.root());
        assert_eq!(document.take_problems().0.len(), 3);
        let document = Document::parse("clawback.toml", "subjects = [\"acme/E1\", \"E2\"]");
        let document = document.expect("is TOML");
        assert_eq!(read_protected(&document.root()).len(), 2);
        assert_eq!(document.take_problems().0.len(), 1);
    }
}
