-- Where other nodes reach the holder, if they have to.
ALTER TABLE app.duties ADD COLUMN address text;
