//! `clawback connectors inventory` and `orphans`: what is known of targets, with its age.
//!
//! Owns what a person sees of accounts as last seen. Asks no target, and removes nothing: an orphan is
//! told, and what is to become of it is a person's decision.

use serde_json::json;

use super::super::context::Context;
use super::super::exit::{Exit, Stop};
use super::super::output::{instant, sheet, table};
use super::{Watched, age};
use crate::domain::access::{Account, AccountState};
use crate::domain::health::{Orphan, orphans, seconds_between};
use crate::domain::id::ConnectorName;
use crate::domain::run::{Run, Stage};
use crate::domain::time::Timestamp;
use crate::store::{KnownAccount, RunsEnded, Store};

/// Ended removals read at once.
const PAGE: u32 = 1000;

/// The accounts of one target, or one of them with its entitlements.
pub(super) async fn inventory(
    context: &Context,
    name: &ConnectorName,
    account: Option<&str>,
) -> anyhow::Result<Exit> {
    let known = context.store().await?.inventory(name).await?;
    let (whole_at, accounts) = known.map_or((None, Vec::new()), |k| (k.whole_at, k.accounts));
    let now = context.clock.now();
    if let Some(wanted) = account {
        let found = accounts
            .iter()
            .find(|known| known.account.id.as_str() == wanted || known.account.login == wanted);
        let found = found.ok_or_else(|| Stop::NotFound {
            what: "account",
            name: wanted.to_owned(),
        })?;
        let data = serde_json::to_value(found)?;
        context.output.data(&data, || told(found, now))?;
        return Ok(Exit::Done);
    }
    let data = json!({ "connector": name, "whole_at": whole_at, "accounts": accounts });
    context.output.data(&data, || {
        let whole = whole_at.map_or("never".to_owned(), instant);
        let headings = [
            "account",
            "login",
            "state",
            "entitlements",
            "seen",
            "by",
            "listing",
        ];
        let rows = accounts.iter().map(|known| row(known, now)).collect();
        let accounts = table(&headings, rows, "no accounts are known");
        format!("last complete listing: {whole}\n\n{accounts}")
    })?;
    Ok(Exit::Done)
}

fn state(account: &Account) -> &'static str {
    match account.state {
        AccountState::Enabled => "enabled",
        AccountState::Disabled => "disabled",
        AccountState::NotTold => "not told",
    }
}

fn seen(known: &KnownAccount, now: Timestamp) -> String {
    format!("{} ago", age(seconds_between(known.seen, now)))
}

fn listing(known: &KnownAccount) -> String {
    if known.whole {
        "complete"
    } else {
        "incomplete"
    }
    .to_owned()
}

fn row(known: &KnownAccount, now: Timestamp) -> Vec<String> {
    vec![
        known.account.id.to_string(),
        known.account.login.clone(),
        state(&known.account).to_owned(),
        known.account.entitlements.len().to_string(),
        seen(known, now),
        known.credential.as_str().to_owned(),
        listing(known),
    ]
}

fn told(known: &KnownAccount, now: Timestamp) -> String {
    let account = &known.account;
    let first = account.attributes.iter();
    let further = account.further.iter();
    let further = further.flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    let attributes: Vec<_> = first
        .chain(further)
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let entitlements = account.entitlements.iter();
    let entitlements: Vec<_> = entitlements
        .map(|one| format!("{:?} {} ({})", one.kind, one.name, one.id))
        .collect();
    sheet(&[
        ("account", account.id.to_string()),
        ("login", account.login.clone()),
        ("name", account.display_name.clone().unwrap_or_default()),
        ("state", state(account).to_owned()),
        (
            "seen",
            format!("{} ({})", instant(known.seen), seen(known, now)),
        ),
        ("by", known.credential.as_str().to_owned()),
        ("listing", listing(known)),
        ("attributes", attributes.join("\n")),
        ("entitlements as listed", entitlements.join("\n")),
    ])
}

/// Accounts without a subject, of these connectors.
pub(super) async fn lost(context: &Context, connectors: &[Watched]) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    let now = context.clock.now();
    let mut found: Vec<(ConnectorName, Orphan)> = Vec::new();
    for connector in connectors {
        let name = &connector.name;
        let Some(known) = store.inventory(name).await? else {
            continue;
        };
        let ended = ended(store.as_ref(), name, now).await?;
        let accounts = known.accounts.iter().map(|one| (&one.account, one.seen));
        let of_this = orphans(&connector.rule, accounts, &ended).into_iter();
        found.extend(of_this.map(|orphan| (name.clone(), orphan)));
    }
    let data = found
        .iter()
        .map(|(name, orphan)| json!({ "connector": name, "orphan": orphan }))
        .collect();
    context.output.data(&data, || {
        let rows = found.iter().map(|(name, orphan)| {
            vec![
                name.to_string(),
                orphan.id.to_string(),
                orphan.login.clone(),
                instant(orphan.seen),
                orphan.why.clone(),
            ]
        });
        let headings = ["connector", "account", "login", "seen", "why"];
        table(&headings, rows.collect(), "no orphans are known")
    })?;
    Ok(Exit::Done)
}

/// Every removal at this target that has ended by proof or on a person's word.
async fn ended(
    store: &dyn Store,
    connector: &ConnectorName,
    now: Timestamp,
) -> anyhow::Result<Vec<Run>> {
    let mut all: Vec<Run> = Vec::new();
    loop {
        let after = all.last().and_then(|run| match run.stage {
            Stage::Ended { at, .. } => Some((at, run.id)),
            Stage::Due { .. } | Stage::Gathering { .. } | Stage::WithPerson { .. } => None,
        });
        let which = RunsEnded {
            connector: connector.clone(),
            since: Timestamp::UNIX_EPOCH,
            until: now,
            after,
            limit: PAGE,
        };
        let page = store.runs_ended(&which).await?;
        let last = page.len() < PAGE as usize;
        all.extend(page);
        if last {
            // A canary is made anew after each drill, and is nobody's leftover.
            all.retain(|run| run.drill().is_none());
            return Ok(all);
        }
    }
}
