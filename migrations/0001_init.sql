-- The ledger's first schema. Times are milliseconds since 1970, UTC. Ids are text, so that any SQLite shell can read them.

-- One row per request that was kept: accepted, ignored, refused. Narrow, because it is rewritten as the event moves on;
-- what never changes again (headers, body) is in event_bodies. seq is the order of commit.
CREATE TABLE events (
    seq          INTEGER PRIMARY KEY,
    id           TEXT    NOT NULL UNIQUE,
    handler      TEXT,
    provider     TEXT,
    event        TEXT,
    delivery_id  TEXT,
    delivery_key BLOB,
    verdict      TEXT,
    status       TEXT    NOT NULL,
    reason       TEXT,
    received_at  INTEGER NOT NULL,
    committed_at INTEGER NOT NULL,
    processed_at INTEGER,
    client_ip    TEXT    NOT NULL,
    body_bytes   INTEGER NOT NULL,
    body_sha256  BLOB,
    title        TEXT,
    url          TEXT,
    subject      TEXT,
    severity     TEXT,
    replay_of    TEXT
) STRICT;

-- Retention and --since.
CREATE INDEX events_received ON events (received_at);
-- The statuses that are rare beside `processed`, newest first. Queries must repeat the WHERE to use it.
CREATE INDEX events_unusual ON events (status, seq) WHERE status IN ('ignored', 'duplicate', 'rejected', 'failed');

CREATE TABLE event_bodies (
    event_seq INTEGER PRIMARY KEY,
    headers   TEXT NOT NULL,      -- JSON object; an array where a name came more than once
    payload   BLOB,               -- the JSON payload where it is not the body itself
    body      BLOB NOT NULL       -- as it came; the first bytes of a refused one
) STRICT;

-- Which event came first under a delivery key (a hash of handler and delivery id).
CREATE TABLE deliveries (
    key       BLOB PRIMARY KEY,
    event_seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The queue: a row from acceptance until the job is settled. While leased, due_at is the end of the lease.
CREATE TABLE jobs (
    event_seq INTEGER PRIMARY KEY,
    due_at    INTEGER NOT NULL,
    leased    INTEGER NOT NULL DEFAULT 0,
    epoch     INTEGER NOT NULL DEFAULT 0,
    attempt   INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX jobs_due ON jobs (due_at, event_seq);

-- What is owed to chats. seq is the order of acceptance.
CREATE TABLE notices (
    seq        INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    event_seq  INTEGER REFERENCES events (seq),
    kind       TEXT    NOT NULL,
    chat       TEXT    NOT NULL,
    repeat     INTEGER NOT NULL DEFAULT 0,  -- 0: told once per event, kind and chat; else a number of its own
    state      TEXT    NOT NULL,            -- pending, sending, sent, edited, maybe_sent, failed
    attempts   INTEGER NOT NULL DEFAULT 0,
    unanswered INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    began_at   INTEGER,
    sent_at    INTEGER,
    message_id INTEGER,
    reply_to   INTEGER,
    error      TEXT,
    message    TEXT    NOT NULL             -- JSON
) STRICT;

CREATE UNIQUE INDEX notices_once ON notices (event_seq, kind, chat, repeat) WHERE event_seq IS NOT NULL;
CREATE INDEX notices_waiting ON notices (chat, seq) WHERE state = 'pending';
CREATE INDEX notices_waiting_apart ON notices (chat, seq) WHERE state = 'pending' AND kind <> 'event';
CREATE INDEX notices_sending ON notices (seq) WHERE state = 'sending';
CREATE INDEX notices_not_of_events ON notices (chat, kind, created_at) WHERE kind <> 'event';
CREATE INDEX notices_loose ON notices (created_at) WHERE event_seq IS NULL;

-- What chats sent us.
CREATE TABLE inbound (
    channel     TEXT    NOT NULL,
    external_id INTEGER NOT NULL,
    body        TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    done        INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (channel, external_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX inbound_waiting ON inbound (channel, external_id) WHERE done = 0;
CREATE INDEX inbound_done ON inbound (received_at) WHERE done = 1;

-- The unusual parts of an event's history. The usual ones are columns: received, committed, processed, notices.
CREATE TABLE event_log (
    seq       INTEGER PRIMARY KEY,
    event_seq INTEGER NOT NULL REFERENCES events (seq),
    at        INTEGER NOT NULL,
    what      TEXT    NOT NULL,
    detail    TEXT
) STRICT;

CREATE INDEX event_log_event ON event_log (event_seq);

-- When each handler last had an event accepted.
CREATE TABLE handlers_seen (
    handler TEXT PRIMARY KEY,
    last_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Counts that would be slow to take from a table of millions (`events.<status>`), and the last lease epoch given out.
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What the documents of earlier systems query. Refused requests are here too; a request that never reached the agent was
-- done with when it came.
CREATE VIEW webhook_events (id, event_type, payload, signature_valid, processed_at) AS
SELECT e.id,
       e.event,
       CAST(coalesce(b.payload, b.body) AS TEXT),
       e.verdict IS 'valid',
       strftime('%Y-%m-%dT%H:%M:%fZ',
                CASE WHEN e.status IN ('ignored', 'duplicate', 'rejected') THEN e.received_at ELSE e.processed_at END / 1000.0,
                'unixepoch')
FROM events e
LEFT JOIN event_bodies b ON b.event_seq = e.seq;
