//! `clawback audit`: verify the log, its checkpoints and keys, and report what auditors ask for.
//!
//! Owns how findings are told: each with what is wrong and where. A log that is not whole ends with exit
//! code 1. Judges nothing itself.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Stop};
use super::output::{Output, cut, instant, sheet, table};
use crate::app::{audit, report, vault};
use crate::domain::audit::{Digest, Dropped, Mark, Signed};
use crate::domain::time::Timestamp;

/// A public key as `audit keys` prints it: a mistyped one is no forgery.
pub(super) fn public_key(text: &str) -> Result<String, String> {
    let text = text.trim();
    let whole = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !whole {
        return Err(
            "a key is 64 hexadecimal digits, as `clawback audit keys` prints it".to_owned(),
        );
    }
    Ok(text.to_ascii_lowercase())
}

/// What to do with the log.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read the whole log and every recorded row; exit code 1 when something is not as it was written.
    Verify {
        /// The public key that signed the first checkpoint, as `audit keys` printed it.
        #[arg(long, value_parser = public_key, value_name = "HEX")]
        key: Option<String>,
        /// A checkpoint that was noted elsewhere, as NUMBER:DIGEST; it must still be there.
        #[arg(long, value_name = "NUMBER:DIGEST")]
        noted: Option<String>,
        /// Only from here on: a day, an instant, or the number of a link.
        #[arg(long, value_name = "DAY|LINK")]
        from: Option<String>,
        /// Only up to here: a day, an instant, or the number of a link.
        #[arg(long, value_name = "DAY|LINK")]
        to: Option<String>,
    },
    /// The signed checkpoints with their digests, newest first, to be noted elsewhere.
    Checkpoints {
        /// At most so many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Make one now, if anything waits for it.
        #[arg(long)]
        now: bool,
    },
    /// The public keys that signed, oldest first.
    Keys,
    /// Who left when, contained when, removed when, how proved, what was open and why.
    Report {
        #[command(flatten)]
        period: Period,
        /// How it is printed; `--json` means `json`.
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// The same as OCSF events for a SIEM, one on each line.
    Ocsf {
        #[command(flatten)]
        period: Period,
    },
    /// Say what is older than its retention and may go, or let it go under a signed tombstone.
    Drop(super::retention::Dropping),
    /// Change the signing key: the old one signs the new one's public half.
    ChangeKey,
}

/// Cases whose access was to end in this time.
#[derive(Debug, Args)]
pub struct Period {
    /// From this day or instant on (UTC), for example 2026-10-01.
    #[arg(long)]
    from: String,
    /// Before this day or instant (UTC).
    #[arg(long)]
    to: String,
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For spreadsheets (RFC 4180).
    Csv,
    /// For programs.
    Json,
}

impl Period {
    /// From when until before when. A time that is over before it begins, or has not begun, would be
    /// told as one in which nobody left.
    fn instants(&self, now: Timestamp) -> anyhow::Result<(Timestamp, Timestamp)> {
        let (from, to) = (day(&self.from)?, day(&self.to)?);
        begun(from, &self.from, now)?;
        if from >= to {
            return Err(unreadable(format!(
                "nothing lies between `--from {}` and `--to {}`: `--to` is the first day or instant \
                 that is left out, and comes after `--from`",
                self.from, self.to
            ))
            .into());
        }
        Ok((from, to))
    }
}

fn begun(from: Timestamp, text: &str, now: Timestamp) -> Result<(), Stop> {
    if from > now {
        return Err(unreadable(format!(
            "`--from {text}` is in the future; it is {} now",
            instant(now)
        )));
    }
    Ok(())
}

fn unreadable(message: String) -> Stop {
    Stop::Usage {
        code: "CB-APP-6",
        message,
    }
}

/// An instant, or the beginning of a day in UTC.
fn day(text: &str) -> anyhow::Result<Timestamp> {
    let midnight = format!("{text}T00:00:00Z");
    let read = text.parse().or_else(|_| midnight.parse());
    Ok(read.map_err(|_| {
        unreadable(format!(
            "`{text}` is neither a day (2026-10-01) nor an instant (2026-10-01T12:00:00Z)"
        ))
    })?)
}

/// A place in the log.
fn mark(text: &str) -> anyhow::Result<Mark> {
    match text.parse() {
        Ok(number) => Ok(Mark::Link(number)),
        Err(_) => Ok(Mark::At(day(text)?)),
    }
}

/// The part of the log that is meant.
fn part(
    from: Option<&str>,
    to: Option<&str>,
    now: Timestamp,
) -> anyhow::Result<(Option<Mark>, Option<Mark>)> {
    let marks = (from.map(mark).transpose()?, to.map(mark).transpose()?);
    let (text, until) = (from.unwrap_or_default(), to.unwrap_or_default());
    let reversed = match marks {
        (Some(Mark::At(from)), Some(Mark::At(to))) => from > to,
        (Some(Mark::Link(from)), Some(Mark::Link(to))) => from > to,
        _ => false,
    };
    if reversed {
        return Err(unreadable(format!(
            "`--from {text}` comes after `--to {until}`: there is nothing between them"
        ))
        .into());
    }
    if let Some(Mark::At(from)) = marks.0 {
        begun(from, text, now)?;
    }
    Ok(marks)
}

/// Carries out the command.
pub async fn run(context: &Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Verify {
            key,
            noted,
            from,
            to,
        } => verify(context, key, noted, (from, to)).await,
        Command::Checkpoints { limit, now } => checkpoints(context, limit, now).await,
        Command::Keys => keys(context).await,
        Command::Report { period, format } => report_on(context, &period, format).await,
        Command::Ocsf { period } => ocsf(context, &period).await,
        Command::Drop(wanted) => super::retention::run(context, wanted).await,
        Command::ChangeKey => change_key(context).await,
    }
}

async fn verify(
    context: &Context,
    key: Option<String>,
    noted: Option<String>,
    (from, to): (Option<String>, Option<String>),
) -> anyhow::Result<Exit> {
    let part = part(from.as_deref(), to.as_deref(), context.clock.now())?;
    let noted = noted.map(|text| read_noted(&text)).transpose()?;
    let store = context.store().await?;
    let tell = |count: u64| Output::note(&format!("{count} links and rows read"));
    let by_log = key.is_none();
    let mut verified = audit::verify_part(store.as_ref(), key, noted, part, tell).await?;
    if by_log {
        // An auditor may have the database and not the vault.
        let settings = context.settings()?;
        match vault::open(&settings, &context.clock) {
            Ok(vault) => {
                let (vault, now) = (vault.as_ref(), context.clock.now());
                verified =
                    audit::by_own_key(verified, store.as_ref(), vault, &settings, now).await?;
            }
            Err(error) => Output::note(&format!(
                "verified by the key that the log itself names, for the vault cannot be opened ({error}); \
                 give --key"
            )),
        }
    }
    let (settings, clock) = (context.settings()?, context.clock.as_ref());
    let (store, patience) = (store.as_ref(), audit::SIGNED_WITHIN);
    let verified = audit::waits_unsigned(verified, store, &settings, clock, patience).await?;
    let whole = verified.findings.is_empty();
    let data = json!({
        "whole": whole,
        "findings": verified.findings,
        "looked_at": verified.tally,
    });
    context.output.data(&data, || {
        let mut lines: Vec<_> = verified.findings.iter().map(ToString::to_string).collect();
        lines.extend(verified.tally.dropped.iter().map(dropped));
        lines.push(verified.words());
        lines.join("\n")
    })?;
    Ok(if whole { Exit::Done } else { Exit::Failed })
}

fn dropped(one: &Dropped) -> String {
    format!(
        "dropped under tombstone {}: what had ended by {} ({} cases, {} links up to checkpoint {}), \
         by {} on {}: {}",
        one.number,
        instant(one.cut),
        one.cases,
        one.links,
        one.through,
        one.by,
        instant(one.at),
        one.reason
    )
}

fn read_noted(text: &str) -> anyhow::Result<(i64, Digest)> {
    let parts = text.split_once(':');
    let read =
        parts.and_then(|(number, digest)| Some((number.parse().ok()?, digest.parse().ok()?)));
    Ok(read.ok_or_else(|| {
        unreadable(format!(
            "`{text}` is not NUMBER:DIGEST as `clawback audit checkpoints` prints it"
        ))
    })?)
}

async fn checkpoints(context: &Context, limit: u32, now: bool) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    if now {
        let settings = context.settings()?;
        let vault = vault::open(&settings, &context.clock)?;
        let clock = context.clock.as_ref();
        audit::checkpoint(store.as_ref(), vault.as_ref(), &settings, clock, 0).await?;
    }
    let mut all = store.checkpoints_signed().await?;
    all.reverse();
    cut(&mut all, limit, "--limit N");
    let data: Vec<Value> = all.iter().map(as_json).collect();
    context.output.data(&data.into(), || {
        let rows = all.iter().map(|signed| {
            let says = signed.read();
            vec![
                format!("{}:{}", signed.number, signed.digest()),
                says.as_ref().map_or(String::new(), |one| instant(one.at)),
                says.map_or(String::new(), |one| one.links.to_string()),
            ]
        });
        table(
            &["noted as", "made", "links"],
            rows.collect(),
            "no checkpoint yet",
        )
    })?;
    Ok(Exit::Done)
}

fn as_json(signed: &Signed) -> Value {
    json!({
        "number": signed.number,
        "digest": signed.digest(),
        "text": signed.text,
        "signature": signed.signature,
    })
}

async fn keys(context: &Context) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    let settings = context.settings()?;
    let vault = vault::open(&settings, &context.clock)?;
    let now = audit::signer(
        store.as_ref(),
        vault.as_ref(),
        &settings,
        context.clock.now(),
    )
    .await?;
    let mut keys: Vec<String> = Vec::new();
    for signed in audit::signed_so_far(store.as_ref()).await? {
        if let Some(says) = signed.read()
            && keys.last() != Some(&says.key)
        {
            keys.push(says.key);
        }
    }
    if keys.last().map(String::as_str) != Some(now.public()) {
        keys.push(now.public().to_owned());
    }
    context
        .output
        .data(&json!({ "keys": keys, "current": now.public() }), || {
            keys.join("\n")
        })?;
    Ok(Exit::Done)
}

async fn change_key(context: &Context) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    let settings = context.settings()?;
    let vault = vault::open(&settings, &context.clock)?;
    let changed = audit::change_key(
        store.as_ref(),
        vault.as_ref(),
        &settings,
        context.clock.now(),
    )
    .await?;
    let Some((old, new)) = changed else {
        return Err(Stop::Refused {
            code: "CB-APP-7".to_owned(),
            message: "another process makes a checkpoint at this moment; try again".to_owned(),
        }
        .into());
    };
    let data = json!({ "old": old, "new": new });
    context.output.data(&data, || {
        sheet(&[("old", old.clone()), ("new", new.clone())])
    })?;
    Output::note("give the new key to your auditors; keep the old one for what it has signed");
    Ok(Exit::Done)
}

async fn report_on(context: &Context, period: &Period, format: Format) -> anyhow::Result<Exit> {
    let (from, to) = period.instants(context.clock.now())?;
    let store = context.store().await?;
    let rows = report::rows(store.as_ref(), from, to).await?;
    if format == Format::Csv && !context.output.json {
        Output::text(&report::csv(&rows))?;
        return Ok(Exit::Done);
    }
    let json = context.output.json || format == Format::Json;
    Output { json }.data(&report::as_json(&rows), || {
        let cells = rows.iter().map(|row| row.cells.to_vec()).collect();
        table(&report::COLUMNS, cells, "nobody left in this time")
    })?;
    Ok(Exit::Done)
}

async fn ocsf(context: &Context, period: &Period) -> anyhow::Result<Exit> {
    let (from, to) = period.instants(context.clock.now())?;
    let store = context.store().await?;
    for event in crate::app::ocsf::events(store.as_ref(), from, to).await? {
        Output::text(&event.to_string())?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_holds_nothing_is_refused_and_not_reported_on() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().expect("an instant");
        let period = |from: &str, to: &str| {
            let period = Period {
                from: from.to_owned(),
                to: to.to_owned(),
            };
            period.instants(now).map_err(|error| error.to_string())
        };
        assert!(period("2026-10-01", "2026-11-01").is_ok());
        assert!(period("2026-11-20", "2027-01-01").is_ok(), "so far");
        for (from, to, why) in [
            ("2026-11-01", "2026-10-01", "nothing lies between"),
            ("2026-11-01", "2026-11-01", "nothing lies between"),
            ("2026-11-21", "2026-11-22", "in the future"),
            ("2026-02-30", "2026-11-01", "neither a day"),
        ] {
            let words = period(from, to).expect_err("is refused");
            assert!(
                words.starts_with("CB-APP-6") && words.contains(why),
                "{words}"
            );
        }
    }

    #[test]
    fn a_part_of_the_log_that_is_none_is_refused() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().expect("an instant");
        for (from, to) in [
            (Some("7"), Some("7")),
            (Some("3"), Some("2026-11-01")),
            (Some("2026-11-01"), None),
            (None, Some("2027-01-01")),
        ] {
            assert!(part(from, to, now).is_ok(), "{from:?} {to:?}");
        }
        for (from, to) in [
            (Some("8"), Some("7")),
            (Some("2026-11-02"), Some("2026-11-01")),
            (Some("2026-12-01"), None),
        ] {
            let error = part(from, to, now).expect_err("is refused");
            assert!(error.to_string().starts_with("CB-APP-6"), "{error}");
        }
    }
}
