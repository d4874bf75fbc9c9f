-- The revision of the gift's price: a card never stands beside the price of a later change.
ALTER TABLE app.gifts ADD COLUMN revision bigint NOT NULL DEFAULT 0;
ALTER TABLE app.gifts ALTER COLUMN revision DROP DEFAULT;
