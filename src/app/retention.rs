//! Letting go what is older than its retention: verified first, signed, and covered by a checkpoint after.
//!
//! Owns the order of these three, and the daily sweep. Which cases must stay is the store's, what a
//! tombstone says `domain::audit`'s matter.

use std::sync::Mutex;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{AppError, Parts, audit};
use crate::config::Settings;
use crate::domain::audit::{Epitaph, Signed, Tombstone, Verifier, closing, cut};
use crate::domain::time::{Clock, Timestamp};
use crate::secrets::Vault;
use crate::store::audit::tables;
use crate::store::{Dropping, Store};

/// Links under one tombstone: writers wait while they go.
const LINKS: u64 = 50_000;
/// Cases under one tombstone.
const CASES: u32 = 1000;
/// Tombstones in one go at most; the next day goes on.
const TOMBSTONES: usize = 100;
const DAY: Duration = Duration::from_secs(86_400);
/// Who lets go what no person did.
const SWEEP: &str = "clawback, daily";

/// Who lets go, and why.
#[derive(Debug, Clone)]
pub struct Said {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// How long records are kept, in days.
    pub retain_days: u32,
}

/// What the next tombstone would say; `None` when nothing is old enough. Changes nothing.
///
/// # Errors
/// When the store fails, or the log is not whole.
pub async fn look(
    store: &dyn Store,
    said: &Said,
    now: Timestamp,
) -> Result<Option<Tombstone>, AppError> {
    let wanted = wanted(store, said, now).await?;
    let told = Mutex::new(None);
    let seal = |stone: Tombstone| {
        if let Ok(mut told) = told.lock() {
            *told = Some(stone);
        }
        None
    };
    store.drop_period(&wanted, &seal).await?;
    let told = told.into_inner().ok().flatten();
    Ok(told.filter(says_something))
}

/// Lets everything go that is old enough, one tombstone after the other, and makes a checkpoint that
/// covers them.
///
/// # Errors
/// When store or vault fails, or the log is not whole. What an earlier tombstone stands for is gone then.
pub async fn carry_out(
    store: &dyn Store,
    vault: &dyn Vault,
    settings: &Settings,
    clock: &dyn Clock,
    said: &Said,
) -> Result<Vec<Tombstone>, AppError> {
    let mut made = Vec::new();
    while made.len() < TOMBSTONES {
        let now = clock.now();
        let wanted = wanted(store, said, now).await?;
        let signer = audit::signer(store, vault, settings, now).await?;
        let after = store.last_checkpoint().await?.map_or(0, |one| one.number);
        let seal = |mut stone: Tombstone| {
            // With another checkpoint since, another key may be in force.
            if !says_something(&stone) || stone.after != after {
                return None;
            }
            signer.public().clone_into(&mut stone.key);
            let text = stone.text();
            Some(Signed {
                number: stone.number,
                signature: signer.sign(text.as_bytes()),
                text,
            })
        };
        let signed = store.drop_period(&wanted, &seal).await?;
        let Some(stone) = signed.as_ref().and_then(Tombstone::read) else {
            break;
        };
        tracing::info!(
            number = stone.number,
            cases = stone.cases,
            links = stone.links,
            "a closed period was let go"
        );
        made.push(stone);
        audit::checkpoint(store, vault, settings, clock, 0).await?;
    }
    Ok(made)
}

fn says_something(stone: &Tombstone) -> bool {
    stone.links > 0 || !stone.rows.is_empty()
}

/// A signature must not bless what somebody else wrote, so nothing goes from a log that is not whole.
async fn wanted(store: &dyn Store, said: &Said, now: Timestamp) -> Result<Dropping, AppError> {
    let follows = store.tombstones().await?.pop();
    let cut = cut(now, said.retain_days);
    let checkpoints = store.checkpoints_signed().await?;
    let closing = closing(&checkpoints, cut, LINKS);
    let until = closing.as_ref().and_then(Signed::read);
    let mut verifier = Verifier::new(tables::ALL, None);
    store.inspect(&mut verifier, &audit::signed_by).await?;
    let (findings, _, standing) = verifier.standing(until.map_or(0, |says| says.until));
    if let Some(first) = findings.first() {
        return Err(AppError::NotWhole {
            count: findings.len(),
            first: first.to_string(),
        });
    }
    let epitaph = Epitaph {
        at: now,
        by: said.by.clone(),
        reason: said.reason.clone(),
        retain_days: said.retain_days,
        cut,
        closing,
    };
    Ok(Dropping {
        epitaph,
        follows,
        standing,
        cases: CASES,
    })
}

/// Lets go once a day what is older than the configured retention, until it is told to stop.
pub(super) async fn sweep(parts: Parts, stop: CancellationToken) {
    let settings = parts.settings().clone();
    let (Some(retain_days), true) = (settings.audit.retain_days, settings.audit.drop_daily) else {
        return;
    };
    let said = Said {
        by: SWEEP.to_owned(),
        reason: format!("older than {retain_days} days"),
        retain_days,
    };
    loop {
        let (store, vault) = (parts.store.as_ref(), parts.vault.as_ref());
        let swept = carry_out(store, vault, &settings, parts.clock.as_ref(), &said);
        tokio::select! {
            swept = swept => if let Err(error) = swept {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "nothing more was let go; tomorrow it is tried again"
                );
            },
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(DAY) => {}
            () = stop.cancelled() => return,
        }
    }
}
