//! `clawback audit drop`: let go what is older than its retention, or say what would go.
//!
//! Owns how that is told. Without `--carry-out` nothing is changed.

use clap::Args;
use serde_json::{Value, json};

use super::context::{Acting, Context};
use super::exit::{Exit, Stop};
use super::output::{Output, instant, sheet};
use crate::app::retention::{self, Said};
use crate::app::vault;
use crate::domain::audit::{LEAST_RETAINED_DAYS, Tombstone};

/// How old, by whom and why.
#[derive(Debug, Args)]
pub struct Dropping {
    /// Let it go; without this it is only said what would go first.
    #[arg(long, requires = "reason")]
    carry_out: bool,
    /// Keep records for so many days, rather than `[audit] retain_days`.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(i64::from(LEAST_RETAINED_DAYS)..))]
    retain_days: Option<u32>,
    #[command(flatten)]
    acting: Acting,
    /// Why; it stands in the tombstone.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Carries out the command.
pub async fn run(context: &Context, wanted: Dropping) -> anyhow::Result<Exit> {
    let settings = context.settings()?;
    let Some(retain_days) = wanted.retain_days.or(settings.audit.retain_days) else {
        return Err(Stop::Usage {
            code: "CB-APP-12",
            message: "say how long records are kept: `[audit] retain_days`, or --retain-days"
                .to_owned(),
        }
        .into());
    };
    let said = Said {
        by: wanted.acting.by()?.to_owned(),
        reason: wanted.reason.unwrap_or_default(),
        retain_days,
    };
    let store = context.store().await?;
    let clock = context.clock.as_ref();
    let stones = if wanted.carry_out {
        let vault = vault::open(&settings, &context.clock)?;
        retention::carry_out(store.as_ref(), vault.as_ref(), &settings, clock, &said).await?
    } else {
        let stone = retention::look(store.as_ref(), &said, clock).await?;
        stone.into_iter().collect()
    };
    let data: Vec<Value> = stones.iter().map(as_json).collect();
    let data = json!({ "carried_out": wanted.carry_out, "tombstones": data });
    context.output.data(&data, || {
        if stones.is_empty() {
            return format!("nothing is older than {retain_days} days and may go");
        }
        let told: Vec<_> = stones.iter().map(told).collect();
        told.join("\n\n")
    })?;
    if !wanted.carry_out && !stones.is_empty() {
        Output::note(
            "nothing was changed; --carry-out --reason TEXT lets this go, and what follows it",
        );
    }
    Ok(Exit::Done)
}

fn as_json(stone: &Tombstone) -> Value {
    json!({
        "number": stone.number,
        "cut": stone.cut,
        "through": stone.through(),
        "until": stone.until,
        "links": stone.links,
        "checkpoints": stone.checkpoints,
        "cases": stone.cases,
        "rows": stone.rows,
        "carried": stone.carried,
    })
}

fn told(stone: &Tombstone) -> String {
    let rows = stone.rows.iter();
    let rows: Vec<_> = rows
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    sheet(&[
        ("tombstone", stone.number.to_string()),
        ("ended by", instant(stone.cut)),
        ("cases", stone.cases.to_string()),
        ("rows", rows.join(", ")),
        ("links", stone.links.to_string()),
        (
            "checkpoints",
            format!("{}, up to {}", stone.checkpoints, stone.through()),
        ),
        ("rows that stay", stone.carried.to_string()),
    ])
}
