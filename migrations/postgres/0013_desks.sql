-- Copies of fallback tasks at desks besides the built-in queue. The task is the truth: a copy is made and
-- brought up to date by comparing, so that a desk that is down delays its copies and nothing else.

ALTER TABLE tasks ADD COLUMN desk TEXT GENERATED ALWAYS AS (CASE WHEN body::json ->> 'drill' = 'true'
    THEN 'built-in' ELSE body::json ->> 'desk' END) STORED;
COMMENT ON COLUMN tasks.desk IS 'Which desk gets a copy, as the task itself says; the task of a drill is nobody''s work';
CREATE INDEX tasks_at_desks ON tasks (desk, id) WHERE desk <> 'built-in' AND state <> 'closed';

CREATE TABLE desk_copies (
    task_id    UUID NOT NULL REFERENCES tasks (id),
    desk       TEXT NOT NULL,
    due_us     BIGINT NOT NULL,
    hold_us    BIGINT NOT NULL,
    task_state TEXT NOT NULL,
    finished   BOOLEAN NOT NULL,
    troubled   BIGINT,
    owner      UUID,
    until_us   BIGINT,
    token      BIGINT NOT NULL,
    heard      TEXT,
    body       TEXT NOT NULL,
    PRIMARY KEY (task_id, desk),
    CONSTRAINT desk_copies_lease CHECK ((owner IS NULL) = (until_us IS NULL))
) WITH (fillfactor = 50);
CREATE INDEX desk_copies_due ON desk_copies (desk, finished, due_us);
COMMENT ON TABLE desk_copies IS 'Copies of fallback tasks at desks besides the built-in queue';
COMMENT ON COLUMN desk_copies.task_id IS 'Of which task';
COMMENT ON COLUMN desk_copies.desk IS 'At which desk';
COMMENT ON COLUMN desk_copies.due_us IS 'When the ticket is to be looked at next';
COMMENT ON COLUMN desk_copies.hold_us IS 'After a failure: not before this, whatever happens to the task';
COMMENT ON COLUMN desk_copies.task_state IS 'The task''s state when the copy was last worked on';
COMMENT ON COLUMN desk_copies.finished IS 'Nothing is left to do';
COMMENT ON COLUMN desk_copies.troubled IS 'Since when it lags, microseconds';
COMMENT ON COLUMN desk_copies.owner IS 'The worker that works on it';
COMMENT ON COLUMN desk_copies.until_us IS 'After this, another may';
COMMENT ON COLUMN desk_copies.token IS 'Fencing token: counts leases; a result with an older one is refused';
COMMENT ON COLUMN desk_copies.heard IS 'What the desk last said by itself, JSON';
COMMENT ON COLUMN desk_copies.body IS 'The whole copy, JSON';
