//! Cases and answers that were written before this version, and lack what it keeps.
//!
//! Owns that what is missing in them is read so that no access stays for it, and that no case which has
//! begun is taken for one that has not.

use super::given::{self, melbourne, news, stays};
use super::play::Play;
use super::target::Target;
use super::ward::Ward;
use crate::domain::admit::has_begun_uncounted;
use crate::domain::again::{Again, again, hr_case};
use crate::domain::command::Wish;
use crate::domain::event::EventKind;
use crate::domain::run::{RunBody, Stage};
use crate::domain::settlement::{Admission, AdmissionDecision};
use crate::domain::time::{Clock, Effective, after};
use crate::domain::workflow::{End, RunKind};
use crate::store::{CaseFilter, IntakeBatch};

#[test]
fn e3_dropped_news_of_which_nobody_kept_who_dropped_it_silences_no_return() {
    // Given a departure that has settled, and doubtful news of it that a person has dropped.
    let mut target = Target::new();
    let mut play = Play::begun();
    play.pass(2 * 86_400, &mut target);
    let removal = play.run(RunKind::Removal).clone();
    play.hear(news(
        EventKind::TerminationChanged,
        2,
        melbourne("2126-01-01T09:00:00"),
    ));
    let wish = Wish::RuleHold {
        task: play.tasks_open()[0].id,
        release: false,
        note: "a slip".to_owned(),
        meant: None,
    };
    assert!(play.wish("ann", wish).accepted);
    play.rest(&mut target);
    let told = |play: &Play| {
        let own = ["hr-1".to_owned()];
        matches!(
            again(&removal, &own, &play.existing(), &[], play.now),
            Again::Told { .. }
        )
    };
    assert!(told(&play));
    // Then it is told as well where the answer was not kept, and not where the source called it off.
    let held = play.cases[1].row.id.run();
    for (voice, tells) in [
        (None, true),
        (Some(crate::domain::doubt::Voice::Event), false),
    ] {
        let run = play.runs.get_mut(&held).expect("known");
        let RunBody::Case(body) = &mut run.body else {
            panic!("a case");
        };
        body.ruling = voice.map(|voice| crate::domain::doubt::Ruling {
            release: false,
            by: "ann".to_owned(),
            voice: Some(voice),
            note: "off".to_owned(),
        });
        assert_eq!(told(&play), tells, "{voice:?}");
    }
    assert!(hr_case(removal.id).starts_with("seen-again/"));
}

#[test]
fn b7_a_case_past_its_wait_has_begun_however_it_was_counted() {
    let mut play = Play::new(&[(given::CRM, given::facts())]);
    play.hear(news(
        EventKind::WorkerTerminated,
        1,
        melbourne("2026-12-01T18:00:00"),
    ));
    let own = given::library().by_event(EventKind::WorkerTerminated);
    let own = own.map(|workflow| &**workflow);
    let begun = |play: &Play, own| has_begun_uncounted(&play.existing()[0], own, play.now);
    assert!(!begun(&play, own));
    assert!(!begun(&play, None));
    let id = play.run(RunKind::Case).id;
    play.runs.get_mut(&id).expect("known").stage = Stage::Due {
        state: "discover".into(),
        due: play.now,
    };
    assert!(begun(&play, own));
    // Whose definition nobody has is taken for begun when its time has come.
    play.now = after(play.now, 10 * 86_400);
    assert!(begun(&play, None));
}

#[tokio::test]
async fn b7_a_case_that_began_before_rounds_were_counted_is_stopped_and_reviewed() {
    let ward = Ward::new("", false).await;
    ward.leaver_leaves().await;
    ward.admit().await;
    // Given the row as an older version left it.
    let now = ward.clock.now();
    let record = |event| IntakeBatch {
        events: vec![given::recorded(event, now)],
        ..IntakeBatch::default()
    };
    let older = news(EventKind::TerminationChanged, 2, Effective::Immediately);
    ward.store.record(&record(older)).await.expect("recorded");
    let keep = ward.none_kept();
    let rewrite = |event: &crate::domain::event::RecordedEvent,
                   existing: &[crate::domain::settlement::ExistingCase]| {
        let mut run = existing[0].run.clone();
        run.stage = Stage::Due {
            state: "discover".into(),
            due: after(now, 3600),
        };
        if let RunBody::Case(body) = &mut run.body {
            body.rounds = 0;
        }
        Admission {
            event: event.event.key(),
            decision: AdmissionDecision::Reschedule {
                case: Box::new(existing[0].row.clone()),
                run: Box::new(run),
            },
            reason: "as it was".to_owned(),
            halts: Vec::new(),
        }
    };
    let admitted = ward.store.admit(1, now, &keep, &rewrite).await;
    assert_eq!(admitted.expect("admitted").events, 1);
    // When it is called off.
    ward.store
        .record(&record(stays(3)))
        .await
        .expect("recorded");
    ward.admit().await;
    ward.work(60).await;
    // Then a person reviews it.
    let cases = ward
        .store
        .cases(&CaseFilter::default())
        .await
        .expect("read");
    assert_eq!(cases[0].ended, None, "and not {:?}", End::Rescinded);
    let codes: Vec<_> = ward
        .open_tasks()
        .await
        .into_iter()
        .map(|t| t.code)
        .collect();
    assert_eq!(codes, ["CB-CASE-2"]);
}
