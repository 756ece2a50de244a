//! Where groups are and how they name their members, as a manifest says.
//!
//! Owns the tables `[[ldap.groups]]` and `[ldap.primary_group]` and their reading. Asks no directory;
//! what an account belongs to is found by `groups`.

use super::settings::{one_of, read_filter};
use crate::document::Table;

/// Groups of one kind under one base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    /// Where they begin.
    pub base: String,
    /// Which entries are groups, as a filter.
    pub filter: String,
    /// The attribute that holds the members.
    pub member: String,
    /// What a member is named by.
    pub names: MemberName,
    /// The group's name, for people to read.
    pub name: String,
    /// Whether a group may be a member of another.
    pub nested: bool,
    /// What takes the place of a last member who cannot leave otherwise.
    pub placeholder: Option<String>,
    /// Whether there may be no group with a member at all.
    pub may_be_empty: bool,
}

/// What a member is named by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberName {
    /// Its distinguished name (`member`, `uniqueMember`).
    Dn,
    /// Its login (`memberUid`).
    Login,
}

/// The group that an account belongs to by a number of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    /// Whose number it is.
    pub form: PrimaryForm,
    /// Where such groups are.
    pub base: String,
    /// Which entries are such groups, as a filter.
    pub filter: String,
    /// The number of a group that gives nothing; nobody can be without one.
    pub park: Option<i64>,
}

/// Whose number the primary group's is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrimaryForm {
    /// `gidNumber` (RFC 2307).
    GidNumber,
    /// `primaryGroupID` of Active Directory: the end of the group's security identifier.
    DomainRid,
}

impl PrimaryForm {
    /// The account's attribute.
    pub fn attribute(self) -> &'static str {
        match self {
            Self::GidNumber => "gidNumber",
            Self::DomainRid => "primaryGroupID",
        }
    }
}

/// Reads one of `[[ldap.groups]]`.
pub fn read_groups(table: &Table<'_>) -> Option<Groups> {
    let base = table.required_string("base");
    let filter = read_filter(table);
    let member = table.required_string("member");
    let names = match table.string("named_by") {
        None => Some(MemberName::Dn),
        Some(item) => one_of(
            table,
            &item,
            &[("dn", MemberName::Dn), ("login", MemberName::Login)],
        ),
    };
    let name = table.string("name");
    let placeholder = table.string("placeholder_member");
    let nested = table.boolean("nested").map(|item| item.value);
    let may_be_empty = table.boolean("may_be_empty");
    table.finish();
    let names = names?;
    Some(Groups {
        base: base?.value,
        filter: filter?,
        member: member?.value,
        names,
        name: name.map_or_else(|| "cn".to_owned(), |item| item.value),
        nested: nested.unwrap_or(names == MemberName::Dn),
        placeholder: placeholder.map(|item| item.value),
        may_be_empty: may_be_empty.is_some_and(|item| item.value),
    })
}

/// Reads `[ldap.primary_group]`: `None` for a fault, `Some(None)` where there is no such table.
#[allow(clippy::option_option)] // A fault and a table that is not there are two things.
pub fn read_primary(table: &Table<'_>) -> Option<Option<Primary>> {
    let Some(table) = table.table("primary_group") else {
        return Some(None);
    };
    let known = [
        ("gid_number", PrimaryForm::GidNumber),
        ("domain_rid", PrimaryForm::DomainRid),
    ];
    let form = table
        .required_string("form")
        .and_then(|item| one_of(&table, &item, &known));
    let base = table.required_string("base");
    let filter = read_filter(&table);
    let park = table.integer("park", 0..=i64::from(u32::MAX));
    table.finish();
    Some(Some(Primary {
        form: form?,
        base: base?.value,
        filter: filter?,
        park: park.map(|item| item.value),
    }))
}
