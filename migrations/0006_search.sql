-- The search index: a file of its own beside the ledger, made of it and made anew when it is missing or of another version.
-- Nothing in it is the truth about anything, so it is written without waiting for the disk.

-- How far the ledger's events are indexed ('seq'), and from where on ('floor').
CREATE TABLE marks (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Words of events, in lower case, separated by spaces; the rowid is the event's seq. 'ascii' leaves everything beyond ASCII
-- alone: what is a word was decided before.
CREATE VIRTUAL TABLE words USING fts5 (text, content = '', contentless_delete = 1, detail = 'none', tokenize = 'ascii');

-- Events by handler ('h:github') and by event type with everything it is part of ('e:pull_request.opened', 'e:pull_request').
CREATE TABLE postings (
    term TEXT    NOT NULL,
    seq  INTEGER NOT NULL,
    PRIMARY KEY (term, seq)
) STRICT, WITHOUT ROWID;

-- Requests by the minute of their receipt.
CREATE TABLE minutes (
    at      INTEGER NOT NULL,     -- milliseconds since 1970
    handler TEXT    NOT NULL,
    outcome TEXT    NOT NULL,
    count   INTEGER NOT NULL,
    PRIMARY KEY (at, handler, outcome)
) STRICT, WITHOUT ROWID;

-- Events whose words are to come when they are settled and have a title.
CREATE TABLE unsettled (seq INTEGER PRIMARY KEY) STRICT;

-- Refusals, which the ledger forgets one by one.
CREATE TABLE refused (seq INTEGER PRIMARY KEY) STRICT;
