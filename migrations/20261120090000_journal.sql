CREATE SCHEMA IF NOT EXISTS app;

-- Which journal this database belongs to: rings and gateway orders name things that stand in it. Another journal, or
-- an empty folder where it should lie, is refused at the start. One row, set by the first start.
CREATE TABLE app.journal (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id         uuid NOT NULL,
    adopted_at timestamptz NOT NULL
);
