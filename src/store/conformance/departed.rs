//! Accounts whose removal has ended, each once and by its last removal.
//!
//! Owns what both stores must answer about such accounts; who uses the answer is the engine's affair.

use super::Home;
use super::domain::run::RunBody;
use super::domain::workflow::End;
use super::given::{
    a_case, a_removal, a_task, an_account, at, event, fenced, handed_over, keep, opens, proved,
    recorded, subject,
};

pub async fn e3_accounts_whose_removal_ended_are_known_by_the_last_of_them(home: &Home) {
    // Given two cases that removed the same account, and one that has not ended.
    let mut ended = Vec::new();
    for name in ["x", "y"] {
        let removal = a_removal(&home.store, name).await;
        let batch = [fenced(&removal, proved(&removal.run))];
        let settled = home.store.settle(at(0), &keep(1, 0), &batch).await;
        assert_eq!(settled.expect("settled").accepted, [true]);
        ended.push(removal.run.id);
    }
    a_removal(&home.store, "z").await;
    ended.sort();
    let read = async |since| {
        let read = home.store.departed(&"crm".into(), at(since)).await;
        read.expect("read")
    };
    // Then the account is there once.
    let departed = read(0).await;
    assert_eq!(departed.len(), 1);
    assert_eq!(departed[0].account, an_account("a1").id);
    assert_eq!(departed[0].login, an_account("a1").login);
    assert_eq!(departed[0].removal, ended[1]);
    assert_eq!(departed[0].ended, at(0));
    // And not from another time or at another target.
    assert!(read(1).await.is_empty());
    let elsewhere = home.store.departed(&"mail".into(), at(0)).await;
    assert!(elsewhere.expect("read").is_empty());
}

pub async fn e3_all_cases_of_exactly_one_subject_are_found(home: &Home) {
    // Given more cases of others whose keys contain the subject's than a list shows, and two of its own.
    a_case(&home.store, "x").await;
    let mut others: Vec<_> = (0..120)
        .map(|number| event(&format!("x{number}"), &format!("x{number}"), 1))
        .collect();
    let mut second = event("x again", "x again", 2);
    second.event.subject = subject("x");
    others.push(second);
    recorded(&home.store, others).await;
    let admitted = home
        .store
        .admit(200, at(5), &keep(1, 0), &|event, _| opens(event))
        .await;
    admitted.expect("admitted");
    // Then all of its own are found, and no other.
    let cases = home.store.cases_of(&subject("x").key()).await;
    let cases = cases.expect("read");
    let told: Vec<_> = cases
        .iter()
        .map(|case| (case.row.hr_case.as_str(), case.row.revision, case.ended))
        .collect();
    let open: Option<End> = None;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.contains(&("x", 1, open)) && told.contains(&("x again", 2, open)));
    assert!(cases.iter().all(|case| case.run.case == Some(case.row.id)));
    let none = home.store.cases_of("nobody").await.expect("read");
    assert!(none.is_empty());
}

pub async fn e3_a_text_with_a_null_character_is_kept_and_keeps_nothing_from_being_read(
    home: &Home,
) {
    // Given removals of an account in whose name the target showed U+0000, or what only looks so.
    let named = async |case, name: &str| {
        let mut removal = a_removal(&home.store, case).await;
        if let RunBody::Removal(body) = &mut removal.run.body {
            body.account.display_name = Some(name.to_owned());
        }
        removal
    };
    let settle = async |fenced| {
        let settled = home.store.settle(at(0), &keep(1, 0), &[fenced]).await;
        assert_eq!(settled.expect("settled").accepted, [true]);
    };
    // When one comes into a person's hands with that name in its task, and others end.
    let removal = named("x", "A\u{0}da").await;
    let mut settlement = handed_over(&removal.run);
    let mut task = a_task(&settlement.run);
    "A\u{0}da is there".clone_into(&mut task.why);
    "servicedesk".clone_into(&mut task.desk);
    settlement.task = Some(task.clone());
    settle(fenced(&removal, settlement)).await;
    for (case, name) in [("y", "A\u{0}da"), ("z", "A\\u0000da\\")] {
        let removal = named(case, name).await;
        settle(fenced(&removal, proved(&removal.run))).await;
    }
    // Then the task is there as it was written, and the account is known.
    let kept = home.store.task(task.id).await.expect("read");
    assert_eq!(kept, Some(task));
    let departed = home.store.departed(&"crm".into(), at(0)).await;
    let departed = departed.expect("read");
    assert_eq!(departed.len(), 1);
    assert_eq!(departed[0].account, an_account("a1").id);
}
