//! Legal holds: which matters forbid that anything of a subject is destroyed, and which are over.
//!
//! Owns the reading of the events that place and lift them, and the words for a removal that they stop
//! short of deletion. A matter is a case of the source; the highest revision of it counts, never the
//! order of arrival. A hold keeps accounts and records; what cuts access it neither forbids nor excuses.

use std::collections::BTreeMap;

use super::event::{EventKind, LifecycleEvent};
use super::outcome::{Failure, FailureClass};
use super::task::FallbackTask;
use super::verdict::Finding;

/// The account may not be deleted. Not among the codes of `protect`: nobody can approve it.
pub const HELD: &str = "CB-PROTECT-4";

/// An account that may not be deleted is not there any more.
pub const GONE: &str = "CB-PROTECT-6";

/// One matter about one subject.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LegalMatter {
    /// Tenant and id of whose data are kept.
    pub subject: String,
    /// The source's case, for example `LH-77`.
    pub name: String,
}

impl LegalMatter {
    /// What this event places or lifts; `None` for every other kind.
    pub fn of(event: &LifecycleEvent) -> Option<Self> {
        places(event.kind).map(|_| Self {
            subject: event.subject.key(),
            name: event.hr_case.clone(),
        })
    }
}

/// What the events told of legal holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LegalHolds {
    /// Of each matter the highest revision, and whether that places it. A tie of both is one that
    /// places: of two tales about data that may be destroyed, the one that keeps them counts.
    newest: BTreeMap<LegalMatter, (u64, bool)>,
}

impl LegalHolds {
    /// Takes one event in, in whatever order; events of other kinds tell nothing.
    pub fn note(&mut self, event: &LifecycleEvent) {
        let (Some(matter), Some(placed)) = (LegalMatter::of(event), places(event.kind)) else {
            return;
        };
        let told = (event.revision, placed);
        let newest = self.newest.entry(matter).or_insert(told);
        *newest = (*newest).max(told);
    }

    /// The matters that are in force, by subject and name.
    pub fn in_force(&self) -> impl Iterator<Item = &LegalMatter> {
        let newest = self.newest.iter();
        newest.filter_map(|(matter, (_, placed))| placed.then_some(matter))
    }

    /// True while any matter of the subject with this key is in force.
    pub fn hold(&self, subject: &str) -> bool {
        self.in_force().any(|matter| matter.subject == subject)
    }
}

/// Why an account is not deleted. `access` is what a look proved of its power to do anything.
pub fn forbidden(matters: &[String], access: &Finding) -> Failure {
    let stands = match access {
        Finding::Absent => "its access is cut".to_owned(),
        Finding::Present(left) => format!("its access is not cut yet: {}", left.join(", ")),
        Finding::Inconclusive(gap) => format!("whether its access is cut is not known: {gap}"),
    };
    let message = format!(
        "legal hold {} forbids to delete the account, and nobody can approve it; {stands}; the machine \
         deletes it when the hold is lifted",
        matters.join(", ")
    );
    Failure::new(FailureClass::Refused, HELD, message)
}

/// Begins the step of a task that tells of a hold.
const BEWARE: &str = "LEGAL HOLD ";

/// Puts the holds in force before what a task asks a person to do, and takes away what is in force no
/// more. The steps of a manifest delete, and while data are held nobody may.
pub fn warn(task: &mut FallbackTask, matters: &[String]) {
    task.steps.retain(|step| !step.starts_with(BEWARE));
    if matters.is_empty() {
        return;
    }
    let step = format!(
        "{BEWARE}{}: delete nothing, neither an account nor its data. Cut the access instead: disable the \
         account, end its sessions, take its rights and keys away. Leave out whatever the steps below delete",
        matters.join(", ")
    );
    task.steps.insert(0, step);
}

/// What the history of a task says that ends as proved while data are held.
pub fn gone(matters: &[String]) -> String {
    format!(
        "{GONE}: it ends as proved although legal hold {} is in force; if somebody deleted the account or its \
         data, tell who placed the hold",
        matters.join(", ")
    )
}

/// True for the failure of a removal that a hold stopped.
pub fn forbade(failure: &Failure) -> bool {
    failure.code == HELD
}

/// Whether an event of this kind places a hold or lifts one; `None` for every other kind.
fn places(kind: EventKind) -> Option<bool> {
    match kind {
        EventKind::LegalHoldPlaced => Some(true),
        EventKind::LegalHoldLifted => Some(false),
        EventKind::WorkerTerminated
        | EventKind::TerminationChanged
        | EventKind::TerminationCancelled
        | EventKind::Rehired
        | EventKind::WorkerMoved
        | EventKind::NhiRetired
        | EventKind::NhiSilent
        | EventKind::IdentifierRecycled
        | EventKind::ApplicationRetired
        | EventKind::CredentialCompromised => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Urgency;
    use crate::domain::subject::{Subject, SubjectKind};
    use crate::domain::time::Effective;

    const PLACED: EventKind = EventKind::LegalHoldPlaced;
    const LIFTED: EventKind = EventKind::LegalHoldLifted;

    fn event(kind: EventKind, person: &str, matter: &str, revision: u64) -> LifecycleEvent {
        LifecycleEvent {
            source: "urn:legal".to_owned(),
            id: format!("{matter}/{revision}/{}", kind.as_str()),
            kind,
            occurred: None,
            subject: Subject {
                kind: SubjectKind::Person,
                tenant: "acme".to_owned(),
                id: person.to_owned(),
                identifiers: Vec::new(),
                display_name: None,
                privileged: false,
            },
            hr_case: matter.to_owned(),
            revision,
            effective: Effective::Immediately,
            urgency: Urgency::Planned,
            reason: None,
            connectors: Vec::new(),
        }
    }

    /// The matters about `e-1` that are in force, the same whichever event comes first.
    fn in_force(events: &[LifecycleEvent]) -> Vec<String> {
        let told = |events: &mut dyn Iterator<Item = &LifecycleEvent>| {
            let mut holds = LegalHolds::default();
            events.for_each(|event| holds.note(event));
            holds
        };
        let holds = told(&mut events.iter());
        assert_eq!(holds, told(&mut events.iter().rev()));
        let names: Vec<_> = holds.in_force().map(|one| one.name.clone()).collect();
        assert_eq!(holds.hold("acme/e-1"), !names.is_empty());
        assert!(!holds.hold("acme/e-2"), "a hold is about its subject alone");
        names
    }

    #[test]
    fn b9_each_matter_is_placed_and_lifted_by_itself() {
        let mut events = vec![
            event(PLACED, "e-1", "LH-77", 1),
            event(PLACED, "e-1", "LH-90", 1),
            event(LIFTED, "e-1", "LH-77", 2),
        ];
        assert_eq!(in_force(&events), ["LH-90"]);
        events.push(event(LIFTED, "e-1", "LH-90", 2));
        assert!(in_force(&events).is_empty());
    }

    #[test]
    fn b9_a_late_lifting_of_an_older_revision_frees_nothing() {
        let events = [
            event(PLACED, "e-1", "LH-77", 1),
            event(PLACED, "e-1", "LH-77", 3),
            event(LIFTED, "e-1", "LH-77", 2),
        ];
        assert_eq!(in_force(&events), ["LH-77"]);
    }

    #[test]
    fn b9_of_a_placing_and_a_lifting_of_one_revision_the_placing_counts() {
        let events = [
            event(LIFTED, "e-1", "LH-77", 2),
            event(PLACED, "e-1", "LH-77", 2),
        ];
        assert_eq!(in_force(&events), ["LH-77"]);
    }

    #[test]
    fn b9_a_hold_of_somebody_else_and_other_news_hold_nobody() {
        let events = [
            event(PLACED, "e-3", "LH-77", 1),
            event(EventKind::WorkerTerminated, "e-1", "hr-1", 1),
        ];
        let mut holds = LegalHolds::default();
        for event in &events {
            holds.note(event);
        }
        assert!(holds.hold("acme/e-3") && !holds.hold("acme/e-1"));
        assert_eq!(holds.in_force().count(), 1);
    }

    #[test]
    fn b9_the_reason_names_the_matter_and_says_only_what_was_seen() {
        let matters = ["LH-77".to_owned(), "LH-90".to_owned()];
        let says = |access: Finding| forbidden(&matters, &access).message;
        let cut = says(Finding::Absent);
        assert!(cut.contains("LH-77, LH-90") && cut.contains("its access is cut;"));
        let left = says(Finding::Present(vec!["account ada can sign in".to_owned()]));
        assert!(left.contains("not cut yet: account ada can sign in"));
        assert!(says(Finding::Inconclusive("it is away".to_owned())).contains("is not known"));
    }
}
