//! Holes between the messages that have come, and which of them are losses.
//!
//! Owns the next offset of each partition that is held. A transaction's marker, an aborted transaction
//! and compaction leave holes too: a loss is only what lies before the first offset that the broker
//! still has. Says when that is worth asking, and asks nobody itself.

use std::collections::BTreeMap;

use crate::domain::time::{Timestamp, after};

/// The broker is asked at most this often: where producers are transactional, holes are everywhere.
const ASK_AGAIN_SECONDS: u64 = 5;
/// And for each partition whose leader says nothing this much later: asking it holds the reading up.
const SILENT_SECONDS: u64 = 30;

pub(super) type Place = (String, i32);

/// What has come, by partition.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    places: BTreeMap<Place, Run>,
    ask_from: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Run {
    next: i64,
    /// First offset that did not come, and the one that did.
    holes: Vec<(i64, i64)>,
}

impl Gaps {
    /// A partition is read from here.
    pub(super) fn begin(&mut self, place: Place, next: i64) {
        let holes = Vec::new();
        self.places.insert(place, Run { next, holes });
    }

    /// A partition is somebody else's.
    pub(super) fn end(&mut self, place: &Place) {
        self.places.remove(place);
    }

    /// A message has come.
    pub(super) fn came(&mut self, topic: &str, partition: i32, offset: i64) {
        let place = (topic.to_owned(), partition);
        let run = self.places.entry(place).or_insert_with(|| Run {
            next: offset,
            ..Run::default()
        });
        if offset > run.next {
            run.holes.push((run.next, offset));
        }
        run.next = offset + 1;
    }

    /// The partitions with holes, if it is time to ask the broker for their first offsets.
    pub(super) fn due(&self, now: Timestamp) -> Vec<Place> {
        if self.ask_from.is_some_and(|at| at > now) {
            return Vec::new();
        }
        let holes = self.places.iter().filter(|(_, run)| !run.holes.is_empty());
        holes.map(|(place, _)| place.clone()).collect()
    }

    /// They were asked for, and of so many the broker said nothing.
    pub(super) fn asked(&mut self, now: Timestamp, silent: usize) {
        let pause = ASK_AGAIN_SECONDS + SILENT_SECONDS * silent as u64;
        self.ask_from = Some(after(now, pause));
    }

    /// True where something did not come, and nobody knows yet whether it was lost.
    pub(super) fn has_holes(&self, place: &Place) -> bool {
        let run = self.places.get(place);
        run.is_some_and(|run| !run.holes.is_empty())
    }

    /// What was deleted before it came, now that the broker has said what it keeps from.
    pub(super) fn judge(&mut self, place: &Place, low: i64) -> Vec<(i64, i64)> {
        let holes = self.places.get_mut(place).map(|run| &mut run.holes);
        let holes = holes.map(std::mem::take).unwrap_or_default();
        holes
            .into_iter()
            .map(|(from, came)| (from, came.min(low)))
            .filter(|(from, to)| from < to)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        after(Timestamp::UNIX_EPOCH, seconds)
    }

    fn place() -> Place {
        ("t".to_owned(), 0)
    }

    /// Read from here, then these came.
    fn came(next: i64, offsets: &[i64]) -> Gaps {
        let mut gaps = Gaps::default();
        gaps.begin(place(), next);
        for one in offsets {
            gaps.came("t", 0, *one);
        }
        gaps
    }

    #[test]
    fn a_hole_that_the_broker_no_longer_has_is_a_loss() {
        let mut gaps = came(5, &[5, 6, 9]);
        assert_eq!(gaps.due(at(0)), [place()]);
        assert_eq!(gaps.judge(&place(), 9), [(7, 9)]);
        assert!(gaps.judge(&place(), 9).is_empty(), "told once");
        // Deleted since they came, or only in part.
        assert_eq!(came(5, &[5, 9]).judge(&place(), 700), [(6, 9)]);
        assert_eq!(came(5, &[9]).judge(&place(), 7), [(5, 7)]);
        assert_eq!(came(0, &[3, 4, 8]).judge(&place(), 9), [(0, 3), (5, 8)]);
    }

    #[test]
    fn markers_and_compaction_are_no_losses() {
        let mut gaps = came(0, &[0, 2, 4]);
        assert!(gaps.judge(&place(), 0).is_empty());
        assert!(came(0, &[0, 1, 2]).due(at(0)).is_empty());
        // Read again from before, and a partition of which nothing was known.
        assert!(came(9, &[3, 4, 5]).due(at(0)).is_empty());
        let mut unknown = Gaps::default();
        unknown.came("t", 0, 700);
        assert!(unknown.due(at(0)).is_empty());
    }

    #[test]
    fn the_broker_is_asked_once_in_a_while_and_for_partitions_that_are_held() {
        let mut gaps = came(0, &[1]);
        assert!(gaps.has_holes(&place()));
        assert_eq!(gaps.due(at(0)), [place()]);
        gaps.asked(at(0), 0);
        gaps.came("t", 0, 9);
        assert!(gaps.due(at(4)).is_empty());
        assert_eq!(gaps.due(at(5)), [place()]);
        // A leader that says nothing is asked less often, and its holes are kept.
        gaps.asked(at(6), 1);
        assert!(gaps.due(at(11)).is_empty());
        assert_eq!(gaps.due(at(41)), [place()]);
        gaps.end(&place());
        assert!(!gaps.has_holes(&place()));
        assert!(gaps.due(at(10)).is_empty());
        assert!(gaps.judge(&place(), 99).is_empty());
    }
}
