//! What operators read is what was written.
//!
//! Lists are checked for what they hold and in which order, not for how they look.

use super::super::{CaseFilter, Fenced, Keep, StoredDefinition, TaskFilter};
use super::Home;
use super::domain::id::DefinitionDigest;
use super::domain::settlement::Settlement;
use super::domain::step::Parts;
use super::domain::workflow::{End, RunKind};
use super::given::{
    a_case, a_removal, a_task, at, closed, discovery, ended, event, failure, fenced, gathering,
    handed_over, keep, opens, proved, recorded, removal, step,
};

pub async fn a_case_tells_its_story(home: &Home) {
    let removal = a_removal(&home.store, "c").await;
    let mut failed = handed_over(&removal.run);
    failed.journal[0].failure = Some(failure());
    failed.journal[0].item = Some("group-1".into());
    let line = failed.journal[0].clone();
    let task = failed.task.clone().expect("a task");
    let batch = [fenced(&removal, failed)];
    home.store
        .settle(at(0), &keep(1, 5), &batch)
        .await
        .expect("settled");

    let case = removal.run.case.expect("a case");
    let story = home.store.case(case).await.expect("read").expect("there");
    assert_eq!(story.origin, event("c", "c", 1).origin);
    assert_eq!((story.runs.len(), story.journal.len()), (2, 2));
    assert!(story.runs.contains(&batch[0].settlement.run));
    assert!(story.journal.contains(&line));
    assert_eq!(story.tasks, [task]);
    let report = &story.report;
    assert_eq!(
        (report.removals, report.open_tasks, report.verified),
        (1, 1, 0)
    );
    assert_eq!(
        (report.ended, report.row.subject_name.as_str()),
        (None, "Ada c")
    );
    let nobody = super::domain::id::CaseId(removal.run.id.0);
    assert!(home.store.case(nobody).await.expect("read").is_none());
}

pub async fn a_case_tells_what_is_on_a_persons_word(home: &Home) {
    // Given a case of which a removal is proved, the search of another target is attested, and that of a
    // third had nothing to remove.
    let case = a_case(&home.store, "c").await;
    let id = case.run.case.expect("a case");
    let search = discovery(&case.run, "erp");
    let gather = Settlement {
        children: vec![
            removal(&case.run, "crm", "a1"),
            search.clone(),
            discovery(&case.run, "wiki"),
        ],
        ..step(&case.run, gathering("fan-out"))
    };
    let settle = async |batch: Vec<Fenced>| {
        let settled = home.store.settle(at(0), &keep(1, 5), &batch).await;
        settled.expect("settled").kept
    };
    let mut kept = Vec::new();
    for one in settle(vec![fenced(&case, gather)]).await {
        let mut end = proved(&one.run);
        if one.run.kind == RunKind::Discovery {
            end = step(&one.run, ended(End::Verified));
        }
        if one.run.id == search.id {
            end = step(&one.run, ended(End::Attested));
            end.task = Some(closed(a_task(&one.run)));
        }
        kept.extend(settle(vec![fenced(&one, end)]).await);
    }
    // Then both are told, and the case is made of both.
    let made_of = Parts {
        removals: 1,
        attested: 1,
        empty: vec![("wiki".into(), at(0))],
    };
    assert_eq!(home.store.parts_of(id).await.expect("read"), made_of);
    // And a case whose row says verified, as before it was asked, does not read so.
    let end = Settlement {
        case_ended: Some((id, End::Verified, at(9))),
        ..step(&kept[0].run, ended(End::Verified))
    };
    settle(vec![fenced(&kept[0], end)]).await;
    let cases = home.store.cases(&CaseFilter::default()).await;
    let report = cases.expect("read").remove(0);
    let told = (report.removals, report.verified, report.attested);
    assert_eq!((told, report.ended), ((1, 1, 1), Some(End::Attested)));
}

pub async fn cases_are_found_by_subject_event_and_state(home: &Home) {
    let case = a_case(&home.store, "first").await;
    let end = Settlement {
        case_ended: case.run.case.map(|id| (id, End::Verified, at(9))),
        ..step(&case.run, ended(End::Verified))
    };
    home.store
        .settle(at(9), &keep(1, 0), &[fenced(&case, end)])
        .await
        .expect("settled");
    a_case(&home.store, "second").await;

    let found = |filter: CaseFilter| async move {
        let cases = home.store.cases(&filter).await.expect("read");
        let names = cases
            .into_iter()
            .map(|case| (case.row.hr_case, case.ended_at));
        names.collect::<Vec<_>>()
    };
    assert_eq!(found(CaseFilter::default()).await.len(), 2);
    let open = CaseFilter {
        open: true,
        ..CaseFilter::default()
    };
    assert_eq!(found(open).await, [("second".to_owned(), None)]);
    let name = CaseFilter {
        subject: Some("ADA FIR".to_owned()),
        ..CaseFilter::default()
    };
    assert_eq!(found(name).await, [("first".to_owned(), Some(at(9)))]);
    let key = CaseFilter {
        subject: Some("acme/person-s".to_owned()),
        ..CaseFilter::default()
    };
    assert_eq!(found(key).await, [("second".to_owned(), None)]);
    let by_event = CaseFilter {
        event: Some(event("first", "first", 1).event.key()),
        ..CaseFilter::default()
    };
    assert_eq!(found(by_event).await.len(), 1);
    let one = CaseFilter {
        limit: 1,
        ..CaseFilter::default()
    };
    assert_eq!(found(one).await.len(), 1);
}

pub async fn tasks_are_listed_by_priority_then_deadline(home: &Home) {
    let case = a_case(&home.store, "c").await;
    let children: Vec<_> = ["a", "b", "c"].map(|n| removal(&case.run, "crm", n)).into();
    let gather = Settlement {
        children,
        ..step(&case.run, gathering("fan-out"))
    };
    let batch = [fenced(&case, gather)];
    let held = home
        .store
        .settle(at(0), &keep(1, 3), &batch)
        .await
        .expect("settled")
        .kept;
    let ranks = [(20, 50), (10, 90), (10, 40)];
    let batch: Vec<_> = held
        .iter()
        .zip(ranks)
        .map(|(one, (priority, deadline))| {
            let mut settlement = handed_over(&one.run);
            let mut task = a_task(&one.run);
            task.priority = priority;
            task.deadline = at(deadline);
            settlement.task = Some(task);
            fenced(one, settlement)
        })
        .collect();
    home.store
        .settle(at(0), &keep(1, 0), &batch)
        .await
        .expect("settled");
    let listed = home
        .store
        .tasks(&TaskFilter::default())
        .await
        .expect("read");
    let order: Vec<_> = listed
        .iter()
        .map(|task| (task.priority, task.deadline))
        .collect();
    assert_eq!(order, [(10, at(40)), (10, at(90)), (20, at(50))]);
    let counts = home.store.counts(at(60)).await.expect("counts");
    assert_eq!(
        (
            counts.tasks_open,
            counts.tasks_overdue,
            counts.removals_in_tasks
        ),
        (3, 2, 3)
    );
    let other = TaskFilter {
        connector: Some("erp".into()),
        ..TaskFilter::default()
    };
    assert!(home.store.tasks(&other).await.expect("read").is_empty());
}

pub async fn a_state_of_tasks_is_looked_for_before_the_list_is_cut(home: &Home) {
    let (first, second) = (
        a_removal(&home.store, "c").await,
        a_removal(&home.store, "d").await,
    );
    let mut attested = step(&first.run, ended(End::Attested));
    attested.task = Some(closed(a_task(&first.run)));
    let open = handed_over(&second.run);
    for (run, settlement) in [(&first, attested), (&second, open)] {
        home.store
            .settle(at(0), &keep(1, 3), &[fenced(run, settlement)])
            .await
            .expect("settled");
    }
    for (state, wanted) in [
        (Some("closed"), first.run.id.task()),
        (Some("open"), second.run.id.task()),
        (None, second.run.id.task()),
    ] {
        let filter = TaskFilter {
            state: state.map(str::to_owned),
            limit: 1,
            ..TaskFilter::default()
        };
        let found = home.store.tasks(&filter).await.expect("read");
        let found: Vec<_> = found.iter().map(|task| task.id).collect();
        assert_eq!(found, [wanted], "{state:?}");
    }
}

pub async fn definitions_are_kept(home: &Home) {
    let definition = StoredDefinition {
        digest: DefinitionDigest("abc".to_owned()),
        name: "leaver".to_owned(),
        version: 3,
        json: "{}".to_owned(),
    };
    for _ in 0..2 {
        home.store
            .save_definition(&definition, at(0))
            .await
            .expect("saved");
    }
    let read = home
        .store
        .definition(&definition.digest)
        .await
        .expect("read");
    assert_eq!(read, Some(definition));
    let none = home
        .store
        .definition(&DefinitionDigest("x".to_owned()))
        .await
        .expect("read");
    assert_eq!(none, None);
}

pub async fn counts_add_up(home: &Home) {
    assert_eq!(
        home.store.counts(at(0)).await.expect("counts"),
        super::super::Counts::default()
    );
    let removal = a_removal(&home.store, "c").await;
    recorded(
        &home.store,
        vec![event("2", "later", 1), event("3", "waiting", 1)],
    )
    .await;
    let room = Keep {
        at_most: 0,
        ..keep(1, 0)
    };
    home.store
        .admit(1, at(0), &room, &|event, _| opens(event))
        .await
        .expect("admitted");
    let counts = home.store.counts(at(3)).await.expect("counts");
    assert_eq!((counts.events_recorded, counts.events_waiting), (3, 1));
    assert_eq!(
        (counts.cases, counts.cases_open, counts.removals),
        (2, 2, 1)
    );
    assert_eq!((counts.runs_active, counts.runs_due), (2, 1));
    assert_eq!(counts.oldest_event_seconds, Some(3));

    let mut attested = step(&removal.run, ended(End::Attested));
    attested.task = Some(closed(a_task(&removal.run)));
    let batch = [fenced(&removal, attested)];
    home.store
        .settle(at(0), &keep(1, 0), &batch)
        .await
        .expect("settled");
    let counts = home.store.counts(at(3)).await.expect("counts");
    assert_eq!((counts.removals_attested, counts.tasks_open), (1, 0));
    assert_eq!(counts.runs_due, 2, "the parent is due, and the other case");
}

pub async fn the_schema_is_checked(home: &Home) {
    home.store.ping().await.expect("fits");
    assert!(
        home.store.migrate().await.expect("migrated").is_empty(),
        "nothing is left to do"
    );
}
