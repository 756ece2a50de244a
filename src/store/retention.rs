//! Letting closed periods go: which cases may, what goes with them, and what stands in their place.
//!
//! Owns the part of the trait that drops, and what both databases share: the statements, which case must
//! stay whatever its age, and the tombstone over what goes. Signs nothing; the running of statements is
//! each database's own `retention`.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use async_trait::async_trait;
use uuid::Uuid;

use crate::domain::audit::{
    Entries, Entry, Epitaph, Rolls, Signed, Standing, Table, Tip, Tombstone, gone, heads_digest,
};
use crate::domain::event::RecordedEvent;
use crate::domain::id::CaseId;
use crate::domain::legal::{LegalHolds, LegalMatter};

use super::Stored;
use super::audit::{Notes, tables};
use super::shape::parsed;

/// Signs what stands for a period, or lets nothing go.
pub type SealFn<'a> = &'a (dyn Fn(Tombstone) -> Option<Signed> + Send + Sync);

/// What is to go.
#[derive(Debug, Clone)]
pub struct Dropping {
    /// Who, why, and how old it must be.
    pub epitaph: Epitaph,
    /// The newest tombstone when the log was verified; another one since then means: begin again.
    pub follows: Option<Signed>,
    /// What that verification found to be there.
    pub standing: Standing,
    /// At most so many cases, and those of the same legal holds.
    pub cases: u32,
}

/// The end of what is kept.
#[async_trait]
pub trait Retention: Send + Sync {
    /// Lets a closed period go: its links and checkpoints, and the cases that ended long enough ago with
    /// everything about them, all in one transaction with the tombstone that `seal` signs. Where it signs
    /// none nothing is changed, so this also tells what would go. Never goes: a case that is open, has a
    /// task that is not closed (here or at a desk) or a wish that waits, or whose subject is under a legal hold.
    async fn drop_period(&self, wanted: &Dropping, seal: SealFn<'_>) -> Stored<Option<Signed>>;
    /// All tombstones, oldest first.
    async fn tombstones(&self) -> Stored<Vec<Signed>>;
    /// What is told of legal holds on the subject of this case, by the cases that such events opened,
    /// whether or not these have ended. Asked before every deletion; reads the subject's cases only.
    async fn legal_holds(&self, case: CaseId) -> Stored<LegalHolds>;
}

/// Cases that ended by `{cut}` and wait for nothing, oldest first.
pub(super) const ENDED: &str = "SELECT c.id, c.tenant, c.hr_case, c.subject_key, c.event_key FROM cases c \
    WHERE c.ended IS NOT NULL AND c.ended_us <= {cut} \
    AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.case_id = c.id AND (t.state <> 'closed' \
      OR EXISTS (SELECT 1 FROM commands w WHERE w.task_id = t.id AND w.answer IS NULL) \
      OR EXISTS (SELECT 1 FROM desk_copies d WHERE d.task_id = t.id AND NOT d.finished))) \
    ORDER BY c.ended_us, c.id";
/// Events that place or lift a legal hold, oldest first.
pub(super) const HOLDS: &str = "SELECT key, body FROM events \
    WHERE body LIKE '%clawback.legal-hold.%' ORDER BY seq";
/// Events that opened no case that is still there, and were decided by `{cut}`.
pub(super) const LOOSE: &str = "SELECT e.key, e.body FROM events e WHERE e.admitted_us <= {cut} \
    AND NOT EXISTS (SELECT 1 FROM cases c WHERE c.event_key = e.key)";
/// The HR cases of cases that stay.
pub(super) const STAYING: &str = "SELECT tenant, hr_case FROM cases \
    WHERE id NOT IN (SELECT id FROM dropped_cases WHERE tombstone = {n})";
/// The events that opened the cases that go.
pub(super) const OPENERS: &str = "INSERT INTO dropped_events (key, payload_digest, tombstone) \
    SELECT key, payload_digest, {n} FROM events WHERE key IN \
    (SELECT event_key FROM cases WHERE id IN (SELECT id FROM dropped_cases WHERE tombstone = {n}))";
/// Where each strand stands at the end of the period.
pub(super) const HEADS: &str = "SELECT id, kept_sequence, kept_hash FROM audit_strands \
    WHERE kept_sequence IS NOT NULL ORDER BY id";

const CASES: &str = "(SELECT id FROM dropped_cases WHERE tombstone = {n})";
const WISHES: &str = "(task_id IN (SELECT id FROM tasks WHERE case_id IN {cases}) \
    OR (task_id IS NULL AND answered_us <= {cut}))";

/// One that waits for a person stays, however old it is.
const LETTERS: &str = "first_seen_us <= {cut} AND (replayed_us IS NOT NULL OR aside IS NOT NULL)";

/// Which rows of which recorded tables go.
pub(super) fn going(number: i64, cut_us: i64) -> Vec<(&'static Table, String)> {
    let events = "key IN (SELECT key FROM dropped_events WHERE tombstone = {n})";
    let by_run = "run_id IN (SELECT id FROM runs WHERE case_id IN {cases})";
    let all = [
        (&tables::EVENTS, events),
        (&tables::ADMISSIONS, events),
        (&tables::DEAD_LETTERS, LETTERS),
        (&tables::CASES, "id IN {cases}"),
        (&tables::CASE_ENDS, "id IN {cases}"),
        (&tables::RUNS, "case_id IN {cases}"),
        (&tables::JOURNAL, by_run),
        (&tables::TASKS, "case_id IN {cases}"),
        (&tables::COMMANDS, WISHES),
        (&tables::ANSWERS, WISHES),
    ];
    let all = all.into_iter();
    all.map(|(table, which)| (table, filled(which, number, cut_us)))
        .collect()
}

/// The statements that take away what a tombstone stands for, each after those that need its rows.
pub(super) fn deletions(number: i64, cut_us: i64, until: i64, through: i64) -> Vec<String> {
    let all = [
        "DELETE FROM journal WHERE run_id IN (SELECT id FROM runs WHERE case_id IN {cases})",
        &format!("DELETE FROM commands WHERE {WISHES}"),
        "DELETE FROM desk_copies WHERE task_id IN (SELECT id FROM tasks WHERE case_id IN {cases})",
        "DELETE FROM runs WHERE case_id IN {cases}",
        "DELETE FROM tasks WHERE case_id IN {cases}",
        "DELETE FROM case_identifiers WHERE case_id IN {cases}",
        "DELETE FROM cases WHERE id IN {cases}",
        "DELETE FROM events WHERE key IN (SELECT key FROM dropped_events WHERE tombstone = {n})",
        &format!("DELETE FROM dead_letters WHERE {LETTERS}"),
        "DELETE FROM outbox WHERE published_us <= {cut}",
        &format!("DELETE FROM audit_links WHERE seq <= {until}"),
        &format!("DELETE FROM audit_checkpoints WHERE number <= {through}"),
    ];
    let all = all.into_iter();
    all.map(|sql| filled(sql, number, cut_us)).collect()
}

/// A statement with its numbers; they are numbers of ours, so no text can come in.
pub(super) fn filled(sql: &str, number: i64, cut_us: i64) -> String {
    sql.replace("{cases}", CASES)
        .replace("{n}", &number.to_string())
        .replace("{cut}", &cut_us.to_string())
}

/// A case that has ended.
#[derive(sqlx::FromRow)]
pub(super) struct EndedRow {
    pub id: Uuid,
    tenant: String,
    hr_case: String,
    subject_key: String,
    event_key: Uuid,
}

/// An event with its body.
#[derive(sqlx::FromRow)]
pub(super) struct EventRow {
    key: Uuid,
    body: String,
}

/// The end of a strand.
#[derive(sqlx::FromRow)]
pub(super) struct HeadRow {
    id: i64,
    kept_sequence: i64,
    kept_hash: Vec<u8>,
}

impl HeadRow {
    pub(super) fn tip(self) -> Tip {
        use crate::domain::audit::Digest;
        Tip {
            strand: self.id,
            sequence: self.kept_sequence,
            // A digest of another length is not the one that was signed.
            hash: Digest::from_slice(&self.kept_hash).unwrap_or(Digest::NONE),
        }
    }
}

/// The cases that may go: not those whose subject is under a legal hold, nor those of an HR case of which
/// another one stays for that, nor what lifted a hold without all else that is told of it: what placed
/// the hold would stand alone, and be in force again.
pub(super) fn free(
    ended: Vec<EndedRow>,
    holds: &[EventRow],
    at_most: u32,
) -> Stored<Vec<EndedRow>> {
    let (matters, holds) = read(holds)?;
    let on_hold = |row: &EndedRow| holds.hold(&row.subject_key);
    let kept: BTreeSet<(String, String)> = ended
        .iter()
        .filter(|row| on_hold(row))
        .map(|row| (row.tenant.clone(), row.hr_case.clone()))
        .collect();
    let mut free = ended;
    free.retain(|row| !on_hold(row) && !kept.contains(&(row.tenant.clone(), row.hr_case.clone())));
    let going: HashSet<Uuid> = free.iter().map(|row| row.event_key).collect();
    let staying: BTreeSet<&LegalMatter> = matters
        .iter()
        .filter(|(key, _)| !going.contains(key))
        .map(|(_, matter)| matter)
        .collect();
    let matter = |row: &EndedRow| matters.get(&row.event_key);
    free.retain(|row| matter(row).is_none_or(|one| !staying.contains(one)));
    let later = free.split_off(free.len().min(at_most as usize));
    let begun: BTreeSet<_> = free.iter().filter_map(matter).collect();
    let with_them = |row: &EndedRow| matter(row).is_some_and(|one| begun.contains(one));
    free.extend(later.into_iter().filter(with_them));
    Ok(free)
}

/// What these events tell of legal holds.
pub(super) fn holds_of(rows: &[EventRow]) -> Stored<LegalHolds> {
    read(rows).map(|(_, holds)| holds)
}

/// The same, and which event is about which matter.
fn read(rows: &[EventRow]) -> Stored<(BTreeMap<Uuid, LegalMatter>, LegalHolds)> {
    let (mut matters, mut holds) = (BTreeMap::new(), LegalHolds::default());
    for row in rows {
        let event: RecordedEvent = parsed(&row.body, "events", "body", row.key)?;
        holds.note(&event.event);
        matters.extend(LegalMatter::of(&event.event).map(|matter| (row.key, matter)));
    }
    Ok((matters, holds))
}

/// Events without a case that may go: not those of an HR case that stays.
pub(super) fn loose(
    rows: &[EventRow],
    staying: Vec<(String, String)>,
) -> Stored<Vec<(Uuid, String)>> {
    let staying: HashSet<(String, String)> = staying.into_iter().collect();
    let mut free = Vec::new();
    for row in rows {
        let event: RecordedEvent = parsed(&row.body, "events", "body", row.key)?;
        let of = (
            event.event.subject.tenant.as_str().to_owned(),
            event.event.hr_case.clone(),
        );
        if !staying.contains(&of) {
            free.push((row.key, event.payload_digest));
        }
    }
    Ok(free)
}

/// What a transaction counted before it signs.
pub(super) struct Counted {
    /// The rows that go, in the order of [`going`].
    pub rows: Vec<Entry>,
    pub cases: usize,
    /// Links that go.
    pub links: i64,
    /// Checkpoints that go, oldest first.
    pub checkpoints: Vec<Signed>,
    /// Entries of links since the verification.
    pub since: Vec<Vec<u8>>,
    /// The last link so far, and the last checkpoint.
    pub seen: i64,
    pub after: i64,
    pub heads: Vec<Tip>,
}

/// The tombstone over what was counted, not signed, and the entries of the links that follow it.
pub(super) fn told(wanted: &Dropping, mut counted: Counted) -> (Tombstone, Vec<Entry>) {
    let mut stone = wanted.epitaph.clone().after(wanted.follows.as_ref());
    let place = |entry: &Entry| (entry.table, entry.key.clone());
    counted
        .rows
        .sort_by(|one, other| (one.table, &one.key).cmp(&(other.table, &other.key)));
    let going: HashSet<_> = counted.rows.iter().map(place).collect();
    let changed = counted
        .since
        .iter()
        .filter_map(|bytes| Entries::read(bytes));
    let changed: HashSet<_> = changed.flatten().map(|entry| place(&entry)).collect();
    let settled: HashSet<_> = wanted.standing.entries.iter().map(place).collect();
    let (mut all, mut late) = (Rolls::default(), Rolls::default());
    let mut follow = Vec::new();
    for entry in &counted.rows {
        all.whole(entry);
        let name = tables::ALL.iter().find(|table| table.code == entry.table);
        let name = name.map_or("unknown", |table| table.name).to_owned();
        *stone.rows.entry(name).or_default() += 1;
        if !settled.contains(&place(entry)) || changed.contains(&place(entry)) {
            late.key(entry);
            follow.push(Entry {
                digest: gone(stone.number),
                ..entry.clone()
            });
        }
    }
    let stays = wanted.standing.entries.iter();
    let stays = stays.filter(|one| !going.contains(&place(one)) && !changed.contains(&place(one)));
    let before = follow.len();
    // With the digest that the log has of them, whatever the row says by now.
    follow.extend(stays.cloned());
    stone.carried = (follow.len() - before) as u64;
    stone.root = all.root();
    (stone.late, stone.late_root) = (late.count(), late.root());
    stone.cases = counted.cases as u64;
    stone.links = counted.links.cast_unsigned();
    stone.heads = heads_digest(&counted.heads);
    stone.seen = counted.seen;
    stone.after = counted.after;
    stone.bury(&counted.checkpoints);
    (stone, follow)
}

/// Entries of one link at most.
const AT_ONCE: usize = 1000;

/// The links that follow a tombstone.
pub(super) fn noted(follow: &[Entry]) -> Vec<Notes> {
    let parts = follow.chunks(AT_ONCE).map(|part| {
        let mut notes = Notes::default();
        notes.add(part);
        notes
    });
    parts.collect()
}
