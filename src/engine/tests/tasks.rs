//! F1, F3, F4: one task for one run, claims that are checked, a machine that keeps trying.
//!
//! Owns what happens between a run and the person who has it. What desks show is theirs.

use super::given::{self, attested};
use super::play::Play;
use super::target::{Target, name};
use crate::domain::access::AccountState;
use crate::domain::command::Wish;
use crate::domain::id::TaskId;
use crate::domain::outcome::FailureClass;
use crate::domain::run::Stage;
use crate::domain::task::{Closure, FallbackTask, TaskState};
use crate::domain::time::{after, after_ms};
use crate::domain::verdict::{Completeness, Finding, Verdict};
use crate::domain::workflow::{End, RunKind};

/// A removal in a person's hands, because the target says yes and does nothing.
fn handed_over(play: &mut Play) -> Target {
    let mut target = Target::new();
    target.deaf = true;
    play.until(RunKind::Removal, "with_person", &mut target);
    target
}

fn task(play: &Play) -> TaskId {
    play.task(RunKind::Removal).id
}

/// Ann says that it is done, and the machine looks.
fn ann_attests(play: &mut Play, target: &mut Target) {
    play.close(task(play), "ann", Some(attested("ann")));
    play.rest(target);
}

fn last_line(task: &FallbackTask) -> &str {
    &task.history.last().expect("it was opened").text
}

fn is_sent_back(play: &Play, with: &str) -> bool {
    match &play.task(RunKind::Removal).state {
        TaskState::SentBack { by, found, .. } => by == "clawback" && found.contains(with),
        TaskState::Open
        | TaskState::Claimed { .. }
        | TaskState::Checking(_)
        | TaskState::AwaitingSecondPerson(_)
        | TaskState::Closed { .. } => false,
    }
}

fn closed(play: &Play, kind: RunKind) -> Option<(Closure, String)> {
    match &play.task(kind).state {
        TaskState::Closed { how, by, .. } => Some((*how, by.clone())),
        TaskState::Open
        | TaskState::Claimed { .. }
        | TaskState::Checking(_)
        | TaskState::SentBack { .. }
        | TaskState::AwaitingSecondPerson(_) => None,
    }
}

#[test]
fn f1_a_run_has_one_task_however_often_it_comes_back() {
    // Given a target that is down for a week, with claims in between.
    let mut target = Target::new();
    let mut play = Play::begun();
    play.until(RunKind::Removal, "inspect", &mut target);
    target.go_down();
    for _ in 0..7 {
        play.pass(86_400, &mut target);
        play.close(play.run(RunKind::Removal).id.task(), "ann", None);
    }
    // Then the run came to its person many times, and there is one task.
    let deeds = play.deeds.iter().map(|deed| &deed.settlement);
    let arrivals = deeds.filter(|settlement| settlement.task.is_some());
    let ids: Vec<TaskId> = arrivals
        .filter_map(|s| s.task.as_ref())
        .map(|t| t.id)
        .collect();
    assert!(ids.len() > 10, "{}", ids.len());
    assert!(ids.iter().all(|id| *id == task(&play)));
    assert_eq!(play.tasks.len(), 1);
}

#[test]
fn f1_the_task_tells_what_a_person_needs() {
    let mut play = Play::begun();
    handed_over(&mut play);
    let task = play.task(RunKind::Removal);
    assert_eq!(task.subject, "Lea Ver");
    assert_eq!(task.account.as_deref(), Some("login-a-1 (a-1)"));
    assert_eq!(task.access.len(), 3);
    assert_eq!(task.access_as_of, Some(play.removal().account_as_of));
    assert!(
        task.why.contains("account login-a-1 is there"),
        "{}",
        task.why
    );
    assert_eq!(task.steps, ["do it by hand"]);
    assert_eq!(task.deadline, after(task.opened, 24 * 3600));
}

#[test]
fn f3_a_false_close_is_sent_back_and_a_true_one_is_proved() {
    let mut play = Play::begun();
    let mut target = handed_over(&mut play);
    // When somebody says that it is done and it is not.
    assert!(play.close(task(&play), "ann", None).accepted);
    assert_eq!(play.task(RunKind::Removal).state.as_str(), "checking");
    play.rest(&mut target);
    // Then it comes back with what was seen.
    let sent_back = play.task(RunKind::Removal);
    assert!(is_sent_back(&play, ""), "{:?}", sent_back.state);
    let line = last_line(sent_back);
    assert!(line.starts_with("sent back: the machine looked"), "{line}");
    assert!(
        line.contains("still there: account login-a-1 is there"),
        "{line}"
    );
    assert_eq!(play.removal().claim, None);
    assert!(matches!(
        play.run(RunKind::Removal).stage,
        Stage::WithPerson { .. }
    ));
    // When it is done indeed, then it is proved, after the settle time too.
    target.accounts.remove(&"a-1".into());
    play.close(task(&play), "ann", None);
    play.rest(&mut target);
    assert_eq!(play.end(RunKind::Removal), None);
    play.pass(3600, &mut target);
    assert_eq!(play.end(RunKind::Removal), Some(End::Verified));
    let proved = Some((Closure::Proved, "ann".to_owned()));
    assert_eq!(closed(&play, RunKind::Removal), proved);
}

#[test]
fn f3_access_that_is_seen_outweighs_an_attestation() {
    let mut play = Play::begun();
    let mut target = handed_over(&mut play);
    play.close(task(&play), "ann", Some(attested("ann")));
    play.rest(&mut target);
    assert_eq!(play.end(RunKind::Removal), None);
    assert!(is_sent_back(&play, "still there"));
}

#[test]
fn f3_where_the_target_cannot_be_read_only_an_attestation_closes() {
    let mut play = Play::begun();
    let mut target = Target::new();
    play.until(RunKind::Removal, "disable", &mut target);
    target.go_down();
    play.until(RunKind::Removal, "with_person", &mut target);
    // When it is closed without one, then it is sent back.
    play.close(task(&play), "ann", None);
    play.rest(&mut target);
    let sent_back = play.task(RunKind::Removal);
    assert!(is_sent_back(&play, ""), "{:?}", sent_back.state);
    let line = last_line(sent_back);
    assert!(line.contains("could not be read: attest"), "{line}");
    // When it is closed with one, then it ends attested, and never as verified.
    ann_attests(&mut play, &mut target);
    assert_eq!(play.end(RunKind::Removal), Some(End::Attested));
    let by_word = Some((Closure::Attested, "ann".to_owned()));
    assert_eq!(closed(&play, RunKind::Removal), by_word);
    assert!(play.run(RunKind::Removal).verdict < Some(Verdict::ObservedAbsent));
    let told = &play.task(RunKind::Removal).history;
    assert!(told.iter().any(|note| note.text.contains("I saw it gone")));
}

#[test]
fn f3_half_a_look_does_not_stand_in_the_way_of_an_attestation() {
    let mut play = Play::begun();
    let mut target = handed_over(&mut play);
    target.accounts.remove(&"a-1".into());
    target.look.completeness = Completeness {
        pages_closed: false,
        ..Completeness::WHOLE
    };
    ann_attests(&mut play, &mut target);
    assert_eq!(play.end(RunKind::Removal), Some(End::Attested));
}

#[test]
fn f3_what_was_seen_before_the_claim_does_not_count_against_it() {
    // Given a removal whose access was seen, and a target that has gone away since.
    let mut play = Play::begun();
    let mut target = handed_over(&mut play);
    assert!(matches!(
        play.removal().last_finding,
        Some(Finding::Present(_))
    ));
    target.go_down();
    // When a person attests what nobody can look at any more, then that is accepted.
    ann_attests(&mut play, &mut target);
    assert_eq!(play.end(RunKind::Removal), Some(End::Attested));
}

#[test]
fn f3_a_claim_that_comes_while_the_machine_tries_is_checked_too() {
    // Given a removal that the machine has taken up again while its task is open.
    let mut play = Play::begun();
    let mut target = handed_over(&mut play);
    target.fail("inspect", FailureClass::StaleData);
    play.skip();
    play.rest(&mut target);
    assert_eq!(play.run(RunKind::Removal).stage.name(), "inspect");
    // When a person attests, and the step under way fails.
    play.close(task(&play), "ann", Some(attested("ann")));
    play.skip();
    play.rest(&mut target);
    // Then the target was looked at all the same, and the claim is known to be false.
    assert_eq!(
        play.effects().last().map(|effect| name(effect)),
        Some("observe")
    );
    assert_eq!(play.end(RunKind::Removal), None);
    let task = play.task(RunKind::Removal);
    assert!(
        last_line(task).contains("still there"),
        "{:?}",
        task.history
    );
    assert_eq!(task.state.as_str(), "sent_back");
}

#[test]
fn f3_a_closed_task_stays_closed() {
    let mut play = Play::begun();
    let mut target = handed_over(&mut play);
    target.go_down();
    play.close(task(&play), "ann", Some(attested("ann")));
    play.rest(&mut target);
    let answer = play.close(task(&play), "bob", None);
    assert_eq!(answer.code.as_deref(), Some("CB-COMMAND-3"));
    assert_eq!(play.end(RunKind::Removal), Some(End::Attested));
}

/// The pauses after each arrival at the person, in seconds.
fn pauses(play: &Play, kind: RunKind) -> Vec<i64> {
    let settled = play.deeds.iter().map(|deed| &deed.settlement);
    let arrivals = settled.filter(|one| one.run.kind == kind && one.task.is_some());
    let waits = arrivals.filter_map(|one| {
        let (due, at) = (one.run.stage.due()?, one.journal.last()?.at);
        Some(due.duration_since(at).as_secs())
    });
    waits.collect()
}

#[test]
fn f4_the_machine_keeps_trying_at_pauses_that_grow_up_to_a_day() {
    let mut target = Target::new();
    target.go_down();
    let mut play = Play::begun();
    play.pass(10 * 86_400, &mut target);
    let pauses = pauses(&play, RunKind::Discovery);
    let grown = [
        900, 1800, 3600, 7200, 14_400, 28_800, 57_600, 86_400, 86_400,
    ];
    assert_eq!(pauses[..9], grown);
    assert!(pauses[9..].iter().all(|pause| *pause == 86_400));
    assert!(pauses.len() >= 12, "{pauses:?}");
}

#[test]
fn f4_what_the_machine_says_again_does_not_pile_up() {
    let mut target = Target::new();
    target.go_down();
    let mut play = Play::begun();
    play.pass(2 * 86_400, &mut target);
    let claim = Wish::RejectTask {
        task: play.task(RunKind::Discovery).id,
        reason: "ask the vendor".to_owned(),
    };
    play.wish("ann", claim);
    play.pass(30 * 86_400, &mut target);
    // The machine's line, what the person said, and the machine's line again, with its last time.
    let task = play.task(RunKind::Discovery);
    let texts: Vec<_> = task.history.iter().map(|note| note.text.as_str()).collect();
    let again = "tried again: unreachable: planted";
    let told = ["opened", again, "rejected: ask the vendor", again];
    assert_eq!(texts, told);
    let last = task.history.last().expect("is there").at;
    assert!(last > after(given::dawn(), 30 * 86_400), "{last}");
}

#[test]
fn f4_a_target_that_comes_back_is_finished_and_proved_by_the_machine() {
    // Given a discovery and a removal that people have.
    for kind in [RunKind::Discovery, RunKind::Removal] {
        let mut target = Target::new();
        let mut play = Play::begun();
        if kind == RunKind::Removal {
            play.until(RunKind::Removal, "end_sessions", &mut target);
        }
        target.go_down();
        play.until(kind, "with_person", &mut target);
        // When the target recovers.
        target.fails.clear();
        play.pass(900 + 3600 + 60 + 86_400, &mut target);
        // Then the machine finishes, proves, and closes the task with a note.
        assert_eq!(play.end(RunKind::Removal), Some(End::Verified));
        assert_eq!(play.end(RunKind::Case), Some(End::Verified));
        let by_machine = Some((Closure::ProvedByMachine, "clawback".to_owned()));
        assert_eq!(closed(&play, kind), by_machine, "{kind:?}");
        assert_eq!(last_line(play.task(kind)), "absence is proved");
    }
}

#[test]
fn f4_a_person_keeps_a_task_that_the_machine_tries_and_fails() {
    let mut play = Play::begun();
    let mut target = handed_over(&mut play);
    let wish = Wish::ClaimTask { task: task(&play) };
    assert!(play.wish("ann", wish.clone()).accepted);
    assert_eq!(play.wish("bob", wish).code.as_deref(), Some("CB-COMMAND-4"));
    let tried = play.effects().len();
    play.pass(3600, &mut target);
    assert!(play.effects().len() > tried);
    assert_eq!(play.task(RunKind::Removal).state.as_str(), "claimed");
}

#[test]
fn f4_what_stands_in_the_record_is_not_empty() {
    let mut play = Play::begun();
    handed_over(&mut play);
    let id = task(&play);
    let before = play.task(RunKind::Removal).clone();
    let blank = || " \t".to_owned();
    for wish in [
        Wish::RejectTask {
            task: id,
            reason: blank(),
        },
        Wish::CloseTask {
            task: id,
            note: blank(),
            attestation: Some(attested("ann")),
        },
    ] {
        assert_eq!(play.wish("ann", wish).code.as_deref(), Some("CB-COMMAND-8"));
    }
    assert_eq!(*play.task(RunKind::Removal), before);
}

#[test]
fn f3_what_a_person_takes_back_is_not_acted_on() {
    // Given a close that is about to be checked at a target that cannot be read.
    let mut play = Play::begun();
    let mut target = handed_over(&mut play);
    target.go_down();
    let id = task(&play);
    play.close(id, "ann", Some(attested("ann")));
    // Then it is nobody else's,
    let claim = Wish::ClaimTask { task: id };
    assert_eq!(
        play.wish("bob", claim).code.as_deref(),
        Some("CB-COMMAND-4")
    );
    // and when it is taken back, the machine only goes on as before.
    let reason = "wrong account".to_owned();
    let back = Wish::RejectTask { task: id, reason };
    assert!(play.wish("ann", back).accepted);
    play.pass(86_400, &mut target);
    assert_eq!(play.end(RunKind::Removal), None);
    let open = play.task(RunKind::Removal);
    assert_eq!(open.state, TaskState::Open);
    let sent_back = open
        .history
        .iter()
        .any(|note| note.text.contains("sent back"));
    assert!(!sent_back, "{:?}", open.history);
}

#[test]
fn f1_the_state_before_the_first_write_is_kept_for_the_person() {
    let mut play = Play::begun();
    let mut target = Target::new();
    target.fail("delete", FailureClass::WriteFailure);
    play.until(RunKind::Removal, "with_person", &mut target);
    // Taken up again, it reads the account as the machine has left it.
    play.pass(2000, &mut target);
    let body = play.removal();
    assert_eq!(body.account.state, AccountState::Enabled);
    assert_eq!(body.account.entitlements.len(), 3);
    assert!(body.account_as_of < after_ms(given::dawn(), 1000));
    assert!(body.last_write > Some(after(given::dawn(), 900)));
}

#[test]
fn f2_nobody_is_no_person_and_no_second_one() {
    let mut play = Play::begun();
    handed_over(&mut play);
    let task = task(&play);
    for nobody in ["", "  "] {
        let answer = play.close(task, nobody, Some(attested(nobody)));
        assert_eq!(answer.code.as_deref(), Some("CB-COMMAND-11"));
        let claim = play.wish(nobody, Wish::ClaimTask { task });
        assert!(!claim.accepted);
    }
    assert_eq!(play.task(RunKind::Removal).state, TaskState::Open);
}
