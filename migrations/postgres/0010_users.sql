-- Who may sign in to the console and the API, and what they did. Secrets lie here as SHA-256 alone, and
-- passwords as argon2id hashed them.

CREATE TABLE users (
    name TEXT PRIMARY KEY,
    body TEXT NOT NULL
);
COMMENT ON TABLE users IS 'Who may sign in';
COMMENT ON COLUMN users.name IS 'Lower case; it stands in the record';
COMMENT ON COLUMN users.body IS 'The user as JSON';

CREATE TABLE sessions (
    digest    TEXT PRIMARY KEY,
    id        UUID NOT NULL,
    user_name TEXT NOT NULL,
    ends_us   BIGINT NOT NULL,
    body      TEXT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_name);
CREATE INDEX sessions_by_end ON sessions (ends_us);
COMMENT ON TABLE sessions IS 'One row for each secret of a sign-in; a replaced one stays for a moment, for requests under way';
COMMENT ON COLUMN sessions.digest IS 'SHA-256 of the cookie''s secret';
COMMENT ON COLUMN sessions.id IS 'The same for all secrets of one sign-in';
COMMENT ON COLUMN sessions.user_name IS 'Whose';
COMMENT ON COLUMN sessions.ends_us IS 'When it ends whatever happens';
COMMENT ON COLUMN sessions.body IS 'The session as JSON';

CREATE TABLE api_tokens (
    id        UUID PRIMARY KEY,
    digest    TEXT NOT NULL,
    user_name TEXT NOT NULL,
    body      TEXT NOT NULL
);
CREATE UNIQUE INDEX api_tokens_by_digest ON api_tokens (digest);
CREATE INDEX api_tokens_by_user ON api_tokens (user_name);
COMMENT ON TABLE api_tokens IS 'Secrets by which programs use the API';
COMMENT ON COLUMN api_tokens.id IS 'Names it when it is taken back';
COMMENT ON COLUMN api_tokens.digest IS 'SHA-256 of the token';
COMMENT ON COLUMN api_tokens.user_name IS 'In whose name it acts';
COMMENT ON COLUMN api_tokens.body IS 'The token as JSON, without itself';

CREATE TABLE acts (
    seq     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_us   BIGINT NOT NULL,
    who     TEXT NOT NULL,
    origin  TEXT NOT NULL,
    what    TEXT NOT NULL,
    about   TEXT NOT NULL,
    came_to TEXT NOT NULL
);
CREATE INDEX acts_by_who ON acts (who, seq);
CREATE INDEX acts_by_about ON acts (about, seq);
COMMENT ON TABLE acts IS 'What people did, or tried, through console, API and command line; append-only';
COMMENT ON COLUMN acts.seq IS 'The order in which they were written';
COMMENT ON COLUMN acts.at_us IS 'When';
COMMENT ON COLUMN acts.who IS 'Who; the name that was given where nobody was signed in';
COMMENT ON COLUMN acts.origin IS 'From where: an address, or cli';
COMMENT ON COLUMN acts.what IS 'What';
COMMENT ON COLUMN acts.about IS 'About what';
COMMENT ON COLUMN acts.came_to IS 'done, or why not';

CREATE TRIGGER promise_act_kept BEFORE UPDATE OR DELETE ON acts FOR EACH ROW
    EXECUTE FUNCTION promise_refuse('promise_act_kept');
