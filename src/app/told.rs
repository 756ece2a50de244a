//! What the program says of its own work, in the words of the demonstration's judge.
//!
//! Owns the reading of all cases after (or during) a demonstration: who is settled, what is verified
//! and what is in whose hands. Looks at no target; the judge does.

use crate::demo::{InHands, Report};
use crate::domain::run::{Run, RunBody, Stage};
use crate::domain::workflow::{End, RunKind};
use crate::store::{CaseFilter, Store, StoreError};

/// How far everything is.
#[derive(Debug, Default)]
pub struct Told {
    /// For the judge; `due` is left to those who know the story.
    pub report: Report,
    /// Runs that neither have ended nor wait for a person or for such runs.
    pub under_way: usize,
}

/// Reads all cases and rotations.
///
/// # Errors
/// When the store fails.
pub async fn read(store: &dyn Store) -> Result<Told, StoreError> {
    let mut told = Told::default();
    let filter = CaseFilter {
        limit: 100_000,
        ..CaseFilter::default()
    };
    for case in store.cases(&filter).await? {
        let Some(story) = store.case(case.row.id).await? else {
            continue;
        };
        let subject = case.row.subject_key.split_once('/');
        let subject = subject.map_or(case.row.subject_key.as_str(), |(_, id)| id);
        for run in &story.runs {
            note(&mut told, run, subject);
        }
    }
    for run in store.rotations(None).await? {
        told.under_way += usize::from(!at_rest(&run.stage));
    }
    Ok(told)
}

fn at_rest(stage: &Stage) -> bool {
    match stage {
        Stage::Due { .. } => false,
        // Its children are counted by themselves.
        Stage::Gathering { .. } | Stage::WithPerson { .. } | Stage::Ended { .. } => true,
    }
}

fn note(told: &mut Told, run: &Run, subject: &str) {
    told.under_way += usize::from(!at_rest(&run.stage));
    let account = match &run.body {
        RunBody::Removal(body) => Some(body.account.id.clone()),
        RunBody::Case(_) | RunBody::Discovery(_) | RunBody::Rotation(_) | RunBody::Care(_) => None,
    };
    match (&run.stage, &account, &run.connector) {
        (Stage::Ended { end, .. }, Some(account), Some(connector)) if *end == End::Verified => {
            told.report
                .verified
                .push((connector.clone(), account.clone()));
            return;
        }
        (Stage::Ended { end, .. }, ..) if *end == End::Verified || *end == End::Rescinded => return,
        // The word is about the parts that ended so, and they are told themselves.
        (Stage::Ended { end, .. }, ..)
            if *end == End::Attested && run.kind == RunKind::Case && run.task.is_none() =>
        {
            return;
        }
        _ => {}
    }
    // A case or discovery that only waits for its children has nothing in hand itself.
    if run.kind != RunKind::Removal && matches!(run.stage, Stage::Gathering { .. }) {
        return;
    }
    told.report.in_hands.push(InHands {
        subject: subject.to_owned(),
        connector: run.connector.clone(),
        account,
    });
}
