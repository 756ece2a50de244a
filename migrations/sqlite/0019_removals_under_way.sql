-- The removals at a target that have not ended, which each removal of a privileged account asks for.
CREATE INDEX runs_removals_under_way ON runs (connector)
    WHERE ended IS NULL AND kind = 'removal';
