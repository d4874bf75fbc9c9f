-- Names and pictures of gifts. Their prices are events of the ledger.
CREATE TABLE app.gifts (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    image_url  text NOT NULL,
    position   integer NOT NULL,
    updated_at timestamptz NOT NULL
);

-- The words behind a reason code in the journal, kept here so that they can be erased.
CREATE TABLE app.notes (
    id         uuid PRIMARY KEY,
    author     uuid NOT NULL REFERENCES app.people (id),
    words      text NOT NULL,
    created_at timestamptz NOT NULL
);
