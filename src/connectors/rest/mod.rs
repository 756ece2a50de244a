//! Connector kind `rest`: any JSON API over HTTP, declared wholly in the manifest.
//!
//! Owns the calls. Requests, paging, the shape of answers and what counts as success stand in the
//! manifest. A write reads the account first and asserts its login; "not found" is looked at again
//! before it is believed; a softly deleted account counts as absent where the manifest says so.
//! 2xx is "accepted" and no more.

mod classify;
mod client;
mod render;
mod request;
mod settings;
mod shape;
mod template;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::http::Transport;
use super::http_secrets::TokenEndpoint;
use super::{
    Answered, Call, Change, Connector, KnownSecret, Listing, Manifest, MintOrder, Minted, Reading,
    unsupported,
};
use crate::document::Table;
use crate::domain::access::{Account, Entitlement, Operation};
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;
use crate::domain::time::Clock;
use crate::domain::verdict::{Completeness, CredentialRole};
use settings::Settings;
use shape::Shown;
use template::Values;

/// What an API can be asked to do, given the requests.
pub const CAN: &[Operation] = &Operation::ALL;

/// Reads the `[rest]` table and makes the connector.
pub fn build(
    manifest: &Manifest,
    table: &Table<'_>,
    _clock: &Arc<dyn Clock>,
) -> Option<Arc<dyn Connector>> {
    let transport = Transport::read(table, manifest).map(Arc::new);
    let tokens = TokenEndpoint::read(table, manifest, transport.as_ref());
    let settings = Settings::read(table, manifest);
    table.finish();
    Some(Arc::new(RestConnector {
        transport: transport?,
        settings: settings?,
        tokens,
    }))
}

/// One API.
#[derive(Debug)]
struct RestConnector {
    transport: Arc<Transport>,
    settings: Settings,
    /// Where it makes its own tokens; `None` when the manifest declares no rotation.
    tokens: Option<TokenEndpoint>,
}

/// What a look at one account showed.
#[derive(Debug)]
struct Look {
    account: Option<Account>,
    completeness: Completeness,
    age_seconds: u64,
    line: String,
}

impl RestConnector {
    /// Reads one account with all its entitlements.
    async fn look(&self, call: &Call<'_>, id: &AccountId) -> Result<Look, Failure> {
        let settings = &self.settings;
        let rendered = render::read(settings, &settings.read, Some(id), &[])?;
        let mut look = Look {
            account: None,
            completeness: Completeness::WHOLE,
            age_seconds: 0,
            line: rendered.judged.line.clone(),
        };
        let answer = client::send(&self.transport, call, rendered).await?;
        look.age_seconds = client::age(&answer);
        if settings.read.not_found.contains(&answer.status) {
            return Ok(look);
        }
        let body = classify::accepted(settings, &settings.read, &answer, false)?;
        let found = settings.read_account.query(&body).exactly_one();
        let value = found.map_err(|_| classify::drifted("the answer holds no account"))?;
        let account = match shape::account(&settings.account, value)? {
            Shown::Gone(shown) => return same(id, &shown).map(|()| look),
            Shown::Account(account) => account,
        };
        same(id, &account.id)?;
        look.completeness.fields_present =
            shape::missing(&settings.account.fields, value).is_empty();
        let mut account = *account;
        for shape in &settings.entitlements {
            let part = self.entitlements(call, shape, id, value, &mut look).await?;
            account.entitlements.extend(part);
        }
        look.account = Some(account);
        Ok(look)
    }

    async fn entitlements(
        &self,
        call: &Call<'_>,
        shape: &settings::Entitlements,
        id: &AccountId,
        account: &Value,
        look: &mut Look,
    ) -> Result<Vec<Entitlement>, Failure> {
        let Some(collection) = &shape.request else {
            let items = shape::items(&shape.items, account, "entitlements")?;
            return shape::entitlements(shape, items);
        };
        let read = client::all(&self.transport, &self.settings, call, collection, Some(id));
        let items = read.await?;
        look.completeness.pages_closed &= items.closed;
        look.age_seconds = look.age_seconds.max(items.age_seconds);
        shape::entitlements(shape, &items.values)
    }

    fn tokens(&self) -> Result<&TokenEndpoint, Failure> {
        self.tokens
            .as_ref()
            .ok_or_else(|| unsupported("replace its own secret"))
    }

    /// "Not found" to a write: what is there now decides what that means.
    async fn not_found(&self, call: &Call<'_>, change: &Change) -> Result<Answered, Failure> {
        let look = self.look(call, &change.account).await?;
        let Some(account) = look.account else {
            return Ok(Answered::Absent);
        };
        // An entitlement that was not seen may stand on a page that was not read.
        let whole = look.completeness.pages_closed || change.entitlement.is_none();
        if whole && change.is_done_in(&account) {
            Ok(Answered::Absent)
        } else {
            Err(classify::still_there(change.operation))
        }
    }
}

#[async_trait]
impl Connector for RestConnector {
    async fn list(&self, call: &Call<'_>) -> Result<Listing, Failure> {
        let shape = &self.settings.account;
        let list = &self.settings.list;
        let items = client::all(&self.transport, &self.settings, call, list, None).await?;
        let mut listing = Listing {
            accounts: Vec::new(),
            completeness: Completeness {
                pages_closed: items.closed,
                ..Completeness::WHOLE
            },
            data_age_seconds: items.age_seconds,
            method: format!("list of accounts, {} requests", items.pages),
        };
        // A field that no account has was renamed; one that some lack leaves the listing unsure.
        let mut never: Vec<&str> = shape.fields.iter().map(String::as_str).collect();
        for value in &items.values {
            let missing = shape::missing(&shape.fields, value);
            never.retain(|field| missing.contains(field));
            listing.completeness.fields_present &= missing.is_empty();
            if let Shown::Account(account) = shape::account(shape, value)? {
                listing.accounts.push(*account);
            }
        }
        if let (Some(field), false) = (never.first(), items.values.is_empty()) {
            return Err(classify::drifted(format!("no account has `{field}`")));
        }
        Ok(listing)
    }

    async fn read(&self, call: &Call<'_>, account: &AccountId) -> Result<Reading, Failure> {
        let look = self.look(call, account).await?;
        Ok(Reading {
            account: look.account,
            completeness: look.completeness,
            data_age_seconds: look.age_seconds,
            method: look.line,
        })
    }

    async fn write(&self, call: &Call<'_>, change: &Change) -> Result<Answered, Failure> {
        let operation = change.operation;
        let settings = &self.settings;
        let Some(request) = settings.writes.get(&operation) else {
            return Err(unsupported(operation.as_str()));
        };
        let values = Values::of_change(change);
        let rendered = render::write(settings, request, operation, values, &change.account)?;
        match self.look(call, &change.account).await?.account {
            None => return Ok(Answered::Absent),
            Some(account) if account.login != change.login => {
                return Err(classify::another_login());
            }
            Some(_) => {}
        }
        let answer = client::send(&self.transport, call, rendered).await?;
        if request.not_found.contains(&answer.status) {
            return self.not_found(call, change).await;
        }
        classify::accepted(settings, request, &answer, true)?;
        Ok(Answered::Accepted)
    }

    async fn try_credential(&self, call: &Call<'_>) -> Result<(), Failure> {
        let request = &self.settings.list.request;
        let tried = client::first_page(&self.transport, &self.settings, call, request).await;
        match tried {
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

fn same(asked: &AccountId, shown: &AccountId) -> Result<(), Failure> {
    if asked == shown {
        Ok(())
    } else {
        Err(classify::drifted("the answer shows another account"))
    }
}
