//! `clawback connectors health`: how connectors stand, and how one was over time.
//!
//! Owns what a person sees of health. The state is judged for this moment, since what a survey found
//! grows stale by itself. Asks no target.

use serde_json::{Value, json};

use super::super::context::Context;
use super::super::exit::Exit;
use super::super::output::{and_one, cut, instant, sheet, table};
use super::{Watched, age};
use crate::domain::health::{Sample, Standing, State, seconds_between};
use crate::domain::id::ConnectorName;
use crate::domain::time::Timestamp;

/// Samples that are shown unless a time is given.
const SHOWN: u32 = 20;

/// How all connectors stand.
pub(super) async fn all(context: &Context, watched: &[Watched]) -> anyhow::Result<Exit> {
    let standings = context.store().await?.standings().await?;
    let now = context.clock.now();
    let unknown = Standing::default();
    let views: Vec<_> = watched
        .iter()
        .map(|one| View::of(one, standings.get(&one.name).unwrap_or(&unknown), now))
        .collect();
    let data: Value = views.iter().map(View::json).collect();
    context.output.data(&data, || {
        let headings = [
            "connector",
            "state",
            "surveyed",
            "read",
            "write",
            "accounts",
            "why",
        ];
        table(
            &headings,
            views.iter().map(View::row).collect(),
            "no connectors",
        )
    })?;
    Ok(Exit::Done)
}

/// How the one connector stands, and its history.
pub(super) async fn one(
    context: &Context,
    watched: &[Watched],
    since: Option<Timestamp>,
) -> anyhow::Result<Exit> {
    let Some(connector) = watched.first() else {
        return Ok(Exit::Failed);
    };
    let store = context.store().await?;
    let standing = store.standings().await?.remove(&connector.name);
    let limit = if since.is_some() {
        crate::store::SAMPLES_KEPT
    } else {
        SHOWN
    };
    let from = since.unwrap_or(Timestamp::UNIX_EPOCH);
    let mut samples = store.samples(&connector.name, from, and_one(limit)).await?;
    let more = cut(&mut samples, limit, "--since INSTANT");
    let standing = standing.unwrap_or_default();
    let view = View::of(connector, &standing, context.clock.now());
    let mut data = view.json();
    data["samples"] = serde_json::to_value(&samples)?;
    data["more"] = more.into();
    context.output.data(&data, || {
        let rows = samples.iter().map(row).collect();
        let headings = [
            "surveyed", "took", "state", "accounts", "change", "shape", "calls", "why",
        ];
        let history = table(&headings, rows, "never surveyed");
        format!("{}\n\n{history}", view.sheet(samples.first()))
    })?;
    Ok(Exit::Done)
}

/// One connector as it stands now.
struct View<'a> {
    name: &'a ConnectorName,
    refresh_seconds: u64,
    standing: &'a Standing,
    state: State,
    reason: String,
    now: Timestamp,
}

impl<'a> View<'a> {
    fn of(connector: &'a Watched, standing: &'a Standing, now: Timestamp) -> Self {
        let bounds = &connector.bounds;
        let (state, reason) = standing.judged(bounds, now);
        Self {
            name: &connector.name,
            refresh_seconds: bounds.refresh_seconds,
            standing,
            state,
            reason,
            now,
        }
    }

    fn json(&self) -> Value {
        json!({
            "connector": self.name,
            "state": self.state,
            "reason": self.reason,
            "since": self.standing.since,
            "refresh_seconds": self.refresh_seconds,
            "surveyed": self.standing.surveyed,
            "read": self.standing.read,
            "write": self.standing.write,
            "accounts": self.standing.accounts,
            "nhis": self.standing.nhis,
            "silent": self.standing.silent,
            "to_be_seen_again": self.standing.recheck.is_some(),
        })
    }

    fn ago(&self, at: Option<Timestamp>) -> String {
        at.map_or("never".to_owned(), |at| {
            format!("{} ago", age(seconds_between(at, self.now)))
        })
    }

    fn accounts(&self) -> String {
        let accounts = self.standing.accounts;
        accounts.map_or(String::new(), |count| count.to_string())
    }

    /// How many identities there are, and since when the record of which says nothing.
    fn identities(&self) -> String {
        let Some(count) = self.standing.nhis else {
            return String::new();
        };
        let silent = self.standing.silent.values();
        let silent = silent.map(|one| {
            let what = match (one.told, one.forced) {
                (_, Some(at)) => format!("silent, forced {}", instant(at)),
                (true, None) => "silent".to_owned(),
                (false, None) => "tells no update".to_owned(),
            };
            format!("{} since {} ({what})", one.login, instant(one.since))
        });
        let mut told = vec![count.to_string()];
        told.extend(silent);
        told.join("; ")
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.name.to_string(),
            self.state.to_string(),
            self.ago(self.standing.surveyed),
            self.ago(self.standing.read),
            self.ago(self.standing.write),
            self.accounts(),
            self.reason.clone(),
        ]
    }

    fn sheet(&self, last: Option<&Sample>) -> String {
        let listed = |pairs: Vec<String>| pairs.join(", ");
        let fields = last.map(|sample| {
            let fields = sample.fields.iter();
            listed(
                fields
                    .map(|(name, share)| format!("{name} {share} %"))
                    .collect(),
            )
        });
        let secrets = last.map(|sample| {
            let ages = sample.credentials.iter();
            listed(
                ages.map(|(role, seconds)| format!("{} {}", role.as_str(), age(*seconds)))
                    .collect(),
            )
        });
        sheet(&[
            ("connector", self.name.to_string()),
            ("state", format!("{}: {}", self.state, self.reason)),
            ("since", self.standing.since.map_or(String::new(), instant)),
            ("last good survey", self.ago(self.standing.surveyed)),
            ("expected every", age(self.refresh_seconds)),
            ("last good read", self.ago(self.standing.read)),
            ("last good write", self.ago(self.standing.write)),
            ("accounts", self.accounts()),
            ("non-human", self.identities()),
            ("fields", fields.unwrap_or_default()),
            ("age of secrets", secrets.unwrap_or_default()),
        ])
    }
}

fn row(sample: &Sample) -> Vec<String> {
    let failures = sample.calls.failures.iter();
    let failures: Vec<_> = failures
        .map(|(class, count)| format!("{class} {count}"))
        .collect();
    let shape = sample.shape.as_deref().unwrap_or_default();
    vec![
        instant(sample.at),
        format!("{} ms", sample.took_milliseconds),
        sample.state.to_string(),
        sample.accounts.map_or(String::new(), |n| n.to_string()),
        sample.change.map_or(String::new(), |n| format!("{n:+}")),
        shape.to_owned(),
        failures.join(", "),
        sample.reason.clone(),
    ]
}
