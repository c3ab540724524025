-- Conversations: what people said, what was answered, what was proposed; rules that keep notices quiet. Times are
-- milliseconds since 1970, UTC.

-- One per chat and thread.
CREATE TABLE chat_sessions (
    seq             INTEGER PRIMARY KEY,
    chat            TEXT    NOT NULL UNIQUE,
    started_at      INTEGER NOT NULL,
    summary         TEXT,                        -- what was said in the messages up to summary_to
    summary_to      INTEGER NOT NULL DEFAULT 0,  -- seq of a message
    summary_tainted INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Something that was said, or the end of something that was proposed, and its answer.
CREATE TABLE chat_turns (
    seq         INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL UNIQUE,
    session_seq INTEGER NOT NULL,
    key         TEXT    NOT NULL UNIQUE,     -- the same words that arrive twice are one turn
    kind        TEXT    NOT NULL,            -- said, outcome
    person      TEXT    NOT NULL,
    text        TEXT    NOT NULL,
    about       TEXT    NOT NULL,            -- JSON: events of the notice that it answers
    reply_to    INTEGER,
    state       TEXT    NOT NULL,            -- waiting, working, answered, done, cancelled
    attempts    INTEGER NOT NULL DEFAULT 0,
    answer      TEXT,
    links       TEXT    NOT NULL DEFAULT '[]',
    message_id  INTEGER,                     -- the message that shows the first part of the answer
    shown       INTEGER NOT NULL DEFAULT 0,  -- parts that are shown
    at          INTEGER NOT NULL,
    ended_at    INTEGER
) STRICT;

CREATE INDEX chat_turns_open ON chat_turns (session_seq, seq) WHERE state IN ('waiting', 'working', 'answered');
CREATE INDEX chat_turns_at ON chat_turns (at);

-- The history as a model is given it.
CREATE TABLE chat_messages (
    seq         INTEGER PRIMARY KEY,
    session_seq INTEGER NOT NULL,
    turn_seq    INTEGER NOT NULL,
    body        TEXT    NOT NULL,            -- JSON
    tainted     INTEGER NOT NULL,
    at          INTEGER NOT NULL
) STRICT;

CREATE INDEX chat_messages_of ON chat_messages (session_seq, seq);
CREATE INDEX chat_messages_at ON chat_messages (at);

-- Runs that a conversation proposed.
CREATE TABLE chat_actions (
    run_id      TEXT    PRIMARY KEY,
    session_seq INTEGER NOT NULL,
    turn_seq    INTEGER NOT NULL,
    tool        TEXT    NOT NULL,
    told        INTEGER NOT NULL DEFAULT 0,  -- 1: the conversation knows how it ended
    at          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX chat_actions_untold ON chat_actions (run_id) WHERE told = 0;
CREATE INDEX chat_actions_turn ON chat_actions (turn_seq);

-- Notices of events that match one are kept as `muted` and not sent.
CREATE TABLE mutes (
    id       INTEGER PRIMARY KEY,
    handler  TEXT,
    event    TEXT,                           -- covers its actions
    words    TEXT,                           -- stand in the title
    until_at INTEGER,
    made_by  TEXT    NOT NULL,
    made_at  INTEGER NOT NULL,
    matched  INTEGER NOT NULL DEFAULT 0,
    last_at  INTEGER
) STRICT;

CREATE INDEX notices_messages ON notices (chat, message_id) WHERE message_id IS NOT NULL;
CREATE INDEX notices_muted ON notices (created_at) WHERE state = 'muted';

ALTER TABLE memories ADD COLUMN tainted INTEGER NOT NULL DEFAULT 0;
