//! G4: a pause binds before the next write, wherever that write waits.
//!
//! Owns a connector whose writes take two requests, and which waits between them for the test to go on.
//! Talks to nothing.

use async_trait::async_trait;
use futures_util::future::join_all;
use futures_util::{FutureExt, join};
use std::sync::Mutex;
use tokio::sync::Notify;

use super::*;
use crate::connectors::contract::{
    Answered, Call, Change, Connector, KnownSecret, Listing, MintOrder, Minted, Reading,
    RenderedRequest,
};
use crate::connectors::fixture::{Moved, credential, crm};
use crate::connectors::{Guarded, unsupported};
use crate::domain::access::Operation;
use crate::domain::id::AccountId;
use crate::domain::outcome::FailureClass;
use crate::domain::time::Clock;
use crate::domain::verdict::CredentialRole;

/// Sends two requests for one change; the second goes out when the test lets it.
#[derive(Debug, Default)]
struct InTwo {
    sent: Mutex<Vec<String>>,
    go_on: Notify,
}

impl InTwo {
    async fn send(&self, call: &Call<'_>, request: RenderedRequest) -> Result<(), Failure> {
        let permit = call.permit(request, ()).await?;
        let line = permit.rendered().line.clone();
        self.sent.lock().expect("not poisoned").push(line);
        Ok(())
    }

    async fn in_two(&self, call: &Call<'_>, request: RenderedRequest) -> Result<(), Failure> {
        self.send(call, request.clone()).await?;
        self.go_on.notified().await;
        self.send(call, request).await
    }

    fn sent(&self) -> usize {
        self.sent.lock().expect("not poisoned").len()
    }
}

#[async_trait]
impl Connector for InTwo {
    async fn list(&self, _: &Call<'_>) -> Result<Listing, Failure> {
        Err(unsupported("list"))
    }

    async fn read(&self, _: &Call<'_>, _: &AccountId) -> Result<Reading, Failure> {
        Err(unsupported("read"))
    }

    async fn write(&self, call: &Call<'_>, change: &Change) -> Result<Answered, Failure> {
        let disable = RenderedRequest {
            operation: Some(Operation::Disable),
            account: Some(change.account.clone()),
            writes: ["active".to_owned()].into(),
            line: format!("PATCH /Users/{}", change.account),
        };
        self.in_two(call, disable).await?;
        Ok(Answered::Accepted)
    }

    async fn try_credential(&self, _: &Call<'_>) -> Result<(), Failure> {
        Err(unsupported("try"))
    }

    async fn mint(&self, _: &Call<'_>, _: &MintOrder) -> Result<Minted, Failure> {
        Err(unsupported("mint"))
    }

    async fn minted(&self, _: &Call<'_>, _: CredentialRole) -> Result<Vec<KnownSecret>, Failure> {
        Err(unsupported("list secrets"))
    }

    async fn retire(&self, call: &Call<'_>, _: CredentialRole, id: &str) -> Result<(), Failure> {
        let ends = RenderedRequest {
            operation: None,
            account: None,
            writes: std::collections::BTreeSet::new(),
            line: format!("DELETE /tokens/{id}"),
        };
        self.in_two(call, ends).await
    }
}

fn guarded() -> (Guarded, Arc<InTwo>, Signed) {
    let (connector, clock) = (Arc::new(InTwo::default()), Moved::new());
    let mut manifest = crm();
    manifest.limits.concurrency = 1;
    let signed = Signed {
        by: "ann".to_owned(),
        at: clock.now(),
        reason: "it misbehaves".to_owned(),
    };
    let guard = Guarded::new(manifest, connector.clone(), clock);
    (guard, connector, signed)
}

fn change(account: &str) -> Change {
    Change {
        operation: Operation::Disable,
        account: account.into(),
        login: account.to_owned(),
        entitlement: None,
    }
}

#[tokio::test]
async fn g4_nothing_is_sent_after_a_pause_by_those_who_waited_for_their_turn() {
    let (guard, connector, signed) = guarded();
    let writer = credential(CredentialRole::Writer, "s");
    let changes: Vec<_> = ["1", "2", "3", "4"].map(change).into();
    // One call is at the target, the others stand behind it.
    let mut calls = Box::pin(join_all(
        changes.iter().map(|one| guard.write(&writer, one)),
    ));
    assert!(calls.as_mut().now_or_never().is_none());
    assert_eq!((connector.sent(), guard.is_changing()), (1, true));
    guard.pause(Some(signed));
    assert!(guard.is_changing(), "what was let through may still go out");
    connector.go_on.notify_one();
    let answers = calls.await.into_iter();
    let failures: Vec<_> = answers.map(|one| one.expect_err("not sent")).collect();
    // Half of the first was sent, which is told.
    assert_eq!(failures[0].class, FailureClass::UnknownOutcome);
    assert_eq!(failures[0].code, "CB-GUARD-19");
    for failure in &failures[1..] {
        assert_eq!(failure.code, PAUSED);
    }
    assert_eq!(connector.sent(), 1, "not the second request of the first");
    assert!(!guard.is_changing());
    // The pause says nothing of the target's health.
    let tally = guard.vitals().take_tally();
    assert_eq!((tally.calls.writes, tally.write_failed), (0, None));
}

#[tokio::test]
async fn g4_a_pause_binds_for_secrets_as_it_does_for_accounts() {
    let (guard, connector, signed) = guarded();
    let rotator = credential(CredentialRole::Rotator, "s");
    let retired = guard.retire(&rotator, CredentialRole::Writer, "t-1");
    let paused = async {
        assert!(guard.is_changing());
        guard.pause(Some(signed));
        connector.go_on.notify_one();
    };
    let (retired, ()) = join!(retired, paused);
    assert_eq!(retired.expect_err("half-way").code, "CB-GUARD-19");
    assert_eq!((connector.sent(), guard.is_changing()), (1, false));
}
