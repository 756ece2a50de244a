//! F1, F3, F5: the second person, bulk closing, filled steps, deadlines that escalate.
//!
//! Owns what happens between people about one task. What the machine does meanwhile is `tasks`.

use super::given::{self, CRM, attested, facts};
use super::play::Play;
use super::target::Target;
use super::ward::Ward;
use crate::domain::command::{Answer, Wish};
use crate::domain::escalation::{People, Role};
use crate::domain::id::{CommandId, TaskId};
use crate::domain::outcome::FailureClass;
use crate::domain::run::RunBody;
use crate::domain::task::{Bulk, Closure, FallbackTask, TaskState};
use crate::domain::time::{Timestamp, after};
use crate::domain::workflow::{End, RunKind};

/// A removal at a privileged target that a person has and nobody can read any more.
fn privileged() -> (Play, Target) {
    let mut privileged = facts();
    privileged.privileged = true;
    let mut play = Play::new(&[(CRM, privileged)]);
    play.hear(given::leaves());
    let mut target = Target::new();
    target.deaf = true;
    play.until(RunKind::Removal, "with_person", &mut target);
    target.go_down();
    (play, target)
}

fn task(play: &Play) -> &FallbackTask {
    play.task(RunKind::Removal)
}

fn id(play: &Play) -> TaskId {
    task(play).id
}

fn confirm(play: &mut Play, by: &str) -> Answer {
    let statement = "I saw it gone too".to_owned();
    let task = id(play);
    play.wish(
        by,
        Wish::ConfirmTask {
            task,
            statement,
            meant: None,
        },
    )
}

fn code(answer: &Answer) -> Option<&str> {
    answer.code.as_deref()
}

#[test]
fn f3_privileged_access_takes_a_second_person_in_a_command_of_their_own() {
    let (mut play, mut target) = privileged();
    // When ann names bob as the one who attests, then that is nobody's word.
    let before = (play.runs.clone(), play.tasks.clone());
    let answer = play.close(id(&play), "ann", Some(attested("bob")));
    assert_eq!(code(&answer), Some("CB-COMMAND-5"));
    assert_eq!(before, (play.runs.clone(), play.tasks.clone()));
    // When she attests herself, then it waits for somebody else, and is not closed.
    assert!(play.close(id(&play), "ann", Some(attested("ann"))).accepted);
    play.rest(&mut target);
    assert_eq!(play.end(RunKind::Removal), None);
    assert_eq!(task(&play).state.as_str(), "awaiting_second_person");
    // She cannot be that person, however she writes her name; nor can it be closed or claimed anew.
    let answer = confirm(&mut play, " Ann ");
    assert_eq!(code(&answer), Some("CB-COMMAND-5"));
    let answer = play.close(id(&play), "bob", Some(attested("bob")));
    assert_eq!(code(&answer), Some("CB-COMMAND-6"));
    let claim = Wish::ClaimTask { task: id(&play) };
    assert_eq!(code(&play.wish("bob", claim)), Some("CB-COMMAND-6"));
    // When bob confirms, then it ends attested, with both names and both texts.
    assert!(confirm(&mut play, "bob").accepted);
    play.rest(&mut target);
    assert_eq!(play.end(RunKind::Removal), Some(End::Attested));
    let closed = task(&play);
    assert!(matches!(
        &closed.state,
        TaskState::Closed { how: Closure::Attested, by, .. } if by == "ann"
    ));
    let signed: Vec<_> = closed
        .attestations
        .iter()
        .map(|one| (one.by.as_str(), one.statement.as_str()))
        .collect();
    assert_eq!(
        signed,
        [("ann", "I saw it gone"), ("bob", "I saw it gone too")]
    );
}

#[test]
fn f3_a_second_person_in_the_row_who_is_the_first_counts_for_nothing() {
    let (mut play, mut target) = privileged();
    play.close(id(&play), "ann", Some(attested("ann")));
    play.rest(&mut target);
    confirm(&mut play, "bob");
    // Given a claim that got past the door with the same person twice.
    let run = play.run(RunKind::Removal).id;
    let run = play.runs.get_mut(&run).expect("is there");
    let RunBody::Removal(body) = &mut run.body else {
        panic!("a removal");
    };
    body.claim.as_mut().expect("was claimed").second = Some(attested("ANN "));
    play.rest(&mut target);
    // Then the step leaves it waiting.
    assert_eq!(play.end(RunKind::Removal), None);
    assert_eq!(task(&play).state.as_str(), "awaiting_second_person");
}

#[test]
fn f3_access_that_is_seen_meanwhile_outweighs_two_people() {
    let (mut play, mut target) = privileged();
    play.close(id(&play), "ann", Some(attested("ann")));
    play.rest(&mut target);
    // The target is back, and the access is there.
    target.fails.clear();
    confirm(&mut play, "bob");
    play.rest(&mut target);
    assert_eq!(play.end(RunKind::Removal), None);
    let TaskState::SentBack { found, .. } = &task(&play).state else {
        panic!("{:?}", task(&play).state);
    };
    assert!(found.contains("still there"), "{found}");
    // And so it is when the machine finds it by itself while the second person is awaited.
    target.go_down();
    play.close(id(&play), "ann", Some(attested("ann")));
    play.rest(&mut target);
    assert_eq!(task(&play).state.as_str(), "awaiting_second_person");
    target.fails.clear();
    play.pass(86_400, &mut target);
    assert_eq!(task(&play).state.as_str(), "sent_back");
}

#[test]
fn f4_the_machine_may_prove_it_while_the_second_person_is_awaited() {
    let (mut play, mut target) = privileged();
    play.close(id(&play), "ann", Some(attested("ann")));
    play.rest(&mut target);
    target.fails.clear();
    target.accounts.clear();
    play.pass(2 * 86_400, &mut target);
    assert_eq!(play.end(RunKind::Removal), Some(End::Verified));
    let proved = task(&play);
    assert!(matches!(
        &proved.state,
        TaskState::Closed {
            how: Closure::ProvedByMachine,
            ..
        }
    ));
    assert!(proved.attestations.is_empty(), "it is not told as attested");
}

#[test]
fn f3_nobody_stands_for_another_text_than_the_one_they_read() {
    let (mut play, mut target) = privileged();
    play.close(id(&play), "ann", Some(attested("ann")));
    play.rest(&mut target);
    let read = task(&play).meant();
    // Meanwhile ann takes it back and signs something else.
    let reason = "not yet".to_owned();
    let task_id = id(&play);
    play.wish(
        "ann",
        Wish::RejectTask {
            task: task_id,
            reason,
        },
    );
    play.rest(&mut target);
    let mut other = attested("ann");
    other.statement = "I was told so".to_owned();
    play.close(task_id, "ann", Some(other));
    play.rest(&mut target);
    let mut stand = |meant| {
        let statement = "I saw it gone too".to_owned();
        let wish = Wish::ConfirmTask {
            task: task_id,
            statement,
            meant: Some(meant),
        };
        play.wish("bob", wish).code
    };
    assert_eq!(stand(read).as_deref(), Some("CB-COMMAND-12"));
    let now = play.tasks[&task_id].meant();
    let statement = "I saw it gone too".to_owned();
    let wish = Wish::ConfirmTask {
        task: task_id,
        statement,
        meant: Some(now),
    };
    assert!(play.wish("bob", wish).accepted);
}

#[test]
fn f3_the_second_person_may_send_it_back() {
    let (mut play, mut target) = privileged();
    play.close(id(&play), "ann", Some(attested("ann")));
    play.rest(&mut target);
    let reject = Wish::RejectTask {
        task: id(&play),
        reason: "the key still works".to_owned(),
    };
    assert!(play.wish("bob", reject).accepted);
    let TaskState::SentBack { by, found, .. } = &task(&play).state else {
        panic!("{:?}", task(&play).state);
    };
    assert_eq!(
        (by.as_str(), found.as_str()),
        ("bob", "the key still works")
    );
    // It is open to whoever takes it.
    assert!(
        play.wish("cy", Wish::ClaimTask { task: id(&play) })
            .accepted
    );
}

#[test]
fn f3_nobody_confirms_what_nobody_attested_or_signs_an_empty_text() {
    let (mut play, mut target) = privileged();
    assert_eq!(code(&confirm(&mut play, "bob")), Some("CB-COMMAND-6"));
    let mut blank = attested("ann");
    blank.statement = "  ".to_owned();
    let answer = play.close(id(&play), "ann", Some(blank));
    assert_eq!(code(&answer), Some("CB-COMMAND-8"));
    play.rest(&mut target);
    assert_eq!(task(&play).state, TaskState::Open);
}

#[test]
fn f3_closing_in_bulk_needs_a_reason_and_stays_on_the_task() {
    let mut play = Play::begun();
    let mut target = Target::new();
    play.until(RunKind::Removal, "disable", &mut target);
    target.go_down();
    play.until(RunKind::Removal, "with_person", &mut target);
    let bulk = |reason: &str| Wish::CloseInBulk {
        task: play.run(RunKind::Removal).id.task(),
        note: "the system was shut down".to_owned(),
        attestation: Some(attested("ann")),
        bulk: Bulk {
            id: CommandId(uuid::Uuid::from_u128(7)),
            of: 12,
            reason: reason.to_owned(),
        },
    };
    let (without, with) = (bulk(" "), bulk("decommissioned"));
    assert_eq!(code(&play.wish("ann", without)), Some("CB-COMMAND-8"));
    assert!(play.wish("ann", with).accepted);
    play.rest(&mut target);
    assert_eq!(play.end(RunKind::Removal), Some(End::Attested));
    let closed = task(&play);
    let bulk = closed.bulk.as_ref().expect("it was one of many");
    assert_eq!((bulk.of, bulk.reason.as_str()), (12, "decommissioned"));
    let told = closed.history.iter().map(|note| note.text.as_str());
    let told = told.collect::<Vec<_>>().join("\n");
    assert!(
        told.contains("with 12 tasks at once (decommissioned)"),
        "{told}"
    );
}

#[test]
fn f3_what_was_closed_in_bulk_and_is_proved_says_so_too() {
    let mut play = Play::begun();
    let mut target = Target::new();
    target.deaf = true;
    play.until(RunKind::Removal, "with_person", &mut target);
    target.accounts.clear();
    let bulk = Bulk {
        id: CommandId(uuid::Uuid::from_u128(7)),
        of: 3,
        reason: "the tenant was deleted".to_owned(),
    };
    let closes = Wish::CloseInBulk {
        task: id(&play),
        note: "gone with it".to_owned(),
        attestation: None,
        bulk: bulk.clone(),
    };
    assert!(play.wish("cy", closes).accepted);
    play.pass(2 * 86_400, &mut target);
    assert_eq!(play.end(RunKind::Removal), Some(End::Verified));
    assert_eq!(task(&play).bulk, Some(bulk));
}

#[test]
fn f5_what_the_machine_says_pushes_no_word_of_a_person_out_of_the_history() {
    let mut play = Play::begun();
    let mut target = Target::new();
    target.deaf = true;
    play.until(RunKind::Removal, "with_person", &mut target);
    let mut task = task(&play).clone();
    task.remember(play.now, "cy", "I have asked the vendor".to_owned());
    for number in 0..1000 {
        task.remember(play.now, "clawback", format!("told {number}"));
    }
    assert!(task.history.len() <= 200, "{}", task.history.len());
    assert_eq!(task.history[0].text, "opened");
    assert!(task.history.iter().any(|note| note.by == "cy"));
    assert!(task.history.iter().any(|note| note.text == "told 999"));
}

#[test]
fn f1_steps_are_filled_with_the_account_its_access_and_its_age() {
    let mut facts = facts();
    facts.fallback.steps = vec![
        "Ask {subject}'s manager".to_owned(),
        "Remove {account} from {connector}: {access}, seen {access_age} ago".to_owned(),
    ];
    let mut play = Play::new(&[(CRM, facts)]);
    play.hear(given::leaves());
    let mut target = Target::new();
    target.deaf = true;
    play.until(RunKind::Removal, "with_person", &mut target);
    assert_eq!(
        task(&play).steps,
        [
            "Ask Lea Ver's manager",
            "Remove login-a-1 (a-1) from crm: group g-staff, credential k-api, role r-sales, seen \
             0 min ago"
        ]
    );
    // As the machine goes on trying, so does the age.
    target.go_down();
    play.pass(3 * 86_400, &mut target);
    let step = &task(&play).steps[1];
    assert!(
        step.ends_with("seen 2 days ago") || step.ends_with("seen 3 days ago"),
        "{step}"
    );
}

/// What an hourly sweep does for so many hours.
fn swept(play: &mut Play, people: &People, hours: u64) -> Vec<(Role, String, Timestamp)> {
    let mut told = Vec::new();
    let facts = play.estate.connectors.get(&CRM.into()).cloned();
    for _ in 0..hours {
        play.now = after(play.now, 3600);
        let task = play.task(RunKind::Removal).clone();
        if let Some(escalated) = people.escalate(&task, facts.as_ref(), Some("status"), play.now) {
            let to = escalated.task.escalation.to.clone().expect("somebody");
            told.push((to.role, to.name, play.now));
            let message = escalated.message.expect("a topic");
            let text = String::from_utf8(message.payload).expect("is text");
            assert!(text.contains("clawback.status.task-escalated.v1"), "{text}");
            assert!(!text.contains("ann"), "a role is told, not a name: {text}");
            let ends = text.contains("\"chain_ended\":true");
            assert_eq!(ends, escalated.task.escalation.last, "{text}");
            play.tasks.insert(task.id, escalated.task);
        }
    }
    told
}

#[test]
fn f5_a_deadline_that_passes_is_told_to_one_after_the_other_until_somebody_acts() {
    let mut play = Play::begun();
    let mut target = Target::new();
    target.deaf = true;
    play.until(RunKind::Removal, "with_person", &mut target);
    let opened = task(&play).opened;
    let people = People {
        desks: vec!["iam-desk".to_owned()],
        again_hours: 4,
        ..People::default()
    };
    // Until the deadline nobody is told.
    assert_eq!(swept(&mut play, &people, 23), []);
    let told = swept(&mut play, &people, 18);
    let roles: Vec<_> = told
        .iter()
        .map(|(role, name, _)| (*role, name.as_str()))
        .collect();
    let desk = (Role::Desk, "iam-desk");
    assert_eq!(
        roles,
        [
            (Role::Owner, "ann"),
            (Role::Deputy, "bob"),
            desk,
            desk,
            desk
        ]
    );
    assert!(told[0].2 >= after(opened, 24 * 3600));
    assert_eq!(task(&play).escalation.times, 5);
    // Where nobody comes after them, the task and each message say so.
    assert!(task(&play).escalation.last);
    let history = &task(&play).history;
    let ends = history
        .iter()
        .filter(|note| note.text.contains("the chain ends here"));
    assert!(ends.clone().count() > 0, "{history:?}");
    assert!(ends.clone().all(|note| note.text.contains("told iam-desk")));
    assert!(
        history
            .iter()
            .any(|note| note.text.contains("told ann (owner)")),
        "{history:?}"
    );
    // Somebody acts: it is left alone for a while, and told again when it is still not done.
    play.estate.people = people.clone();
    assert!(
        play.wish("cy", Wish::ClaimTask { task: id(&play) })
            .accepted
    );
    assert_eq!(swept(&mut play, &people, 3), []);
    assert_eq!(swept(&mut play, &people, 2).len(), 1);
    // Closed, it is quiet for ever.
    target.accounts.clear();
    play.close(id(&play), "cy", None);
    play.pass(2 * 86_400, &mut target);
    assert_eq!(play.end(RunKind::Removal), Some(End::Verified));
    assert_eq!(swept(&mut play, &people, 100), []);
}

#[test]
fn f5_an_act_before_the_deadline_does_not_move_it_nearer_or_away() {
    let mut play = Play::begun();
    let mut target = Target::new();
    target.deaf = true;
    play.until(RunKind::Removal, "with_person", &mut target);
    let deadline = task(&play).deadline;
    assert!(
        play.wish("cy", Wish::ClaimTask { task: id(&play) })
            .accepted
    );
    assert_eq!(task(&play).chased_at(), deadline);
    // Just before the deadline it is put off by one interval at most.
    play.now = after(deadline, 0);
    play.wish("cy", Wish::ClaimTask { task: id(&play) });
    assert_eq!(task(&play).chased_at(), after(deadline, 4 * 3600));
}

#[tokio::test]
async fn f5_the_sweep_escalates_what_is_overdue_and_keeps_it() {
    // Given a target that is away until the task of its connector is overdue.
    let ward = Ward::new("", false).await;
    ward.target.shown().fails = Some(FailureClass::Unreachable);
    ward.survey_after(0).await.expect("due");
    ward.survey_after(61).await.expect("due");
    let task = ward.open_tasks().await.remove(0);
    assert_eq!(ward.engine.escalate().await.expect("looked"), 0);
    ward.clock.advance(48 * 3600);
    // When it is swept, then its owner is told once, and an interval later the deputy.
    assert_eq!(ward.engine.escalate().await.expect("looked"), 1);
    assert_eq!(ward.engine.escalate().await.expect("looked"), 0);
    ward.clock.advance(4 * 3600);
    assert_eq!(ward.engine.escalate().await.expect("looked"), 1);
    let kept = ward.store.task(task.id).await.expect("read").expect("kept");
    assert_eq!(kept.escalation.times, 2);
    let to = kept.escalation.to.as_ref().expect("somebody");
    assert_eq!(
        (to.role, to.name.as_str()),
        (Role::Deputy, "deputy@acme.example")
    );
    let page = crate::telemetry::metrics::page();
    assert!(page.contains("clawback_tasks_escalated_total{connector=\"crm\",to=\"owner\"}"));
    // The next survey that finds it away leaves that in place.
    ward.survey_after(61).await.expect("due");
    let kept = ward.store.task(task.id).await.expect("read").expect("kept");
    assert_eq!(kept.escalation.times, 2);
}
