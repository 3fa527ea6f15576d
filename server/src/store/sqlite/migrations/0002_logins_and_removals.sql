CREATE INDEX sessions_by_user ON sessions (user_id, id) WHERE ended IS NULL;

-- Deleted files whose folders may still be there: written with the deletion, so that a crash before the folder is removed
-- is mended later.
CREATE TABLE removals (
    file_id BLOB NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;
