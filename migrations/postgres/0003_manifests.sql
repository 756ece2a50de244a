-- What takes two people. A proposal waits until somebody else approves exactly it; what binds is a row
-- of its own, and the newest of its matter is in force. Connectors' manifests are the first matter; a
-- second kind needs no new table. The program decides; these constraints are for the day it is wrong.

CREATE TABLE proposals (
    id              UUID PRIMARY KEY,
    matter          TEXT NOT NULL,
    name            TEXT NOT NULL,
    digest          TEXT NOT NULL,
    body            TEXT NOT NULL,
    over            BIGINT NOT NULL,
    until_us        BIGINT NOT NULL,
    proposed_by     TEXT NOT NULL,
    proposed_us     BIGINT NOT NULL,
    proposed_reason TEXT NOT NULL,
    state           TEXT NOT NULL,
    decided_by      TEXT,
    decided_us      BIGINT,
    decided_reason  TEXT,
    CONSTRAINT promise_two_people CHECK (
        state <> 'approved'
        OR (decided_by IS NOT NULL AND lower(btrim(decided_by)) <> lower(btrim(proposed_by)))),
    CONSTRAINT promise_decided_by_somebody CHECK (
        state IN ('open', 'approved', 'rejected', 'superseded')
        AND (state = 'open') = (decided_by IS NULL) AND (state = 'open') = (decided_us IS NULL))
);
CREATE UNIQUE INDEX promise_one_open_proposal ON proposals (matter, name) WHERE state = 'open';
CREATE INDEX proposals_by_matter ON proposals (matter, name, proposed_us);
COMMENT ON TABLE proposals IS 'What one person wants to bind, and what another made of it';
COMMENT ON COLUMN proposals.id IS 'Derived from matter, content, person and time';
COMMENT ON COLUMN proposals.matter IS 'The kind of thing that is decided about: manifest';
COMMENT ON COLUMN proposals.name IS 'Which of its kind: a connector''s name';
COMMENT ON COLUMN proposals.digest IS 'SHA-256 of the canonical form';
COMMENT ON COLUMN proposals.body IS 'The text as its author wrote it; empty: there is to be no such thing any more';
COMMENT ON COLUMN proposals.over IS 'The number of the binding that was in force when it was made; 0 for none';
COMMENT ON COLUMN proposals.until_us IS 'Until when an approval would last';
COMMENT ON COLUMN proposals.proposed_by IS 'Who proposes it';
COMMENT ON COLUMN proposals.proposed_us IS 'When';
COMMENT ON COLUMN proposals.proposed_reason IS 'Why, in their words';
COMMENT ON COLUMN proposals.state IS 'open, approved, rejected or superseded';
COMMENT ON COLUMN proposals.decided_by IS 'Who decided; never the same person for an approval';
COMMENT ON COLUMN proposals.decided_us IS 'When';
COMMENT ON COLUMN proposals.decided_reason IS 'Why, in their words';

CREATE TABLE bindings (
    matter      TEXT NOT NULL,
    name        TEXT NOT NULL,
    number      BIGINT NOT NULL,
    digest      TEXT NOT NULL,
    body        TEXT NOT NULL,
    until_us    BIGINT NOT NULL,
    proposal_id UUID,
    bound_by    TEXT NOT NULL,
    bound_us    BIGINT NOT NULL,
    reason      TEXT NOT NULL,
    CONSTRAINT promise_bound_once PRIMARY KEY (matter, name, number)
);
COMMENT ON TABLE bindings IS 'What bound from when on; append-only, the highest number of a matter is in force';
COMMENT ON COLUMN bindings.matter IS 'The kind of thing that was decided about: manifest';
COMMENT ON COLUMN bindings.name IS 'Which of its kind: a connector''s name';
COMMENT ON COLUMN bindings.number IS 'Counted from 1 without a gap';
COMMENT ON COLUMN bindings.digest IS 'SHA-256 of the canonical form';
COMMENT ON COLUMN bindings.body IS 'The text word for word; empty: there is no such thing any more';
COMMENT ON COLUMN bindings.until_us IS 'When it ceases to bind';
COMMENT ON COLUMN bindings.proposal_id IS 'The approved proposal; NULL where it permits no more than what it follows';
COMMENT ON COLUMN bindings.bound_by IS 'The approver, or the worker that found the narrower text';
COMMENT ON COLUMN bindings.bound_us IS 'When';
COMMENT ON COLUMN bindings.reason IS 'Why, in words';

CREATE TRIGGER promise_proposal_kept BEFORE DELETE ON proposals FOR EACH ROW
    EXECUTE FUNCTION promise_refuse('promise_proposal_kept');
CREATE TRIGGER promise_proposal_stands BEFORE UPDATE ON proposals FOR EACH ROW
    WHEN (OLD.state <> 'open'
        OR (NEW.id, NEW.matter, NEW.name, NEW.digest, NEW.body, NEW.over, NEW.until_us,
            NEW.proposed_by, NEW.proposed_us, NEW.proposed_reason)
        IS DISTINCT FROM (OLD.id, OLD.matter, OLD.name, OLD.digest, OLD.body, OLD.over, OLD.until_us,
            OLD.proposed_by, OLD.proposed_us, OLD.proposed_reason))
    EXECUTE FUNCTION promise_refuse('promise_proposal_kept');
CREATE TRIGGER promise_binding_kept BEFORE UPDATE OR DELETE ON bindings FOR EACH ROW
    EXECUTE FUNCTION promise_refuse('promise_binding_kept');

CREATE FUNCTION promise_bound_as_decided() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.number <> 1 + coalesce((SELECT max(number) FROM bindings
            WHERE matter = NEW.matter AND name = NEW.name), 0) THEN
        RAISE EXCEPTION '% % is not the next of %', NEW.matter, NEW.number, NEW.name
            USING ERRCODE = 'check_violation', CONSTRAINT = 'promise_bound_once';
    END IF;
    IF NEW.proposal_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM proposals
            WHERE id = NEW.proposal_id AND state = 'approved' AND matter = NEW.matter
            AND name = NEW.name AND digest = NEW.digest AND body = NEW.body
            AND until_us = NEW.until_us AND over = NEW.number - 1) THEN
        RAISE EXCEPTION '% % of % is not what was approved', NEW.matter, NEW.number, NEW.name
            USING ERRCODE = 'check_violation', CONSTRAINT = 'promise_bound_as_approved';
    END IF;
    IF NEW.proposal_id IS NULL AND NOT EXISTS (SELECT 1 FROM bindings
            WHERE matter = NEW.matter AND name = NEW.name AND number = NEW.number - 1
            AND until_us >= NEW.until_us AND until_us > NEW.bound_us) THEN
        RAISE EXCEPTION '% % of % follows nothing', NEW.matter, NEW.number, NEW.name
            USING ERRCODE = 'check_violation', CONSTRAINT = 'promise_narrows_what_binds';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION promise_bound_as_decided IS 'Binds exactly what was approved, or what follows something that binds and lasts no longer';
CREATE TRIGGER promise_bound_as_decided BEFORE INSERT ON bindings FOR EACH ROW
    EXECUTE FUNCTION promise_bound_as_decided();
