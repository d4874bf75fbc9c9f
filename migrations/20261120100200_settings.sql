-- What an admin may change while the server runs. One row a group, so that a group changes as a whole; the
-- shape of each value is checked where it is read and written.
CREATE TABLE app.settings (
    key        text PRIMARY KEY,
    value      jsonb NOT NULL,
    changed_by uuid NOT NULL REFERENCES app.people (id),
    changed_at timestamptz NOT NULL
);
