//! Users by the hand of somebody at the machine: added, changed, ended, given tokens.
//!
//! Owns what the command line does about users, and the acts that it notes; whoever may run it on the
//! database decides who may sign in. Passwords come in as arguments of functions, never of processes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::AppError;
use crate::console;
use crate::domain::id::TokenId;
use crate::domain::time::{Chance, Clock, after};
use crate::domain::user::{Act, ApiToken, PasswordHash, Role, SecretDigest, User};
use crate::store::Store;

/// Where an act at the machine comes from.
pub const HERE: &str = "cli";
const DAY_SECONDS: u64 = 86_400;

/// Users, for one command.
#[derive(Debug)]
pub struct Desk {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    chance: Arc<dyn Chance>,
    by: String,
}

/// A user to add.
#[derive(Debug)]
pub struct NewUser {
    /// The name that stands in the record.
    pub name: String,
    /// For people to read; the name where none is given.
    pub display_name: Option<String>,
    /// What they may do.
    pub roles: BTreeSet<Role>,
    /// `tenant/id` under which HR knows them.
    pub subject: Option<String>,
    /// None where an identity provider signs them in.
    pub password: Option<PasswordHash>,
}

/// Hashes a password as the console does.
///
/// # Errors
/// When it is too short or too long.
pub fn hash(password: &str) -> Result<PasswordHash, AppError> {
    Ok(console::hash(password)?)
}

impl Desk {
    /// Over this store, in this person's name.
    pub fn new(
        store: Arc<dyn Store>,
        (clock, chance): (Arc<dyn Clock>, Arc<dyn Chance>),
        by: String,
    ) -> Self {
        Self {
            store,
            clock,
            chance,
            by,
        }
    }

    async fn note(&self, what: &str, about: &str, came_to: &str) -> Result<(), AppError> {
        let act = Act {
            at: self.clock.now(),
            by: self.by.clone(),
            from: HERE.to_owned(),
            what: what.to_owned(),
            about: about.to_owned(),
            came_to: came_to.to_owned(),
        };
        Ok(self.store.note_act(&act).await?)
    }

    /// Adds a user.
    ///
    /// # Errors
    /// When the name cannot be one or is taken, or the store fails.
    pub async fn add(&self, new: NewUser) -> Result<User, AppError> {
        let name = User::canonical(&new.name);
        let name = name.ok_or_else(|| AppError::UserName(new.name.clone()))?;
        let user = User {
            display_name: new.display_name.unwrap_or_else(|| name.clone()),
            name,
            roles: new.roles,
            password: new.password,
            provider: None,
            subject: new.subject,
            disabled: None,
            enabled: None,
            failures: 0,
            locked_until: None,
            created: self.clock.now(),
        };
        if !self.store.add_user(&user).await? {
            return Err(AppError::UserTaken(user.name));
        }
        let roles: Vec<_> = user.roles.iter().map(|role| role.as_str()).collect();
        self.note("add_user", &user.name, &roles.join(", ")).await?;
        Ok(user)
    }

    /// All users.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn all(&self) -> Result<Vec<User>, AppError> {
        Ok(self.store.users().await?)
    }

    /// Changes a user and notes it; `ends` ends sessions as well.
    async fn change(
        &self,
        name: &str,
        (what, came_to): (&str, &str),
        ends: bool,
        change: &(dyn Fn(&mut User) + Send + Sync),
    ) -> Result<User, AppError> {
        let change = |user: &mut User| {
            change(user);
            true
        };
        let name = User::canonical(name).unwrap_or_default();
        let user = self.store.change_user(&name, &change).await?;
        let user = user.ok_or(AppError::NoUser(name))?;
        if ends {
            self.store.end_sessions(&user.name, None).await?;
        }
        self.note(what, &user.name, came_to).await?;
        Ok(user)
    }

    /// Says what a user may do; sessions go on with the new roles at once.
    ///
    /// # Errors
    /// When there is no such user, or the store fails.
    pub async fn roles(&self, name: &str, roles: &BTreeSet<Role>) -> Result<User, AppError> {
        let told: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
        let told = told.join(", ");
        let change = |user: &mut User| user.roles.clone_from(roles);
        self.change(name, ("change_roles", &told), false, &change)
            .await
    }

    /// Sets a password; every session of the user ends, and no lock stays.
    ///
    /// # Errors
    /// When there is no such user, or the store fails.
    pub async fn password(&self, name: &str, password: &PasswordHash) -> Result<User, AppError> {
        let change = |user: &mut User| {
            user.password = Some(password.clone());
            user.unlock();
        };
        self.change(name, ("set_password", "done"), true, &change)
            .await
    }

    /// Lets a user sign in no more, or again; either way what is open ends.
    ///
    /// # Errors
    /// When there is no such user, or the store fails.
    pub async fn disable(&self, name: &str, disabled: bool) -> Result<User, AppError> {
        let now = self.clock.now();
        let change = |user: &mut User| {
            user.disabled = disabled.then_some(now);
            if !disabled {
                user.enabled = Some(now);
            }
            user.unlock();
        };
        let what = if disabled {
            "disable_user"
        } else {
            "enable_user"
        };
        let user = self.change(name, (what, "done"), true, &change).await?;
        if disabled {
            self.take_back(&user.name).await?;
        }
        Ok(user)
    }

    /// Ends all sessions of a user and takes all their tokens back.
    ///
    /// # Errors
    /// When there is no such user, or the store fails.
    pub async fn revoke(&self, name: &str) -> Result<User, AppError> {
        let user = self.change(name, ("revoke", "done"), true, &|_| {}).await?;
        self.take_back(&user.name).await?;
        Ok(user)
    }

    async fn take_back(&self, name: &str) -> Result<(), AppError> {
        for token in self.store.tokens(Some(name)).await? {
            let revoked = ApiToken {
                revoked: Some(self.clock.now()),
                ..token
            };
            self.store.save_token(&revoked).await?;
        }
        Ok(())
    }

    /// Makes a token of the API; the token itself comes back once.
    ///
    /// # Errors
    /// When there is no such user, they have none of the roles, or the store fails.
    pub async fn token(
        &self,
        name: &str,
        label: String,
        scopes: &BTreeSet<Role>,
        days: u64,
    ) -> Result<(ApiToken, String), AppError> {
        let name = User::canonical(name).unwrap_or_default();
        let user = self.store.user(&name).await?;
        let user = user.ok_or_else(|| AppError::NoUser(name.clone()))?;
        let scopes: BTreeSet<_> = if scopes.is_empty() {
            user.roles.clone()
        } else {
            scopes.intersection(&user.roles).copied().collect()
        };
        if scopes.is_empty() {
            return Err(AppError::NoRole(name));
        }
        let (now, secret) = (self.clock.now(), format!("cbt_{}", console::secret()?));
        let token = ApiToken {
            id: TokenId(self.chance.id()),
            digest: SecretDigest::of(&secret),
            user: user.name,
            label,
            scopes,
            created: now,
            ends: after(now, days * DAY_SECONDS),
            used: None,
            revoked: None,
        };
        self.store.add_token(&token).await?;
        self.note("make_token", &token.id.to_string(), &token.label)
            .await?;
        Ok((token, secret))
    }
}
