-- Nodes keep in memory who may do what, and the settings. Whatever changes one of them, another node, an operator's
-- command or SQL by hand, tells all nodes when it commits. The same word twice in one transaction is sent once. The
-- triggers fire always, also while a restore or a replica writes.
CREATE FUNCTION app.tell_of_person() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('muneem_people', OLD.person::text);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('muneem_people', NEW.person::text);
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION app.tell_of_everybody() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('muneem_people', 'everybody');
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
CREATE TRIGGER tell AFTER UPDATE ON app.hosts
    FOR EACH ROW WHEN ((OLD.status, OLD.person) IS DISTINCT FROM (NEW.status, NEW.person))
    EXECUTE FUNCTION app.tell_of_person();
CREATE TRIGGER tell_removed AFTER DELETE ON app.hosts
    FOR EACH ROW EXECUTE FUNCTION app.tell_of_person();
-- Nobody relies on a session before it is there, nor on one that has ended when it is swept.
CREATE TRIGGER tell AFTER UPDATE ON app.sessions
    FOR EACH ROW WHEN (OLD.ended_at IS NULL
        AND (OLD.ended_at, OLD.person, OLD.id) IS DISTINCT FROM (NEW.ended_at, NEW.person, NEW.id))
    EXECUTE FUNCTION app.tell_of_person();
CREATE TRIGGER tell_removed AFTER DELETE ON app.sessions
    FOR EACH ROW WHEN (OLD.ended_at IS NULL) EXECUTE FUNCTION app.tell_of_person();
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON app.settings
    FOR EACH STATEMENT EXECUTE FUNCTION app.tell_of_settings();

DO $$
DECLARE
    told text;
BEGIN
    FOREACH told IN ARRAY ARRAY['person_roles', 'restrictions', 'hosts', 'sessions'] LOOP
        EXECUTE format('CREATE TRIGGER tell_emptied AFTER TRUNCATE ON app.%I
            FOR EACH STATEMENT EXECUTE FUNCTION app.tell_of_everybody()', told);
        EXECUTE format('ALTER TABLE app.%I ENABLE ALWAYS TRIGGER tell_emptied', told);
        EXECUTE format('ALTER TABLE app.%I ENABLE ALWAYS TRIGGER tell', told);
    END LOOP;
END
$$;
ALTER TABLE app.hosts ENABLE ALWAYS TRIGGER tell_removed;
ALTER TABLE app.sessions ENABLE ALWAYS TRIGGER tell_removed;
ALTER TABLE app.settings ENABLE ALWAYS TRIGGER tell;
