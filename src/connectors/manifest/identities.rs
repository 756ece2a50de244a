//! The table `[nhi]` of a manifest: which accounts are of non-human identities, and how often their
//! records are to update.
//!
//! Owns its reading. Who is silent is the domain's judgement, what follows from it the engine's.

use std::collections::BTreeMap;

use crate::document::Table;
use crate::domain::health::{Identities, Pulse, Which};
use crate::domain::verdict::CredentialRole;

use super::{CredentialDeclaration, number, text};

/// How many identities one survey may have forced unless the manifest says otherwise.
const FORCE_AT_MOST: u64 = 5;

/// Reads `[nhi]`; the connector's own identities are those that its credentials sign in as, and those
/// that `[nhi.own]` names where a protocol has no sign-in name.
pub(super) fn read(
    root: &Table<'_>,
    credentials: &BTreeMap<CredentialRole, CredentialDeclaration>,
) -> Option<Identities> {
    let table = root.table("nhi")?;
    let accounts = read_accounts(&table);
    let pulse = read_pulse(&table);
    let named = credentials.iter();
    let mut own: BTreeMap<_, _> = named
        .filter_map(|(role, declared)| Some((*role, declared.username.clone()?)))
        .collect();
    if let Some(table) = table.table("own") {
        for key in table.keys() {
            let login = text(&table, &key.value);
            let role = CredentialRole::from_name(&key.value);
            match (role.filter(|role| credentials.contains_key(role)), login) {
                (Some(role), Some(login)) => drop(own.insert(role, login.value)),
                (Some(_), None) => {}
                (None, _) => table.report(
                    key.line,
                    format!("`{}` is none of the connector's credentials", key.value),
                    "name a role of `[credentials]`, such as writer, with the login that it signs in as",
                ),
            }
        }
        table.finish();
    }
    table.finish();
    Some(Identities {
        accounts: accounts?,
        pulse,
        own,
    })
}

fn read_accounts(table: &Table<'_>) -> Option<Which> {
    let all = table.string("accounts");
    let attribute = table.string("attribute");
    let patterns: Vec<_> = table.strings("patterns");
    let line = table.line();
    match (all, attribute) {
        (Some(all), None) if all.value == "all" && patterns.is_empty() => Some(Which::All),
        (None, Some(attribute)) if !patterns.is_empty() => Some(Which::Where {
            attribute: attribute.value,
            patterns: patterns.into_iter().map(|item| item.value).collect(),
        }),
        (_, _) => {
            table.report(
                line,
                "`[nhi]` does not say which accounts are of non-human identities",
                "write `accounts = \"all\"`, or `attribute` with `patterns` such as [\"svc-*\"]",
            );
            None
        }
    }
}

fn read_pulse(table: &Table<'_>) -> Option<Pulse> {
    let updated = table.string("updated");
    let refresh = number(table, "refresh_seconds", 60..=3660 * 86_400);
    let most = number(table, "force_at_most", 0..=1_000_000);
    if updated.is_some() != refresh.is_some() || (updated.is_none() && most.is_some()) {
        table.report(
            table.line(),
            "`updated` and `refresh_seconds` go together, and `force_at_most` with them",
            "name the attribute with the time of the last use or change, and the longest pause",
        );
    }
    Some(Pulse {
        attribute: updated?.value,
        within_seconds: refresh?,
        force_at_most: most.unwrap_or(FORCE_AT_MOST),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    fn read_text(nhi: &str) -> (Option<Identities>, String) {
        let document = Document::parse("crm.toml", nhi).expect("syntax");
        let declared = CredentialDeclaration {
            secret: "local:crm/writer".to_owned(),
            username: Some("svc-clawback".to_owned()),
            alternate: None,
            max_age_seconds: None,
            renew_before_seconds: 0,
            lasts_seconds: None,
            known_by: std::collections::BTreeSet::new(),
            rotation: None,
        };
        let credentials = BTreeMap::from([(CredentialRole::Writer, declared)]);
        let root = document.root();
        let read = read(&root, &credentials);
        root.finish();
        (read, document.take_problems().to_string())
    }

    #[test]
    fn c5_a_manifest_tells_identities_by_pattern_and_pulse() {
        let (read, problems) = read_text(
            "[nhi]\nattribute = \"login\"\npatterns = [\"svc-*\"]\nupdated = \"lastUsed\"\n\
             refresh_seconds = 86400\n",
        );
        assert_eq!(problems, "");
        let read = read.expect("read");
        let pulse = read.pulse.expect("declared");
        assert_eq!((pulse.within_seconds, pulse.force_at_most), (86_400, 5));
        assert_eq!(read.own[&CredentialRole::Writer], "svc-clawback");
    }

    #[test]
    fn h3_the_page_about_identities_reads() {
        let page = include_str!("../../../docs/nhi.md");
        let begin = page.find("```toml\n").expect("a block") + 8;
        let block = &page[begin..begin + page[begin..].find("```").expect("its end")];
        let (read, problems) = read_text(block);
        assert_eq!(problems, "");
        assert_eq!(
            read.expect("read").own[&CredentialRole::Writer],
            "svc-clawback"
        );
    }

    #[test]
    fn h3_what_is_wrong_with_it_is_told_at_once() {
        let (_, problems) = read_text(
            "[nhi]\naccounts = \"some\"\nupdated = \"lastUsed\"\n[nhi.own]\nverifier = \"x\"\n",
        );
        for part in [
            "which accounts are of non-human",
            "go together",
            "`verifier` is none of",
        ] {
            assert!(problems.contains(part), "{part}: {problems}");
        }
    }
}
