//! The leaver that every case is about.
//!
//! Owns the recorded event and the position from which a case begins: its accounts are known, so the
//! case gathers five removals. In sequence each removal is the parent of the one before it and waits
//! for it, and the case waits for the last: nothing in a case then ever happens side by side.

use std::collections::BTreeMap;

use clawback::domain::access::{AccountState, Entitlement, EntitlementKind};
use clawback::domain::event::{EventKind, LifecycleEvent, Origin, RecordedEvent, Urgency};
use clawback::domain::id::{CaseId, ConnectorName, EntitlementId, RunId, StateName};
use clawback::domain::run::{
    CaseBody, Item, ItemStatus, Leaving, RemovalBody, Run, RunBody, Stage,
};
use clawback::domain::settlement::{Admission, AdmissionDecision, CaseRow, Settlement};
use clawback::domain::subject::{Subject, SubjectKind};
use clawback::domain::time::{Effective, Timestamp};
use clawback::domain::verdict::{Expectation, Verdict};
use clawback::domain::workflow::{RunKind, Workflow};

use crate::target;

const PRIORITY: i16 = 30;

/// Somebody has left.
pub fn event(number: u64, now: Timestamp) -> RecordedEvent {
    RecordedEvent {
        event: LifecycleEvent {
            source: "urn:bench".to_owned(),
            id: number.to_string(),
            kind: EventKind::WorkerTerminated,
            occurred: None,
            subject: Subject {
                kind: SubjectKind::Person,
                tenant: "bench".to_owned(),
                id: number.to_string(),
                identifiers: Vec::new(),
                display_name: None,
                privileged: false,
            },
            hr_case: number.to_string(),
            revision: 1,
            effective: Effective::Immediately,
            urgency: Urgency::Planned,
            reason: None,
            connectors: Vec::new(),
        },
        origin: Origin {
            topic: "bench".to_owned(),
            partition: 0,
            offset: number.cast_signed(),
            traceparent: None,
            tracestate: None,
        },
        recorded: now,
        payload_digest: number.to_string(),
    }
}

/// The removals of a case, in the order of their targets.
pub fn removals(case: CaseId) -> Vec<RunId> {
    (0..target::TARGETS)
        .map(|number| case.run().child("removal", &target::name(number)))
        .collect()
}

/// Opens the case of this event.
pub fn open(
    recorded: &RecordedEvent,
    workflow: &Workflow,
    in_sequence: bool,
    now: Timestamp,
) -> Admission {
    let case = CaseId::of(recorded.event.key(), recorded.recorded);
    let ids = removals(case);
    let children = (0..target::TARGETS).map(|number| {
        let next = ids.get(number + 1).filter(|_| in_sequence);
        let stage = if in_sequence && number > 0 {
            gathering("turn")
        } else {
            Stage::Due {
                state: StateName::from("revoke_entitlements"),
                due: now,
            }
        };
        Run {
            id: ids[number],
            parent: Some(next.copied().unwrap_or(case.run())),
            kind: RunKind::Removal,
            connector: Some(ConnectorName(target::name(number))),
            stage,
            verdict: Some(Verdict::Requested),
            body: RunBody::Removal(Box::new(removal(number, now))),
            ..case_run(recorded, workflow, case)
        }
    });
    let settlement = Settlement {
        run: case_run(recorded, workflow, case),
        journal: Vec::new(),
        children: children.collect(),
        task: None,
        rotations: Vec::new(),
        messages: Vec::new(),
        case_ended: None,
    };
    Admission {
        event: recorded.event.key(),
        decision: AdmissionDecision::Open {
            case: Box::new(case_row(recorded, workflow, case, now)),
            first: Box::new(settlement),
        },
        reason: "a new case".to_owned(),
        halts: Vec::new(),
    }
}

fn gathering(state: &str) -> Stage {
    Stage::Gathering {
        state: StateName::from(state),
    }
}

fn case_row(
    recorded: &RecordedEvent,
    workflow: &Workflow,
    case: CaseId,
    now: Timestamp,
) -> CaseRow {
    let event = &recorded.event;
    CaseRow {
        id: case,
        subject_key: event.subject.key(),
        subject_name: event.subject.id.clone(),
        event: event.key(),
        hr_case: event.hr_case.clone(),
        revision: 1,
        workflow: workflow.name.to_string(),
        effective: now,
        opened: now,
        priority: PRIORITY,
    }
}

fn case_run(recorded: &RecordedEvent, workflow: &Workflow, case: CaseId) -> Run {
    Run {
        id: case.run(),
        case: Some(case),
        parent: None,
        definition: workflow.digest.clone(),
        kind: RunKind::Case,
        connector: None,
        priority: PRIORITY,
        stage: gathering("gather"),
        verdict: None,
        step: 0,
        halted: false,
        in_flight: false,
        attempts: BTreeMap::new(),
        task: None,
        body: RunBody::Case(CaseBody {
            ruling: None,
            subject: recorded.event.subject.clone(),
            event: recorded.event.key(),
            kind: Some(EventKind::WorkerTerminated),
            source: recorded.event.source.clone(),
            recorded: recorded.recorded,
            effective: Effective::Immediately,
            urgency: Urgency::Planned,
            connectors: Vec::new(),
            for_person: None,
            claim: None,
            rounds: 0,
            anew: false,
            put_off: None,
            back: None,
            occurred: None,
            on_word: false,
            drill: None,
            traceparent: None,
        }),
    }
}

fn removal(number: usize, now: Timestamp) -> RemovalBody {
    let mut account = target::account(&format!("account-{number}"));
    account.state = AccountState::Enabled;
    let items = (0..target::ITEMS).map(|item| Item {
        entitlement: Entitlement {
            id: EntitlementId(format!("group:{item}")),
            kind: EntitlementKind::Group,
            name: format!("group {item}"),
            inherited_from: None,
        },
        status: ItemStatus::Owed,
        resisted: false,
        seen: false,
    });
    RemovalBody {
        upstream: None,
        subject_name: "leaver".to_owned(),
        leaving: Leaving::default(),
        account,
        account_as_of: now,
        owed_since: now,
        expect: Expectation::AccountPowerless,
        items: items.collect(),
        last_write: None,
        probed: Vec::new(),
        inspected: false,
        shown: false,
        absent_at: None,
        stripped: false,
        returned: Vec::new(),
        last_finding: None,
        last_failure: None,
        claim: None,
        drill: None,
    }
}
