-- Rings that became no call are swept by age; those that did stand for a call in the journal and stay.
CREATE INDEX rings_swept_by_age ON app.rings (decided_at) WHERE status NOT IN ('ringing', 'accepted');
