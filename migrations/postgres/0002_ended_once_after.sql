-- What has ended stays as it is, said after the write instead of before it. A trigger before an update
-- locks the row first, with a record in the log for each step of each run; one after it looks at the two
-- versions that are there anyway, and refuses the statement just the same.

DROP TRIGGER promise_ended_once ON runs;
CREATE TRIGGER promise_ended_once AFTER UPDATE ON runs FOR EACH ROW
    WHEN (OLD.ended IS NOT NULL) EXECUTE FUNCTION promise_refuse('promise_ended_once');

DROP TRIGGER promise_case_ended_once ON cases;
CREATE TRIGGER promise_case_ended_once AFTER UPDATE ON cases FOR EACH ROW
    WHEN (OLD.ended IS NOT NULL AND NEW.ended IS DISTINCT FROM OLD.ended)
    EXECUTE FUNCTION promise_refuse('promise_case_ended_once');
