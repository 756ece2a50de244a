//! When the time of a secret is over, told before it is.
//!
//! Owns the alarm about a connector's own secret: missing, ended, ending soon, or older than its manifest
//! allows. What begins a replacement is the sweep in `rotation`; this is for people, who must know when
//! that did not help.

use serde::{Deserialize, Serialize};

use super::rotation::SecretAge;
use super::time::Timestamp;

/// What is wrong with a secret's time; the gravest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// It is older than its manifest allows.
    TooOld,
    /// It ends within the time in which it should have been replaced.
    EndsSoon,
    /// The target takes it no more.
    Ended,
    /// The vault keeps no value.
    Missing,
}

impl Alarm {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooOld => "is too old",
            Self::EndsSoon => "ends soon",
            Self::Ended => "has ended",
            Self::Missing => "is missing",
        }
    }
}

/// Seconds until the target takes the secret no more, 0 once it has; `None` where no end is known.
pub fn seconds_left(secret: &SecretAge, now: Timestamp) -> Option<u64> {
    let left = secret.expires?.duration_since(now).as_secs();
    Some(u64::try_from(left).unwrap_or(0))
}

/// Seconds by which it should have been replaced and was not; 0 while it is in time.
pub fn seconds_overdue(secret: &SecretAge, now: Timestamp) -> u64 {
    let age = u64::try_from(now.duration_since(secret.created).as_secs()).unwrap_or(0);
    let aged = secret.max_age_seconds.map(|most| age.saturating_sub(most));
    let left = secret.expires.map(|end| end.duration_since(now).as_secs());
    let renew = i64::try_from(secret.renew_ahead()).unwrap_or(i64::MAX);
    let ending = left.map(|left| u64::try_from(renew.saturating_sub(left)).unwrap_or(0));
    aged.max(ending).unwrap_or(0)
}

/// The alarm, if there is reason for one.
pub fn alarm(secret: &SecretAge, now: Timestamp) -> Option<Alarm> {
    match seconds_left(secret, now) {
        Some(0) => return Some(Alarm::Ended),
        Some(left) if left <= secret.renew_ahead() => return Some(Alarm::EndsSoon),
        Some(_) | None => {}
    }
    let age = u64::try_from(now.duration_since(secret.created).as_secs()).unwrap_or(0);
    let too_old = secret.max_age_seconds.is_some_and(|most| age >= most);
    too_old.then_some(Alarm::TooOld)
}

#[cfg(test)]
mod tests {
    use super::super::id::ConnectorName;
    use super::super::rotation::sweep;
    use super::super::time::after;
    use super::super::verdict::CredentialRole;
    use super::*;

    const NOW: u64 = 1_000;

    fn secret(created: u64, most: Option<u64>, expires: Option<u64>, renew: u64) -> SecretAge {
        let at = |second| after(Timestamp::UNIX_EPOCH, second);
        SecretAge {
            connector: ConnectorName::from("crm"),
            role: CredentialRole::Writer,
            created: at(created),
            max_age_seconds: most,
            expires: expires.map(at),
            renew_before_seconds: renew,
            rotating: false,
            attested: None,
        }
    }

    #[test]
    fn d5_the_end_is_told_before_it_comes_and_the_gravest_first() {
        let now = after(Timestamp::UNIX_EPOCH, NOW);
        for (secret, expected, left, overdue) in [
            (secret(900, None, None, 50), None, None, 0),
            (secret(900, Some(101), None, 50), None, None, 0),
            (
                secret(900, Some(90), None, 50),
                Some(Alarm::TooOld),
                None,
                10,
            ),
            (
                secret(900, Some(90), Some(1_051), 50),
                Some(Alarm::TooOld),
                Some(51),
                10,
            ),
            (
                secret(0, None, Some(1_030), 50),
                Some(Alarm::EndsSoon),
                Some(30),
                20,
            ),
            (
                secret(0, Some(90), Some(1_000), 50),
                Some(Alarm::Ended),
                Some(0),
                910,
            ),
            (
                secret(0, None, Some(400), 50),
                Some(Alarm::Ended),
                Some(0),
                650,
            ),
        ] {
            assert_eq!(alarm(&secret, now), expected, "{secret:?}");
            assert_eq!(seconds_left(&secret, now), left, "{secret:?}");
            assert_eq!(seconds_overdue(&secret, now), overdue, "{secret:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn d5_whatever_gives_an_alarm_is_due_to_be_replaced(
            created in 0_u64..1_000, most in proptest::option::of(0_u64..1_500),
            expires in proptest::option::of(0_u64..2_000), renew in 0_u64..500,
        ) {
            let now = after(Timestamp::UNIX_EPOCH, NOW);
            let secret = secret(created, most, expires, renew);
            let due = !sweep(std::slice::from_ref(&secret), now).is_empty();
            proptest::prop_assert_eq!(alarm(&secret, now).is_some(), due);
            proptest::prop_assert!(due || seconds_overdue(&secret, now) == 0);
        }
    }
}
