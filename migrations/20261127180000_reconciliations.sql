-- What a comparison of the journal with somebody else's books found. Kept as it was found; a later one is another row.
CREATE TABLE app.reconciliations (
    id             uuid PRIMARY KEY,
    source         text NOT NULL CHECK (source IN ('razorpay', 'calls')),
    file_name      text NOT NULL,
    file_sha256    bytea NOT NULL CHECK (octet_length(file_sha256) = 32),
    -- The journal was read up to here.
    revision       bigint NOT NULL,
    -- What the journal has of this time should be in the file.
    from_at        timestamptz NOT NULL,
    to_at          timestamptz NOT NULL CHECK (to_at >= from_at),
    matched        bigint NOT NULL,
    missing_here   bigint NOT NULL,
    missing_there  bigint NOT NULL,
    amount_differs bigint NOT NULL,
    fees           bigint NOT NULL,
    made_at        timestamptz NOT NULL
);
CREATE INDEX reconciliations_pages ON app.reconciliations (made_at DESC, id DESC);
CREATE INDEX reconciliations_of_source ON app.reconciliations (source, made_at DESC, id DESC);

CREATE TABLE app.reconciliation_items (
    reconciliation uuid NOT NULL REFERENCES app.reconciliations (id),
    position       integer NOT NULL,
    outcome        text NOT NULL CHECK (outcome IN ('matched', 'missing_here', 'missing_there', 'amount_differs', 'fees')),
    kind           text NOT NULL,
    reference      text NOT NULL,
    -- Null for calls, whose figures are milliseconds.
    asset          text,
    ours           bigint,
    theirs         bigint,
    fee            bigint NOT NULL,
    tax            bigint NOT NULL,
    settlement     text,
    -- The event of ours.
    event          uuid,
    at             timestamptz,
    -- Names what differs: the same difference has the same id in each reconciliation that finds it.
    difference     uuid,
    PRIMARY KEY (reconciliation, position)
);
CREATE INDEX reconciliation_items_by_outcome ON app.reconciliation_items (reconciliation, outcome, position);
CREATE INDEX reconciliation_differences ON app.reconciliation_items (difference) WHERE difference IS NOT NULL;
CREATE TRIGGER reconciliations_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON app.reconciliations
    FOR EACH STATEMENT EXECUTE FUNCTION app.refuse_change();
CREATE TRIGGER reconciliation_items_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON app.reconciliation_items
    FOR EACH STATEMENT EXECUTE FUNCTION app.refuse_change();
