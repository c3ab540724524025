-- Workflows: definitions, runs, steps, approvals, waits for events, memory. Times are milliseconds since 1970, UTC.

-- What runs are pinned to.
CREATE TABLE definitions (
    hash     TEXT PRIMARY KEY,
    workflow TEXT    NOT NULL,
    source   TEXT    NOT NULL,
    kept_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Narrow, because it is rewritten as the run moves on. seq is the order of start.
CREATE TABLE runs (
    seq           INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    workflow      TEXT    NOT NULL,
    workflow_hash TEXT    NOT NULL,
    event_id      TEXT,                        -- outlives the event
    source        TEXT    NOT NULL,
    started_by    TEXT    NOT NULL,
    parent_seq    INTEGER,
    parent_step   TEXT,
    depth         INTEGER NOT NULL,
    chat          TEXT,
    state         TEXT    NOT NULL,
    reason        TEXT,
    slot_key      TEXT,                        -- runs of one workflow with one key
    slot_limit    INTEGER,                     -- so many of them work side by side
    queued        INTEGER NOT NULL,            -- 1: waits for its turn among them
    started_at    INTEGER NOT NULL,
    ended_at      INTEGER,
    deadline_at   INTEGER,
    due_at        INTEGER,                     -- when somebody must look at it; while leased, the end of the lease
    leased        INTEGER NOT NULL DEFAULT 0,
    epoch         INTEGER NOT NULL DEFAULT 0,
    disturbed     INTEGER NOT NULL DEFAULT 0,  -- something changed while it was leased
    cancelled_by  TEXT                         -- who wants it to end
) STRICT;

-- One event starts a workflow once; the child of a step is started once.
CREATE UNIQUE INDEX runs_once ON runs (event_id, workflow) WHERE event_id IS NOT NULL;
CREATE UNIQUE INDEX runs_children ON runs (parent_seq, parent_step) WHERE parent_seq IS NOT NULL;
CREATE INDEX runs_due ON runs (due_at, seq) WHERE due_at IS NOT NULL;
CREATE INDEX runs_slots ON runs (workflow, slot_key, queued, seq) WHERE slot_key IS NOT NULL AND ended_at IS NULL;
CREATE INDEX runs_by_state ON runs (state, seq);
CREATE INDEX runs_by_workflow ON runs (workflow, seq);
CREATE INDEX runs_ended ON runs (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE run_contexts (
    run_seq INTEGER PRIMARY KEY,
    context TEXT NOT NULL      -- JSON: payload, event, facts, inputs
) STRICT;

CREATE TABLE run_steps (
    run_seq     INTEGER NOT NULL,
    key         TEXT    NOT NULL,
    pos         INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    tool        TEXT,
    kind        TEXT    NOT NULL,
    state       TEXT    NOT NULL,
    attempt     INTEGER NOT NULL,
    effect      TEXT,
    output      TEXT,          -- JSON
    truncated   INTEGER NOT NULL,
    tainted     INTEGER NOT NULL,
    error       TEXT,
    approval_id TEXT,
    revision    INTEGER NOT NULL,
    started_at  INTEGER,
    ended_at    INTEGER,
    due_at      INTEGER,
    epoch       INTEGER NOT NULL,
    PRIMARY KEY (run_seq, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE approvals (
    seq          INTEGER PRIMARY KEY,
    id           TEXT    NOT NULL UNIQUE,
    run_seq      INTEGER NOT NULL,
    step_key     TEXT    NOT NULL,
    kind         TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    action       TEXT    NOT NULL,             -- JSON
    digest       TEXT    NOT NULL,
    approvers    TEXT    NOT NULL,             -- JSON: groups; empty for every allowed user
    votes_needed INTEGER NOT NULL,
    note         TEXT,
    requested_at INTEGER NOT NULL,
    expires_at   INTEGER,
    remind_every INTEGER,
    remind_at    INTEGER,
    reminders    INTEGER NOT NULL DEFAULT 0,
    wake_at      INTEGER,                      -- the earlier of expires_at and remind_at, while pending
    closed_at    INTEGER,
    reason       TEXT,
    card_version INTEGER NOT NULL DEFAULT 1,   -- raised by whatever its card must show
    card_shown   INTEGER NOT NULL DEFAULT 0,   -- the version that it shows
    card_at      INTEGER NOT NULL,             -- when it was last raised
    card_anew    INTEGER NOT NULL DEFAULT 0    -- 1: send it anew instead of changing it
) STRICT;

CREATE INDEX approvals_run ON approvals (run_seq);
CREATE INDEX approvals_state ON approvals (state, seq);
CREATE INDEX approvals_wake ON approvals (wake_at) WHERE wake_at IS NOT NULL;
-- Decided ones first: who tapped sees it, however many questions wait to be put.
CREATE INDEX approvals_cards ON approvals ((state = 'pending'), card_at, seq) WHERE card_version > card_shown;

CREATE TABLE approval_votes (
    approval_seq INTEGER NOT NULL,
    voter        TEXT    NOT NULL,
    channel      TEXT    NOT NULL,
    verdict      TEXT    NOT NULL,
    reason       TEXT,
    at           INTEGER NOT NULL,
    PRIMARY KEY (approval_seq, voter)
) STRICT, WITHOUT ROWID;

-- Buttons, as SHA-256 of their nonces.
CREATE TABLE approval_nonces (
    hash         BLOB    PRIMARY KEY,
    approval_seq INTEGER NOT NULL,
    purpose      TEXT    NOT NULL,
    made_at      INTEGER NOT NULL,
    used_at      INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX approval_nonces_of ON approval_nonces (approval_seq, made_at);

-- Messages that are cards.
CREATE TABLE approval_cards (
    seq          INTEGER PRIMARY KEY,
    approval_seq INTEGER NOT NULL,
    chat         TEXT    NOT NULL,
    message_id   INTEGER,
    sent_at      INTEGER NOT NULL
) STRICT;

CREATE INDEX approval_cards_of ON approval_cards (approval_seq);
CREATE INDEX approval_cards_at ON approval_cards (chat, message_id);

CREATE TABLE event_waits (
    seq        INTEGER PRIMARY KEY,
    run_seq    INTEGER NOT NULL,
    step_key   TEXT    NOT NULL,
    handler    TEXT    NOT NULL,
    events     TEXT    NOT NULL,     -- JSON; empty for every type
    condition  TEXT,
    expires_at INTEGER,
    state      TEXT    NOT NULL,     -- waiting, came, expired
    output     TEXT,                 -- JSON
    event_id   TEXT,
    UNIQUE (run_seq, step_key)
) STRICT;

CREATE INDEX event_waits_handler ON event_waits (handler) WHERE state = 'waiting';
CREATE INDEX event_waits_expire ON event_waits (expires_at) WHERE state = 'waiting' AND expires_at IS NOT NULL;
-- One event ends one wait of a run.
CREATE UNIQUE INDEX event_waits_once ON event_waits (run_seq, event_id) WHERE event_id IS NOT NULL;

CREATE TABLE memories (
    id      INTEGER PRIMARY KEY,
    section TEXT    NOT NULL,
    fact    TEXT    NOT NULL,
    key     TEXT UNIQUE,
    at      INTEGER NOT NULL
) STRICT;

CREATE INDEX memories_section ON memories (section, id);

-- Its rowid is the memory's id.
CREATE VIRTUAL TABLE memories_text USING fts5 (section, fact, content = 'memories', content_rowid = 'id',
                                               tokenize = 'unicode61 remove_diacritics 2');
