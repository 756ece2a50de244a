-- What people owe and what they stop: when a task is escalated, who signed what closed it, pauses,
-- and what has passed the brakes.

-- When it is escalated: its deadline, later the next time; NULL once it is closed.
ALTER TABLE tasks ADD COLUMN chase_us INTEGER;
-- An attestation takes two people; 0 for tasks written before this was known.
ALTER TABLE tasks ADD COLUMN privileged INTEGER NOT NULL DEFAULT 0;
-- How it was closed.
ALTER TABLE tasks ADD COLUMN how TEXT;
-- Who signed first.
ALTER TABLE tasks ADD COLUMN attested_by TEXT;
-- Who signed as the second person, never the first.
ALTER TABLE tasks ADD COLUMN confirmed_by TEXT CONSTRAINT promise_attested_by_two CHECK (
    NOT privileged OR how IS NULL OR how <> 'attested'
    OR (attested_by IS NOT NULL AND confirmed_by IS NOT NULL
        AND lower(trim(attested_by)) <> lower(trim(confirmed_by))));
UPDATE tasks SET chase_us = deadline_us WHERE state <> 'closed';
CREATE INDEX tasks_to_chase ON tasks (chase_us) WHERE chase_us IS NOT NULL;

-- Every pause that ever was; those that nobody has ended are in force.
CREATE TABLE pauses (
    number         INTEGER PRIMARY KEY AUTOINCREMENT, -- order; workers say up to which they know them
    connector      TEXT NOT NULL,                     -- at which target; empty means at all of them
    paused_by      TEXT NOT NULL,
    paused_us      INTEGER NOT NULL,
    reason         TEXT NOT NULL,
    resumed_by     TEXT,
    resumed_us     INTEGER,
    resumed_reason TEXT
) STRICT;
CREATE UNIQUE INDEX pauses_in_force ON pauses (connector) WHERE resumed_us IS NULL;

-- It begins nothing against any pause up to this number; NULL for one that begins nothing at targets.
ALTER TABLE workers ADD COLUMN pauses_known INTEGER;

-- What has passed a brake within its window; older rows are cleared by the next that asks.
CREATE TABLE permits (
    brake  TEXT NOT NULL,    -- its name: departures/source/…, departures/unit/…, writes/…
    holder TEXT NOT NULL,    -- the case or the removal that has begun
    at_us  INTEGER NOT NULL,
    PRIMARY KEY (brake, holder)
) STRICT, WITHOUT ROWID;
CREATE INDEX permits_by_time ON permits (brake, at_us);
