//! Connector kind `sql`: an application's access table, or the database's own roles (`roles`).
//!
//! Owns which of the two it is, and the calls to an access table. Its statements stand in the
//! manifest, with bound parameters; each write is one short transaction that asserts the account's
//! login and the number of rows touched.

mod classify;
mod client;
mod knock;
mod link;
mod password;
mod place;
mod powers;
mod reads;
mod render;
mod roles;
mod scram;
mod settings;
mod statement;
mod token;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Answered, Call, Change, Connector, Knock, KnownSecret, Listing, Manifest, MintOrder, Minted,
    Powers, Reading, SignIn, unsupported,
};
use crate::document::Table;
use crate::domain::access::{Account, Operation};
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;
use crate::domain::time::{Clock, Timestamp};
use crate::domain::verdict::{Completeness, CredentialRole};
use client::{Client, Seen, Written};
use place::Place;
use render::{Part, Row};
use settings::Settings;

/// What a database can be asked to do, given the statements.
pub const CAN: &[Operation] = &Operation::ALL;

/// Reads the `[sql]` table and makes the connector.
pub fn build(
    manifest: &Manifest,
    table: &Table<'_>,
    _clock: &Arc<dyn Clock>,
) -> Option<Arc<dyn Connector>> {
    let place = Place::read(table, manifest);
    if table.has("roles") {
        return roles::build(manifest, table, place);
    }
    let settings = Settings::read(table, manifest, place.as_ref());
    Some(Arc::new(SqlConnector {
        client: Client::new(place?),
        settings: settings?,
    }))
}

/// One access table.
#[derive(Debug)]
struct SqlConnector {
    client: Client,
    settings: Settings,
}

impl SqlConnector {
    /// Reads one account; whether it is there, and how sure that is.
    async fn look(
        &self,
        call: &Call<'_>,
        id: &AccountId,
    ) -> Result<(Option<Account>, Seen), Failure> {
        let settings = &self.settings;
        let (rendered, batch, order) = render::reading(settings, id);
        let permit = call.permit(rendered, batch).await?;
        let mut seen = self.client.read(call.credential, permit).await?;
        let (mut found, mut entitlements, mut sessions) = (None, Vec::new(), None);
        for (part, rows) in order.iter().zip(std::mem::take(&mut seen.rows)) {
            match part {
                Part::Account => {
                    seen.rows.push(rows.clone());
                    found = render::one(&settings.shape, id, rows)?;
                }
                Part::Entitlements => {
                    let read = rows.into_iter().map(render::entitlement);
                    entitlements = read.collect::<Result<_, _>>()?;
                }
                // A statement that looks the account up first has no row where there is none.
                Part::Sessions if found.is_none() && rows.is_empty() => {}
                Part::Sessions => sessions = Some(render::sessions(rows)?),
            }
        }
        // What outlives the account's row is access that is still there.
        let left = !entitlements.is_empty() || sessions.is_some_and(|live| live > 0);
        let found = found.or_else(|| left.then(|| Account::left_behind(id, call.login)));
        let found = found.map(|account| Account {
            entitlements,
            sessions,
            ..account
        });
        Ok((found, seen))
    }

    fn completeness(&self, rows: &[Vec<Row>]) -> Completeness {
        let shape = &self.settings.shape;
        Completeness {
            fields_present: rows.iter().all(|rows| render::fields_present(shape, rows)),
            ..Completeness::WHOLE
        }
    }

    /// A statement would take a lock and fire triggers, so that the server is asked instead whether it
    /// would let the credential run it.
    async fn try_powers(&self, call: &Call<'_>, change: &Change) -> Result<Answered, Failure> {
        let Some(write) = self.settings.writes.get(&change.operation) else {
            return Err(unsupported(change.operation.as_str()));
        };
        let lacking = powers::lacking(&self.client, call, &write.touches).await?;
        if lacking.is_empty() {
            return Ok(Answered::Absent);
        }
        Err(classify::may_not(&lacking))
    }

    /// A write that touched nothing: what is there now decides what that means.
    async fn without_effect(&self, call: &Call<'_>, change: &Change) -> Result<Answered, Failure> {
        let (account, _) = self.look(call, &change.account).await?;
        let Some(account) = account else {
            return Ok(Answered::Absent);
        };
        // Where no statement counts sessions, that none was ended says that there were none.
        let uncounted = change.operation == Operation::EndSessions && account.sessions.is_none();
        if uncounted || change.is_done_in(&account) {
            Ok(Answered::Absent)
        } else {
            Err(classify::without_effect(change.operation))
        }
    }
}

#[async_trait]
impl Connector for SqlConnector {
    async fn list(&self, call: &Call<'_>) -> Result<Listing, Failure> {
        let settings = &self.settings;
        let (rendered, batch) = render::listing(settings);
        let permit = call.permit(rendered, batch).await?;
        let mut seen = self.client.read(call.credential, permit).await?;
        let completeness = self.completeness(&seen.rows);
        let rows = std::mem::take(&mut seen.rows).into_iter().flatten();
        let accounts = rows.map(|row| render::account(&settings.shape, row));
        Ok(Listing {
            accounts: accounts.collect::<Result<_, _>>()?,
            completeness,
            data_age_seconds: seen.data_age_seconds,
            method: "SELECT all accounts in one snapshot".to_owned(),
        })
    }

    fn shows_orphans(&self) -> bool {
        self.settings.shows_orphans()
    }

    async fn read(&self, call: &Call<'_>, account: &AccountId) -> Result<Reading, Failure> {
        let (found, seen) = self.look(call, account).await?;
        Ok(Reading {
            account: found,
            completeness: self.completeness(&seen.rows),
            data_age_seconds: seen.data_age_seconds,
            method: "SELECT the account and its entitlements in one snapshot".to_owned(),
        })
    }

    async fn write(&self, call: &Call<'_>, change: &Change) -> Result<Answered, Failure> {
        if call.trial {
            return self.try_powers(call, change).await;
        }
        let (rendered, edit) = render::writing(&self.settings, change)?;
        let permit = call.permit(rendered, edit).await?;
        match self.client.write(call.credential, permit).await? {
            Written::Committed => Ok(Answered::Accepted),
            Written::NoAccount | Written::NoRows => self.without_effect(call, change).await,
        }
    }

    async fn try_credential(&self, call: &Call<'_>) -> Result<(), Failure> {
        let (rendered, batch) = match call.credential.role {
            CredentialRole::Writer | CredentialRole::Verifier => render::trial(&self.settings),
            // The rotator may hold no grant on the table.
            CredentialRole::Rotator => render::knock(),
        };
        let permit = call.permit(rendered, batch).await?;
        self.client
            .read_afresh(call.credential, permit)
            .await
            .map(drop)
    }

    async fn powers(&self, call: &Call<'_>) -> Result<Option<Powers>, Failure> {
        let need = self.settings.need(call.credential.role);
        powers::judge(&self.client, call, &need).await
    }

    async fn sign_in(&self, call: &Call<'_>, order: &SignIn) -> Result<Knock, Failure> {
        knock::sign_in(&self.client, call, order).await
    }

    async fn mint(&self, call: &Call<'_>, order: &MintOrder) -> Result<Minted, Failure> {
        password::mint(&self.client, call, order).await
    }

    async fn password_end(
        &self,
        call: &Call<'_>,
        role: CredentialRole,
        name: Option<&str>,
    ) -> Result<Option<Timestamp>, Failure> {
        password::end(&self.client, call, role, name).await
    }

    async fn minted(
        &self,
        _call: &Call<'_>,
        _role: CredentialRole,
    ) -> Result<Vec<KnownSecret>, Failure> {
        // A role has one password, and the server tells nothing about it.
        Ok(Vec::new())
    }

    async fn retire(
        &self,
        call: &Call<'_>,
        role: CredentialRole,
        remote_ref: &str,
    ) -> Result<(), Failure> {
        password::close(&self.client, call, role, remote_ref).await
    }
}
