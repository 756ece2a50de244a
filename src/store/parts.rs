//! What a case came to be made of, target by target.
//!
//! Owns the one statement, which both databases take, and its rows. What follows from it, a second look
//! or the end of the case, is decided by `domain::step`.

use crate::domain::id::CaseId;
use crate::domain::step::Parts;

use super::Stored;
use super::shape::instant;

/// What a case did at one target.
#[derive(sqlx::FromRow)]
pub(super) struct PartRow {
    connector: Option<String>,
    removals: i64,
    attested: i64,
    verified: i64,
    ended_us: Option<i64>,
}

/// The parts of the case with the id `case`, a parameter.
pub(super) fn parts_statement(case: &str) -> String {
    format!(
        "SELECT connector, count(*) FILTER (WHERE kind = 'removal') AS removals, \
         count(*) FILTER (WHERE ended = 'attested') AS attested, \
         count(*) FILTER (WHERE ended = 'verified') AS verified, max(ended_us) AS ended_us \
         FROM runs WHERE case_id = {case} AND kind IN ('discovery', 'removal') \
         GROUP BY connector ORDER BY connector"
    )
}

/// All targets taken together. One that had nothing, and was searched with that result, is told by name.
pub(super) fn parts(case: CaseId, rows: &[PartRow]) -> Stored<Parts> {
    let mut parts = Parts::default();
    for row in rows {
        parts.removals += row.removals as u32;
        parts.attested += row.attested as u32;
        let searched = row.removals == 0 && row.verified > 0;
        if let (true, Some(connector), Some(at)) = (searched, &row.connector, row.ended_us) {
            let at = instant(at, "runs", "ended_us", case.0)?;
            parts.empty.push((connector.as_str().into(), at));
        }
    }
    Ok(parts)
}
