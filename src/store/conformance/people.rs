//! What the store promises about people's work: escalations once, two people, pauses that last.
//!
//! The decisions are made up here; who is told and when is the domain's.

use uuid::Uuid;

use super::super::{Claimed, CopiesWanted, Listed, StoreError};
use super::Home;
use super::domain::approval::{
    Content, Matter, MatterKind, Proposal, ProposalState, Record, Ruling, Signed, propose,
};
use super::domain::brake::{Ask, Limit};
use super::domain::command::{Answer, Command, Wish};
use super::domain::escalation::Escalated;
use super::domain::id::CommandId;
use super::domain::run::Run;
use super::domain::settlement::Obedience;
use super::domain::task::{Attestation, FallbackTask};
use super::domain::time::after;
use super::domain::verdict::CredentialRole;
use super::given::{
    a_removal, a_task, at, closed, fenced, handed_over, keep, message, step, with_person, worker,
};

/// A removal that a person has, and that nobody holds.
async fn with_a_person(home: &Home, name: &str) -> Run {
    let removal = a_removal(&home.store, name).await;
    let batch = [fenced(&removal, handed_over(&removal.run))];
    let settled = home.store.settle(at(0), &keep(1, 0), &batch).await;
    assert_eq!(settled.expect("settled").accepted, [true]);
    batch[0].settlement.run.clone()
}

/// Told at this second, and again an hour later.
fn told(task: &FallbackTask, second: u64) -> Escalated {
    let mut task = task.clone();
    task.escalation.times += 1;
    task.escalation.next = Some(at(second + 3600));
    Escalated {
        message: Some(message(second, "escalated")),
        task,
        copy_at: None,
    }
}

pub async fn f5_an_overdue_task_is_escalated_once_and_again_when_its_time_has_come(home: &Home) {
    let run = with_a_person(home, "c").await;
    let store = &home.store;
    let early = store.escalate(10, at(3599), &|task| Some(told(task, 3599)));
    assert_eq!(early.await.expect("looked"), []);
    // Many look at the same moment.
    let mut looks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        looks.spawn(async move {
            let decide = |task: &FallbackTask| Some(told(task, 3600));
            store.escalate(10, at(3600), &decide).await.expect("looked")
        });
    }
    let all: Vec<_> = looks.join_all().await.into_iter().flatten().collect();
    assert_eq!(all.len(), 1, "{all:?}");
    let kept = store
        .task(run.id.task())
        .await
        .expect("read")
        .expect("kept");
    assert_eq!(kept.escalation.times, 1);
    let counts = store.counts(at(3600)).await.expect("counted");
    assert_eq!(counts.outbox_waiting, 1, "it is told with the change");
    let soon = store.escalate(10, at(7199), &|task| Some(told(task, 7199)));
    assert_eq!(soon.await.expect("looked"), []);
    let again = store.escalate(10, at(7200), &|task| Some(told(task, 7200)));
    assert_eq!(again.await.expect("looked")[0].escalation.times, 2);
    // What is decided against changes nothing.
    let none = store.escalate(10, at(100_000), &|_| None);
    assert_eq!(none.await.expect("looked"), []);
}

/// The desk that is told gets a row for its copy with the escalation, once.
pub async fn f5_a_desk_that_is_told_gets_a_copy(home: &Home) {
    let run = with_a_person(home, "c").await;
    let store = &home.store;
    let task = run.id.task();
    for (times, second) in [(1, 3600), (2, 7200)] {
        let decide = |task: &FallbackTask| {
            Some(Escalated {
                copy_at: Some("servicedesk".into()),
                ..told(task, second)
            })
        };
        let escalated = store.escalate(10, at(second), &decide).await;
        assert_eq!(escalated.expect("looked")[0].escalation.times, times);
        let copies = store.copies_of(task).await.expect("read");
        let desks: Vec<_> = copies.iter().map(|copy| copy.desk.as_str()).collect();
        assert_eq!(desks, ["servicedesk"]);
    }
    // It is worked on like any other.
    let enlisted = store.enlist(worker(2), at(0), 1_000_000).await;
    enlisted.expect("enlisted");
    let wanted = CopiesWanted {
        worker: worker(2),
        now: at(7300),
        desk: "servicedesk".into(),
        lease_seconds: 60,
        at_most: 9,
    };
    let taken = store.take_copies(&wanted).await.expect("taken");
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].task.id, task);
}

pub async fn f5_a_task_whose_run_is_leased_is_escalated_when_it_is_free(home: &Home) {
    let run = with_a_person(home, "c").await;
    let store = &home.store;
    let due = |command: &Command, _: Option<&FallbackTask>, found: Option<&Run>| Obedience {
        run: found.map(|found| {
            let mut run = step(found, super::given::due("check", 0)).run;
            run.task = Some(run.id.task());
            run
        }),
        ..bare(command)
    };
    store
        .wish(&wish(
            1,
            Wish::ClaimTask {
                task: run.id.task(),
            },
        ))
        .await
        .expect("wished");
    assert_eq!(store.obey(10, at(1), &due).await.expect("obeyed"), 1);
    let held: Claimed = store
        .claim(at(1), &keep(2, 5))
        .await
        .expect("claimed")
        .remove(0);
    let decide = |task: &FallbackTask| Some(told(task, 4000));
    assert_eq!(
        store.escalate(10, at(4000), &decide).await.expect("looked"),
        []
    );
    let mut back = step(&held.run, with_person());
    back.run.task = Some(run.id.task());
    let settled = store
        .settle(at(4000), &keep(2, 0), &[fenced(&held, back)])
        .await;
    assert_eq!(settled.expect("settled").accepted, [true]);
    assert_eq!(
        store
            .escalate(10, at(4000), &decide)
            .await
            .expect("looked")
            .len(),
        1
    );
}

pub async fn f5_tasks_of_leased_runs_keep_no_other_from_being_told(home: &Home) {
    let store = &home.store;
    let first = with_a_person(home, "c").await;
    // It is under way again, and its task is the longest overdue.
    let sooner = |command: &Command, task: Option<&FallbackTask>, found: Option<&Run>| Obedience {
        run: found.map(|found| {
            let mut run = step(found, super::given::due("check", 0)).run;
            run.task = Some(run.id.task());
            run
        }),
        task: task.cloned().map(|mut task| {
            task.deadline = at(10);
            task
        }),
        ..bare(command)
    };
    let task = first.id.task();
    let claim = wish(1, Wish::ClaimTask { task });
    store.wish(&claim).await.expect("wished");
    assert_eq!(store.obey(10, at(1), &sooner).await.expect("obeyed"), 1);
    let held = store.claim(at(1), &keep(2, 5)).await.expect("claimed");
    assert_eq!(held.len(), 1);
    let second = with_a_person(home, "d").await;
    let decide = |task: &FallbackTask| Some(told(task, 9000));
    let told = store.escalate(1, at(9000), &decide).await.expect("looked");
    let told: Vec<_> = told.iter().map(|task| task.run).collect();
    assert_eq!(told, [second.id]);
}

pub async fn p_two_people_attest_what_is_privileged(home: &Home) {
    let run = with_a_person(home, "c").await;
    let by = |name: &str| Attestation {
        by: name.to_owned(),
        statement: "I saw it gone".to_owned(),
    };
    let refused = [vec![], vec![by("ann")], vec![by("ann"), by(" ANN")]];
    let privileged = |signed: Vec<Attestation>| FallbackTask {
        privileged: true,
        attestations: signed,
        ..closed(a_task(&run))
    };
    for signed in refused {
        let result = close(home, privileged(signed.clone())).await;
        let Err(StoreError::Broken { constraint, .. }) = result else {
            panic!("{signed:?}: {result:?}");
        };
        assert_eq!(constraint, "promise_attested_by_two", "{signed:?}");
    }
    let two = privileged(vec![by("ann"), by("bob")]);
    assert_eq!(close(home, two).await.expect("closed"), 1);
}

pub async fn p_nobody_approves_what_they_proposed_whatever_the_kind(home: &Home) {
    for kind in MatterKind::ALL {
        let matter = Matter {
            kind,
            name: "crm".to_owned(),
        };
        let says = |name: &str| Signed {
            by: name.to_owned(),
            ..signed(name)
        };
        let content = Content::of(format!("what {} is about", kind.as_str()));
        let proposes =
            |record: &Record| propose(record, &matter, content.clone(), at(1000), says("Ann"));
        let ruled = home.store.rule(&matter, &proposes).await.expect("stored");
        ruled.expect("proposed");
        // The domain would never ask for it; the database refuses it all the same.
        for name in ["Ann", "aNN", " ann "] {
            let approves = |record: &Record| {
                let open = record.open.clone();
                Ok(Ruling {
                    decided: open.map(|open| Proposal {
                        state: ProposalState::Approved(says(name)),
                        ..open
                    }),
                    ..Ruling::default()
                })
            };
            match home.store.rule(&matter, &approves).await {
                Err(StoreError::Broken { constraint, .. }) => {
                    assert_eq!(constraint, "promise_two_people", "{kind:?} {name}");
                }
                other => panic!("{kind:?} {name}: {other:?}"),
            }
        }
        let past = home.store.past(&matter).await.expect("read");
        assert_eq!(past.bindings, [], "{kind:?}: nothing binds");
        assert!(past.proposals[0].state.signed().is_none(), "{kind:?}");
    }
}

/// Writes the task as a wish would.
async fn close(home: &Home, task: FallbackTask) -> Result<u32, StoreError> {
    let number = u64::from(home.store.counts(at(0)).await.expect("counted").tasks_open as u32);
    let command = wish(10 + number, Wish::ClaimTask { task: task.id });
    home.store.wish(&command).await.expect("wished");
    let closes = |command: &Command, _: Option<&FallbackTask>, _: Option<&Run>| Obedience {
        task: Some(task.clone()),
        ..bare(command)
    };
    home.store.obey(10, at(1), &closes).await
}

pub(super) fn signed(by: &str) -> Signed {
    Signed {
        by: by.to_owned(),
        at: after(at(0), 1),
        reason: "it misbehaves".to_owned(),
    }
}

pub(super) fn wish(number: u64, wish: Wish) -> Command {
    Command {
        id: CommandId(Uuid::from_u64_pair(0xc1, number)),
        by: "ann".to_owned(),
        at: at(0),
        wish,
    }
}

pub(super) fn bare(command: &Command) -> Obedience {
    Obedience {
        command: command.id,
        answer: Answer {
            accepted: true,
            code: None,
            message: "done".to_owned(),
        },
        task: None,
        run: None,
        rotation: None,
        survey: None,
        pause: None,
        drill: None,
        puts_off: None,
    }
}

fn ask(brake: &str, holder: &str, at_most: u64) -> Ask {
    Ask {
        brake: brake.to_owned(),
        holder: holder.to_owned(),
        limit: Limit {
            window_seconds: 60,
            at_most,
            share_percent: None,
            at_least: 0,
        },
        population: None,
        known_at: None,
        lifted: false,
        code: "CB-BRAKE-3",
    }
}

pub async fn g1_many_workers_cannot_overrun_a_brake(home: &Home) {
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..40 {
        let store = home.store.clone();
        asking.spawn(async move {
            let asks = [
                ask("departures/source/hr", &format!("case {}", number / 2), 15),
                ask("writes/crm", &format!("removal {number}"), 7),
            ];
            store.permit(&asks, at(number % 5)).await.expect("asked")
        });
    }
    let stopped = asking.join_all().await;
    let passed = stopped.iter().filter(|stop| stop.is_none()).count();
    assert_eq!(passed, 7, "{stopped:?}");
    let stop = stopped
        .iter()
        .flatten()
        .find(|stop| stop.brake == "writes/crm");
    let stop = stop.expect("somebody was stopped there");
    assert_eq!((stop.begun, stop.limit), (7, 7));
}

pub async fn g1_a_brake_counts_once_within_its_window_and_all_or_none(home: &Home) {
    let store = &home.store;
    let one = |holder: &str| [ask("a", holder, 2), ask("b", holder, 1)];
    let permit = async |asks: &[Ask], second: u64| {
        let stop = store.permit(asks, at(second)).await.expect("asked");
        stop.map(|stop| (stop.brake, stop.begun))
    };
    assert_eq!(permit(&one("x"), 0).await, None);
    assert_eq!(
        permit(&one("x"), 1).await,
        None,
        "who has passed passes again"
    );
    // Stopped at the second, it has not counted at the first.
    assert_eq!(permit(&one("y"), 2).await, Some(("b".to_owned(), 1)));
    assert_eq!(permit(&one("y")[..1], 3).await, None);
    assert_eq!(permit(&one("z")[..1], 4).await, Some(("a".to_owned(), 2)));
    // What is lifted passes, and counts.
    let lifted = [Ask {
        lifted: true,
        ..ask("a", "w", 2)
    }];
    assert_eq!(permit(&lifted, 5).await, None);
    assert_eq!(permit(&one("z")[..1], 6).await, Some(("a".to_owned(), 3)));
    // Another of the same name counts the same, over its own time.
    let longer = |holder: &str| {
        let mut other = ask("long", holder, 3);
        other.limit.window_seconds = 600;
        [other, ask("long", holder, 2)]
    };
    for (holder, second, held) in [
        ("1", 0, None),
        ("2", 1, None),
        ("3", 2, Some(2)),
        ("3", 90, None),
        ("4", 91, Some(3)),
    ] {
        let stop = permit(&longer(holder), second).await;
        assert_eq!(
            stop,
            held.map(|begun| ("long".to_owned(), begun)),
            "{holder}"
        );
    }
    // What has begun counts on when another window is set beside it.
    let mut daily = ask("long", "5", 100);
    daily.limit.window_seconds = 86_400;
    let [longer, shorter] = longer("5");
    let beside = [daily, longer, shorter];
    assert_eq!(permit(&beside, 100).await, Some(("long".to_owned(), 3)));
    // The window rolls on.
    assert_eq!(permit(&one("z")[1..], 59).await, Some(("b".to_owned(), 1)));
    assert_eq!(permit(&one("z"), 70).await, None);
}

pub async fn g1_a_share_is_of_the_accounts_that_are_known(home: &Home) {
    let store = &home.store;
    let share = |holder: &str| {
        let mut ask = ask("writes/crm", holder, 100);
        ask.limit.share_percent = Some(50);
        ask.limit.at_least = 1;
        ask.known_at = Some("crm".into());
        [ask]
    };
    let asked = async |holder: &str| store.permit(&share(holder), at(1)).await.expect("asked");
    assert_eq!(asked("1").await, None, "the rule for small targets");
    assert_eq!(asked("2").await.map(|stop| stop.limit), Some(1));
    let accounts = ["a", "b", "c", "d"].map(super::given::an_account);
    let listed = Listed {
        connector: "crm".into(),
        at: at(0),
        credential: CredentialRole::Verifier,
        whole: true,
        accounts: accounts.to_vec(),
    };
    store.save_inventory(&listed).await.expect("kept");
    assert_eq!(asked("2").await, None);
    assert_eq!(asked("3").await.map(|stop| stop.limit), Some(2));
}

pub async fn g2_removals_under_way_are_known_by_their_accounts(home: &Home) {
    let removal = a_removal(&home.store, "c").await;
    let under_way = home.store.removals_under_way(&"crm".into()).await;
    assert_eq!(under_way.expect("read"), ["a1".into()]);
    let ends = fenced(&removal, super::given::proved(&removal.run));
    home.store
        .settle(at(1), &keep(1, 0), &[ends])
        .await
        .expect("settled");
    let under_way = home.store.removals_under_way(&"crm".into()).await;
    assert_eq!(under_way.expect("read"), []);
}
