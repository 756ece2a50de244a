//! C8: what a drill asks of its passes, and when it is due.
//!
//! Owns the rules of a drill as they are told in decision 11, one test for each; the engine's own tests
//! carry drills out.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::*;
use crate::domain::access::AccountState;
use crate::domain::escalation::{Escalation, People};
use crate::domain::estate::Instructions;
use crate::domain::id::{CaseId, RunId};
use crate::domain::outcome::FailureClass;
use crate::domain::subject::SubjectKind;
use crate::domain::task::{FallbackTask, TaskState};
use crate::domain::workflow::RunKind;

const HOUR: u64 = 3600;

fn dawn() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("an instant")
}

fn terms() -> Terms {
    Terms {
        canary: Subject {
            kind: SubjectKind::Person,
            tenant: "clawback".to_owned(),
            id: "canary-crm".to_owned(),
            identifiers: Vec::new(),
            display_name: Some("Canary of crm".to_owned()),
            privileged: false,
        },
        every_seconds: None,
        within_seconds: HOUR,
        made_by: "the nightly job".to_owned(),
    }
}

fn fallback() -> Instructions {
    Instructions {
        desk: "built-in".to_owned(),
        steps: vec!["by hand".to_owned()],
        deadline_hours: 24,
        escalate_to: Vec::new(),
    }
}

fn account() -> Account {
    Account {
        id: "a-1".into(),
        login: "canary".to_owned(),
        display_name: None,
        state: AccountState::Enabled,
        attributes: BTreeMap::new(),
        entitlements: Vec::new(),
        sessions: None,
        further: BTreeMap::new(),
        privileged: false,
    }
}

/// The task that a failing connector must lead to.
fn right(now: Timestamp) -> FallbackTask {
    let run = RunId(Uuid::from_u128(7));
    FallbackTask {
        id: run.task(),
        run,
        kind: RunKind::Discovery,
        case: Some(CaseId(Uuid::from_u128(8))),
        connector: Some("crm".into()),
        subject: "Canary of crm (canary-crm)".to_owned(),
        account: Some("canary".to_owned()),
        privileged: false,
        drill: true,
        priority: 30,
        access: Vec::new(),
        access_as_of: Some(now),
        class: Some(FailureClass::Unreachable),
        code: FAULT.to_owned(),
        asks: None,
        why: "unreachable: it fails".to_owned(),
        steps: fallback().steps,
        desk: "built-in".to_owned(),
        opened: now,
        deadline: after(now, 24 * HOUR),
        state: TaskState::Open,
        escalation: Escalation::default(),
        attestations: Vec::new(),
        bulk: None,
        history: Vec::new(),
    }
}

/// What a test takes from a task.
type Gap = fn(&mut FallbackTask);

struct Stand {
    terms: Terms,
    fallback: Instructions,
    people: People,
    manifest: ContentDigest,
}

impl Stand {
    fn new() -> Self {
        Self {
            terms: terms(),
            fallback: fallback(),
            people: People::default(),
            manifest: "m-1".into(),
        }
    }

    fn ground(&self, now: Timestamp) -> Ground<'_> {
        Ground {
            terms: &self.terms,
            fallback: &self.fallback,
            people: &self.people,
            manifest: &self.manifest,
            now,
        }
    }

    fn begun(&self) -> Drill {
        let id = DrillId(Uuid::from_u128(1));
        let drill = Drill::new(id, "crm".into(), "ada", dawn());
        let next = drill.looked(Ok(vec![account()]), &self.ground(dawn()));
        assert!(next.event.is_some(), "its first pass is opened");
        next.drill
    }
}

fn sight(ended: Option<End>, removals: (u32, u32), tasks: Vec<FallbackTask>) -> Sight {
    Sight {
        ended,
        removals: removals.0,
        verified: removals.1,
        tasks,
    }
}

#[test]
fn c8_a_drill_passes_by_one_right_task_and_one_proved_removal() {
    let stand = Stand::new();
    let ground = stand.ground(dawn());
    let drill = stand.begun();
    // Not yet admitted, then under way: nothing is concluded.
    let drill = drill.seen(None, &ground).drill;
    let drill = drill
        .seen(Some(&sight(None, (0, 0), vec![])), &ground)
        .drill;
    assert_eq!(drill.passes.len(), 0);
    let opened = sight(None, (0, 0), vec![right(dawn())]);
    let next = drill.seen(Some(&opened), &ground);
    let event = next.event.expect("called off");
    assert_eq!(event.event.kind, EventKind::TerminationCancelled);
    assert_eq!(Pass::of(&event), Some(Pass::Failing));
    // The other pass begins only when the first case is over.
    let drill = next.drill.seen(Some(&opened), &ground).drill;
    assert!(matches!(drill.stage, Stage::Closing { .. }));
    let halted = sight(Some(End::Halted), (0, 0), vec![right(dawn())]);
    let next = drill.seen(Some(&halted), &ground);
    let event = next.event.expect("opened");
    assert_eq!(Pass::of(&event), Some(Pass::Well));
    let proved = sight(Some(End::Verified), (1, 1), vec![]);
    let drill = next.drill.seen(Some(&proved), &ground).drill;
    assert_eq!(drill.ended(), Some((dawn(), true)), "{:?}", drill.findings);
}

#[test]
fn c8_a_canary_that_is_gone_fails_the_drill_and_is_named() {
    let stand = Stand::new();
    let drill = Drill::new(DrillId(Uuid::nil()), "crm".into(), "ada", dawn());
    let next = drill.looked(Ok(Vec::new()), &stand.ground(dawn()));
    assert!(next.event.is_none(), "nothing is rehearsed without one");
    assert_eq!(next.drill.ended(), Some((dawn(), false)));
    let words = next.drill.words();
    assert!(
        words.contains("no canary") && words.contains("the nightly job"),
        "{words}"
    );
}

#[test]
fn c8_every_gap_of_the_fallback_task_fails_the_drill() {
    let gaps: [(Gap, &str); 10] = [
        (|t| t.code = "CB-VAULT-1".to_owned(), "something else"),
        (|t| t.drill = false, "marked"),
        (|t| t.subject = "somebody".to_owned(), "who"),
        (|t| t.connector = Some("shop".into()), "where"),
        (|t| t.account = None, "account"),
        (|t| t.access_as_of = None, "how old"),
        (|t| t.steps.clear(), "what to do"),
        (|t| t.deadline = after(t.opened, HOUR), "deadline"),
        (|t| t.desk = "other".to_owned(), "desk"),
        (|t| t.why.clear(), "why"),
    ];
    let stand = Stand::new();
    for (gap, said) in gaps {
        let mut task = right(dawn());
        gap(&mut task);
        let opened = sight(None, (0, 0), vec![task]);
        let next = stand.begun().seen(Some(&opened), &stand.ground(dawn()));
        assert_eq!(next.drill.findings.len(), 1, "{said}: {:?}", next.drill);
        assert!(next.drill.findings[0].contains(said), "{:?}", next.drill);
        let over = sight(Some(End::Halted), (0, 0), vec![]);
        let drill = next.drill.seen(Some(&over), &stand.ground(dawn())).drill;
        assert_eq!(drill.ended(), Some((dawn(), false)));
    }
}

#[test]
fn c8_steps_are_judged_as_they_are_filled_in() {
    let mut stand = Stand::new();
    let step = "by hand: {account} with {access}, seen {access_age} ago";
    stand.fallback.steps = vec![step.to_owned()];
    let filled = "by hand: canary with no entitlement that was seen, seen 0 min ago";
    for (said, findings) in [(filled, 0), (step, 1)] {
        let mut task = right(dawn());
        task.steps = vec![said.to_owned()];
        let opened = sight(None, (0, 0), vec![task]);
        let next = stand.begun().seen(Some(&opened), &stand.ground(dawn()));
        assert_eq!(next.drill.findings.len(), findings, "{said}");
    }
}

#[test]
fn c8_two_tasks_none_or_a_touched_account_are_no_fallback() {
    let stand = Stand::new();
    let sights = [
        sight(None, (0, 0), vec![right(dawn()), right(dawn())]),
        sight(Some(End::Verified), (0, 0), vec![]),
        sight(None, (1, 0), vec![right(dawn())]),
    ];
    for sight in sights {
        let next = stand.begun().seen(Some(&sight), &stand.ground(dawn()));
        assert_eq!(next.drill.findings.len(), 1, "{sight:?}");
    }
}

#[test]
fn c8_the_well_pass_needs_proof_and_nobody() {
    let stand = Stand::new();
    let ground = stand.ground(dawn());
    let sights = [
        sight(Some(End::Attested), (1, 0), vec![]),
        sight(Some(End::Verified), (0, 0), vec![]),
        sight(Some(End::Verified), (2, 1), vec![]),
        sight(None, (1, 0), vec![right(dawn())]),
    ];
    for sight in sights {
        let mut drill = stand.begun();
        drill.passes.insert(Pass::Failing);
        let since = dawn();
        drill.stage = Stage::Passing {
            pass: Pass::Well,
            since,
        };
        let next = drill.seen(Some(&sight), &ground);
        assert_eq!(next.drill.findings.len(), 1, "{sight:?}");
        // What is still open is called off: nobody gets work from a drill.
        assert_eq!(next.event.is_some(), sight.ended.is_none());
    }
}

#[test]
fn c8_a_pass_that_comes_to_nothing_is_called_off() {
    let stand = Stand::new();
    let under_way = sight(None, (0, 0), vec![]);
    let late = after(dawn(), HOUR);
    let next = stand.begun().seen(Some(&under_way), &stand.ground(late));
    assert!(next.event.is_some() && next.drill.findings.len() == 1);
    let given_up = stand.begun().given_up("it is gone", late);
    assert!(given_up.event.is_some(), "its case is called off as well");
    assert_eq!(given_up.drill.ended(), Some((late, false)));
}

#[test]
fn c8_a_pass_counts_only_for_the_manifest_under_which_it_was_begun() {
    let mut stand = Stand::new();
    let mut drill = stand.begun();
    drill.passes.insert(Pass::Failing);
    let since = dawn();
    drill.stage = Stage::Passing {
        pass: Pass::Well,
        since,
    };
    stand.manifest = "m-2".into();
    let proved = sight(Some(End::Verified), (1, 1), vec![]);
    let drill = drill.seen(Some(&proved), &stand.ground(dawn())).drill;
    assert_eq!(drill.ended(), Some((dawn(), false)));
    assert_eq!(drill.manifest, Some("m-1".into()));
}

#[test]
fn c8_no_event_from_outside_is_a_drills() {
    let stand = Stand::new();
    let drill = stand.begun();
    let event = drill.event(Pass::Failing, EventKind::WorkerTerminated, 1, dawn());
    let mut event = event.expect("has a canary");
    assert_eq!(Pass::of(&event), Some(Pass::Failing));
    event.origin.topic = "hr".to_owned();
    assert_eq!(
        Pass::of(&event),
        None,
        "whatever source it claims to be from"
    );
}

#[test]
fn c8_a_drill_is_due_when_none_passed_what_is_in_force_and_then_by_the_schedule() {
    let day = 86_400;
    let over = |passed| {
        let mut drill = Stand::new().begun();
        drill.stage = Stage::Ended { at: dawn(), passed };
        drill
    };
    let due = |newest: Option<&Drill>, manifest: &str, drilled, days| {
        let now = after(dawn(), days * day);
        begins(newest, &manifest.into(), drilled, 30 * day, now)
    };
    assert!(due(None, "m-1", false, 0));
    assert!(
        !due(Some(&Stand::new().begun()), "m-1", false, 99),
        "one is under way"
    );
    assert!(!due(Some(&over(true)), "m-1", true, 29));
    assert!(due(Some(&over(true)), "m-1", true, 30));
    assert!(
        due(Some(&over(true)), "m-2", false, 0),
        "another is in force"
    );
    assert!(
        !due(Some(&over(true)), "m-2", true, 0),
        "it is narrower, or overridden"
    );
    assert!(!due(Some(&over(false)), "m-1", false, 0), "not in a circle");
    assert!(due(Some(&over(false)), "m-1", false, 1));
}

#[test]
fn c8_a_failed_and_an_overdue_drill_are_trouble() {
    let day = 86_400;
    let over = |passed| {
        let mut drill = Stand::new().begun();
        drill.stage = Stage::Ended { at: dawn(), passed };
        drill
    };
    let told = |drills: &[Drill], days| {
        let now = after(dawn(), days * day);
        trouble(drills, Some(dawn()), 30 * day, day, now)
    };
    assert_eq!(told(&[over(true)], 31), None);
    let overdue = told(&[over(true)], 32).expect("is trouble");
    assert!(overdue.contains("overdue"), "{overdue}");
    let failed = told(&[over(false), over(true)], 0).expect("is trouble");
    assert!(failed.contains("failed"), "{failed}");
    assert_eq!(told(&[], 1), None, "its first is on its way");
    assert!(told(&[], 2).is_some());
    assert_eq!(
        told(&[Stand::new().begun(), over(true)], 31),
        None,
        "it is under way"
    );
}
