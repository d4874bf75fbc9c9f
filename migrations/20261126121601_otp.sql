-- The devices on which somebody has signed in. Each has an allowance of its own for one-time passwords, so that a
-- stranger who asks for codes in the owner's name does not keep the owner out.
CREATE TABLE app.devices (
    id         uuid PRIMARY KEY,
    person     uuid NOT NULL REFERENCES app.people (id) ON DELETE CASCADE,
    -- SHA-256 of a token of 256 random bits.
    token_hash bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    used_at    timestamptz NOT NULL
);
CREATE INDEX devices_by_person ON app.devices (person, used_at);
CREATE INDEX devices_by_use ON app.devices (used_at);

-- One-time passwords under way. Each challenge has one code and counts its own tries; only its requester knows its id.
DROP TABLE app.otp_codes;
CREATE TABLE app.otp_challenges (
    id         uuid PRIMARY KEY,
    -- No reference to people: most codes come before the account does.
    phone_hash bytea NOT NULL,
    -- The owner's device that asked, if it was one.
    device     uuid REFERENCES app.devices (id) ON DELETE SET NULL,
    -- A keyed hash: six digits under a plain hash would be guessed at once from a stolen table.
    code_mac   bytea NOT NULL,
    tries      integer NOT NULL DEFAULT 0 CHECK (tries >= 0),
    expires_at timestamptz NOT NULL
);
-- Stale challenges are swept by age.
CREATE INDEX otp_challenges_by_expiry ON app.otp_challenges (expires_at);
CREATE INDEX otp_challenges_by_device ON app.otp_challenges (device) WHERE device IS NOT NULL;
