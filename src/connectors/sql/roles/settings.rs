//! The `[sql.roles]` table: which roles are accounts, and what may become of them.
//!
//! Owns its reading with every fault at its line. Deny by default: a role that no `names` and no
//! `member_of` takes in is not an account, and the connector's own roles never are. Statements
//! beside it are refused, because they could only mean something else.

use std::collections::{BTreeMap, BTreeSet};

use super::super::place::Target;
use super::super::settings::Shape;
use crate::connectors::Manifest;
use crate::document::Table;
use crate::domain::access::{AccountState, Operation};

/// What the manifest declares of the server's roles.
#[derive(Debug, Clone)]
pub struct Roles {
    /// Patterns of names, `*` for any letters; empty takes in every name.
    pub names: Vec<Pattern>,
    /// Patterns of names that are no accounts.
    pub except: Vec<Pattern>,
    /// Roles of which an account is a member, directly or not; empty asks for none.
    pub member_of: Vec<String>,
    /// Whether superusers are accounts too.
    pub superusers: bool,
    /// What a disabled role shows, in the catalog's words; `rolcanlogin` always.
    pub disable: BTreeSet<String>,
    /// Who gets what an account owns.
    pub successor: Option<String>,
    /// Whether an account goes although objects run in its name, which then fail (MariaDB).
    pub keep_definers: bool,
    /// The roles that the connector itself signs in as.
    pub own: BTreeSet<String>,
    /// What a row must look like.
    pub shape: Shape,
}

/// A name with `*` for any letters, also none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

/// Keys of an access table, which have no place beside `[sql.roles]`.
const STATEMENTS: [&str; 9] = [
    "list",
    "read",
    "entitlements",
    "sessions",
    "disable",
    "end_sessions",
    "revoke_entitlement",
    "revoke_credential",
    "delete",
];

/// What each operation writes at a PostgreSQL server: one of these words at least. `disable` is
/// told by the table itself.
const POSTGRES_WORDS: [(Operation, &[&str]); 3] = [
    (Operation::EndSessions, &["session"]),
    (
        Operation::RevokeEntitlement,
        &[
            "membership",
            "privilege",
            "owner",
            "rolsuper",
            "rolcreaterole",
            "rolcreatedb",
            "rolreplication",
            "rolbypassrls",
        ],
    ),
    (Operation::RevokeCredential, &["mapping"]),
];

/// The same at a MariaDB server.
const MARIADB_WORDS: [(Operation, &[&str]); 3] = [
    (Operation::Disable, &["account_locked"]),
    (Operation::EndSessions, &["session"]),
    (Operation::RevokeEntitlement, &["membership", "privilege"]),
];

/// Columns of `pg_roles` that `disable` may write.
const LIMITS: [&str; 3] = ["rolcanlogin", "rolconnlimit", "rolvaliduntil"];

impl Roles {
    /// Reads the table; problems go into the document.
    pub fn read(sql: &Table<'_>, manifest: &Manifest, target: Option<&Target>) -> Option<Self> {
        for key in STATEMENTS {
            if sql.has(key) {
                let line = sql.string(key).map_or(sql.line(), |item| item.line);
                sql.report(
                    line,
                    format!("`{}.{key}` stands beside `[sql.roles]`", sql.path()),
                    "remove it: the server's own roles need no statements",
                );
            }
        }
        let table = sql.required_table("roles")?;
        if matches!(target, Some(Target::Sqlite(_))) {
            table.report(
                table.line(),
                "a SQLite file has no roles",
                "use the address of a server, or statements for an access table",
            );
        }
        let names = patterns(&table, "names");
        let member_of = strings(&table, "member_of");
        if names.is_empty() && member_of.is_empty() {
            table.report(
                table.line(),
                "`[sql.roles]` does not say which roles are accounts",
                "give `names` (patterns such as \"*\") or `member_of`",
            );
        }
        let mariadb = matches!(target, Some(Target::Mariadb(_)));
        foreign(&table, mariadb);
        if mariadb && manifest.operations.contains(&Operation::RevokeCredential) {
            table.report(
                table.line(),
                "an account of MariaDB has no credentials besides its password",
                "move `revoke_credential` from `operations` to `[without]`",
            );
        }
        let disable = if mariadb {
            ["account_locked".to_owned()].into()
        } else {
            read_disable(&table)
        };
        let roles = Self {
            names,
            except: patterns(&table, "except"),
            member_of,
            superusers: table.boolean("superusers").is_some_and(|item| item.value),
            disable,
            successor: table.string("successor").map(|item| item.value),
            keep_definers: table
                .boolean("keep_definers")
                .is_some_and(|item| item.value),
            own: own(manifest),
            shape: shape(manifest),
        };
        if mariadb {
            roles.check_writes(&table, manifest, &MARIADB_WORDS);
        } else {
            roles.check_successor(&table, manifest);
            roles.check_writes(&table, manifest, &POSTGRES_WORDS);
        }
        table.finish();
        Some(roles)
    }

    /// True when the name is one of an account, as far as a name can tell.
    pub fn take_in(&self, login: &str) -> bool {
        let fits = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.fits(login));
        !self.own.contains(login)
            && !fits(&self.except)
            && (self.names.is_empty() || fits(&self.names))
    }

    fn check_successor(&self, table: &Table<'_>, manifest: &Manifest) {
        let deletes = manifest.operations.contains(&Operation::Delete);
        let gives = manifest.writes.contains("owner");
        match &self.successor {
            None if deletes || gives => table.report(
                table.line(),
                "`successor` is missing",
                "name the role that gets what an account owns: owned objects are never dropped",
            ),
            Some(successor) if self.take_in(successor) => table.report(
                table.line(),
                format!("the successor `{successor}` is itself taken in as an account"),
                "add it to `except`",
            ),
            None | Some(_) => {}
        }
    }

    /// What the guard would refuse at run time is told at load.
    fn check_writes(
        &self,
        table: &Table<'_>,
        manifest: &Manifest,
        vocabulary: &[(Operation, &'static [&'static str])],
    ) {
        let mut known: BTreeSet<&str> = [crate::connectors::WHOLE_ACCOUNT].into();
        if manifest.operations.contains(&Operation::Disable) {
            for field in self
                .disable
                .iter()
                .filter(|f| !manifest.writes.contains(*f))
            {
                table.report(
                    table.line(),
                    format!("`disable` writes `{field}`, which `writes` does not allow"),
                    format!("add \"{field}\" to `writes` if it is meant"),
                );
            }
            known.extend(self.disable.iter().map(String::as_str));
        }
        for (operation, words) in vocabulary {
            if !manifest.operations.contains(operation) {
                continue;
            }
            known.extend(words.iter());
            if !words.iter().any(|word| manifest.writes.contains(*word)) {
                table.report(
                    table.line(),
                    format!(
                        "`{}` writes nothing that `writes` allows",
                        operation.as_str()
                    ),
                    format!("add one of: {}", words.join(", ")),
                );
            }
        }
        for field in manifest
            .writes
            .iter()
            .filter(|f| !known.contains(f.as_str()))
        {
            table.report(
                table.line(),
                format!("`writes` allows `{field}`, which no operation here writes"),
                format!("use of: {}", Vec::from_iter(known.clone()).join(", ")),
            );
        }
    }
}

impl Pattern {
    fn fits(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        true
    }
}

/// Keys that mean nothing at this server.
fn foreign(table: &Table<'_>, mariadb: bool) {
    let keys: &[&str] = if mariadb {
        &["member_of", "successor", "disable"]
    } else {
        &["keep_definers"]
    };
    for key in keys.iter().filter(|key| table.has(key)) {
        table.report(
            table.line(),
            format!("`{}.{key}` means nothing at this server", table.path()),
            "remove it",
        );
    }
}

fn strings(table: &Table<'_>, key: &str) -> Vec<String> {
    let items = table.strings(key).into_iter();
    items.map(|item| item.value).collect()
}

fn patterns(table: &Table<'_>, key: &str) -> Vec<Pattern> {
    strings(table, key).into_iter().map(Pattern).collect()
}

fn read_disable(table: &Table<'_>) -> BTreeSet<String> {
    if !table.has("disable") {
        return ["rolcanlogin".to_owned(), "rolconnlimit".to_owned()].into();
    }
    let items = table.strings("disable");
    for item in &items {
        if !LIMITS.contains(&item.value.as_str()) {
            table.report(
                item.line,
                format!("`disable` cannot write `{}`", item.value),
                format!("use of: {}", LIMITS.join(", ")),
            );
        }
    }
    if items.iter().all(|item| item.value != LIMITS[0]) {
        table.report(
            table.line(),
            "`disable` does not write `rolcanlogin`",
            "add it: the others let some ways in stand",
        );
    }
    items.into_iter().map(|item| item.value).collect()
}

fn own(manifest: &Manifest) -> BTreeSet<String> {
    let credentials = manifest.credentials.values();
    credentials.filter_map(|one| one.username.clone()).collect()
}

fn shape(manifest: &Manifest) -> Shape {
    Shape {
        states: BTreeMap::from([
            ("enabled".to_owned(), AccountState::Enabled),
            ("disabled".to_owned(), AccountState::Disabled),
        ]),
        fields: manifest.expect.fields.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("ada", "ada", true),
            ("ada", "adam", false),
            ("p_*", "p_ada", true),
            ("p_*", "q_p_ada", false),
            ("*_admin", "ada_admin", true),
            ("a*a", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("%", "ada", false),
        ] {
            let fits = Pattern(pattern.to_owned()).fits(name);
            assert_eq!(fits, expected, "{pattern} {name}");
        }
    }
}
