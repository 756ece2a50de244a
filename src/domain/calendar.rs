//! When people work: time zone, working days and hours, holidays.
//!
//! Owns the addition of working time to an instant. Deadlines that people are to keep run by it;
//! what is urgent does not. Pure: the calendar comes from the configuration, the instant is given.

use std::collections::BTreeSet;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan, Zoned};

use super::time::{Timestamp, after};

/// No deadline lies further ahead than this many days, whatever the calendar says.
const DAYS_AHEAD: u32 = 366 * 5;

/// Working days and hours in one time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    zone: TimeZone,
    days: [bool; 7],
    from: Time,
    until: Time,
    holidays: BTreeSet<Date>,
}

/// Why such a calendar has no working time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoWork {
    /// No day of the week is a working day.
    #[error("no day of the week is a working day")]
    Days,
    /// The working day ends before it begins.
    #[error("the working day ends before it begins")]
    Hours,
}

impl Calendar {
    /// A calendar with some working time.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(
        zone: TimeZone,
        days: &[Weekday],
        hours: (Time, Time),
        holidays: BTreeSet<Date>,
    ) -> Result<Self, NoWork> {
        let (from, until) = hours;
        if days.is_empty() {
            return Err(NoWork::Days);
        }
        if until <= from {
            return Err(NoWork::Hours);
        }
        let mut week = [false; 7];
        for day in days {
            week[day_of(*day)] = true;
        }
        Ok(Self {
            zone,
            days: week,
            from,
            until,
            holidays,
        })
    }

    /// `at` plus so many seconds of working time. A local time that a clock change skips or repeats
    /// is taken as the zone says; the length of such a day is its real one.
    pub fn after(&self, at: Timestamp, seconds: u64) -> Timestamp {
        let mut left = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
        let mut date = at.to_zoned(self.zone.clone()).date();
        for _ in 0..DAYS_AHEAD {
            if let Some((opens, closes)) = self.hours_of(date) {
                let begins = opens.max(at);
                let room = closes.duration_since(begins);
                if left <= room {
                    return begins.saturating_add(left).unwrap_or(Timestamp::MAX);
                }
                if room.is_positive() {
                    left -= room;
                }
            }
            let Ok(next) = date.checked_add(1.day()) else {
                break;
            };
            date = next;
        }
        // A calendar of nothing but holidays must not mean that a task is never due.
        after(at, seconds)
    }

    /// When that day's work begins and ends; `None` for a day off.
    fn hours_of(&self, date: Date) -> Option<(Timestamp, Timestamp)> {
        let works = self.days[day_of(date.weekday())] && !self.holidays.contains(&date);
        if !works {
            return None;
        }
        let at = |time: Time| {
            let zoned: Result<Zoned, _> = date.to_datetime(time).to_zoned(self.zone.clone());
            zoned.ok().map(|zoned| zoned.timestamp())
        };
        let (opens, closes) = (at(self.from)?, at(self.until)?);
        (opens < closes).then_some((opens, closes))
    }
}

fn day_of(day: Weekday) -> usize {
    usize::from(day.to_monday_zero_offset().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKDAYS: [Weekday; 5] = [
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
    ];

    fn berlin(holidays: &[&str]) -> Calendar {
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        let hour = |hour| Time::constant(hour, 0, 0, 0);
        let holidays = holidays.iter().map(|day| day.parse().expect("a date"));
        Calendar::new(zone, &WORKDAYS, (hour(9), hour(17)), holidays.collect()).expect("works")
    }

    fn due(calendar: &Calendar, at: &str, hours: u64) -> String {
        let at = at.parse().expect("an instant");
        calendar.after(at, hours * 3600).to_string()
    }

    #[test]
    fn f5_working_time_counts_and_nights_weekends_and_holidays_do_not() {
        let calendar = berlin(&[]);
        // Wednesday at 10:00 in Berlin, and four hours later.
        assert_eq!(
            due(&calendar, "2026-12-23T09:00:00Z", 4),
            "2026-12-23T13:00:00Z"
        );
        // Friday at 16:00: one hour on that day, the rest on Monday.
        assert_eq!(
            due(&calendar, "2026-12-18T15:00:00Z", 4),
            "2026-12-21T11:00:00Z"
        );
        // In the night and on a Saturday nothing counts.
        assert_eq!(
            due(&calendar, "2026-12-19T22:00:00Z", 1),
            "2026-12-21T09:00:00Z"
        );
        // The same with the two days of Christmas and the weekend after them.
        let christmas = berlin(&["2026-12-24", "2026-12-25"]);
        assert_eq!(
            due(&christmas, "2026-12-23T15:00:00Z", 4),
            "2026-12-28T11:00:00Z"
        );
    }

    #[test]
    fn f5_a_clock_change_moves_the_hours_with_the_zone() {
        let calendar = berlin(&[]);
        // The Friday before the clocks go back, and the Monday after.
        assert_eq!(
            due(&calendar, "2026-10-23T14:00:00Z", 2),
            "2026-10-26T09:00:00Z"
        );
    }

    #[test]
    fn f5_more_work_is_never_due_sooner() {
        let calendar = berlin(&["2026-12-24", "2026-12-25", "2027-01-01"]);
        let start: Timestamp = "2026-12-18T00:00:00Z".parse().expect("an instant");
        for hour in (0..24 * 14).step_by(5) {
            let at = after(start, hour * 3600);
            let mut last = at;
            for seconds in (0..200_000).step_by(7919) {
                let due = calendar.after(at, seconds);
                assert!(due >= last, "{at} + {seconds} s: {due} before {last}");
                assert!(due >= after(at, seconds), "{at} + {seconds} s: {due}");
                last = due;
            }
        }
    }

    #[test]
    fn f5_a_calendar_without_work_is_refused_or_counts_every_hour() {
        let zone = TimeZone::UTC;
        let hour = |hour| Time::constant(hour, 0, 0, 0);
        let none = Calendar::new(zone.clone(), &[], (hour(9), hour(17)), BTreeSet::new());
        assert_eq!(none, Err(NoWork::Days));
        let hours = (hour(17), hour(9));
        let none = Calendar::new(zone.clone(), &WORKDAYS, hours, BTreeSet::new());
        assert_eq!(none, Err(NoWork::Hours));
        // Only Mondays, and every one of them a holiday.
        let first: Date = "2026-12-21".parse().expect("a date");
        let mondays = (0..400).map(|week| first + (week * 7).days());
        let hours = (hour(9), hour(17));
        let only = Calendar::new(zone, &[Weekday::Monday], hours, mondays.collect());
        let only = only.expect("it has Mondays");
        assert_eq!(
            due(&only, "2026-12-21T10:00:00Z", 4),
            "2026-12-21T14:00:00Z"
        );
    }
}
