//! The database as a protocol: sign in, read in one snapshot, write in one short transaction.
//!
//! Owns connections and transactions. A write reads the account first, asserts its login and counts
//! the rows touched, all before COMMIT; what does not fit is rolled back. Connections to
//! servers are kept for the credential version that opened them, credentials never are. A connection whose call was
//! given up is closed, and the database forgets what was not committed.

use std::sync::{Mutex, PoisonError};

use secrecy::ExposeSecret;
use sqlx::{ConnectOptions, Connection};

use super::classify::{self, Phase};
use super::link::Link;
use super::password;
use super::place::{Place, Target};
use super::render::{Batch, Bound, Edit, Row};
use super::roles::Task;
use crate::connectors::{Credential, Permit};
use crate::domain::outcome::Failure;
use crate::domain::time::Timestamp;
use crate::domain::verdict::CredentialRole;

/// Idle connections kept for each target; more calls than this open their own.
const KEPT: usize = 8;

/// Signs in and keeps what is idle.
#[derive(Debug)]
pub struct Client {
    place: Place,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    role: CredentialRole,
    version: u64,
    link: Link,
}

/// What the reads of a batch showed.
#[derive(Debug)]
pub struct Seen {
    /// The rows of each statement, in order.
    pub rows: Vec<Vec<Row>>,
    /// How far a replica lags behind, in seconds; 0 on a primary.
    pub data_age_seconds: u64,
}

/// How a write went that met no error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Committed.
    Committed,
    /// There is no row for the account; rolled back.
    NoAccount,
    /// The statement touched no row; rolled back.
    NoRows,
}

/// A new password for one of the connector's own database roles.
#[derive(Debug)]
pub struct SetPassword {
    /// The role's name.
    pub role: String,
    /// What the server keeps in place of the password; `None` leaves the role without one.
    pub verifier: Option<String>,
    /// When the server itself ends the password.
    pub expires: Option<Timestamp>,
}

impl Client {
    /// A client without connections.
    pub fn new(place: Place) -> Self {
        Self {
            place,
            idle: Mutex::default(),
        }
    }

    /// Where the database is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Runs reads in one read-only snapshot.
    ///
    /// # Errors
    /// As `classify` says.
    pub async fn read(
        &self,
        credential: &Credential,
        permit: Permit<Batch>,
    ) -> Result<Seen, Failure> {
        let link = self.take(credential).await?;
        self.read_over(link, credential, permit).await
    }

    /// The same over a connection that was not there before: shows that the credential itself works.
    ///
    /// # Errors
    /// As `classify` says.
    pub async fn read_afresh(
        &self,
        credential: &Credential,
        permit: Permit<Batch>,
    ) -> Result<Seen, Failure> {
        let link = self.connect(credential, None).await?;
        self.read_over(link, credential, permit).await
    }

    async fn read_over(
        &self,
        mut link: Link,
        credential: &Credential,
        permit: Permit<Batch>,
    ) -> Result<Seen, Failure> {
        let Batch(statements) = permit.into_inner();
        let independent = credential.role == CredentialRole::Verifier;
        link.begin_reading(&self.place, independent).await?;
        let mut rows = Vec::new();
        for bound in &statements {
            rows.push(link.fetch(bound).await?);
        }
        let data_age_seconds = link.lag_seconds().await?;
        link.roll_back().await?;
        self.give(credential, link).await;
        Ok(Seen {
            rows,
            data_age_seconds,
        })
    }

    /// Runs one write.
    ///
    /// # Errors
    /// As `classify` says; `unknown_outcome` only after COMMIT was sent.
    pub async fn write(
        &self,
        credential: &Credential,
        permit: Permit<Edit>,
    ) -> Result<Written, Failure> {
        let edit = permit.into_inner();
        let mut link = self.take(credential).await?;
        link.begin_writing(&self.place).await?;
        let outcome = match attempt(&mut link, &edit).await {
            Ok(Written::Committed) => {
                link.commit().await?;
                Ok(Written::Committed)
            }
            other => {
                link.roll_back().await?;
                other
            }
        };
        self.give(credential, link).await;
        outcome
    }

    /// Changes one role within one database, in one transaction.
    ///
    /// # Errors
    /// As `classify` says; `unknown_outcome` only after COMMIT was sent.
    pub async fn perform(
        &self,
        credential: &Credential,
        permit: Permit<Task>,
    ) -> Result<Written, Failure> {
        let task = permit.into_inner();
        let mut link = match &task.database {
            None => self.take(credential).await?,
            Some(database) => self
                .connect(credential, Some(database))
                .await
                .map_err(|failure| classify::no_way_in(database, &failure))?,
        };
        link.begin_writing(&self.place).await?;
        let outcome = match task.attempt(&mut link).await {
            Ok(Written::Committed) => {
                link.commit().await?;
                Ok(Written::Committed)
            }
            other => {
                link.roll_back().await?;
                other
            }
        };
        if task.database.is_none() {
            self.give(credential, link).await;
        } else {
            link.close().await;
        }
        outcome
    }

    /// Sets the password of a database role; the old one is dead from then on.
    ///
    /// # Errors
    /// As `classify` says; `unknown_outcome` only after COMMIT was sent.
    pub async fn set_password(
        &self,
        credential: &Credential,
        permit: Permit<SetPassword>,
    ) -> Result<(), Failure> {
        let order = permit.into_inner();
        let mut link = self.connect(credential, None).await?;
        link.begin_writing(&self.place).await?;
        if let Target::Mariadb(_) = self.place.target {
            return password::set_in_mariadb(&mut link, &order).await;
        }
        link.hush().await?;
        let role = order.role.replace('"', "\"\"");
        let verifier = order.verifier.map(|verifier| format!("'{verifier}'"));
        let verifier = verifier.unwrap_or_else(|| "NULL".to_owned());
        // Without a declared end, an older one is none of ours to change. It ends this password, too, and
        // is read back (`password::end`).
        let until = order.expires.map(|end| format!(" VALID UNTIL '{end}'"));
        let until = until.unwrap_or_default();
        let text = format!("ALTER ROLE \"{role}\" PASSWORD {verifier}{until}");
        link.run(text, Phase::Statement).await?;
        link.commit().await
    }

    /// A kept connection of this credential version that still answers, or a new one.
    async fn take(&self, credential: &Credential) -> Result<Link, Failure> {
        while let Some(mut link) = self.pop(credential) {
            if link.answers().await {
                return Ok(link);
            }
        }
        self.connect(credential, None).await
    }

    fn pop(&self, credential: &Credential) -> Option<Link> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // What an older version of the secret opened is not used any more.
        idle.retain(|kept| kept.role != credential.role || kept.version == credential.version);
        let found = idle.iter().rposition(|kept| kept.role == credential.role)?;
        Some(idle.swap_remove(found).link)
    }

    async fn give(&self, credential: &Credential, link: Link) {
        // An open file is read on after another was put in its place.
        if let Link::Sqlite(_) = link {
            return link.close().await;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(Idle {
                role: credential.role,
                version: credential.version,
                link,
            });
        }
    }

    /// A new connection, to another database of the server than the address names if so wished.
    async fn connect(
        &self,
        credential: &Credential,
        database: Option<&str>,
    ) -> Result<Link, Failure> {
        let dialled = self.dial(credential, database).await?;
        dialled.map_err(|error| classify::failure(&error, Phase::Connect))
    }

    /// What the server answers to somebody who signs in: `None` when it lets them in, and they are
    /// gone again; otherwise its own code.
    ///
    /// # Errors
    /// When it did not answer.
    pub async fn answer_to(&self, somebody: &Credential) -> Result<Option<String>, Failure> {
        match self.dial(somebody, None).await? {
            Ok(link) => {
                link.close().await;
                Ok(None)
            }
            Err(error) => match classify::server_code(&error) {
                Some(code) => Ok(Some(code)),
                None => Err(classify::failure(&error, Phase::Connect)),
            },
        }
    }

    async fn dial(
        &self,
        credential: &Credential,
        database: Option<&str>,
    ) -> Result<Result<Link, sqlx::Error>, Failure> {
        match &self.place.target {
            Target::Postgres(options) => {
                let Some(username) = &credential.username else {
                    return Err(classify::nameless());
                };
                let mut options = options
                    .as_ref()
                    .clone()
                    .username(username)
                    .password(credential.secret.expose_secret());
                if let Some(database) = database {
                    options = options.database(database);
                }
                let link = sqlx::PgConnection::connect_with(&options).await;
                Ok(link.map(Link::Postgres))
            }
            Target::Mariadb(options) => {
                let Some(username) = &credential.username else {
                    return Err(classify::nameless());
                };
                let options = options.as_ref().clone();
                let options = options
                    .username(username)
                    .password(credential.secret.expose_secret());
                let link = sqlx::MySqlConnection::connect_with(&options).await;
                Ok(link.map(|link| Link::Mariadb(Box::new(link))))
            }
            Target::Sqlite(options) => {
                let options = options
                    .as_ref()
                    .clone()
                    .busy_timeout(self.place.lock_timeout)
                    .read_only(credential.role != CredentialRole::Writer);
                Ok(options.connect().await.map(Link::Sqlite))
            }
        }
    }
}

/// Everything between BEGIN and COMMIT.
async fn attempt(link: &mut Link, edit: &Edit) -> Result<Written, Failure> {
    let rows = link.fetch(&edit.read).await?;
    let row = match <[Row; 1]>::try_from(rows) {
        Ok([row]) => row,
        Err(rows) if rows.is_empty() => return Ok(Written::NoAccount),
        Err(rows) => return Err(classify::several_rows(rows.len())),
    };
    if row.get("login").and_then(Option::as_ref) != Some(&edit.login) {
        return Err(classify::another_login());
    }
    let touched = link.execute(&edit.write).await?;
    if touched == 0 {
        return Ok(Written::NoRows);
    }
    if touched > edit.max_rows {
        return Err(classify::too_many_rows(
            edit.operation,
            touched,
            edit.max_rows,
        ));
    }
    Ok(Written::Committed)
}

impl Bound {
    /// A statement without values.
    pub fn plain(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            values: Vec::new(),
        }
    }
}
