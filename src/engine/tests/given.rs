//! What the tests begin with: the built-in workflows, connectors, a leaver, an account, events.
//!
//! Owns values only, each the plainest of its kind; a test changes the one field that it is about.
//! Plays nothing; that is `play`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use crate::definitions::{self, Library};
use crate::domain::access::{Account, AccountState, Entitlement, EntitlementKind, Operation};
use crate::domain::escalation::People;
use crate::domain::estate::{ConnectorFacts, Estate, Instructions};
use crate::domain::event::{EventKind, LifecycleEvent, Origin, RecordedEvent, Urgency};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::probe::{ProbeFacts, ProbeFinding, Probed};
use crate::domain::rotation::Strategy;
use crate::domain::run::{Run, Stage};
use crate::domain::step::Parts;
use crate::domain::subject::{Subject, SubjectKind};
use crate::domain::task::Attestation;
use crate::domain::time::{Effective, Timestamp};
use crate::domain::verdict::{CredentialRole, Expectation};
use crate::domain::workflow::{End, RunKind};

/// The one connector of most tests.
pub(super) const CRM: &str = "crm";
/// The leaver of all tests.
pub(super) const LEAVER: &str = "e-1";

/// The workflow files that the program carries.
pub(super) fn library() -> &'static Library {
    static LIBRARY: LazyLock<Library> =
        LazyLock::new(|| definitions::built_in().expect("the built-in workflows are proved"));
    &LIBRARY
}

/// The instant at which every history begins.
pub(super) fn dawn() -> Timestamp {
    "2026-11-27T07:00:00Z".parse().expect("an instant")
}

/// A connector that can do everything.
pub(super) fn facts() -> ConnectorFacts {
    ConnectorFacts {
        operations: Operation::ALL.into_iter().collect(),
        without: BTreeMap::new(),
        expect: Expectation::AccountGone,
        max_data_age_seconds: 300,
        privileged: false,
        probes: Vec::new(),
        fed_by: None,
        rotation: BTreeMap::from([
            (CredentialRole::Writer, Strategy::Add),
            (CredentialRole::Verifier, Strategy::Add),
        ]),
        keepers: BTreeSet::from(["owner@acme.example".to_owned()]),
        known_by: BTreeMap::new(),
        overlap_seconds: 60,
        owner: "ann".to_owned(),
        deputy: "bob".to_owned(),
        break_glass: std::collections::BTreeSet::new(),
        administrators: std::collections::BTreeSet::new(),
        drill: None,
        upstream: None,
        fallback: Instructions {
            desk: "built-in".to_owned(),
            steps: vec!["do it by hand".to_owned()],
            deadline_hours: 24,
            escalate_to: Vec::new(),
        },
    }
}

/// These connectors, and the built-in rotation.
pub(super) fn estate(connectors: &[(&str, ConnectorFacts)]) -> Estate {
    let rotation = library().rotation();
    let machine = &rotation.machines[&RunKind::Rotation];
    Estate {
        connectors: connectors
            .iter()
            .map(|(name, facts)| ((*name).into(), facts.clone()))
            .collect(),
        rotation: Some((rotation.digest.clone(), machine.start.clone())),
        people: People::default(),
        ..Estate::default()
    }
}

/// Who leaves.
pub(super) fn leaver() -> Subject {
    Subject {
        kind: SubjectKind::Person,
        tenant: "acme".to_owned(),
        id: LEAVER.to_owned(),
        identifiers: Vec::new(),
        display_name: Some("Lea Ver".to_owned()),
        privileged: false,
    }
}

/// News of the leaver's departure.
pub(super) fn news(kind: EventKind, revision: u64, effective: Effective) -> LifecycleEvent {
    LifecycleEvent {
        source: "urn:hr".to_owned(),
        id: format!("{}/{revision}", kind.as_str()),
        kind,
        occurred: None,
        subject: leaver(),
        hr_case: "hr-1".to_owned(),
        revision,
        effective,
        urgency: Urgency::Planned,
        reason: None,
        connectors: Vec::new(),
    }
}

/// The leaver leaves at once.
pub(super) fn leaves() -> LifecycleEvent {
    news(EventKind::WorkerTerminated, 1, Effective::Immediately)
}

/// Somebody else leaves at once, under another HR case.
pub(super) fn leaves_of(id: &str, number: u64) -> LifecycleEvent {
    let mut event = leaves();
    event.id = format!("leaves/{number}");
    event.hr_case = format!("hr-{number}");
    event.subject.id = id.to_owned();
    event
}

/// The departure is called off.
pub(super) fn stays(revision: u64) -> LifecycleEvent {
    news(
        EventKind::TerminationCancelled,
        revision,
        Effective::Immediately,
    )
}

/// At this local time in Melbourne, 11 hours ahead of UTC at `dawn`.
pub(super) fn melbourne(local: &str) -> Effective {
    Effective::At {
        local: local.parse().expect("a local time"),
        zone: "Australia/Melbourne".to_owned(),
    }
}

/// The event as intake records it.
pub(super) fn recorded(event: LifecycleEvent, at: Timestamp) -> RecordedEvent {
    RecordedEvent {
        event,
        origin: Origin {
            topic: "hr".to_owned(),
            partition: 0,
            offset: 0,
            traceparent: None,
            tracestate: None,
        },
        recorded: at,
        payload_digest: String::new(),
    }
}

/// An account with a group, a role, a key and two sessions.
pub(super) fn account(id: &str) -> Account {
    Account {
        id: id.into(),
        login: format!("login-{id}"),
        display_name: None,
        state: AccountState::Enabled,
        attributes: BTreeMap::new(),
        entitlements: vec![
            entitlement("g-staff", EntitlementKind::Group),
            entitlement("k-api", EntitlementKind::Credential),
            entitlement("r-sales", EntitlementKind::Role),
        ],
        sessions: Some(2),
        further: BTreeMap::new(),
        privileged: false,
    }
}

fn entitlement(id: &str, kind: EntitlementKind) -> Entitlement {
    Entitlement {
        id: id.into(),
        kind,
        name: id.to_owned(),
        inherited_from: None,
    }
}

/// A probe as the planner knows it.
pub(super) fn probe(name: &str, once: bool) -> ProbeFacts {
    ProbeFacts {
        name: name.to_owned(),
        once,
    }
}

/// One try; probes named `sign-in` spend it.
pub(super) fn probed(name: &str, finding: ProbeFinding, at: Timestamp) -> Probed {
    Probed {
        probe: name.to_owned(),
        artefact: "the name login-a-1".to_owned(),
        at,
        method: "POST /login".to_owned(),
        control: "let in".to_owned(),
        finding,
        words: "planted".to_owned(),
        spent: name == "sign-in",
    }
}

/// A failure of this class.
pub(super) fn failure(class: FailureClass) -> Failure {
    Failure::new(class, "CB-TEST-1", "planted")
}

/// A statement of this person.
pub(super) fn attested(by: &str) -> Attestation {
    Attestation {
        by: by.to_owned(),
        statement: "I saw it gone".to_owned(),
    }
}

/// What a case of these runs came to be made of, as a store says it.
pub(super) fn parts<'r>(runs: impl Iterator<Item = &'r Run> + Clone) -> Parts {
    let mut parts = Parts::default();
    let mut searched = BTreeMap::new();
    for run in runs.clone() {
        parts.removals += u32::from(run.kind == RunKind::Removal);
        let word = run.kind != RunKind::Case && run.stage.name() == "attested";
        parts.attested += u32::from(word);
        if let (
            RunKind::Discovery,
            Stage::Ended {
                end: End::Verified,
                at,
            },
            Some(connector),
        ) = (run.kind, &run.stage, &run.connector)
        {
            let last = searched.entry(connector.clone()).or_insert(*at);
            *last = (*last).max(*at);
        }
    }
    for removal in runs.filter(|run| run.kind == RunKind::Removal) {
        searched.retain(|connector, _| Some(connector) != removal.connector.as_ref());
    }
    parts.empty = searched.into_iter().collect();
    parts
}
