//! How times, ages and terms are told to people, on every page alike.
//!
//! Owns words only: no markup, no clock. Times are UTC, because an estate has many zones and a record
//! has one.

use jiff::SignedDuration;

use crate::domain::time::Timestamp;

/// An instant to the second.
pub(super) fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// An instant to the minute, for tables.
pub(super) fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// The day of an instant.
pub(super) fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// An instant within its day.
pub(super) fn second(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

/// What a rung of the ladder means.
pub(super) fn rung(name: &str) -> &str {
    match name {
        "requested" => "asked, nothing sent yet",
        "accepted" => "the target said yes, which proves nothing",
        "applied" => "read back by the one who wrote it",
        "observed_absent" => "seen gone with the verifier's eyes",
        "effective_absent" => "the leaver's own keys are refused",
        "reverified" => "seen gone, and again after the settle time",
        other => other,
    }
}

/// A span in its largest whole unit.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// How an instant lies to now: `5 min ago`, `in 3 h`.
pub(super) fn from_now(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.as_second() - now.as_second();
    if seconds > 0 {
        format!("in {}", age(seconds.unsigned_abs()))
    } else {
        format!("{} ago", age(seconds.unsigned_abs()))
    }
}

/// So many days earlier.
pub(super) fn days_before(at: Timestamp, days: i64) -> Timestamp {
    at.saturating_sub(SignedDuration::from_hours(days * 24))
        .unwrap_or(Timestamp::MIN)
}

/// So many days later.
pub(super) fn days_after(at: Timestamp, days: i64) -> Timestamp {
    at.saturating_add(SignedDuration::from_hours(days * 24))
        .unwrap_or(Timestamp::MAX)
}

/// A name with underscores, as words.
pub(super) fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

/// The first digits of a digest or id.
pub(super) fn short(text: &str) -> String {
    text.chars().take(12).collect()
}

/// A count with its noun.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// What an outcome means, for somebody who does not know the names of outcomes.
pub(super) fn outcome(name: &str) -> String {
    match name {
        "done" => "the target said yes".to_owned(),
        "absent" => "nothing there any more".to_owned(),
        "found" => "found".to_owned(),
        "present" => "access is still there".to_owned(),
        "inconclusive" => "the look proves nothing".to_owned(),
        "not_needed" => "the target has no such thing".to_owned(),
        "attested" => "a person attested".to_owned(),
        other => spaced(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_the_unit_that_a_person_would_use() {
        let told = [119, 120, 7_200, 172_800].map(age);
        assert_eq!(told, ["119 s", "2 min", "2 h", "2 d"]);
        let at = |second| Timestamp::from_second(second).expect("in range");
        assert_eq!(from_now(at(0), at(300)), "5 min ago");
        assert_eq!(from_now(at(7_300), at(0)), "in 2 h");
    }
}
