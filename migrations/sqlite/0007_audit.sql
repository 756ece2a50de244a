-- The tamper-evident log. Each transaction adds one link that covers every row it wrote; the links of one
-- writer form a strand, so that writers never wait for each other; signed checkpoints commit to all
-- strands. See docs/decisions/0012-audit.md.

-- One line for each writer that ever wrote.
CREATE TABLE audit_strands (
    id INTEGER PRIMARY KEY AUTOINCREMENT
) STRICT;

CREATE TABLE audit_links (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT, -- order of writing: of two links about one row, the later is higher
    strand   INTEGER NOT NULL,
    sequence INTEGER NOT NULL,                  -- place in the strand, from 1 without a gap
    previous BLOB NOT NULL,                     -- SHA-256 of the link before it in the strand
    entries  BLOB NOT NULL,                     -- table, key and SHA-256 of each row that the transaction wrote
    hash     BLOB NOT NULL                      -- SHA-256 of strand, sequence, previous and entries
) STRICT;

CREATE TABLE audit_checkpoints (
    number    INTEGER PRIMARY KEY,              -- counted from 1 without a gap
    text      TEXT NOT NULL,                    -- what is signed, JSON
    signature TEXT NOT NULL                     -- Ed25519 over the text, hex
) STRICT;

CREATE TRIGGER promise_audit_links_kept BEFORE UPDATE ON audit_links
BEGIN SELECT RAISE(ABORT, 'promise_audit_kept'); END;
CREATE TRIGGER promise_audit_links_not_deleted BEFORE DELETE ON audit_links
BEGIN SELECT RAISE(ABORT, 'promise_audit_kept'); END;
CREATE TRIGGER promise_audit_checkpoints_kept BEFORE UPDATE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'promise_audit_kept'); END;
CREATE TRIGGER promise_audit_checkpoints_not_deleted BEFORE DELETE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'promise_audit_kept'); END;
