-- A pause that nobody ends is told to people, like a task that nobody does.

ALTER TABLE pauses ADD COLUMN escalation TEXT;
COMMENT ON COLUMN pauses.escalation IS 'Who was told how often and when the next time is, JSON; NULL until somebody was';
