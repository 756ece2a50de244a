//! The guard's promises, each against a connector that tries to break it.
//!
//! Owns a scripted connector that renders whatever request a test wants. Does not talk to anything.

use std::sync::Mutex;

use super::super::fixture::{Moved, credential, crm};
use async_trait::async_trait;

use super::*;
use crate::connectors::contract::{Call, RenderedRequest};
use crate::connectors::unsupported;
use crate::connectors::{KnownSecret, MintOrder, Minted};
use crate::domain::access::{Account, AccountState, Entitlement, EntitlementKind};
use crate::domain::health::Tally;
use crate::domain::verdict::Completeness;

/// What the scripted connector does with a write.
#[derive(Debug, Clone)]
enum Script {
    Send(RenderedRequest),
    HangAfter(RenderedRequest),
    PanicAfter(RenderedRequest),
    Hang,
    /// Looks for a while, by requests that each have a time of their own.
    Walk,
    Fail(FailureClass),
    /// Denies changes; lets the credential in, or not.
    Deny {
        lets_in: bool,
    },
}

#[derive(Debug)]
struct Scripted {
    script: Mutex<Script>,
    sent: Mutex<Vec<String>>,
    shown: Vec<Account>,
}

impl Scripted {
    async fn act(&self, call: &Call<'_>) -> Result<(), Failure> {
        let script = self.script.lock().expect("not poisoned").clone();
        match &script {
            Script::Send(request) | Script::HangAfter(request) | Script::PanicAfter(request) => {
                let permit = call.permit(request.clone(), ()).await?;
                let line = permit.rendered().line.clone();
                self.sent.lock().expect("not poisoned").push(line);
            }
            Script::Hang | Script::Walk | Script::Fail(_) | Script::Deny { .. } => {}
        }
        match script {
            Script::Send(_) => Ok(()),
            Script::Walk => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok(())
            }
            Script::HangAfter(_) | Script::Hang => std::future::pending().await,
            Script::PanicAfter(_) => panic!("planted"),
            Script::Fail(class) => Err(Failure::new(class, "CB-TEST", "planted")),
            Script::Deny { .. } => {
                let class = FailureClass::AuthFailure;
                Err(Failure::new(class, FORBIDDEN, "planted"))
            }
        }
    }
}

#[async_trait]
impl Connector for Scripted {
    async fn list(&self, call: &Call<'_>) -> Result<Listing, Failure> {
        self.act(call).await?;
        Ok(Listing {
            accounts: self.shown.clone(),
            completeness: Completeness::WHOLE,
            data_age_seconds: 0,
            method: "scripted".into(),
        })
    }

    fn times_each_request(&self) -> bool {
        matches!(*self.script.lock().expect("not poisoned"), Script::Walk)
    }

    async fn read(&self, call: &Call<'_>, _: &AccountId) -> Result<Reading, Failure> {
        self.act(call).await?;
        Ok(Reading {
            account: self.shown.first().cloned(),
            completeness: Completeness::WHOLE,
            data_age_seconds: 0,
            method: "scripted".into(),
        })
    }

    async fn write(&self, call: &Call<'_>, _: &Change) -> Result<Answered, Failure> {
        self.act(call).await.map(|()| Answered::Accepted)
    }

    async fn try_credential(&self, call: &Call<'_>) -> Result<(), Failure> {
        let script = self.script.lock().expect("not poisoned").clone();
        match script {
            Script::Deny { lets_in: true } => Ok(()),
            _ => self.act(call).await,
        }
    }

    async fn mint(&self, call: &Call<'_>, _: &MintOrder) -> Result<Minted, Failure> {
        self.act(call).await?;
        Err(unsupported("mint"))
    }

    async fn minted(
        &self,
        call: &Call<'_>,
        _: CredentialRole,
    ) -> Result<Vec<KnownSecret>, Failure> {
        self.act(call).await.map(|()| Vec::new())
    }

    async fn retire(&self, call: &Call<'_>, _: CredentialRole, _: &str) -> Result<(), Failure> {
        self.act(call).await
    }
}

fn request(operation: Operation, account: Option<&str>, writes: &[&str]) -> RenderedRequest {
    RenderedRequest {
        operation: Some(operation),
        account: account.map(Into::into),
        writes: writes.iter().map(|field| (*field).to_owned()).collect(),
        line: "PATCH /Users/7".into(),
    }
}

fn disable(account: &str, writes: &[&str]) -> RenderedRequest {
    request(Operation::Disable, Some(account), writes)
}

fn change(operation: Operation) -> Change {
    Change {
        operation,
        account: "7".into(),
        login: "ada".into(),
        entitlement: None,
    }
}

fn account(id: &str) -> Account {
    Account {
        id: id.into(),
        login: id.into(),
        display_name: None,
        state: AccountState::Enabled,
        attributes: std::collections::BTreeMap::new(),
        entitlements: vec![],
        sessions: None,
        further: std::collections::BTreeMap::new(),
        privileged: false,
    }
}

fn guarded(script: Script, shown: &[&str]) -> (Guarded, Arc<Scripted>, Arc<Moved>) {
    guarding(script, shown.iter().map(|id| account(id)).collect())
}

fn guarding(script: Script, shown: Vec<Account>) -> (Guarded, Arc<Scripted>, Arc<Moved>) {
    let clock = Moved::new();
    let connector = Arc::new(Scripted {
        script: Mutex::new(script),
        sent: Mutex::default(),
        shown,
    });
    let mut manifest = crm();
    // Whatever is not ready at once has hung.
    manifest.limits.timeout_seconds = 0;
    let guard = Guarded::new(manifest, connector.clone(), clock.clone());
    (guard, connector, clock)
}

async fn write(script: Script, change: &Change) -> (Result<Answered, Failure>, Vec<String>) {
    let (guard, connector, _) = guarded(script, &[]);
    let writer = credential(CredentialRole::Writer, "s");
    let answer = guard.write(&writer, change).await;
    let sent = connector.sent.lock().expect("not poisoned").clone();
    (answer, sent)
}

#[tokio::test]
async fn c3_what_the_manifest_does_not_approve_is_refused_before_a_byte_is_sent() {
    let disabling = change(Operation::Disable);
    let outside = [
        disable("7", &["active", "displayName"]),
        disable("8", &["active"]),
        disable("7", &[]),
        disable("7", &["*"]),
        request(Operation::Disable, None, &["active"]),
        request(Operation::Delete, Some("7"), &["*"]),
        request(Operation::EndSessions, Some("7"), &["active"]),
        request(Operation::Read, Some("7"), &["active"]),
        request(Operation::Read, Some("8"), &[]),
        RenderedRequest {
            operation: None,
            ..disable("7", &[])
        },
    ];
    for request in outside {
        let (answer, sent) = write(Script::Send(request.clone()), &disabling).await;
        let failure = answer.expect_err("refused");
        assert_eq!(failure.class, FailureClass::Refused, "{request:?}");
        assert!(failure.code.starts_with("CB-GUARD-"));
        assert!(sent.is_empty(), "{request:?}");
    }
    let (answer, sent) = write(Script::Send(disable("7", &["active"])), &disabling).await;
    assert_eq!(answer, Ok(Answered::Accepted));
    assert_eq!(sent, ["PATCH /Users/7"]);
}

#[tokio::test]
async fn c3_a_call_that_is_not_approved_never_reaches_the_connector() {
    let (guard, connector, _) = guarded(Script::Send(disable("7", &["active"])), &[]);
    let writer = credential(CredentialRole::Writer, "s");
    let verifier = credential(CredentialRole::Verifier, "s");
    let refuse = |answer: Result<Answered, Failure>| answer.expect_err("refused").class;

    let sessions = change(Operation::EndSessions);
    let answer = guard.write(&writer, &sessions).await;
    assert_eq!(refuse(answer), FailureClass::Refused);
    let answer = guard.write(&verifier, &change(Operation::Disable)).await;
    assert_eq!(refuse(answer), FailureClass::Refused);
    let answer = guard
        .write(&writer, &change(Operation::RevokeEntitlement))
        .await;
    assert_eq!(refuse(answer), FailureClass::Refused);
    let rotation = guard.minted(&writer, CredentialRole::Writer).await;
    assert_eq!(rotation.expect_err("refused").class, FailureClass::Refused);

    let mut inherited = change(Operation::RevokeEntitlement);
    inherited.entitlement = Some(Entitlement {
        id: "group:1".into(),
        kind: EntitlementKind::Group,
        name: "staff".into(),
        inherited_from: Some("everyone".into()),
    });
    let answer = guard.write(&writer, &inherited).await;
    assert_eq!(refuse(answer), FailureClass::Inherited);
    assert!(connector.sent.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn g4_a_pause_binds_before_the_next_write_also_for_the_guard_that_replaces_this_one() {
    let (guard, connector, clock) = guarded(Script::Send(disable("7", &["active"])), &[]);
    let writer = credential(CredentialRole::Writer, "s");
    let disabling = change(Operation::Disable);
    guard.write(&writer, &disabling).await.expect("not paused");
    guard.pause(Some(Signed {
        by: "ann".to_owned(),
        at: clock.now(),
        reason: "it misbehaves".to_owned(),
    }));
    let mut later = Guarded::new(crm(), connector.clone(), clock.clone());
    later.inherit(&guard);
    let rehearsing = guard.rehearsing(Pass::Well);
    for paused in [&guard, &later, &rehearsing] {
        let failure = paused.write(&writer, &disabling).await;
        let failure = failure.expect_err("nothing is sent");
        assert_eq!(failure.code, PAUSED);
        assert!(failure.message.contains("ann has paused it"), "{failure}");
    }
    let sent = || connector.sent.lock().expect("not poisoned").len();
    assert_eq!(sent(), 1, "only what was sent before");
    // The end of the pause is heard of by both, too.
    guard.pause(None);
    later.write(&writer, &disabling).await.expect("resumed");
    assert_eq!(sent(), 2);
}

#[tokio::test]
async fn b4_a_hanging_connector_becomes_a_failure_that_knows_whether_a_write_went_out() {
    let disabling = change(Operation::Disable);
    let (answer, _) = write(Script::Hang, &disabling).await;
    assert_eq!(answer.expect_err("lost").class, FailureClass::Unreachable);
    let (answer, sent) = write(Script::HangAfter(disable("7", &["active"])), &disabling).await;
    assert_eq!(
        answer.expect_err("lost").class,
        FailureClass::UnknownOutcome
    );
    assert_eq!(sent.len(), 1);
    let reading = Script::HangAfter(request(Operation::Read, Some("7"), &[]));
    let (answer, _) = write(reading, &disabling).await;
    assert_eq!(answer.expect_err("lost").class, FailureClass::Unreachable);
}

#[tokio::test]
async fn b4_a_look_of_many_requests_is_given_the_time_of_a_listing_and_opens_no_breaker() {
    // Given a target of which every request is answered in time, and a look that takes longer.
    let (guard, connector, _) = guarded(Script::Walk, &[]);
    let (writer, verifier) = (CredentialRole::Writer, CredentialRole::Verifier);
    let (writer, verifier) = (credential(writer, "s"), credential(verifier, "s"));
    for _ in 0..=guard.manifest.limits.breaker_failures {
        let reading = guard.read(&verifier, &"7".into()).await;
        assert_eq!(reading.expect("in time").account, None);
        let changed = guard.write(&writer, &change(Operation::Disable)).await;
        assert_eq!(changed, Ok(Answered::Accepted));
    }
    assert!(!guard.brakes.is_open());
    // A kind whose requests have no time of their own has that of one call.
    *connector.script.lock().expect("not poisoned") = Script::Hang;
    let lost = guard.read(&verifier, &"7".into()).await;
    assert_eq!(lost.expect_err("hangs").code, "CB-GUARD-10");
}

#[tokio::test]
async fn d3_a_denied_change_calls_for_no_other_credential_while_this_one_opens_the_target() {
    for (lets_in, class) in [
        (true, FailureClass::WriteFailure),
        (false, FailureClass::AuthFailure),
    ] {
        let (answer, _) = write(Script::Deny { lets_in }, &change(Operation::Disable)).await;
        let denied = answer.expect_err("denied");
        assert_eq!((denied.class, denied.code.as_str()), (class, FORBIDDEN));
    }
}

#[tokio::test]
async fn a_panic_in_a_connector_is_a_failure_and_not_the_end_of_the_worker() {
    let disabling = change(Operation::Disable);
    let (answer, _) = write(Script::PanicAfter(disable("7", &["active"])), &disabling).await;
    assert_eq!(
        answer.expect_err("lost").class,
        FailureClass::UnknownOutcome
    );
    let reading = Script::PanicAfter(request(Operation::Read, Some("7"), &[]));
    let (answer, _) = write(reading, &disabling).await;
    assert_eq!(answer.expect_err("lost").class, FailureClass::Drifted);
}

#[tokio::test]
async fn b4_the_breaker_opens_for_this_connector_and_tells_when_to_come_back() {
    let (guard, connector, clock) = guarded(Script::Fail(FailureClass::Unreachable), &[]);
    let verifier = credential(CredentialRole::Verifier, "s");
    for _ in 0..2 {
        assert!(guard.try_credential(&verifier).await.is_err());
    }
    let reading = request(Operation::Read, None, &[]);
    *connector.script.lock().expect("not poisoned") = Script::Send(reading);
    let failure = guard.try_credential(&verifier).await.expect_err("open");
    assert_eq!(failure.class, FailureClass::Unreachable);
    assert_eq!(failure.retry_after_seconds, Some(30));
    assert!(connector.sent.lock().expect("not poisoned").is_empty());
    clock.advance(30);
    assert_eq!(guard.try_credential(&verifier).await, Ok(()));
    assert_eq!(guard.try_credential(&verifier).await, Ok(()));
}

#[tokio::test]
async fn b4_no_more_calls_at_once_than_declared() {
    let (guard, _, _) = guarded(Script::Send(request(Operation::Read, None, &[])), &[]);
    let verifier = credential(CredentialRole::Verifier, "s");
    let mut under_way = Vec::new();
    for _ in 0..guard.manifest.limits.concurrency {
        under_way.push(guard.brakes.enter().await.expect("a place"));
    }
    let failure = guard.try_credential(&verifier).await.expect_err("no place");
    assert_eq!(failure.class, FailureClass::RateLimited);
    under_way.pop();
    assert_eq!(guard.try_credential(&verifier).await, Ok(()));
}

#[tokio::test]
async fn c6_a_count_out_of_its_band_or_an_account_shown_twice_is_no_complete_listing() {
    let listing_request = request(Operation::List, None, &[]);
    let verifier = credential(CredentialRole::Verifier, "s");
    let look = async |shown: &[&str]| {
        let (guard, _, _) = guarded(Script::Send(listing_request.clone()), shown);
        guard.list(&verifier).await.expect("lists").completeness
    };
    assert_eq!(look(&["1", "2"]).await, Completeness::WHOLE);
    assert!(!look(&[]).await.count_in_band);
    assert!(!look(&["1", "1"]).await.pages_closed);
    // Whoever reads why is told the numbers.
    let (guard, _, _) = guarded(Script::Send(listing_request.clone()), &[]);
    let listing = guard.list(&verifier).await.expect("lists");
    assert_eq!(
        listing.gap(listing.completeness, &guard.manifest().expect),
        Some(
            "the number of accounts is outside its band: 0 accounts were listed, the manifest \
             expects at least 1"
                .to_owned()
        )
    );
}

#[tokio::test]
async fn c5_calls_of_runs_are_tallied_and_surveys_told_apart() {
    let (guard, _, clock) = guarded(Script::Send(request(Operation::List, None, &[])), &["7"]);
    let verifier = credential(CredentialRole::Verifier, "s");
    guard.survey(&verifier).await.expect("listed");
    assert_eq!(guard.vitals().take_tally(), Tally::default());
    guard.list(&verifier).await.expect("listed");
    let tally = guard.vitals().take_tally();
    assert_eq!((tally.read, tally.calls.reads), (Some(clock.now()), 1));
    assert_eq!(guard.vitals().take_tally(), Tally::default(), "once");

    let (guard, _, _) = guarded(
        Script::Send(request(Operation::Delete, Some("7"), &["*"])),
        &[],
    );
    let writer = credential(CredentialRole::Writer, "s");
    guard
        .write(&writer, &change(Operation::Delete))
        .await
        .expect("done");
    let tally = guard.vitals().take_tally();
    assert_eq!((tally.deleted, tally.calls.writes), (1, 1));

    let (guard, _, _) = guarded(Script::Fail(FailureClass::AuthFailure), &[]);
    let failed = guard.write(&writer, &change(Operation::Delete)).await;
    failed.expect_err("planted");
    let tally = guard.vitals().take_tally();
    let failed = tally.write_failed.map(|(_, class)| class);
    assert_eq!(
        (tally.deleted, failed),
        (0, Some(FailureClass::AuthFailure))
    );
}

#[tokio::test]
async fn c6_a_null_character_is_replaced_in_names_and_is_no_part_of_an_id() {
    let verifier = credential(CredentialRole::Verifier, "s");
    let shown = async |spoil: fn(&mut Account)| {
        let mut shown = account("1");
        spoil(&mut shown);
        let mut listed = Vec::new();
        for operation in [Operation::List, Operation::Read] {
            let script = Script::Send(request(operation, None, &[]));
            let (guard, _, _) = guarding(script, vec![shown.clone()]);
            listed.push(if operation == Operation::List {
                let listing = guard.list(&verifier).await;
                listing.map(|mut listing| listing.accounts.remove(0))
            } else {
                let reading = guard.read(&verifier, &"1".into()).await;
                reading.map(|reading| reading.account.expect("shown"))
            });
        }
        assert_eq!(listed[0], listed[1]);
        listed.remove(0)
    };
    let named = shown(|one| {
        one.display_name = Some("A\0da".to_owned());
        let attributes = &mut one.attributes;
        attributes.insert("na\0me".to_owned(), "va\0lue".to_owned());
        one.entitlements.push(Entitlement {
            id: "g".into(),
            kind: EntitlementKind::Group,
            name: "sta\0ff".to_owned(),
            inherited_from: Some("a\0ll".to_owned()),
        });
    });
    let named = named.await.expect("a name is for people");
    assert_eq!(named.display_name.as_deref(), Some("A\u{fffd}da"));
    assert_eq!(named.attributes["na\u{fffd}me"], "va\u{fffd}lue");
    let group = named.entitlements.last().expect("shown");
    assert_eq!(group.name, "sta\u{fffd}ff");
    assert_eq!(group.inherited_from.as_deref(), Some("a\u{fffd}ll"));
    let spoils: [fn(&mut Account); 3] = [
        |one| one.id = "\0".into(),
        |one| one.login = "a\0b".to_owned(),
        |one| {
            one.entitlements.push(Entitlement {
                id: "\0".into(),
                kind: EntitlementKind::Group,
                name: "staff".to_owned(),
                inherited_from: None,
            });
        },
    ];
    for spoil in spoils {
        let failure = shown(spoil).await.expect_err("not to be addressed");
        assert_eq!(
            (failure.class, failure.code.as_str()),
            (FailureClass::Drifted, "CB-GUARD-17")
        );
        assert!(!failure.message.contains('\0'), "{}", failure.message);
    }
}
