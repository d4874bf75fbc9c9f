-- Who does what one node does at a time, and until when others leave it to them.
CREATE TABLE app.duties (
    name       text PRIMARY KEY,
    holder     uuid NOT NULL,
    held_until timestamptz NOT NULL,
    -- Whether the holder has the lock too: then a lock that is free says that the holder is gone.
    locked     boolean NOT NULL
);
