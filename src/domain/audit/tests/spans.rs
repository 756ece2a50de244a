//! A part of the log is verified by itself: what is wrong in it is found, and nothing else is told.
//!
//! Owns a history of several windows; where a part begins and ends is asked by link and by time.

use super::*;

fn history() -> Log {
    let writes: Vec<_> = (0..24)
        .map(|number| (1 + number % 3, vec![number % 5]))
        .collect();
    Log::of(&writes, 4)
}

fn part(log: &Log, from: Option<Mark>, to: Option<Mark>) -> (Vec<Finding>, Tally) {
    let span = Span::between(&log.checkpoints, from, to);
    let verifier = Verifier::new(TABLES, Some("k1".to_owned())).only(span);
    log.verify_with(verifier)
}

#[test]
fn e6_every_part_of_a_whole_log_is_whole() {
    let log = history();
    for from in 0..24 {
        for to in from..26 {
            let (found, tally) = part(&log, Some(Mark::Link(from)), Some(Mark::Link(to)));
            assert_eq!(found, [], "{from} to {to}");
            assert!(
                tally.links < 24 || (from < 5 && to > 20),
                "{from} to {to}: {tally:?}"
            );
        }
    }
    let (_, tally) = part(&log, Some(Mark::Link(9)), Some(Mark::Link(9)));
    assert_eq!(tally.links, 4, "one window");
    assert!(
        tally.rows["notes"] == 4 && tally.rows["states"] > 0,
        "{tally:?}"
    );
}

#[test]
fn e6_what_is_wrong_is_found_in_its_part_and_in_no_other() {
    for how in [
        Tampering::ChangeLink,
        Tampering::RemoveLink,
        Tampering::RehashLink,
    ] {
        let mut log = history();
        let (table, row) = tamper(&mut log, how, 9);
        let (found, _) = part(&log, Some(Mark::Link(10)), Some(Mark::Link(10)));
        let located = found
            .iter()
            .any(|one| one.table == table && one.row.contains(&row));
        assert!(located, "{how:?}: {found:?}");
        let (before, _) = part(&log, None, Some(Mark::Link(8)));
        let (later, _) = part(&log, Some(Mark::Link(13)), None);
        for found in [before, later] {
            let there = found.iter().any(|one| one.table == "audit_links");
            assert!(!there, "{how:?}: {found:?}");
        }
    }
    // A row that the part recorded last.
    let mut log = history();
    let place = log
        .rows
        .iter()
        .position(|(table, id, _)| (*table, *id) == (1, 9));
    log.rows[place.expect("there")].2.push('x');
    let (found, _) = part(&log, Some(Mark::Link(10)), Some(Mark::Link(10)));
    assert_eq!(
        (found.len(), found[0].fault, found[0].table),
        (1, Fault::Changed, "notes")
    );
    let (found, _) = part(&log, Some(Mark::Link(14)), None);
    assert_eq!(found, []);
}

#[test]
fn e6_a_part_behind_the_end_of_the_log_is_not_whole() {
    let mut log = history();
    let (found, tally) = part(&log, Some(Mark::Link(25)), None);
    assert_eq!(tally.links, 0, "there is nothing to be wrong");
    let located: Vec<_> = found.iter().map(|one| (one.fault, &*one.row)).collect();
    assert_eq!(located, [(Fault::CutOff, "25")]);
    // The last link is there.
    assert_eq!(part(&log, Some(Mark::Link(24)), None).0, []);
    // And is missed where somebody took the end away, links and checkpoint.
    log.links.truncate(20);
    log.checkpoints.truncate(5);
    let (found, _) = part(&log, Some(Mark::Link(21)), None);
    assert!(found.iter().any(|one| one.row == "21"), "{found:?}");
}

#[test]
fn a_part_by_time_is_that_of_the_checkpoints_that_closed_it() {
    let log = history();
    let first = Timestamp::UNIX_EPOCH;
    let later = Timestamp::from_second(1).expect("valid");
    let all = Span::between(&log.checkpoints, Some(Mark::At(first)), None);
    assert_eq!((all.after, all.until), (i64::MIN, i64::MAX));
    // After the last checkpoint nothing was written yet.
    let none = Span::between(&log.checkpoints, Some(Mark::At(later)), None);
    assert_eq!((none.after, none.until), (24, i64::MAX));
    let ended = Span::between(&log.checkpoints, None, Some(Mark::At(first)));
    assert_eq!((ended.after, ended.until), (i64::MIN, 4));
}
