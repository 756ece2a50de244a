//! Where the database is, and how long it is given: what every use of the kind needs.
//!
//! Owns the address, the limits of time and the database roles whose passwords rotation sets, with
//! their checks at load. A password never stands in an address. Opens no connection.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::sqlite::SqliteConnectOptions;

use crate::connectors::Manifest;
use crate::document::{Item, Table};
use crate::domain::rotation::Strategy;
use crate::domain::verdict::CredentialRole;

/// Where the database is and how it is pressed.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where it is.
    pub target: Target,
    /// Database roles whose passwords rotation sets.
    pub passwords: BTreeMap<CredentialRole, Vec<String>>,
    /// Longest run of one statement.
    pub statement_timeout: Duration,
    /// Longest wait for a lock of another transaction.
    pub lock_timeout: Duration,
}

/// Where the database is. None holds a password.
#[derive(Debug, Clone)]
pub enum Target {
    /// A PostgreSQL server.
    Postgres(Box<PgConnectOptions>),
    /// A MariaDB server.
    Mariadb(Box<MySqlConnectOptions>),
    /// A SQLite file.
    Sqlite(Box<SqliteConnectOptions>),
}

impl Place {
    /// Reads `url` and `lock_timeout_seconds`; problems go into the document.
    pub fn read(table: &Table<'_>, manifest: &Manifest) -> Option<Self> {
        let target = table
            .required_string("url")
            .and_then(|url| read_target(table, &url));
        let lock_timeout = table
            .integer("lock_timeout_seconds", 1..=60)
            .map_or(2, |item| item.value.unsigned_abs());
        let passwords = read_passwords(table, manifest, target.as_ref());
        Some(Self {
            target: target?,
            passwords,
            statement_timeout: Duration::from_secs(manifest.limits.timeout_seconds),
            lock_timeout: Duration::from_secs(lock_timeout),
        })
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
    let Some((scheme, rest)) = url.value.split_once("://") else {
        report(
            "has another scheme",
            "use postgres://, mariadb:// or sqlite:",
        );
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
    let target = match scheme {
        "postgres" | "postgresql" => postgres(&url.value),
        "mariadb" => mariadb(&url.value),
        _ => {
            report(
                "has another scheme",
                "use postgres://, mariadb:// or sqlite:",
            );
            return None;
        }
    };
    let Some((target, safe)) = target else {
        report("is not an address", "write postgres://host:5432/database");
        return None;
    };
    if !safe {
        report(
            "goes over the network without checking the server",
            if scheme == "mariadb" {
                "add ?ssl-mode=VERIFY_IDENTITY"
            } else {
                "add ?sslmode=verify-full"
            },
        );
        return None;
    }
    Some(target)
}

/// The address, and whether it is near or the server is checked.
fn postgres(url: &str) -> Option<(Target, bool)> {
    let options = PgConnectOptions::from_str(url).ok()?;
    let checked = matches!(
        options.get_ssl_mode(),
        PgSslMode::VerifyFull | PgSslMode::VerifyCa
    );
    let safe = checked || options.get_socket().is_some() || near(options.get_host());
    let options = options
        .password("")
        .application_name("clawback")
        .disable_statement_logging();
    Some((Target::Postgres(Box::new(options)), safe))
}

/// The same for MariaDB. Its driver is built without RSA: a password never goes over the network
/// in a form that only a key exchange without TLS would protect.
fn mariadb(url: &str) -> Option<(Target, bool)> {
    let options = MySqlConnectOptions::from_str(url).ok()?;
    let checked = matches!(
        options.get_ssl_mode(),
        MySqlSslMode::VerifyIdentity | MySqlSslMode::VerifyCa
    );
    let safe = checked || options.get_socket().is_some() || near(options.get_host());
    let options = options.disable_statement_logging();
    Some((Target::Mariadb(Box::new(options)), safe))
}

fn near(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1" | "[::1]") || host.starts_with('/')
}

/// The roles whose passwords may be set: those that are to be rotated by `choose`, or two of each
/// that take turns by `dual_slot`.
fn read_passwords(
    table: &Table<'_>,
    manifest: &Manifest,
    target: Option<&Target>,
) -> BTreeMap<CredentialRole, Vec<String>> {
    let mut passwords = BTreeMap::new();
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
        if declared.lasts_seconds.is_some() && !matches!(target, Some(Target::Postgres(_)) | None) {
            table.report(
                table.line(),
                format!("[credentials.{name}] has `lasts_hours`"),
                "only PostgreSQL ends a password at an instant; use `max_age_days` here",
            );
        }
        match (declared.rotation, &declared.username) {
            (None | Some(Strategy::Delegated), _) => {}
            (Some(Strategy::Choose), Some(username)) if !file => {
                passwords.insert(*role, vec![username.clone()]);
            }
            (Some(Strategy::DualSlot), Some(username)) if !file => {
                let mut both = vec![username.clone()];
                both.extend(declared.alternate.clone());
                passwords.insert(*role, both);
            }
            (Some(Strategy::Choose | Strategy::DualSlot), None) if !file => {}
            (Some(Strategy::Add | Strategy::Choose | Strategy::DualSlot), _) => table.report(
                table.line(),
                format!("the {name} cannot be rotated in this way"),
                "a role or account has one password at a time: use `choose`, or `dual_slot` with two of \
                 them; a SQLite file has none",
            ),
        }
    }
    passwords
}
