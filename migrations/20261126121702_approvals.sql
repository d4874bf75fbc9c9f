-- What takes two admins: one proposes, another one approves or declines.
CREATE TABLE app.approvals (
    -- Follows from the proposer's idempotency key: a repeated request finds its row.
    id           uuid PRIMARY KEY,
    -- What is to be done, whole: it is executed from here.
    proposal     jsonb NOT NULL,
    state        text NOT NULL DEFAULT 'proposed'
                 CHECK (state IN ('proposed', 'approved', 'executed', 'refused', 'declined', 'expired')),
    -- Whose money it is, where it is a person's: they cannot decide.
    beneficiary  uuid,
    proposed_by  uuid NOT NULL REFERENCES app.people (id),
    proposed_at  timestamptz NOT NULL,
    reason       text,
    note         uuid,
    expires_at   timestamptz NOT NULL,
    decided_by   uuid REFERENCES app.people (id),
    decided_at   timestamptz,
    -- The journal's revision once it is executed, or the code of the ledger's refusal.
    revision     bigint,
    failure      text,
    CHECK ((state IN ('proposed', 'expired')) = (decided_by IS NULL)),
    CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
    CHECK ((state = 'refused') = (failure IS NOT NULL)),
    -- Nobody approves what they proposed; taking a proposal back is allowed.
    CHECK (state IN ('proposed', 'declined', 'expired') OR decided_by <> proposed_by)
);
CREATE INDEX approvals_pages ON app.approvals (proposed_at DESC, id DESC);
CREATE INDEX approvals_pages_of_state ON app.approvals (state, proposed_at DESC, id DESC);
-- Those that run out, and those that a crash left approved and not executed.
CREATE INDEX approvals_open ON app.approvals (expires_at) WHERE state = 'proposed';
CREATE INDEX approvals_unexecuted ON app.approvals (decided_at) WHERE state = 'approved';
-- Open ones are counted for each proposer.
CREATE INDEX approvals_open_of_proposer ON app.approvals (proposed_by) WHERE state = 'proposed';
