-- Rehearsals of departures, and examinations: when a connector was last tested, under which manifest,
-- and what was found. A drill's passes are cases like any other; here is only where it stands.

CREATE TABLE drills (
    id        BLOB PRIMARY KEY,       -- the command's that wished it, where one did
    connector TEXT NOT NULL,
    manifest  TEXT,                   -- digest of what was in force; NULL until a worker has begun it
    begun_us  INTEGER NOT NULL,
    due_us    INTEGER,                -- when to look at it again; NULL once it is over
    owner     BLOB,                   -- the worker that leads it on
    until_us  INTEGER,                -- after this, another may
    token     INTEGER NOT NULL,       -- counts leases; a result with an older one is refused
    ended_us  INTEGER,
    passed    INTEGER,                -- whether it passed, once it is over
    body      TEXT NOT NULL,          -- the whole drill, JSON
    CONSTRAINT drills_lease CHECK ((owner IS NULL) = (until_us IS NULL)),
    CONSTRAINT promise_drill_is_led_on CHECK ((ended_us IS NULL) = (due_us IS NOT NULL)),
    CONSTRAINT drills_end_has_result CHECK ((ended_us IS NULL) = (passed IS NULL)),
    CONSTRAINT promise_passed_under_a_manifest CHECK (passed IS NOT 1 OR manifest IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX promise_one_drill ON drills (connector) WHERE ended_us IS NULL;
CREATE INDEX drills_by_connector ON drills (connector, begun_us);

CREATE TRIGGER promise_drill_kept BEFORE DELETE ON drills
BEGIN SELECT RAISE(ABORT, 'promise_drill_kept'); END;
CREATE TRIGGER promise_drill_ended_once BEFORE UPDATE ON drills WHEN OLD.ended_us IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'promise_drill_kept'); END;

-- What `clawback connectors test` found; append-only.
CREATE TABLE examinations (
    connector TEXT NOT NULL,
    at_us     INTEGER NOT NULL,
    manifest  TEXT NOT NULL,          -- digest of the file that was examined
    passed    INTEGER NOT NULL,
    body      TEXT NOT NULL,          -- who, what was changed and what failed, JSON
    PRIMARY KEY (connector, at_us)
) STRICT, WITHOUT ROWID;
