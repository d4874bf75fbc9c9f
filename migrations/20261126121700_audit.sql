-- What admins changed: who, when, why, and the value before and after. A change of a Postgres table and its row here
-- are written in one transaction. A change in the journal is recorded there first, with its author and moment; its row
-- here adds the reason, the value before, and the request.
CREATE TABLE app.audit_log (
    id           uuid PRIMARY KEY,
    at           timestamptz NOT NULL,
    -- The person; absent for the operator at the command line. No reference: the log outlives the account.
    actor        uuid,
    -- What was done, such as `setting.changed`.
    action       text NOT NULL,
    subject_kind text NOT NULL,
    subject      text NOT NULL,
    reason       text,
    -- A row of app.notes. No reference: its words can be erased.
    note         uuid,
    before       jsonb,
    after        jsonb,
    -- The request's id, as in the server's log.
    request      text,
    -- The command that the ledger recorded, and the revision of its last event: a retry writes no second row.
    command      uuid UNIQUE,
    revision     bigint,
    CHECK ((command IS NULL) = (revision IS NULL))
);
-- Pages go from the newest to the oldest; one index for each filter.
CREATE INDEX audit_log_pages ON app.audit_log (at DESC, id DESC);
CREATE INDEX audit_log_of_actor ON app.audit_log (actor, at DESC, id DESC);
CREATE INDEX audit_log_of_action ON app.audit_log (action, at DESC, id DESC);
CREATE INDEX audit_log_of_subject ON app.audit_log (subject, at DESC, id DESC);

CREATE FUNCTION app.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% rows are never changed or removed', TG_TABLE_NAME;
END $$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON app.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION app.refuse_change();

-- A note of the operator at the command line has no author.
ALTER TABLE app.notes ALTER COLUMN author DROP NOT NULL;
ALTER TABLE app.settings ALTER COLUMN changed_by DROP NOT NULL;
