//! Connector kind `process`: a program of one's own that speaks for a target.
//!
//! Owns the calls. Each call starts the program anew, so that one that hangs, leaks or is killed
//! costs this call and no other. It asks before each request that it sends, and the guard judges
//! what it asks; what it says of a change is held against looks of its own before and after. The
//! protocol is documented in `docs/connectors/process.md`.

mod classify;
mod protocol;
mod session;
mod settings;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Answered, Call, Change, Connector, KnownSecret, Listing, Manifest, MintOrder, Minted, Reading,
};
use crate::document::Table;
use crate::domain::access::{Account, Operation};
use crate::domain::id::AccountId;
use crate::domain::outcome::Failure;
use crate::domain::time::Clock;
use crate::domain::verdict::{Completeness, CredentialRole};
use protocol::{Done, Task, Word};
use session::{Said, Session, Start, starting};
use settings::Settings;

/// What a program can be asked to do; it says itself what it cannot.
pub const CAN: &[Operation] = &Operation::ALL;

/// Reads the `[process]` table and makes the connector.
pub fn build(
    manifest: &Manifest,
    table: &Table<'_>,
    _clock: &Arc<dyn Clock>,
) -> Option<Arc<dyn Connector>> {
    let settings = Settings::read(table, manifest)?;
    Some(Arc::new(ProcessConnector { settings }))
}

/// One program.
#[derive(Debug)]
struct ProcessConnector {
    settings: Settings,
}

impl ProcessConnector {
    async fn open<'a>(
        &'a self,
        call: &'a Call<'a>,
        task: Task<'a>,
    ) -> Result<Session<'a>, Failure> {
        let rendered = starting(&self.settings, &task);
        let start = Start {
            settings: &self.settings,
            task,
        };
        let permit = call.permit(rendered, start).await?;
        Session::open(call, permit).await
    }

    /// Everything that the program shows in a call that reads.
    async fn shown(
        &self,
        call: &Call<'_>,
        task: Task<'_>,
    ) -> Result<(Vec<Account>, Completeness, Done), Failure> {
        let mut session = self.open(call, task).await?;
        let mut accounts = Vec::new();
        let done = loop {
            match session.next().await? {
                Said::Account(account) => accounts.push(Account::from(account)),
                Said::Secret(_) => return Err(out_of_place(&session)),
                Said::Done(done) => break done,
            }
        };
        let whole = |account: &Account| {
            let mut fields = self.settings.fields.iter();
            fields.all(|field| account.attributes.contains_key(field))
        };
        let completeness = Completeness {
            pages_closed: done.pages_closed,
            permission_cut: done.permission_cut,
            fields_present: accounts.iter().all(whole),
            ..Completeness::WHOLE
        };
        Ok((accounts, completeness, done))
    }

    async fn look(&self, call: &Call<'_>, id: &AccountId) -> Result<Reading, Failure> {
        let (mut accounts, completeness, done) = self.shown(call, Task::Read(id)).await?;
        let account = accounts.pop();
        if !accounts.is_empty() {
            let what = "`read` showed more than one account";
            return Err(classify::misunderstood(false, what));
        }
        if account.as_ref().is_some_and(|account| account.id != *id) {
            let what = "`read` showed an account with another id";
            return Err(classify::misunderstood(false, what));
        }
        Ok(Reading {
            account,
            completeness,
            data_age_seconds: done.data_age_seconds,
            method: done.method.unwrap_or_else(|| "read by program".to_owned()),
        })
    }

    /// Whether a look shows nothing left for the change to do. What was not seen whole may be there.
    fn nothing_left(look: &Reading, change: &Change) -> bool {
        look.completeness.gap().is_none()
            && look
                .account
                .as_ref()
                .is_none_or(|account| change.is_done_in(account))
    }

    async fn plain(&self, call: &Call<'_>, task: Task<'_>) -> Result<Done, Failure> {
        let mut session = self.open(call, task).await?;
        match session.next().await? {
            Said::Done(done) => Ok(done),
            Said::Account(_) | Said::Secret(_) => Err(out_of_place(&session)),
        }
    }
}

#[async_trait]
impl Connector for ProcessConnector {
    async fn list(&self, call: &Call<'_>) -> Result<Listing, Failure> {
        let (accounts, completeness, done) = self.shown(call, Task::List).await?;
        Ok(Listing {
            accounts,
            completeness,
            data_age_seconds: done.data_age_seconds,
            method: done.method.unwrap_or_else(|| "list by program".to_owned()),
        })
    }

    async fn read(&self, call: &Call<'_>, account: &AccountId) -> Result<Reading, Failure> {
        self.look(call, account).await
    }

    async fn write(&self, call: &Call<'_>, change: &Change) -> Result<Answered, Failure> {
        let before = self.look(call, &change.account).await?;
        if Self::nothing_left(&before, change) {
            return Ok(Answered::Absent);
        }
        if before
            .account
            .is_some_and(|account| account.login != change.login)
        {
            return Err(classify::another_login());
        }
        let mut session = self.open(call, Task::Write(change)).await?;
        let done = match session.next().await? {
            Said::Done(done) => done,
            Said::Account(_) | Said::Secret(_) => return Err(out_of_place(&session)),
        };
        match (done.answer, session.wrote()) {
            (Some(Word::Accepted), true) => Ok(Answered::Accepted),
            (Some(Word::Absent), _) => {
                let after = self.look(call, &change.account).await?;
                if Self::nothing_left(&after, change) {
                    Ok(Answered::Absent)
                } else {
                    Err(classify::still_there(change.operation))
                }
            }
            (Some(Word::Accepted), false) => {
                let what = "it says that it changed something and never asked to";
                Err(classify::misunderstood(true, what))
            }
            (None, wrote) => {
                let what = "to a change it said neither `accepted` nor `absent`";
                Err(classify::misunderstood(wrote, what))
            }
        }
    }

    async fn try_credential(&self, call: &Call<'_>) -> Result<(), Failure> {
        self.plain(call, Task::Try).await.map(drop)
    }

    async fn mint(&self, call: &Call<'_>, order: &MintOrder) -> Result<Minted, Failure> {
        let done = self.plain(call, Task::Mint(order)).await?;
        let secret = done.secret.or_else(|| order.chosen.clone());
        let Some(secret) = secret else {
            let what = "to `mint` it said no `secret`";
            return Err(classify::misunderstood(true, what));
        };
        Ok(Minted {
            remote_ref: done.remote_ref,
            secret,
            expires: None,
        })
    }

    async fn minted(
        &self,
        call: &Call<'_>,
        role: CredentialRole,
    ) -> Result<Vec<KnownSecret>, Failure> {
        let mut session = self.open(call, Task::Minted(role)).await?;
        let mut known = Vec::new();
        loop {
            match session.next().await? {
                Said::Secret(secret) => {
                    known.push(KnownSecret::by_id(secret.remote_ref, secret.label));
                }
                Said::Account(_) => return Err(out_of_place(&session)),
                // A list that is not whole would leave orphans behind.
                Said::Done(done) if done.pages_closed => return Ok(known),
                Said::Done(_) => {
                    let what = "`minted` was not read to its end";
                    return Err(classify::misunderstood(false, what));
                }
            }
        }
    }

    async fn retire(
        &self,
        call: &Call<'_>,
        role: CredentialRole,
        remote_ref: &str,
    ) -> Result<(), Failure> {
        self.plain(call, Task::Retire(role, remote_ref))
            .await
            .map(drop)
    }
}

fn out_of_place(session: &Session<'_>) -> Failure {
    let what = "it showed something that nobody asked for";
    classify::misunderstood(session.wrote(), what)
}
