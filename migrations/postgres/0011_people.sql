-- What people owe and what they stop: when a task is escalated, who signed what closed it, pauses,
-- and what has passed the brakes.

ALTER TABLE tasks
    ADD COLUMN chase_us     BIGINT,
    ADD COLUMN privileged   BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN how          TEXT,
    ADD COLUMN attested_by  TEXT,
    ADD COLUMN confirmed_by TEXT,
    ADD CONSTRAINT promise_attested_by_two CHECK (
        NOT privileged OR how IS NULL OR how <> 'attested'
        OR (attested_by IS NOT NULL AND confirmed_by IS NOT NULL
            AND lower(btrim(attested_by)) <> lower(btrim(confirmed_by))));
UPDATE tasks SET chase_us = deadline_us WHERE state <> 'closed';
CREATE INDEX tasks_to_chase ON tasks (chase_us) WHERE chase_us IS NOT NULL;
COMMENT ON COLUMN tasks.state IS 'open, claimed, checking, sent_back, awaiting_second_person or closed';
COMMENT ON COLUMN tasks.chase_us IS 'When it is escalated: its deadline, later the next time; NULL once it is closed';
COMMENT ON COLUMN tasks.privileged IS 'An attestation takes two people; false for tasks written before this was known';
COMMENT ON COLUMN tasks.how IS 'How it was closed';
COMMENT ON COLUMN tasks.attested_by IS 'Who signed first';
COMMENT ON COLUMN tasks.confirmed_by IS 'Who signed as the second person, never the first';

CREATE TABLE pauses (
    number         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    connector      TEXT NOT NULL,
    paused_by      TEXT NOT NULL,
    paused_us      BIGINT NOT NULL,
    reason         TEXT NOT NULL,
    resumed_by     TEXT,
    resumed_us     BIGINT,
    resumed_reason TEXT
);
CREATE UNIQUE INDEX pauses_in_force ON pauses (connector) WHERE resumed_us IS NULL;
COMMENT ON TABLE pauses IS 'Every pause that ever was; those that nobody has ended are in force';
COMMENT ON COLUMN pauses.number IS 'Order; workers say up to which they know them';
COMMENT ON COLUMN pauses.connector IS 'At which target; empty means at all of them';
COMMENT ON COLUMN pauses.paused_by IS 'Who';
COMMENT ON COLUMN pauses.paused_us IS 'When';
COMMENT ON COLUMN pauses.reason IS 'Why, in their words';
COMMENT ON COLUMN pauses.resumed_by IS 'Who ended it';
COMMENT ON COLUMN pauses.resumed_us IS 'When';
COMMENT ON COLUMN pauses.resumed_reason IS 'Why, in their words';

ALTER TABLE workers ADD COLUMN pauses_known BIGINT;
COMMENT ON COLUMN workers.pauses_known IS 'It begins nothing against any pause up to this number; NULL for a worker that begins nothing at targets';

CREATE TABLE permits (
    brake  TEXT NOT NULL,
    holder TEXT NOT NULL,
    at_us  BIGINT NOT NULL,
    PRIMARY KEY (brake, holder)
);
CREATE INDEX permits_by_time ON permits (brake, at_us);
COMMENT ON TABLE permits IS 'What has passed a brake within its window; older rows are cleared by the next that asks';
COMMENT ON COLUMN permits.brake IS 'Its name: departures/source/…, departures/unit/…, writes/…';
COMMENT ON COLUMN permits.holder IS 'The case or the removal that has begun';
COMMENT ON COLUMN permits.at_us IS 'When';
