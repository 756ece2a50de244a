//! The roles of a PostgreSQL server.
//!
//! Owns the calls. An account is a role, named by its object id; its login is its name. What a
//! role holds lies in every database of the server: the reads see all of it from one connection,
//! the changes go to each database, and one that cannot be entered is a failure that names it.

mod change;
mod held;
mod look;

use std::time::Duration;

use async_trait::async_trait;

use super::super::classify;
use super::super::client::{Client, Written};
use super::super::knock;
use super::super::password;
use super::super::powers;
use super::super::render::{self, Batch, Row, read_request};
use super::settings::Roles;
use super::task::{Task, may_be_gone};
use crate::connectors::{
    Answered, Call, Change, Connector, Knock, KnownSecret, Listing, MintOrder, Minted, Powers,
    Reading, RenderedRequest, SignIn, unsupported,
};
use crate::domain::access::{Account, Operation};
use crate::domain::id::AccountId;
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::time::Timestamp;
use crate::domain::verdict::{Completeness, CredentialRole};
use change::{Database, Target};
use held::Held;

/// How often, and how long apart, a look follows the end of sessions.
const LOOKS: (u32, Duration) = (50, Duration::from_millis(100));

/// The roles of one server.
#[derive(Debug)]
pub struct PostgresRoles {
    client: Client,
    roles: Roles,
}

/// What a look at one role showed.
struct Look {
    account: Option<Account>,
    completeness: Completeness,
    data_age_seconds: u64,
}

impl PostgresRoles {
    /// Over this client.
    pub fn new(client: Client, roles: Roles) -> Self {
        Self { client, roles }
    }

    async fn look(&self, call: &Call<'_>, account: &AccountId) -> Result<Look, Failure> {
        let oid = look::oid(account).ok_or_else(no_oid)?;
        let (rendered, batch) = look::reading(account, oid);
        let permit = call.permit(rendered, batch).await?;
        let mut seen = self.client.read(call.credential, permit).await?;
        let (account, completeness) = look::read(&self.roles, account, call, &mut seen)?;
        Ok(Look {
            account,
            completeness,
            data_age_seconds: seen.data_age_seconds,
        })
    }

    /// Does one task and says what came of it; `true` when something was done.
    async fn perform(
        &self,
        call: &Call<'_>,
        (rendered, task): (RenderedRequest, Task),
    ) -> Result<Written, Failure> {
        let database = task.database.clone();
        let permit = call.permit(rendered, task).await?;
        let done = self.client.perform(call.credential, permit).await;
        done.map_err(|failure| match database {
            Some(database) if failure.code != classify::NO_WAY_IN => {
                classify::within(&database, failure)
            }
            Some(_) | None => failure,
        })
    }

    async fn revoke(&self, call: &Call<'_>, target: Target<'_>) -> Result<Written, Failure> {
        let id = target
            .change
            .entitlement
            .as_ref()
            .map(|one| one.id.as_str());
        let held = Held::from_id(id.unwrap_or_default())
            .ok_or_else(|| unsupported("take away an entitlement that it never showed"))?;
        let database = match change::database_of(&held) {
            Some(oid) => match self.database(call, target.change, oid).await? {
                Some(database) => database,
                // Gone with all that it held.
                None => return Ok(Written::NoRows),
            },
            None => Database { oid: 0, name: None },
        };
        let task = match &held {
            Held::Membership(role) => target.membership(*role),
            Held::Attribute(attribute) => target.attribute(*attribute),
            Held::Privilege(_, catalog) => target.privilege(&database, catalog),
            Held::Owner(_) => target.owner(&database, self.successor()?),
            Held::Mapping(_) => target.mapping(&database),
            Held::Inherited => {
                return Err(Failure::new(
                    FailureClass::Inherited,
                    "CB-SQL-18",
                    "another role passes this membership on; take that one",
                ));
            }
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
        Ok(look
            .account
            .and_then(|account| account.sessions)
            .unwrap_or(0))
    }

    /// Gives away what the role owns in every database, takes what it holds there, and drops it.
    /// Done over again it goes on where it was broken off.
    async fn delete(&self, call: &Call<'_>, target: Target<'_>) -> Result<Written, Failure> {
        let successor = self.successor()?;
        let sessions = self.sessions(call, target.change).await?;
        if sessions > 0 {
            return Err(classify::sessions_left(sessions));
        }
        let holding = look::about(change::HOLDING, target.oid);
        for row in self.ask(call, target.change, holding).await? {
            let oid = row.get("database").and_then(Option::as_deref);
            let oid = oid.and_then(|oid| oid.parse().ok());
            let oid = oid.ok_or_else(|| classify::drifted("a database has no id"))?;
            if let Some(database) = self.database(call, target.change, oid).await?
                && database.name.is_some()
            {
                match self
                    .perform(call, target.free(&database, successor))
                    .await?
                {
                    Written::NoAccount => return Ok(Written::NoAccount),
                    Written::Committed | Written::NoRows => {}
                }
            }
        }
        self.perform(call, target.drop(successor)).await
    }

    fn successor(&self) -> Result<&str, Failure> {
        let successor = self.roles.successor.as_deref();
        successor.ok_or_else(|| unsupported("give away what is owned: no `successor` is declared"))
    }

    /// The database with this id, if there still is one; 0 is the server as a whole.
    async fn database(
        &self,
        call: &Call<'_>,
        change: &Change,
        oid: u32,
    ) -> Result<Option<Database>, Failure> {
        if oid == 0 {
            return Ok(Some(Database { oid, name: None }));
        }
        let rows = self
            .ask(call, change, look::about(change::DATABASES, oid))
            .await?;
        let Some(mut row) = rows.into_iter().next() else {
            return Ok(None);
        };
        let name = render::required(&mut row, "name")?;
        if render::required(&mut row, "here")? == "true" {
            return Ok(Some(Database { oid, name: None }));
        }
        if render::required(&mut row, "open")? == "true" {
            let name = Some(name);
            return Ok(Some(Database { oid, name }));
        }
        let why = Failure::new(
            FailureClass::WriteFailure,
            classify::NO_WAY_IN,
            "it allows no connections",
        );
        Err(classify::no_way_in(&name, &why))
    }

    /// A question on the way of a change.
    async fn ask(
        &self,
        call: &Call<'_>,
        change: &Change,
        question: render::Bound,
    ) -> Result<Vec<Row>, Failure> {
        let line = "SELECT databases that hold something of the role";
        let rendered = read_request(Operation::Read, Some(&change.account), line);
        let batch = Batch(vec![render::Bound::plain(look::PIN), question]);
        let permit = call.permit(rendered, batch).await?;
        let mut seen = self.client.read(call.credential, permit).await?;
        Ok(seen.rows.pop().unwrap_or_default())
    }

    /// A change that found nothing to do: what is there now decides what that means.
    async fn without_effect(
        &self,
        call: &Call<'_>,
        change: &Change,
        why: Option<Failure>,
    ) -> Result<Answered, Failure> {
        let look = self.look(call, &change.account).await?;
        match look.account {
            None => Ok(Answered::Absent),
            Some(account) if change.is_done_in(&account) => Ok(Answered::Absent),
            Some(_) => Err(why.unwrap_or_else(|| classify::without_effect(change.operation))),
        }
    }
}

#[async_trait]
impl Connector for PostgresRoles {
    async fn list(&self, call: &Call<'_>) -> Result<Listing, Failure> {
        let (rendered, batch) = look::listing(&self.roles);
        let permit = call.permit(rendered, batch).await?;
        let mut seen = self.client.read(call.credential, permit).await?;
        let (accounts, completeness) = look::list(&self.roles, &mut seen)?;
        Ok(Listing {
            accounts,
            completeness,
            data_age_seconds: seen.data_age_seconds,
            method: "SELECT the roles that can sign in, in one snapshot".to_owned(),
        })
    }

    async fn read(&self, call: &Call<'_>, account: &AccountId) -> Result<Reading, Failure> {
        let look = self.look(call, account).await?;
        Ok(Reading {
            account: look.account,
            completeness: look.completeness,
            data_age_seconds: look.data_age_seconds,
            method: "SELECT the role, what it holds in every database and its sessions, in one \
                     snapshot"
                .to_owned(),
        })
    }

    async fn write(&self, call: &Call<'_>, change: &Change) -> Result<Answered, Failure> {
        let oid = look::oid(&change.account).ok_or_else(no_oid)?;
        if !self.roles.take_in(&change.login) {
            let why = "is not among those that `[sql.roles]` takes in";
            return Err(classify::out_of_bounds(&change.login, why));
        }
        let target = Target {
            roles: &self.roles,
            change,
            oid,
        };
        let written = match change.operation {
            Operation::Disable => self.perform(call, target.disable()).await,
            Operation::EndSessions => self.end_sessions(call, target).await,
            Operation::RevokeEntitlement | Operation::RevokeCredential => {
                self.revoke(call, target).await
            }
            Operation::Delete => self.delete(call, target).await,
            Operation::List | Operation::Read => {
                return Err(unsupported("write by reading"));
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
            // The rotator needs nothing of the catalogs.
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

fn no_oid() -> Failure {
    classify::drifted("an account's id is no object id of a role")
}
