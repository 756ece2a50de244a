//! Where to go on reading a partition, and whether anything was lost in between.
//!
//! Owns the rule, as a pure function of what the database, the group and the broker say. The
//! database is the truth and Kafka's committed offset a hint; reading something twice is harmless,
//! not reading it is the worst failure, so the lower of the two decides.

/// What is known about a partition when it is assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// Next offset to read by the database's checkpoint.
    pub(super) checkpoint: Option<i64>,
    /// Next offset to read by the group's commit.
    pub(super) committed: Option<i64>,
    /// True where the database has marks of other partitions of the topic: it is no new one, and where this
    /// partition's mark is gone a backup may be older than its first message.
    pub(super) others: bool,
    /// First offset that the broker still has, and the one after the last; `None` when it did not
    /// say.
    pub(super) kept: Option<(i64, i64)>,
}

/// What an operator has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alarm {
    /// The broker has deleted these events before they were read.
    Lost {
        /// First offset that is missing.
        from: i64,
        /// The offset after the last missing one.
        to: i64,
    },
    /// The topic ends before what was read already: made anew, or truncated.
    Rewound,
    /// The group was moved ahead of what the database holds: read again from the database's mark.
    MovedAhead,
    /// The database knows nothing of the partition although the group has read from it: it is read from its
    /// beginning where the database knows others, and otherwise from the group's mark.
    Unknown,
}

/// Where to start; `None` means wherever the group's commit and `earliest` say.
pub(super) fn resume(known: Known) -> (Option<i64>, Option<Alarm>) {
    let Some(checkpoint) = known.checkpoint else {
        let read_before = known
            .committed
            .is_some_and(|committed| known.kept.is_none_or(|(low, _)| committed > low));
        let first = known.kept.map(|(low, _)| low);
        let start = first.filter(|_| read_before && known.others);
        return (start, read_before.then_some(Alarm::Unknown));
    };
    let Some((low, high)) = known.kept else {
        return (
            Some(checkpoint.min(known.committed.unwrap_or(checkpoint))),
            None,
        );
    };
    if checkpoint > high {
        let valid = known.committed.filter(|c| (low..=high).contains(c));
        // A commit within the new topic shows that the alarm was raised before.
        let alarm = valid.is_none().then_some(Alarm::Rewound);
        return (Some(valid.unwrap_or(low)), alarm);
    }
    match known.committed {
        // The group has forgotten, or belonged to an older topic of the same name.
        None => {
            let lost = (low > checkpoint).then_some(Alarm::Lost {
                from: checkpoint,
                to: low,
            });
            (Some(low), lost)
        }
        Some(committed) => {
            let start = checkpoint.min(committed);
            if low > start {
                let lost = (low > checkpoint).then_some(Alarm::Lost {
                    from: checkpoint,
                    to: low,
                });
                (Some(low), lost)
            } else {
                (
                    Some(start),
                    (committed > checkpoint).then_some(Alarm::MovedAhead),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(
        checkpoint: impl Into<Option<i64>>,
        committed: impl Into<Option<i64>>,
        kept: (i64, i64),
    ) -> (Option<i64>, Option<Alarm>) {
        resume(Known {
            checkpoint: checkpoint.into(),
            committed: committed.into(),
            others: false,
            kept: Some(kept),
        })
    }

    #[test]
    fn a3_a_partition_that_a_restored_database_has_no_mark_of_is_read_from_its_beginning() {
        let restored = |committed| Known {
            checkpoint: None,
            committed,
            others: true,
            kept: Some((3, 9)),
        };
        assert_eq!(resume(restored(Some(7))), (Some(3), Some(Alarm::Unknown)));
        // Nothing was read of it, or nothing that is still there.
        assert_eq!(resume(restored(None)), (None, None));
        assert_eq!(resume(restored(Some(3))), (None, None));
    }

    #[test]
    fn a3_reading_goes_on_where_the_database_stands() {
        assert_eq!(at(None, None, (0, 9)), (None, None));
        assert_eq!(at(5, 5, (0, 9)), (Some(5), None));
        // Committed to the database, not yet to Kafka; and the other way round after a restore.
        assert_eq!(at(7, 5, (0, 9)), (Some(5), None));
        assert_eq!(at(5, 9, (0, 9)), (Some(5), Some(Alarm::MovedAhead)));
    }

    #[test]
    fn a_hole_is_an_alarm_and_never_silent() {
        assert_eq!(
            at(5, 5, (8, 9)),
            (Some(8), Some(Alarm::Lost { from: 5, to: 8 }))
        );
        assert_eq!(
            at(5, None, (8, 9)),
            (Some(8), Some(Alarm::Lost { from: 5, to: 8 }))
        );
        // Only what was read already is gone: no alarm.
        assert_eq!(at(8, 5, (8, 9)), (Some(8), None));
    }

    #[test]
    fn a_topic_made_anew_is_read_from_its_beginning() {
        assert_eq!(at(500, 500, (0, 3)), (Some(0), Some(Alarm::Rewound)));
        assert_eq!(at(500, 2, (0, 3)), (Some(2), None));
        assert_eq!(at(5, None, (0, 900)), (Some(0), None));
    }

    #[test]
    fn a_new_database_on_an_old_group_is_an_alarm() {
        assert_eq!(at(None, 700, (0, 900)), (None, Some(Alarm::Unknown)));
        assert_eq!(at(None, 0, (0, 900)), (None, None));
    }

    proptest! {
        #[test]
        fn nothing_that_the_broker_still_has_is_skipped(
            checkpoint in 0_i64..50, committed in proptest::option::of(0_i64..50),
            low in 0_i64..50, length in 0_i64..50,
        ) {
            let high = low + length;
            let (start, alarm) = at(checkpoint, committed, (low, high));
            let start = start.expect("a checkpoint decides");
            prop_assert!((low..=high).contains(&start));
            if checkpoint <= high {
                prop_assert!(start <= checkpoint.max(low));
                prop_assert_eq!(low > checkpoint, matches!(alarm, Some(Alarm::Lost { .. })));
            }
        }
    }
}
