-- Everything durable, for one engine process. Times are microseconds since 1970 (UTC, `_us`), ids are
-- 16 bytes, documents are JSON text. Constraints named `promise_…` carry the product's promise:
-- a write that breaks one is refused whole.

-- Lifecycle events as intake recorded them; never changed but for what admission made of them.
CREATE TABLE events (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of arrival
    key            BLOB NOT NULL,      -- derived from CloudEvents source and id
    payload_digest TEXT NOT NULL,      -- tells a repeat from another event under the same id
    recorded_us    INTEGER NOT NULL,   -- when intake recorded it
    body           TEXT NOT NULL,      -- the whole recorded event
    admitted_us    INTEGER,            -- when it was decided; NULL while it waits
    decision       TEXT,               -- open, reschedule, rescind, halt, rotate or ignore
    reason         TEXT,               -- why, for the record
    CONSTRAINT promise_event_once UNIQUE (key)
) STRICT;
CREATE INDEX events_waiting ON events (seq) WHERE admitted_us IS NULL;

-- Where intake left each partition, written with the events themselves.
CREATE TABLE checkpoints (
    consumer_group TEXT NOT NULL,
    topic          TEXT NOT NULL,
    partition      INTEGER NOT NULL,
    next_offset    INTEGER NOT NULL,   -- the next one to read; never goes back
    PRIMARY KEY (consumer_group, topic, partition)
) STRICT, WITHOUT ROWID;

-- Messages that could not be read or mapped, whole.
CREATE TABLE dead_letters (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    id            BLOB NOT NULL UNIQUE, -- derived from its place
    topic         TEXT NOT NULL,
    partition     INTEGER NOT NULL,
    position      INTEGER NOT NULL,     -- Kafka offset, -1 outside Kafka
    body          TEXT NOT NULL,        -- key, headers, payload, code and reason
    first_seen_us INTEGER NOT NULL,
    replayed_us   INTEGER               -- when it was last sent again
) STRICT;

-- Workflows exactly as cases started with them.
CREATE TABLE definitions (
    digest   TEXT PRIMARY KEY,
    name     TEXT NOT NULL,
    version  INTEGER NOT NULL,
    body     TEXT NOT NULL,
    saved_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One line for each case: what lists show, and how it ended.
CREATE TABLE cases (
    id           BLOB PRIMARY KEY,
    tenant       TEXT NOT NULL,
    subject_key  TEXT NOT NULL,       -- tenant and subject id
    subject_name TEXT NOT NULL,
    event_key    BLOB NOT NULL,       -- the event that opened it
    hr_case      TEXT NOT NULL,
    revision     INTEGER NOT NULL,    -- the revision in force
    workflow     TEXT NOT NULL,
    effective_us INTEGER NOT NULL,
    opened_us    INTEGER NOT NULL,
    priority     INTEGER NOT NULL,    -- lower is sooner
    run_id       BLOB NOT NULL,       -- its run of kind case
    halted       INTEGER NOT NULL DEFAULT 0,  -- called off after something was done
    ended        TEXT,                -- how it ended
    ended_us     INTEGER,
    CONSTRAINT promise_one_case_per_event UNIQUE (event_key),
    CONSTRAINT cases_end_has_time CHECK ((ended IS NULL) = (ended_us IS NULL))
) STRICT;
CREATE INDEX cases_by_hr_case ON cases (tenant, hr_case);
CREATE INDEX cases_by_subject ON cases (subject_key);
CREATE INDEX cases_by_opened ON cases (opened_us);

-- Work orders for people; at most one for one run.
CREATE TABLE tasks (
    id          BLOB PRIMARY KEY,
    run_id      BLOB NOT NULL,
    case_id     BLOB,
    connector   TEXT,
    priority    INTEGER NOT NULL,
    opened_us   INTEGER NOT NULL,
    deadline_us INTEGER NOT NULL,
    state       TEXT NOT NULL,        -- open, claimed, checking or closed
    body        TEXT NOT NULL,        -- the whole task
    CONSTRAINT promise_one_task_per_run UNIQUE (run_id),
    -- What an attested removal refers to: a task of its own run, closed.
    CONSTRAINT tasks_by_run_and_state UNIQUE (run_id, state)
) STRICT;
CREATE INDEX tasks_open ON tasks (priority, deadline_us) WHERE state <> 'closed';
CREATE INDEX tasks_by_case ON tasks (case_id);

-- Instances of state machines: cases, discoveries, removals, rotations.
CREATE TABLE runs (
    id             BLOB PRIMARY KEY,
    case_id        BLOB,
    parent_id      BLOB,              -- the run that waits for this one to end
    kind           TEXT NOT NULL,
    connector      TEXT,
    priority       INTEGER NOT NULL,  -- lower is sooner
    stage          TEXT NOT NULL,     -- due, gathering, with_person or ended
    state          TEXT NOT NULL,     -- the state's name, or the end's
    due_us         INTEGER,           -- when to look at it; not kept current while it is leased
    owner          BLOB,              -- the worker that leases it
    token          INTEGER NOT NULL,  -- fencing token: counts claims
    step           INTEGER NOT NULL,  -- settlements so far; a settlement must be the next one
    open_children  INTEGER NOT NULL,  -- child runs that have not ended
    task_id        BLOB,              -- its fallback task, while one is open
    verdict        INTEGER,           -- rung of the ladder; removals only
    ended          TEXT,              -- how it ended
    ended_us       INTEGER,
    proof_sequence INTEGER,           -- the journal sequence that proved it
    closed_state   TEXT,              -- 'closed' where a person's word ends it
    rotation_role  TEXT,              -- which secret, while a rotation is under way
    body           TEXT NOT NULL,     -- the whole run
    CONSTRAINT promise_removal_ends_in_proof CHECK (
        kind <> 'removal' OR ended IS NULL OR ended = 'halted'
        OR (ended = 'verified' AND verdict IS NOT NULL AND verdict >= 3 AND proof_sequence IS NOT NULL)
        OR (ended = 'attested' AND closed_state IS NOT NULL AND closed_state = 'closed')),
    CONSTRAINT promise_no_child_left CHECK (
        open_children >= 0 AND (ended IS NULL OR open_children = 0)),
    -- An open run is due, or waits for a child, or is with a person: never nothing.
    CONSTRAINT promise_nothing_forgotten CHECK (
        ended IS NOT NULL OR due_us IS NOT NULL
        OR (stage = 'gathering' AND open_children > 0)
        OR (stage = 'with_person' AND task_id IS NOT NULL)),
    CONSTRAINT runs_lease_is_due CHECK (owner IS NULL OR (due_us IS NOT NULL AND ended IS NULL)),
    CONSTRAINT runs_end_has_time CHECK ((ended IS NULL) = (ended_us IS NULL)),
    CONSTRAINT promise_attested_by_closed_task FOREIGN KEY (id, closed_state)
        REFERENCES tasks (run_id, state) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE INDEX runs_claimable ON runs (priority, due_us) WHERE owner IS NULL AND due_us IS NOT NULL;
CREATE INDEX runs_leased ON runs (owner) WHERE owner IS NOT NULL;
CREATE INDEX runs_by_case ON runs (case_id);
CREATE UNIQUE INDEX promise_one_rotation ON runs (connector, rotation_role)
    WHERE rotation_role IS NOT NULL;
CREATE INDEX runs_rotations ON runs (connector) WHERE kind = 'rotation';

CREATE TRIGGER promise_ended_once BEFORE UPDATE ON runs WHEN OLD.ended IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'promise_ended_once'); END;
CREATE TRIGGER promise_run_kept BEFORE DELETE ON runs
BEGIN SELECT RAISE(ABORT, 'promise_run_kept'); END;
CREATE TRIGGER promise_halted_with_case AFTER UPDATE OF ended ON runs
WHEN NEW.kind = 'removal' AND NEW.ended = 'halted'
    AND NOT EXISTS (SELECT 1 FROM cases WHERE id = NEW.case_id AND halted = 1)
BEGIN SELECT RAISE(ABORT, 'promise_halted_with_case'); END;
CREATE TRIGGER promise_halted_with_case_born AFTER INSERT ON runs
WHEN NEW.kind = 'removal' AND NEW.ended = 'halted'
    AND NOT EXISTS (SELECT 1 FROM cases WHERE id = NEW.case_id AND halted = 1)
BEGIN SELECT RAISE(ABORT, 'promise_halted_with_case'); END;
CREATE TRIGGER promise_case_ends_last AFTER UPDATE OF ended ON cases
WHEN NEW.ended IS NOT NULL
    AND EXISTS (SELECT 1 FROM runs WHERE case_id = NEW.id AND ended IS NULL)
BEGIN SELECT RAISE(ABORT, 'promise_case_ends_last'); END;
CREATE TRIGGER promise_case_ended_once BEFORE UPDATE OF ended ON cases
WHEN OLD.ended IS NOT NULL AND NEW.ended IS NOT OLD.ended
BEGIN SELECT RAISE(ABORT, 'promise_case_ended_once'); END;

-- What happened, line by line; append-only.
CREATE TABLE journal (
    run_id   BLOB NOT NULL,
    sequence INTEGER NOT NULL,        -- the run's settlement
    place    INTEGER NOT NULL,        -- within the settlement
    at_us    INTEGER NOT NULL,
    state    TEXT NOT NULL,
    item     TEXT,                    -- the entitlement, where it is about one
    outcome  TEXT NOT NULL,
    failure  TEXT,                    -- class, code and words, as JSON
    detail   TEXT,                    -- what was observed or found, as JSON
    CONSTRAINT promise_journal_once PRIMARY KEY (run_id, sequence, place)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER promise_journal_kept BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'promise_journal_kept'); END;
CREATE TRIGGER promise_journal_not_deleted BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'promise_journal_kept'); END;

-- Messages on their way to Kafka.
CREATE TABLE outbox (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of writing
    id           BLOB NOT NULL UNIQUE,
    topic        TEXT NOT NULL,
    key          BLOB NOT NULL,       -- messages of one key keep their order
    headers      TEXT NOT NULL,       -- JSON
    payload      BLOB NOT NULL,
    created_us   INTEGER NOT NULL,
    owner        BLOB,                -- the worker that publishes it
    published_us INTEGER              -- when the broker had it
) STRICT;
CREATE INDEX outbox_waiting ON outbox (seq) WHERE published_us IS NULL;
CREATE INDEX outbox_taken ON outbox (topic, key) WHERE published_us IS NULL AND owner IS NOT NULL;

-- Workers that may hold leases.
CREATE TABLE workers (
    id            BLOB PRIMARY KEY,
    enlisted_us   INTEGER NOT NULL,
    lease_us      INTEGER NOT NULL,   -- length of a lease
    expires_us    INTEGER NOT NULL    -- after this, others may free its runs
) STRICT;

-- Wishes of operators and what became of them.
CREATE TABLE commands (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          BLOB NOT NULL UNIQUE,
    task_id     BLOB,                 -- the task it is about
    body        TEXT NOT NULL,
    answer      TEXT,                 -- NULL while it waits
    answered_us INTEGER
) STRICT;
CREATE INDEX commands_waiting ON commands (seq) WHERE answer IS NULL;

-- The last complete listing of each target.
CREATE TABLE inventories (
    connector TEXT PRIMARY KEY,
    at_us     INTEGER NOT NULL,
    accounts  TEXT NOT NULL
) STRICT;
