//! What has happened since the last look, one line for each: the story that `clawback dev` tells.
//!
//! Owns which changes of cases, tasks and rotations are news, and their words. Reads the store alone
//! and tells each thing once. Judges nothing: what is proved is what the store holds proof of.

use std::collections::BTreeSet;

use crate::domain::id::{CaseId, RunId, TaskId};
use crate::domain::run::{Run, Stage};
use crate::domain::task::FallbackTask;
use crate::domain::time::Timestamp;
use crate::domain::workflow::End;
use crate::store::{CaseFilter, CaseReport, Store, StoreError, TaskFilter};

/// What was told already.
#[derive(Debug, Default)]
pub struct Chronicle {
    cases: BTreeSet<CaseId>,
    tasks: BTreeSet<TaskId>,
    rotations: BTreeSet<RunId>,
}

impl Chronicle {
    /// Lines for what is new, in the order in which a reader understands it.
    ///
    /// # Errors
    /// When the store fails; the next look tells what this one could not.
    pub async fn news(&mut self, store: &dyn Store) -> Result<Vec<String>, StoreError> {
        let rotations = store.rotations(None).await?;
        let tasks = store.tasks(&TaskFilter::default()).await?;
        let mut cases = store.cases(&CaseFilter::default()).await?;
        cases.sort_by_key(|case| case.ended_at);
        let mut news = Vec::new();
        for run in &rotations {
            if let Stage::Ended { end, .. } = &run.stage
                && self.rotations.insert(run.id)
            {
                news.push(replaced(run, *end));
            }
        }
        for task in &tasks {
            if self.tasks.insert(task.id) {
                news.push(handed(task));
            }
        }
        for case in &cases {
            if let (Some(end), Some(at)) = (case.ended, case.ended_at)
                && self.cases.insert(case.row.id)
            {
                news.push(over(case, end, at));
            }
        }
        Ok(news)
    }
}

fn replaced(run: &Run, end: End) -> String {
    let connector = run.connector.as_ref().map_or("", |name| name.as_str());
    format!("  secret of {connector}: {}", end.as_str())
}

fn handed(task: &FallbackTask) -> String {
    let target = task.connector.as_ref().map_or("", |name| name.as_str());
    let account = task.account.as_deref().unwrap_or("any account");
    format!(
        "  to a person: {target}, {account} of {}: {} {}",
        task.subject, task.code, task.why
    )
}

fn over(case: &CaseReport, end: End, at: Timestamp) -> String {
    let name = &case.row.subject_name;
    let begun = case.row.opened.max(case.row.effective);
    let seconds = at.duration_since(begun).as_secs_f64().max(0.0);
    match end {
        End::Verified if case.removals == 0 => format!("  proved: {name} has no account anywhere"),
        End::Verified => format!(
            "  proved: {name} is out of {} of {} accounts after {seconds:.1} s",
            case.verified, case.removals
        ),
        other => format!("  {}: {name}", other.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::settlement::CaseRow;

    fn case() -> CaseReport {
        let opened = Timestamp::UNIX_EPOCH;
        CaseReport {
            row: CaseRow {
                id: CaseId(uuid::Uuid::nil()),
                subject_key: "acme/E1".to_owned(),
                subject_name: "Ada".to_owned(),
                event: crate::domain::id::EventKey(uuid::Uuid::nil()),
                hr_case: "hr-1".to_owned(),
                revision: 1,
                workflow: "leaver".to_owned(),
                effective: Timestamp::from_second(10).expect("a time"),
                opened,
                priority: 1,
            },
            ended: None,
            ended_at: None,
            removals: 3,
            verified: 3,
            attested: 0,
            open_tasks: 0,
        }
    }

    #[test]
    fn a_planned_departure_counts_from_its_instant() {
        let at = Timestamp::from_millisecond(12_500).expect("a time");
        let told = over(&case(), End::Verified, at);
        assert_eq!(told, "  proved: Ada is out of 3 of 3 accounts after 2.5 s");
        assert_eq!(over(&case(), End::Rescinded, at), "  rescinded: Ada");
        let none = CaseReport {
            removals: 0,
            ..case()
        };
        assert!(over(&none, End::Verified, at).contains("no account"));
    }
}
