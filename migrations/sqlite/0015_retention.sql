-- Retention: closed periods of the log, and the rows behind them, go under a signed tombstone. What is
-- refused without one is refused as before. See docs/decisions/0012-audit.md.

CREATE TABLE audit_tombstones (
    number    INTEGER PRIMARY KEY,              -- counted from 1 without a gap
    through   INTEGER NOT NULL,                 -- the last checkpoint that went; 0 for none
    until     INTEGER NOT NULL,                 -- the last link that went; 0 for none
    text      TEXT NOT NULL,                    -- what is signed, JSON
    signature TEXT NOT NULL                     -- Ed25519 over the text, hex
) STRICT;

-- Cases that went.
CREATE TABLE dropped_cases (
    id        BLOB PRIMARY KEY,
    tombstone INTEGER NOT NULL                  -- under which it went
) STRICT;
CREATE INDEX dropped_cases_by_tombstone ON dropped_cases (tombstone);

-- Events that went: the source may send them again, and they must not open a case a second time.
CREATE TABLE dropped_events (
    key            BLOB PRIMARY KEY,            -- derived from CloudEvents source and id
    payload_digest TEXT NOT NULL,               -- tells a repeat from another event under the same id
    tombstone      INTEGER NOT NULL             -- under which it went
) STRICT;
CREATE INDEX dropped_events_by_tombstone ON dropped_events (tombstone);

-- Where a strand stood at the newest tombstone: its last link that went.
ALTER TABLE audit_strands ADD COLUMN kept_sequence INTEGER;
ALTER TABLE audit_strands ADD COLUMN kept_hash BLOB;

CREATE TRIGGER promise_tombstones_kept BEFORE UPDATE ON audit_tombstones
BEGIN SELECT RAISE(ABORT, 'promise_audit_kept'); END;
CREATE TRIGGER promise_tombstones_not_deleted BEFORE DELETE ON audit_tombstones
BEGIN SELECT RAISE(ABORT, 'promise_audit_kept'); END;

DROP TRIGGER promise_audit_links_not_deleted;
CREATE TRIGGER promise_audit_links_not_deleted BEFORE DELETE ON audit_links
WHEN NOT EXISTS (SELECT 1 FROM audit_tombstones WHERE until >= OLD.seq)
BEGIN SELECT RAISE(ABORT, 'promise_audit_kept'); END;
DROP TRIGGER promise_audit_checkpoints_not_deleted;
CREATE TRIGGER promise_audit_checkpoints_not_deleted BEFORE DELETE ON audit_checkpoints
WHEN NOT EXISTS (SELECT 1 FROM audit_tombstones WHERE through >= OLD.number)
BEGIN SELECT RAISE(ABORT, 'promise_audit_kept'); END;

CREATE TRIGGER promise_open_case_kept BEFORE INSERT ON dropped_cases
WHEN NOT EXISTS (SELECT 1 FROM cases WHERE id = NEW.id AND ended IS NOT NULL)
    OR EXISTS (SELECT 1 FROM tasks WHERE case_id = NEW.id AND state <> 'closed')
BEGIN SELECT RAISE(ABORT, 'promise_open_case_kept'); END;
DROP TRIGGER promise_run_kept;
CREATE TRIGGER promise_run_kept BEFORE DELETE ON runs
WHEN NOT EXISTS (SELECT 1 FROM dropped_cases WHERE id = OLD.case_id)
BEGIN SELECT RAISE(ABORT, 'promise_run_kept'); END;
DROP TRIGGER promise_journal_not_deleted;
CREATE TRIGGER promise_journal_not_deleted BEFORE DELETE ON journal
WHEN NOT EXISTS (SELECT 1 FROM runs JOIN dropped_cases ON dropped_cases.id = runs.case_id
    WHERE runs.id = OLD.run_id)
BEGIN SELECT RAISE(ABORT, 'promise_journal_kept'); END;

CREATE TRIGGER dropped_event_stays_dropped BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM dropped_events WHERE key = NEW.key)
BEGIN SELECT RAISE(IGNORE); END;
