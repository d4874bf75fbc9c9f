-- Deliveries hold personal data (e-mail, phone and bank of a payer): the bytes are sealed, and erased after 90 days.
ALTER TABLE app.webhook_inbox
    RENAME COLUMN body TO body_sealed;
ALTER TABLE app.webhook_inbox
    ALTER COLUMN body_sealed DROP NOT NULL,
    -- By what equal bytes are known: a keyed hash, so that nobody without the key can test a guess.
    ADD COLUMN body_mark bytea NOT NULL DEFAULT '' CHECK (octet_length(body_mark) IN (0, 32)),
    -- Set when a person has dealt with a delivery by hand.
    ADD COLUMN handled_by uuid,
    ADD COLUMN handled_at timestamptz,
    DROP CONSTRAINT webhook_inbox_status_check,
    ADD CONSTRAINT webhook_inbox_status_check
        CHECK (status IN ('pending', 'done', 'unreadable', 'needs_person', 'handled')),
    ADD CONSTRAINT webhook_inbox_handled_check CHECK ((status = 'handled') = (handled_at IS NOT NULL));
-- No older row is kept: its bytes lie open.
DELETE FROM app.webhook_inbox;
ALTER TABLE app.webhook_inbox ALTER COLUMN body_mark DROP DEFAULT;
-- Pages for admins, of all deliveries and of those in one state; the sweep goes by age too.
CREATE INDEX webhook_inbox_pages ON app.webhook_inbox (received_at DESC, id DESC);
CREATE INDEX webhook_inbox_pages_of_status ON app.webhook_inbox (status, received_at DESC, id DESC);
