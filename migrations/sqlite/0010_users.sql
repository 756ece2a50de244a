-- Who may sign in to the console and the API, and what they did. Secrets lie here as SHA-256 alone, and
-- passwords as argon2id hashed them.

CREATE TABLE users (
    name TEXT PRIMARY KEY,   -- lower case; it stands in the record
    body TEXT NOT NULL       -- the user as JSON
) STRICT, WITHOUT ROWID;

-- One row for each secret of a sign-in; a replaced one stays for a moment, for requests under way.
CREATE TABLE sessions (
    digest    TEXT PRIMARY KEY,   -- SHA-256 of the cookie's secret
    id        BLOB NOT NULL,      -- the same for all secrets of one sign-in
    user_name TEXT NOT NULL,
    ends_us   INTEGER NOT NULL,   -- when it ends whatever happens
    body      TEXT NOT NULL       -- the session as JSON
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (user_name);
CREATE INDEX sessions_by_end ON sessions (ends_us);

CREATE TABLE api_tokens (
    id        BLOB PRIMARY KEY,
    digest    TEXT NOT NULL,      -- SHA-256 of the token
    user_name TEXT NOT NULL,
    body      TEXT NOT NULL       -- the token as JSON, without itself
) STRICT;
CREATE UNIQUE INDEX api_tokens_by_digest ON api_tokens (digest);
CREATE INDEX api_tokens_by_user ON api_tokens (user_name);

-- What people did, or tried, through console, API and command line; append-only.
CREATE TABLE acts (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    at_us   INTEGER NOT NULL,
    who     TEXT NOT NULL,
    origin  TEXT NOT NULL,   -- an address, or `cli`
    what    TEXT NOT NULL,
    about   TEXT NOT NULL,
    came_to TEXT NOT NULL
) STRICT;
CREATE INDEX acts_by_who ON acts (who, seq);
CREATE INDEX acts_by_about ON acts (about, seq);

CREATE TRIGGER promise_act_stands BEFORE UPDATE ON acts
BEGIN SELECT RAISE(ABORT, 'promise_act_kept'); END;
CREATE TRIGGER promise_act_kept BEFORE DELETE ON acts
BEGIN SELECT RAISE(ABORT, 'promise_act_kept'); END;
