-- Retention: closed periods of the log, and the rows behind them, go under a signed tombstone. What is
-- refused without one is refused as before. See docs/decisions/0012-audit.md.

CREATE TABLE audit_tombstones (
    number    BIGINT PRIMARY KEY,
    through   BIGINT NOT NULL,
    until     BIGINT NOT NULL,
    text      TEXT NOT NULL,
    signature TEXT NOT NULL
);
COMMENT ON TABLE audit_tombstones IS 'What stands for each period that was let go; append-only';
COMMENT ON COLUMN audit_tombstones.number IS 'Counted from 1 without a gap';
COMMENT ON COLUMN audit_tombstones.through IS 'The last checkpoint that went; 0 for none';
COMMENT ON COLUMN audit_tombstones.until IS 'The last link that went; 0 for none';
COMMENT ON COLUMN audit_tombstones.text IS 'What is signed, JSON';
COMMENT ON COLUMN audit_tombstones.signature IS 'Ed25519 over the text, hex';

CREATE TABLE dropped_cases (
    id        UUID PRIMARY KEY,
    tombstone BIGINT NOT NULL
);
CREATE INDEX dropped_cases_by_tombstone ON dropped_cases (tombstone);
COMMENT ON TABLE dropped_cases IS 'Cases that went';
COMMENT ON COLUMN dropped_cases.id IS 'The case';
COMMENT ON COLUMN dropped_cases.tombstone IS 'Under which it went';

CREATE TABLE dropped_events (
    key            UUID PRIMARY KEY,
    payload_digest TEXT NOT NULL,
    tombstone      BIGINT NOT NULL
);
CREATE INDEX dropped_events_by_tombstone ON dropped_events (tombstone);
COMMENT ON TABLE dropped_events IS 'Events that went: sent again, they must not open a case a second time';
COMMENT ON COLUMN dropped_events.key IS 'Derived from CloudEvents source and id';
COMMENT ON COLUMN dropped_events.payload_digest IS 'Tells a repeat from another event under the same id';
COMMENT ON COLUMN dropped_events.tombstone IS 'Under which it went';

ALTER TABLE audit_strands ADD COLUMN kept_sequence BIGINT, ADD COLUMN kept_hash BYTEA;
COMMENT ON COLUMN audit_strands.kept_sequence IS 'Where it stood at the newest tombstone: its last link that went';
COMMENT ON COLUMN audit_strands.kept_hash IS 'That link''s digest';

CREATE TRIGGER promise_tombstones_kept BEFORE UPDATE OR DELETE ON audit_tombstones FOR EACH ROW
    EXECUTE FUNCTION promise_refuse('promise_audit_kept');

CREATE FUNCTION promise_kept_unless_dropped() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    dropped BOOLEAN;
BEGIN
    IF TG_OP = 'DELETE' THEN
        CASE TG_TABLE_NAME
            WHEN 'audit_links' THEN
                dropped := EXISTS (SELECT 1 FROM audit_tombstones WHERE until >= OLD.seq);
            WHEN 'audit_checkpoints' THEN
                dropped := EXISTS (SELECT 1 FROM audit_tombstones WHERE through >= OLD.number);
            WHEN 'runs' THEN
                dropped := EXISTS (SELECT 1 FROM dropped_cases WHERE id = OLD.case_id);
            WHEN 'journal' THEN
                dropped := EXISTS (SELECT 1 FROM runs JOIN dropped_cases ON dropped_cases.id = runs.case_id
                    WHERE runs.id = OLD.run_id);
        END CASE;
        IF dropped THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '% on %', TG_NAME, TG_TABLE_NAME
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_ARGV[0];
END $$;
COMMENT ON FUNCTION promise_kept_unless_dropped IS 'Refuses to change or delete a row, unless a tombstone stands for it';

DROP TRIGGER promise_audit_links_kept ON audit_links;
CREATE TRIGGER promise_audit_links_kept BEFORE UPDATE OR DELETE ON audit_links FOR EACH ROW
    EXECUTE FUNCTION promise_kept_unless_dropped('promise_audit_kept');
DROP TRIGGER promise_audit_checkpoints_kept ON audit_checkpoints;
CREATE TRIGGER promise_audit_checkpoints_kept BEFORE UPDATE OR DELETE ON audit_checkpoints FOR EACH ROW
    EXECUTE FUNCTION promise_kept_unless_dropped('promise_audit_kept');
DROP TRIGGER promise_run_kept ON runs;
CREATE TRIGGER promise_run_kept BEFORE DELETE ON runs FOR EACH ROW
    EXECUTE FUNCTION promise_kept_unless_dropped('promise_run_kept');
DROP TRIGGER promise_journal_kept ON journal;
CREATE TRIGGER promise_journal_kept BEFORE UPDATE OR DELETE ON journal FOR EACH ROW
    EXECUTE FUNCTION promise_kept_unless_dropped('promise_journal_kept');

CREATE FUNCTION promise_open_case_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM cases WHERE id = NEW.id AND ended IS NOT NULL)
        OR EXISTS (SELECT 1 FROM tasks WHERE case_id = NEW.id AND state <> 'closed') THEN
        RAISE EXCEPTION 'case % is open, or has an open task', NEW.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'promise_open_case_kept';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION promise_open_case_kept IS 'Only a case that has ended, with all its tasks, may go';
CREATE TRIGGER promise_open_case_kept BEFORE INSERT ON dropped_cases FOR EACH ROW
    EXECUTE FUNCTION promise_open_case_kept();
