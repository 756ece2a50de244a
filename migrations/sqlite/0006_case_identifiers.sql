-- Which identifiers the subject of each case was said to have: an event whose subject shares one with
-- another record is held for a person. Cases from before have none here.

CREATE TABLE case_identifiers (
    name    TEXT NOT NULL,            -- tenant/kind/value, in lower case
    case_id BLOB NOT NULL,            -- the case
    PRIMARY KEY (name, case_id)
) STRICT, WITHOUT ROWID;
