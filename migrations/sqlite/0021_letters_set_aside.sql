-- A person may say that nothing needs to come of a dead letter; until then, or until it is replayed, it waits.
ALTER TABLE dead_letters ADD COLUMN aside TEXT; -- who set it aside last, when and why, JSON
