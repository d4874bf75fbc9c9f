-- Others see a person by name and picture; admins find people by the start of a name, the newest account first.
ALTER TABLE app.people ADD COLUMN avatar_url text;

CREATE INDEX people_by_name ON app.people (lower(name) text_pattern_ops);
CREATE INDEX hosts_by_name ON app.hosts (lower(display_name) text_pattern_ops);
CREATE INDEX people_pages ON app.people (created_at, id);
