-- Which gateway order stands for which purchase. Written before the client hears of the order, so money never
-- arrives for an order that we gave out and do not know.
CREATE TABLE app.gateway_orders (
    gateway    text NOT NULL,
    order_id   text NOT NULL,
    purchase   uuid NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (gateway, order_id)
);

-- What gateways told us, as they told it: stored and answered first, worked through after. A delivery is never
-- refused for what it says.
CREATE TABLE app.webhook_inbox (
    id           bigserial PRIMARY KEY,
    gateway      text NOT NULL,
    -- The gateway's id of the delivery: a repeated one meets its first row.
    delivery     text NOT NULL,
    -- The bytes as they came: the signature is over them.
    body         bytea NOT NULL,
    received_at  timestamptz NOT NULL,
    status       text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'done', 'unreadable')),
    -- What came of it, as a code.
    outcome      text,
    attempts     integer NOT NULL DEFAULT 0,
    not_before   timestamptz NOT NULL,
    UNIQUE (gateway, delivery),
    CHECK ((status = 'pending') = (outcome IS NULL))
);
CREATE INDEX webhook_inbox_pending ON app.webhook_inbox (not_before, id) WHERE status = 'pending';
