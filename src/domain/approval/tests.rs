//! The two-person rule case by case, without a store.
//!
//! Owns the refusals and what a ruling makes of a record. That the databases hold the same is in the
//! store's conformance suite.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("valid")
}

fn by(name: &str, second: i64) -> Signed {
    Signed {
        by: name.to_owned(),
        at: at(second),
        reason: "because".to_owned(),
    }
}

fn matter() -> Matter {
    Matter {
        kind: MatterKind::Manifest,
        name: "crm".to_owned(),
    }
}

fn content(digest: &str) -> Content {
    Content {
        digest: digest.into(),
        text: format!("text of {digest}"),
    }
}

fn proposed(record: &Record, digest: &str, signed: Signed) -> Result<Ruling, Disapproval> {
    propose(record, &matter(), content(digest), at(1000), signed)
}

/// What the store makes of a ruling.
fn applied(record: &mut Record, ruling: Ruling) {
    if ruling.decided.is_some() {
        record.open = None;
    }
    record.open = ruling.opened.or(record.open.take());
    record.in_force = ruling.bound.or(record.in_force.take());
}

fn waiting() -> Record {
    let mut record = Record::default();
    let ruling = proposed(&record, "a", by("Ada", 1)).expect("proposed");
    applied(&mut record, ruling);
    record
}

#[test]
fn c4_nobody_approves_what_they_proposed_however_they_write_their_name() {
    for name in ["Ada", "ada", " ADA "] {
        let refused = approve(&waiting(), &matter(), &"a".into(), by(name, 2));
        assert_eq!(refused, Err(Disapproval::SamePerson("Ada".to_owned())));
    }
    let ruling = approve(&waiting(), &matter(), &"a".into(), by("Bo", 2)).expect("approved");
    let bound = ruling.bound.expect("binds");
    assert_eq!((bound.number, bound.content), (1, content("a")));
}

#[test]
fn c4_only_the_very_text_that_was_proposed_is_approved() {
    let refused = approve(&waiting(), &matter(), &"b".into(), by("Bo", 2));
    assert!(matches!(refused, Err(Disapproval::OtherContent { .. })));
    let nothing = approve(&Record::default(), &matter(), &"a".into(), by("Bo", 2));
    assert!(matches!(nothing, Err(Disapproval::NothingOpen(_))));
}

#[test]
fn c4_a_proposal_over_something_else_is_outdated() {
    let mut record = waiting();
    let ruling = approve(&record, &matter(), &"a".into(), by("Bo", 2)).expect("approved");
    applied(&mut record, ruling);
    let ruling = proposed(&record, "b", by("Ada", 3)).expect("proposed");
    applied(&mut record, ruling);
    let narrower = content("c");
    let worker = by("worker", 4);
    let ruling = narrow(&record, &matter(), &"a".into(), narrower, at(2000), worker);
    let ruling = ruling.expect("binds");
    let bound = ruling.bound.clone().expect("binds");
    assert_eq!((bound.number, bound.until), (2, at(1000)), "never longer");
    applied(&mut record, ruling);
    let refused = approve(&record, &matter(), &"b".into(), by("Bo", 5));
    assert_eq!(refused, Err(Disapproval::Outdated));
    // Proposed anew, it is about what is in force now.
    let ruling = proposed(&record, "b", by("Ada", 6)).expect("proposed anew");
    assert!(ruling.decided.is_some(), "the older one is superseded");
    applied(&mut record, ruling);
    assert!(approve(&record, &matter(), &"b".into(), by("Bo", 7)).is_ok());
}

#[test]
fn an_approval_neither_begins_nor_goes_on_after_its_end() {
    let record = waiting();
    let late = approve(&record, &matter(), &"a".into(), by("Bo", 1000));
    assert_eq!(late, Err(Disapproval::Over(at(1000))));
    let late = proposed(&Record::default(), "a", by("Ada", 1000));
    assert_eq!(late, Err(Disapproval::Over(at(1000))));
    let mut record = record;
    let ruling = approve(&record, &matter(), &"a".into(), by("Bo", 2)).expect("approved");
    applied(&mut record, ruling);
    let bound = record.in_force.clone().expect("binds");
    assert!(!bound.has_lapsed(at(999)) && bound.has_lapsed(at(1000)));
    let narrower = narrow(
        &record,
        &matter(),
        &"a".into(),
        content("c"),
        at(2000),
        by("worker", 1000),
    );
    assert_eq!(narrower, Err(Disapproval::Outdated), "a lapsed one");
}

#[test]
fn what_has_no_end_is_kept_by_the_microsecond() {
    let never = never();
    let kept = Timestamp::from_microsecond(never.as_microsecond());
    assert_eq!(kept.ok(), Some(never));
}

#[test]
fn what_binds_or_waits_is_not_proposed_again_and_nobody_signs_with_nothing() {
    let record = waiting();
    let again = proposed(&record, "a", by("Bo", 2));
    assert!(matches!(again, Err(Disapproval::AlreadySo(_))));
    let nobody = proposed(&record, "b", by("  ", 2));
    assert_eq!(nobody, Err(Disapproval::Unsigned("the name")));
    let ruling = reject(&record, &matter(), by("Ada", 2)).expect("taken back");
    assert_eq!(ruling.decided.expect("decided").state.as_str(), "rejected");
}
