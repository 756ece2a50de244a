//! Connector kind `rest`: any JSON API over HTTP, declared wholly in the manifest.
//!
//! Owns the calls. Requests, paging, the shape of answers, what counts as success and what the
//! target's errors mean stand in the manifest; there is no code for a single product. A listing is
//! the union of the declared lists and counts only if each was read to its end. 2xx is "accepted"
//! and no more.

mod account;
mod classify;
mod client;
mod jobs;
mod looking;
mod paging;
mod render;
mod request;
mod settings;
mod shape;
mod template;
mod trial;
mod words;
mod writing;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::http::{Transport, WORKERS};
use super::http_secrets::TokenEndpoint;
use super::{
    Answered, Call, Change, Connector, KnownSecret, Listing, Manifest, MintOrder, Minted, Reading,
    unsupported,
};
use crate::document::Table;
use crate::domain::access::{Account, EntitlementKind, Operation};
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;
use crate::domain::time::Clock;
use crate::domain::verdict::{Completeness, CredentialRole};
use client::Session;
use settings::Settings;
use shape::Shown;
use template::Values;

/// What an API can be asked to do, given the requests.
pub const CAN: &[Operation] = &Operation::ALL;

/// Reads the `[rest]` table and makes the connector.
pub fn build(
    manifest: &Manifest,
    table: &Table<'_>,
    clock: &Arc<dyn Clock>,
) -> Option<Arc<dyn Connector>> {
    RestConnector::read(manifest, table, clock).map(|connector| Arc::new(connector) as _)
}

/// One API.
#[derive(Debug)]
struct RestConnector {
    transport: Arc<Transport>,
    settings: Settings,
    /// Where it makes its own tokens; `None` when the manifest declares no rotation.
    tokens: Option<TokenEndpoint>,
}

impl RestConnector {
    fn read(manifest: &Manifest, table: &Table<'_>, clock: &Arc<dyn Clock>) -> Option<Self> {
        let transport = Transport::read(table, manifest, WORKERS, clock).map(Arc::new);
        let tokens = TokenEndpoint::read(table, manifest, transport.as_ref(), clock);
        let settings = Settings::read(table, manifest);
        table.finish();
        Some(Self {
            transport: transport?,
            settings: settings?,
            tokens,
        })
    }

    fn session<'a>(&'a self, call: &'a Call<'a>) -> Session<'a> {
        Session {
            transport: &self.transport,
            settings: &self.settings,
            call,
        }
    }

    fn tokens(&self) -> Result<&TokenEndpoint, Failure> {
        self.tokens
            .as_ref()
            .ok_or_else(|| unsupported("replace its own secret"))
    }
}

#[async_trait]
impl Connector for RestConnector {
    async fn list(&self, call: &Call<'_>) -> Result<Listing, Failure> {
        let session = self.session(call);
        let shape = &self.settings.account;
        let mut listing = Listing {
            accounts: Vec::new(),
            completeness: Completeness::WHOLE,
            data_age_seconds: 0,
            method: String::new(),
        };
        // A field that no account has was renamed; one that some lack leaves the listing unsure.
        let mut never: Vec<&str> = shape.fields.iter().map(String::as_str).collect();
        let (mut pages, mut items_shown) = (0, 0);
        // In several lists an account counts once: it may have moved from one to the other.
        let mut known = BTreeSet::new();
        for listed in &self.settings.lists {
            let key = |item: &Value| {
                let account = listed.account.query(item).exactly_one().ok()?;
                shape::text(&shape.id, account)
            };
            let items = session
                .all(&listed.collection, &key, Values::default())
                .await?;
            pages += items.pages;
            items_shown += items.values.len();
            listing.completeness.pages_closed &= items.closed;
            listing.data_age_seconds = listing.data_age_seconds.max(items.age_seconds);
            let mut here = Vec::new();
            for item in &items.values {
                let account = listed.account.query(item).exactly_one();
                let value = account.map_err(|_| classify::drifted("an item holds no account"))?;
                let missing = shape::missing(&shape.fields, value);
                never.retain(|field| missing.contains(field));
                listing.completeness.fields_present &= missing.is_empty();
                if let Shown::Account(account) = shape::account(shape, value)?
                    && !known.contains(&account.id)
                {
                    here.push(account.id.clone());
                    listing.accounts.push(*account);
                }
            }
            known.extend(here);
        }
        if let (Some(field), false) = (never.first(), items_shown == 0) {
            return Err(classify::drifted(format!("no account has `{field}`")));
        }
        listing.method = format!("list of accounts, {pages} requests");
        Ok(listing)
    }

    /// Keys that are asked for apart from the account, so that they are shown without it.
    fn shows_orphans(&self) -> bool {
        let entitlements = self.settings.entitlements.iter();
        let mut keys = entitlements.filter(|one| one.kind == EntitlementKind::Credential);
        keys.all(|one| {
            let request = one.request.as_ref().map(|list| &list.request);
            request.is_some_and(|request| !request.leads_through_the_account())
        })
    }

    async fn read(&self, call: &Call<'_>, account: &AccountId) -> Result<Reading, Failure> {
        let look = looking::look(self.session(call), account).await?;
        // A group can outlive its member, and a key or a session its owner: that is access that is still
        // there, to whoever gets the id next, and so it is shown as an account of its own.
        let sessions = (look.sessions > 0).then_some(look.sessions);
        let dangling = (!look.left.is_empty() || sessions.is_some()).then(|| Account {
            entitlements: look.left,
            sessions,
            ..Account::left_behind(account, call.login)
        });
        Ok(Reading {
            account: look.account.or(dangling),
            completeness: look.completeness,
            data_age_seconds: look.age_seconds,
            method: look.line,
        })
    }

    fn times_each_request(&self) -> bool {
        true
    }

    async fn write(&self, call: &Call<'_>, change: &Change) -> Result<Answered, Failure> {
        writing::write(self.session(call), change).await
    }

    async fn try_credential(&self, call: &Call<'_>) -> Result<(), Failure> {
        // A token that is still good says nothing about the secret that got it.
        self.transport.forget(call.credential).await;
        let Some(list) = self.settings.lists.first() else {
            return Err(unsupported("list accounts"));
        };
        match self.session(call).first_page(&list.collection).await {
            // A rotator need not see accounts: being known but not allowed shows that it works.
            Err(failure)
                if call.credential.role == CredentialRole::Rotator
                    && failure.code == "CB-HTTP-403" =>
            {
                Ok(())
            }
            other => other,
        }
    }

    async fn mint(&self, call: &Call<'_>, order: &MintOrder) -> Result<Minted, Failure> {
        self.tokens()?.mint(call, order).await
    }

    async fn minted(
        &self,
        call: &Call<'_>,
        role: CredentialRole,
    ) -> Result<Vec<KnownSecret>, Failure> {
        self.tokens()?.minted(call, role).await
    }

    async fn retire(
        &self,
        call: &Call<'_>,
        role: CredentialRole,
        remote_ref: &str,
    ) -> Result<(), Failure> {
        self.tokens()?.retire(call, role, remote_ref).await
    }
}
