-- What a proposal is about, so that it is found by its amount: the coins of an adjustment or a bonus, the money of a
-- payout; nothing for limits.
ALTER TABLE app.approvals
    ADD COLUMN amount_minor bigint,
    ADD COLUMN amount_asset text,
    ADD CHECK ((amount_minor IS NULL) = (amount_asset IS NULL));

-- What a delivery speaks of, as far as it could be read: the gateway's name of the event, who opened the purchase, and
-- the money. Deliveries are found by it after their bytes are erased.
ALTER TABLE app.webhook_inbox
    ADD COLUMN kind text,
    ADD COLUMN person uuid,
    ADD COLUMN amount_minor bigint,
    ADD COLUMN amount_asset text;
CREATE INDEX webhook_inbox_of_person ON app.webhook_inbox (person, received_at DESC, id DESC) WHERE person IS NOT NULL;
