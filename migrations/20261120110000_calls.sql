-- A call before the ledger knows it: the ring. What is charged, and how a call that was accepted ended, stands in
-- the journal.
CREATE TABLE app.rings (
    -- Follows from the payer's idempotency key: a repeated invitation finds its row.
    call        uuid PRIMARY KEY,
    payer       uuid NOT NULL REFERENCES app.people (id) ON DELETE CASCADE,
    host        uuid NOT NULL REFERENCES app.people (id) ON DELETE CASCADE,
    medium      text NOT NULL CHECK (medium IN ('chat', 'voice', 'video')),
    price_milli_per_minute bigint NOT NULL CHECK (price_milli_per_minute > 0),
    status      text NOT NULL CHECK (status IN
                    ('ringing', 'accepted', 'rejected', 'cancelled', 'missed', 'busy', 'failed')),
    -- Why an accepted ring did not become a call: the ledger's code.
    failure     text,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    decided_at  timestamptz,
    CHECK (payer <> host),
    CHECK ((status = 'ringing') = (decided_at IS NULL)),
    CHECK ((status = 'failed') = (failure IS NOT NULL))
);
-- A payer rings one host at a time; two invitations at once meet here.
CREATE UNIQUE INDEX rings_one_per_payer ON app.rings (payer) WHERE status = 'ringing';
CREATE INDEX rings_open_by_host ON app.rings (host) WHERE status = 'ringing';
-- The rings that nobody answered are found by their end.
CREATE INDEX rings_open_by_expiry ON app.rings (expires_at) WHERE status = 'ringing';
-- Those that a crash left half accepted are found by the moment of the answer.
CREATE INDEX rings_accepted ON app.rings (decided_at, call) WHERE status = 'accepted';
CREATE INDEX rings_of_payer ON app.rings (payer, created_at DESC, call);
CREATE INDEX rings_of_host ON app.rings (host, created_at DESC, call);
