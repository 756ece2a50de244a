//! An upgrade over rows that an older version wrote without the log, and what follows for the log.
//!
//! Owns the database as that version left it, up to its migrations, and the promise that the first upgrade
//! takes these rows in. How statements reach a database past the program is each database's own matter.

use std::borrow::Cow;

use sqlx::migrate::Migrator;

use super::super::{Examination, audit};
use super::domain::audit::Fault;
use super::domain::drill::{Drill, Stage};
use super::drills::{drill, over};
use super::given::{at, worker};
use super::tampering::{Dialect, findings, sign};
use super::{Home, users};

/// The migrations that the older version had.
pub fn older(mut all: Migrator) -> Migrator {
    let first = audit::tables::ADOPTED_LATER.0;
    let kept = all.iter().filter(|one| one.version < first);
    all.migrations = Cow::Owned(kept.cloned().collect());
    all
}

fn drills() -> [Drill; 3] {
    [
        over(&drill(1, "crm"), "m-1", true),
        over(&drill(2, "crm"), "m-2", false),
        drill(3, "crm"),
    ]
}

fn examinations() -> [Examination; 2] {
    [(2, false), (1, true)].map(|(second, passed)| Examination {
        connector: "crm".into(),
        at: at(second),
        manifest: "m-1".into(),
        passed,
        changed: false,
        failed: Vec::new(),
    })
}

/// The statements with which the older version wrote them.
fn rows(dialect: Dialect) -> Vec<String> {
    let flag = |passed: bool| if passed { "TRUE" } else { "FALSE" };
    let drills = drills().map(|drill| {
        let id = drill.id.0.simple();
        let id = match dialect {
            Dialect::Sqlite => format!("x'{id}'"),
            Dialect::Postgres => format!("'{id}'"),
        };
        let (due, ended, passed) = if let Stage::Ended { at, passed } = drill.stage {
            ("NULL", at.as_microsecond().to_string(), flag(passed))
        } else {
            ("0", "NULL".to_owned(), "NULL")
        };
        let manifest = drill.manifest.as_ref();
        let manifest = manifest.map_or("NULL".to_owned(), |digest| format!("'{digest}'"));
        let body = serde_json::to_string(&drill).expect("written");
        format!(
            "INSERT INTO drills (id, connector, manifest, begun_us, due_us, token, ended_us, passed, body) \
             VALUES ({id}, 'crm', {manifest}, 0, {due}, 1, {ended}, {passed}, '{body}')"
        )
    });
    let examinations = examinations().map(|one| {
        let body = serde_json::to_string(&one).expect("written");
        format!(
            "INSERT INTO examinations (connector, at_us, manifest, passed, body) \
             VALUES ('crm', {}, '{}', {}, '{body}')",
            one.at.as_microsecond(),
            one.manifest,
            flag(one.passed)
        )
    });
    drills.into_iter().chain(examinations).collect()
}

/// What an older version wrote without the log is in it after an upgrade, once, and goes on in it. `run` runs a
/// statement past the program.
pub async fn e6_an_upgrade_takes_in_what_was_written_without_the_log(
    home: &Home,
    dialect: Dialect,
    mut run: impl AsyncFnMut(String),
) {
    let store = &home.store;
    // Given a log that has begun, and rows beside it.
    users::h1_acts_are_told_newest_first(home).await;
    for row in rows(dialect) {
        run(row).await;
    }
    // When the schema is brought up to date, and once more.
    assert!(!store.migrate().await.expect("migrated").is_empty());
    assert_eq!(findings(home).await, []);
    assert!(store.migrate().await.expect("migrated").is_empty());
    assert_eq!(findings(home).await, []);
    // Then all of them are there as they were.
    let mut told = store.drills(None, 9).await.expect("read");
    told.sort_by_key(|drill| drill.id.0);
    assert_eq!(told, drills());
    let known = store.examinations(&"crm".into(), 9).await.expect("read");
    assert_eq!(known, examinations());
    // What is under way goes on in the log, and a checkpoint covers all of it.
    let enlisted = store.enlist(worker(1), at(20), 1000).await;
    enlisted.expect("enlisted");
    let taken = store.take_drills(worker(1), at(20), 60, 9).await;
    let lease = taken.expect("stored").remove(0);
    let ended = over(&lease.drill, "m-3", true);
    let kept = store.keep_drill(&lease, &ended, at(21)).await;
    assert!(kept.expect("stored"));
    store.witness(&sign).await.expect("made").expect("due");
    assert_eq!(findings(home).await, []);
    // And a later change of one of them is found where it was done.
    let failed = examinations()[0].at.as_microsecond();
    run(format!(
        "UPDATE examinations SET passed = TRUE WHERE at_us = {failed}"
    ))
    .await;
    let found = findings(home).await;
    let found: Vec<_> = found.iter().map(|one| (one.fault, one.table)).collect();
    assert_eq!(found, [(Fault::Changed, "examinations")]);
}
