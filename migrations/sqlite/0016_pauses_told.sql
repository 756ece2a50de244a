-- A pause that nobody ends is told to people, like a task that nobody does.

-- Who was told how often and when the next time is, JSON; NULL until somebody was.
ALTER TABLE pauses ADD COLUMN escalation TEXT;
