//! The simulated payroll: an application whose access lives in three tables of a SQLite file.
//!
//! Owns the file. The connector opens it like any other client; what is really there is read from
//! the file itself. Rows are never deleted here: the auditors want to see who once had access.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::domain::access::EntitlementKind;
use crate::domain::id::AccountId;
use crate::domain::verdict::Expectation;

use super::company::{Access, Company, Person};
use super::truth::{AccountTruth, TargetTruth};

/// How long a write waits for another's.
const BUSY: Duration = Duration::from_secs(60);
const TABLES: &str = "
    CREATE TABLE users (
        user_id INTEGER PRIMARY KEY,
        login TEXT NOT NULL UNIQUE,
        staff_no TEXT NOT NULL,
        full_name TEXT NOT NULL,
        email TEXT NOT NULL,
        active INTEGER NOT NULL CHECK (active IN (0, 1))
    );
    CREATE TABLE grants (
        grant_id INTEGER PRIMARY KEY,
        user_id INTEGER NOT NULL REFERENCES users (user_id),
        permission TEXT NOT NULL,
        UNIQUE (user_id, permission)
    );
    CREATE TABLE sessions (
        session_id INTEGER PRIMARY KEY,
        user_id INTEGER NOT NULL REFERENCES users (user_id)
    );";

/// One payroll.
#[derive(Debug)]
pub(super) struct Payroll {
    path: PathBuf,
    pool: SqlitePool,
}

impl Payroll {
    /// A payroll in `folder` with the company's accounts.
    pub(super) async fn new(folder: &Path, company: &Company) -> Result<Self, sqlx::Error> {
        let path = folder.join("payroll.db");
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .foreign_keys(true)
            // A simulated target need not survive a power cut; its start should not wait for disks.
            .synchronous(SqliteSynchronous::Off)
            // Who reads does not wait for who writes, and who writes waits for a slow disk.
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(BUSY)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await?;
        sqlx::raw_sql(TABLES).execute(&pool).await?;
        let payroll = Self { path, pool };
        for (person, access) in company.staff() {
            payroll.onboard(person, access).await?;
        }
        Ok(payroll)
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives a person their account, as the company's own onboarding does.
    pub(super) async fn onboard(
        &self,
        person: &Person,
        access: &Access,
    ) -> Result<(), sqlx::Error> {
        let Some(wanted) = &access.payroll else {
            return Ok(());
        };
        let mut tx = self.pool.begin().await?;
        let user: i64 = sqlx::query_scalar(
            "INSERT INTO users (login, staff_no, full_name, email, active) VALUES (?, ?, ?, ?, 1)
             RETURNING user_id",
        )
        .bind(&person.username)
        .bind(&person.number)
        .bind(person.display_name())
        .bind(&person.email)
        .fetch_one(&mut *tx)
        .await?;
        for permission in &wanted.grants {
            sqlx::query("INSERT INTO grants (user_id, permission) VALUES (?, ?)")
                .bind(user)
                .bind(permission)
                .execute(&mut *tx)
                .await?;
        }
        sqlx::query("INSERT INTO sessions (user_id) VALUES (?)")
            .bind(user)
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// What is really there.
    pub(super) async fn truth(&self) -> Result<TargetTruth, sqlx::Error> {
        let mut truth = TargetTruth {
            after_removal: Expectation::AccountPowerless,
            accounts: BTreeMap::new(),
            secrets: Vec::new(),
        };
        let users: Vec<(i64, String, String, bool, i64)> = sqlx::query_as(
            "SELECT user_id, login, staff_no, active,
                    (SELECT count(*) FROM sessions s WHERE s.user_id = u.user_id)
             FROM users u",
        )
        .fetch_all(&self.pool)
        .await?;
        for (id, login, staff_number, active, sessions) in users {
            let account = AccountTruth {
                login,
                subject: Some(staff_number),
                can_sign_in: active,
                entitlements: BTreeSet::new(),
                sessions: sessions.unsigned_abs(),
            };
            truth.accounts.insert(AccountId(id.to_string()), account);
        }
        let grants: Vec<(i64, i64)> = sqlx::query_as("SELECT user_id, grant_id FROM grants")
            .fetch_all(&self.pool)
            .await?;
        for (user, grant) in grants {
            if let Some(account) = truth.accounts.get_mut(&AccountId(user.to_string())) {
                let entitlement = (EntitlementKind::Permission, grant.to_string());
                account.entitlements.insert(entitlement);
            }
        }
        Ok(truth)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection, SqliteConnection};

    use super::*;

    #[tokio::test]
    async fn the_truth_follows_the_file_whoever_writes_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let company = Company::new(1, 60);
        let payroll = Payroll::new(folder.path(), &company)
            .await
            .expect("is made");
        let before = payroll.truth().await.expect("reads");
        let with_access = company
            .staff()
            .iter()
            .filter(|(_, a)| a.payroll.is_some())
            .count();
        assert_eq!(before.accounts.len(), with_access);
        let (id, account) = before.accounts.first_key_value().expect("somebody");
        assert!(account.can_sign_in && !account.entitlements.is_empty() && account.sessions == 1);

        let url = format!("sqlite:{}", payroll.path().display());
        let mut client = SqliteConnection::connect(&url).await.expect("opens");
        for statement in [
            "UPDATE users SET active = 0 WHERE user_id = ?",
            "DELETE FROM grants WHERE user_id = ?",
            "DELETE FROM sessions WHERE user_id = ?",
        ] {
            let done = sqlx::query(statement)
                .bind(id.as_str())
                .execute(&mut client);
            assert!(done.await.expect("writes").rows_affected() > 0);
        }
        let after = payroll.truth().await.expect("reads");
        let account = &after.accounts[id];
        assert!(!account.can_sign_in && account.entitlements.is_empty() && account.sessions == 0);
    }
}
