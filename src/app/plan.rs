//! The dry run: what would be sent for one event, without sending it.
//!
//! Owns `plan`: what admission decides, as if nothing were known of the subject yet; the subject's accounts
//! in every target, found with the verifier's credential and the connector's correlation rule; and for
//! each account the operations of the workflow in their order, unless a protection holds it. Reads targets
//! and writes nowhere: it holds no writer's credential. What brakes hold depends on the hours before.

use std::sync::Arc;

use futures_util::future::join_all;
use serde::Serialize;

use crate::connectors::{Guarded, Registry, Shown};
use crate::definitions::Library;
use crate::domain::access::{Account, Entitlement, EntitlementKind, Operation};
use crate::domain::admit::admit;
use crate::domain::correlation::{blind, nobody_knows};
use crate::domain::event::{EventKind, LifecycleEvent, Origin, RecordedEvent};
use crate::domain::id::{AccountId, ConnectorName, EntitlementId};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::protect;
use crate::domain::run::{RunBody, Stage};
use crate::domain::settlement::{AdmissionDecision, Settlement};
use crate::domain::step::Given;
use crate::domain::time::Timestamp;
use crate::domain::verdict::CredentialRole;
use crate::domain::workflow::{Action, Machine, Next, OutcomeKey, RunKind, Workflow};
use crate::engine;
use crate::secrets::{Secrets, Vault};

/// The plan for one event.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `id`.
    pub id: String,
    /// Who leaves.
    pub subject: String,
    /// The workflow, with its version.
    pub workflow: String,
    /// What each target would get.
    pub targets: Vec<TargetPlan>,
    /// Connectors that the event names and no manifest has; nothing would be done there.
    pub unknown: Vec<ConnectorName>,
    /// Why a person would get the whole case: the news is doubtful, no workflow acts on its kind, or no
    /// target knows the subject.
    pub task: Option<Failure>,
    /// What admission says of it.
    pub admitted: String,
    /// Connectors whose secret would be replaced.
    pub rotations: Vec<ConnectorName>,
    /// Operations that would be sent.
    pub operations: usize,
    /// Things that a person would get.
    pub for_person: usize,
}

/// The plan for one target.
#[derive(Debug, Clone, Serialize)]
pub struct TargetPlan {
    /// The target.
    pub connector: ConnectorName,
    /// The subject's accounts there.
    pub accounts: Vec<AccountPlan>,
    /// Accounts that may be the subject's and that no rule decides about, each with why; a person would
    /// get them.
    pub unclear: Vec<String>,
    /// Why it cannot be planned; a person would get it if it lasts.
    pub failure: Option<Failure>,
}

/// The plan for one account.
#[derive(Debug, Clone, Serialize)]
pub struct AccountPlan {
    /// The target's id.
    pub account: AccountId,
    /// The login.
    pub login: String,
    /// What would be done, in order.
    pub steps: Vec<PlannedStep>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedStep {
    /// The operation.
    pub operation: Operation,
    /// The entitlement that it takes away.
    pub item: Option<EntitlementId>,
    /// The entitlement's name.
    pub name: Option<String>,
    /// Whether it would be sent.
    pub fate: Fate,
}

/// What becomes of a planned step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It would be sent.
    Sent,
    /// The manifest says that the target has no need of it, and why.
    NotNeeded(String),
    /// The machine cannot; a person gets what is left, and why.
    ForPerson(String),
    /// It would wait for the approval of two people, and why.
    Held(String),
}

/// What a plan is made with.
#[derive(Debug, Clone, Copy)]
pub struct With<'a> {
    /// The workflow files.
    pub library: &'a Library,
    /// The connectors.
    pub registry: &'a Registry,
    /// Who is protected, and what is doubtful.
    pub engine: &'a engine::Settings,
    /// Now.
    pub now: Timestamp,
}

/// Plans one event.
pub async fn plan(event: &LifecycleEvent, with: &With<'_>, vault: Arc<dyn Vault>) -> Plan {
    let registry = with.registry;
    let admission = admitted(event, with);
    let workflow = with.library.by_event(event.kind);
    let mut task = admission.task;
    let mut targets = Vec::new();
    if admission.acts {
        let secrets = Secrets::new(vault);
        let operations = workflow.map(|w| order(w)).unwrap_or_default();
        let meant =
            |name: &ConnectorName| event.connectors.is_empty() || event.connectors.contains(name);
        let asked = registry.iter().filter(|connector| meant(connector.name()));
        let is_protected = with.engine.protected.contains(&event.subject.key());
        let asks = Asks {
            event,
            since: with.now,
            operations: &operations,
            is_protected,
        };
        let planned = asked.map(|one| target(&asks, one, &secrets));
        targets = join_all(planned).await;
        // A target that cannot be asked gets a task of its own, and may know them.
        let nobody = |target: &TargetPlan| {
            target.failure.is_none() && target.accounts.is_empty() && target.unclear.is_empty()
        };
        let departs = matches!(
            event.kind,
            EventKind::WorkerTerminated | EventKind::NhiRetired | EventKind::TerminationChanged
        );
        task = (departs && targets.iter().all(nobody)).then(nobody_knows);
    }
    let named = event.connectors.iter();
    let unknown = named.filter(|name| registry.get(name).is_none()).cloned();
    let mut plan = Plan {
        source: event.source.clone(),
        id: event.id.clone(),
        subject: event
            .subject
            .display_name
            .clone()
            .unwrap_or_else(|| event.subject.key()),
        workflow: workflow.map_or(String::new(), |w| format!("{} {}", w.name, w.version)),
        operations: 0,
        for_person: 0,
        unknown: unknown.collect(),
        task,
        admitted: admission.words,
        rotations: admission.rotations,
        targets,
    };
    plan.count();
    plan
}

impl Plan {
    /// What would be sent, and what people would get: of what is held one thing for each account.
    fn count(&mut self) {
        let failed = self
            .targets
            .iter()
            .filter(|target| target.failure.is_some());
        let accounts = || self.targets.iter().flat_map(|target| &target.accounts);
        let steps = || accounts().flat_map(|account| &account.steps);
        let held = |account: &&AccountPlan| {
            let mut steps = account.steps.iter();
            steps.any(|step| matches!(step.fate, Fate::Held(_)))
        };
        let by_hand = steps().filter(|step| matches!(step.fate, Fate::ForPerson(_)));
        let unclear = self.targets.iter().filter(|one| !one.unclear.is_empty());
        let for_person = failed.count()
            + unclear.count()
            + usize::from(self.task.is_some())
            + accounts().filter(held).count()
            + by_hand.count();
        self.operations = steps().filter(|step| step.fate == Fate::Sent).count();
        self.for_person = for_person;
    }
}

/// What admission decides.
struct Admitted {
    words: String,
    task: Option<Failure>,
    /// Removals follow.
    acts: bool,
    rotations: Vec<ConnectorName>,
}

/// Decides the event as the engine does where nothing is known of its subject yet.
fn admitted(event: &LifecycleEvent, with: &With<'_>) -> Admitted {
    let mut came_to = Admitted {
        words: "no workflow can open a case".to_owned(),
        task: None,
        acts: false,
        rotations: Vec::new(),
    };
    let Some(workflow) = with.library.by_event(event.kind) else {
        return came_to;
    };
    let estate = engine::estate(with.registry, with.library, with.engine);
    let at = |now| Given {
        workflow,
        estate: &estate,
        now,
        fraction: 0.0,
        status_topic: None,
        under: None,
    };
    let recorded = RecordedEvent {
        event: event.clone(),
        recorded: with.now,
        origin: Origin {
            topic: String::new(),
            partition: 0,
            offset: -1,
            traceparent: None,
            tracestate: None,
        },
        payload_digest: String::new(),
    };
    match admit(&recorded, &[], &at(with.now)) {
        Ok(admission) => {
            came_to.words = admission.reason;
            match admission.decision {
                AdmissionDecision::Open { first, .. } | AdmissionDecision::Stop { first, .. } => {
                    let ended = matches!(first.run.stage, Stage::Ended { .. });
                    if let RunBody::Case(body) = first.run.body {
                        came_to.acts = body.for_person.is_none() && !ended;
                        came_to.task = body.for_person;
                    }
                    let begun = if came_to.acts {
                        // Secrets that the leaver could read are replaced when it takes effect.
                        let effective = event.effective.instant(with.now).unwrap_or(with.now);
                        let then = admit(&recorded, &[], &at(effective.max(with.now)));
                        then.ok().and_then(|then| opened(then.decision))
                    } else {
                        None
                    };
                    let rotations = begun
                        .as_ref()
                        .map_or(&first.rotations, |then| &then.rotations);
                    let rotations = rotations.iter().filter_map(|run| run.connector.clone());
                    came_to.rotations.extend(rotations);
                }
                AdmissionDecision::Rotate { runs } => {
                    let connectors = runs.into_iter().filter_map(|run| run.connector);
                    came_to.rotations.extend(connectors);
                }
                // Nothing that it could change is known.
                AdmissionDecision::Reschedule { .. }
                | AdmissionDecision::Rescind { .. }
                | AdmissionDecision::Halt { .. }
                | AdmissionDecision::PutOff { .. }
                | AdmissionDecision::Revise { .. }
                | AdmissionDecision::Ignore => {}
            }
        }
        Err(error) => came_to.words = error.to_string(),
    }
    came_to
}

/// What a case begins with.
fn opened(decision: AdmissionDecision) -> Option<Box<Settlement>> {
    match decision {
        AdmissionDecision::Open { first, .. } | AdmissionDecision::Stop { first, .. } => {
            Some(first)
        }
        AdmissionDecision::Rotate { .. }
        | AdmissionDecision::Reschedule { .. }
        | AdmissionDecision::Rescind { .. }
        | AdmissionDecision::Halt { .. }
        | AdmissionDecision::PutOff { .. }
        | AdmissionDecision::Revise { .. }
        | AdmissionDecision::Ignore => None,
    }
}

/// What every target is asked of one event.
#[derive(Clone, Copy)]
struct Asks<'a> {
    event: &'a LifecycleEvent,
    /// A listing from then on will do: all events of a file search the same one.
    since: Timestamp,
    operations: &'a [Operation],
    is_protected: bool,
}

async fn target(asks: &Asks<'_>, connector: &Guarded, secrets: &Secrets) -> TargetPlan {
    let planned = found(asks, connector, secrets).await;
    let (found, failure) = match planned {
        Ok(found) => (found, None),
        Err(failure) => (Found::default(), Some(failure)),
    };
    let listed = found.listed.as_ref();
    let listed = listed.map_or(&[][..], |shown| shown.roster.accounts());
    let accounts = found.accounts.iter();
    TargetPlan {
        connector: connector.name().clone(),
        accounts: accounts
            .map(|account| AccountPlan {
                account: account.id.clone(),
                login: account.login.clone(),
                steps: unless_held(
                    steps(connector, account, asks.operations),
                    held(asks, connector, account, &found.accounts, listed),
                ),
            })
            .collect(),
        unclear: found.unclear,
        failure,
    }
}

/// What one target shows of the subject.
#[derive(Debug, Default)]
struct Found {
    accounts: Vec<Account>,
    unclear: Vec<String>,
    /// Everybody there.
    listed: Option<Arc<Shown>>,
}

/// Why this account's removal would wait for two people.
fn held(
    asks: &Asks<'_>,
    connector: &Guarded,
    account: &Account,
    found: &[Account],
    listed: &[Account],
) -> Option<String> {
    if asks.is_protected {
        let subject = asks.event.subject.key();
        return Some(format!(
            "{}: {subject} is a protected subject",
            protect::SUBJECT
        ));
    }
    let facts = connector.manifest().facts();
    if protect::is_break_glass(&facts, account) {
        let code = protect::BREAK_GLASS;
        return Some(format!("{code}: it is a break-glass account"));
    }
    let leaving = found.iter().map(|one| one.id.clone()).collect();
    let listed = Some(listed);
    let words = protect::is_last(&facts.administrators, account, false, listed, &leaving)?;
    Some(format!("{}: {words}", protect::LAST_ADMINISTRATOR))
}

/// What would be sent waits instead, where something holds it.
fn unless_held(mut steps: Vec<PlannedStep>, held: Option<String>) -> Vec<PlannedStep> {
    if let Some(why) = held {
        for step in steps.iter_mut().filter(|step| step.fate == Fate::Sent) {
            step.fate = Fate::Held(why.clone());
        }
    }
    steps
}

/// The subject's accounts, each read with everything it has.
async fn found(asks: &Asks<'_>, connector: &Guarded, secrets: &Secrets) -> Result<Found, Failure> {
    let manifest = connector.manifest();
    let credential = secrets
        .credential(manifest, CredentialRole::Verifier)
        .await?;
    let shown = connector.shown(&credential, asks.since).await?;
    if let Some(gap) = shown.gap(shown.completeness, &manifest.expect) {
        return Err(Failure::new(FailureClass::StaleData, "CB-PLAN-1", gap));
    }
    let matched = shown.roster.search(&manifest.name, &asks.event.subject);
    let subject = &asks.event.subject;
    if let (true, Some(blind)) = (
        matched.shows_nothing(),
        blind(&manifest.name, &manifest.correlation, subject),
    ) {
        return Err(blind);
    }
    let mut found = Found {
        unclear: matched.unclear,
        listed: Some(shown),
        ..Found::default()
    };
    for account in matched.accounts {
        let reading = connector.read(&credential, &account.id).await?;
        found.accounts.push(reading.account.unwrap_or(account));
    }
    Ok(found)
}

/// The operations of a workflow's removal in their order, along the road on which all goes well.
fn order(workflow: &Workflow) -> Vec<Operation> {
    workflow
        .machines
        .get(&RunKind::Removal)
        .map_or_else(Vec::new, road)
}

fn road(machine: &Machine) -> Vec<Operation> {
    let mut operations = Vec::new();
    let mut at = &machine.start;
    // A proved machine has no cycle on this road; the bound is for one that is not proved.
    for _ in 0..machine.states.len() {
        let Some(state) = machine.states.get(at) else {
            break;
        };
        if let Action::Act(operation) | Action::Each { operation, .. } = &state.action {
            operations.push(*operation);
        }
        let well = [OutcomeKey::Found, OutcomeKey::Done, OutcomeKey::Absent];
        let next = well.iter().find_map(|outcome| state.next(*outcome));
        match next {
            Some(Next::Go(to)) => at = to,
            Some(Next::Retry { .. } | Next::Rotate { .. }) | None => break,
        }
    }
    operations
}

fn steps(connector: &Guarded, account: &Account, operations: &[Operation]) -> Vec<PlannedStep> {
    let mut steps = Vec::new();
    for operation in operations {
        match operation {
            Operation::RevokeEntitlement | Operation::RevokeCredential => {
                let credentials = *operation == Operation::RevokeCredential;
                let items = account
                    .entitlements
                    .iter()
                    .filter(|item| (item.kind == EntitlementKind::Credential) == credentials);
                steps.extend(items.map(|item| PlannedStep {
                    operation: *operation,
                    item: Some(item.id.clone()),
                    name: Some(item.name.clone()),
                    fate: fate_of_item(connector, *operation, item),
                }));
            }
            Operation::List
            | Operation::Read
            | Operation::Disable
            | Operation::EndSessions
            | Operation::Delete => steps.push(PlannedStep {
                operation: *operation,
                item: None,
                name: None,
                fate: fate(connector, *operation),
            }),
        }
    }
    steps
}

fn fate_of_item(connector: &Guarded, operation: Operation, item: &Entitlement) -> Fate {
    if let Some(parent) = &item.inherited_from {
        return Fate::ForPerson(format!("it comes from {parent} and must be removed there"));
    }
    match fate(connector, operation) {
        Fate::NotNeeded(_) => {
            Fate::ForPerson("the manifest says that there is no such thing".to_owned())
        }
        other => other,
    }
}

fn fate(connector: &Guarded, operation: Operation) -> Fate {
    let manifest = connector.manifest();
    if manifest.operations.contains(&operation) {
        return Fate::Sent;
    }
    match manifest.without.get(&operation) {
        Some(why) => Fate::NotNeeded(why.clone()),
        None => Fate::ForPerson("the manifest does not offer it".to_owned()),
    }
}

#[cfg(test)]
mod tests;
