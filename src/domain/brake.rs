//! Brakes: how many departures and how many removals may begin within a time.
//!
//! Owns the rolling windows and their limits, in absolute number and as a share of the known
//! population, with a rule for small targets. The surplus is held until two people approve it. What
//! contains passes where it is for cause; to strip and to delete, it asks and counts like any other.
//! Pure: how many have begun is counted by the store, in the transaction that lets the next one begin.

use std::cmp::Reverse;

use super::approval::{Matter, MatterKind};
use super::id::ConnectorName;
use super::outcome::{Failure, FailureClass};
use super::run::{Leaving, Run};
use super::time::Timestamp;

/// The codes of what brakes hold: by source, by organisation unit, by target.
pub const CODES: [&str; 3] = ["CB-BRAKE-1", "CB-BRAKE-2", "CB-BRAKE-3"];

/// The limits of one window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// How long the window is.
    pub window_seconds: u64,
    /// So many at most, whatever the population.
    pub at_most: u64,
    /// Of the known population, so many in a hundred at most.
    pub share_percent: Option<u64>,
    /// The share is never less than this: the rule for small targets.
    pub at_least: u64,
}

impl Limit {
    /// How many may begin within the window. A share of an unknown population is none but `at_least`.
    pub fn of(&self, population: Option<u64>) -> u64 {
        let Some(percent) = self.share_percent else {
            return self.at_most;
        };
        let share = population.unwrap_or(0).saturating_mul(percent) / 100;
        self.at_most.min(share.max(self.at_least))
    }
}

/// A brake on departures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departures {
    /// What is counted apart.
    pub by: Apart,
    /// Only this source or unit; each one by itself where none is named.
    pub only: Option<String>,
    /// How many people the source or unit has.
    pub population: Option<u64>,
    /// How many may leave.
    pub limit: Limit,
}

/// What departures are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apart {
    /// The system that told of them.
    Source,
    /// The subject's organisation unit, where the event names one.
    Unit,
}

/// A brake on removals at a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writes {
    /// Only this target; each one by itself where none is named.
    pub connector: Option<ConnectorName>,
    /// At how many accounts a removal may begin to write.
    pub limit: Limit,
}

/// All brakes; none where nobody configured any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brakes {
    /// On departures.
    pub departures: Vec<Departures>,
    /// On removals.
    pub writes: Vec<Writes>,
}

/// What a removal asks of one brake before its first write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The brake's name, which is also that of the matter that lifts it.
    pub brake: String,
    /// What is counted: a case or a removal, once in a window.
    pub holder: String,
    /// How many may begin.
    pub limit: Limit,
    /// How many there are, where that is configured.
    pub population: Option<u64>,
    /// Count the accounts that are known of this target instead.
    pub known_at: Option<ConnectorName>,
    /// It passes whatever the count is: two people have approved it.
    pub lifted: bool,
    /// What it is told as where it is held.
    pub code: &'static str,
}

/// Which brake holds, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Its name.
    pub brake: String,
    /// How far it looks back.
    pub window_seconds: u64,
    /// How many have begun within the window.
    pub begun: u64,
    /// How many may.
    pub limit: u64,
}

/// Whether one more may begin.
///
/// # Errors
/// When it may not.
pub fn judge(ask: &Ask, begun: u64, population: Option<u64>) -> Result<(), Stop> {
    let limit = ask.limit.of(population);
    if ask.lifted || begun < limit {
        return Ok(());
    }
    Err(Stop {
        brake: ask.brake.clone(),
        window_seconds: ask.limit.window_seconds,
        begun,
        limit,
    })
}

impl Brakes {
    /// What this removal asks before a write; `contains` is true of a write that only stops access. A
    /// drill takes away nothing that anybody needs, and asks nothing; nor does what is for cause before
    /// it contains. It counts once it is to take more, so that a wrong batch costs nobody more than that.
    pub fn asks(&self, run: &Run, leaving: &Leaving, contains: bool) -> Vec<Ask> {
        if run.drill().is_some() || (leaving.for_cause && contains) {
            return Vec::new();
        }
        let case = run.case.map_or(run.id.0, |case| case.0);
        let departures = self.departures.iter().filter_map(|brake| {
            let (kind, value, code) = match brake.by {
                Apart::Source => ("source", Some(&leaving.source), "CB-BRAKE-1"),
                Apart::Unit => ("unit", leaving.unit.as_ref(), "CB-BRAKE-2"),
            };
            let value = value.filter(|value| !value.is_empty())?;
            let fits = brake.only.as_ref().is_none_or(|only| only == value);
            fits.then(|| Ask {
                brake: format!("departures/{kind}/{value}"),
                holder: case.to_string(),
                limit: brake.limit.clone(),
                population: brake.population,
                known_at: None,
                lifted: false,
                code,
            })
        });
        let writes = self.writes.iter().filter_map(|brake| {
            let connector = run.connector.as_ref()?;
            let fits = brake
                .connector
                .as_ref()
                .is_none_or(|only| only == connector);
            fits.then(|| Ask {
                brake: format!("writes/{connector}"),
                holder: run.id.to_string(),
                limit: brake.limit.clone(),
                population: None,
                known_at: Some(connector.clone()),
                lifted: false,
                code: "CB-BRAKE-3",
            })
        });
        in_order(departures.chain(writes).collect())
    }
}

/// One order for all workers, so that none waits for another in a circle; of one name the brake that
/// looks back furthest comes first. All of one name count the same, each within its own window, so that
/// another window beside one empties no count.
fn in_order(mut asks: Vec<Ask>) -> Vec<Ask> {
    let limit = |ask: &Ask| {
        let Limit {
            window_seconds,
            at_most,
            share_percent,
            at_least,
        } = ask.limit;
        (
            Reverse(window_seconds),
            at_most,
            share_percent,
            at_least,
            ask.population,
        )
    };
    asks.sort_by(|one, other| {
        let by = |ask: &Ask| (ask.brake.clone(), limit(ask));
        by(one).cmp(&by(other))
    });
    asks.dedup_by(|later, first| later.brake == first.brake && limit(later) == limit(first));
    asks
}

/// True of the first ask of each name: what it no longer looks back upon, none of that name does.
pub fn is_first(asks: &[Ask], place: usize) -> bool {
    place == 0 || asks[place - 1].brake != asks[place].brake
}

/// The matter by which two people lift a brake for a while.
pub fn matter(brake: &str) -> Matter {
    Matter {
        kind: MatterKind::Brake,
        name: brake.to_owned(),
    }
}

/// Why a removal is held.
pub fn held(ask: &Ask, stop: &Stop) -> Failure {
    let minutes = ask.limit.window_seconds / 60;
    let Stop {
        brake,
        begun,
        limit,
        ..
    } = stop;
    Failure::new(
        FailureClass::Refused,
        ask.code,
        format!(
            "the brake `{brake}` holds: {begun} have begun within {minutes} min, {limit} may; two \
             people lift it (`clawback approvals propose`)"
        ),
    )
}

/// The brake that holds this removal, from the code of its task.
pub fn name_of(code: &str, run: &Run, leaving: &Leaving) -> Option<String> {
    match code {
        "CB-BRAKE-1" => Some(format!("departures/source/{}", leaving.source)),
        "CB-BRAKE-2" => Some(format!("departures/unit/{}", leaving.unit.as_ref()?)),
        "CB-BRAKE-3" => Some(format!("writes/{}", run.connector.as_ref()?)),
        _ => None,
    }
}

/// From when on what has begun counts.
pub fn since(limit: &Limit, now: Timestamp) -> Timestamp {
    let seconds = i64::try_from(limit.window_seconds).unwrap_or(i64::MAX / 4);
    now.saturating_sub(jiff::SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::time::after;
    use super::*;

    fn ask(limit: Limit) -> Ask {
        Ask {
            brake: "writes/crm".to_owned(),
            holder: String::new(),
            limit,
            population: None,
            known_at: None,
            lifted: false,
            code: "CB-BRAKE-3",
        }
    }

    fn limits() -> impl Strategy<Value = Limit> {
        let share = prop_oneof![Just(None), (0..=100_u64).prop_map(Some)];
        (1..5000_u64, 0..20_u64, share, 0..10_u64).prop_map(
            |(window_seconds, at_most, share_percent, at_least)| Limit {
                window_seconds,
                at_most,
                share_percent,
                at_least,
            },
        )
    }

    proptest! {
        #[test]
        fn g1_no_window_ever_holds_more_than_its_limit(
            limit in limits(),
            known in prop_oneof![Just(None), (0..500_u64).prop_map(Some)],
            gaps in proptest::collection::vec(0..2000_u64, 1..80),
        ) {
            let ask = ask(limit.clone());
            let mut now = Timestamp::UNIX_EPOCH;
            let mut begun: Vec<Timestamp> = Vec::new();
            for gap in gaps {
                now = after(now, gap);
                let from = since(&limit, now);
                let count = begun.iter().filter(|at| **at > from).count() as u64;
                if judge(&ask, count, known).is_ok() {
                    begun.push(now);
                }
            }
            // Every window that ends with one of them.
            for end in &begun {
                let from = since(&limit, *end);
                let within = begun.iter().filter(|at| **at > from && *at <= end).count() as u64;
                prop_assert!(within <= limit.of(known), "{within} of {}", limit.of(known));
            }
        }

        #[test]
        fn g1_the_limit_keeps_to_number_share_and_the_rule_for_small_targets(
            limit in limits(),
            known in 0..10_000_u64,
        ) {
            let most = limit.of(Some(known));
            prop_assert!(most <= limit.at_most);
            if let Some(percent) = limit.share_percent {
                let share = known * percent / 100;
                prop_assert!(most <= share.max(limit.at_least));
                prop_assert!(most >= limit.at_least.min(limit.at_most));
                prop_assert!(most >= share.min(limit.at_most));
                prop_assert!(limit.of(None) <= most, "unknown is never more");
            } else {
                prop_assert_eq!(most, limit.at_most);
            }
        }

        #[test]
        fn g1_what_is_approved_passes(limit in limits(), begun in 0..1000_u64) {
            let lifted = Ask { lifted: true, ..ask(limit) };
            prop_assert_eq!(judge(&lifted, begun, None), Ok(()));
        }
    }

    #[test]
    fn g1_a_small_target_is_not_stopped_by_a_share_of_nothing() {
        let limit = Limit {
            window_seconds: 3600,
            at_most: 50,
            share_percent: Some(5),
            at_least: 3,
        };
        assert_eq!(limit.of(Some(10)), 3);
        assert_eq!(limit.of(Some(200)), 10);
        assert_eq!(limit.of(Some(100_000)), 50);
        assert_eq!(limit.of(None), 3);
    }
}
