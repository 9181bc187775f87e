-- What is so of the project and of its jobs, since when, and why; written by whoever watches.
CREATE TABLE conditions (
  job TEXT NOT NULL,      -- an address; '': the whole project
  type TEXT NOT NULL,
  status TEXT NOT NULL,   -- 'True', 'False' or 'Unknown'
  reason TEXT NOT NULL,   -- a word for programs
  message TEXT NOT NULL,  -- a sentence for people
  since REAL NOT NULL,    -- when the status became what it is
  PRIMARY KEY (job, type)
) STRICT;

-- Jobs somebody agreed to last before their rows could be known: what answers make of them is agreed.
CREATE TABLE awaited (
  address TEXT PRIMARY KEY,
  contract BLOB NOT NULL,   -- SHA-256, as in contracts
  policy BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The span of OpenTelemetry in which a batch was put together, as a `traceparent` of W3C; null where
-- nothing was traced. A batch outlives processes, and its span belongs to the round that made it.
ALTER TABLE batches ADD COLUMN traceparent TEXT;

-- The plans of the last hour are looked up among all events.
CREATE INDEX journal_granted ON journal (at) WHERE kind = 'PlanGranted';

-- Up to where the hooks of a job were told of final items, in the order of `settled`, conversation
-- and item; and what of it came to nothing.
CREATE TABLE hooks (
  job TEXT NOT NULL,              -- an address
  kind TEXT NOT NULL,             -- 'item', 'job' or 'error'
  settled INTEGER NOT NULL,
  conversation INTEGER NOT NULL,
  item INTEGER NOT NULL,
  given_up INTEGER NOT NULL DEFAULT 0,
  error TEXT,                     -- the last one, and since when it was not followed by a success
  error_at REAL,
  PRIMARY KEY (job, kind)
) STRICT, WITHOUT ROWID;

-- What hooks are still to be told although they are told of what comes after it: what failed once,
-- and errors.
CREATE TABLE deliveries (
  id INTEGER PRIMARY KEY,
  job TEXT NOT NULL,
  kind TEXT NOT NULL,
  item INTEGER,                   -- of an item, unless it is gone by then
  settled INTEGER NOT NULL,
  payload TEXT,                   -- of anything else: JSON
  attempts INTEGER NOT NULL,
  next_at REAL NOT NULL
) STRICT;
CREATE INDEX deliveries_job ON deliveries (job, next_at);

-- The watcher whose engine holds the lease: who is told to stop, and since when it watches.
ALTER TABLE lease ADD COLUMN watcher INTEGER;
ALTER TABLE lease ADD COLUMN watching_since REAL;
