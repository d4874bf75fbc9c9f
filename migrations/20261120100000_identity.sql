-- Who people are, and how they prove it. Personal data lives here and can be erased; the journal holds ids only.
CREATE SCHEMA IF NOT EXISTS app;

CREATE TABLE app.people (
    id           uuid PRIMARY KEY,
    -- A keyed hash finds the person of a phone number without storing the number in the clear, and is what
    -- makes one number one account: two first sign-ins at once meet here.
    phone_hash   bytea NOT NULL UNIQUE CHECK (octet_length(phone_hash) = 32),
    -- The number itself, sealed together with the person's id: a row's seal opens in no other row.
    phone_sealed bytea NOT NULL,
    name         text,
    created_at   timestamptz NOT NULL
);

CREATE TABLE app.person_roles (
    person     uuid NOT NULL REFERENCES app.people (id) ON DELETE CASCADE,
    role       text NOT NULL CHECK (role IN ('user', 'host', 'agency', 'admin')),
    granted_at timestamptz NOT NULL,
    -- The person first: roles are read for one person, at every request.
    PRIMARY KEY (person, role)
);

CREATE TABLE app.agencies (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    -- Its short name; never given out twice.
    code       text NOT NULL UNIQUE,
    -- No cascade: an agency has hosts and money, and outlives a careless deletion of its owner.
    owner      uuid NOT NULL REFERENCES app.people (id),
    created_at timestamptz NOT NULL
);
CREATE INDEX agencies_by_owner ON app.agencies (owner);

-- The one live code of each phone. A new code replaces the old one, so at most one is ever good; the row lock
-- of the one row is what makes tries countable and a code single use. No reference to people: most codes come
-- before the account does.
CREATE TABLE app.otp_codes (
    phone_hash bytea PRIMARY KEY,
    -- A keyed hash: six digits under a plain hash would be guessed at once from a stolen table.
    code_mac   bytea NOT NULL,
    tries      integer NOT NULL DEFAULT 0 CHECK (tries >= 0),
    expires_at timestamptz NOT NULL
);
-- Stale codes are swept by age.
CREATE INDEX otp_codes_by_expiry ON app.otp_codes (expires_at);

CREATE TABLE app.sessions (
    id         uuid PRIMARY KEY,
    person     uuid NOT NULL REFERENCES app.people (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    ended_at   timestamptz,
    end_reason text CHECK (end_reason IN ('logout', 'logout_everywhere', 'refresh_reused')),
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);
-- Logging out everywhere touches the living sessions only.
CREATE INDEX sessions_alive_by_person ON app.sessions (person) WHERE ended_at IS NULL;

-- The family of refresh tokens of a session: one is live, the rest are kept until they expire so that a second
-- use of any of them is recognised.
CREATE TABLE app.refresh_tokens (
    -- SHA-256 of a token of 256 random bits, so no salt is needed; a stolen table gives no token.
    token_hash     bytea PRIMARY KEY,
    session        uuid NOT NULL REFERENCES app.sessions (id) ON DELETE CASCADE,
    expires_at     timestamptz NOT NULL,
    rotated_at     timestamptz,
    -- With the token itself this gives its successor again, for a client that lost our answer. Erased as soon
    -- as the successor is used.
    successor_salt bytea,
    CHECK (successor_salt IS NULL OR rotated_at IS NOT NULL)
);
CREATE INDEX refresh_tokens_by_session ON app.refresh_tokens (session);
-- A session has one live token.
CREATE UNIQUE INDEX refresh_tokens_one_live ON app.refresh_tokens (session) WHERE rotated_at IS NULL;
