-- Host profiles, which are also the applications to become a host. Prices are ledger events, not columns.
CREATE TABLE app.hosts (
    person        uuid PRIMARY KEY REFERENCES app.people (id) ON DELETE CASCADE,
    display_name  text NOT NULL,
    bio           text NOT NULL,
    categories    text[] NOT NULL,
    languages     text[] NOT NULL,
    status        text NOT NULL CHECK (status IN ('applied', 'approved', 'rejected')),
    -- When the host came into this status: what lists are ordered by.
    status_since  timestamptz NOT NULL,
    reject_reason text,
    decided_by    uuid REFERENCES app.people (id),
    decided_at    timestamptz,
    CHECK ((status = 'applied') = (decided_at IS NULL)),
    CHECK ((decided_at IS NULL) = (decided_by IS NULL)),
    CHECK ((status = 'rejected') = (reject_reason IS NOT NULL))
);
-- The order of the pages: oldest first within a status, the person breaking ties, so that a cursor never
-- skips or repeats a row.
CREATE INDEX hosts_pages ON app.hosts (status, status_since, person);
