-- More room on each page of `runs`. A batch moves many runs at once, often all that lie on one page, and
-- each new version needs its place there before the old ones can go. Where it finds none the row moves
-- to another page, and every index gets a new entry for it.

ALTER TABLE runs SET (fillfactor = 45);
