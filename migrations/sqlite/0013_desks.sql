-- Copies of fallback tasks at desks besides the built-in queue. The task is the truth: a copy is made and
-- brought up to date by comparing, so that a desk that is down delays its copies and nothing else.

-- Which desk gets a copy, as the task itself says; the task of a drill is nobody's work. None for a row that somebody
-- has tampered with: it is the log that tells of it, and nothing here may get in the way.
ALTER TABLE tasks ADD COLUMN desk TEXT GENERATED ALWAYS AS
    (CASE WHEN NOT json_valid(body) THEN NULL WHEN body ->> '$.drill' THEN 'built-in' ELSE body ->> '$.desk' END) VIRTUAL;
CREATE INDEX tasks_at_desks ON tasks (desk, id) WHERE desk <> 'built-in' AND state <> 'closed';

CREATE TABLE desk_copies (
    task_id    BLOB NOT NULL REFERENCES tasks (id),
    desk       TEXT NOT NULL,
    due_us     INTEGER NOT NULL,      -- when the ticket is to be looked at next
    hold_us    INTEGER NOT NULL,      -- after a failure: not before this, whatever happens to the task
    task_state TEXT NOT NULL,         -- the task's state when the copy was last worked on
    finished   INTEGER NOT NULL,      -- nothing is left to do
    troubled   INTEGER,               -- since when it lags, microseconds
    owner      BLOB,                  -- the worker that works on it
    until_us   INTEGER,               -- after this, another may
    token      INTEGER NOT NULL,      -- counts leases; a result with an older one is refused
    heard      TEXT,                  -- what the desk last said by itself, JSON
    body       TEXT NOT NULL,         -- the whole copy, JSON
    PRIMARY KEY (task_id, desk),
    CONSTRAINT desk_copies_lease CHECK ((owner IS NULL) = (until_us IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX desk_copies_due ON desk_copies (desk, finished, due_us);
