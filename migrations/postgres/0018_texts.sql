-- A task may tell of an account in whose name the target showed U+0000. PostgreSQL reads no JSON document with
-- that character, not even its other fields, and so took no such task. The column is the same otherwise.

ALTER TABLE tasks DROP COLUMN desk;
ALTER TABLE tasks ADD COLUMN desk TEXT GENERATED ALWAYS AS (
    CASE WHEN replace(body, '\u0000', '\ufffd')::json ->> 'drill' = 'true' THEN 'built-in'
    ELSE replace(body, '\u0000', '\ufffd')::json ->> 'desk' END) STORED;
COMMENT ON COLUMN tasks.desk IS 'Which desk gets a copy, as the task itself says; the task of a drill is nobody''s work';
CREATE INDEX tasks_at_desks ON tasks (desk, id) WHERE desk <> 'built-in' AND state <> 'closed';
