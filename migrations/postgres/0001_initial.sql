-- Everything durable, for any number of workers. Times are microseconds since 1970 (UTC, `_us`),
-- documents are JSON text. Constraints named `promise_…` carry the product's promise: a write that
-- breaks one is refused whole. There are no foreign keys where an id is derived from its parent's:
-- they would lock the parent's row on every insert and prove nothing new.

CREATE TABLE events (
    seq            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key            UUID NOT NULL,
    payload_digest TEXT NOT NULL,
    recorded_us    BIGINT NOT NULL,
    body           TEXT NOT NULL,
    admitted_us    BIGINT,
    decision       TEXT,
    reason         TEXT,
    CONSTRAINT promise_event_once UNIQUE (key)
);
CREATE INDEX events_waiting ON events (seq) WHERE admitted_us IS NULL;
COMMENT ON TABLE events IS 'Lifecycle events as intake recorded them; only what admission made of them is added';
COMMENT ON COLUMN events.seq IS 'Order of arrival';
COMMENT ON COLUMN events.key IS 'Derived from CloudEvents source and id';
COMMENT ON COLUMN events.payload_digest IS 'Tells a repeat from another event under the same id';
COMMENT ON COLUMN events.recorded_us IS 'When intake recorded it';
COMMENT ON COLUMN events.body IS 'The whole recorded event, JSON';
COMMENT ON COLUMN events.admitted_us IS 'When it was decided; NULL while it waits';
COMMENT ON COLUMN events.decision IS 'open, reschedule, rescind, halt, rotate or ignore';
COMMENT ON COLUMN events.reason IS 'Why, for the record';

CREATE TABLE checkpoints (
    consumer_group TEXT NOT NULL,
    topic          TEXT NOT NULL,
    partition      INTEGER NOT NULL,
    next_offset    BIGINT NOT NULL,
    PRIMARY KEY (consumer_group, topic, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE checkpoints IS 'Where intake left each partition, written with the events themselves';
COMMENT ON COLUMN checkpoints.consumer_group IS 'Kafka consumer group';
COMMENT ON COLUMN checkpoints.topic IS 'Kafka topic';
COMMENT ON COLUMN checkpoints.partition IS 'Kafka partition';
COMMENT ON COLUMN checkpoints.next_offset IS 'The next offset to read; never goes back';

CREATE TABLE dead_letters (
    seq           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id            UUID NOT NULL UNIQUE,
    topic         TEXT NOT NULL,
    partition     INTEGER NOT NULL,
    position      BIGINT NOT NULL,
    body          TEXT NOT NULL,
    first_seen_us BIGINT NOT NULL,
    replayed_us   BIGINT
);
COMMENT ON TABLE dead_letters IS 'Messages that could not be read or mapped, whole';
COMMENT ON COLUMN dead_letters.seq IS 'Order of arrival';
COMMENT ON COLUMN dead_letters.id IS 'Derived from its place';
COMMENT ON COLUMN dead_letters.topic IS 'Where it came from';
COMMENT ON COLUMN dead_letters.partition IS 'Where it came from';
COMMENT ON COLUMN dead_letters.position IS 'Kafka offset, -1 outside Kafka';
COMMENT ON COLUMN dead_letters.body IS 'Key, headers, payload, code and reason, JSON';
COMMENT ON COLUMN dead_letters.first_seen_us IS 'When intake saw it first';
COMMENT ON COLUMN dead_letters.replayed_us IS 'When it was last sent again';

CREATE TABLE definitions (
    digest   TEXT PRIMARY KEY,
    name     TEXT NOT NULL,
    version  INTEGER NOT NULL,
    body     TEXT NOT NULL,
    saved_us BIGINT NOT NULL
);
COMMENT ON TABLE definitions IS 'Workflows exactly as cases started with them';
COMMENT ON COLUMN definitions.digest IS 'SHA-256 of the canonical form';
COMMENT ON COLUMN definitions.name IS 'The workflow''s name';
COMMENT ON COLUMN definitions.version IS 'The author''s version';
COMMENT ON COLUMN definitions.body IS 'The checked workflow, JSON';
COMMENT ON COLUMN definitions.saved_us IS 'When it was first used';

CREATE TABLE cases (
    id           UUID PRIMARY KEY,
    tenant       TEXT NOT NULL,
    subject_key  TEXT NOT NULL,
    subject_name TEXT NOT NULL,
    event_key    UUID NOT NULL,
    hr_case      TEXT NOT NULL,
    revision     BIGINT NOT NULL,
    workflow     TEXT NOT NULL,
    effective_us BIGINT NOT NULL,
    opened_us    BIGINT NOT NULL,
    priority     SMALLINT NOT NULL,
    run_id       UUID NOT NULL,
    halted       BOOLEAN NOT NULL DEFAULT FALSE,
    ended        TEXT,
    ended_us     BIGINT,
    CONSTRAINT promise_one_case_per_event UNIQUE (event_key),
    CONSTRAINT cases_end_has_time CHECK ((ended IS NULL) = (ended_us IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX cases_by_hr_case ON cases (tenant, hr_case);
CREATE INDEX cases_by_subject ON cases (subject_key);
CREATE INDEX cases_by_opened ON cases (opened_us);
COMMENT ON TABLE cases IS 'One line for each case: what lists show, and how it ended';
COMMENT ON COLUMN cases.id IS 'Derived from the event; also the trace id of its story';
COMMENT ON COLUMN cases.tenant IS 'The organisation that the subject belongs to';
COMMENT ON COLUMN cases.subject_key IS 'Tenant and subject id';
COMMENT ON COLUMN cases.subject_name IS 'For people to read';
COMMENT ON COLUMN cases.event_key IS 'The event that opened it';
COMMENT ON COLUMN cases.hr_case IS 'The source''s case';
COMMENT ON COLUMN cases.revision IS 'The revision in force';
COMMENT ON COLUMN cases.workflow IS 'The workflow''s name';
COMMENT ON COLUMN cases.effective_us IS 'When access ends';
COMMENT ON COLUMN cases.opened_us IS 'When the case was opened';
COMMENT ON COLUMN cases.priority IS 'Lower is sooner';
COMMENT ON COLUMN cases.run_id IS 'Its run of kind case';
COMMENT ON COLUMN cases.halted IS 'Called off after something was done';
COMMENT ON COLUMN cases.ended IS 'How it ended; after all its runs, and once';
COMMENT ON COLUMN cases.ended_us IS 'When it ended';

CREATE TABLE tasks (
    id          UUID PRIMARY KEY,
    run_id      UUID NOT NULL,
    case_id     UUID,
    connector   TEXT,
    priority    SMALLINT NOT NULL,
    opened_us   BIGINT NOT NULL,
    deadline_us BIGINT NOT NULL,
    state       TEXT NOT NULL,
    body        TEXT NOT NULL,
    CONSTRAINT promise_one_task_per_run UNIQUE (run_id),
    CONSTRAINT tasks_by_run_and_state UNIQUE (run_id, state)
) WITH (fillfactor = 70);
CREATE INDEX tasks_open ON tasks (priority, deadline_us) WHERE state <> 'closed';
CREATE INDEX tasks_by_case ON tasks (case_id);
COMMENT ON TABLE tasks IS 'Work orders for people; at most one for one run';
COMMENT ON CONSTRAINT tasks_by_run_and_state ON tasks IS 'What an attested removal refers to: a task of its own run, closed';
COMMENT ON COLUMN tasks.id IS 'Derived from the run';
COMMENT ON COLUMN tasks.run_id IS 'The run that waits for it';
COMMENT ON COLUMN tasks.case_id IS 'The case, unless it is about a connector''s own secret';
COMMENT ON COLUMN tasks.connector IS 'The target';
COMMENT ON COLUMN tasks.priority IS 'Lower is sooner';
COMMENT ON COLUMN tasks.opened_us IS 'When it was opened first';
COMMENT ON COLUMN tasks.deadline_us IS 'When it should be done';
COMMENT ON COLUMN tasks.state IS 'open, claimed, checking or closed';
COMMENT ON COLUMN tasks.body IS 'The whole task, JSON';

-- A leased run's plain step changes no indexed column (`due_us` is left alone under a lease), so the
-- update stays on its page (HOT); the fill factor leaves it room. Bodies stay inline up to 8 KB:
-- moving them out and compressing them would cost more than the step.
CREATE TABLE runs (
    id             UUID PRIMARY KEY,
    case_id        UUID,
    parent_id      UUID,
    owner          UUID,
    task_id        UUID,
    token          BIGINT NOT NULL,
    step           BIGINT NOT NULL,
    due_us         BIGINT,
    ended_us       BIGINT,
    proof_sequence BIGINT,
    open_children  INTEGER NOT NULL,
    priority       SMALLINT NOT NULL,
    verdict        SMALLINT,
    kind           TEXT NOT NULL,
    connector      TEXT,
    stage          TEXT NOT NULL,
    state          TEXT NOT NULL,
    ended          TEXT,
    closed_state   TEXT,
    rotation_role  TEXT,
    body           TEXT NOT NULL,
    CONSTRAINT promise_removal_ends_in_proof CHECK (
        kind <> 'removal' OR ended IS NULL OR ended = 'halted'
        OR (ended = 'verified' AND verdict IS NOT NULL AND verdict >= 3 AND proof_sequence IS NOT NULL)
        OR (ended = 'attested' AND closed_state IS NOT NULL AND closed_state = 'closed')),
    CONSTRAINT promise_no_child_left CHECK (
        open_children >= 0 AND (ended IS NULL OR open_children = 0)),
    CONSTRAINT promise_nothing_forgotten CHECK (
        ended IS NOT NULL OR due_us IS NOT NULL
        OR (stage = 'gathering' AND open_children > 0)
        OR (stage = 'with_person' AND task_id IS NOT NULL)),
    CONSTRAINT runs_lease_is_due CHECK (owner IS NULL OR (due_us IS NOT NULL AND ended IS NULL)),
    CONSTRAINT runs_end_has_time CHECK ((ended IS NULL) = (ended_us IS NULL)),
    CONSTRAINT promise_attested_by_closed_task FOREIGN KEY (id, closed_state)
        REFERENCES tasks (run_id, state) DEFERRABLE INITIALLY DEFERRED
) WITH (fillfactor = 70, toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.05,
        autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX runs_claimable ON runs (priority, due_us) WHERE owner IS NULL AND due_us IS NOT NULL;
CREATE INDEX runs_leased ON runs (owner) WHERE owner IS NOT NULL;
CREATE INDEX runs_by_case ON runs (case_id);
CREATE UNIQUE INDEX promise_one_rotation ON runs (connector, rotation_role)
    WHERE rotation_role IS NOT NULL;
CREATE INDEX runs_rotations ON runs (connector) WHERE kind = 'rotation';
COMMENT ON TABLE runs IS 'Instances of state machines: cases, discoveries, removals, rotations';
COMMENT ON COLUMN runs.id IS 'Derived from the parent''s, so a repeated step finds its own child';
COMMENT ON COLUMN runs.case_id IS 'The case; a rotation has none';
COMMENT ON COLUMN runs.parent_id IS 'The run that waits for this one to end';
COMMENT ON COLUMN runs.owner IS 'The worker that leases it';
COMMENT ON COLUMN runs.task_id IS 'Its fallback task, while one is open';
COMMENT ON COLUMN runs.token IS 'Fencing token: counts claims; a write with an older one is refused';
COMMENT ON COLUMN runs.step IS 'Settlements so far; a settlement must be the next one';
COMMENT ON COLUMN runs.due_us IS 'When to look at it; not kept current while it is leased';
COMMENT ON COLUMN runs.ended_us IS 'When it ended';
COMMENT ON COLUMN runs.proof_sequence IS 'The journal sequence that proved a verified removal';
COMMENT ON COLUMN runs.open_children IS 'Child runs that have not ended';
COMMENT ON COLUMN runs.priority IS 'Lower is sooner';
COMMENT ON COLUMN runs.verdict IS 'Rung of the ladder; removals only. From 3 on absence was observed';
COMMENT ON COLUMN runs.kind IS 'case, discovery, removal or rotation';
COMMENT ON COLUMN runs.connector IS 'The one target that it talks to; a case talks to none';
COMMENT ON COLUMN runs.stage IS 'due, gathering, with_person or ended';
COMMENT ON COLUMN runs.state IS 'The state''s name, or the end''s';
COMMENT ON COLUMN runs.ended IS 'How it ended; once';
COMMENT ON COLUMN runs.closed_state IS '''closed'' where a person''s word ends a removal: the state its task must have';
COMMENT ON COLUMN runs.rotation_role IS 'Which secret, while a rotation is under way';
COMMENT ON COLUMN runs.body IS 'The whole run, JSON';
COMMENT ON CONSTRAINT promise_removal_ends_in_proof ON runs IS 'A removal ends by proof of absence, by a closed task, or halted with its case';
COMMENT ON CONSTRAINT promise_nothing_forgotten ON runs IS 'An open run is due, waits for a child, or is with a person: never nothing';

CREATE FUNCTION promise_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on %', TG_NAME, TG_TABLE_NAME
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_ARGV[0];
END $$;
COMMENT ON FUNCTION promise_refuse IS 'Refuses a write under the name of the promise that it breaks';

CREATE TRIGGER promise_ended_once BEFORE UPDATE ON runs FOR EACH ROW
    WHEN (OLD.ended IS NOT NULL) EXECUTE FUNCTION promise_refuse('promise_ended_once');
CREATE TRIGGER promise_run_kept BEFORE DELETE ON runs FOR EACH ROW
    EXECUTE FUNCTION promise_refuse('promise_run_kept');
CREATE TRIGGER promise_case_ended_once BEFORE UPDATE ON cases FOR EACH ROW
    WHEN (OLD.ended IS NOT NULL AND NEW.ended IS DISTINCT FROM OLD.ended)
    EXECUTE FUNCTION promise_refuse('promise_case_ended_once');

CREATE FUNCTION promise_halted_with_case() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM cases WHERE id = NEW.case_id AND halted) THEN
        RAISE EXCEPTION 'run % is halted, its case is not', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'promise_halted_with_case';
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION promise_halted_with_case IS 'A removal may end halted only when its case was called off';
CREATE CONSTRAINT TRIGGER promise_halted_with_case AFTER INSERT OR UPDATE ON runs
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.kind = 'removal' AND NEW.ended = 'halted')
    EXECUTE FUNCTION promise_halted_with_case();

CREATE FUNCTION promise_case_ends_last() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM runs WHERE case_id = NEW.id AND ended IS NULL) THEN
        RAISE EXCEPTION 'case % has an open run', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'promise_case_ends_last';
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION promise_case_ends_last IS 'A case ends after all its runs; checked at commit';
CREATE CONSTRAINT TRIGGER promise_case_ends_last AFTER INSERT OR UPDATE ON cases
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.ended IS NOT NULL)
    EXECUTE FUNCTION promise_case_ends_last();

CREATE TABLE journal (
    run_id   UUID NOT NULL,
    sequence BIGINT NOT NULL,
    at_us    BIGINT NOT NULL,
    place    INTEGER NOT NULL,
    state    TEXT NOT NULL,
    item     TEXT,
    outcome  TEXT NOT NULL,
    failure  TEXT,
    detail   TEXT,
    CONSTRAINT promise_journal_once PRIMARY KEY (run_id, sequence, place)
);
COMMENT ON TABLE journal IS 'What happened, line by line; append-only';
COMMENT ON COLUMN journal.run_id IS 'Whose line';
COMMENT ON COLUMN journal.sequence IS 'The run''s settlement';
COMMENT ON COLUMN journal.at_us IS 'When';
COMMENT ON COLUMN journal.place IS 'Place within the settlement';
COMMENT ON COLUMN journal.state IS 'The state that the run was in';
COMMENT ON COLUMN journal.item IS 'The entitlement, where it is about one';
COMMENT ON COLUMN journal.outcome IS 'What it came to';
COMMENT ON COLUMN journal.failure IS 'Class, code and words, JSON';
COMMENT ON COLUMN journal.detail IS 'What was observed or found, JSON; holds no secret';
CREATE TRIGGER promise_journal_kept BEFORE UPDATE OR DELETE ON journal FOR EACH ROW
    EXECUTE FUNCTION promise_refuse('promise_journal_kept');

CREATE TABLE outbox (
    seq          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           UUID NOT NULL UNIQUE,
    topic        TEXT NOT NULL,
    key          BYTEA NOT NULL,
    headers      TEXT NOT NULL,
    payload      BYTEA NOT NULL,
    created_us   BIGINT NOT NULL,
    owner        UUID,
    published_us BIGINT
) WITH (fillfactor = 80);
CREATE INDEX outbox_waiting ON outbox (seq) WHERE published_us IS NULL;
CREATE INDEX outbox_taken ON outbox (topic, key) WHERE published_us IS NULL AND owner IS NOT NULL;
COMMENT ON TABLE outbox IS 'Messages on their way to Kafka';
COMMENT ON COLUMN outbox.seq IS 'Order of writing';
COMMENT ON COLUMN outbox.id IS 'Receivers recognise repeats by it';
COMMENT ON COLUMN outbox.topic IS 'Kafka topic';
COMMENT ON COLUMN outbox.key IS 'Kafka key; messages of one key keep their order';
COMMENT ON COLUMN outbox.headers IS 'Kafka headers, JSON';
COMMENT ON COLUMN outbox.payload IS 'Kafka value';
COMMENT ON COLUMN outbox.created_us IS 'When it was written';
COMMENT ON COLUMN outbox.owner IS 'The worker that publishes it';
COMMENT ON COLUMN outbox.published_us IS 'When the broker had it';

CREATE TABLE workers (
    id          UUID PRIMARY KEY,
    lock_key    BIGINT NOT NULL,
    enlisted_us BIGINT NOT NULL,
    lease_us    BIGINT NOT NULL,
    expires_us  BIGINT NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE workers IS 'Workers that may hold leases';
COMMENT ON COLUMN workers.id IS 'One life of one worker process';
COMMENT ON COLUMN workers.lock_key IS 'The advisory lock that its connection holds; free means that it is dead';
COMMENT ON COLUMN workers.enlisted_us IS 'When it began';
COMMENT ON COLUMN workers.lease_us IS 'Length of a lease';
COMMENT ON COLUMN workers.expires_us IS 'After this, others may free its runs';

CREATE TABLE commands (
    seq         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          UUID NOT NULL UNIQUE,
    task_id     UUID,
    body        TEXT NOT NULL,
    answer      TEXT,
    answered_us BIGINT
);
CREATE INDEX commands_waiting ON commands (seq) WHERE answer IS NULL;
COMMENT ON TABLE commands IS 'Wishes of operators and what became of them';
COMMENT ON COLUMN commands.seq IS 'Order of arrival';
COMMENT ON COLUMN commands.id IS 'Chosen by who wishes';
COMMENT ON COLUMN commands.task_id IS 'The task it is about';
COMMENT ON COLUMN commands.body IS 'The whole wish, JSON';
COMMENT ON COLUMN commands.answer IS 'What became of it, JSON; NULL while it waits';
COMMENT ON COLUMN commands.answered_us IS 'When it was carried out';

CREATE TABLE inventories (
    connector TEXT PRIMARY KEY,
    at_us     BIGINT NOT NULL,
    accounts  TEXT NOT NULL
);
COMMENT ON TABLE inventories IS 'The last complete listing of each target';
COMMENT ON COLUMN inventories.connector IS 'The target';
COMMENT ON COLUMN inventories.at_us IS 'When the listing was begun';
COMMENT ON COLUMN inventories.accounts IS 'All accounts, JSON';
