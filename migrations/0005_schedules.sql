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
