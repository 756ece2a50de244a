-- The removals at a target that have not ended, which each removal of a privileged account asks for. A plain step
-- changes none of these columns, so it still touches no index; the end of a removal takes its entry away.
CREATE INDEX runs_removals_under_way ON runs (connector)
    WHERE ended IS NULL AND kind = 'removal';
COMMENT ON INDEX runs_removals_under_way IS 'What is being removed at a target, however much was removed there before';
