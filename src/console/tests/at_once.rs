//! Many tasks closed at once: those that a person has read, and no other.
//!
//! Owns tasks of one target that come while somebody types.

use super::*;
use crate::domain::command::{Answer, Command, Wish};
use crate::domain::run::Run;
use crate::domain::settlement::Obedience;
use crate::domain::task::FallbackTask;
use crate::store::given;

impl House {
    /// A task for a person at the CRM.
    async fn a_task_at_the_crm(&self, name: &str) {
        let removal = given::a_removal(&self.store, name).await;
        let handed = given::handed_over(&removal.run);
        let batch = [given::fenced(&removal, handed)];
        let keep = given::keep(1, 0);
        let settled = self.store.settle(given::at(0), &keep, &batch).await;
        assert_eq!(settled.expect("settled").accepted, [true]);
    }

    /// How many wishes to close in bulk wait; each is taken off.
    async fn closes_in_bulk(&self) -> usize {
        let closes = AtomicU64::new(0);
        let answer = |command: &Command, _: Option<&FallbackTask>, _: Option<&Run>| {
            let is_close = matches!(command.wish, Wish::CloseInBulk { .. });
            closes.fetch_add(u64::from(is_close), Ordering::Relaxed);
            Obedience {
                command: command.id,
                answer: Answer {
                    accepted: true,
                    code: None,
                    message: String::new(),
                },
                task: None,
                run: None,
                rotation: None,
                survey: None,
                drill: None,
                puts_off: None,
                pause: None,
            }
        };
        let obeyed = self.store.obey(100, given::at(6), &answer).await;
        obeyed.expect("obeyed");
        closes.load(Ordering::Relaxed) as usize
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f3_only_tasks_that_were_shown_are_closed_at_once() {
    let house = House::open().await;
    house.user("tom", &Role::ALL).await;
    house.a_task_at_the_crm("c").await;
    house.a_task_at_the_crm("d").await;
    let mut tom = house.signed_in("tom").await;
    let page = tom.page("/tasks?connector=crm").await;
    assert!(page.contains("The 2 open tasks of crm"), "{page}");
    let meant = page.split("name=\"tasks\" value=\"").nth(1);
    let meant = meant.and_then(|rest| rest.split('"').next());
    let meant = meant.expect("the form says which").to_owned();
    let csrf = tom.form_token("/tasks?connector=crm").await;
    // Another comes while he types.
    house.a_task_at_the_crm("e").await;
    let fields = |tasks: &str| {
        [
            ("csrf", csrf.clone()),
            ("connector", "crm".to_owned()),
            ("note", "done".to_owned()),
            ("reason", "the target was shut down".to_owned()),
            ("tasks", tasks.to_owned()),
        ]
    };
    let sent = fields(&meant);
    let sent: Vec<_> = sent.iter().map(|(name, value)| (*name, &**value)).collect();
    tom.post("/tasks/close", &sent).await;
    let page = tom.page("/tasks?connector=crm").await;
    assert!(page.contains("1 other was not meant"), "{page}");
    assert_eq!(house.closes_in_bulk().await, 2);
    // A form that does not say which means none.
    let sent = fields("");
    let sent: Vec<_> = sent.iter().map(|(name, value)| (*name, &**value)).collect();
    tom.post("/tasks/close", &sent).await;
    assert_eq!(house.closes_in_bulk().await, 0);
    house.close().await;
}
