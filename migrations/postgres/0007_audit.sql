-- The tamper-evident log. Each transaction adds one link that covers every row it wrote; the links of one
-- writer form a strand, so that writers never wait for each other; signed checkpoints commit to all
-- strands. See docs/decisions/0012-audit.md.

CREATE TABLE audit_strands (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY
);
COMMENT ON TABLE audit_strands IS 'One line for each writer that ever wrote';
COMMENT ON COLUMN audit_strands.id IS 'Its number';

CREATE TABLE audit_links (
    seq      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    strand   BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    previous BYTEA NOT NULL,
    entries  BYTEA NOT NULL,
    hash     BYTEA NOT NULL
);
-- Digests do not compress.
ALTER TABLE audit_links ALTER COLUMN entries SET STORAGE EXTERNAL;
COMMENT ON TABLE audit_links IS 'What each transaction wrote, by digest; append-only';
COMMENT ON COLUMN audit_links.seq IS 'Order of writing: of two links about one row, the later is higher';
COMMENT ON COLUMN audit_links.strand IS 'The writer';
COMMENT ON COLUMN audit_links.sequence IS 'Place in the strand, from 1 without a gap';
COMMENT ON COLUMN audit_links.previous IS 'SHA-256 of the link before it in the strand';
COMMENT ON COLUMN audit_links.entries IS 'Table, key and SHA-256 of each row that the transaction wrote';
COMMENT ON COLUMN audit_links.hash IS 'SHA-256 of strand, sequence, previous and entries';

CREATE TABLE audit_checkpoints (
    number    BIGINT PRIMARY KEY,
    text      TEXT NOT NULL,
    signature TEXT NOT NULL
);
COMMENT ON TABLE audit_checkpoints IS 'Signed commitments to all links so far; append-only';
COMMENT ON COLUMN audit_checkpoints.number IS 'Counted from 1 without a gap';
COMMENT ON COLUMN audit_checkpoints.text IS 'What is signed, JSON';
COMMENT ON COLUMN audit_checkpoints.signature IS 'Ed25519 over the text, hex';

CREATE TRIGGER promise_audit_links_kept BEFORE UPDATE OR DELETE ON audit_links FOR EACH ROW
    EXECUTE FUNCTION promise_refuse('promise_audit_kept');
CREATE TRIGGER promise_audit_checkpoints_kept BEFORE UPDATE OR DELETE ON audit_checkpoints FOR EACH ROW
    EXECUTE FUNCTION promise_refuse('promise_audit_kept');
