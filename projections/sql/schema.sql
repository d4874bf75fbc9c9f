-- The read models: a cache of the journal. Every table can be dropped and is made again from the
-- events, so there are no migrations: a change here comes with a new format number (schema.rs), and
-- a read model of another format is dropped and rebuilt.
--
-- Amounts are whole numbers: `_milli` are thousandths of a coin, `_minor` the smallest unit of the
-- asset that stands beside them. `revision` is the event that a row follows from or was last touched
-- by. There are no foreign keys between these tables: rows come from one journal in one order, and
-- `muneem verify` checks more than a key could.

CREATE SCHEMA read;

-- How far the journal has been applied. Exactly one row: its lock is what keeps two projectors from
-- applying the same events twice.
CREATE TABLE read.checkpoint (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    format integer NOT NULL,
    -- Both are absent until the first batch: an empty journal has no name.
    journal_id uuid,
    revision bigint CHECK (revision >= 0),
    CHECK ((journal_id IS NULL) = (revision IS NULL))
);

CREATE TABLE read.balances (
    -- By bytes, whatever the database's locale: accounts are listed by prefix and in pages down the key.
    account text COLLATE "C" NOT NULL,
    asset text COLLATE "C" NOT NULL,
    -- Debit positive, as the journal has it; the owner's view is made when it is read.
    balance_minor bigint NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (account, asset)
);

CREATE TABLE read.statement_lines (
    account text NOT NULL,
    asset text NOT NULL,
    revision bigint NOT NULL,
    posting_index integer NOT NULL,
    recorded_at timestamptz NOT NULL,
    kind text NOT NULL,
    type text NOT NULL,
    status text NOT NULL,
    description text NOT NULL,
    -- As the account's owner reads them: what they gain is positive.
    amount_minor bigint NOT NULL CHECK (amount_minor <> 0),
    balance_after_minor bigint NOT NULL,
    counterparty_account text,
    counterparty_person uuid,
    correlation uuid,
    -- Whose wallet the account is part of.
    person uuid,
    -- Statements of an account, and its balance at any revision, are a walk down this key.
    PRIMARY KEY (account, asset, revision, posting_index),
    -- A posting makes one line; verification walks the journal's order.
    UNIQUE (revision, posting_index)
);
CREATE INDEX statement_lines_of_person ON read.statement_lines (person, revision, posting_index)
    WHERE person IS NOT NULL;

CREATE TABLE read.events (
    revision bigint PRIMARY KEY,
    event_id uuid NOT NULL UNIQUE,
    kind text NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor text NOT NULL,
    payer uuid,
    correlation uuid,
    command_id uuid NOT NULL,
    -- The last event of its command: answers as of a moment stand at such revisions only.
    closes_unit boolean NOT NULL,
    people uuid[] NOT NULL,
    data jsonb NOT NULL,
    metadata jsonb NOT NULL
);
CREATE INDEX events_of_kind ON read.events (kind, revision);
CREATE INDEX events_of_correlation ON read.events (correlation, revision) WHERE correlation IS NOT NULL;
CREATE INDEX events_of_people ON read.events USING gin (people);
CREATE INDEX events_by_time ON read.events (recorded_at, revision);

CREATE TABLE read.calls (
    call uuid PRIMARY KEY,
    -- When it began, in the journal's order: histories are paged by it.
    started_revision bigint NOT NULL UNIQUE,
    payer uuid NOT NULL,
    host uuid NOT NULL,
    medium text NOT NULL CHECK (medium IN ('chat', 'voice', 'video')),
    price_milli_per_minute bigint NOT NULL,
    increment_seconds bigint NOT NULL,
    free_seconds bigint NOT NULL,
    grace_seconds bigint NOT NULL,
    commission_scope text NOT NULL,
    host_bps integer NOT NULL,
    agency_bps integer NOT NULL,
    agency uuid,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    status text NOT NULL CHECK (status IN ('running', 'paused', 'ended')),
    -- When a paused call is lost.
    lost_at timestamptz,
    end_reason text,
    ended_by uuid,
    -- Up to the last pause or the end.
    connected_ms bigint NOT NULL,
    ticks bigint NOT NULL,
    charged_total_milli bigint NOT NULL,
    host_earned_milli bigint NOT NULL,
    agency_earned_milli bigint NOT NULL,
    platform_earned_milli bigint NOT NULL,
    revision bigint NOT NULL,
    CHECK ((status = 'ended') = (ended_at IS NOT NULL)),
    -- What was charged has gone to somebody, at each boundary.
    CHECK (charged_total_milli = host_earned_milli + agency_earned_milli + platform_earned_milli)
);

CREATE TABLE read.gifts_sent (
    sending uuid PRIMARY KEY,
    revision bigint NOT NULL UNIQUE,
    gift uuid NOT NULL,
    sender uuid NOT NULL,
    host uuid NOT NULL,
    call uuid,
    price_milli bigint NOT NULL,
    host_milli bigint NOT NULL,
    agency_milli bigint NOT NULL,
    platform_milli bigint NOT NULL,
    sent_at timestamptz NOT NULL,
    CHECK (price_milli = host_milli + agency_milli + platform_milli)
);
CREATE INDEX gifts_of_host ON read.gifts_sent (host, revision);

CREATE TABLE read.host_gift_totals (
    host uuid PRIMARY KEY,
    gift_count bigint NOT NULL,
    value_milli bigint NOT NULL,
    revision bigint NOT NULL
);

CREATE TABLE read.commission_splits (
    revision bigint PRIMARY KEY,
    recorded_at timestamptz NOT NULL,
    source text NOT NULL CHECK (source IN ('call', 'gift')),
    source_id uuid NOT NULL,
    payer uuid NOT NULL,
    host uuid NOT NULL,
    agency uuid,
    commission_scope text NOT NULL,
    host_bps integer NOT NULL,
    agency_bps integer NOT NULL,
    gross_milli bigint NOT NULL,
    host_milli bigint NOT NULL,
    agency_milli bigint NOT NULL,
    platform_milli bigint NOT NULL,
    available_from timestamptz NOT NULL,
    CHECK (gross_milli = host_milli + agency_milli + platform_milli)
);
CREATE INDEX splits_of_host ON read.commission_splits (host, revision);
CREATE INDEX splits_of_agency ON read.commission_splits (agency, revision) WHERE agency IS NOT NULL;

CREATE TABLE read.revenue_by_day (
    day date NOT NULL,
    source text NOT NULL CHECK (source IN ('call_chat', 'call_voice', 'call_video', 'gift')),
    gross_milli bigint NOT NULL,
    host_milli bigint NOT NULL,
    agency_milli bigint NOT NULL,
    platform_milli bigint NOT NULL,
    charge_count bigint NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (day, source)
);

CREATE TABLE read.purchases (
    purchase uuid PRIMARY KEY,
    opened_revision bigint NOT NULL UNIQUE,
    "user" uuid NOT NULL,
    plan uuid NOT NULL,
    gateway text NOT NULL,
    coins_milli bigint NOT NULL,
    bonus_milli bigint NOT NULL,
    price_minor bigint NOT NULL,
    price_asset text NOT NULL,
    status text NOT NULL CHECK (status IN ('opened', 'failed', 'captured', 'partly_refunded', 'refunded')),
    payment_ref text,
    fail_reason text,
    paid_minor bigint NOT NULL,
    refunded_minor bigint NOT NULL CHECK (refunded_minor <= paid_minor),
    refunded_coins_milli bigint NOT NULL,
    opened_at timestamptz NOT NULL,
    captured_at timestamptz,
    failed_at timestamptz,
    refunded_at timestamptz,
    revision bigint NOT NULL
);
CREATE INDEX purchases_of_user ON read.purchases ("user", opened_revision);

-- Money in suspense: one row an event that put it there.
CREATE TABLE read.unmatched_money (
    revision bigint PRIMARY KEY,
    recorded_at timestamptz NOT NULL,
    gateway text NOT NULL,
    payment_ref text NOT NULL,
    purchase uuid,
    cause text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('in', 'out')),
    amount_minor bigint NOT NULL,
    amount_asset text NOT NULL
);

CREATE TABLE read.withdrawals (
    withdrawal uuid PRIMARY KEY,
    requested_revision bigint NOT NULL UNIQUE,
    host uuid NOT NULL,
    coins_milli bigint NOT NULL,
    rate text NOT NULL,
    payout_minor bigint NOT NULL,
    payout_asset text NOT NULL,
    status text NOT NULL CHECK (status IN ('requested', 'approved', 'rejected', 'cancelled', 'paid', 'failed')),
    payout_ref text,
    reason text,
    requested_at timestamptz NOT NULL,
    approved_at timestamptz,
    rejected_at timestamptz,
    cancelled_at timestamptz,
    paid_at timestamptz,
    failed_at timestamptz,
    revision bigint NOT NULL
);
CREATE INDEX withdrawals_of_host ON read.withdrawals (host, requested_revision);
CREATE INDEX withdrawals_by_status ON read.withdrawals (status, requested_revision);

CREATE TABLE read.bonus_lots (
    lot uuid PRIMARY KEY,
    "user" uuid NOT NULL,
    origin text NOT NULL CHECK (origin IN ('plan', 'promotion', 'adjustment')),
    purchase uuid,
    granted_milli bigint NOT NULL,
    remaining_milli bigint NOT NULL CHECK (remaining_milli BETWEEN 0 AND granted_milli),
    granted_at timestamptz NOT NULL,
    expires_at timestamptz,
    expired_at timestamptz,
    revision bigint NOT NULL
);
CREATE INDEX bonus_lots_of_user ON read.bonus_lots ("user");

CREATE TABLE read.coin_plans (
    plan uuid PRIMARY KEY,
    coins_milli bigint NOT NULL,
    bonus_milli bigint NOT NULL,
    bonus_valid_seconds bigint,
    price_minor bigint NOT NULL,
    price_asset text NOT NULL,
    active boolean NOT NULL,
    revision bigint NOT NULL
);

-- A price that is absent was withdrawn: the row stays, so that verification knows of it.
CREATE TABLE read.gift_prices (
    gift uuid PRIMARY KEY,
    price_milli bigint,
    revision bigint NOT NULL
);

CREATE TABLE read.host_rates (
    host uuid NOT NULL,
    medium text NOT NULL CHECK (medium IN ('chat', 'voice', 'video')),
    price_milli_per_minute bigint,
    revision bigint NOT NULL,
    PRIMARY KEY (host, medium)
);

CREATE TABLE read.commission_rates (
    revision bigint PRIMARY KEY,
    scope text NOT NULL CHECK (scope IN ('global', 'agency', 'host')),
    scope_id uuid,
    -- Both are absent where the rate of the scope was cleared.
    host_bps integer,
    agency_bps integer,
    effective_from timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor text NOT NULL,
    CHECK ((scope = 'global') = (scope_id IS NULL)),
    CHECK ((host_bps IS NULL) = (agency_bps IS NULL))
);

CREATE TABLE read.agency_members (
    host uuid NOT NULL,
    joined_revision bigint NOT NULL,
    agency uuid NOT NULL,
    joined_at timestamptz NOT NULL,
    left_at timestamptz,
    revision bigint NOT NULL,
    PRIMARY KEY (host, joined_revision)
);
-- A host belongs to one agency at a time.
CREATE UNIQUE INDEX agency_of_host ON read.agency_members (host) WHERE left_at IS NULL;
CREATE INDEX members_of_agency ON read.agency_members (agency, joined_revision);
