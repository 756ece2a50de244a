//! The dry run: what would be sent for one event, without sending it.
//!
//! Owns `plan`: the subject's accounts in every target, found with the verifier's credential and the
//! connector's correlation rule, and for each account the operations of the workflow in their order.
//! Reads targets and writes nowhere: it holds no writer's credential.

use std::sync::Arc;

use futures_util::future::join_all;
use serde::Serialize;

use crate::connectors::{Guarded, Registry};
use crate::definitions::Library;
use crate::domain::access::{Account, Entitlement, EntitlementKind, Operation};
use crate::domain::correlation::{correlate_at, nobody_knows};
use crate::domain::event::{EventKind, LifecycleEvent};
use crate::domain::id::{AccountId, ConnectorName, EntitlementId};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::verdict::CredentialRole;
use crate::domain::workflow::{Action, Machine, Next, OutcomeKey, RunKind, Workflow};
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
    /// Why a person would get the whole case: no target knows the subject.
    pub task: Option<Failure>,
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
}

/// Plans one event.
pub async fn plan(
    event: &LifecycleEvent,
    library: &Library,
    registry: &Registry,
    vault: Arc<dyn Vault>,
) -> Plan {
    let secrets = Secrets::new(vault);
    let workflow = library.by_event(event.kind);
    let operations = workflow.map(|w| order(w)).unwrap_or_default();
    let meant =
        |name: &ConnectorName| event.connectors.is_empty() || event.connectors.contains(name);
    let targets = registry.iter().filter(|connector| meant(connector.name()));
    let targets = join_all(targets.map(|one| target(event, one, &secrets, &operations))).await;
    let steps = || {
        targets
            .iter()
            .flat_map(|t| &t.accounts)
            .flat_map(|a| &a.steps)
    };
    let failed = targets.iter().filter(|target| target.failure.is_some());
    // A target that cannot be asked gets a task of its own, and may know them.
    let departs = matches!(
        event.kind,
        EventKind::WorkerTerminated | EventKind::NhiRetired | EventKind::TerminationChanged
    );
    let nobody = |target: &TargetPlan| target.failure.is_none() && target.accounts.is_empty();
    let task = (departs && workflow.is_some() && targets.iter().all(nobody)).then(nobody_knows);
    let named = event.connectors.iter();
    let unknown = named.filter(|name| registry.get(name).is_none()).cloned();
    Plan {
        source: event.source.clone(),
        id: event.id.clone(),
        subject: event
            .subject
            .display_name
            .clone()
            .unwrap_or_else(|| event.subject.key()),
        workflow: workflow.map_or(String::new(), |w| format!("{} {}", w.name, w.version)),
        operations: steps().filter(|step| step.fate == Fate::Sent).count(),
        for_person: failed.count()
            + usize::from(task.is_some())
            + steps()
                .filter(|step| matches!(step.fate, Fate::ForPerson(_)))
                .count(),
        unknown: unknown.collect(),
        task,
        targets,
    }
}

async fn target(
    event: &LifecycleEvent,
    connector: &Guarded,
    secrets: &Secrets,
    operations: &[Operation],
) -> TargetPlan {
    let planned = accounts(event, connector, secrets).await;
    let (accounts, failure) = match planned {
        Ok(accounts) => (accounts, None),
        Err(failure) => (Vec::new(), Some(failure)),
    };
    TargetPlan {
        connector: connector.name().clone(),
        accounts: accounts
            .iter()
            .map(|account| AccountPlan {
                account: account.id.clone(),
                login: account.login.clone(),
                steps: steps(connector, account, operations),
            })
            .collect(),
        failure,
    }
}

/// The subject's accounts, each read with everything it has.
async fn accounts(
    event: &LifecycleEvent,
    connector: &Guarded,
    secrets: &Secrets,
) -> Result<Vec<Account>, Failure> {
    let manifest = connector.manifest();
    let credential = secrets
        .credential(manifest, CredentialRole::Verifier)
        .await?;
    let listing = connector.list(&credential).await?;
    if let Some(gap) = listing.gap(listing.completeness, &manifest.expect) {
        return Err(Failure::new(FailureClass::StaleData, "CB-PLAN-1", gap));
    }
    let found = correlate_at(
        &manifest.name,
        &manifest.correlation,
        &event.subject,
        &listing.accounts,
    );
    let matched = found.decided()?;
    let mut accounts = Vec::new();
    for account in matched {
        let reading = connector.read(&credential, &account.id).await?;
        accounts.push(reading.account.unwrap_or(account));
    }
    Ok(accounts)
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
mod tests {
    use super::*;
    use crate::app::{post, wall};
    use crate::definitions;
    use crate::secrets::{LocalVault, VaultKey};

    /// A target with one account, and a vault that it does not need.
    struct House {
        folder: tempfile::TempDir,
        registry: Registry,
        vault: Arc<dyn Vault>,
    }

    fn house() -> House {
        let folder = tempfile::tempdir().expect("a folder");
        let list = folder.path().join("htpasswd");
        std::fs::write(&list, "ada:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=\n").expect("written");
        let wiki = include_str!("../demo/manifests/wiki.toml");
        let wiki = wiki.replace("{path}", &list.display().to_string());
        let wiki = wiki.replace("accounts_min = 3", "accounts_min = 1");
        let registry = Registry::load(&[("wiki.toml".to_owned(), wiki)], &wall::clock());
        let key = VaultKey::random().expect("a key");
        let vault = LocalVault::open(&folder.path().join("vault"), key).expect("opens");
        House {
            registry: registry.unwrap_or_else(|problems| panic!("{problems}")),
            vault: Arc::new(vault),
            folder,
        }
    }

    async fn planned(house: &House, login: &str, named: &[&str]) -> Plan {
        let connectors = if named.is_empty() {
            "null".to_owned()
        } else {
            format!("{named:?}")
        };
        let event = format!(
            r#"{{"specversion": "1.0", "id": "1", "source": "urn:acme:hr",
                "type": "clawback.worker.terminated.v1", "time": "2026-11-20T12:00:00Z",
                "datacontenttype": "application/json",
                "data": {{"case_id": "HR-1", "revision": 1, "urgency": "planned",
                  "effective": "immediately", "connectors": {connectors},
                  "subject": {{"kind": "person", "tenant": "acme", "id": "E-1",
                    "identifiers": [{{"type": "username", "value": "{login}"}}]}}}}}}"#
        );
        let file = house.folder.path().join("event.json");
        std::fs::write(&file, event).expect("written");
        let events = post::read(&file, 65_536, wall::clock().as_ref());
        let event = &events.unwrap_or_else(|error| panic!("{error:?}"))[0].event;
        let library = definitions::built_in().expect("is proved");
        plan(event, &library, &house.registry, Arc::clone(&house.vault)).await
    }

    #[tokio::test]
    async fn a_subject_whom_nobody_knows_is_told_as_a_person_s_task() {
        let house = house();
        let known = planned(&house, "ada", &[]).await;
        assert_eq!((known.operations, &known.task), (1, &None));
        let nobody = planned(&house, "bob", &[]).await;
        let task = nobody.task.expect("a person gets the case");
        assert_eq!((task.code.as_str(), nobody.for_person), ("CB-CASE-1", 1));
    }

    #[tokio::test]
    async fn a_connector_that_the_event_names_and_nobody_has_is_told() {
        let house = house();
        let both = planned(&house, "ada", &["wiki", "wikki"]).await;
        assert_eq!(both.unknown, ["wikki".into()]);
        assert_eq!((both.operations, &both.task), (1, &None));
        // Nowhere is looked, and so a person gets it.
        let none = planned(&house, "ada", &["wikki"]).await;
        assert_eq!((none.operations, none.for_person), (0, 1));
    }

    #[test]
    fn b5_the_plan_contains_before_it_strips_and_strips_before_it_deletes() {
        let library = definitions::built_in().expect("is proved");
        let leaver = library
            .by_event(EventKind::WorkerTerminated)
            .expect("is there");
        assert_eq!(
            order(leaver),
            [
                Operation::Disable,
                Operation::EndSessions,
                Operation::RevokeCredential,
                Operation::RevokeEntitlement,
                Operation::Delete,
            ]
        );
    }
}
