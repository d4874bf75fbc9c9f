-- The Merkle tree over the events of the journal: how far it has come. One row; its lock keeps two nodes from appending the
-- same leaves.
CREATE TABLE app.journal_tree (
    single     boolean PRIMARY KEY DEFAULT true CHECK (single),
    -- How often an operator has begun the tree again, because events that were signed are lost for good. It is part of
    -- the name under which heads are signed.
    history    integer NOT NULL DEFAULT 0 CHECK (history >= 0),
    size       bigint NOT NULL DEFAULT 0 CHECK (size >= 0),
    -- The id of the last event that has a leaf. A journal with another event there has another history.
    last_event uuid,
    CHECK ((size = 0) = (last_event IS NULL))
);
INSERT INTO app.journal_tree DEFAULT VALUES;

-- Its hashes: up to 256 of one level a row, 32 bytes each. The last row of a level grows.
CREATE TABLE app.journal_tiles (
    level  smallint NOT NULL CHECK (level BETWEEN 0 AND 7),
    number bigint NOT NULL CHECK (number >= 0),
    hashes bytea NOT NULL CHECK (octet_length(hashes) BETWEEN 32 AND 8192 AND octet_length(hashes) % 32 = 0),
    PRIMARY KEY (level, number)
);
-- Hashes cannot be compressed.
ALTER TABLE app.journal_tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- Signed heads of the tree: how many events there were, and the root of their tree.
CREATE TABLE app.journal_heads (
    id           uuid PRIMARY KEY,
    history      integer NOT NULL,
    size         bigint NOT NULL CHECK (size > 0),
    root         bytea NOT NULL CHECK (octet_length(root) = 32),
    -- The signed note, as it is published.
    note         text NOT NULL,
    signed_at    timestamptz NOT NULL,
    -- When every place that the settings name had it.
    published_at timestamptz,
    UNIQUE (history, size)
);
CREATE INDEX journal_heads_pages ON app.journal_heads (signed_at DESC, id DESC);
CREATE INDEX journal_heads_unpublished ON app.journal_heads (history, size) WHERE published_at IS NULL;
CREATE TRIGGER journal_heads_kept BEFORE DELETE OR TRUNCATE ON app.journal_heads
    FOR EACH STATEMENT EXECUTE FUNCTION app.refuse_change();

-- The public keys that heads were signed with.
CREATE TABLE app.journal_head_keys (
    verifier_key text PRIMARY KEY,
    history      integer NOT NULL,
    first_used   timestamptz NOT NULL
);
