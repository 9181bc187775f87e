"""The numbered behaviours that clients of such a service have to stand."""

from typing import Literal, NamedTuple

Group = Literal[
    "transport", "files", "validation", "progress", "endings", "lines", "answers", "list",
    "webhooks", "process",
]  # fmt: skip


class Behaviour(NamedTuple):
    """One of them, and what shows it when no fault is asked for."""

    number: int
    group: Group
    what: str
    natural: bool = False
    """Whether the server shows it by itself, as the real service does."""


BEHAVIOURS = (
    Behaviour(1, "transport", "a connection refused or reset before the request is read"),
    Behaviour(2, "transport", "a reset after upload, create or cancel took effect"),
    Behaviour(3, "transport", "no answer in time, before or after the effect"),
    Behaviour(4, "transport", "500, 502, 503, 504 as JSON, as text, as a page"),
    Behaviour(5, "transport", "429 with every form of Retry-After, and a huge one"),
    Behaviour(6, "transport", "401 and 403"),
    Behaviour(7, "transport", "downloads slow, cut, compressed, or of another length"),
    Behaviour(8, "files", "uploads refused: extension, empty, too large, quota", natural=True),
    Behaviour(9, "files", "a new file that cannot be found for a while"),
    Behaviour(10, "files", "a list of files that lags"),
    Behaviour(11, "files", "content gone after expiry or delete", natural=True),
    Behaviour(12, "validation", "every validation error, many at once", natural=True),
    Behaviour(13, "validation", "an input file that is there and cannot be found"),
    Behaviour(14, "validation", "a full queue of the model", natural=True),
    Behaviour(15, "validation", "long validating"),
    Behaviour(16, "validation", "the hourly limit of creates", natural=True),
    Behaviour(17, "progress", "counts that lag, go backwards, are null"),
    Behaviour(18, "progress", "stuck in progress beyond the window"),
    Behaviour(19, "progress", "long finalizing"),
    Behaviour(20, "progress", "an unknown status"),
    Behaviour(21, "progress", "unknown fields, absent fields"),
    Behaviour(22, "progress", "a read that goes backwards"),
    Behaviour(23, "endings", "expired, with lines that say so", natural=True),
    Behaviour(24, "endings", "expired or cancelled, with lines missing"),
    Behaviour(25, "endings", "a cancel that loses the race"),
    Behaviour(26, "endings", "409 on cancel", natural=True),
    Behaviour(27, "endings", "a cancel that takes 25 minutes"),
    Behaviour(28, "endings", "completed without an output file", natural=True),
    Behaviour(29, "endings", "no errors: null, empty text, an empty file", natural=True),
    Behaviour(30, "endings", "file ids that come after the end"),
    Behaviour(31, "endings", "failed after it was in progress"),
    Behaviour(32, "lines", "lines shuffled, doubled, missing, of unknown or no custom_id"),
    Behaviour(33, "lines", "lines with 400, 404, 408, 429, 500, 503"),
    Behaviour(34, "lines", "status 0"),
    Behaviour(35, "lines", "200 with an empty body or an error"),
    Behaviour(
        36, "lines", "broken JSON and UTF-8, BOM, CRLF, U+2028, blank lines, no last newline"
    ),
    Behaviour(37, "lines", "a request that timed out"),
    Behaviour(38, "lines", "an HTTP error in the output file"),
    Behaviour(39, "lines", "a body as text"),
    Behaviour(40, "answers", "odd tool calls"),
    Behaviour(41, "answers", "a refusal"),
    Behaviour(42, "answers", "cut, filtered, incomplete or failed inside a 200"),
    Behaviour(43, "answers", "against the schema, fenced, beside a tool call, empty"),
    Behaviour(44, "answers", "reasoning items, and follow-ups that lack them", natural=True),
    Behaviour(45, "answers", "a schema that is refused", natural=True),
    Behaviour(46, "list", "batches that appear between two pages", natural=True),
    Behaviour(47, "list", "a new batch that is not listed yet"),
    Behaviour(48, "list", "batches of others in between"),
    Behaviour(49, "list", "bounds of the limit, short pages", natural=True),
    Behaviour(50, "webhooks", "doubled, late, reordered, badly signed, stale, lost"),
    Behaviour(51, "process", "a server that is killed and goes on", natural=True),
)
