//! Time and chance as arguments.
//!
//! Owns the clock that the rooms are handed, and the effective instant of an event: local time and
//! IANA zone, turned into an instant when it is scheduled and again when it fires, because zone
//! rules change in between. The wall clock itself is read in one place only, in `app`.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

pub use jiff::Timestamp;

/// Tells the time. The program has one that reads the wall clock; tests have one they move.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Now, at least as late as any earlier answer of this clock, unless that was wrong by what others say.
    fn now(&self) -> Timestamp;

    /// What the machine's clock shows, which may be something else after it jumped.
    fn reading(&self) -> Timestamp {
        self.now()
    }

    /// Another clock, which many go by, says that it is `there` now. A clock that is read from a machine
    /// believes no jump that it contradicts.
    fn heed(&self, _there: Timestamp) {}
}

/// Draws what must differ from call to call: jitter and the names of workers and commands.
pub trait Chance: Send + Sync + std::fmt::Debug {
    /// A number from 0 up to but not including 1.
    fn fraction(&self) -> f64;
    /// A fresh id.
    fn id(&self) -> uuid::Uuid;
}

/// When an event takes effect, as its source meant it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effective {
    /// As soon as the event is read: for cause, or no instant was given.
    Immediately,
    /// At this wall-clock time in this zone.
    At {
        /// Local date and time, without an offset.
        local: DateTime,
        /// IANA zone name, for example `Australia/Melbourne`.
        zone: String,
    },
}

/// The zone is not in the time zone database.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an IANA time zone")]
pub struct UnknownZone(pub String);

impl Effective {
    /// The instant by today's zone rules. A local time that a clock change skips moves forward by
    /// the gap; one that occurs twice means its first occurrence: access ends no later than meant.
    ///
    /// # Errors
    /// When the zone is unknown.
    pub fn instant(&self, recorded: Timestamp) -> Result<Timestamp, UnknownZone> {
        match self {
            Self::Immediately => Ok(recorded),
            Self::At { local, zone } => {
                let tz = TimeZone::get(zone).map_err(|_| UnknownZone(zone.clone()))?;
                tz.to_ambiguous_timestamp(*local)
                    .compatible()
                    .map_err(|_| UnknownZone(zone.clone()))
            }
        }
    }
}

/// `at` plus whole seconds; saturates at the ends of representable time.
pub fn after(at: Timestamp, seconds: u64) -> Timestamp {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX / 4);
    at.saturating_add(jiff::SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MAX)
}

/// `at` plus milliseconds; saturates likewise.
pub fn after_ms(at: Timestamp, milliseconds: u64) -> Timestamp {
    let milliseconds = i64::try_from(milliseconds).unwrap_or(i64::MAX / 4);
    at.saturating_add(jiff::SignedDuration::from_millis(milliseconds))
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(local: &str, zone: &str) -> String {
        let effective = Effective::At {
            local: local.parse().expect("a local time"),
            zone: zone.to_owned(),
        };
        effective
            .instant(Timestamp::UNIX_EPOCH)
            .expect("a zone")
            .to_string()
    }

    #[test]
    fn a2_the_effective_instant_follows_the_zone_and_its_clock_changes() {
        assert_eq!(
            at("2026-11-28T18:00:00", "Australia/Melbourne"),
            "2026-11-28T07:00:00Z"
        );
        assert_eq!(
            at("2026-07-01T18:00:00", "Australia/Melbourne"),
            "2026-07-01T08:00:00Z"
        );
        // 02:30 does not exist on that morning in Berlin, and exists twice in October.
        assert_eq!(
            at("2026-03-29T02:30:00", "Europe/Berlin"),
            "2026-03-29T01:30:00Z"
        );
        assert_eq!(
            at("2026-10-25T02:30:00", "Europe/Berlin"),
            "2026-10-25T00:30:00Z"
        );
    }

    #[test]
    fn an_unknown_zone_is_an_error_and_not_utc() {
        let effective = Effective::At {
            local: "2026-11-28T18:00:00".parse().expect("a local time"),
            zone: "Mars/Olympus".to_owned(),
        };
        assert_eq!(
            effective.instant(Timestamp::UNIX_EPOCH),
            Err(UnknownZone("Mars/Olympus".to_owned()))
        );
    }
}
