-- Nodes keep in memory who may do what, and the settings. Whatever changes one of them, another node, an operator's
-- command or SQL by hand, tells all nodes when it commits. The same word twice in one transaction is sent once.
CREATE FUNCTION app.tell_of_person() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('muneem_people', (CASE TG_OP WHEN 'DELETE' THEN OLD.person ELSE NEW.person END)::text);
    RETURN NULL;
END
$$;

CREATE FUNCTION app.tell_of_settings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('muneem_settings', '');
    RETURN NULL;
END
$$;

CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON app.person_roles
    FOR EACH ROW EXECUTE FUNCTION app.tell_of_person();
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON app.restrictions
    FOR EACH ROW EXECUTE FUNCTION app.tell_of_person();
-- A profile that is written anew changes nobody's rights.
CREATE TRIGGER tell AFTER UPDATE OF status ON app.hosts
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION app.tell_of_person();
CREATE TRIGGER tell_removed AFTER DELETE ON app.hosts
    FOR EACH ROW EXECUTE FUNCTION app.tell_of_person();
-- Nobody relies on a session before it is there, nor on one that has ended when it is swept.
CREATE TRIGGER tell AFTER UPDATE OF ended_at ON app.sessions
    FOR EACH ROW WHEN (OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL) EXECUTE FUNCTION app.tell_of_person();
CREATE TRIGGER tell_removed AFTER DELETE ON app.sessions
    FOR EACH ROW WHEN (OLD.ended_at IS NULL) EXECUTE FUNCTION app.tell_of_person();
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON app.settings
    FOR EACH STATEMENT EXECUTE FUNCTION app.tell_of_settings();
