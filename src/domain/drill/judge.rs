//! What a pass has shown: as it must be, or what was not.
//!
//! Owns what is asked of the fallback task that a failing connector must lead to, and of the end that
//! a working one must. Judges only what the real workflow left behind.

use super::super::instructions::Known;
use super::super::task::FallbackTask;
use super::super::workflow::End;
use super::{Drill, FAULT, Ground, Pass, Sight};

/// What was found; empty when all is as it must be, `None` while there is nothing to judge yet.
pub(super) fn judge(
    drill: &Drill,
    pass: Pass,
    sight: &Sight,
    ground: &Ground<'_>,
) -> Option<Vec<String>> {
    match pass {
        Pass::Failing => failing(drill, sight, ground),
        Pass::Well => well(sight),
    }
}

fn failing(drill: &Drill, sight: &Sight, ground: &Ground<'_>) -> Option<Vec<String>> {
    if sight.tasks.is_empty() {
        let end = sight.ended?;
        let words = format!(
            "the connector failed, and the case ended {} without a task",
            end.as_str()
        );
        return Some(vec![words]);
    }
    let mut findings = Vec::new();
    if let [task] = &sight.tasks[..] {
        findings.extend(task_of(drill, task, ground));
    } else {
        findings.push(format!("{} tasks instead of one", sight.tasks.len()));
    }
    if sight.removals > 0 {
        findings.push("an account was touched although the connector failed".to_owned());
    }
    Some(findings)
}

/// Who, where, what access, what to do, by when, at which desk.
fn task_of(drill: &Drill, task: &FallbackTask, ground: &Ground<'_>) -> Vec<String> {
    let mut findings = Vec::new();
    let mut ask = |holds: bool, what: &str| {
        if !holds {
            findings.push(format!("the fallback task {what}"));
        }
    };
    ask(task.code == FAULT, "comes of something else");
    ask(task.drill, "is not marked as the drill's");
    ask(
        task.subject.contains(&ground.terms.canary.id),
        "does not say who",
    );
    ask(
        task.connector.as_ref() == Some(&drill.connector),
        "does not say where",
    );
    let named = task.account.as_deref().unwrap_or_default();
    let all = drill.accounts.iter().all(|login| named.contains(login));
    ask(all, "does not name every account that was found");
    ask(
        task.access_as_of.is_some(),
        "does not say how old its knowledge is",
    );
    // Steps are filled in when the machine comes to the task, which is its last line.
    let filled = task.history.last().map_or(task.opened, |line| line.at);
    let steps = Known::of(task, filled).fill(&ground.fallback.steps);
    ask(
        !task.steps.is_empty() && task.steps == steps,
        "does not say what to do",
    );
    let deadline = ground
        .people
        .deadline(Some(ground.fallback), task.priority, task.opened);
    ask(task.deadline == deadline, "has another deadline");
    ask(task.desk == ground.fallback.desk, "goes to another desk");
    ask(!task.why.is_empty(), "does not say why");
    findings
}

fn well(sight: &Sight) -> Option<Vec<String>> {
    if let Some(task) = sight.tasks.first() {
        let words = format!("a person was needed: {} {}", task.code, task.why);
        return Some(vec![words]);
    }
    let end = sight.ended?;
    if end == End::Verified && sight.removals > 0 && sight.verified == sight.removals {
        return Some(Vec::new());
    }
    let words = format!(
        "the case ended {}, {} of {} removals verified",
        end.as_str(),
        sight.verified,
        sight.removals
    );
    Some(vec![words])
}
