-- Marks of the keys that can never be changed: with another pepper nobody would be found by their phone number, with
-- another sealing key no number could be read. A mark says whether a key is the same one, and nothing else about it.
CREATE TABLE app.key_marks (
    name    text PRIMARY KEY,
    mark    bytea NOT NULL CHECK (octet_length(mark) = 32),
    made_at timestamptz NOT NULL
);
