//! What auditors ask for: who left when, contained when, removed when, how proved, what was open and why.
//!
//! Owns the table, as CSV and as JSON. A row is one account, or one target in which nobody could look.
//! Judges nothing anew.

use serde_json::Value;

use super::AppError;
use super::evidence::{NOTHING_YET, Return, Target, placed, targets, told_by, workflow_of};
use crate::domain::time::Timestamp;
use crate::store::{CaseFilter, CaseStory, Store};

/// More cases than this in one report: ask for a shorter period.
const MOST_CASES: u32 = 1_000_000;

/// The columns, in order.
pub const COLUMNS: [&str; 17] = [
    "case",
    "hr_case",
    "subject",
    "subject_key",
    "left",
    "known",
    "target",
    "account",
    "account_id",
    "contained",
    "removed",
    "proof",
    "verdict",
    "state",
    "open_and_why",
    "task_closed",
    "closed_at_once",
];

/// One row.
#[derive(Debug, Clone)]
pub struct Row {
    /// In the order of [`COLUMNS`].
    pub cells: [String; 17],
}

/// Rows for the cases whose access was to end from `from` on and before `to`, by that instant.
///
/// # Errors
/// When the store fails.
pub async fn rows(store: &dyn Store, from: Timestamp, to: Timestamp) -> Result<Vec<Row>, AppError> {
    let mut rows = Vec::new();
    let (stories, returns) = stories(store, from, to).await?;
    for (story, workflow) in stories {
        let targets = targets(&story, workflow.as_ref(), &returns);
        if targets.is_empty() {
            rows.push(row(&story, None));
        }
        rows.extend(targets.iter().map(|target| row(&story, Some(target))));
    }
    Ok(rows)
}

pub(super) type Told = (CaseStory, Option<crate::domain::workflow::Workflow>);

/// The cases of this time, and what was there again of any case at any time.
pub(super) async fn stories(
    store: &dyn Store,
    from: Timestamp,
    to: Timestamp,
) -> Result<(Vec<Told>, Vec<Return>), AppError> {
    let filter = CaseFilter {
        limit: MOST_CASES,
        ..CaseFilter::default()
    };
    let mut cases = store.cases(&filter).await?;
    let returns = told_by(cases.iter().map(|case| (&case.row, case.ended)));
    let returns = placed(store, returns).await?;
    cases.retain(|case| case.row.effective >= from && case.row.effective < to);
    cases.sort_by_key(|case| (case.row.effective, case.row.id));
    let mut stories = Vec::with_capacity(cases.len());
    for case in cases {
        if let Some(story) = store.case(case.row.id).await? {
            let workflow = workflow_of(store, &story).await?;
            stories.push((story, workflow));
        }
    }
    Ok((stories, returns))
}

fn row(story: &CaseStory, target: Option<&Target>) -> Row {
    let case = &story.report.row;
    let at = |instant: Option<Timestamp>| instant.map_or(String::new(), |at| at.to_string());
    let of = |pick: fn(&Target) -> String| target.map_or(String::new(), pick);
    let state = story.report.ended.map_or("open", |end| end.as_str());
    // An open case may still find access, or wait for a person who says where it is.
    let (proof, why) = match story.report.ended {
        Some(_) => ("none needed", ""),
        None => ("none", NOTHING_YET),
    };
    Row {
        cells: [
            case.id.to_string(),
            case.hr_case.clone(),
            case.subject_name.clone(),
            case.subject_key.clone(),
            case.effective.to_string(),
            case.opened.to_string(),
            of(|target| target.connector.clone()),
            of(|target| target.login.clone()),
            of(|target| target.account.clone()),
            at(target.and_then(|target| target.contained)),
            at(target.and_then(|target| target.removed)),
            target
                .map_or(proof, |target| target.proof.as_str())
                .to_owned(),
            of(|target| target.verdict.clone()),
            target.map_or(state.to_owned(), |target| target.end.clone()),
            target.map_or(why.to_owned(), |target| target.open.clone()),
            of(|target| target.task_closed.clone()),
            of(|target| target.closed_at_once.clone()),
        ],
    }
}

/// The rows as JSON objects.
pub fn as_json(rows: &[Row]) -> Value {
    let objects = rows.iter().map(|row| {
        let fields = COLUMNS.iter().zip(&row.cells);
        let fields = fields.map(|(name, cell)| ((*name).to_owned(), Value::from(cell.as_str())));
        Value::Object(fields.collect())
    });
    objects.collect()
}

/// The rows as CSV (RFC 4180).
pub fn csv(rows: &[Row]) -> String {
    let mut text = COLUMNS.join(",");
    for row in rows {
        text.push_str("\r\n");
        let cells: Vec<_> = row.cells.iter().map(|cell| quoted(cell)).collect();
        text.push_str(&cells.join(","));
    }
    text
}

/// A field; one that a spreadsheet would take for a formula is kept from being one by an apostrophe.
fn quoted(cell: &str) -> String {
    let tame = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    };
    if tame.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", tame.replace('"', "\"\""))
    } else {
        tame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_is_neither_a_formula_nor_a_second_field() {
        assert_eq!(quoted("=HYPERLINK(\"x\")"), "\"'=HYPERLINK(\"\"x\"\")\"");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("-1"), "'-1");
        assert_eq!(quoted("plain"), "plain");
    }
}
