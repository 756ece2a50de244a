//! The judge, judged: each violation is planted once and must be found, and nothing else.
//!
//! Owns a small ground truth made by hand.

use crate::domain::access::EntitlementKind;
use crate::domain::verdict::Expectation;

use super::super::truth::SecretTruth;
use super::*;

fn account(subject: &str) -> AccountTruth {
    AccountTruth {
        login: subject.to_lowercase(),
        subject: Some(subject.to_owned()),
        can_sign_in: true,
        entitlements: BTreeSet::from([(EntitlementKind::Role, "viewer".to_owned())]),
        sessions: 1,
    }
}

fn secret(role: CredentialRole, works: bool) -> SecretTruth {
    SecretTruth {
        role,
        remote_ref: "t1".to_owned(),
        label: "set up by hand".to_owned(),
        works,
        used: 0,
    }
}

fn truth() -> GroundTruth {
    let target = TargetTruth {
        after_removal: Expectation::AccountPowerless,
        accounts: BTreeMap::from([("a1".into(), account("E1")), ("a2".into(), account("E2"))]),
        secrets: vec![secret(CredentialRole::Writer, true)],
    };
    GroundTruth {
        targets: BTreeMap::from([("crm".into(), target)]),
    }
}

fn crm(truth: &mut GroundTruth) -> &mut TargetTruth {
    truth.targets.get_mut(&"crm".into()).expect("is there")
}

fn of<'t>(truth: &'t mut GroundTruth, id: &str) -> &'t mut AccountTruth {
    let account = crm(truth).accounts.get_mut(&AccountId::from(id));
    account.expect("is there")
}

fn removed(truth: &mut GroundTruth, id: &str) {
    let account = of(truth, id);
    account.can_sign_in = false;
    account.entitlements.clear();
    account.sessions = 0;
}

fn report() -> Report {
    Report {
        due: BTreeSet::from(["E1".to_owned()]),
        verified: vec![("crm".into(), "a1".into())],
        in_hands: Vec::new(),
    }
}

#[test]
fn a_clean_removal_is_no_violation() {
    let mut after = truth();
    removed(&mut after, "a1");
    assert_eq!(judge(&truth(), &after, &report()), []);
    crm(&mut after).accounts.remove(&"a1".into());
    assert_eq!(judge(&truth(), &after, &report()), []);
}

#[test]
fn what_is_verified_and_present_is_found() {
    let mut after = truth();
    removed(&mut after, "a1");
    of(&mut after, "a1").sessions = 1;
    let mut report = report();
    report.in_hands.push(InHands {
        subject: "E1".to_owned(),
        connector: None,
        account: None,
    });
    let found = judge(&truth(), &after, &report);
    assert!(
        matches!(found[..], [Violation::VerifiedButPresent { .. }]),
        "{found:?}"
    );
}

#[test]
fn what_nobody_has_is_found_and_a_task_elsewhere_does_not_cover_it() {
    let mut report = report();
    report.verified.clear();
    let hands = |connector: &str, account: Option<&str>| InHands {
        subject: "E1".to_owned(),
        connector: Some(connector.into()),
        account: account.map(Into::into),
    };
    for elsewhere in [hands("wiki", None), hands("crm", Some("a9"))] {
        report.in_hands = vec![elsewhere];
        let found = judge(&truth(), &truth(), &report);
        assert!(
            matches!(found[..], [Violation::LeftBehind { .. }]),
            "{found:?}"
        );
    }
    for here in [hands("crm", None), hands("crm", Some("a1"))] {
        report.in_hands = vec![here];
        assert_eq!(judge(&truth(), &truth(), &report), []);
    }
}

#[test]
fn access_that_came_or_went_where_it_should_not_is_found() {
    let mut after = truth();
    removed(&mut after, "a1");
    let entitlement = (EntitlementKind::Role, "admin".to_owned());
    of(&mut after, "a2").entitlements.insert(entitlement);
    let found = judge(&truth(), &after, &report());
    assert!(
        matches!(found[..], [Violation::AccessAdded { .. }]),
        "{found:?}"
    );

    let mut after = truth();
    removed(&mut after, "a1");
    crm(&mut after).accounts.insert("a3".into(), account("E3"));
    let found = judge(&truth(), &after, &report());
    assert!(
        matches!(found[..], [Violation::AccessAdded { .. }]),
        "{found:?}"
    );

    let mut after = truth();
    removed(&mut after, "a1");
    crm(&mut after).accounts.remove(&"a2".into());
    let found = judge(&truth(), &after, &report());
    assert!(
        matches!(found[..], [Violation::AccessLost { .. }]),
        "{found:?}"
    );
}

#[test]
fn a_connector_without_a_working_secret_or_with_too_many_is_found() {
    for (secrets, working) in [(0, 0), (3, 3)] {
        let mut after = truth();
        removed(&mut after, "a1");
        crm(&mut after).secrets = vec![secret(CredentialRole::Writer, true); secrets];
        crm(&mut after)
            .secrets
            .push(secret(CredentialRole::Writer, false));
        let found = judge(&truth(), &after, &report());
        let expected = Violation::Secrets {
            connector: "crm".into(),
            role: CredentialRole::Writer,
            working,
        };
        assert_eq!(found, [expected]);
    }
}
