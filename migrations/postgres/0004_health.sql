-- What is known of each connector: its accounts one by one with their age, how it stands, and how it
-- was over time. A survey is a scheduled reading of a whole target, done by one worker at a time.

CREATE TABLE known_accounts (
    connector  TEXT NOT NULL,
    account    TEXT NOT NULL,
    seen_us    BIGINT NOT NULL,
    credential TEXT NOT NULL,
    whole      BOOLEAN NOT NULL,
    body       TEXT NOT NULL,
    PRIMARY KEY (connector, account)
) WITH (fillfactor = 70);
COMMENT ON TABLE known_accounts IS 'Accounts of targets as last seen; only a complete listing takes one away';
COMMENT ON COLUMN known_accounts.connector IS 'The target';
COMMENT ON COLUMN known_accounts.account IS 'The target''s immutable id';
COMMENT ON COLUMN known_accounts.seen_us IS 'When the listing that showed it was begun';
COMMENT ON COLUMN known_accounts.credential IS 'Whose eyes';
COMMENT ON COLUMN known_accounts.whole IS 'Whether that listing was complete';
COMMENT ON COLUMN known_accounts.body IS 'The account with its entitlements, JSON';

INSERT INTO known_accounts (connector, account, seen_us, credential, whole, body)
    SELECT i.connector, a.value ->> 'id', max(i.at_us), 'verifier', TRUE, min(a.value::text)
    FROM inventories i CROSS JOIN LATERAL json_array_elements(i.accounts::json) AS a (value)
    GROUP BY i.connector, a.value ->> 'id';
ALTER TABLE inventories DROP COLUMN accounts;
COMMENT ON TABLE inventories IS 'When each target was last listed completely';
COMMENT ON COLUMN inventories.connector IS 'The target';
COMMENT ON COLUMN inventories.at_us IS 'When that listing was begun';

CREATE TABLE connector_health (
    connector TEXT PRIMARY KEY,
    due_us    BIGINT NOT NULL,
    owner     UUID,
    until_us  BIGINT,
    token     BIGINT NOT NULL,
    body      TEXT NOT NULL,
    CONSTRAINT connector_health_lease CHECK ((owner IS NULL) = (until_us IS NULL))
) WITH (fillfactor = 50);
COMMENT ON TABLE connector_health IS 'How each connector stands, and who surveys it';
COMMENT ON COLUMN connector_health.connector IS 'The connector''s name';
COMMENT ON COLUMN connector_health.due_us IS 'When the next survey is due';
COMMENT ON COLUMN connector_health.owner IS 'The worker that surveys it';
COMMENT ON COLUMN connector_health.until_us IS 'After this, another may';
COMMENT ON COLUMN connector_health.token IS 'Fencing token: counts leases; a result with an older one is refused';
COMMENT ON COLUMN connector_health.body IS 'The standing, JSON';

CREATE TABLE health_samples (
    connector TEXT NOT NULL,
    at_us     BIGINT NOT NULL,
    state     TEXT NOT NULL,
    body      TEXT NOT NULL,
    PRIMARY KEY (connector, at_us)
);
COMMENT ON TABLE health_samples IS 'Health over time, one line for each survey; the oldest go first';
COMMENT ON COLUMN health_samples.connector IS 'The connector''s name';
COMMENT ON COLUMN health_samples.at_us IS 'When the survey was begun';
COMMENT ON COLUMN health_samples.state IS 'unknown, healthy, failing, stale or drifted';
COMMENT ON COLUMN health_samples.body IS 'The whole sample, JSON';

-- For what is seen again when a connector is back, and for accounts whose removal had ended.
CREATE INDEX runs_ended ON runs (connector, ended_us, id)
    WHERE ended IS NOT NULL AND connector IS NOT NULL;
