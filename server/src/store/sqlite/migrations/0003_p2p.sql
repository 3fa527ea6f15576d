-- Transfers from one client to another: offers and what became of them. The bytes are never here.
CREATE TABLE p2p_sessions (
    id BLOB NOT NULL PRIMARY KEY,
    client_id BLOB NOT NULL,
    chat_id BLOB NOT NULL,
    sender BLOB NOT NULL,
    receiver BLOB NOT NULL,
    files TEXT NOT NULL,
    status INTEGER NOT NULL,
    path INTEGER,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX p2p_by_sender_and_client_id ON p2p_sessions (sender, client_id);
CREATE INDEX p2p_by_sender ON p2p_sessions (sender, id);
CREATE INDEX p2p_by_receiver ON p2p_sessions (receiver, id);
CREATE INDEX p2p_open_by_sender ON p2p_sessions (sender) WHERE status <= 1;
CREATE INDEX p2p_by_update ON p2p_sessions (updated);

-- Events may be of the kind 5, a transfer. The code alone says which kinds there are: a check cannot be changed but by making
-- the table anew.
CREATE TABLE events_anew (
    user_id  BLOB    NOT NULL,
    cursor   INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    kind     INTEGER NOT NULL,
    chat_id  BLOB    NOT NULL,
    seq      INTEGER,
    subject  BLOB,
    revision INTEGER,
    PRIMARY KEY (user_id, cursor)
) STRICT, WITHOUT ROWID;

INSERT INTO events_anew SELECT user_id, cursor, at, kind, chat_id, seq, subject, revision FROM events;
DROP TABLE events;
ALTER TABLE events_anew RENAME TO events;
