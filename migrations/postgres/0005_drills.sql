-- Rehearsals of departures, and examinations: when a connector was last tested, under which manifest,
-- and what was found. A drill's passes are cases like any other; here is only where it stands.

CREATE TABLE drills (
    id        UUID PRIMARY KEY,
    connector TEXT NOT NULL,
    manifest  TEXT,
    begun_us  BIGINT NOT NULL,
    due_us    BIGINT,
    owner     UUID,
    until_us  BIGINT,
    token     BIGINT NOT NULL,
    ended_us  BIGINT,
    passed    BOOLEAN,
    body      TEXT NOT NULL,
    CONSTRAINT drills_lease CHECK ((owner IS NULL) = (until_us IS NULL)),
    CONSTRAINT promise_drill_is_led_on CHECK ((ended_us IS NULL) = (due_us IS NOT NULL)),
    CONSTRAINT drills_end_has_result CHECK ((ended_us IS NULL) = (passed IS NULL)),
    CONSTRAINT promise_passed_under_a_manifest CHECK (passed IS NOT TRUE OR manifest IS NOT NULL)
);
CREATE UNIQUE INDEX promise_one_drill ON drills (connector) WHERE ended_us IS NULL;
CREATE INDEX drills_by_connector ON drills (connector, begun_us);
COMMENT ON TABLE drills IS 'Rehearsals of departures; their passes are cases like any other';
COMMENT ON COLUMN drills.id IS 'The command''s that wished it, where one did';
COMMENT ON COLUMN drills.connector IS 'The connector''s name';
COMMENT ON COLUMN drills.manifest IS 'Digest of what was in force; NULL until a worker has begun it';
COMMENT ON COLUMN drills.begun_us IS 'When it was wished';
COMMENT ON COLUMN drills.due_us IS 'When to look at it again; NULL once it is over';
COMMENT ON COLUMN drills.owner IS 'The worker that leads it on';
COMMENT ON COLUMN drills.until_us IS 'After this, another may';
COMMENT ON COLUMN drills.token IS 'Fencing token: counts leases; a result with an older one is refused';
COMMENT ON COLUMN drills.ended_us IS 'When it was over';
COMMENT ON COLUMN drills.passed IS 'Whether it passed, once it is over';
COMMENT ON COLUMN drills.body IS 'The whole drill, JSON';

CREATE TRIGGER promise_drill_kept BEFORE DELETE ON drills FOR EACH ROW
    EXECUTE FUNCTION promise_refuse('promise_drill_kept');
CREATE TRIGGER promise_drill_ended_once BEFORE UPDATE ON drills FOR EACH ROW
    WHEN (OLD.ended_us IS NOT NULL) EXECUTE FUNCTION promise_refuse('promise_drill_kept');

CREATE TABLE examinations (
    connector TEXT NOT NULL,
    at_us     BIGINT NOT NULL,
    manifest  TEXT NOT NULL,
    passed    BOOLEAN NOT NULL,
    body      TEXT NOT NULL,
    PRIMARY KEY (connector, at_us)
);
COMMENT ON TABLE examinations IS 'What `clawback connectors test` found; append-only';
COMMENT ON COLUMN examinations.connector IS 'The connector''s name';
COMMENT ON COLUMN examinations.at_us IS 'When';
COMMENT ON COLUMN examinations.manifest IS 'Digest of the file that was examined';
COMMENT ON COLUMN examinations.passed IS 'Whether nothing failed';
COMMENT ON COLUMN examinations.body IS 'Who, what was changed and what failed, JSON';
