//! What a person does where no manifest says it: about a case, or a target that nobody has declared.
//!
//! Owns the steps of tasks without a connector's own, by the code for which they were opened. They name
//! the event and the commands, and end with how the task is closed: nothing at a target tells the machine
//! that it was done, so a person says so. Pure.

use super::doubt::is_held;
use super::event::EventKind;
use super::run::{CaseBody, Run, RunBody};
use super::status;

/// The steps of a task about this run, opened for this code.
pub fn steps(run: &Run, code: &str) -> Vec<String> {
    match (&run.body, run.case) {
        (RunBody::Case(body), Some(case)) => about_case(body, &case.to_string(), code),
        (RunBody::Discovery(_), _) => unknown_target(run, &status::about(&run.body).0),
        (RunBody::Case(_) | RunBody::Removal(_) | RunBody::Rotation(_) | RunBody::Care(_), _) => {
            Vec::new()
        }
    }
}

fn about_case(body: &CaseBody, case: &str, code: &str) -> Vec<String> {
    let subject = body.subject.name();
    let names = body.subject.identifiers.iter();
    let names: Vec<_> = names
        .map(|one| format!("{} {}", one.kind, one.value))
        .collect();
    let known = if names.is_empty() {
        format!(
            "{subject} ({}), of whom the event tells no other name",
            body.subject.id
        )
    } else {
        format!("{subject} ({}; {})", body.subject.id, names.join(", "))
    };
    let source = &body.source;
    let mut steps = match code {
        _ if is_held(body) => {
            return vec![
                format!("Compare what the event says with the record at {source}: who it is, every name, and when: {known}"),
                format!("If it is as the event says: `clawback cases release {case} --note TEXT`, or Release on its page; the machine goes on by itself"),
                format!("If it is not: `clawback cases drop {case} --note TEXT`, or Drop, and have {source} send it again, corrected and with a higher revision"),
            ];
        }
        "CB-CASE-1" => vec![
            format!("Look up at {source} under which names the targets know {known}"),
            format!("If a name is missing or wrong there, have {source} send it with a higher revision: the machine then looks everywhere once more, by itself"),
            "If there is an account that the machine does not find, have it removed by the target's owner; if there is none, say how you know".to_owned(),
        ],
        "CB-ADMIT-1" => vec![
            format!("Find out at {source} when this takes effect: {known}"),
            format!("Have {source} send it again, with a zone that is known and a higher revision; the machine then goes on by itself"),
        ],
        "CB-ADMIT-3" => vec![
            format!("See what was removed: `clawback cases list --subject {}` shows the case that had ended, `clawback cases show ID` every account", body.subject.id),
            "Have restored by those who may grant it what should be there: nothing is given back by itself".to_owned(),
        ],
        "CB-ADMIT-4" => vec![
            format!("Find out who answers for what the event names and no manifest declares: {known}"),
            "Have its owner take the access away or replace the secret, and show that the old one is refused".to_owned(),
        ],
        _ => by_kind(body.kind, &known, &body.subject.id),
    };
    steps.push(format!(
        "Close this task with a statement of what you did and saw (`--attest`); its case is {case}"
    ));
    steps
}

/// What no workflow acts on.
fn by_kind(kind: Option<EventKind>, known: &str, id: &str) -> Vec<String> {
    let cases = format!("`clawback cases list --subject {id}`");
    match kind {
        Some(EventKind::Rehired) => vec![
            format!("See what earlier cases of {known} removed, stopped short of or still owe: {cases}"),
            "Have restored by those who may grant it what the new contract needs: nothing is given back by itself".to_owned(),
        ],
        Some(EventKind::WorkerMoved) => vec![
            format!("Decide with the new and the former manager which access of {known} the new role keeps"),
            "Have the rest taken away at each target by its owner".to_owned(),
        ],
        Some(EventKind::IdentifierRecycled) => vec![
            format!("See at each target that no account of the new holder is matched by the recycled name, and that nothing of the former one is left under it: {known}"),
        ],
        Some(EventKind::ApplicationRetired) => vec![
            format!("List every account and secret in the application, and who owns them: {known}"),
            "Have its owner approve that all access in it ends, take it away, and retire its connector: `clawback connectors retire`".to_owned(),
        ],
        Some(EventKind::LegalHoldPlaced) => vec![
            format!("Tell the owners of the targets that nothing of {known} may be destroyed; the machine deletes nothing of it by itself: {cases}"),
        ],
        Some(EventKind::LegalHoldLifted) => vec![
            format!("Decide with whoever lifted the hold what of {known} may be destroyed now; removals that waited for it go on by themselves: {cases}"),
        ],
        Some(
            EventKind::WorkerTerminated
            | EventKind::TerminationChanged
            | EventKind::TerminationCancelled
            | EventKind::NhiRetired
            | EventKind::NhiSilent
            | EventKind::CredentialCompromised,
        )
        | None => vec![format!(
            "Read why this is a person's, and see what the case did so far: {cases}, of {known}"
        )],
    }
}

fn unknown_target(run: &Run, subject: &str) -> Vec<String> {
    let target = run
        .connector
        .as_ref()
        .map_or("the target", |name| name.as_str());
    vec![
        format!("Find out who answers for {target}: no manifest of this name is in force"),
        format!(
            "Have every account of {subject} there removed by its owner, or have a manifest for {target} proposed and approved: the machine then looks by itself"
        ),
        "Close this task with a statement of what you did and saw (`--attest`)".to_owned(),
    ]
}
