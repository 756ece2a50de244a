//! The `[sql]` table of a manifest: where the database is and which statements stand for what.
//!
//! Owns the reading and checking of the table; every fault is reported with its line. Columns are
//! mapped by name in the SELECT itself: `id` and `login` must be there, `state`, `display_name` and
//! `privileged` may be, every other column is an attribute. Opens no connection.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::sqlite::SqliteConnectOptions;

use super::statement::{Dialect, Parameter, Statement};
use crate::connectors::Manifest;
use crate::document::{Item, Table};
use crate::domain::access::{AccountState, Operation};
use crate::domain::rotation::Strategy;
use crate::domain::verdict::CredentialRole;

/// How the database is reached and asked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it is.
    pub target: Target,
    /// All accounts.
    pub list: Statement,
    /// One account, by `:account`.
    pub read: Statement,
    /// The entitlements of one account, by `:account`.
    pub entitlements: Option<Statement>,
    /// The number of live sessions of one account, in a column `sessions`.
    pub sessions: Option<Statement>,
    /// What each operation runs.
    pub writes: BTreeMap<Operation, Write>,
    /// Values of the column `state`, in lower case.
    pub states: BTreeMap<String, AccountState>,
    /// Columns that every account must show.
    pub fields: Vec<String>,
    /// Database roles whose passwords rotation sets.
    pub roles: BTreeMap<CredentialRole, String>,
    /// Longest run of one statement.
    pub statement_timeout: Duration,
    /// Longest wait for a lock of another transaction.
    pub lock_timeout: Duration,
}

/// Where the database is. Neither holds a password.
#[derive(Debug, Clone)]
pub enum Target {
    /// A PostgreSQL server.
    Postgres(Box<PgConnectOptions>),
    /// A SQLite file.
    Sqlite(Box<SqliteConnectOptions>),
}

/// One writing statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// What is run.
    pub statement: Statement,
    /// Most rows that it may touch.
    pub max_rows: u64,
}

/// Writing operations and what their WHERE must pin.
const WRITES: [(Operation, &[Parameter]); 5] = [
    (Operation::Disable, &[Parameter::Account]),
    (Operation::EndSessions, &[Parameter::Account]),
    (
        Operation::RevokeEntitlement,
        &[Parameter::Account, Parameter::Entitlement],
    ),
    (
        Operation::RevokeCredential,
        &[Parameter::Account, Parameter::Entitlement],
    ),
    (Operation::Delete, &[Parameter::Account]),
];

impl Settings {
    /// Reads the table; problems go into the document.
    pub fn read(table: &Table<'_>, manifest: &Manifest) -> Option<Self> {
        let target = table
            .required_string("url")
            .and_then(|url| read_target(table, &url));
        // Without a sound address the statements are still checked, as the stricter of the two.
        let dialect = match target {
            Some(Target::Sqlite(_)) => Dialect::Sqlite,
            Some(Target::Postgres(_)) | None => Dialect::Postgres,
        };
        let reading = |key: &str, wanted: &[Parameter]| {
            let item = table.string(key)?;
            checked(table, key, &item, |text| {
                Statement::reading(text, dialect, wanted)
            })
        };
        for key in ["list", "read"] {
            table.required_string(key);
        }
        let list = reading("list", &[]);
        let read = reading("read", &[Parameter::Account]);
        let entitlements = reading("entitlements", &[Parameter::Account]);
        let sessions = reading("sessions", &[Parameter::Account]);
        let writes = read_writes(table, manifest, dialect);
        if table.has("revoke_entitlement") && !table.has("entitlements") {
            table.report(
                table.line(),
                format!("`{}` shows no entitlements", table.path()),
                "add the statement `entitlements`: what is not seen cannot be taken",
            );
        }
        let states = read_states(table);
        let lock_timeout = table
            .integer("lock_timeout_seconds", 1..=60)
            .map_or(2, |item| item.value.unsigned_abs());
        table.finish();
        let roles = read_roles(table, manifest, target.as_ref());
        Some(Self {
            target: target?,
            list: list?,
            read: read?,
            entitlements,
            sessions,
            writes,
            states,
            fields: manifest.expect.fields.clone(),
            roles,
            statement_timeout: Duration::from_secs(manifest.limits.timeout_seconds),
            lock_timeout: Duration::from_secs(lock_timeout),
        })
    }
}

fn checked(
    table: &Table<'_>,
    key: &str,
    item: &Item<String>,
    check: impl Fn(&str) -> Result<Statement, String>,
) -> Option<Statement> {
    match check(&item.value) {
        Ok(statement) => Some(statement),
        Err(why) => {
            table.report(
                item.line,
                format!("`{}.{key}`: {why}", table.path()),
                "write it in the form that docs/connectors/sql.md shows",
            );
            None
        }
    }
}

fn read_target(table: &Table<'_>, url: &Item<String>) -> Option<Target> {
    let report = |message: &str, remedy: &str| {
        // The address itself is not repeated: a password may have been left in it.
        table.report(
            url.line,
            format!("`{}.url` {message}", table.path()),
            remedy,
        );
    };
    if url.value.starts_with("sqlite:") {
        let Ok(options) = SqliteConnectOptions::from_str(&url.value) else {
            report("is not an address", "write sqlite:/path/to/file.db");
            return None;
        };
        if !options.get_filename().is_absolute() {
            report("is not an absolute path", "write sqlite:/path/to/file.db");
            return None;
        }
        let options = options.create_if_missing(false).disable_statement_logging();
        return Some(Target::Sqlite(Box::new(options)));
    }
    let rest = url
        .value
        .strip_prefix("postgres://")
        .or_else(|| url.value.strip_prefix("postgresql://"));
    let Some(rest) = rest else {
        report("has another scheme", "use postgres:// or sqlite:");
        return None;
    };
    let named = ["user=", "password=", "options"];
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') || named.iter().any(|key| query.contains(key)) {
        report(
            "names a user, a password or options",
            "leave them out: they come from the credential",
        );
        return None;
    }
    if authority.is_empty() && !query.contains("host=") {
        report("names no host", "write postgres://host:5432/database");
        return None;
    }
    let Ok(options) = PgConnectOptions::from_str(&url.value) else {
        report("is not an address", "write postgres://host:5432/database");
        return None;
    };
    let near = options.get_socket().is_some()
        || matches!(
            options.get_host(),
            "localhost" | "127.0.0.1" | "::1" | "[::1]"
        )
        || options.get_host().starts_with('/');
    let checked = matches!(
        options.get_ssl_mode(),
        PgSslMode::VerifyFull | PgSslMode::VerifyCa
    );
    if !near && !checked {
        report(
            "goes over the network without checking the server",
            "add ?sslmode=verify-full",
        );
        return None;
    }
    let options = options
        .password("")
        .application_name("clawback")
        .disable_statement_logging();
    Some(Target::Postgres(Box::new(options)))
}

fn read_writes(
    table: &Table<'_>,
    manifest: &Manifest,
    dialect: Dialect,
) -> BTreeMap<Operation, Write> {
    let bounds = table.table("max_rows");
    let mut writes = BTreeMap::new();
    for (operation, pinned) in WRITES {
        let key = operation.as_str();
        let approved = manifest.operations.contains(&operation);
        let max_rows = bounds
            .as_ref()
            .and_then(|bounds| bounds.integer(key, 1..=1_000_000))
            .map_or(default_rows(operation), |item| item.value.unsigned_abs());
        let Some(item) = table.string(key) else {
            if approved && !table.has(key) {
                table.report(
                    table.line(),
                    format!("`operations` has `{key}` but there is no statement for it"),
                    format!("add `{key}`"),
                );
            }
            continue;
        };
        if !approved {
            table.report(
                item.line,
                format!("`{key}` is not in `operations`"),
                "remove the statement or approve the operation",
            );
        }
        let statement = checked(table, key, &item, |text| {
            Statement::writing(text, dialect, pinned)
        });
        if let Some(mut statement) = statement {
            if operation == Operation::Delete {
                // In the guard's words the account as a whole, however the statement does it.
                statement.writes = [crate::connectors::WHOLE_ACCOUNT.to_owned()].into();
            }
            unapproved(table, manifest, &item, &statement);
            writes.insert(
                operation,
                Write {
                    statement,
                    max_rows,
                },
            );
        }
    }
    if let Some(bounds) = bounds {
        bounds.finish();
    }
    writes
}

/// What the guard would refuse at run time is told at load.
fn unapproved(table: &Table<'_>, manifest: &Manifest, item: &Item<String>, statement: &Statement) {
    for field in statement.writes.difference(&manifest.writes) {
        table.report(
            item.line,
            format!("the statement writes `{field}`, which `writes` does not allow"),
            format!("add \"{field}\" to `writes` if it is meant"),
        );
    }
}

/// An account is one row; sessions and the like may be many.
fn default_rows(operation: Operation) -> u64 {
    match operation {
        Operation::EndSessions => 1000,
        Operation::List
        | Operation::Read
        | Operation::Disable
        | Operation::RevokeEntitlement
        | Operation::RevokeCredential
        | Operation::Delete => 1,
    }
}

fn read_states(table: &Table<'_>) -> BTreeMap<String, AccountState> {
    let mut states = BTreeMap::new();
    let declared = table.table("states");
    let defaults: [(&str, AccountState, &[&str]); 2] = [
        (
            "enabled",
            AccountState::Enabled,
            &["true", "t", "1", "active", "enabled"],
        ),
        (
            "disabled",
            AccountState::Disabled,
            &["false", "f", "0", "inactive", "disabled"],
        ),
    ];
    for (key, state, usual) in defaults {
        let values: Vec<String> = match &declared {
            Some(declared) => {
                let items = declared.strings(key);
                items.into_iter().map(|i| i.value.to_lowercase()).collect()
            }
            None => usual.iter().map(ToString::to_string).collect(),
        };
        for value in values {
            if states.insert(value.clone(), state).is_some() {
                table.report(
                    declared.as_ref().map_or(table.line(), Table::line),
                    format!("the state `{value}` has two meanings"),
                    "list each value once",
                );
            }
        }
    }
    if let Some(declared) = declared {
        declared.finish();
    }
    states
}

/// The roles whose passwords may be set: those that are to be rotated by `choose`.
fn read_roles(
    table: &Table<'_>,
    manifest: &Manifest,
    target: Option<&Target>,
) -> BTreeMap<CredentialRole, String> {
    let mut roles = BTreeMap::new();
    let file = matches!(target, Some(Target::Sqlite(_)));
    for (role, declared) in &manifest.credentials {
        let name = role.as_str();
        if !file && declared.username.is_none() {
            table.report(
                table.line(),
                format!("[credentials.{name}] has no `username`"),
                "name the database role that it signs in as",
            );
        }
        if !file && !declared.needs_secret() {
            table.report(
                table.line(),
                format!("[credentials.{name}] has no secret, but a server asks for one"),
                "write where the password lies; `none:` is for SQLite files",
            );
        }
        match (declared.rotation, &declared.username) {
            (None | Some(Strategy::Delegated), _) => {}
            (Some(Strategy::Choose), Some(username)) if !file => {
                roles.insert(*role, username.clone());
            }
            (Some(Strategy::Choose), None) if !file => {}
            (Some(Strategy::Add | Strategy::Choose), _) => table.report(
                table.line(),
                format!("the {name} cannot be rotated in this way"),
                "a PostgreSQL role has one password at a time: use `choose`; a SQLite file has none",
            ),
        }
    }
    roles
}
