-- What takes two people. A proposal waits until somebody else approves exactly it; what binds is a row
-- of its own, and the newest of its matter is in force. Connectors' manifests are the first matter; a
-- second kind needs no new table. The program decides; these constraints are for the day it is wrong.

-- What one person wants to bind, and what another made of it.
CREATE TABLE proposals (
    id              BLOB PRIMARY KEY,   -- derived from matter, content, person and time
    matter          TEXT NOT NULL,      -- the kind of thing that is decided about: manifest
    name            TEXT NOT NULL,      -- which of its kind: a connector's name
    digest          TEXT NOT NULL,      -- SHA-256 of the canonical form
    body            TEXT NOT NULL,      -- word for word; empty: there is to be no such thing any more
    over            INTEGER NOT NULL,   -- the binding that was in force when it was made; 0 for none
    until_us        INTEGER NOT NULL,   -- until when an approval would last
    proposed_by     TEXT NOT NULL,
    proposed_us     INTEGER NOT NULL,
    proposed_reason TEXT NOT NULL,
    state           TEXT NOT NULL,      -- open, approved, rejected or superseded
    decided_by      TEXT,               -- never the same person for an approval
    decided_us      INTEGER,
    decided_reason  TEXT,
    CONSTRAINT promise_two_people CHECK (
        state <> 'approved'
        OR (decided_by IS NOT NULL AND lower(trim(decided_by)) <> lower(trim(proposed_by)))),
    CONSTRAINT promise_decided_by_somebody CHECK (
        state IN ('open', 'approved', 'rejected', 'superseded')
        AND (state = 'open') = (decided_by IS NULL) AND (state = 'open') = (decided_us IS NULL))
) STRICT;
CREATE UNIQUE INDEX promise_one_open_proposal ON proposals (matter, name) WHERE state = 'open';
CREATE INDEX proposals_by_matter ON proposals (matter, name, proposed_us);

-- What bound from when on; append-only, the highest number of a matter is in force.
CREATE TABLE bindings (
    matter      TEXT NOT NULL,
    name        TEXT NOT NULL,
    number      INTEGER NOT NULL,   -- counted from 1 without a gap
    digest      TEXT NOT NULL,
    body        TEXT NOT NULL,      -- word for word; empty: there is no such thing any more
    until_us    INTEGER NOT NULL,   -- when it ceases to bind
    proposal_id BLOB,               -- NULL where it permits no more than what it follows
    bound_by    TEXT NOT NULL,      -- the approver, or the worker that found the narrower text
    bound_us    INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    CONSTRAINT promise_bound_once PRIMARY KEY (matter, name, number)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER promise_proposal_kept BEFORE DELETE ON proposals
BEGIN SELECT RAISE(ABORT, 'promise_proposal_kept'); END;
CREATE TRIGGER promise_proposal_stands BEFORE UPDATE ON proposals
WHEN OLD.state <> 'open'
    OR (NEW.id, NEW.matter, NEW.name, NEW.digest, NEW.body, NEW.over, NEW.until_us,
        NEW.proposed_by, NEW.proposed_us, NEW.proposed_reason)
    IS NOT (OLD.id, OLD.matter, OLD.name, OLD.digest, OLD.body, OLD.over, OLD.until_us,
        OLD.proposed_by, OLD.proposed_us, OLD.proposed_reason)
BEGIN SELECT RAISE(ABORT, 'promise_proposal_kept'); END;
CREATE TRIGGER promise_binding_kept BEFORE UPDATE ON bindings
BEGIN SELECT RAISE(ABORT, 'promise_binding_kept'); END;
CREATE TRIGGER promise_binding_not_deleted BEFORE DELETE ON bindings
BEGIN SELECT RAISE(ABORT, 'promise_binding_kept'); END;

-- Binds exactly what was approved, or what follows something that binds and lasts no longer. One
-- trigger, because the order of several is not defined.
CREATE TRIGGER promise_bound_as_decided BEFORE INSERT ON bindings
BEGIN
    SELECT RAISE(ABORT, 'promise_bound_once')
    WHERE NEW.number <> 1 + coalesce((SELECT max(number) FROM bindings
        WHERE matter = NEW.matter AND name = NEW.name), 0);
    SELECT RAISE(ABORT, 'promise_bound_as_approved')
    WHERE NEW.proposal_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM proposals
        WHERE id = NEW.proposal_id AND state = 'approved' AND matter = NEW.matter
        AND name = NEW.name AND digest = NEW.digest AND body = NEW.body
        AND until_us = NEW.until_us AND over = NEW.number - 1);
    SELECT RAISE(ABORT, 'promise_narrows_what_binds')
    WHERE NEW.proposal_id IS NULL AND NOT EXISTS (SELECT 1 FROM bindings
        WHERE matter = NEW.matter AND name = NEW.name AND number = NEW.number - 1
        AND until_us >= NEW.until_us AND until_us > NEW.bound_us);
END;
