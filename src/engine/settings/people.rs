//! `[tasks]`: when people work, how long they may take, who is told when they take longer.
//!
//! Owns the reading of that table into [`People`]. What a deadline is and when it is escalated is the
//! domain's. All problems go into the document.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;

use crate::document::Table;
use crate::domain::calendar::{Calendar, NoWork};
use crate::domain::escalation::{People, Rank};

const WEEK: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

/// Reads the `[tasks]` table; problems go into its document.
pub fn read(table: &Table<'_>) -> People {
    let usual = People::default();
    let desks = table.strings("escalate_to").into_iter();
    let people = People {
        calendar: table.table("calendar").and_then(|table| calendar(&table)),
        hours: table
            .table("deadline_hours")
            .map(|table| hours(&table))
            .unwrap_or_default(),
        desks: desks.map(|item| item.value).collect(),
        again_hours: table
            .integer("escalate_again_hours", 1..=24 * 30)
            .map_or(usual.again_hours, |item| item.value.unsigned_abs()),
        pause_hours: table
            .integer("escalate_pause_hours", 1..=24 * 365)
            .map_or(usual.pause_hours, |item| item.value.unsigned_abs()),
    };
    table.finish();
    people
}

fn hours(table: &Table<'_>) -> BTreeMap<Rank, u64> {
    let hours = Rank::ALL.into_iter().filter_map(|rank| {
        let item = table.integer(rank.as_str(), 1..=24 * 365)?;
        Some((rank, item.value.unsigned_abs()))
    });
    let hours = hours.collect();
    table.finish();
    hours
}

fn calendar(table: &Table<'_>) -> Option<Calendar> {
    let zone = table.required_string("zone").and_then(|item| {
        let zone = TimeZone::get(&item.value).ok();
        if zone.is_none() {
            table.report(
                item.line,
                format!("`{}` is not an IANA time zone", item.value),
                "write a name such as Europe/Berlin",
            );
        }
        zone
    });
    let days = days(table);
    let from = time(table, "from");
    let until = time(table, "until");
    let holidays = holidays(table);
    let line = table.line();
    table.finish();
    let calendar = Calendar::new(zone?, &days?, (from?, until?), holidays);
    match calendar {
        Ok(calendar) => Some(calendar),
        Err(none) => {
            let remedy = match none {
                NoWork::Days => "name at least one day in `days`",
                NoWork::Hours => "let `from` be before `until`",
            };
            table.report(line, none.to_string(), remedy);
            None
        }
    }
}

fn days(table: &Table<'_>) -> Option<Vec<Weekday>> {
    if !table.has("days") {
        return Some(WEEK[..5].iter().map(|(_, day)| *day).collect());
    }
    let mut days = Some(Vec::new());
    for item in table.strings("days") {
        let day = WEEK.iter().find(|(name, _)| *name == item.value);
        match (day, &mut days) {
            (Some((_, day)), Some(days)) => days.push(*day),
            (Some(_), None) => {}
            (None, _) => {
                let names: Vec<_> = WEEK.iter().map(|(name, _)| *name).collect();
                table.report(
                    item.line,
                    format!("`{}` is no day of the week", item.value),
                    format!("use {}", names.join(", ")),
                );
                days = None;
            }
        }
    }
    days
}

fn time(table: &Table<'_>, key: &str) -> Option<Time> {
    let item = table.required_string(key)?;
    let time = item.value.parse::<Time>().ok();
    if time.is_none() {
        table.report(
            item.line,
            format!("`{key}` is `{}`", item.value),
            "write a time such as 09:00",
        );
    }
    time
}

fn holidays(table: &Table<'_>) -> BTreeSet<Date> {
    let mut holidays = BTreeSet::new();
    for item in table.strings("holidays") {
        match item.value.parse::<Date>() {
            Ok(date) => {
                holidays.insert(date);
            }
            Err(_) => table.report(
                item.line,
                format!("`{}` is no date", item.value),
                "write a date such as 2026-12-25",
            ),
        }
    }
    holidays
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    fn people(text: &str) -> Result<People, Vec<(u32, String)>> {
        let document = Document::parse("clawback.toml", text).expect("is TOML");
        let people = read(&document.root());
        let problems = document.take_problems().0;
        if problems.is_empty() {
            return Ok(people);
        }
        Err(problems
            .into_iter()
            .map(|problem| (problem.line, problem.message))
            .collect())
    }

    #[test]
    fn f5_hours_holidays_and_desks_are_read() {
        let people = people(
            "escalate_to = [\"iam-desk\"]\nescalate_again_hours = 2\nescalate_pause_hours = 8\n\
             [deadline_hours]\nurgent = 1\nnormal = 16\n\
             [calendar]\nzone = \"Europe/Berlin\"\nfrom = \"09:00\"\nuntil = \"17:00\"\n\
             holidays = [\"2026-12-25\"]\n",
        )
        .expect("is right");
        assert_eq!(people.desks, ["iam-desk"]);
        assert_eq!((people.again_hours, people.pause_hours), (2, 8));
        assert_eq!(
            people.hours,
            BTreeMap::from([(Rank::Urgent, 1), (Rank::Normal, 16)])
        );
        // The Thursday before Christmas at 16:00, and two working days later.
        let at = "2026-12-24T15:00:00Z".parse().expect("an instant");
        let due = people.deadline(None, 30, at).to_string();
        assert_eq!(due, "2026-12-29T15:00:00Z");
        // What is urgent runs around the clock.
        let due = people.deadline(None, 0, at).to_string();
        assert_eq!(due, "2026-12-24T16:00:00Z");
    }

    #[test]
    fn h3_what_is_wrong_is_told_at_once_with_lines() {
        let problems = people(
            "[deadline_hours]\nurgent = 0\n[calendar]\nzone = \"Mars/Olympus\"\n\
             days = [\"monday\", \"someday\"]\nfrom = \"9 o'clock\"\nuntil = \"17:00\"\n\
             holidays = [\"Christmas\"]\nhollidays = []\n",
        )
        .expect_err("is wrong");
        let mut lines: Vec<_> = problems.iter().map(|(line, _)| *line).collect();
        lines.sort_unstable();
        assert_eq!(lines, [2, 4, 5, 6, 8, 9], "{problems:?}");
        let none = people("[calendar]\nzone = \"UTC\"\nfrom = \"17:00\"\nuntil = \"09:00\"\n");
        assert_eq!(none.expect_err("is wrong").len(), 1);
    }
}
