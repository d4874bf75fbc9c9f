-- Payees whose payout details an admin has checked. A payee that is not here is not verified.
CREATE TABLE app.verified_payees (
    kind        text NOT NULL CHECK (kind IN ('host', 'agency')),
    -- The person or the agency.
    payee       uuid NOT NULL,
    verified_by uuid NOT NULL REFERENCES app.people (id),
    verified_at timestamptz NOT NULL,
    PRIMARY KEY (kind, payee)
);
