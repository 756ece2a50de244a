//! What somebody with the database's password can do, table by table, and a store to do it to.
//!
//! Owns the list, which is made from the recorded tables themselves: each column of each of them is
//! changed, a row of each is removed and one added. Changing a database past its constraints is each
//! database's own matter.

use super::super::{DeadLetter, IntakeBatch, audit, domain};
use super::given::{a_case, a_removal, at, ended, event, fenced, keep, proved, step};
use super::{Home, approvals, drills, health, pauses, retention, users, wishes};
use domain::audit::{Column, Fault, Finding, Signed, Table, Tombstone, Verifier, Window};
use domain::id::DeadLetterId;
use domain::workflow::End;

/// Which database's words.
#[allow(dead_code)] // Each database's own tests name only theirs.
#[derive(Debug, Clone, Copy)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

/// One deed, and the finding that it must lead to.
#[derive(Debug)]
pub struct Tampering {
    pub name: String,
    pub sql: String,
    pub fault: &'static [Fault],
    pub table: &'static str,
}

/// At least one row in every recorded table, and two checkpoints.
pub async fn everything(home: &Home) {
    health::c5_a_task_about_a_connector_is_kept_with_its_survey(home).await;
    let letter = DeadLetter {
        id: DeadLetterId::of("t", 3, 7, b"{"),
        origin: event("x", "x", 1).origin,
        key: None,
        headers: Vec::new(),
        payload: b"{".to_vec(),
        code: "CB-TEST-3".to_owned(),
        reason: "not JSON".to_owned(),
        first_seen: at(1),
        replayed: None,
        aside: None,
    };
    let batch = IntakeBatch {
        dead_letters: vec![letter],
        ..IntakeBatch::default()
    };
    home.store.record(&batch).await.expect("recorded");
    approvals::c4_what_was_approved_binds_and_is_remembered(home).await;
    wishes::wishes_about_one_task_see_each_other(home).await;
    users::h1_a_user_is_added_once_and_changes_follow_each_other(home).await;
    users::h1_acts_are_told_newest_first(home).await;
    pauses::g4_a_pause_that_nobody_ends_is_told_by_one_worker(home).await;
    pauses::crm_goes_on(home).await;
    pauses::g4_a_pause_lasts_until_it_is_ended_and_every_worker_says_that_it_knows(home).await;
    home.store.witness(&sign).await.expect("made").expect("due");
    let removal = a_removal(&home.store, "removed").await;
    let case = a_case(&home.store, "over").await;
    let mut over = step(&case.run, ended(End::Verified));
    over.case_ended = case.run.case.map(|id| (id, End::Verified, at(5)));
    let batch = [fenced(&removal, proved(&removal.run)), fenced(&case, over)];
    let settled = home.store.settle(at(5), &keep(1, 5), &batch).await;
    assert_eq!(settled.expect("settled").accepted, [true, true]);
    drills::c8_a_connector_has_one_drill_under_way(home).await;
    drills::c4_examinations_are_remembered(home).await;
    home.store.witness(&sign).await.expect("made").expect("due");
}

/// As [`everything`], and a tombstone in the place of its first period.
pub async fn everything_after_a_drop(home: &Home) {
    retention::a_case_that_is_over(home, "long ago").await;
    retention::witnessed(home).await;
    let gone = retention::let_go(home, 1).await.expect("let go");
    assert!(gone.links > 0 && gone.cases == 1, "{gone:?}");
    everything(home).await;
}

fn sealed(text: &str) -> String {
    domain::audit::Digest::of("the tests' key", text.as_bytes()).to_string()
}

#[allow(clippy::unnecessary_wraps)] // the shape that a store asks for
/// Signs a tombstone with the same key.
pub fn seal(mut stone: Tombstone) -> Option<Signed> {
    "k".clone_into(&mut stone.key);
    let text = stone.text();
    Some(Signed {
        number: stone.number,
        signature: sealed(&text),
        text,
    })
}

/// True for what that key signed.
pub fn signed_by(key: &str, text: &str, seen: &str) -> bool {
    key == "k" && sealed(text) == seen
}

#[allow(clippy::unnecessary_wraps)] // the shape that a store asks for
/// Signs whatever waits, with a key that only these tests have.
pub fn sign(window: &Window, before: Option<&Signed>) -> Option<Signed> {
    let says = window.close(before, at(3), "k", None);
    let text = says.text();
    Some(Signed {
        number: says.number,
        signature: sealed(&text),
        text,
    })
}

/// What the log says about the store.
pub async fn findings(home: &Home) -> Vec<Finding> {
    let mut verifier = Verifier::new(audit::tables::ALL, Some("k".to_owned()));
    let inspected = home.store.inspect(&mut verifier, &signed_by).await;
    inspected.expect("inspected");
    verifier.finish().0
}

/// Every deed.
pub fn all(dialect: Dialect) -> Vec<Tampering> {
    let mut all = Vec::new();
    for table in audit::tables::ALL {
        for column in table.columns {
            all.push(changed(dialect, table, *column));
        }
        all.push(Tampering {
            name: format!("a row of {} removed", table.name),
            sql: format!("DELETE FROM {} WHERE {}", table.table, one(dialect, table)),
            fault: &[Fault::Removed],
            table: table.name,
        });
        all.push(rekeyed(dialect, table));
    }
    // What the program itself takes away may be gone.
    all.retain(|one| !(one.table == "health_samples" && one.sql.starts_with("DELETE")));
    all.extend(links(dialect));
    all.extend(checkpoints());
    all.extend(tombstones());
    all
}

/// The first of the table's rows that are recorded.
fn one(dialect: Dialect, table: &Table) -> String {
    let row = match dialect {
        Dialect::Sqlite => table.key_names().join(", "),
        Dialect::Postgres => "ctid".to_owned(),
    };
    let only = if table.only.is_empty() {
        "1 = 1"
    } else {
        table.only
    };
    let name = table.table;
    format!("({row}) IN (SELECT {row} FROM {name} WHERE {only} ORDER BY 1 LIMIT 1)")
}

/// Another value for a column.
fn other(dialect: Dialect, column: Column) -> (&'static str, String) {
    match (column, dialect) {
        (Column::Text(name), _) => (name, format!("coalesce({name}, '') || 'x'")),
        (Column::Number(name), _) => (name, format!("coalesce({name}, 0) + 1")),
        (Column::Flag(name), Dialect::Sqlite) => (name, format!("1 - coalesce({name}, 0)")),
        (Column::Flag(name), Dialect::Postgres) => (name, format!("NOT coalesce({name}, FALSE)")),
        (Column::Id(name), Dialect::Sqlite) => (name, "randomblob(16)".to_owned()),
        (Column::Id(name), Dialect::Postgres) => (name, "gen_random_uuid()".to_owned()),
    }
}

fn changed(dialect: Dialect, table: &Table, column: Column) -> Tampering {
    let (column, value) = other(dialect, column);
    let one = one(dialect, table);
    Tampering {
        name: format!("{column} of {} changed", table.name),
        sql: format!("UPDATE {} SET {column} = {value} WHERE {one}", table.table),
        // A state that is part of which rows a table has takes the row away, or leaves it.
        fault: &[Fault::Changed, Fault::Removed],
        table: table.name,
    }
}

/// A row under another key: for the log one is gone and one was never written.
fn rekeyed(dialect: Dialect, table: &Table) -> Tampering {
    let (column, value) = other(dialect, table.key[table.key.len() - 1]);
    let value = match table.key[table.key.len() - 1] {
        Column::Number(name) => format!("{name} + 1000"),
        Column::Text(_) | Column::Flag(_) | Column::Id(_) => value,
    };
    let one = one(dialect, table);
    Tampering {
        name: format!("a row of {} under another key", table.name),
        sql: format!("UPDATE {} SET {column} = {value} WHERE {one}", table.table),
        fault: &[Fault::Inserted],
        table: table.name,
    }
}

#[allow(clippy::too_many_lines)] // One list, told in order; parts of it mean nothing alone.
fn links(dialect: Dialect) -> Vec<Tampering> {
    let first = "seq = (SELECT min(seq) FROM audit_links)";
    let last = "seq = (SELECT max(seq) FROM audit_links)";
    let (random, overriding) = match dialect {
        Dialect::Sqlite => ("randomblob(32)", ""),
        Dialect::Postgres => ("decode(repeat('ab', 32), 'hex')", "OVERRIDING SYSTEM VALUE"),
    };
    let deed = |name: &str, sql: String, fault: &'static [Fault]| Tampering {
        name: name.to_owned(),
        sql,
        fault,
        table: "audit_links",
    };
    vec![
        deed(
            "a link's entries",
            format!("UPDATE audit_links SET entries = {random} WHERE {first}"),
            &[Fault::Changed],
        ),
        deed(
            "a link's digest",
            format!("UPDATE audit_links SET hash = {random} WHERE {first}"),
            &[Fault::Changed],
        ),
        deed(
            "a link's predecessor",
            format!("UPDATE audit_links SET previous = {random} WHERE {last}"),
            &[Fault::Changed],
        ),
        deed(
            "a link's place",
            format!("UPDATE audit_links SET sequence = sequence + 1 WHERE {first}"),
            &[Fault::Removed],
        ),
        deed(
            "a link's strand",
            format!("UPDATE audit_links SET strand = strand + 50 WHERE {first}"),
            &[Fault::Inserted, Fault::CutOff],
        ),
        deed(
            "a link's number",
            format!("UPDATE audit_links SET seq = -1 WHERE {last}"),
            &[Fault::Moved, Fault::CutOff, Fault::Removed],
        ),
        deed(
            "the first link removed",
            format!("DELETE FROM audit_links WHERE {first}"),
            &[Fault::Removed],
        ),
        deed(
            "the last links cut off",
            "DELETE FROM audit_links \
             WHERE seq IN (SELECT seq FROM audit_links ORDER BY seq DESC LIMIT 2)"
                .to_owned(),
            &[Fault::CutOff],
        ),
        deed(
            "a link inserted",
            format!(
                "INSERT INTO audit_links (seq, strand, sequence, previous, entries, hash) {overriding} \
                 SELECT 0, 99, 1, previous, entries, hash FROM audit_links WHERE {first}"
            ),
            &[Fault::Inserted],
        ),
        deed(
            "all links removed",
            "DELETE FROM audit_links".to_owned(),
            &[Fault::CutOff],
        ),
    ]
}

fn checkpoints() -> Vec<Tampering> {
    let deed = |name: &str, sql: &str, fault: &'static [Fault]| Tampering {
        name: name.to_owned(),
        sql: sql.to_owned(),
        fault,
        table: "audit_checkpoints",
    };
    vec![
        deed(
            "a checkpoint's text",
            "UPDATE audit_checkpoints SET text = replace(text, '\"links\":', '\"links\":1') WHERE number = (SELECT min(number) FROM audit_checkpoints)",
            &[Fault::NotSigned],
        ),
        deed(
            "a checkpoint's signature",
            "UPDATE audit_checkpoints SET signature = 'ab' WHERE number = (SELECT max(number) FROM audit_checkpoints)",
            &[Fault::NotSigned],
        ),
        deed(
            "a checkpoint's number",
            "UPDATE audit_checkpoints SET number = 77 WHERE number = (SELECT max(number) FROM audit_checkpoints)",
            &[Fault::Moved],
        ),
        deed(
            "the first checkpoint removed",
            "DELETE FROM audit_checkpoints WHERE number = (SELECT min(number) FROM audit_checkpoints)",
            &[Fault::Removed],
        ),
    ]
}

fn tombstones() -> Vec<Tampering> {
    let deed = |name: &str, sql: &str, fault: &'static [Fault], table| Tampering {
        name: name.to_owned(),
        sql: sql.to_owned(),
        fault,
        table,
    };
    let tombstones = "audit_tombstones";
    vec![
        deed(
            "a tombstone that covers more links",
            "UPDATE audit_tombstones SET text = replace(text, '\"until\":', '\"until\":1')",
            &[Fault::TooMuch],
            tombstones,
        ),
        deed(
            "a tombstone that covers later cases",
            "UPDATE audit_tombstones SET text = replace(text, '\"cut\":\"20', '\"cut\":\"21')",
            &[Fault::NotSigned],
            tombstones,
        ),
        deed(
            "a tombstone by somebody else",
            "UPDATE audit_tombstones SET text = replace(text, '\"by\":\"ada\"', '\"by\":\"bob\"')",
            &[Fault::NotSigned],
            tombstones,
        ),
        deed(
            "a tombstone's signature",
            "UPDATE audit_tombstones SET signature = 'ab'",
            &[Fault::NotSigned],
            tombstones,
        ),
        deed(
            "a second tombstone like the first",
            "INSERT INTO audit_tombstones SELECT number + 1, through, until + 100, text, signature \
             FROM audit_tombstones",
            &[Fault::Moved],
            tombstones,
        ),
        deed(
            "a tombstone removed",
            "DELETE FROM audit_tombstones",
            &[Fault::Removed],
            tombstones,
        ),
        deed(
            "the end of a strand at the tombstone",
            "UPDATE audit_strands SET kept_sequence = kept_sequence + 1 WHERE kept_sequence > 0",
            &[Fault::Changed],
            "audit_strands",
        ),
        deed(
            "links dropped beyond the tombstone",
            "DELETE FROM audit_links WHERE seq <= (SELECT min(seq) + 3 FROM audit_links)",
            &[Fault::Removed, Fault::CutOff],
            "audit_links",
        ),
        deed(
            "checkpoints dropped beyond the tombstone",
            "DELETE FROM audit_checkpoints WHERE number = (SELECT min(number) FROM audit_checkpoints)",
            &[Fault::Removed],
            "audit_checkpoints",
        ),
    ]
}

/// Says so if the deed is not found, or not where it was done.
pub fn judged(deed: &Tampering, found: &[Finding]) -> Option<String> {
    let right = found
        .iter()
        .any(|one| one.table == deed.table && deed.fault.contains(&one.fault));
    let told: Vec<_> = found.iter().map(ToString::to_string).collect();
    (!right).then(|| format!("{} ({}): found {told:?}", deed.name, deed.sql))
}
