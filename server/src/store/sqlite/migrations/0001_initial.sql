-- Ids are 16-byte blobs, hashes 32-byte blobs, moments milliseconds since 1970. docs/data-model.md says which index serves
-- which query. A table is WITHOUT ROWID where its primary key is how its rows are found.

CREATE TABLE users (
    id            BLOB    NOT NULL PRIMARY KEY,
    email         TEXT    NOT NULL UNIQUE,
    name          TEXT    NOT NULL,
    password_hash TEXT    NOT NULL,
    created       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    id       BLOB    NOT NULL PRIMARY KEY,
    user_id  BLOB    NOT NULL REFERENCES users,
    agent    TEXT    NOT NULL,
    created  INTEGER NOT NULL,
    current  BLOB    NOT NULL,
    previous BLOB,
    rotated  INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    ended    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_end ON sessions (min(expires, ifnull(ended, expires)));

-- kind: 0 direct, 1 group. A direct chat has its two users in pair_low and pair_high, by id. A group has whoever made it in
-- made_by and their client id in made_as, until they leave.
CREATE TABLE chats (
    id        BLOB    NOT NULL PRIMARY KEY,
    kind      INTEGER NOT NULL CHECK (kind IN (0, 1)),
    title     TEXT,
    pair_low  BLOB,
    pair_high BLOB,
    made_by   BLOB,
    made_as   BLOB,
    last_seq  INTEGER NOT NULL DEFAULT 0,
    last_at   INTEGER NOT NULL DEFAULT 0,
    revision  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX chats_by_pair ON chats (pair_low, pair_high) WHERE pair_low IS NOT NULL;
CREATE UNIQUE INDEX chats_by_maker ON chats (made_by, made_as) WHERE made_by IS NOT NULL;

-- role: 0 member, 1 owner.
CREATE TABLE members (
    chat_id  BLOB    NOT NULL REFERENCES chats,
    user_id  BLOB    NOT NULL REFERENCES users,
    role     INTEGER NOT NULL CHECK (role IN (0, 1)),
    read_seq INTEGER NOT NULL,
    joined   INTEGER NOT NULL,
    PRIMARY KEY (chat_id, user_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX members_by_user ON members (user_id, chat_id);

-- files: the files' cards as they were when the message was posted, in JSON, so that reading history joins nothing.
CREATE TABLE messages (
    chat_id   BLOB    NOT NULL REFERENCES chats,
    seq       INTEGER NOT NULL,
    sender    BLOB    NOT NULL,
    client_id BLOB    NOT NULL,
    at        INTEGER NOT NULL,
    text      TEXT,
    files     TEXT,
    reply_to  INTEGER,
    deleted   INTEGER,
    revision  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (chat_id, seq)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX messages_by_client_id ON messages (chat_id, sender, client_id);
CREATE INDEX messages_by_revision ON messages (chat_id, revision) WHERE revision > 0;

-- root and finished are NULL while the upload is under way; active is when it was last begun or resumed.
CREATE TABLE files (
    id         BLOB    NOT NULL PRIMARY KEY,
    owner      BLOB    NOT NULL REFERENCES users,
    key        BLOB    NOT NULL,
    name       TEXT    NOT NULL,
    size       INTEGER NOT NULL,
    chunk_size INTEGER NOT NULL,
    active     INTEGER NOT NULL,
    root       BLOB,
    finished   INTEGER,
    UNIQUE (owner, key),
    CHECK ((root IS NULL) = (finished IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX files_by_owner ON files (owner, id) WHERE finished IS NOT NULL;
CREATE INDEX uploads_by_owner ON files (owner) WHERE finished IS NULL;
CREATE INDEX uploads_by_activity ON files (active) WHERE finished IS NULL;

-- In which messages a file stands; gone when the message is deleted.
CREATE TABLE postings (
    file_id BLOB    NOT NULL REFERENCES files,
    chat_id BLOB    NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (file_id, chat_id, seq)
) STRICT, WITHOUT ROWID;

-- head: the cursor of the newest event; pruned: of the newest one forgotten; oldest: the moment of the first one kept.
-- Apart from users because every event changes it, and a short row is a cheap one.
CREATE TABLE feeds (
    user_id BLOB    NOT NULL PRIMARY KEY REFERENCES users,
    head    INTEGER NOT NULL DEFAULT 0,
    pruned  INTEGER NOT NULL DEFAULT 0,
    oldest  INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX feeds_by_age ON feeds (oldest) WHERE oldest IS NOT NULL;

-- kind: 0 posted, 1 changed, 2 joined, 3 left, 4 read. No foreign keys: this is the busiest table, and its rows are
-- written beside what they name.
CREATE TABLE events (
    user_id  BLOB    NOT NULL,
    cursor   INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    kind     INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 4),
    chat_id  BLOB    NOT NULL,
    seq      INTEGER,
    subject  BLOB,
    revision INTEGER,
    PRIMARY KEY (user_id, cursor)
) STRICT, WITHOUT ROWID;
