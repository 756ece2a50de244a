-- A link stays on its row's page where it fits: it is read with its row, and moved out in pieces it would
-- cost an insert and an index entry for every two kilobytes, with every commit.

ALTER TABLE audit_links SET (toast_tuple_target = 8160);
