//! What must hold at the end of every history.
//!
//! Owns the promise as a check against ground truth: it looks at the targets themselves, never at
//! what Clawback read. Returns every violation in words, so that a seed tells its story.

use clawback::domain::run::{Run, RunBody};
use clawback::domain::verdict::CredentialRole;
use clawback::domain::workflow::{End, RunKind};
use clawback::secrets::Slot;
use clawback::store::{CaseFilter, CaseStory, TaskFilter};
use secrecy::ExposeSecret;

use crate::history::{History, owner};
use crate::target::True;

pub async fn violations(history: &History) -> Vec<String> {
    let mut found = Vec::new();
    let filter = CaseFilter {
        limit: 1000,
        ..CaseFilter::default()
    };
    let mut stories = Vec::new();
    for report in history.store.cases(&filter).await.expect("listed") {
        let story = history.store.case(report.row.id).await.expect("read");
        stories.push(story.expect("it was listed"));
    }
    verified_means_gone(history, &stories, &mut found);
    present_means_owed(history, &stories, &mut found);
    what_came_back_is_found(history, &stories, &mut found);
    verified_means_no_session(history, &stories, &mut found);
    nothing_gained(history, &stories, &mut found);
    one_task_each(history, &stories, &mut found).await;
    secrets_work(history, &mut found);
    found
}

fn truth(history: &History, run: &Run) -> Option<True> {
    let RunBody::Removal(body) = &run.body else {
        return None;
    };
    let target = history.targets.get(run.connector.as_ref()?)?;
    let truth = target.truth();
    truth.accounts.get(body.account.id.as_str()).cloned()
}

fn ended(run: &Run) -> Option<(End, jiff::Timestamp)> {
    match run.stage {
        clawback::domain::run::Stage::Ended { end, at } => Some((end, at)),
        _ => None,
    }
}

/// Nothing is both verified and present, unless something brought it back afterwards.
fn verified_means_gone(history: &History, stories: &[CaseStory], found: &mut Vec<String>) {
    for run in stories.iter().flat_map(|story| &story.runs) {
        let (RunKind::Removal, Some((End::Verified, at))) = (run.kind, ended(run)) else {
            continue;
        };
        let Some(account) = truth(history, run) else {
            continue;
        };
        let deletes = run.connector.as_ref().is_some_and(|c| c.as_str() != "pay");
        let back = account.resurrected.is_some_and(|when| when >= at);
        if !back && (deletes || account.powerful()) {
            found.push(format!("{} is verified and present: {account:?}", run.id));
        }
    }
}

/// What is present of a leaver is owed: an open run, or a person's word, or a halted case.
fn present_means_owed(history: &History, stories: &[CaseStory], found: &mut Vec<String>) {
    for leaver in history.leavers.iter().filter(|leaver| leaver.due) {
        // A stopped case owes nothing of a departure that goes on in another.
        let mine: Vec<_> = stories
            .iter()
            .filter(|story| story.report.row.subject_key.ends_with(&leaver.number))
            .filter(|story| !story.runs.iter().any(was_put_off))
            .collect();
        if mine.is_empty() {
            found.push(format!("{} has no case", leaver.number));
            continue;
        }
        for (name, target) in &history.targets {
            let accounts = target.truth().accounts.clone();
            for (id, account) in accounts.iter().filter(|(_, a)| a.number == leaver.number) {
                if !account.powerful() || account.resurrected.is_some() {
                    continue;
                }
                let owed = mine.iter().flat_map(|story| &story.runs).any(|run| {
                    let here = run.connector.as_ref() == Some(name) || run.kind == RunKind::Case;
                    let open = !run.stage.ended();
                    let word = matches!(ended(run), Some((End::Attested | End::Halted, _)));
                    // A case that nobody attested itself ended so for its parts' sake.
                    let own = run.kind != RunKind::Case || run.halted || run.task.is_some();
                    here && (open || word && own)
                });
                if !owed {
                    found.push(format!(
                        "{name}/{id} is present, and nobody owes it: {account:?}"
                    ));
                }
            }
        }
    }
}

fn was_put_off(run: &Run) -> bool {
    matches!(&run.body, RunBody::Case(body) if body.put_off.is_some())
}

/// What came back before the last search of its target was found by it: a discovery that ended
/// verified after that has taken it away again.
fn what_came_back_is_found(history: &History, stories: &[CaseStory], found: &mut Vec<String>) {
    for run in stories.iter().flat_map(|story| &story.runs) {
        let (RunBody::Discovery(body), Some((End::Verified, at))) = (&run.body, ended(run)) else {
            continue;
        };
        let Some(target) = run.connector.as_ref().and_then(|c| history.targets.get(c)) else {
            continue;
        };
        let accounts = target.truth().accounts.clone();
        let theirs = accounts.iter().filter(|(_, a)| a.number == body.subject.id);
        for (id, account) in theirs.filter(|(_, account)| account.powerful()) {
            if account.resurrected.is_some_and(|back| back < at) {
                found.push(format!(
                    "{id} came back before its case settled, and nobody owes it: {account:?}"
                ));
            }
        }
    }
}

/// Where a leaver's way in is probed, no removal ended verified while a session still worked.
fn verified_means_no_session(history: &History, stories: &[CaseStory], found: &mut Vec<String>) {
    for run in stories.iter().flat_map(|story| &story.runs) {
        let (RunBody::Removal(body), Some((End::Verified, at))) = (&run.body, ended(run)) else {
            continue;
        };
        let Some(target) = run.connector.as_ref().and_then(|c| history.targets.get(c)) else {
            continue;
        };
        let probed = run.connector.as_ref().is_some_and(|c| c.as_str() == "crm");
        let cached = target.truth().cached.get(&body.account.login).copied();
        if let Some((from, until)) = cached
            && probed
            && from <= at
            && at < until
        {
            found.push(format!("{} is verified while a session works", run.id));
        }
    }
}

/// No access was added, and nobody lost any who does not leave.
fn nothing_gained(history: &History, stories: &[CaseStory], found: &mut Vec<String>) {
    for (name, before) in &history.before {
        let after = history.targets[name].truth().accounts.clone();
        for (id, account) in &after {
            let Some(was) = before.get(id) else {
                found.push(format!("{name}/{id} was created"));
                continue;
            };
            let more = (account.enabled && !was.enabled)
                || !account.groups.is_subset(&was.groups)
                || !account.keys.is_subset(&was.keys);
            if more {
                found.push(format!("{name}/{id} gained access"));
            }
        }
        for (id, was) in before {
            let stays = was.login.starts_with("stayer");
            if stays && after.get(id) != Some(was) {
                found.push(format!("{name}/{id} stays, and lost access"));
            }
        }
    }
    for leaver in history.leavers.iter().filter(|leaver| !leaver.due) {
        // Called off in time: nothing may have been touched. (Too late: the case is halted.)
        let mut mine = stories
            .iter()
            .filter(|story| story.report.row.subject_key.ends_with(&leaver.number));
        let rescinded = mine.all(|story| story.report.ended == Some(End::Rescinded));
        for (name, before) in &history.before {
            let after = history.targets[name].truth().accounts.clone();
            for (id, was) in before.iter().filter(|(_, a)| a.number == leaver.number) {
                let untouched = after
                    .get(id)
                    .is_some_and(|now| now.groups == was.groups && now.enabled == was.enabled);
                if rescinded && !untouched {
                    found.push(format!(
                        "{name}/{id} was touched though the case was called off"
                    ));
                }
            }
        }
    }
}

/// At most one task for each run, and each open task has an open run.
async fn one_task_each(history: &History, stories: &[CaseStory], found: &mut Vec<String>) {
    let filter = TaskFilter {
        closed: true,
        ..TaskFilter::default()
    };
    let tasks = history.store.tasks(&filter).await.expect("listed");
    let mut runs: Vec<_> = tasks.iter().map(|task| task.run).collect();
    runs.sort_unstable();
    let all = runs.len();
    runs.dedup();
    if runs.len() != all {
        found.push("a run has two tasks".to_owned());
    }
    for task in tasks.iter().filter(|task| task.state.as_str() != "closed") {
        let open = stories
            .iter()
            .flat_map(|story| &story.runs)
            .any(|run| run.id == task.run && !run.stage.ended());
        if !open && task.case.is_some() {
            found.push(format!("task {} is open, but its run has ended", task.id));
        }
    }
}

/// Each connector signs in with what the vault holds, or a rotation of it is open.
fn secrets_work(history: &History, found: &mut Vec<String>) {
    for (name, target) in &history.targets {
        for role in [CredentialRole::Writer, CredentialRole::Verifier] {
            let owner = owner(name, role);
            let valid = |slot| {
                let revealed = history.vault.reveal(&owner, slot).expect("readable");
                revealed.is_some_and(|revealed| {
                    let value = revealed.value.expose_secret().to_owned();
                    target
                        .truth()
                        .tokens
                        .get(&value)
                        .is_some_and(|(of, _)| *of == role)
                })
            };
            let began_expired = target
                .truth()
                .fired
                .contains_key(&crate::target::Fault::ExpiredSecret);
            let never_replaced = target.truth().minted == 0;
            let hopeless = began_expired && never_replaced && role == CredentialRole::Writer;
            if !(hopeless || valid(Slot::Current) || valid(Slot::Pending)) {
                found.push(format!("{name} has no working {} secret", role.as_str()));
            }
            let working = target
                .truth()
                .tokens
                .values()
                .filter(|(of, _)| *of == role)
                .count();
            if working > 2 {
                found.push(format!("{name} has {working} {} secrets", role.as_str()));
            }
        }
    }
}
