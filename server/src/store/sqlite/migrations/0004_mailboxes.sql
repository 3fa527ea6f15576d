-- Where two people without accounts meet. What they say to each other is never here.
CREATE TABLE mailboxes (
    id BLOB NOT NULL PRIMARY KEY,
    nameplate INTEGER NOT NULL,
    opened_from BLOB NOT NULL,
    opened INTEGER NOT NULL,
    sender_key BLOB NOT NULL,
    sender_last_held INTEGER NOT NULL,
    receiver_key BLOB,
    receiver_last_held INTEGER,
    over INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    CHECK ((receiver_key IS NULL) = (receiver_last_held IS NULL))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX mailboxes_by_nameplate ON mailboxes (nameplate) WHERE over = 0;
CREATE UNIQUE INDEX mailboxes_by_sender_key ON mailboxes (sender_key);
CREATE INDEX mailboxes_open_by_origin ON mailboxes (opened_from) WHERE over = 0;
CREATE INDEX mailboxes_by_end ON mailboxes (expires);
