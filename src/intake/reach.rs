//! Whether messages could come at all, by the signs that librdkafka gives.
//!
//! Owns the rule as a pure function of one sign after the other. Connections are judged by the
//! statistics alone, where one broker that is up is enough: the errors of a broker that is being
//! restarted are no trouble while others serve. What the brokers refuse is said once and not again,
//! so no quiet time ends it. Reads no statistics and asks nobody.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::domain::time::{Timestamp, after};

/// An error that has not come again for so long is over, if a broker is reached.
const CALM_SECONDS: u64 = 30;

/// What keeps messages from coming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Since when.
    pub since: Timestamp,
    /// In words.
    pub why: String,
    /// When it last showed.
    pub last: Timestamp,
    /// The brokers refuse something, such as reading the topic.
    pub refused: bool,
}

/// What shows whether messages could come.
#[derive(Debug)]
pub(super) enum Sign<'a> {
    /// One came.
    Message,
    /// The client has told an error.
    Error(&'a KafkaError),
    /// A round of statistics: whether any broker is up.
    Round { reached: bool },
    /// The reader or its assignment is new: what is still refused is said again.
    Anew,
}

/// The trouble that there is after a sign.
pub(super) fn judge(before: Option<Trouble>, sign: &Sign<'_>, now: Timestamp) -> Option<Trouble> {
    match sign {
        Sign::Message => None,
        Sign::Error(error) if is_connection(error) => before.map(|mut trouble| {
            if !trouble.refused {
                trouble.why = format!("no broker is reached: {error}");
            }
            trouble
        }),
        Sign::Error(error) => Some(Trouble {
            since: before.as_ref().map_or(now, |trouble| trouble.since),
            why: error.to_string(),
            last: now,
            refused: is_refusal(error) || before.is_some_and(|trouble| trouble.refused),
        }),
        Sign::Round { reached: true } => {
            before.filter(|trouble| trouble.refused || after(trouble.last, CALM_SECONDS) > now)
        }
        Sign::Round { reached: false } => Some(match before {
            Some(trouble) => Trouble {
                last: now,
                ..trouble
            },
            None => Trouble {
                since: now,
                why: "no broker is reached".to_owned(),
                last: now,
                refused: false,
            },
        }),
        Sign::Anew => before.map(|trouble| Trouble {
            last: now,
            refused: false,
            ..trouble
        }),
    }
}

fn is_connection(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::SSL
                | Code::OperationTimedOut
        )
    )
}

fn is_refusal(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::UnknownTopic
                | Code::UnknownTopicOrPartition
                | Code::UnknownPartition
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, seconds)
    }

    /// What is left after these signs, each at its second.
    fn seen(signs: &[(u64, Sign<'_>)]) -> Option<Trouble> {
        signs.iter().fold(None, |trouble, (second, sign)| {
            judge(trouble, sign, at(*second))
        })
    }

    const UP: Sign<'static> = Sign::Round { reached: true };
    const DOWN: Sign<'static> = Sign::Round { reached: false };
    const AWAY: KafkaError = KafkaError::MessageConsumption(Code::BrokerTransportFailure);
    const DENIED: KafkaError = KafkaError::MessageConsumption(Code::TopicAuthorizationFailed);
    const ODD: KafkaError = KafkaError::MessageConsumption(Code::PollExceeded);

    #[test]
    fn h2_brokers_restarted_one_after_the_other_are_no_trouble() {
        let away = Sign::Error(&AWAY);
        assert_eq!(seen(&[(0, UP), (1, away), (5, UP)]), None);
    }

    #[test]
    fn h2_no_broker_is_trouble_from_its_first_round_until_one_is_back() {
        let away = Sign::Error(&AWAY);
        let trouble = seen(&[(5, DOWN), (6, away), (10, DOWN), (15, DOWN)]).expect("trouble");
        assert_eq!((trouble.since, trouble.last), (at(5), at(15)));
        assert!(trouble.why.starts_with("no broker is reached: "));
        // One that comes and goes is not back yet.
        let shaky = seen(&[(5, DOWN), (10, UP), (15, DOWN), (20, UP)]).expect("trouble");
        assert_eq!(shaky.since, at(5));
        assert_eq!(seen(&[(5, DOWN), (10, UP), (35, UP)]), None);
        assert_eq!(seen(&[(5, DOWN), (6, Sign::Message)]), None);
    }

    #[test]
    fn h2_what_is_refused_stays_trouble_until_a_message_or_a_new_reader() {
        let denied = || Sign::Error(&DENIED);
        let kept = seen(&[(0, denied()), (500, UP)]).expect("trouble");
        assert_eq!((kept.since, kept.refused), (at(0), true));
        assert_eq!(seen(&[(0, denied()), (500, Sign::Message)]), None);
        // A new reader hears it again at once, or all is well.
        let again = [(0, denied()), (500, Sign::Anew), (502, denied()), (600, UP)];
        assert_eq!(seen(&again).expect("trouble").since, at(0));
        assert_eq!(seen(&[(0, denied()), (500, Sign::Anew), (530, UP)]), None);
    }

    #[test]
    fn h2_an_odd_error_that_does_not_come_again_passes() {
        let odd = || Sign::Error(&ODD);
        assert!(seen(&[(0, odd()), (29, UP)]).is_some());
        assert_eq!(seen(&[(0, odd()), (30, UP)]), None);
        let lasting = seen(&[(0, odd()), (25, odd()), (50, odd()), (55, UP)]);
        assert_eq!(lasting.expect("trouble").since, at(0));
    }
}
