//! What a PostgreSQL role can hold, and the ids by which it is taken away.
//!
//! Owns the ids of entitlements. They are made of object ids, which outlive a change of name, and
//! of names that the catalog itself never changes. Privileges and owned objects are told for each
//! database and catalog: a role may hold thousands, and they are taken away together.

use std::collections::BTreeMap;

use super::super::super::classify;
use super::super::super::render::{Row, required};
use crate::domain::access::{Entitlement, EntitlementKind};
use crate::domain::outcome::Failure;

/// One entitlement by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// `role:16401`: a direct membership.
    Membership(u32),
    /// `role:16400:via:16401`: a membership of a role that another one passes on.
    Inherited,
    /// `attribute:rolcreatedb`: a power of the role itself.
    Attribute(Attribute),
    /// `privilege:16384:pg_class`: entries in access lists; database 0 for shared objects.
    Privilege(u32, String),
    /// `owner:16384`: owned objects; database 0 for shared ones.
    Owner(u32),
    /// `mapping:16384`: passwords for foreign servers.
    Mapping(u32),
}

/// A power that a role has by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// The column of `pg_roles`.
    pub column: &'static str,
    /// As `CREATE ROLE` says it.
    pub word: &'static str,
}

/// All of them.
pub const ATTRIBUTES: [Attribute; 5] = [
    Attribute {
        column: "rolsuper",
        word: "SUPERUSER",
    },
    Attribute {
        column: "rolcreaterole",
        word: "CREATEROLE",
    },
    Attribute {
        column: "rolcreatedb",
        word: "CREATEDB",
    },
    Attribute {
        column: "rolreplication",
        word: "REPLICATION",
    },
    Attribute {
        column: "rolbypassrls",
        word: "BYPASSRLS",
    },
];

/// Catalogs whose objects have access lists, and what their objects are called.
const CATALOGS: [(&str, &str); 13] = [
    ("pg_class", "tables, views and sequences"),
    ("pg_proc", "functions"),
    ("pg_namespace", "schemas"),
    ("pg_database", "databases"),
    ("pg_tablespace", "tablespaces"),
    ("pg_type", "types"),
    ("pg_language", "languages"),
    ("pg_foreign_data_wrapper", "foreign-data wrappers"),
    ("pg_foreign_server", "foreign servers"),
    ("pg_largeobject", "large objects"),
    ("pg_parameter_acl", "settings"),
    ("pg_default_acl", "objects to come (default privileges)"),
    ("pg_user_mapping", "user mappings"),
];

impl Held {
    /// What the id stands for; `None` for an id that no role ever had.
    pub fn from_id(id: &str) -> Option<Self> {
        let (kind, rest) = id.split_once(':')?;
        let number = |text: &str| text.parse::<u32>().ok();
        match kind {
            "role" if rest.contains(":via:") => Some(Self::Inherited),
            "role" => number(rest).map(Self::Membership),
            "attribute" => {
                let mut all = ATTRIBUTES.into_iter();
                all.find(|one| one.column == rest).map(Self::Attribute)
            }
            "privilege" => {
                let (database, catalog) = rest.split_once(':')?;
                let known = CATALOGS.iter().any(|(name, _)| *name == catalog);
                let database = number(database).filter(|_| known)?;
                Some(Self::Privilege(database, catalog.to_owned()))
            }
            "owner" => number(rest).map(Self::Owner),
            "mapping" => number(rest).map(Self::Mapping),
            _ => None,
        }
    }
}

/// The entitlements in the rows of `look::DEPENDENTS`: columns `database` (its id), `name`,
/// `catalog`, `how` (`a` in an access list, `o` owned) and `objects`.
///
/// # Errors
/// `drifted` when a column is missing.
pub fn dependents(rows: Vec<Row>) -> Result<Vec<Entitlement>, Failure> {
    let mut owned: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    let mut found = Vec::new();
    for mut row in rows {
        let database = required(&mut row, "database")?;
        let name = row.remove("name").flatten();
        let place = name.map_or_else(
            || "of the whole server".to_owned(),
            |name| format!("in database {name}"),
        );
        let catalog = required(&mut row, "catalog")?;
        let objects = required(&mut row, "objects")?;
        let what = format!("{objects} {}", called(&catalog));
        match required(&mut row, "how")?.as_str() {
            "a" => found.push(Entitlement {
                id: format!("privilege:{database}:{catalog}").as_str().into(),
                kind: EntitlementKind::Permission,
                name: format!("privileges on {what} {place}"),
                inherited_from: None,
            }),
            "o" if catalog == "pg_user_mapping" => found.push(Entitlement {
                id: format!("mapping:{database}").as_str().into(),
                kind: EntitlementKind::Credential,
                name: format!("{what} {place}"),
                inherited_from: None,
            }),
            "o" => {
                let (_, objects) = owned.entry(database).or_insert((place, Vec::new()));
                objects.push(what);
            }
            other => {
                return Err(classify::drifted(format!(
                    "a role is depended upon in a way that is not known: {other}"
                )));
            }
        }
    }
    found.extend(
        owned
            .into_iter()
            .map(|(database, (place, objects))| Entitlement {
                id: format!("owner:{database}").as_str().into(),
                kind: EntitlementKind::Permission,
                name: format!("owner of {} {place}", objects.join(", ")),
                inherited_from: None,
            }),
    );
    Ok(found)
}

fn called(catalog: &str) -> &str {
    let known = CATALOGS.iter().find(|(name, _)| *name == catalog);
    known.map_or(catalog, |(_, called)| called)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_no_role_ever_had_stands_for_nothing() {
        assert_eq!(Held::from_id("role:16401"), Some(Held::Membership(16401)));
        assert_eq!(Held::from_id("role:1:via:2"), Some(Held::Inherited));
        assert_eq!(
            Held::from_id("privilege:5:pg_class"),
            Some(Held::Privilege(5, "pg_class".to_owned()))
        );
        for id in [
            "",
            "role:",
            "role:x",
            "role:-1",
            "attribute:rolname",
            "privilege:5:pg_authid",
            "privilege:5:pg_class'; --",
            "owner:99999999999",
            "grant:1",
        ] {
            assert_eq!(Held::from_id(id), None, "{id}");
        }
    }
}
