//! From one survey to the next standing.
//!
//! Owns what a survey changes: the state, the baseline, the sample, when the next one is due, and
//! what must be seen again when a connector is back. Pure; the store commits what comes out.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::super::outcome::Failure;
use super::super::time::{Timestamp, after};
use super::super::verdict::CredentialRole;
use super::{Answer, Bounds, Recheck, Sample, Standing, State, Trouble};

/// The longest pause after a survey that was not good.
const LONGEST_RETRY_SECONDS: u64 = 300;

/// What a survey came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// When it began; what changed later is not covered.
    pub at: Timestamp,
    /// When it ended.
    pub until: Timestamp,
    /// What the target showed.
    pub answer: Result<Answer, Failure>,
    /// Age in seconds of each of the connector's own secrets.
    pub credentials: BTreeMap<CredentialRole, u64>,
    /// What is wrong with its drills.
    pub undrilled: Option<String>,
}

/// Takes a survey in: the standing afterwards, and the sample.
pub fn advance(before: &Standing, survey: &Survey, bounds: &Bounds) -> (Standing, Sample) {
    let mut after = before.clone();
    let baseline = before.baseline.as_ref();
    let baseline = baseline.filter(|baseline| baseline.manifest == bounds.manifest);
    after.first = before.first.or(Some(survey.at));
    after.trouble = match &survey.answer {
        Ok(answer) => answer.trouble(baseline, before.deleted, bounds),
        Err(failure) => Some(Trouble::Failed {
            class: failure.class,
            code: failure.code.clone(),
            message: failure.message.clone(),
        }),
    };
    if let Ok(answer) = &survey.answer {
        after.accounts = Some(answer.accounts);
        after.nhis = answer.identities.as_ref().map(|shown| shown.count);
        listen(before, &mut after, answer, survey, bounds);
        if after.trouble.is_none() {
            after.surveyed = before.surveyed.max(Some(survey.at));
            after.read = before.read.max(Some(survey.at));
            after.baseline = Some(answer.baseline(bounds));
            after.deleted = 0;
        }
    }
    after.undrilled.clone_from(&survey.undrilled);
    (after.state, after.reason) = after.judged(bounds, survey.until);
    if after.state != before.state || after.since.is_none() {
        after.since = Some(survey.until);
    }
    come_and_go(before, &mut after, survey, bounds);
    let sample = sample(&mut after, baseline.map(|known| known.accounts), survey);
    (after, sample)
}

/// Which identities' records have stopped updating. Data that are not believed make none silent, and
/// when too many fall silent at once it is the data that are not believed.
fn listen(
    before: &Standing,
    after: &mut Standing,
    answer: &Answer,
    survey: &Survey,
    bounds: &Bounds,
) {
    let Some((nhi, shown)) = bounds.nhi.as_ref().zip(answer.identities.as_ref()) else {
        after.silent.clear();
        return;
    };
    if after.trouble.is_some() {
        return;
    }
    // What a copy shows is as old as the copy.
    let age = i64::try_from(answer.data_age_seconds).unwrap_or(i64::MAX);
    let age = SignedDuration::from_secs(age);
    let at = survey.at.checked_sub(age).unwrap_or(survey.at);
    let silent = nhi.silences(&before.silent, shown, at);
    match nhi.hushed(&before.silent, &silent) {
        Some(hushed) => after.trouble = Some(Trouble::Drifted(hushed)),
        None => after.silent = silent,
    }
}

/// Remembers since when the connector was away, and what to see again when it is back.
fn come_and_go(before: &Standing, after: &mut Standing, survey: &Survey, bounds: &Bounds) {
    // Nobody may have looked for so long that it went stale unseen.
    let (was, _) = before.judged(bounds, survey.at);
    let known = before.surveyed.or(before.first);
    let away = before.away_since.or(known.filter(|_| was.is_away()));
    match after.state {
        State::Failing | State::Stale | State::Drifted => {
            after.away_since = away.or(known).or(Some(survey.at));
        }
        State::Healthy | State::Undrilled => {
            after.away_since = None;
            if let Some(since) = away {
                let open = after.recheck.take();
                let first = open.as_ref().map_or(since, |open| open.since.min(since));
                // What was seen again before is not owed anew: else a recheck of a target whose surveys take
                // longer than it may go unseen would never come to its end.
                let seen = open.filter(|open| open.until <= since);
                after.recheck = Some(Recheck {
                    since: first,
                    until: survey.at,
                    done: seen.as_ref().and_then(|open| open.done),
                    tries: seen.map_or(0, |open| open.tries),
                });
            }
        }
        State::Unknown => {}
    }
}

fn sample(after: &mut Standing, known: Option<u64>, survey: &Survey) -> Sample {
    let answer = survey.answer.as_ref().ok();
    let took = survey.until.duration_since(survey.at).as_millis();
    let count = |accounts: u64| i64::try_from(accounts).unwrap_or(i64::MAX);
    Sample {
        at: survey.at,
        took_milliseconds: u64::try_from(took).unwrap_or(0),
        state: after.state,
        reason: after.reason.clone(),
        surveyed: after.surveyed,
        read: after.read,
        write: after.write,
        accounts: answer.map(|answer| answer.accounts),
        nhis: after.nhis.filter(|_| answer.is_some()),
        silent: after.silent(),
        change: answer
            .zip(known)
            .map(|(answer, known)| count(answer.accounts).saturating_sub(count(known))),
        completeness: answer.map(|answer| answer.completeness),
        data_age_seconds: answer.map(|answer| answer.data_age_seconds),
        fields: answer.map_or_else(BTreeMap::new, |answer| answer.fields.clone()),
        shape: answer.map(Answer::shape),
        failure: match &survey.answer {
            Ok(_) => None,
            Err(failure) => Some((failure.class, failure.code.clone())),
        },
        calls: std::mem::take(&mut after.calls),
        credentials: survey.credentials.clone(),
        seen_again: 0,
        came_back: 0,
    }
}

/// When the next survey is due: at half of the interval, so that one may fail; sooner after one that
/// was not good. `fraction` (0 to 1) spreads connectors, towards sooner.
pub fn next_survey(
    standing: &Standing,
    bounds: &Bounds,
    now: Timestamp,
    fraction: f64,
) -> Timestamp {
    let half = (bounds.refresh_seconds / 2).max(1);
    let pause = if standing.trouble.is_some() {
        (half / 4).clamp(1, LONGEST_RETRY_SECONDS)
    } else {
        half
    };
    let sooner = (pause as f64 * 0.1 * fraction.clamp(0.0, 1.0)) as u64;
    after(now, pause - sooner.min(pause - 1))
}
