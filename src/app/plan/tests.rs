//! The dry run over one control list: who is planned for, who is not, and what a person gets.
//!
//! Owns a target with one account and a vault that it does not need. Which operations are sent in which
//! order is the workflow's; the plan over real targets is tested with the built binary.

use super::*;
use crate::app::{post, wall};
use crate::definitions;
use crate::secrets::{LocalVault, VaultKey};

/// A target with one account, and a vault that it does not need.
struct House {
    _folder: tempfile::TempDir,
    registry: Registry,
    vault: Arc<dyn Vault>,
}

fn house() -> House {
    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("htpasswd");
    std::fs::write(&list, "ada:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=\n").expect("written");
    let wiki = include_str!("../../demo/manifests/wiki.toml");
    let wiki = wiki.replace("{path}", &list.display().to_string());
    let wiki = wiki.replace("accounts_min = 3", "accounts_min = 1");
    let registry = Registry::load(&[("wiki.toml".to_owned(), wiki)], &wall::clock());
    let key = VaultKey::random().expect("a key");
    let vault = LocalVault::open(&folder.path().join("vault"), key).expect("opens");
    House {
        registry: registry.unwrap_or_else(|problems| panic!("{problems}")),
        vault: Arc::new(vault),
        _folder: folder,
    }
}

async fn planned(house: &House, login: &str, named: &[&str]) -> Plan {
    planned_as(
        house,
        "clawback.worker.terminated.v1",
        login,
        named,
        &engine::Settings::default(),
    )
    .await
}

async fn planned_as(
    house: &House,
    kind: &str,
    login: &str,
    named: &[&str],
    engine: &engine::Settings,
) -> Plan {
    planned_at(house, (kind, "\"immediately\""), login, named, engine).await
}

async fn planned_at(
    house: &House,
    (kind, effective): (&str, &str),
    login: &str,
    named: &[&str],
    engine: &engine::Settings,
) -> Plan {
    let connectors = if named.is_empty() {
        "null".to_owned()
    } else {
        format!("{named:?}")
    };
    let event = &leaver(kind, effective, login, &connectors);
    let library = definitions::built_in().expect("is proved");
    let with = With {
        library: &library,
        registry: &house.registry,
        engine,
        now: wall::clock().now(),
    };
    plan(event, &with, Arc::clone(&house.vault)).await
}

fn leaver(kind: &str, effective: &str, login: &str, connectors: &str) -> LifecycleEvent {
    let folder = tempfile::tempdir().expect("a folder");
    let event = format!(
        r#"{{"specversion": "1.0", "id": "1", "source": "urn:acme:hr",
            "type": "{kind}", "time": "2026-11-20T12:00:00Z",
            "datacontenttype": "application/json",
            "data": {{"case_id": "HR-1", "revision": 1, "urgency": "planned",
              "effective": {effective}, "connectors": {connectors},
              "subject": {{"kind": "person", "tenant": "acme", "id": "E-1",
                "identifiers": [{{"type": "username", "value": "{login}"}}]}}}}}}"#
    );
    let file = folder.path().join("event.json");
    std::fs::write(&file, event).expect("written");
    let events = post::read(&file, 65_536, wall::clock().as_ref());
    let mut events = events.unwrap_or_else(|error| panic!("{error:?}"));
    events.remove(0).event
}

#[tokio::test]
async fn g3_what_no_workflow_acts_on_is_planned_for_a_person_and_sends_nothing() {
    let house = house();
    let none = engine::Settings::default();
    for kind in ["rehired", "moved"] {
        let kind = format!("clawback.worker.{kind}.v1");
        let plan = planned_as(&house, &kind, "ada", &[], &none).await;
        assert_eq!((plan.operations, plan.for_person), (0, 1), "{plan:?}");
        assert_eq!(plan.task.expect("a task").code, "CB-ADMIT-2");
        assert!(plan.targets.is_empty());
    }
    let kind = "clawback.worker.termination-cancelled.v1";
    let plan = planned_as(&house, kind, "ada", &[], &none).await;
    assert_eq!((plan.operations, plan.for_person), (0, 0), "{plan:?}");
    assert!(!plan.admitted.is_empty());
}

#[tokio::test]
async fn g3_what_a_protection_holds_is_not_planned_as_sent() {
    let house = house();
    let held = engine::Settings {
        protected: ["acme/E-1".to_owned()].into(),
        ..engine::Settings::default()
    };
    let kind = "clawback.worker.terminated.v1";
    let plan = planned_as(&house, kind, "ada", &[], &held).await;
    assert_eq!((plan.operations, plan.for_person), (0, 1), "{plan:?}");
    let steps = plan
        .targets
        .iter()
        .flat_map(|target| &target.accounts[0].steps);
    let fates: Vec<_> = steps.map(|step| step.fate.clone()).collect();
    let is_held = |fate: &Fate| matches!(fate, Fate::Held(why) if why.starts_with("CB-PROTECT-1"));
    assert_eq!(
        fates.iter().filter(|fate| is_held(fate)).count(),
        1,
        "{fates:?}"
    );
}

#[tokio::test]
async fn g3_the_last_administrator_is_not_planned_as_sent() {
    let wiki = include_str!("../../demo/manifests/wiki.toml");
    let wiki = wiki.replace("{path}", "/srv/wiki/htpasswd");
    let wiki = wiki.replace(
        "writes = [",
        "administrators = [\"group:admins\"]\nwrites = [",
    );
    let registry = Registry::load(&[("wiki.toml".to_owned(), wiki)], &wall::clock());
    let registry = registry.unwrap_or_else(|problems| panic!("{problems}"));
    let wiki = registry.get(&"wiki".into()).expect("loaded");
    let event = leaver(
        "clawback.worker.terminated.v1",
        "\"immediately\"",
        "ada",
        "null",
    );
    let admin = |id: &str| Account {
        entitlements: vec![Entitlement {
            id: "group:admins".into(),
            kind: EntitlementKind::Group,
            name: "admins".to_owned(),
            inherited_from: None,
        }],
        ..Account::left_behind(&id.into(), None)
    };
    let asks = Asks {
        event: &event,
        since: Timestamp::MIN,
        operations: &[],
        is_protected: false,
    };
    let (ada, bob) = (admin("ada"), admin("bob"));
    let held = |found: &[Account], listed: &[Account]| held(&asks, &wiki, &ada, found, listed);
    let alone = held(std::slice::from_ref(&ada), std::slice::from_ref(&ada));
    assert!(alone.is_some_and(|why| why.starts_with("CB-PROTECT-3")));
    let both = [ada.clone(), bob];
    assert_eq!(held(&both[..1], &both), None);
    // Of two who leave at once none remains.
    assert!(held(&both, &both).is_some());
}

#[tokio::test]
async fn g3_secrets_that_a_leaver_could_read_are_planned_for_a_departure_to_come() {
    let mut house = house();
    let crm = include_str!("../../demo/manifests/crm.toml");
    let crm = crm.replace("{base_url}", "http://127.0.0.1:9");
    let crm = crm.replacen(
        "rotation = \"add\"",
        "rotation = \"add\"\nknown_by = [\"E-1\"]",
        1,
    );
    let registry = Registry::load(&[("crm.toml".to_owned(), crm)], &wall::clock());
    house.registry = registry.unwrap_or_else(|problems| panic!("{problems}"));
    let later = wall::clock().now().as_second() + 7 * 86_400;
    let later = Timestamp::from_second(later).expect("a time").to_string();
    let later = format!(
        r#"{{"local": "{}", "zone": "Etc/UTC"}}"#,
        later.trim_end_matches('Z')
    );
    for effective in ["\"immediately\"", &later] {
        let kind = "clawback.worker.terminated.v1";
        let engine = engine::Settings::default();
        let plan = planned_at(&house, (kind, effective), "ada", &[], &engine).await;
        assert_eq!(plan.rotations, ["crm".into()], "{effective}: {plan:?}");
    }
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
