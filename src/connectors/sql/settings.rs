//! The `[sql]` table of a manifest with an access table: which statements stand for what.
//!
//! Owns the reading and checking of the table; every fault is reported with its line. Columns are
//! mapped by name in the SELECT itself: `id` and `login` must be there, `state`, `display_name` and
//! `privileged` may be, every other column is an attribute. Opens no connection.

use std::collections::{BTreeMap, BTreeSet};

use super::place::{Place, Target};
use super::powers::Need;
use super::statement::{Dialect, Parameter, Statement};
use crate::connectors::Manifest;
use crate::document::{Item, Table};
use crate::domain::access::{AccountState, Operation};
use crate::domain::verdict::CredentialRole;

/// How an access table is asked.
#[derive(Debug, Clone)]
pub struct Settings {
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
    /// What a row of an account must look like.
    pub shape: Shape,
}

/// What the rows of accounts must look like.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Values of the column `state`, in lower case.
    pub states: BTreeMap<String, AccountState>,
    /// Columns that every account must show.
    pub fields: Vec<String>,
}

/// One writing statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// What is run.
    pub statement: Statement,
    /// Most rows that it may touch.
    pub max_rows: u64,
    /// `table.column` or `table.*`: what the statement itself touches.
    pub touches: BTreeSet<String>,
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
    /// Reads the statements; problems go into the document.
    pub fn read(table: &Table<'_>, manifest: &Manifest, place: Option<&Place>) -> Option<Self> {
        // Without a sound address the statements are still checked, as the stricter of the two.
        let dialect = match place.map(|place| &place.target) {
            Some(Target::Sqlite(_)) => Dialect::Sqlite,
            Some(Target::Postgres(_) | Target::Mariadb(_)) | None => Dialect::Postgres,
        };
        if let Some(Target::Mariadb(_)) = place.map(|place| &place.target) {
            table.report(
                table.line(),
                "an access table cannot lie in MariaDB",
                "use [sql.roles] for the server's accounts, PostgreSQL or SQLite for a table",
            );
        }
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
        table.finish();
        Some(Self {
            list: list?,
            read: read?,
            entitlements,
            sessions,
            writes,
            shape: Shape {
                states,
                fields: manifest.expect.fields.clone(),
            },
        })
    }
}

impl Settings {
    /// Whether entitlements are shown without the account's own row: a statement that reads a table of
    /// the accounts may ask for that row. So may one of which it cannot be told what it reads.
    pub fn shows_orphans(&self) -> bool {
        let Some(read) = self
            .entitlements
            .as_ref()
            .and_then(|one| one.reads.as_ref())
        else {
            return false;
        };
        let apart = |accounts: &Statement| {
            let tables = accounts.reads.as_ref();
            tables.is_some_and(|tables| tables.is_disjoint(read))
        };
        apart(&self.list) && apart(&self.read)
    }

    /// What a credential needs to be allowed at the server.
    pub fn need(&self, role: CredentialRole) -> Need {
        let touches = self.writes.values().flat_map(|write| write.touches.clone());
        match role {
            CredentialRole::Writer => Need {
                words: BTreeSet::new(),
                tables: Some(touches.collect()),
            },
            CredentialRole::Verifier => Need {
                words: BTreeSet::new(),
                tables: Some(BTreeSet::new()),
            },
            // It is a member of the roles whose passwords it sets, and so has their rights.
            CredentialRole::Rotator => Need {
                words: ["CREATEROLE"].into(),
                tables: None,
            },
        }
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
            let touches = statement.writes.clone();
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
                    touches,
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
