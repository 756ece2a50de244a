-- What is known of each connector: its accounts one by one with their age, how it stands, and how it
-- was over time. A survey is a scheduled reading of a whole target, done by one worker at a time.

-- Accounts of targets as last seen; only a complete listing takes one away.
CREATE TABLE known_accounts (
    connector  TEXT NOT NULL,
    account    TEXT NOT NULL,         -- the target's immutable id
    seen_us    INTEGER NOT NULL,      -- when the listing that showed it was begun
    credential TEXT NOT NULL,         -- whose eyes
    whole      INTEGER NOT NULL,      -- whether that listing was complete
    body       TEXT NOT NULL,         -- the account with its entitlements, JSON
    PRIMARY KEY (connector, account)
) STRICT, WITHOUT ROWID;

INSERT INTO known_accounts (connector, account, seen_us, credential, whole, body)
    SELECT i.connector, a.value ->> 'id', max(i.at_us), 'verifier', 1, min(a.value)
    FROM inventories i, json_each(i.accounts) a
    GROUP BY i.connector, a.value ->> 'id';
-- From here on: when each target was last listed completely.
ALTER TABLE inventories DROP COLUMN accounts;

-- How each connector stands, and who surveys it.
CREATE TABLE connector_health (
    connector TEXT PRIMARY KEY,
    due_us    INTEGER NOT NULL,       -- when the next survey is due
    owner     BLOB,                   -- the worker that surveys it
    until_us  INTEGER,                -- after this, another may
    token     INTEGER NOT NULL,       -- counts leases; a result with an older one is refused
    body      TEXT NOT NULL,          -- the standing, JSON
    CONSTRAINT connector_health_lease CHECK ((owner IS NULL) = (until_us IS NULL))
) STRICT;

-- Health over time, one line for each survey; the oldest go first.
CREATE TABLE health_samples (
    connector TEXT NOT NULL,
    at_us     INTEGER NOT NULL,       -- when the survey was begun
    state     TEXT NOT NULL,          -- unknown, healthy, failing, stale or drifted
    body      TEXT NOT NULL,          -- the whole sample, JSON
    PRIMARY KEY (connector, at_us)
) STRICT, WITHOUT ROWID;

-- For what is seen again when a connector is back, and for accounts whose removal had ended.
CREATE INDEX runs_ended ON runs (connector, ended_us, id)
    WHERE ended IS NOT NULL AND connector IS NOT NULL;
