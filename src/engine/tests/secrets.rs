//! D3: what makes Clawback replace one of its own secrets.
//!
//! Owns the triggers as the core decides them: a refused credential, an operator's wish, a
//! compromise, age. How a secret is replaced is tested in `secrets`.

use super::given::{self, CRM, facts, news};
use super::play::Play;
use super::target::Target;
use crate::domain::command::{Answer, Wish};
use crate::domain::event::EventKind;
use crate::domain::id::ConnectorName;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::rotation::{RotationBody, SecretAge, Strategy, Trigger, sweep};
use crate::domain::run::{Run, RunBody};
use crate::domain::settlement::AdmissionDecision;
use crate::domain::subject::Identifier;
use crate::domain::task::Attestation;
use crate::domain::time::{Effective, after};
use crate::domain::verdict::CredentialRole;
use crate::domain::workflow::{End, RunKind};

fn body(run: &Run) -> &RotationBody {
    match &run.body {
        RunBody::Rotation(body) => body,
        other => panic!("{other:?} is no rotation"),
    }
}

/// The steps of a departure in order: how the test target calls each, where the run rests before
/// it, where it is done, and what it signs in with.
const STEPS: [(&str, &str, &str, CredentialRole); 9] = {
    use CredentialRole::{Verifier, Writer};
    [
        ("find", "find_accounts", "find_accounts", Verifier),
        ("inspect", "inspect", "inspect", Writer),
        ("disable", "disable", "disable", Writer),
        ("end_sessions", "end_sessions", "end_sessions", Writer),
        (
            "revoke_credential",
            "revoke_credentials",
            "revoke_credentials",
            Writer,
        ),
        (
            "revoke_entitlement",
            "revoke_entitlements",
            "revoke_entitlements",
            Writer,
        ),
        ("delete", "delete", "delete", Writer),
        ("observe", "verify", "verify", Verifier),
        ("observe", "settle", "reverify", Verifier),
    ]
};

#[test]
fn d3_a_refused_credential_is_replaced_and_the_step_done_again() {
    for (effect, rests, state, role) in STEPS {
        // Given a departure that has come to this step, and a credential that is refused there.
        let kind = if effect == "find" {
            RunKind::Discovery
        } else {
            RunKind::Removal
        };
        let mut target = Target::new();
        let mut play = Play::begun();
        play.until(kind, rests, &mut target);
        target.fail(effect, FailureClass::AuthFailure);
        play.skip();
        let id = play.run(kind).id;
        play.step(id, &mut target);
        // Then the secret of the role that signs in there is to be replaced, no other.
        let wished: Vec<_> = play.wished.iter().map(body).collect();
        assert_eq!(wished.len(), 1, "{state}");
        assert_eq!(wished[0].connector.as_str(), CRM, "{state}");
        assert_eq!(
            (wished[0].role, &wished[0].trigger),
            (role, &Trigger::AuthFailure),
            "{state}"
        );
        // And with the new one the step is done again and the departure comes to its end.
        assert_eq!(play.run(kind).stage.name(), state);
        target.fails.clear();
        play.pass(8000, &mut target);
        assert_eq!(play.end(RunKind::Removal), Some(End::Verified), "{state}");
        assert_eq!(play.end(RunKind::Rotation), Some(End::Rotated), "{state}");
    }
}

#[test]
fn d3_a_failure_of_another_class_replaces_no_secret() {
    for class in FailureClass::ALL {
        let mut target = Target::new();
        target.fail("disable", class);
        let mut play = Play::begun();
        play.pass(60, &mut target);
        let replaced = class == FailureClass::AuthFailure;
        assert_eq!(!play.wished.is_empty(), replaced, "{class}");
    }
}

#[test]
fn d3_a_secret_that_no_machine_can_replace_ends_with_a_person() {
    let mut fixed = facts();
    fixed.rotation.clear();
    let mut play = Play::new(&[(CRM, fixed)]);
    play.hear(given::leaves());
    let mut target = Target::new();
    target.fail("*", FailureClass::AuthFailure);
    play.pass(900, &mut target);
    assert!(play.wished.is_empty());
    assert_eq!(play.run(RunKind::Discovery).stage.name(), "with_person");
    let class = play.task(RunKind::Discovery).class;
    assert_eq!(class, Some(FailureClass::AuthFailure));
}

#[test]
fn d3_an_operator_can_have_a_secret_replaced() {
    let mut play = Play::new(&[(CRM, facts())]);
    let wish = |connector: &str, role| Wish::RotateSecret {
        connector: connector.into(),
        role,
    };
    let answer = play.wish("ann", wish(CRM, CredentialRole::Verifier));
    assert!(answer.accepted);
    let rotation = body(play.run(RunKind::Rotation));
    assert_eq!(rotation.role, CredentialRole::Verifier);
    assert_eq!(rotation.strategy, Strategy::Add);
    assert_eq!(
        rotation.trigger,
        Trigger::Demand {
            by: "ann".to_owned()
        }
    );
    play.pass(3600, &mut Target::new());
    assert_eq!(play.end(RunKind::Rotation), Some(End::Rotated));
    // What no manifest declares is refused, and says so.
    for (wish, code) in [
        (wish("nowhere", CredentialRole::Writer), "CB-COMMAND-7"),
        (wish(CRM, CredentialRole::Rotator), "CB-COMMAND-2"),
    ] {
        let answer = play.wish("ann", wish);
        assert_eq!(answer.code.as_deref(), Some(code));
    }
    assert_eq!(play.wished.len(), 1);
}

#[test]
fn d3_a_compromise_replaces_every_secret_of_the_named_connectors() {
    let mut play = Play::new(&[(CRM, facts()), ("mail", facts()), ("wiki", facts())]);
    let mut event = news(EventKind::CredentialCompromised, 1, Effective::Immediately);
    event.connectors = vec![CRM.into(), "mail".into()];
    // The subject is the identity by which the connectors themselves sign in.
    for connector in [CRM, "mail"] {
        event.subject.identifiers.push(Identifier {
            kind: "credential".to_owned(),
            value: format!("{connector}/writer"),
        });
    }
    let decision = play.hear(event);
    assert!(matches!(decision, AdmissionDecision::Rotate { .. }));
    let mut wished: Vec<_> = play
        .wished
        .iter()
        .map(body)
        .map(|b| (b.connector.to_string(), b.role, b.trigger.as_str()))
        .collect();
    wished.sort();
    let expected = [
        (CRM, CredentialRole::Writer),
        (CRM, CredentialRole::Verifier),
        ("mail", CredentialRole::Writer),
        ("mail", CredentialRole::Verifier),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(connector, role)| (connector.to_owned(), role, "compromised"))
        .collect();
    assert_eq!(wished, expected);
    assert!(play.cases.is_empty());
}

#[test]
fn d3_a_compromised_credential_of_anybody_else_is_a_persons_business_beside_that() {
    let mut play = Play::new(&[(CRM, facts()), ("mail", facts())]);
    let mut event = news(EventKind::CredentialCompromised, 1, Effective::Immediately);
    event.connectors = vec![CRM.into(), "mail".into()];
    event.subject.identifiers.push(Identifier {
        kind: "credential".to_owned(),
        value: "mail/writer".to_owned(),
    });
    let name = event.subject.name().to_owned();
    play.hear(event);
    assert_eq!(play.wished.len(), 4, "as a precaution");
    let task = play.task(RunKind::Case);
    assert_eq!(task.code, "CB-ADMIT-4");
    let asks = format!("see that those of {name} are revoked at {CRM};");
    assert!(task.why.contains(&asks), "{}", task.why);
}

#[test]
fn d3_a_compromise_that_no_machine_can_cure_is_a_persons_business() {
    let mut fixed = facts();
    fixed.rotation.clear();
    // Nobody keeps a secret of that name here, or the event names none.
    for connectors in [
        vec![CRM.into()],
        vec!["crn".into()],
        Vec::<ConnectorName>::new(),
    ] {
        let mut play = Play::new(&[(CRM, fixed.clone())]);
        let mut event = news(EventKind::CredentialCompromised, 1, Effective::Immediately);
        event.connectors = connectors;
        play.hear(event);
        assert_eq!(play.task(RunKind::Case).code, "CB-ADMIT-4");
        assert!(play.wished.is_empty());
    }
}

#[test]
fn d3_a_secret_is_due_when_it_is_as_old_as_its_manifest_allows() {
    let secret = |age: u64, max_age_seconds: Option<u64>, rotating: bool| {
        let created = given::dawn();
        let secret = SecretAge {
            connector: CRM.into(),
            role: CredentialRole::Writer,
            created,
            max_age_seconds,
            expires: None,
            renew_before_seconds: 0,
            rotating,
            attested: None,
        };
        sweep(&[secret], after(created, age)).pop()
    };
    let due = |seconds| Some((CRM.into(), CredentialRole::Writer, Trigger::Age { seconds }));
    assert_eq!(secret(99, Some(100), false), None);
    assert_eq!(secret(100, Some(100), false), due(100));
    assert_eq!(secret(5000, Some(100), false), due(5000));
    assert_eq!(secret(5000, Some(100), true), None);
    assert_eq!(secret(5000, None, false), None);
}

#[test]
fn d3_a_secret_from_the_future_is_not_due() {
    let secret = SecretAge {
        connector: CRM.into(),
        role: CredentialRole::Writer,
        created: after(given::dawn(), 10),
        max_age_seconds: Some(1),
        expires: None,
        renew_before_seconds: 0,
        rotating: false,
        attested: None,
    };
    assert_eq!(sweep(&[secret], given::dawn()), []);
}

#[test]
fn d5_a_secret_that_ends_soon_is_due_for_that() {
    let secret = |left: i64, renew_before_seconds: u64| {
        let now = after(given::dawn(), 1000);
        let expires = now + std::time::Duration::from_secs(left.unsigned_abs());
        let expires = if left < 0 { given::dawn() } else { expires };
        let secret = SecretAge {
            connector: CRM.into(),
            role: CredentialRole::Writer,
            created: given::dawn(),
            max_age_seconds: Some(10),
            expires: Some(expires),
            renew_before_seconds,
            rotating: false,
            attested: None,
        };
        sweep(&[secret], now).pop().map(|(_, _, trigger)| trigger)
    };
    let soon = |seconds_left| Some(Trigger::Expiry { seconds_left });
    assert_eq!(secret(100, 100), soon(100));
    assert_eq!(secret(-1, 0), soon(0), "one that has ended");
    assert_eq!(secret(101, 100), Some(Trigger::Age { seconds: 1000 }));
    // What lives for hours is not due for the whole of its life.
    let short = SecretAge {
        connector: CRM.into(),
        role: CredentialRole::Writer,
        created: given::dawn(),
        max_age_seconds: None,
        expires: Some(after(given::dawn(), 9_000)),
        renew_before_seconds: 14 * 86_400,
        rotating: false,
        attested: None,
    };
    let due = |age| !sweep(std::slice::from_ref(&short), after(given::dawn(), age)).is_empty();
    assert_eq!(
        [0, 5_999, 6_000, 9_001].map(due),
        [false, false, true, true]
    );
}

proptest::proptest! {
    #[test]
    fn d3_the_sweep_tells_each_secret_once_and_with_a_reason_that_holds(
        secrets in proptest::collection::vec(
            (0_u64..500, proptest::option::of(0_u64..500), proptest::option::of(0_u64..800), 0_u64..300,
             proptest::bool::ANY),
            0..12,
        )
    ) {
        let now = after(given::dawn(), 500);
        let secrets: Vec<_> = secrets
            .into_iter()
            .enumerate()
            .map(|(number, (created, max_age_seconds, expires, renew_before_seconds, rotating))| {
                SecretAge {
                    connector: ConnectorName(format!("c{number}")),
                    role: CredentialRole::Writer,
                    created: after(given::dawn(), created),
                    max_age_seconds,
                    expires: expires.map(|at| after(given::dawn(), at)),
                    renew_before_seconds,
                    rotating,
                    attested: None,
                }
            })
            .collect();
        let due = sweep(&secrets, now);
        for secret in &secrets {
            let age = crate::domain::time::after(secret.created, secret.max_age_seconds.unwrap_or(0));
            let old = secret.max_age_seconds.is_some() && age <= now;
            let ends = secret.expires.is_some_and(|at| at <= after(now, secret.renew_ahead()));
            let found: Vec<_> = due.iter().filter(|(name, ..)| *name == secret.connector).collect();
            let expected = usize::from(!secret.rotating && (old || ends));
            proptest::prop_assert_eq!(found.len(), expected, "{:?}", secret);
            if let Some((_, _, trigger)) = found.first() {
                let reason = if ends { "expiry" } else { "age" };
                proptest::prop_assert_eq!(trigger.as_str(), reason);
            }
        }
    }
}

/// How the leaver is named where a manifest says who knows a secret.
fn known_to_the_leaver() -> std::collections::BTreeSet<String> {
    [given::leaves().subject.id].into()
}

#[test]
fn b10_what_a_leaver_could_read_is_replaced_and_no_removal_waits_for_it() {
    // Given one connector of which the leaver knows the writer's secret, one that the leaver owns
    // without any way to replace its secret, and one that is no business of the leaver.
    let mut known = facts();
    known.known_by = [
        (CredentialRole::Writer, known_to_the_leaver()),
        (CredentialRole::Verifier, std::collections::BTreeSet::new()),
    ]
    .into();
    let mut owned = known.clone();
    owned.rotation.clear();
    owned.known_by = [(CredentialRole::Verifier, std::collections::BTreeSet::new())].into();
    owned.keepers = known_to_the_leaver();
    let mut other = facts();
    other.known_by = [(CredentialRole::Writer, ["somebody else".to_owned()].into())].into();
    let mut play = Play::new(&[(CRM, known), ("mail", owned), ("wiki", other)]);
    play.hear(given::leaves());
    // When the departure takes effect, and rotations are slow.
    let mut target = Target::new();
    play.pass(8000, &mut target);
    // Then just these are replaced, for that reason, and the removals ended by themselves.
    let mut wished: Vec<_> = play
        .wished
        .iter()
        .map(body)
        .map(|b| {
            (
                b.connector.to_string(),
                b.role,
                b.strategy,
                b.trigger.as_str(),
            )
        })
        .collect();
    wished.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(
        wished,
        [
            (
                CRM.to_owned(),
                CredentialRole::Writer,
                Strategy::Add,
                "leaver"
            ),
            (
                "mail".to_owned(),
                CredentialRole::Verifier,
                Strategy::Delegated,
                "leaver"
            ),
        ]
    );
    assert_eq!(play.end(RunKind::Removal), Some(End::Verified));
}

/// The writer's access of the retired connector is to end.
fn retirement(play: &mut Play) -> Answer {
    let wish = Wish::RetireSecret {
        connector: CRM.into(),
        role: CredentialRole::Writer,
    };
    play.wish("ann", wish)
}

#[test]
fn d5_the_own_access_of_a_retired_connector_ends_in_proof() {
    // Given a connector that serves: nobody ends its access by accident.
    let mut play = Play::new(&[(CRM, facts())]);
    let answer = retirement(&mut play);
    assert_eq!(answer.code.as_deref(), Some("CB-COMMAND-10"));
    // When its retirement binds.
    let mut play = Play::new(&[]);
    play.estate.retired.insert(CRM.into(), facts());
    assert!(retirement(&mut play).accepted);
    play.pass(60, &mut Target::new());
    // Then it is over without the wait for an overlap, and no case would go there.
    assert_eq!(play.end(RunKind::Rotation), Some(End::Rotated));
    assert!(play.tasks.is_empty());
}

#[test]
fn d5_access_that_the_machine_cannot_end_is_a_persons_task_and_is_tried_before_it_is_believed() {
    let mut fixed = facts();
    fixed.rotation.clear();
    let mut play = Play::new(&[]);
    play.estate.retired.insert(CRM.into(), fixed);
    assert!(retirement(&mut play).accepted);
    let mut target = Target::new();
    target.fail("retire_secret", FailureClass::Unsupported);
    play.pass(60, &mut target);
    let task = play.task(RunKind::Rotation).clone();
    assert_eq!(task.subject, "writer's access of the retired connector crm");
    assert!(task.steps[0].contains("crm's writer"), "{:?}", task.steps);
    // A bare claim is checked, and sent back while the target takes the secret.
    target.fail("prove_rejected", FailureClass::WriteFailure);
    assert!(play.close(task.id, "bob", None).accepted);
    play.pass(60, &mut target);
    let sent_back = play.task(RunKind::Rotation);
    assert_eq!(sent_back.state.as_str(), "sent_back");
    // What the person did is seen.
    target.fails.clear();
    assert!(play.close(task.id, "bob", None).accepted);
    play.pass(60, &mut target);
    assert_eq!(play.end(RunKind::Rotation), Some(End::Rotated));
    assert_eq!(play.tasks[&task.id].state.as_str(), "closed");
}

#[test]
fn d5_nobody_attests_what_the_target_still_accepts() {
    for (code, closes) in [("CB-SECRETS-16", false), ("CB-SECRETS-24", true)] {
        let mut play = Play::new(&[]);
        play.estate.retired.insert(CRM.into(), facts());
        assert!(retirement(&mut play).accepted);
        let mut target = Target::new();
        target.fail("retire_secret", FailureClass::Unsupported);
        play.pass(60, &mut target);
        let task = play.task(RunKind::Rotation).id;
        let failure = Failure::new(FailureClass::Unsupported, code, "as the machine found it");
        target.fails.insert("prove_rejected".to_owned(), failure);
        let attestation = Attestation {
            by: "bob".to_owned(),
            statement: "the client is gone".to_owned(),
        };
        assert!(play.close(task, "bob", Some(attestation)).accepted);
        play.pass(60, &mut target);
        let statement = "I saw it gone too".to_owned();
        let second = play.wish(
            "eve",
            Wish::ConfirmTask {
                task,
                statement,
                meant: None,
            },
        );
        assert_eq!(second.accepted, closes, "{code}: nothing waits for her");
        play.pass(60, &mut target);
        let end = play.end(RunKind::Rotation);
        assert_eq!(end, closes.then_some(End::Attested), "{code}");
    }
}
