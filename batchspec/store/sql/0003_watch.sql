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

-- The plans of the last hour are looked up among all events.
CREATE INDEX journal_granted ON journal (at) WHERE kind = 'PlanGranted';
