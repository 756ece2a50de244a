//! The `[scim]` table of a manifest.
//!
//! Owns its keys beyond those of every HTTP kind: page size, further listings, whether the target has
//! groups and members in them, and how a member is removed. Checks that the approved fields fit what the operations will write.

use std::sync::Arc;

use super::super::http::{Transport, WORKERS};
use super::super::http_secrets::TokenEndpoint;
use super::super::limits::MOST_ITEMS;
use super::super::manifest::Manifest;
use crate::document::Table;
use crate::domain::access::Operation;
use crate::domain::time::Clock;

/// What the owner said about the target.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) transport: Arc<Transport>,
    /// How many resources are asked for at once; a target may serve fewer.
    pub(super) page_size: u64,
    /// Filters of further listings, for a target that leaves some users out of its list.
    pub(super) list_also: Vec<String>,
    /// False when the target has no `/Groups`.
    pub(super) groups: bool,
    /// Whether there may be no group at all, or none with a member.
    pub(super) groups_may_be_empty: bool,
    /// True when the target takes the removal of one member only as a value list, and is known not
    /// to read it as the removal of all members.
    pub(super) value_removal: bool,
    /// True when the owner says that the target refuses a PUT under another version than the current one.
    pub(super) checks_versions: bool,
    /// Attributes that every user must show.
    pub(super) declared: Vec<String>,
    /// There are no more accounts.
    pub(super) accounts_max: u64,
    /// Where the connector's own tokens are made.
    pub(super) tokens: Option<TokenEndpoint>,
}

impl Settings {
    pub(super) fn read(
        manifest: &Manifest,
        table: &Table<'_>,
        clock: &Arc<dyn Clock>,
    ) -> Option<Self> {
        let transport = Transport::read(table, manifest, WORKERS, clock).map(Arc::new);
        let page_size = table
            .integer("page_size", 1..=10_000)
            .map_or(200, |item| item.value.unsigned_abs());
        let list_also = table.strings("list_also");
        for filter in &list_also {
            if filter.value.trim().is_empty() {
                table.report(
                    filter.line,
                    "a filter of `list_also` is empty",
                    "write a filter such as \"active eq false\"",
                );
            }
        }
        let groups = table.boolean("groups").is_none_or(|item| item.value);
        let groups_may_be_empty = table.boolean("groups_may_be_empty");
        let value_removal = read_member_removal(table);
        let checks_versions = table.boolean("checks_versions");
        let tokens = TokenEndpoint::read(table, manifest, transport.as_ref(), clock);
        for (operation, field) in [
            (Operation::Disable, "active"),
            (Operation::RevokeCredential, "x509Certificates"),
        ] {
            let lacks = !manifest.writes.contains(field);
            if manifest.operations.contains(&operation) && lacks {
                table.report(
                    table.line(),
                    format!(
                        "{} writes `{field}`, which `writes` lacks",
                        operation.as_str()
                    ),
                    format!("add \"{field}\" to `writes`, or remove the operation"),
                );
            }
        }
        table.finish();
        Some(Self {
            transport: transport?,
            page_size,
            list_also: list_also.into_iter().map(|item| item.value).collect(),
            groups,
            groups_may_be_empty: groups_may_be_empty.is_some_and(|item| item.value),
            value_removal,
            checks_versions: checks_versions.is_some_and(|item| item.value),
            declared: manifest.expect.fields.clone(),
            accounts_max: manifest.expect.accounts_max.min(MOST_ITEMS),
            tokens,
        })
    }
}

fn read_member_removal(table: &Table<'_>) -> bool {
    let Some(item) = table.string("member_removal") else {
        return false;
    };
    match item.value.as_str() {
        "filter" => false,
        "filter_then_value" => true,
        other => {
            table.report(
                item.line,
                format!("`member_removal` is `{other}`"),
                "use filter, or filter_then_value if the target is known to keep other members",
            );
            false
        }
    }
}
