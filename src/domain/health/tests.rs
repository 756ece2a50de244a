//! How health is judged, over all that can come in.
//!
//! Owns the judgement's properties: what is not whole, fresh and of its shape is never healthy, time
//! alone makes what is known stale, and nothing that was decided while away is forgotten.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::access::{Account, AccountState};
use super::super::outcome::{Failure, FailureClass};
use super::super::time::{Timestamp, after};
use super::super::verdict::Completeness;
use super::{
    Answer, Baseline, Bounds, Calls, Standing, State, Survey, Tally, Trouble, advance, next_survey,
};

pub(super) fn dawn() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("in range")
}

fn bounds() -> Bounds {
    Bounds {
        refresh_seconds: 600,
        max_data_age_seconds: 60,
        change_at_most_percent: Some(20),
        deciding: vec!["number".to_owned()],
        nhi: None,
        manifest: "m1".to_owned(),
    }
}

pub(super) fn account(id: u64, attributes: &[&str]) -> Account {
    Account {
        id: format!("a-{id}").as_str().into(),
        login: format!("login-{id}"),
        display_name: None,
        state: AccountState::Enabled,
        attributes: attributes
            .iter()
            .map(|name| ((*name).to_owned(), format!("{id}")))
            .collect(),
        entitlements: Vec::new(),
        sessions: None,
        further: BTreeMap::new(),
        privileged: false,
    }
}

fn accounts(count: u64, attributes: &[&str]) -> Vec<Account> {
    (0..count).map(|id| account(id, attributes)).collect()
}

fn answer(count: u64) -> Answer {
    let shown = accounts(count, &["number", "mail"]);
    Answer::of(&shown, Completeness::WHOLE, 0, &bounds())
}

fn survey(seconds: u64, answer: Result<Answer, FailureClass>) -> Survey {
    let at = after(dawn(), seconds);
    Survey {
        at,
        until: at,
        answer: answer.map_err(|class| Failure::new(class, "CB-TEST-1", "planted")),
        credentials: BTreeMap::new(),
        undrilled: None,
    }
}

fn played(surveys: &[Survey]) -> Standing {
    let first = Standing::default();
    surveys
        .iter()
        .fold(first, |before, next| advance(&before, next, &bounds()).0)
}

#[test]
fn c5_an_unknown_connector_becomes_healthy_by_one_good_survey() {
    let nothing = Standing::default();
    assert_eq!(nothing.judged(&bounds(), dawn()).0, State::Unknown);
    let (standing, sample) = advance(&nothing, &survey(0, Ok(answer(10))), &bounds());
    assert_eq!(
        (standing.state, sample.state),
        (State::Healthy, State::Healthy)
    );
    assert_eq!(sample.fields["number"], 100);
    assert_eq!(sample.change, None);
    assert!(standing.recheck.is_none(), "nothing had been decided on it");
}

#[test]
fn c5_what_nobody_surveys_grows_stale_by_itself() {
    let standing = played(&[survey(0, Ok(answer(10)))]);
    let state = |seconds| standing.judged(&bounds(), after(dawn(), seconds)).0;
    assert_eq!((state(600), state(601)), (State::Healthy, State::Stale));
}

#[test]
fn c5_a_connector_that_never_answered_is_stale_after_its_interval() {
    let failed = || Err(FailureClass::Unreachable);
    assert_eq!(played(&[survey(0, failed())]).state, State::Failing);
    let later = played(&[survey(0, failed()), survey(601, failed())]);
    assert_eq!(later.state, State::Stale);
}

/// What a test does to a good answer.
type Change = fn(&mut Answer);

#[test]
fn c6_every_gap_has_its_state() {
    let with = |change: fn(&mut Answer)| {
        let mut answer = answer(10);
        change(&mut answer);
        let good = survey(0, Ok(super::tests::answer(10)));
        played(&[good, survey(10, Ok(answer))])
    };
    let cases: [(Change, State); 8] = [
        (|_| {}, State::Healthy),
        (|a| a.completeness.permission_cut = true, State::Failing),
        (|a| a.completeness.pages_closed = false, State::Failing),
        (|a| a.completeness.fields_present = false, State::Drifted),
        (|a| a.completeness.count_in_band = false, State::Drifted),
        (|a| a.accounts = 7, State::Drifted),
        (
            |a| a.fields.extend([("number".to_owned(), 0)]),
            State::Drifted,
        ),
        (|a| a.data_age_seconds = 61, State::Stale),
    ];
    for (number, (change, state)) in cases.into_iter().enumerate() {
        let standing = with(change);
        assert_eq!(standing.state, state, "{number}: {}", standing.reason);
        assert_eq!(
            standing.surveyed,
            Some(after(dawn(), if number == 0 { 10 } else { 0 }))
        );
    }
}

#[test]
fn c6_a_new_field_is_another_shape_and_a_rare_one_is_not() {
    let shown = |extra: u64| {
        let mut shown = accounts(10, &["number", "mail"]);
        for account in shown.iter_mut().take(extra as usize) {
            account.attributes.insert("new".to_owned(), "x".to_owned());
        }
        let answer = Answer::of(&shown, Completeness::WHOLE, 0, &bounds());
        played(&[
            survey(0, Ok(super::tests::answer(10))),
            survey(10, Ok(answer)),
        ])
        .state
    };
    assert_eq!((shown(1), shown(10)), (State::Healthy, State::Drifted));
}

#[test]
fn c6_an_approved_change_of_the_manifest_is_learned_anew() {
    let before = played(&[survey(0, Ok(answer(10))), survey(10, Ok(answer(3)))]);
    assert_eq!(before.state, State::Drifted);
    let approved = Bounds {
        manifest: "m2".to_owned(),
        ..bounds()
    };
    let (standing, _) = advance(&before, &survey(20, Ok(answer(3))), &approved);
    assert_eq!(standing.state, State::Healthy);
    let known = standing.baseline.expect("learned");
    assert_eq!((known.manifest.as_str(), known.accounts), ("m2", 3));
}

#[test]
fn c6_what_clawback_deleted_is_not_counted_as_a_change() {
    let mut standing = played(&[survey(0, Ok(answer(10)))]);
    standing.note(&Tally {
        deleted: 5,
        ..Tally::default()
    });
    let (after, _) = advance(&standing, &survey(10, Ok(answer(5))), &bounds());
    assert_eq!((after.state, after.deleted), (State::Healthy, 0));
}

#[test]
fn c5_a_write_that_the_target_refuses_us_is_told_until_one_works() {
    let mut standing = played(&[survey(0, Ok(answer(10)))]);
    let mut tally = Tally::default();
    tally.note(after(dawn(), 1), true, Some(FailureClass::AuthFailure));
    standing.note(&tally);
    assert_eq!(
        standing.judged(&bounds(), after(dawn(), 2)).0,
        State::Failing
    );
    let mut tally = Tally::default();
    tally.note(after(dawn(), 3), true, None);
    standing.note(&tally);
    assert_eq!(
        standing.judged(&bounds(), after(dawn(), 4)).0,
        State::Healthy
    );
    assert_eq!(standing.calls.failures[&FailureClass::AuthFailure], 1);
    let (_, sample) = advance(&standing, &survey(10, Ok(answer(10))), &bounds());
    assert_eq!(sample.calls.writes, 1);
}

#[test]
fn c10_what_was_decided_since_the_last_good_survey_is_owed_a_look() {
    let standing = played(&[
        survey(0, Ok(answer(10))),
        survey(300, Err(FailureClass::Unreachable)),
        survey(700, Err(FailureClass::Unreachable)),
        survey(900, Ok(answer(10))),
    ]);
    let recheck = standing.recheck.expect("owed");
    assert_eq!((recheck.since, recheck.until), (dawn(), after(dawn(), 900)));
}

#[test]
fn c10_a_connector_that_nobody_watched_is_seen_again_too() {
    let standing = played(&[survey(0, Ok(answer(10))), survey(5000, Ok(answer(10)))]);
    assert_eq!(standing.recheck.expect("owed").since, dawn());
}

#[test]
fn c10_what_was_seen_again_is_not_owed_anew_when_the_surveys_take_too_long() {
    let mut standing = played(&[survey(0, Ok(answer(10))), survey(5000, Ok(answer(10)))]);
    let seen = Some((after(dawn(), 100), super::RunId(uuid::Uuid::nil())));
    standing.recheck.as_mut().expect("owed").done = seen;
    let late = survey(10_000, Ok(answer(10)));
    let (standing, _) = advance(&standing, &late, &bounds());
    let recheck = standing.recheck.expect("the rest is owed");
    assert_eq!((recheck.since, recheck.done), (dawn(), seen));
    assert_eq!(recheck.until, after(dawn(), 10_000));
}

fn any_answer() -> impl Strategy<Value = Result<Answer, FailureClass>> {
    let whole = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let good = (0_u64..30, whole, 0_u64..100, 0_u64..=100).prop_map(
        |(count, (pages, fields, band, cut), age, share)| {
            let mut answer = answer(count);
            answer.completeness = Completeness {
                pages_closed: pages,
                fields_present: fields,
                count_in_band: band,
                permission_cut: cut,
            };
            answer.data_age_seconds = age;
            answer.fields.insert("mail".to_owned(), share);
            Ok(answer)
        },
    );
    let failed = (0..FailureClass::ALL.len()).prop_map(|i| Err(FailureClass::ALL[i]));
    // As a target is on most days, so that histories come back to health.
    let usual = Just(Ok(answer(10)));
    prop_oneof![3 => usual, 2 => good, 2 => failed]
}

fn histories() -> impl Strategy<Value = Vec<(u64, Result<Answer, FailureClass>)>> {
    proptest::collection::vec((1_u64..1000, any_answer()), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn c5_only_a_good_survey_is_healthy_and_only_it_is_remembered(history in histories()) {
        let (mut standing, mut seconds) = (Standing::default(), 0);
        for (pause, answer) in history {
            seconds += pause;
            let next = survey(seconds, answer.clone());
            let before = standing.clone();
            let (after, sample) = advance(&before, &next, &bounds());
            let whole = matches!(&answer, Ok(a) if a.completeness.gap().is_none()
                && a.data_age_seconds <= bounds().max_data_age_seconds);
            if after.state == State::Healthy {
                prop_assert!(whole);
                prop_assert_eq!(after.surveyed, Some(next.at));
            } else {
                prop_assert_eq!(after.surveyed, before.surveyed);
                prop_assert_eq!(&after.baseline, &before.baseline);
                prop_assert!(after.away_since.is_some());
            }
            prop_assert_eq!(sample.state, after.state);
            prop_assert!(!after.reason.is_empty());
            // Time alone never makes a connector better.
            let later = after.judged(&bounds(), super::super::time::after(next.until, 10_000)).0;
            prop_assert!(later.is_away());
            standing = after;
        }
    }

    #[test]
    fn c10_no_time_away_is_forgotten_before_it_was_seen_again(history in histories()) {
        let (mut standing, mut seconds) = (Standing::default(), 0);
        let mut last_good: Option<Timestamp> = None;
        for (pause, answer) in history {
            seconds += pause;
            let next = survey(seconds, answer);
            let (after, _) = advance(&standing, &next, &bounds());
            let was_away = standing.judged(&bounds(), next.at).0.is_away();
            if was_away && after.state == State::Healthy {
                let owed = after.recheck.clone().expect("owed after it was away");
                prop_assert!(last_good.is_none_or(|good| owed.since <= good));
                prop_assert_eq!(owed.until, next.at);
            }
            if after.state == State::Healthy {
                last_good = Some(next.at);
            }
            standing = after;
        }
    }

    #[test]
    fn c5_surveys_are_never_due_later_than_the_interval_allows(
        answer in any_answer(), fraction in 0.0_f64..1.0, refresh in 2_u64..100_000
    ) {
        let bounds = Bounds { refresh_seconds: refresh, ..bounds() };
        let (standing, _) = advance(&Standing::default(), &survey(0, answer), &bounds);
        let due = next_survey(&standing, &bounds, dawn(), fraction);
        prop_assert!(due > dawn());
        prop_assert!(due <= after(dawn(), (refresh / 2).max(1)));
    }

    #[test]
    fn c6_a_troubled_connector_makes_no_read_whole(what in "[a-z]{1,8}") {
        for trouble in [Trouble::Drifted(what.clone()), Trouble::Miscounted(what)] {
            prop_assert!(trouble.believed(Completeness::WHOLE).gap().is_some());
        }
    }
}

#[test]
fn a_standing_can_be_read_by_whoever_wrote_less_of_it() {
    let standing: Standing = serde_json::from_str("{}").expect("every part has a default");
    assert_eq!(standing, Standing::default());
    let full = Standing {
        care: BTreeMap::from([(State::Stale, super::RunId(uuid::Uuid::nil()))]),
        baseline: Some(Baseline {
            manifest: "m".to_owned(),
            accounts: 1,
            fields: BTreeMap::new(),
        }),
        calls: Calls {
            failures: BTreeMap::from([(FailureClass::Drifted, 2)]),
            ..Calls::default()
        },
        write_failed: Some((dawn(), FailureClass::AuthFailure)),
        ..played(&[survey(0, Err(FailureClass::Unreachable))])
    };
    let text = serde_json::to_string(&full).expect("written");
    let read: Standing = serde_json::from_str(&text).expect("read");
    assert_eq!(read, full);
}
