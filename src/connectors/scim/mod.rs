//! SCIM 2.0 (RFC 7643, RFC 7644).
//!
//! Owns the dialect: discovery, paging, membership asked at the groups, PATCH and its fallback, and
//! the known ways in which servers answer 200 without having done anything. Group changes take one
//! member out, they never send a list. Ending sessions is not part of SCIM and so not of this kind.

mod classify;
mod client;
mod listing;
mod membership;
mod render;
mod resource;
mod revoking;
mod settings;
mod writing;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;

use super::contract::{
    Answered, Call, Change, Connector, KnownSecret, Listing, MintOrder, Minted, Reading,
    unsupported,
};
use super::manifest::Manifest;
use crate::document::Table;
use crate::domain::access::{Account, Operation};
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;
use crate::domain::time::Clock;
use crate::domain::verdict::{Completeness, CredentialRole};

use client::{Known, Session};
use settings::Settings;

/// What the kind can do.
pub(super) const CAN: &[Operation] = &[
    Operation::List,
    Operation::Read,
    Operation::Disable,
    Operation::RevokeEntitlement,
    Operation::RevokeCredential,
    Operation::Delete,
];

/// Reads `[scim]` and makes the connector.
pub(super) fn build(
    manifest: &Manifest,
    table: &Table<'_>,
    clock: &Arc<dyn Clock>,
) -> Option<Arc<dyn Connector>> {
    Some(Arc::new(Scim {
        settings: Settings::read(manifest, table, clock)?,
        known: Known::new(Arc::clone(clock)),
    }))
}

#[derive(Debug)]
struct Scim {
    settings: Settings,
    /// What was learned about the server; forgotten after a while.
    known: Known,
}

impl Scim {
    fn session<'a>(&'a self, call: &'a Call<'a>, reading: Operation) -> Session<'a> {
        Session {
            settings: &self.settings,
            known: &self.known,
            call,
            reading,
            age_seconds: AtomicU64::new(0),
        }
    }
}

#[async_trait]
impl Connector for Scim {
    async fn list(&self, call: &Call<'_>) -> Result<Listing, Failure> {
        let session = self.session(call, Operation::List);
        let mut listing = Listing {
            accounts: Vec::new(),
            completeness: Completeness::WHOLE,
            data_age_seconds: 0,
            method: String::new(),
        };
        let (mut known, mut count) = (BTreeSet::new(), 0);
        let others = self.settings.list_also.iter().map(String::as_str);
        for filter in std::iter::once("").chain(others) {
            let pages =
                listing::pages(&session, "/Users", filter, self.settings.accounts_max).await?;
            listing.completeness.pages_closed &= pages.closed;
            count += pages.count;
            for user in &pages.resources {
                let account = resource::account(user, &self.settings.declared)?;
                // A filter that is not applied shows everybody again.
                if known.insert(account.id.clone()) {
                    listing.accounts.push(account);
                }
            }
        }
        listing.method = format!("GET /Users, {count} pages");
        listing.data_age_seconds = session.age_seconds.into_inner();
        Ok(listing)
    }

    async fn read(&self, call: &Call<'_>, account: &AccountId) -> Result<Reading, Failure> {
        let session = self.session(call, Operation::Read);
        let user = session.user(account).await?;
        let mut shown = match &user {
            Some(user) => Some(resource::account(&user.body, &self.settings.declared)?),
            None => None,
        };
        let mut completeness = Completeness::WHOLE;
        let mut method = format!("GET /Users/{account}");
        if self.settings.groups {
            let found = membership::of(&session, account, user.as_ref().map(|u| &u.body)).await?;
            completeness.permission_cut = found.withheld;
            completeness.pages_closed = found.closed;
            method = format!("{method}, {}", found.method);
            if !found.groups.is_empty() {
                // A group can outlive its member: the membership is access that is still there, to
                // whoever gets the id next, and so it is shown as an account of its own.
                let account =
                    shown.get_or_insert_with(|| Account::left_behind(account, call.login));
                account
                    .entitlements
                    .retain(|one| !one.id.as_str().starts_with(resource::GROUP));
                account.entitlements.extend(found.groups);
            }
        }
        Ok(Reading {
            account: shown,
            completeness,
            data_age_seconds: session.age_seconds.into_inner(),
            method,
        })
    }

    fn times_each_request(&self) -> bool {
        true
    }

    async fn write(&self, call: &Call<'_>, change: &Change) -> Result<Answered, Failure> {
        let session = self.session(call, Operation::Read);
        match change.operation {
            Operation::Disable => writing::disable(&session, change).await,
            Operation::Delete => writing::delete(&session, change).await,
            Operation::RevokeEntitlement | Operation::RevokeCredential => {
                revoking::revoke(&session, change).await
            }
            Operation::EndSessions => Err(unsupported("end sessions over SCIM")),
            Operation::List | Operation::Read => Err(unsupported("change anything by reading")),
        }
    }

    async fn try_credential(&self, call: &Call<'_>) -> Result<(), Failure> {
        // A token that is still good says nothing about the secret that got it.
        self.settings.transport.forget(call.credential).await;
        let session = self.session(call, Operation::List);
        let answer = session.get("/Users?startIndex=1&count=1", None).await?;
        // A rotator need not see accounts: being known but not allowed shows that it works.
        let known = call.credential.role == CredentialRole::Rotator && answer.status == 403;
        if known || answer.is_success() {
            return Ok(());
        }
        Err(classify::failure(&answer))
    }

    async fn mint(&self, call: &Call<'_>, order: &MintOrder) -> Result<Minted, Failure> {
        match &self.settings.tokens {
            Some(tokens) => tokens.mint(call, order).await,
            None => Err(unsupported("make its own secrets")),
        }
    }

    async fn minted(
        &self,
        call: &Call<'_>,
        role: CredentialRole,
    ) -> Result<Vec<KnownSecret>, Failure> {
        match &self.settings.tokens {
            Some(tokens) => tokens.minted(call, role).await,
            None => Err(unsupported("list its own secrets")),
        }
    }

    async fn retire(
        &self,
        call: &Call<'_>,
        role: CredentialRole,
        remote_ref: &str,
    ) -> Result<(), Failure> {
        match &self.settings.tokens {
            Some(tokens) => tokens.retire(call, role, remote_ref).await,
            None => Err(unsupported("retire its own secrets")),
        }
    }
}

#[cfg(test)]
mod tests;
