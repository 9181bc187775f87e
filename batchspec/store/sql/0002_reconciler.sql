-- What the reconciler has to remember to do each paid or irreversible thing once.

ALTER TABLE batches ADD COLUMN uploads INTEGER NOT NULL DEFAULT 0;  -- uploads begun
ALTER TABLE batches ADD COLUMN cancel_at REAL;       -- since when it is to be cancelled
ALTER TABLE batches ADD COLUMN cancel_reason TEXT;   -- unwanted, requested or double
ALTER TABLE batches ADD COLUMN cancelled_at REAL;    -- when the provider took the cancellation
ALTER TABLE batches ADD COLUMN double_of TEXT;       -- another batch with the same members; never read
ALTER TABLE batches ADD COLUMN account TEXT;         -- whose it is: where, and a hash of the key
ALTER TABLE batches ADD COLUMN via TEXT NOT NULL DEFAULT 'batch';  -- or 'live': asked one by one
ALTER TABLE batches ADD COLUMN imported INTEGER NOT NULL DEFAULT 0; -- made by hand and adopted
ALTER TABLE batches ADD COLUMN tidied_at REAL;       -- when its input file was deleted at the provider
ALTER TABLE batches ADD COLUMN purged_at REAL;       -- when its result files were deleted there
ALTER TABLE batches ADD COLUMN unread INTEGER NOT NULL DEFAULT 0; -- collected, not all results read
-- Input files of batches that are done with and still at the provider.
CREATE INDEX batches_untidy ON batches (number)
  WHERE phase IN ('collected', 'rejected', 'lost') AND tidied_at IS NULL
    AND (input_file_id IS NOT NULL OR uploads > 0);

-- Members of a batch somebody else made have the custom_ids that person gave them.
CREATE TABLE foreign_ids (
  batch INTEGER NOT NULL REFERENCES batches (number),
  custom_id TEXT NOT NULL,
  conversation INTEGER NOT NULL REFERENCES conversations (id),
  line INTEGER NOT NULL,  -- of its input file, from 1; not every line is a member
  PRIMARY KEY (batch, custom_id)
) STRICT, WITHOUT ROWID;

-- The account each provider was last used with.
CREATE TABLE accounts (
  provider TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  since REAL NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE conversations ADD COLUMN ready_at REAL NOT NULL DEFAULT 0;      -- not sent before
ALTER TABLE conversations ADD COLUMN stopped INTEGER NOT NULL DEFAULT 0;    -- cancelled by a person
CREATE INDEX conversations_stopped ON conversations (id) WHERE stopped = 1;
ALTER TABLE conversations ADD COLUMN resumable INTEGER NOT NULL DEFAULT 0;  -- goes on at its turn
CREATE INDEX conversations_later ON conversations (lane, ready_at)
  WHERE phase = 'pending' AND ready_at > 0;

-- A person wants another answer than those of the first `tainted - 1` tries, until one is accepted;
-- 0: nobody does.
ALTER TABLE conversations ADD COLUMN tainted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversations ADD COLUMN scope TEXT;  -- in its fingerprint: keeps equal requests apart
ALTER TABLE jobs ADD COLUMN protect INTEGER NOT NULL DEFAULT 0;   -- remembered when the spec is gone
ALTER TABLE lanes ADD COLUMN max_bytes INTEGER;                   -- learned: larger files are refused
ALTER TABLE lanes ADD COLUMN proven INTEGER NOT NULL DEFAULT 0;   -- its model answered before
ALTER TABLE lanes ADD COLUMN hold_kind TEXT;                      -- 'full': until a batch of it ends

-- Since which serial of the state an answer is what it is: what is made of answers as they come in
-- reads on from the serial up to which it has read.
ALTER TABLE conversations ADD COLUMN settled INTEGER NOT NULL DEFAULT 0;
CREATE INDEX conversations_settled ON conversations (settled) WHERE settled > 0;

-- The jobs whose answers a job's rows are made of, so that what is missing can be told without specs.
CREATE TABLE sources (
  job INTEGER NOT NULL REFERENCES jobs (id),
  upstream INTEGER NOT NULL REFERENCES jobs (id),
  collects INTEGER NOT NULL,           -- whether all answers make one row
  picks INTEGER NOT NULL,              -- whether a function of the spec takes some of them
  seen INTEGER NOT NULL DEFAULT 0,     -- serial at which it was asked about all of them
  PRIMARY KEY (job, upstream)
) STRICT, WITHOUT ROWID;

-- Answers wanted to one request beside the first: the number is in the fingerprint.
ALTER TABLE conversations ADD COLUMN sample INTEGER NOT NULL DEFAULT 0;

-- Answers of pure tools, for equal calls.
CREATE TABLE memo (
  key BLOB PRIMARY KEY,   -- SHA-256 of the tool's name, its code and the arguments
  tool TEXT NOT NULL,
  result TEXT NOT NULL,
  size INTEGER NOT NULL,  -- bytes of the result
  used_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX memo_used ON memo (used_at, size);

-- Of the answer before it was sent anew (`kept`): where its accepted text is, and how often the model
-- was asked again before it. Neither can be read off the reply.
ALTER TABLE conversations ADD COLUMN kept_answer INTEGER;
ALTER TABLE conversations ADD COLUMN kept_retries INTEGER NOT NULL DEFAULT 0;

-- The mean grade of a job, for `status`: grading anew would read every answer.
ALTER TABLE jobs ADD COLUMN grade TEXT;                         -- JSON: mean, items, low, high
ALTER TABLE jobs ADD COLUMN graded INTEGER NOT NULL DEFAULT 0;  -- serial of the answers it is of

-- Images and documents: bytes of lines that are no prompt, for estimates. Negative where an image is
-- named by a URL.
ALTER TABLE conversations ADD COLUMN data INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN data INTEGER NOT NULL DEFAULT 0;

-- Which of a conversation's answers a turn and a tool call belong to: the tries it had had when that
-- answer was asked for. Its own `since` is that of the answer it has or waits for; all others are of
-- answers that were replaced, or given up.
ALTER TABLE conversations ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE turns ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tool_calls RENAME TO tool_calls_1;
CREATE TABLE tool_calls (
  conversation INTEGER NOT NULL REFERENCES conversations (id),
  since INTEGER NOT NULL DEFAULT 0,
  turn INTEGER NOT NULL,
  position INTEGER NOT NULL,
  call_id TEXT NOT NULL,
  name TEXT NOT NULL,
  arguments TEXT NOT NULL,
  status TEXT NOT NULL DEFAULT 'waiting',      -- waiting, running, done, failed
  result TEXT,
  attempts INTEGER NOT NULL DEFAULT 0,
  seconds REAL,
  started_at REAL,                             -- when it began last
  reused INTEGER NOT NULL DEFAULT 0,           -- its answer is that of an equal call before it
  wrong INTEGER NOT NULL DEFAULT 0,            -- to be called in another way
  PRIMARY KEY (conversation, since, turn, position)
) STRICT, WITHOUT ROWID;
INSERT INTO tool_calls
  (conversation, turn, position, call_id, name, arguments, status, result, attempts, seconds)
SELECT conversation, turn, position, call_id, name, arguments, status, result, attempts, seconds
FROM tool_calls_1;
DROP TABLE tool_calls_1;
