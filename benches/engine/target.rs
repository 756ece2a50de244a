//! Targets that do nothing: every call is answered at once.
//!
//! Owns the no-op connector behind the real guard, and the shape of a case: two revokes and two
//! looks (after the write, and again) at each of five targets, and the end of the case.

use std::sync::Arc;

use async_trait::async_trait;
use clawback::connectors::{
    Answered, Call, Change, Connector, KnownSecret, Listing, Manifest, MintOrder, Minted, Reading,
    RenderedRequest, unsupported,
};
use clawback::document::Document;
use clawback::domain::access::{Account, AccountState, Operation};
use clawback::domain::id::AccountId;
use clawback::domain::outcome::Failure;
use clawback::domain::verdict::{Completeness, CredentialRole};

/// Targets of one case.
pub const TARGETS: usize = 5;
/// Entitlements at each target.
pub const ITEMS: usize = 2;
/// Journal lines of one case: each revoke and each look is one.
pub const LINES: usize = TARGETS * (ITEMS + 2);
/// Lines besides, in the same steps: of each removal, that no probe is declared.
pub const BESIDES: usize = TARGETS;
/// Durable steps of one case: its lines and its end.
pub const STEPS: usize = LINES + 1;

#[derive(Debug)]
struct Nothing;

#[async_trait]
impl Connector for Nothing {
    async fn list(&self, _call: &Call<'_>) -> Result<Listing, Failure> {
        Err(unsupported("list"))
    }

    /// The account is there and has no power left.
    async fn read(&self, call: &Call<'_>, id: &AccountId) -> Result<Reading, Failure> {
        let request = rendered("GET", Operation::Read, id, &[]);
        call.permit(request, ()).await?;
        Ok(Reading {
            account: Some(account(id.as_str())),
            completeness: Completeness::WHOLE,
            data_age_seconds: 0,
            method: "GET /accounts/1".to_owned(),
        })
    }

    async fn write(&self, call: &Call<'_>, change: &Change) -> Result<Answered, Failure> {
        let request = rendered("PATCH", change.operation, &change.account, &["members"]);
        call.permit(request, ()).await?;
        Ok(Answered::Accepted)
    }

    async fn try_credential(&self, _call: &Call<'_>) -> Result<(), Failure> {
        Ok(())
    }

    async fn mint(&self, _call: &Call<'_>, _order: &MintOrder) -> Result<Minted, Failure> {
        Err(unsupported("mint secrets"))
    }

    async fn minted(
        &self,
        _call: &Call<'_>,
        _role: CredentialRole,
    ) -> Result<Vec<KnownSecret>, Failure> {
        Err(unsupported("list secrets"))
    }

    async fn retire(
        &self,
        _call: &Call<'_>,
        _role: CredentialRole,
        _remote_ref: &str,
    ) -> Result<(), Failure> {
        Err(unsupported("retire secrets"))
    }
}

/// A request for the guard to judge; none is sent.
fn rendered(
    method: &str,
    operation: Operation,
    account: &AccountId,
    writes: &[&str],
) -> RenderedRequest {
    RenderedRequest {
        operation: Some(operation),
        account: Some(account.clone()),
        writes: writes.iter().map(|field| (*field).to_owned()).collect(),
        line: format!("{method} /accounts/{account}"),
    }
}

/// An account without power: what a look after the removal shows.
pub fn account(id: &str) -> Account {
    Account {
        id: AccountId(id.to_owned()),
        login: id.to_owned(),
        display_name: None,
        state: AccountState::Disabled,
        attributes: std::collections::BTreeMap::new(),
        further: std::collections::BTreeMap::new(),
        entitlements: Vec::new(),
        sessions: None,
        privileged: false,
    }
}

/// The target's name.
pub fn name(number: usize) -> String {
    format!("target{number}")
}

/// The manifests and connectors of all targets.
pub fn parts() -> Vec<(Manifest, Arc<dyn Connector>)> {
    (0..TARGETS)
        .map(|number| {
            let text = include_str!("manifest.toml").replace("NAME", &name(number));
            let document = Document::parse("manifest.toml", &text).expect("syntax");
            let manifest = Manifest::read(&document.root());
            let problems = document.take_problems();
            assert!(problems.is_empty(), "{problems}");
            (manifest, Arc::new(Nothing) as Arc<dyn Connector>)
        })
        .collect()
}
