//! F2, F3: copies of tasks at desks, as the engine keeps them with store, domain and real clients.
//!
//! Owns the promises, each over every kind that has a fake; Request Tracker is tested for real, in
//! `tests/integration/desks.rs`. The fakes are with their kinds.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::ward::{Ward, numbered};
use crate::desks::tests::{Counter, Fake, SECRET, secret};
use crate::desks::{jira, servicenow, webhook};
use crate::domain::desk::{DeskCopy, Heard, Seen, Stands};
use crate::domain::outcome::{Failure, FailureClass};
use crate::domain::task::{FallbackTask, TaskState};
use crate::domain::time::Clock as _;
use crate::domain::workflow::RunKind;
use crate::engine::{Crew, Desks, courier::Courier, crew::Shares};

/// A whole engine whose one connector's tasks go to a desk.
struct Scene {
    ward: Ward,
    counter: Counter,
    callbacks: bool,
}

fn fakes() -> [Arc<dyn Fake>; 3] {
    [
        Arc::new(servicenow::tests::Instance::default()),
        Arc::new(jira::tests::Site::default()),
        Arc::new(webhook::tests::Receiver::default()),
    ]
}

impl Scene {
    /// A task that the machine cannot do, because the target is away.
    async fn begun(fake: Arc<dyn Fake>) -> Self {
        Self::under(fake, None).await
    }

    /// The same; with names, the desk is not the task's own, and they are told once it is overdue.
    async fn under(fake: Arc<dyn Fake>, names: Option<&[&str]>) -> Self {
        let counter = Counter::open(fake).await;
        let desks = Desks {
            settings: counter.settings.clone(),
            keyring: Arc::new(|reference: &str| {
                let known = reference == "local:desks/servicedesk";
                async move {
                    let missing = Failure::new(FailureClass::AuthFailure, "CB-SECRETS-1", "none");
                    known.then(|| SECRET.into()).ok_or(missing)
                }
                .boxed()
            }),
        };
        let ward = match names {
            Some(names) => Ward::told_at_desk(desks, names).await,
            None => Ward::at_desk(desks).await,
        };
        ward.target.shown().fails = Some(FailureClass::Unreachable);
        ward.leaver_leaves().await;
        ward.work(3 * 3600).await;
        assert_eq!(ward.open_tasks().await.len(), 1);
        let callbacks = counter.entry.callback_secret.is_some();
        Self {
            ward,
            counter,
            callbacks,
        }
    }

    /// Everything that a courier would do now.
    async fn bring(&self) {
        for _ in 0..50 {
            let leases = self
                .ward
                .engine
                .take_copies(&self.counter.entry, self.ward.worker)
                .await
                .expect("taken");
            if leases.is_empty() {
                return;
            }
            for lease in leases {
                let visited = self.ward.engine.visit(&self.counter.entry, lease).await;
                visited.expect("kept");
            }
        }
        panic!("a copy is due again and again: {:?}", self.copy().await);
    }

    /// The courier after these seconds, and the engine's work meanwhile.
    async fn later(&self, seconds: u64) {
        for _ in 0..=seconds / 60 {
            self.ward.engine.obey().await.expect("obeyed");
            self.ward.work(0).await;
        }
        self.bring().await;
    }

    async fn task(&self) -> FallbackTask {
        let filter = crate::store::TaskFilter {
            closed: true,
            ..Default::default()
        };
        let tasks = self.ward.store.tasks(&filter).await.expect("read");
        let mut tasks = tasks.into_iter();
        let ours = tasks.find(|task| task.kind == RunKind::Discovery);
        ours.expect("the discovery's task")
    }

    async fn copy(&self) -> DeskCopy {
        let task = self.task().await.id;
        let copies = self.ward.store.copies_of(task).await.expect("read");
        copies.into_iter().next().expect("one copy")
    }

    /// Jane closes the ticket; a desk that cannot be asked says so.
    async fn jane_closes(&self, message: &str) {
        self.counter.fake.jane_closes();
        if !self.callbacks {
            return;
        }
        let heard = Heard {
            message: message.to_owned(),
            at: self.ward.clock.now(),
            seen: Some(Seen {
                stands: Stands::Closed,
                by: "Jane Doe".to_owned(),
                words: "removed by hand".to_owned(),
            }),
            before: Vec::new(),
        };
        let (name, task) = (&self.counter.entry.name, self.task().await.id);
        let said = self.ward.store.desk_said(name, task, &heard).await;
        assert_eq!(said.expect("kept"), Some(true));
        let repeated = self.ward.store.desk_said(name, task, &heard).await;
        assert_eq!(repeated.expect("kept"), Some(false));
    }

    fn texts(&self) -> String {
        self.counter.fake.texts()
    }
}

#[tokio::test]
async fn f2_a_task_gets_one_ticket_that_tells_what_to_do_and_what_happened() {
    for fake in fakes() {
        let scene = Scene::begun(fake).await;
        scene.bring().await;
        scene.bring().await;
        assert_eq!(scene.counter.fake.tickets(), 1);
        let texts = scene.texts();
        for told in ["Lea Ver", "crm", "by hand", "What to do"] {
            assert!(texts.contains(told), "{told}: {texts}");
        }
        let copy = scene.copy().await;
        assert_eq!((copy.trouble, copy.begun), (None, None));
        // What happens later is told once, also when the machine says the same again and again.
        let reject = crate::domain::command::Wish::RejectTask {
            task: copy.task,
            reason: "ask the vendor first".to_owned(),
        };
        let command = crate::domain::command::Command {
            id: crate::domain::id::CommandId(uuid::Uuid::from_u128(99)),
            by: "ann".to_owned(),
            at: scene.ward.clock.now(),
            wish: reject,
        };
        scene.ward.store.wish(&command).await.expect("wished");
        scene.later(120).await;
        scene.later(120).await;
        let texts = scene.texts();
        assert_eq!(texts.matches("ask the vendor first").count(), 1, "{texts}");
        assert_eq!(scene.counter.fake.tickets(), 1);
    }
}

#[tokio::test]
async fn b7_by_a_wrong_clock_no_copy_is_brought() {
    let scene = Scene::begun(Arc::new(servicenow::tests::Instance::default())).await;
    let crew = Crew::new(scene.ward.worker, 10, Shares::default());
    crew.hold_off(true);
    let courier = Courier::new(scene.ward.engine.clone(), crew.clone()).run();
    let watch = async {
        // Nothing is brought in the time of many looks at the store, and once the worker is let on, it is.
        for _ in 0..100 {
            assert!(!scene.task().await.is_closed() && scene.counter.fake.tickets() == 0);
        }
        crew.hold_off(false);
        while scene.counter.fake.tickets() == 0 && !scene.task().await.is_closed() {}
        crew.drain();
    };
    let both = async { tokio::join!(courier, watch) };
    let brought = tokio::time::timeout(Duration::from_secs(60), both).await;
    brought.expect("nothing was brought");
}

#[tokio::test]
async fn f2_a_lost_answer_makes_no_second_ticket() {
    for fake in fakes() {
        let scene = Scene::begun(fake).await;
        scene.counter.trouble().lost = 1;
        scene.bring().await;
        let copy = scene.copy().await;
        let trouble = copy.trouble.expect("it is told");
        assert_eq!(trouble.class, FailureClass::UnknownOutcome);
        assert_eq!((copy.ticket, copy.begun.is_some()), (None, true));
        scene.later(300).await;
        assert!(scene.copy().await.ticket.is_some());
        assert_eq!(scene.counter.fake.tickets(), 1);
    }
}

#[tokio::test]
async fn f2_jira_is_not_believed_that_there_is_no_ticket_before_its_search_has_caught_up() {
    let site = Arc::new(jira::tests::Site::default());
    let scene = Scene::begun(site.clone()).await;
    site.lags.store(true, Ordering::Relaxed);
    scene.counter.trouble().lost = 1;
    scene.bring().await;
    scene.ward.clock.advance(30);
    scene.bring().await;
    assert_eq!(scene.counter.fake.tickets(), 1, "not yet");
    site.lags.store(false, Ordering::Relaxed);
    scene.ward.clock.advance(60);
    scene.bring().await;
    assert!(scene.copy().await.ticket.is_some());
    assert_eq!(scene.counter.fake.tickets(), 1);
}

#[tokio::test]
async fn f2_a_crash_after_the_order_makes_no_second_ticket() {
    for fake in fakes() {
        let scene = Scene::begun(fake).await;
        // The worker orders the ticket, and is gone before it could keep what came of it.
        let (engine, entry) = (&scene.ward.engine, &scene.counter.entry);
        let taken = engine.take_copies(entry, scene.ward.worker).await;
        let lease = taken.expect("taken").remove(0);
        let begun = DeskCopy {
            begun: Some(scene.ward.clock.now()),
            ..lease.copy.clone()
        };
        let kept = scene.ward.store.keep_copy(&lease, &begun, None).await;
        assert!(kept.expect("kept"));
        let (secret, order) = (secret(), crate::desks::work_order(&lease.task));
        let call = crate::desks::Call {
            secret: &secret,
            now: scene.ward.clock.now(),
        };
        entry.desk.create(call, &order).await.expect("made");
        scene.bring().await;
        assert_eq!(scene.copy().await.ticket, None, "another has it in hand");
        scene.ward.clock.advance(entry.lease_seconds);
        scene.bring().await;
        assert!(scene.copy().await.ticket.is_some());
        assert_eq!(scene.counter.fake.tickets(), 1);
        // And the one that was gone writes nothing any more.
        let late = scene.ward.store.keep_copy(&lease, &begun, None).await;
        assert!(!late.expect("asked"));
    }
}

#[tokio::test]
async fn f3_a_false_closing_there_is_sent_back_and_the_ticket_opened_again() {
    for fake in fakes() {
        let scene = Scene::begun(fake).await;
        scene.bring().await;
        for round in ["m-1", "m-2"] {
            scene.jane_closes(round).await;
            scene.later(60).await;
            assert!(scene.counter.fake.closed(), "while the machine looks");
            // The target is still away: nothing proves that it is done.
            scene.later(120).await;
            scene.later(60).await;
            assert!(
                !scene.counter.fake.closed(),
                "{round}: {:?}",
                scene.copy().await
            );
            let task = scene.task().await;
            assert!(
                matches!(task.state, TaskState::SentBack { .. }),
                "{round}: {:?}",
                task.state
            );
            let sent_back = task
                .history
                .iter()
                .filter(|line| line.text.contains("sent back"));
            assert!(sent_back.count() > 0, "{:?}", task.history);
            assert!(scene.texts().contains("sent back"), "{}", scene.texts());
        }
        let claims: Vec<_> = scene.task().await.history.into_iter().collect();
        let by = "servicedesk/Jane Doe";
        assert_eq!(
            claims.iter().filter(|line| line.by == by).count(),
            2,
            "{claims:?}"
        );
        assert_eq!(scene.copy().await.claims, 2);
    }
}

#[tokio::test]
async fn f3_a_true_closing_there_is_proved_at_the_target() {
    for fake in fakes() {
        let scene = Scene::begun(fake).await;
        scene.bring().await;
        {
            let mut shown = scene.ward.target.shown();
            shown.fails = None;
            shown.accounts = numbered(&["a-2", "a-3", "a-4", "a-5"]);
        }
        scene.jane_closes("m-1").await;
        scene.later(60).await;
        scene.later(2 * 3600).await;
        scene.later(60).await;
        let task = scene.task().await;
        assert!(
            matches!(&task.state, TaskState::Closed { .. }),
            "{:?}",
            task.state
        );
        assert!(scene.counter.fake.closed());
        let copy = scene.copy().await;
        assert!(copy.finished, "{copy:?}");
    }
}

#[tokio::test]
async fn f2_what_is_closed_here_is_closed_there() {
    for fake in fakes() {
        let scene = Scene::begun(fake).await;
        scene.bring().await;
        assert!(!scene.counter.fake.closed());
        // The connector recovers first; the machine finishes and proves.
        scene.ward.target.shown().fails = None;
        scene.later(30 * 3600).await;
        assert!(matches!(scene.task().await.state, TaskState::Closed { .. }));
        assert!(scene.counter.fake.closed());
        assert!(
            scene.texts().contains("done: proved by machine"),
            "{}",
            scene.texts()
        );
        assert!(scene.copy().await.finished);
    }
}

#[tokio::test]
async fn f2_a_change_that_is_answered_with_yes_and_dropped_is_noticed() {
    let [servicenow, jira, _] = fakes();
    for fake in [servicenow, jira] {
        let scene = Scene::begun(fake).await;
        scene.bring().await;
        scene.counter.trouble().deaf = true;
        scene.ward.target.shown().fails = None;
        scene.later(30 * 3600).await;
        let copy = scene.copy().await;
        assert!(!scene.counter.fake.closed() && !copy.finished);
        let trouble = copy.trouble.expect("noticed");
        assert_eq!(trouble.code, "CB-DESK-4", "{trouble}");
        // When it listens again, the copy catches up.
        scene.counter.trouble().deaf = false;
        scene.later(3600).await;
        assert!(scene.counter.fake.closed() && scene.copy().await.finished);
    }
}

#[tokio::test]
async fn f2_a_desk_that_is_down_delays_the_copy_and_nothing_else() {
    for fake in fakes() {
        let scene = Scene::begun(fake).await;
        scene.counter.trouble().down = true;
        scene.bring().await;
        let figures = scene.ward.store.desk_figures().await.expect("read");
        assert_eq!((figures[0].open, figures[0].troubled), (1, 1));
        assert!(figures[0].since.is_some());
        scene.later(60).await;
        let held = scene.copy().await;
        assert!(held.failures > 1, "{held:?}");
        // The task is there, is done, and proved, while the desk is down.
        scene.ward.target.shown().fails = None;
        scene.later(30 * 3600).await;
        assert!(matches!(scene.task().await.state, TaskState::Closed { .. }));
        // A task that was closed before it had a ticket needs none.
        scene.counter.trouble().down = false;
        scene.later(3600).await;
        assert_eq!(scene.counter.fake.tickets(), 0);
        assert!(scene.copy().await.finished);
        let figures = scene.ward.store.desk_figures().await.expect("read");
        assert!(figures.is_empty(), "{figures:?}");
    }
}

#[tokio::test]
async fn f2_a_ticket_that_is_hidden_from_its_maker_is_not_made_again_and_again() {
    let instance = Arc::new(servicenow::tests::Instance::default());
    let scene = Scene::begun(instance.clone()).await;
    instance.hides.store(true, Ordering::Relaxed);
    scene.bring().await;
    scene.later(3600).await;
    assert_eq!(scene.counter.fake.tickets(), 1);
    let trouble = scene.copy().await.trouble.expect("told");
    assert_eq!(trouble.code, "CB-DESK-11", "{trouble}");
    instance.hides.store(false, Ordering::Relaxed);
    scene.later(3600).await;
    assert_eq!(scene.copy().await.trouble, None);
    // One that was seen, and is not any more, is taken for deleted: once, not again and again.
    instance.hides.store(true, Ordering::Relaxed);
    scene.later(3600).await;
    scene.later(3600).await;
    assert_eq!(scene.counter.fake.tickets(), 2);
}

#[tokio::test]
async fn f2_a_desk_that_fails_for_all_copies_is_left_alone_by_all() {
    let [servicenow, ..] = fakes();
    let scene = Scene::begun(servicenow).await;
    let (engine, entry) = (&scene.ward.engine, &scene.counter.entry);
    let visit = async || {
        let taken = engine.take_copies(entry, scene.ward.worker).await;
        let lease = taken.expect("taken").remove(0);
        let rest = engine.visit(entry, lease).await.expect("kept");
        rest.map(|until| until.duration_since(scene.ward.clock.now()).as_secs())
    };
    scene.counter.trouble().locked = true;
    assert_eq!(visit().await, Some(5));
    scene.counter.trouble().locked = false;
    scene.counter.trouble().busy = Some(120);
    scene.ward.clock.advance(60);
    assert_eq!(visit().await, Some(120));
    scene.counter.trouble().busy = None;
    scene.ward.clock.advance(180);
    assert_eq!(visit().await, None);
    assert_eq!(scene.counter.fake.tickets(), 1);
}

#[tokio::test]
async fn f2_a_desk_that_asks_to_slow_down_is_given_the_time() {
    let [servicenow, ..] = fakes();
    let scene = Scene::begun(servicenow).await;
    scene.counter.trouble().busy = Some(600);
    scene.bring().await;
    scene.counter.trouble().busy = None;
    scene.later(300).await;
    assert_eq!(scene.counter.fake.tickets(), 0);
    scene.later(360).await;
    assert_eq!(scene.counter.fake.tickets(), 1);
}

#[tokio::test]
async fn f2_a_refused_secret_is_told_and_the_queue_goes_on() {
    for fake in fakes() {
        let scene = Scene::begun(fake).await;
        scene.counter.trouble().locked = true;
        scene.bring().await;
        let trouble = scene.copy().await.trouble.expect("told");
        assert_eq!(trouble.code, "CB-DESK-3");
        assert_eq!(scene.task().await.state, TaskState::Open);
        scene.counter.trouble().locked = false;
        scene.later(3600).await;
        assert_eq!(scene.counter.fake.tickets(), 1);
    }
}

#[tokio::test]
async fn f5_a_desk_that_is_told_of_an_overdue_task_gets_a_ticket_of_its_own() {
    for fake in fakes() {
        // Given a chain with a team that has no tickets, and a desk that has.
        let names = ["a-team", "servicedesk"];
        let scene = Scene::under(fake, Some(&names)).await;
        let ward = &scene.ward;
        scene.bring().await;
        ward.clock.advance(48 * 3600);
        for times in 1..=5_u32 {
            assert_eq!(ward.engine.escalate().await.expect("looked"), 1);
            let task = scene.task().await;
            assert_eq!(task.escalation.times, times);
            // Then it has one when its turn comes, and no second one when it is told again.
            scene.bring().await;
            let tickets = usize::from(times >= 4);
            assert_eq!(scene.counter.fake.tickets(), tickets, "told {times} times");
            let copies = ward.store.copies_of(task.id).await.expect("read");
            assert_eq!(copies.len(), tickets);
            ward.clock.advance(4 * 3600);
        }
        assert!(scene.texts().contains("Lea Ver"));
        // And it ends with the task.
        ward.target.shown().fails = None;
        ward.target.shown().accounts = numbered(&["a-2", "a-3", "a-4", "a-5"]);
        scene.later(2 * 86_400).await;
        ward.work(2 * 86_400).await;
        scene.bring().await;
        assert!(scene.task().await.is_closed());
        assert!(scene.copy().await.finished);
    }
}
