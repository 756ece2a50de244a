//! Access that was there again after its removal had ended, as later cases of the same subject tell it.
//!
//! Owns which case goes on with which run, through any number of returns, and what is told of it.
//! Whether access is back was judged when that case was opened; nothing is judged anew.

use serde_json::{Value, json};

use crate::app::AppError;
use crate::domain::again::seen_again;
use crate::domain::id::{CaseId, RunId};
use crate::domain::settlement::CaseRow;
use crate::domain::time::Timestamp;
use crate::domain::workflow::End;
use crate::store::Store;

/// A case that was opened because what a run had removed was there again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Return {
    /// The case.
    pub case: CaseId,
    /// When it was opened.
    pub at: Timestamp,
    /// How it ended, if it has.
    pub ended: Option<End>,
    run: RunId,
    /// The case of that run.
    of: Option<CaseId>,
    revision: u64,
}

impl Return {
    /// How the case stands.
    pub fn state(&self) -> &'static str {
        self.ended.map_or("open", End::as_str)
    }

    /// True while neither a look nor a person says that the access is gone again.
    pub fn is_owed(&self) -> bool {
        !matches!(self.ended, Some(End::Verified | End::Attested))
    }

    /// For people.
    pub fn words(&self) -> String {
        let (case, state) = (self.case, self.state());
        format!(
            "seen again at {}; case {case}, which takes it back, is {state}",
            self.at
        )
    }

    /// For files.
    pub fn told(&self) -> Value {
        json!({ "case": self.case, "at": self.at, "state": self.state() })
    }
}

/// The returns that all cases of a subject tell of.
///
/// # Errors
/// When the store fails.
pub async fn returns(store: &dyn Store, subject_key: &str) -> Result<Vec<Return>, AppError> {
    let cases = store.cases_of(subject_key).await?;
    let told = told_by(cases.iter().map(|case| (&case.row, case.ended)));
    placed(store, told).await
}

/// The returns that some of these cases tell of, before it is looked up where they belong.
pub fn told_by<'a>(cases: impl Iterator<Item = (&'a CaseRow, Option<End>)>) -> Vec<Return> {
    let returns = cases.filter_map(|(row, ended)| {
        Some(Return {
            case: row.id,
            at: row.opened,
            ended,
            run: seen_again(&row.hr_case)?,
            of: None,
            revision: row.revision,
        })
    });
    returns.collect()
}

/// The same, each with the case whose access came back.
///
/// # Errors
/// When the store fails.
pub async fn placed(store: &dyn Store, mut returns: Vec<Return>) -> Result<Vec<Return>, AppError> {
    for one in &mut returns {
        one.of = store.run(one.run).await?.and_then(|(run, _)| run.case);
    }
    Ok(returns)
}

/// How the return of what this run had removed stands: by the newest case of each run that it led to, and
/// by one that is owed before any that is not.
pub fn returned(all: &[Return], run: RunId) -> Option<&Return> {
    let mut found: Vec<&Return> = all.iter().filter(|one| one.run == run).collect();
    let mut next = 0;
    while let Some(case) = found.get(next).map(|one| one.case) {
        let later = all.iter().filter(|one| one.of == Some(case));
        for one in later {
            if !found.iter().any(|known| known.case == one.case) {
                found.push(one);
            }
        }
        next += 1;
    }
    let newest = found.iter().filter(|one| {
        let later = |other: &&&Return| (other.at, other.revision) > (one.at, one.revision);
        !found.iter().filter(later).any(|other| other.run == one.run)
    });
    newest.max_by_key(|one| (one.is_owed(), one.at)).copied()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::{gather_from, seen_gone, settle};
    use super::super::{bundle, page};
    use super::*;
    use crate::app::report;
    use crate::domain::again::hr_case;
    use crate::domain::run::Run;
    use crate::domain::settlement::Settlement;
    use crate::store::given::{
        a_case, at, ended, event, fenced, gathering, keep, opens, recorded, removal, step, subject,
    };
    use crate::store::{Claimed, Settings, open};

    /// Proves the removal of a case, and ends the case.
    async fn proved(store: &Arc<dyn Store>, case: &Claimed) -> Run {
        let gather = Settlement {
            children: vec![removal(&case.run, "crm", "a1")],
            ..step(&case.run, gathering("fan-out"))
        };
        settle(store, vec![fenced(case, gather)]).await;
        let held = store.claim(at(1), &keep(1, 5)).await.expect("claimed");
        let gone = seen_gone(&held[0].run);
        settle(store, vec![fenced(&held[0], gone)]).await;
        let whole = store.claim(at(3), &keep(1, 5)).await.expect("claimed");
        let id = case.run.case.expect("a case");
        let end = Settlement {
            case_ended: Some((id, End::Verified, at(3))),
            ..step(&whole[0].run, ended(End::Verified))
        };
        settle(store, vec![fenced(&whole[0], end)]).await;
        held[0].run.clone()
    }

    /// The case that is opened because the access that this run removed is there again.
    async fn seen_once_more(store: &Arc<dyn Store>, run: &Run, id: &str) -> Claimed {
        let mut back = event(id, &hr_case(run.id), 1);
        back.event.subject = subject("ada");
        recorded(store, vec![back]).await;
        let decide = |event: &_, _: &[_]| opens(event);
        let admitted = store.admit(10, at(4), &keep(1, 1), &decide).await;
        admitted.expect("admitted").kept.remove(0)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn e6_access_that_came_back_is_residual_until_it_is_gone_again() {
        let store = open(&Settings::at("sqlite::memory:"))
            .await
            .expect("opened");
        store.migrate().await.expect("migrated");
        // Given a case that is proved, whose access came back, was taken back again, and came back once more.
        let first = a_case(&store, "ada").await;
        let run = proved(&store, &first).await;
        let told = async || {
            let id = first.run.case.expect("a case");
            let payload = bundle(&gather_from(&store, id).await, None, at(9));
            let rows = report::rows(&*store, Timestamp::MIN, Timestamp::MAX).await;
            let rows = report::as_json(&rows.expect("read"));
            let rows = rows.as_array().expect("rows").clone();
            let mut own = rows.into_iter().filter(|row| row["case"] == json!(id));
            (payload, own.next().expect("its row"))
        };
        let owed = async |again: &Claimed| {
            let (payload, row) = told().await;
            let again = again.run.case.expect("a case");
            let target = &payload["targets"][0];
            assert_eq!(target["proof"], "observed");
            assert_eq!(target["returned"]["case"], json!(again));
            assert_eq!(target["returned"]["state"], "open");
            let why = payload["residual"][0]["why"].as_str().unwrap_or_default();
            assert!(why.contains(&again.to_string()), "{why}");
            assert_eq!(row["open_and_why"], why);
            assert!(page(&payload).contains(&again.to_string()));
        };
        let (payload, row) = told().await;
        assert_eq!(payload["residual"], json!([]));
        assert_eq!(payload["targets"][0]["returned"], Value::Null);
        assert_eq!(row["open_and_why"], "");
        let second = seen_once_more(&store, &run, "again").await;
        // Then it is owed while the later case is open, and no more when that has proved it gone.
        owed(&second).await;
        let run = proved(&store, &second).await;
        let (payload, row) = told().await;
        assert_eq!(payload["residual"], json!([]));
        assert_eq!(payload["targets"][0]["returned"]["state"], "verified");
        assert_eq!(row["open_and_why"], "");
        // The same through the case that went on with it.
        let third = seen_once_more(&store, &run, "once more").await;
        owed(&third).await;
    }
}
