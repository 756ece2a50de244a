//! The accounts of a MariaDB server.
//!
//! Owns the calls. An account is `user@host`: MariaDB has no other id, so an account that was
//! dropped and made anew under the same name cannot be told from the old one. Its login is the
//! user. Sessions are told by the user alone, because the server keeps no more of them.

mod change;
mod look;

use std::time::Duration;

use async_trait::async_trait;

use super::super::classify;
use super::super::client::{Client, Written};
use super::super::knock;
use super::super::password;
use super::super::powers;
use super::super::render;
use super::settings::Roles;
use super::task::{Task, may_be_gone};
use crate::connectors::{
    Answered, Call, Change, Connector, Knock, KnownSecret, Listing, MintOrder, Minted, Powers,
    Reading, RenderedRequest, SignIn, unsupported,
};
use crate::domain::access::Operation;
use crate::domain::id::AccountId;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::verdict::CredentialRole;
use change::Target;
use look::Name;

/// How often, and how long apart, a look follows the end of sessions.
const LOOKS: (u32, Duration) = (50, Duration::from_millis(100));

/// The accounts of one server.
#[derive(Debug)]
pub struct MariadbRoles {
    client: Client,
    roles: Roles,
}

impl MariadbRoles {
    /// Over this client.
    pub fn new(client: Client, roles: Roles) -> Self {
        Self { client, roles }
    }

    async fn look(&self, call: &Call<'_>, account: &AccountId) -> Result<Reading, Failure> {
        let name = Name::from_id(account).ok_or_else(no_name)?;
        let (rendered, batch) = look::reading(account, &name);
        let permit = call.permit(rendered, batch).await?;
        let mut seen = self.client.read(call.credential, permit).await?;
        let (account, completeness) = look::read(&self.roles, account, call, &mut seen)?;
        Ok(Reading {
            account,
            completeness,
            data_age_seconds: 0,
            method: "SELECT the account, its grants, definers and sessions".to_owned(),
        })
    }

    async fn perform(
        &self,
        call: &Call<'_>,
        (rendered, task): (RenderedRequest, Task),
    ) -> Result<Written, Failure> {
        let permit = call.permit(rendered, task).await?;
        self.client.perform(call.credential, permit).await
    }

    async fn revoke(&self, call: &Call<'_>, target: Target<'_>) -> Result<Written, Failure> {
        let id = target.change.entitlement.as_ref();
        let id = id.map_or("", |one| one.id.as_str());
        let task = match id.split_once(':').unwrap_or((id, "")) {
            ("role", role) => target.role(role),
            ("global", "") => target.global(),
            ("schema", schema) => target.schema(schema),
            ("tables", schema) => target.tables(schema),
            ("routines", schema) => target.routines(schema),
            ("proxy", "") => target.proxy(),
            ("inherited", _) => {
                return Err(Failure::new(
                    FailureClass::Inherited,
                    "CB-SQL-18",
                    "another role passes this membership on; take that one",
                ));
            }
            ("definer", _) => {
                return Err(unsupported("give an object another definer; a person must"));
            }
            _ => return Err(unsupported("take away an entitlement that it never showed")),
        };
        self.perform(call, task).await
    }

    /// Ends all sessions, and looks until they are gone: the server answers before they are.
    async fn end_sessions(&self, call: &Call<'_>, target: Target<'_>) -> Result<Written, Failure> {
        let written = self.perform(call, target.end_sessions()).await?;
        if written != Written::Committed {
            return Ok(written);
        }
        let mut left = self.sessions(call, target.change).await?;
        for _ in 0..LOOKS.0 {
            if left == 0 {
                return Ok(Written::Committed);
            }
            tokio::time::sleep(LOOKS.1).await;
            left = self.sessions(call, target.change).await?;
        }
        Err(classify::sessions_left(left))
    }

    async fn sessions(&self, call: &Call<'_>, change: &Change) -> Result<u64, Failure> {
        let look = self.look(call, &change.account).await?;
        let sessions = look.account.and_then(|account| account.sessions);
        Ok(sessions.unwrap_or(0))
    }

    async fn delete(&self, call: &Call<'_>, target: Target<'_>) -> Result<Written, Failure> {
        let sessions = self.sessions(call, target.change).await?;
        if sessions > 0 {
            return Err(classify::sessions_left(sessions));
        }
        self.perform(call, target.drop()).await
    }

    /// A change that found nothing to do: what is there now decides what that means.
    async fn without_effect(
        &self,
        call: &Call<'_>,
        change: &Change,
        why: Option<Failure>,
    ) -> Result<Answered, Failure> {
        match self.look(call, &change.account).await?.account {
            None => Ok(Answered::Absent),
            Some(account) if change.is_done_in(&account) => Ok(Answered::Absent),
            Some(_) => Err(why.unwrap_or_else(|| classify::without_effect(change.operation))),
        }
    }
}

#[async_trait]
impl Connector for MariadbRoles {
    async fn list(&self, call: &Call<'_>) -> Result<Listing, Failure> {
        let (rendered, batch) = look::listing();
        let permit = call.permit(rendered, batch).await?;
        let mut seen = self.client.read(call.credential, permit).await?;
        let (accounts, completeness) = look::list(&self.roles, &mut seen)?;
        Ok(Listing {
            accounts,
            completeness,
            data_age_seconds: 0,
            method: "SELECT all accounts".to_owned(),
        })
    }

    async fn read(&self, call: &Call<'_>, account: &AccountId) -> Result<Reading, Failure> {
        self.look(call, account).await
    }

    async fn write(&self, call: &Call<'_>, change: &Change) -> Result<Answered, Failure> {
        let name = Name::from_id(&change.account).ok_or_else(no_name)?;
        if !self.roles.take_in(&change.login) || look::is_the_servers(&change.login) {
            let why = "is not among those that `[sql.roles]` takes in";
            return Err(classify::out_of_bounds(&change.login, why));
        }
        let target = Target {
            roles: &self.roles,
            change,
            name: &name,
        };
        let written = match change.operation {
            Operation::Disable => self.perform(call, target.disable()).await,
            Operation::EndSessions => self.end_sessions(call, target).await,
            Operation::RevokeEntitlement => self.revoke(call, target).await,
            Operation::Delete => self.delete(call, target).await,
            Operation::RevokeCredential | Operation::List | Operation::Read => {
                return Err(unsupported(change.operation.as_str()));
            }
        };
        match written {
            Ok(Written::Committed) => Ok(Answered::Accepted),
            Ok(Written::NoAccount | Written::NoRows) => {
                self.without_effect(call, change, None).await
            }
            Err(failure) if may_be_gone(&failure) => {
                self.without_effect(call, change, Some(failure)).await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn try_credential(&self, call: &Call<'_>) -> Result<(), Failure> {
        let (rendered, batch) = match call.credential.role {
            CredentialRole::Writer | CredentialRole::Verifier => look::trial(),
            // The rotator needs nothing but to change passwords.
            CredentialRole::Rotator => render::knock(),
        };
        let permit = call.permit(rendered, batch).await?;
        let seen = self.client.read_afresh(call.credential, permit).await;
        seen.map(drop)
    }

    async fn powers(&self, call: &Call<'_>) -> Result<Option<Powers>, Failure> {
        let need = powers::need_for_roles(call.credential.role);
        powers::judge(&self.client, call, &need).await
    }

    async fn sign_in(&self, call: &Call<'_>, order: &SignIn) -> Result<Knock, Failure> {
        knock::sign_in(&self.client, call, order).await
    }

    async fn mint(&self, call: &Call<'_>, order: &MintOrder) -> Result<Minted, Failure> {
        password::mint(&self.client, call, order).await
    }

    async fn minted(
        &self,
        _call: &Call<'_>,
        _role: CredentialRole,
    ) -> Result<Vec<KnownSecret>, Failure> {
        // An account has one password, and the server tells nothing about it.
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

fn no_name() -> Failure {
    classify::drifted("an account's id is not `user@host`")
}
