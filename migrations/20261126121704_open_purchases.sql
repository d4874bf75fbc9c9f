-- Purchases that nobody has paid yet: a person may have few of them, and they close by themselves.
CREATE TABLE app.open_purchases (
    purchase  uuid PRIMARY KEY,
    person    uuid NOT NULL REFERENCES app.people (id) ON DELETE CASCADE,
    opened_at timestamptz NOT NULL,
    closes_at timestamptz NOT NULL
);
CREATE INDEX open_purchases_of_person ON app.open_purchases (person);
CREATE INDEX open_purchases_by_end ON app.open_purchases (closes_at);
