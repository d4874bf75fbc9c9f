-- Who may not use their account, or may not act as a host, because an admin decided so. A row is removed when the
-- restriction is lifted; the audit log keeps what was decided, when, by whom and why.
CREATE TABLE app.restrictions (
    person uuid NOT NULL REFERENCES app.people (id) ON DELETE CASCADE,
    -- account: no sign-in, no session. host: no calls, gifts or withdrawals as a host; the person is still a user.
    scope  text NOT NULL CHECK (scope IN ('account', 'host')),
    kind   text NOT NULL CHECK (kind IN ('suspended', 'banned')),
    reason text NOT NULL,
    since  timestamptz NOT NULL,
    PRIMARY KEY (person, scope)
);

ALTER TABLE app.sessions DROP CONSTRAINT sessions_end_reason_check;
ALTER TABLE app.sessions ADD CONSTRAINT sessions_end_reason_check
    CHECK (end_reason IN ('logout', 'logout_everywhere', 'refresh_reused', 'ended_by_admin', 'restricted'));

-- Old sessions are found by when they ended, tokens by when they expire.
CREATE INDEX sessions_ended ON app.sessions (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX refresh_tokens_by_expiry ON app.refresh_tokens (expires_at);

-- The roles that give rights at present: whoever is kept from acting as a host has the role and no rights by it.
CREATE VIEW app.roles_in_force AS
    SELECT person, role FROM app.person_roles
    WHERE role <> 'host' OR NOT EXISTS (
        SELECT 1 FROM app.restrictions AS kept WHERE kept.person = person_roles.person AND kept.scope = 'host');

-- The hosts whom users may deal with: approved, with the role, and not kept from it or from their account.
CREATE VIEW app.hosts_serving AS
    SELECT hosts.person FROM app.hosts
    JOIN app.roles_in_force AS held ON held.person = hosts.person AND held.role = 'host'
    WHERE hosts.status = 'approved' AND NOT EXISTS (
        SELECT 1 FROM app.restrictions AS kept WHERE kept.person = hosts.person AND kept.scope = 'account');

-- Sessions whose tokens have all expired are found by their age.
CREATE INDEX sessions_by_age ON app.sessions (created_at);
