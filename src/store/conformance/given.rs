//! What the checks start from: events, cases, runs and settlements in their simplest form.
//!
//! Owns no assertion about the store. Time is a fixed instant that checks move forward by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::super::{Claimed, Fenced, IntakeBatch, Keep, Store};
use super::domain::access::{Account, AccountState};
use super::domain::escalation::Escalation;
use super::domain::event::{EventKind, LifecycleEvent, Origin, RecordedEvent, Urgency};
use super::domain::id::{
    AccountId, CaseId, ConnectorName, DefinitionDigest, MessageId, RunId, StateName, WorkerId,
};
use super::domain::outcome::{Failure, FailureClass};
use super::domain::rotation::{RotationBody, RotationFacts, Strategy, Trigger};
use super::domain::run::{CaseBody, DiscoveryBody, Leaving, RemovalBody, Run, RunBody, Stage};
use super::domain::settlement::{
    Admission, AdmissionDecision, CaseRow, JournalEntry, OutboxMessage, Settlement,
};
use super::domain::subject::{Subject, SubjectKind};
use super::domain::task::{Closure, FallbackTask, TaskState};
use super::domain::time::{Effective, Timestamp, after};
use super::domain::verdict::{CredentialRole, Expectation, Verdict};
use super::domain::workflow::{End, OutcomeKey, RunKind};

/// The instant at which every check begins, plus seconds.
pub fn at(seconds: u64) -> Timestamp {
    let start = Timestamp::from_second(1_795_000_000).expect("a valid instant");
    after(start, seconds)
}

/// The worker of this number.
pub fn worker(number: u64) -> WorkerId {
    WorkerId(Uuid::from_u64_pair(0x1eaf, number))
}

/// Lets the lease of this worker be over from `second` on, by whichever clock it is judged.
pub async fn lapsed(store: &Arc<dyn Store>, number: u64, second: u64) {
    let enlisted = store.enlist(worker(number), at(second), 0).await;
    enlisted.expect("enlisted");
}

/// Room for so many runs of any target.
pub fn keep(number: u64, at_most: u32) -> Keep {
    Keep {
        worker: worker(number),
        at_most,
        share: u32::MAX,
        room: BTreeMap::new(),
    }
}

/// A departure as intake records it.
pub fn event(id: &str, hr_case: &str, revision: u64) -> RecordedEvent {
    RecordedEvent {
        event: LifecycleEvent {
            source: "urn:hr".to_owned(),
            id: id.to_owned(),
            kind: EventKind::WorkerTerminated,
            occurred: None,
            subject: subject(hr_case),
            hr_case: hr_case.to_owned(),
            revision,
            effective: Effective::Immediately,
            urgency: Urgency::Planned,
            reason: None,
            connectors: Vec::new(),
        },
        origin: Origin {
            topic: "identity.lifecycle.v1".to_owned(),
            partition: 0,
            offset: 0,
            traceparent: None,
            tracestate: None,
        },
        recorded: at(0),
        payload_digest: format!("{id}/{revision}"),
    }
}

/// The subject of an HR case.
pub fn subject(hr_case: &str) -> Subject {
    Subject {
        kind: SubjectKind::Person,
        tenant: "acme".to_owned(),
        id: format!("person-{hr_case}"),
        identifiers: Vec::new(),
        display_name: Some(format!("Ada {hr_case}")),
        privileged: false,
    }
}

/// Records events.
pub async fn recorded(store: &Arc<dyn Store>, events: Vec<RecordedEvent>) {
    let batch = IntakeBatch {
        events,
        ..IntakeBatch::default()
    };
    store.record(&batch).await.expect("recorded");
}

/// Opens a case whose run is due now.
pub fn opens(event: &RecordedEvent) -> Admission {
    opens_with(event, due("begin", 0), &[])
}

/// Opens a case whose run stands at `stage`, with discoveries of these targets.
pub fn opens_with(event: &RecordedEvent, stage: Stage, targets: &[&str]) -> Admission {
    let case = CaseId::of(event.event.key(), event.recorded);
    let run = Run {
        id: case.run(),
        case: Some(case),
        parent: None,
        definition: DefinitionDigest("d".to_owned()),
        kind: RunKind::Case,
        connector: None,
        priority: 30,
        stage,
        verdict: None,
        step: 1,
        halted: false,
        in_flight: false,
        attempts: BTreeMap::new(),
        task: None,
        body: RunBody::Case(CaseBody {
            ruling: None,
            subject: event.event.subject.clone(),
            event: event.event.key(),
            kind: None,
            source: String::new(),
            recorded: event.recorded,
            effective: event.event.effective.clone(),
            urgency: event.event.urgency,
            connectors: Vec::new(),
            traceparent: None,
            for_person: None,
            claim: None,
            rounds: 0,
            anew: false,
            put_off: None,
            back: None,
            occurred: None,
            on_word: false,
            drill: None,
        }),
    };
    let children = targets.iter().map(|name| discovery(&run, name)).collect();
    Admission {
        event: event.event.key(),
        decision: AdmissionDecision::Open {
            case: Box::new(case_row(event)),
            first: Box::new(Settlement {
                children,
                ..bare(run)
            }),
        },
        reason: "access is to be removed".to_owned(),
        halts: Vec::new(),
    }
}

/// The row of the case that an event opens.
pub fn case_row(event: &RecordedEvent) -> CaseRow {
    let subject = &event.event.subject;
    CaseRow {
        id: CaseId::of(event.event.key(), event.recorded),
        subject_key: subject.key(),
        subject_name: subject.display_name.clone().unwrap_or_default(),
        event: event.event.key(),
        hr_case: event.event.hr_case.clone(),
        revision: event.event.revision,
        workflow: "leaver".to_owned(),
        effective: at(0),
        opened: at(0),
        priority: 30,
    }
}

/// Leaves an event be.
pub fn ignores(event: &RecordedEvent) -> Admission {
    Admission {
        event: event.event.key(),
        decision: AdmissionDecision::Ignore,
        reason: "known".to_owned(),
        halts: Vec::new(),
    }
}

/// A case that worker 1 holds from its admission on.
pub async fn a_case(store: &Arc<dyn Store>, name: &str) -> Claimed {
    recorded(store, vec![event(name, name, 1)]).await;
    let admitted = store
        .admit(10, at(0), &keep(1, 1), &|event, _| opens(event))
        .await
        .expect("admitted");
    admitted.kept.into_iter().next().expect("kept")
}

/// A removal that worker 1 holds, of a case that gathers.
pub async fn a_removal(store: &Arc<dyn Store>, name: &str) -> Claimed {
    let case = a_case(store, name).await;
    let child = removal(&case.run, "crm", "a1");
    let gather = Settlement {
        children: vec![child],
        ..step(&case.run, gathering("fan-out"))
    };
    let settled = store
        .settle(at(0), &keep(1, 1), &[fenced(&case, gather)])
        .await
        .expect("settled");
    settled.kept.into_iter().next().expect("kept")
}

/// Due in `state` at so many seconds.
pub fn due(state: &str, seconds: u64) -> Stage {
    Stage::Due {
        state: StateName::from(state),
        due: at(seconds),
    }
}

/// Waiting for children.
pub fn gathering(state: &str) -> Stage {
    Stage::Gathering {
        state: StateName::from(state),
    }
}

/// Over.
pub fn ended(end: End) -> Stage {
    Stage::Ended { end, at: at(0) }
}

/// With a person, without a time for the machine.
pub fn with_person() -> Stage {
    Stage::WithPerson {
        state: StateName::from("fallback"),
        next_try: None,
        tries: 0,
    }
}

/// A settlement that changes nothing but the run.
pub fn bare(run: Run) -> Settlement {
    Settlement {
        run,
        journal: Vec::new(),
        children: Vec::new(),
        task: None,
        rotations: Vec::new(),
        messages: Vec::new(),
        case_ended: None,
    }
}

/// The run's next step, to `stage`, with one line in the journal.
pub fn step(run: &Run, stage: Stage) -> Settlement {
    let mut run = run.clone();
    run.step += 1;
    run.stage = stage;
    let line = JournalEntry {
        run: run.id,
        sequence: run.step,
        place: 0,
        at: at(run.step),
        state: StateName::from("begin"),
        item: None,
        outcome: OutcomeKey::Done,
        failure: None,
        detail: Some(serde_json::json!({ "step": run.step })),
    };
    Settlement {
        journal: vec![line],
        ..bare(run)
    }
}

/// The removal's last step: proved.
pub fn proved(run: &Run) -> Settlement {
    let mut settlement = step(run, ended(End::Verified));
    settlement.run.verdict = Some(Verdict::ObservedAbsent);
    settlement
}

/// Under the lease of `claimed`.
pub fn fenced(claimed: &Claimed, settlement: Settlement) -> Fenced {
    Fenced {
        token: claimed.token,
        settlement: settlement.into(),
    }
}

/// A discovery of one target, due now.
pub fn discovery(parent: &Run, target: &str) -> Run {
    let body = RunBody::Discovery(DiscoveryBody {
        expect: None,
        upstream: None,
        subject: subject("x"),
        leaving: Leaving::default(),
        owed_since: at(0),
        found: Vec::new(),
        rounds: 0,
        rested: false,
        round: 0,
        elsewhere: Vec::new(),
        removed: Vec::new(),
        unclear: Vec::new(),
        found_at: None,
        last_failure: None,
        claim: None,
        drill: None,
    });
    child(parent, RunKind::Discovery, target, target, body)
}

/// The removal of one account, due now.
pub fn removal(parent: &Run, target: &str, account: &str) -> Run {
    let body = RunBody::Removal(Box::new(RemovalBody {
        subject_name: "Ada".to_owned(),
        leaving: Leaving::default(),
        owed_since: at(0),
        account: an_account(account),
        account_as_of: at(0),
        expect: Expectation::AccountGone,
        upstream: None,
        items: Vec::new(),
        probed: Vec::new(),
        inspected: false,
        shown: false,
        absent_at: None,
        stripped: false,
        returned: Vec::new(),
        last_write: None,
        last_finding: None,
        last_failure: None,
        claim: None,
        drill: None,
    }));
    let mut run = child(parent, RunKind::Removal, target, account, body);
    run.verdict = Some(Verdict::Requested);
    run
}

fn child(parent: &Run, kind: RunKind, target: &str, name: &str, body: RunBody) -> Run {
    Run {
        id: parent.id.child(kind.as_str(), name),
        case: parent.case,
        parent: Some(parent.id),
        definition: parent.definition.clone(),
        kind,
        connector: Some(ConnectorName::from(target)),
        priority: parent.priority,
        stage: due("start", 0),
        verdict: None,
        step: 0,
        halted: false,
        in_flight: false,
        attempts: BTreeMap::new(),
        task: None,
        body,
    }
}

/// An account of this id.
pub fn an_account(id: &str) -> Account {
    Account {
        id: AccountId::from(id),
        login: format!("{id}@acme.example"),
        display_name: None,
        state: AccountState::Enabled,
        attributes: BTreeMap::new(),
        entitlements: Vec::new(),
        sessions: None,
        further: BTreeMap::new(),
        privileged: false,
    }
}

/// A rotation of the writer secret of a target.
pub fn rotation(target: &str, cause: &str, seconds: u64) -> Run {
    let connector = ConnectorName::from(target);
    Run {
        id: RunId::rotation(&connector, "writer", cause, at(seconds)),
        case: None,
        parent: None,
        definition: DefinitionDigest("r".to_owned()),
        kind: RunKind::Rotation,
        connector: Some(connector.clone()),
        priority: -10,
        stage: due("prepare", seconds),
        verdict: None,
        step: 0,
        halted: false,
        in_flight: false,
        attempts: BTreeMap::new(),
        task: None,
        body: RunBody::Rotation(Box::new(RotationBody {
            connector,
            role: CredentialRole::Writer,
            strategy: Strategy::Add,
            trigger: Trigger::AuthFailure,
            facts: RotationFacts::default(),
            promoted_at: None,
            last_failure: None,
            claim: None,
        })),
    }
}

/// The task of a run.
pub fn a_task(run: &Run) -> FallbackTask {
    FallbackTask {
        id: run.id.task(),
        run: run.id,
        kind: run.kind,
        case: run.case,
        connector: run.connector.clone(),
        subject: "Ada".to_owned(),
        account: None,
        drill: false,
        privileged: false,
        priority: run.priority,
        access: Vec::new(),
        access_as_of: None,
        class: Some(FailureClass::Unsupported),
        code: "CB-TEST-1".to_owned(),
        asks: None,
        why: "no way".to_owned(),
        steps: vec!["Sign in".to_owned()],
        desk: "built-in".to_owned(),
        opened: at(0),
        deadline: at(3600),
        state: TaskState::Open,
        escalation: Escalation::default(),
        attestations: Vec::new(),
        bulk: None,
        history: Vec::new(),
    }
}

/// The same task, closed on a person's word.
pub fn closed(mut task: FallbackTask) -> FallbackTask {
    task.state = TaskState::Closed {
        how: Closure::Attested,
        by: "bob".to_owned(),
        at: at(1),
    };
    task
}

/// The step that hands a run to a person.
pub fn handed_over(run: &Run) -> Settlement {
    let mut settlement = step(run, with_person());
    settlement.run.task = Some(run.id.task());
    settlement.task = Some(a_task(&settlement.run));
    settlement
}

/// A failure.
pub fn failure() -> Failure {
    Failure::new(FailureClass::Unreachable, "CB-TEST-2", "no answer")
}

/// A message of this number under this key.
pub fn message(number: u64, key: &str) -> OutboxMessage {
    OutboxMessage {
        id: MessageId(Uuid::from_u64_pair(0x3e55, number)),
        topic: "clawback.status.v1".to_owned(),
        key: key.as_bytes().to_vec(),
        headers: vec![("n".to_owned(), number.to_be_bytes().to_vec())],
        payload: format!("message {number}").into_bytes(),
        created: at(number),
    }
}
