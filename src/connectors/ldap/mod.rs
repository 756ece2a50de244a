//! Connector kind `ldap`: OpenLDAP, Active Directory and their like (RFC 4511).
//!
//! Owns the calls. The manifest says which entries are accounts and groups and which attribute means
//! what; memberships are asked at the groups. Referrals are never followed. The
//! connector's own passwords are rotated in `passwords`.

mod belonging;
mod classify;
mod client;
mod entry;
mod groups;
mod knock;
mod left;
mod passwords;
mod session;
mod settings;
mod state;
mod writing;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Answered, Call, Change, Connector, DN, Knock, KnownSecret, Listing, Manifest, MintOrder,
    Minted, Reading, RenderedRequest, SignIn,
};
use crate::document::Table;
use crate::domain::access::{Account, AccountState, Operation};
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;
use crate::domain::time::{Clock, Timestamp};
use crate::domain::verdict::{Completeness, CredentialRole};
use client::{Client, Page};
use entry::Entry;
use session::{Query, Session};
use settings::Settings;

/// What a directory can be asked to do. It keeps no sessions that it could end.
pub const CAN: &[Operation] = &[
    Operation::List,
    Operation::Read,
    Operation::Disable,
    Operation::RevokeEntitlement,
    Operation::RevokeCredential,
    Operation::Delete,
];

/// Reads the `[ldap]` table and makes the connector.
pub fn build(
    manifest: &Manifest,
    table: &Table<'_>,
    clock: &Arc<dyn Clock>,
) -> Option<Arc<dyn Connector>> {
    let settings = Settings::read(table, manifest)?;
    Some(Arc::new(LdapConnector {
        client: Client::new(settings),
        clock: Arc::clone(clock),
    }))
}

/// One directory.
#[derive(Debug)]
struct LdapConnector {
    client: Client,
    /// For states that are told by a day.
    clock: Arc<dyn Clock>,
}

impl LdapConnector {
    fn completeness(&self, session: &Session<'_>, entries: &[Entry]) -> Completeness {
        let fields = &self.client.settings().accounts.fields;
        let whole = |entry: &Entry| fields.iter().all(|field| entry.text(field).is_some());
        Completeness {
            pages_closed: session.cut.is_none(),
            fields_present: entries.iter().all(whole) && session.unread.is_none(),
            permission_cut: session.hidden,
            ..Completeness::WHOLE
        }
    }
}

#[async_trait]
impl Connector for LdapConnector {
    async fn list(&self, call: &Call<'_>) -> Result<Listing, Failure> {
        let settings = self.client.settings();
        let mut session = Session::new(call, &self.client, None);
        let query = Query {
            base: &settings.accounts.base,
            filter: settings.accounts.filter.clone(),
            attributes: settings.account_attributes(),
            most: settings.accounts.most,
        };
        let (entries, pages) = session.search(query).await?;
        let now = self.clock.now();
        let accounts = entries.iter().map(|entry| account(settings, entry, now));
        let listing = Listing {
            accounts: accounts.collect::<Result<_, _>>()?,
            completeness: self.completeness(&session, &entries),
            data_age_seconds: 0,
            method: told("SEARCH all accounts", &session, Some(pages)),
        };
        session.end();
        Ok(listing)
    }

    /// Keys are values of the account's entry.
    fn shows_orphans(&self) -> bool {
        true
    }

    async fn read(&self, call: &Call<'_>, id: &AccountId) -> Result<Reading, Failure> {
        let mut session = Session::new(call, &self.client, Some(id));
        let entry = session.account(id).await?;
        let account = match &entry {
            Some(entry) => Some(read_account(&mut session, entry, self.clock.now()).await?),
            None => left::behind(&mut session, id, call.login).await?,
        };
        let reading = Reading {
            account,
            completeness: self.completeness(&session, entry.as_slice()),
            data_age_seconds: 0,
            method: told(
                "SEARCH the account by its id, and the groups",
                &session,
                None,
            ),
        };
        session.end();
        Ok(reading)
    }

    async fn write(&self, call: &Call<'_>, change: &Change) -> Result<Answered, Failure> {
        let mut session = Session::new(call, &self.client, Some(&change.account));
        let answered = writing::write(&mut session, change, self.clock.now()).await;
        session.end();
        answered
    }

    async fn try_credential(&self, call: &Call<'_>) -> Result<(), Failure> {
        let settings = self.client.settings();
        // The rotator may see no account; the root is for everybody (RFC 4512 §5.1).
        let (base, filter) = match call.credential.role {
            CredentialRole::Writer | CredentialRole::Verifier => (
                settings.accounts.base.clone(),
                settings.accounts.filter.clone(),
            ),
            CredentialRole::Rotator => (String::new(), "(objectClass=*)".to_owned()),
        };
        let rendered = RenderedRequest {
            operation: Some(Operation::List),
            account: None,
            writes: BTreeSet::new(),
            line: format!("BIND, and SEARCH one entry below `{base}`"),
        };
        let page = Page {
            below: !base.is_empty(),
            base,
            filter,
            attributes: vec![settings.accounts.id.clone()],
            size: None,
            most: 1,
            cookie: Vec::new(),
        };
        let permit = call.permit(rendered, page).await?;
        let mut link = self.client.connect(call.credential).await?;
        link.search(permit).await.map(drop)
    }

    async fn sign_in(&self, call: &Call<'_>, order: &SignIn) -> Result<Knock, Failure> {
        knock::sign_in(&self.client, call, order).await
    }

    async fn mint(&self, call: &Call<'_>, order: &MintOrder) -> Result<Minted, Failure> {
        passwords::mint(&self.client, call, order).await
    }

    async fn minted(
        &self,
        call: &Call<'_>,
        role: CredentialRole,
    ) -> Result<Vec<KnownSecret>, Failure> {
        passwords::list(&self.client, call, role).await
    }

    async fn retire(
        &self,
        call: &Call<'_>,
        role: CredentialRole,
        remote_ref: &str,
    ) -> Result<(), Failure> {
        passwords::take_away(&self.client, call, role, remote_ref).await
    }
}

/// How it was asked, for an auditor, and what was missing.
fn told(what: &str, session: &Session<'_>, pages: Option<usize>) -> String {
    let pages = pages.map_or(String::new(), |pages| format!(", {pages} pages"));
    let cut = session.cut.as_ref().or(session.unread.as_ref());
    let cut = cut.map_or(String::new(), |why| format!(", not whole: {why}"));
    format!("{what}{pages}{cut}")
}

/// An entry as an account, with everything that it holds.
async fn read_account(
    session: &mut Session<'_>,
    entry: &Entry,
    now: Timestamp,
) -> Result<Account, Failure> {
    let mut account = account(session.settings(), entry, now)?;
    account.entitlements = groups::entitlements(session, entry).await?;
    Ok(account)
}

/// An entry as an account, by what it shows itself.
fn account(settings: &Settings, entry: &Entry, now: Timestamp) -> Result<Account, Failure> {
    let known = &settings.accounts;
    let login = entry
        .text(&known.login)
        .ok_or_else(|| classify::drifted(format!("an account has no `{}`", known.login)))?;
    let shown = known.attributes.iter();
    let attributes = shown.filter_map(|name| Some((name.clone(), entry.text(name)?.to_owned())));
    // What groups go on calling it by when the entry is gone.
    let attributes = attributes.chain([(DN.to_owned(), entry.dn.clone())]);
    let privileged = known.privileged.as_ref().is_some_and(|(name, values)| {
        entry.texts(name).any(|found| {
            let mut values = values.iter();
            values.any(|value| value.eq_ignore_ascii_case(found))
        })
    });
    Ok(Account {
        id: AccountId(entry.id(&known.id)?),
        login: login.to_owned(),
        display_name: known
            .display_name
            .as_ref()
            .and_then(|name| entry.text(name))
            .map(ToOwned::to_owned),
        state: match &known.state {
            Some(state) => state.of(entry, now)?,
            None => AccountState::NotTold,
        },
        attributes: attributes.collect(),
        further: further(settings, entry),
        entitlements: Vec::new(),
        sessions: None,
        privileged,
    })
}

/// The values of an entry beside those that stand for it.
fn further(settings: &Settings, entry: &Entry) -> BTreeMap<String, BTreeSet<String>> {
    let known = &settings.accounts;
    let names = known.attributes.iter().map(|name| (name.as_str(), name));
    // What a rule calls `login` is the account's login, whatever attribute has that name.
    let names = names.chain([("login", &known.login)]);
    let found = names.map(|(name, attribute)| {
        let texts = entry.texts(attribute).filter(|value| !value.is_empty());
        (
            name.to_owned(),
            texts.skip(1).map(ToOwned::to_owned).collect(),
        )
    });
    let several = found.filter(|(_, values): &(_, BTreeSet<_>)| !values.is_empty());
    several.collect()
}
