-- Calls of models and what they cost, and the sentences that models write beneath notices. Times are milliseconds since 1970, UTC.

-- One row per call, from before it is made. While it is open, tokens and cost are what it may take at most; a call whose process
-- died stays so, because nobody can know.
CREATE TABLE model_calls (
    seq        INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    ended_at   INTEGER,
    purpose    TEXT    NOT NULL,      -- summary, chat, step, draft, history
    model      TEXT    NOT NULL,      -- provider/name
    event_id   TEXT,
    run_id     TEXT,
    tokens_in  INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    micro_usd  INTEGER NOT NULL,
    outcome    TEXT    NOT NULL       -- open, done, or why nothing came
) STRICT;

CREATE INDEX model_calls_at ON model_calls (at, micro_usd);
CREATE INDEX model_calls_event ON model_calls (event_id) WHERE event_id IS NOT NULL;

-- Notices beneath which a model's sentences are wanted; made in the transaction that makes the notice.
CREATE TABLE notice_summaries (
    notice_seq INTEGER PRIMARY KEY,
    state      TEXT    NOT NULL,      -- wanted, ready (to be edited in), shown, stands (the template does)
    wanted_at  INTEGER NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    digest     TEXT,                  -- the title of the digest in which the notice went out
    text       TEXT,
    model      TEXT,
    reason     TEXT                   -- why the template stands
) STRICT;

CREATE INDEX notice_summaries_wanted ON notice_summaries (notice_seq) WHERE state = 'wanted';
CREATE INDEX notice_summaries_ready ON notice_summaries (notice_seq) WHERE state = 'ready';

-- The notices of one message.
CREATE INDEX notices_message ON notices (chat, message_id) WHERE message_id IS NOT NULL;
