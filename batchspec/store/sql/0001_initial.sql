-- Rows are the truth; the journal is an audit trail, never replayed. Times are unix seconds.

CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE lease (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  holder TEXT,
  host TEXT,
  pid INTEGER,
  operation TEXT,
  since REAL,
  heartbeat REAL,
  fence INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO lease (one, fence) VALUES (1, 0);

CREATE TABLE journal (
  seq INTEGER PRIMARY KEY,
  at REAL NOT NULL,
  kind TEXT NOT NULL,
  payload TEXT NOT NULL
) STRICT;

-- One row per segment file; the file is artifacts/<id>.jsonl.zst.
CREATE TABLE artifacts (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  records INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,
  created REAL NOT NULL
) STRICT;

CREATE TABLE lanes (
  id INTEGER PRIMARY KEY,
  provider TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  model TEXT NOT NULL,
  hold_until REAL NOT NULL DEFAULT 0,
  hold_reason TEXT,
  holds INTEGER NOT NULL DEFAULT 0,
  UNIQUE (provider, endpoint, model)
) STRICT;

CREATE TABLE contracts (
  id INTEGER PRIMARY KEY,
  fingerprint BLOB NOT NULL UNIQUE,
  lane INTEGER NOT NULL REFERENCES lanes (id),
  body TEXT NOT NULL
) STRICT;

CREATE TABLE jobs (
  id INTEGER PRIMARY KEY,
  address TEXT NOT NULL UNIQUE,
  contract INTEGER NOT NULL REFERENCES contracts (id),
  policy BLOB NOT NULL,        -- what runs on this machine, as agreed to
  judged BLOB NOT NULL,        -- the policy its replies were judged by
  upstream TEXT,               -- fingerprint of the answers a derived job was expanded from
  removed INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE conversations (
  id INTEGER PRIMARY KEY,
  fingerprint BLOB NOT NULL UNIQUE,
  contract INTEGER NOT NULL REFERENCES contracts (id),
  lane INTEGER NOT NULL REFERENCES lanes (id),
  job INTEGER NOT NULL REFERENCES jobs (id),  -- whose tools and validators serve it
  phase TEXT NOT NULL,
  turn INTEGER NOT NULL DEFAULT 1,
  tries INTEGER NOT NULL DEFAULT 0,           -- batches that carried any turn of it; only grows
  attempts INTEGER NOT NULL DEFAULT 0,        -- failed attempts of this turn
  output_retries INTEGER NOT NULL DEFAULT 0,
  batch INTEGER REFERENCES batches (number),
  request INTEGER NOT NULL,                   -- where the messages of the turn are
  size INTEGER NOT NULL,                      -- bytes of its line in an input file
  reply INTEGER,                              -- where the last reply line is
  answer INTEGER,                             -- where the text of an accepted reply is, ready to read
  kept INTEGER,                               -- the answer before it was sent anew, until the new one is in
  outcome TEXT,
  reason TEXT,
  input_tokens INTEGER NOT NULL DEFAULT 0,
  cached_tokens INTEGER NOT NULL DEFAULT 0,
  output_tokens INTEGER NOT NULL DEFAULT 0,
  reasoning_tokens INTEGER NOT NULL DEFAULT 0,
  cost REAL DEFAULT 0                         -- US dollars; NULL: a price is unknown
) STRICT;
CREATE INDEX conversations_pending ON conversations (lane, id) WHERE phase = 'pending';
CREATE INDEX conversations_tools ON conversations (lane, job, id) WHERE phase = 'tools';
CREATE INDEX conversations_batch ON conversations (batch) WHERE batch IS NOT NULL;

CREATE TABLE items (
  id INTEGER PRIMARY KEY,
  job INTEGER NOT NULL REFERENCES jobs (id),
  key TEXT NOT NULL,
  conversation INTEGER NOT NULL REFERENCES conversations (id),
  previous INTEGER REFERENCES conversations (id),  -- old answer, readable until the new one is in
  row INTEGER NOT NULL,                            -- where the row is
  digest INTEGER NOT NULL,                         -- of the row, to see that it changed
  UNIQUE (job, key)
) STRICT;
CREATE INDEX items_job ON items (job);
CREATE INDEX items_conversation ON items (conversation);

-- Replies that were followed by another: earlier turns, and attempts that were billed in vain.
-- The last reply is in its conversation, whose tokens and cost are those of all turns.
CREATE TABLE turns (
  conversation INTEGER NOT NULL REFERENCES conversations (id),
  try INTEGER NOT NULL,
  turn INTEGER NOT NULL,
  batch INTEGER NOT NULL,
  request INTEGER NOT NULL,
  reply INTEGER,
  input_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  reasoning_tokens INTEGER NOT NULL,
  cost REAL,
  PRIMARY KEY (conversation, try)
) STRICT, WITHOUT ROWID;

CREATE TABLE batches (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  lane INTEGER NOT NULL REFERENCES lanes (id),
  phase TEXT NOT NULL,
  members INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  jobs TEXT NOT NULL,
  intended_at REAL NOT NULL,
  input_file_id TEXT,
  create_at REAL,
  creates INTEGER NOT NULL DEFAULT 0,
  remote_id TEXT,
  status TEXT,
  total INTEGER NOT NULL DEFAULT 0,
  completed INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  submitted_at REAL,
  output_file_id TEXT,
  error_file_id TEXT,
  ended_at REAL,
  next_at REAL NOT NULL DEFAULT 0,
  failures INTEGER NOT NULL DEFAULT 0,
  note TEXT,
  looked_at REAL
) STRICT;
CREATE INDEX batches_open ON batches (number) WHERE phase IN ('intended', 'submitted', 'ended');

CREATE TABLE tool_calls (
  conversation INTEGER NOT NULL REFERENCES conversations (id),
  turn INTEGER NOT NULL,
  position INTEGER NOT NULL,
  call_id TEXT NOT NULL,
  name TEXT NOT NULL,
  arguments TEXT NOT NULL,
  status TEXT NOT NULL DEFAULT 'waiting',     -- waiting, running, done, failed
  result TEXT,
  attempts INTEGER NOT NULL DEFAULT 0,
  seconds REAL,
  PRIMARY KEY (conversation, turn, position)
) STRICT, WITHOUT ROWID;

-- Plans that were agreed to, each at most once.
CREATE TABLE plans (
  id TEXT PRIMARY KEY,
  agreed_at REAL NOT NULL,
  summary TEXT NOT NULL
) STRICT, WITHOUT ROWID;
