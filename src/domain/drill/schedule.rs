//! When a drill begins by itself, and what is wrong where none has passed lately.
//!
//! Owns both answers, from the newest drill of a connector and what is in force. Begins nothing.

use super::super::id::ContentDigest;
use super::super::time::{Timestamp, after};
use super::{Drill, Stage};

/// The longest pause after a drill that failed.
const AGAIN_SECONDS: u64 = 86_400;

/// True when a drill is due. `drilled` says whether what is in force has passed one, or two people
/// do without; `newest` is the last that was begun.
pub fn begins(
    newest: Option<&Drill>,
    manifest: &ContentDigest,
    drilled: bool,
    every_seconds: u64,
    now: Timestamp,
) -> bool {
    let Some(newest) = newest else {
        return true;
    };
    match newest.stage {
        Stage::Looking | Stage::Passing { .. } | Stage::Closing { .. } => false,
        // What came into force since is not tested yet.
        Stage::Ended { .. } if !drilled && newest.manifest.as_ref() != Some(manifest) => true,
        Stage::Ended { at, passed: true } => now >= after(at, every_seconds),
        Stage::Ended { at, passed: false } => now >= after(at, every_seconds.min(AGAIN_SECONDS)),
    }
}

/// What is wrong, in words; `None` where the last drill passed, or one is on its way in time.
/// `since` is when the connector was first known.
pub fn trouble(
    drills: &[Drill],
    since: Option<Timestamp>,
    every_seconds: u64,
    within_seconds: u64,
    now: Timestamp,
) -> Option<String> {
    let ended = drills.iter().find(|drill| drill.ended().is_some());
    if let Some(last) = ended
        && let Some((at, false)) = last.ended()
    {
        return Some(format!("the drill of {at} {}", last.words()));
    }
    // Both passes may take their time.
    let grace = within_seconds.saturating_mul(2);
    let last = ended.and_then(Drill::ended).map(|(at, _)| at);
    let overdue = match last {
        Some(at) => now >= after(at, every_seconds.saturating_add(grace)),
        None => since.is_some_and(|since| now >= after(since, grace)),
    };
    overdue.then(|| {
        let last = last.map_or("there never was one".to_owned(), |at| {
            format!("the last was at {at}")
        });
        format!("its drill is overdue: {last}")
    })
}
