-- What a person gives to others, so that it is known who brought them. Made when it is first looked at.
CREATE TABLE app.referral_codes (
    person     uuid PRIMARY KEY REFERENCES app.people (id) ON DELETE CASCADE,
    code       text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL
);
