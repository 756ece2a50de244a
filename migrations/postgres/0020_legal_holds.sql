-- The events that place or lift a legal hold. A period is dropped while the log is locked against writers, and all of
-- them are asked for then: without this the body of every event is read meanwhile.
CREATE INDEX events_legal_holds ON events (seq)
    WHERE body LIKE '%clawback.legal-hold.%';
COMMENT ON INDEX events_legal_holds IS 'Few among very many; a new event is looked through once, when it is recorded';
