-- Schedules, digests and what is still to be told to a collector of traces. Times are milliseconds since 1970, UTC.

-- What the clock starts: `workflow:<name>` and `digest`.
CREATE TABLE schedules (
    name      TEXT PRIMARY KEY,
    rule      TEXT    NOT NULL,     -- cron, time zone: another rule counts from when it was first seen
    since     INTEGER NOT NULL,     -- times before this are none of its
    fired_for INTEGER,              -- the last time that was dealt with; it only rises, so none is dealt with twice
    active    INTEGER NOT NULL      -- 0: not in use now (disabled, gone)
) STRICT, WITHOUT ROWID;

-- Digests that were told: each accounts for the events after those of the one before.
CREATE TABLE digests (
    fire_at  INTEGER PRIMARY KEY,
    told_at  INTEGER NOT NULL,
    upto_seq INTEGER NOT NULL,      -- the last event that it accounts for
    events   INTEGER NOT NULL
) STRICT;

-- Whether somebody collects traces; while nobody does, nothing is queued for them.
CREATE TABLE trace_state (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    enabled INTEGER NOT NULL
) STRICT;
INSERT INTO trace_state VALUES (1, 0);

-- What ended and is still to be told, in the order in which it ended.
CREATE TABLE trace_queue (
    seq  INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT    NOT NULL,          -- event, run, model
    ref  INTEGER NOT NULL           -- its seq
) STRICT;

CREATE TRIGGER trace_events AFTER UPDATE OF processed_at ON events
WHEN NEW.processed_at IS NOT NULL AND OLD.processed_at IS NULL AND (SELECT enabled FROM trace_state WHERE id = 1) = 1
BEGIN
    INSERT INTO trace_queue (kind, ref) VALUES ('event', NEW.seq);
END;

CREATE TRIGGER trace_runs AFTER UPDATE OF ended_at ON runs
WHEN NEW.ended_at IS NOT NULL AND OLD.ended_at IS NULL AND (SELECT enabled FROM trace_state WHERE id = 1) = 1
BEGIN
    INSERT INTO trace_queue (kind, ref) VALUES ('run', NEW.seq);
END;

CREATE TRIGGER trace_models AFTER UPDATE OF ended_at ON model_calls
WHEN NEW.ended_at IS NOT NULL AND OLD.ended_at IS NULL AND (SELECT enabled FROM trace_state WHERE id = 1) = 1
BEGIN
    INSERT INTO trace_queue (kind, ref) VALUES ('model', NEW.seq);
END;
