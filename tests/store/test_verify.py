"""Every rule about a sound state: broken by hand in a real one, and told in words."""

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from worlds import World

from batchspec.state.events import BatchIntended
from batchspec.store.browse import journal
from batchspec.store.reader import StateReader
from batchspec.store.rules import BODY_COLUMNS, RULES
from batchspec.store.sqlite import StateStore
from batchspec.store.verify import EVERY_RULE, verify

pytestmark = pytest.mark.damages_state

SPEC = """
@tool
def look(word: str) -> str:
    return word

j = Job(model='openai:gpt-5-mini', rows=rows.inline([{'id': 'a'}, {'id': 'b'}]),
    prompt='say {id}', tools=[look])
"""


def _answer(body: dict[str, Any]) -> Any:
    last = body["messages"][-1]
    if last["role"] == "tool" or "sing" in str(last["content"]):
        return "done"
    function = {"name": "look", "arguments": '{"word": "x"}'}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state with answers, tool calls, turns, and an open batch of another job."""
    world = World(tmp_path_factory.mktemp("sound"), model=_answer)
    world.spec(SPEC)
    world.apply()
    world.job("x", "y", name="n", prompt="'sing {id}'")
    world.apply(detach=True)
    world.close()
    return world.state


@pytest.fixture
def state(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "state"))


BROKEN = {
    "conversation 1 has an unknown outcome": (
        "UPDATE conversations SET outcome = 'banana' WHERE id = 1"
    ),
    "is cancelled for an unknown reason": (
        "UPDATE batches SET cancel_at = 1, cancel_reason = 'odd' WHERE phase = 'submitted'"
    ),
    "is open and does not say whose its members are": (
        "UPDATE batches SET jobs = '{}' WHERE phase = 'submitted'"
    ),
    "is open at an account, and its provider is bound to none": (
        "UPDATE batches SET account = 'mine' WHERE phase = 'submitted'; DELETE FROM accounts"
    ),
    "is on record and not in the journal": "DELETE FROM journal WHERE kind = 'BatchIntended'",
    "the index conversations_pending is gone": "DROP INDEX conversations_pending",
    "contract 1 cannot be read": "UPDATE contracts SET body = '{}' WHERE id = 1",
    "contract 1 is not what its fingerprint says": (
        "UPDATE contracts SET body = replace(body, 'look', 'peep') WHERE id = 1"
    ),
    "contract 1 is in the lane of another model": "UPDATE lanes SET model = 'gpt-4o'",
    "conversation 1 has another request than its fingerprint says": (
        "UPDATE conversations SET fingerprint = randomblob(32) WHERE id = 1"
    ),
    "conversation 3 has another request than its fingerprint says": (
        "UPDATE conversations SET request = (SELECT o.request FROM conversations o "
        "WHERE o.id = 4) WHERE id = 3"
    ),
    "conversation 2 has another request than its fingerprint says": (
        "UPDATE turns SET request = (SELECT o.request FROM turns o WHERE o.conversation = 1 "
        "AND o.turn = 1) WHERE conversation = 2 AND turn = 1"
    ),
    "conversation 4 has another request than its fingerprint says": (
        "UPDATE conversations SET scope = 'x' WHERE id = 4"
    ),
    "rows point at 2 bodies of the file 00000001.jsonl.zst, which has 0": (
        "UPDATE artifacts SET records = 0 WHERE id = 1"
    ),
    "rows point at 2 bodies of the file 00000001.jsonl.zst, which has 1": (
        "UPDATE artifacts SET records = 1 WHERE id = 1"
    ),
    "has no conversation": "UPDATE items SET conversation = 99 WHERE id = 1",
    "row 1 of items points at a row of conversations that is gone": (
        "UPDATE items SET conversation = 99 WHERE id = 1"
    ),
    "points at an old answer that was none": "UPDATE items SET previous = 3 WHERE id = 1",
    "conversation 1 is in an unknown phase": "UPDATE conversations SET phase = 'odd' WHERE id = 1",
    "conversation 1 is final without an outcome": (
        "UPDATE conversations SET outcome = NULL WHERE id = 1"
    ),
    "conversation 1 succeeded without a reply": (
        "UPDATE conversations SET reply = NULL WHERE id = 1"
    ),
    "conversation 3 is in a batch that is not open": (
        "UPDATE conversations SET batch = 1 WHERE id = 3"
    ),
    "is open and does not have the members it was made with": (
        "UPDATE batches SET members = 5 WHERE phase = 'submitted'"
    ),
    "is at the provider without an id of the provider": (
        "UPDATE batches SET remote_id = NULL WHERE number = 1"
    ),
    "is one batch of the provider recorded twice": "UPDATE batches SET remote_id = 'r'",
    "is open at another account than its provider is bound to": (
        "INSERT INTO accounts VALUES ('openai', 'other', 1); UPDATE batches SET account = 'mine'"
    ),
    "was imported, and a member of it has no line there": (
        "UPDATE batches SET imported = 1 WHERE phase = 'submitted'"
    ),
    "batch odd is in an unknown phase": (
        "UPDATE batches SET id = 'odd', phase = 'x' WHERE number = 1"
    ),
    "doubles another and has members of its own, or": (
        "UPDATE batches SET double_of = 'none' WHERE number = 1"
    ),
    "is to be cancelled without a reason": "UPDATE batches SET cancel_at = 1 WHERE number = 1",
    "has no input file any more and is not done with": (
        "UPDATE batches SET tidied_at = 1 WHERE phase = 'submitted'"
    ),
    "conversation 1 can go on at its turn, which it cannot": (
        "UPDATE conversations SET resumable = 1 WHERE id = 1"
    ),
    "conversation 1 waits for tools without a call": (
        "UPDATE conversations SET phase = 'tools', outcome = NULL, turn = 3 WHERE id = 1"
    ),
    "conversation 3 is in another lane than its contract": (
        "INSERT INTO lanes (id, provider, endpoint, model) VALUES (9, 'o', 'e', 'm'); "
        "UPDATE conversations SET lane = 9 WHERE id = 3"
    ),
    "conversation 3 is in a batch of another lane": (
        "INSERT INTO lanes (id, provider, endpoint, model) VALUES (9, 'o', 'e', 'm'); "
        "UPDATE conversations SET lane = 9 WHERE id = 3"
    ),
    "conversation 1 was tried less often than it was answered": (
        "UPDATE conversations SET tries = 0 WHERE id = 1"
    ),
    "conversation 1 cost less than its turns": (
        "UPDATE conversations SET input_tokens = 1 WHERE id = 1"
    ),
    "conversation 1 was paid less than its turns": (
        "UPDATE conversations SET cost = 0 WHERE id = 1; UPDATE turns SET cost = 1"
    ),
    "the state has no lineage": "DELETE FROM meta WHERE key = 'lineage'",
    "the state has no serial": "UPDATE meta SET value = 'x' WHERE key = 'serial'",
    "the file holds view odd, which no state has": "CREATE VIEW odd AS SELECT 1",
    "the state has no row for its lease": "DELETE FROM lease",
    "the lease is held by me, which does not say where it runs": (
        "UPDATE lease SET holder = 'me', host = NULL"
    ),
    "conversation 1 succeeded and has tool calls that were never run": (
        "UPDATE conversations SET turn = 1 WHERE id = 1; UPDATE tool_calls SET status = 'waiting'"
    ),
    "a tool call of conversation 1 is in an unknown state": (
        "UPDATE tool_calls SET status = 'odd' WHERE conversation = 1"
    ),
    "an answer kept of tool look is not of the size on record": (
        "INSERT INTO memo VALUES (randomblob(32), 'look', 'aé', 2, 1)"
    ),
    "conversation 1 has a cost or a number of tokens below zero": (
        "UPDATE conversations SET cost = -1 WHERE id = 1"
    ),
    "a turn of conversation 1 has a cost or a number of tokens below zero": (
        "UPDATE turns SET output_tokens = -1 WHERE conversation = 1"
    ),
    "conversation 1 is in a turn, or was tried": (
        "UPDATE conversations SET attempts = -1 WHERE id = 1"
    ),
    "has a number of members or bytes that cannot be": (
        "UPDATE batches SET bytes = -1 WHERE number = 1"
    ),
    "the batches cannot be read": "UPDATE batches SET jobs = '[]' WHERE number = 1",
    "ended, and nobody knows when": "UPDATE batches SET ended_at = NULL WHERE number = 1",
    "lost its result files before they were read": (
        "UPDATE batches SET purged_at = 1 WHERE phase = 'submitted'"
    ),
    "custom_id x belongs to a batch that was not imported": (
        "INSERT INTO foreign_ids VALUES (1, 'x', 1, 1)"
    ),
    "conversation 1 was asked for anew at a try, or has turns of one, that cannot be": (
        "UPDATE conversations SET since = tries + 1 WHERE id = 1"
    ),
    "a tool call of conversation 1 is of an answer without a turn": (
        "UPDATE tool_calls SET since = 1 WHERE conversation = 1"
    ),
    "conversation 1 is tainted for more tries than it had": (
        "UPDATE conversations SET tainted = tries + 2 WHERE id = 1"
    ),
    "job m.j was removed and has items": "UPDATE jobs SET removed = 1 WHERE address = 'm.j'",
    "is not what the journal says: phase is 'collected', the journal says 'ended'": (
        "DELETE FROM journal WHERE kind = 'BatchCollected'"
    ),
    "next_at is 5.0, the journal says": "UPDATE batches SET next_at = 5.0 WHERE number = 1",
    "the journal has a step that is not possible: BatchCollected does not fit phase 'submitted'": (
        "DELETE FROM journal WHERE kind = 'BatchObserved'"
    ),
    "is in the journal and not among the batches": "DELETE FROM batches WHERE number = 1",
    "the journal has 1 events of kind Odd that cannot be read": (
        "INSERT INTO journal (at, kind, payload) VALUES (1, 'Odd', '{}')"
    ),
    "the journal has 3 events of kind PlanAgreed that cannot be read": (
        "UPDATE journal SET payload = '{}' WHERE kind = 'PlanAgreed'"
    ),
    "the row of item 1 cannot be read": "UPDATE items SET row = 5 WHERE id = 1",
    "the request of conversation 1 cannot be read": "UPDATE conversations SET request = 5",
    "the reply of conversation 1 cannot be read": "UPDATE conversations SET reply = 5",
    "the answer of conversation 1 cannot be read": "UPDATE conversations SET answer = 5",
    "the old reply of conversation 1 cannot be read": "UPDATE conversations SET kept = 5",
    "the old answer of conversation 1 cannot be read": "UPDATE conversations SET kept_answer = 5",
    "the request of a turn of conversation 1 cannot be read": "UPDATE turns SET request = 5",
    "the reply of a turn of conversation 1 cannot be read": "UPDATE turns SET reply = 5",
}


def test_the_state_is_sound_before_it_is_broken(sound: Path) -> None:
    assert verify(sound) == []


@pytest.mark.parametrize("told", BROKEN)
def test_what_is_broken_is_told_in_words(state: Path, told: str) -> None:
    with closing(sqlite3.connect(state / "batchspec.db")) as db:
        db.executescript(BROKEN[told])
    assert any(told in sentence for sentence in verify(state)), verify(state)


def test_every_rule_is_broken_above() -> None:
    """A rule that no test breaks may find nothing at all."""
    told = [*RULES, *(f"the {name} cannot be read" for name in BODY_COLUMNS.values())]
    broken = " ".join(BROKEN)
    missing = [rule for rule in told if _heart(rule) not in broken]
    assert not missing


def _heart(rule: str) -> str:
    return max((part.strip()[:20] for part in rule.split("{}")), key=len)


_MANY = """
WITH RECURSIVE n (i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 99 + :rows)
"""
_FILL = (
    "UPDATE batches SET imported = 1 WHERE phase = 'submitted'",
    f"""{_MANY} INSERT INTO conversations
      (id, fingerprint, contract, lane, job, phase, batch, request, size)
    SELECT i, randomblob(32), c.contract, c.lane, c.job, 'batched', c.batch, c.request, c.size
    FROM n JOIN conversations c ON c.id = (SELECT MIN(id) FROM conversations
      WHERE phase = 'batched')""",
    f"""{_MANY} INSERT INTO items (job, key, conversation, row, digest)
    SELECT c.job, 'k' || i, c.id, c.request, 1 FROM n JOIN conversations c ON c.id = i""",
    f"""{_MANY} INSERT INTO foreign_ids (batch, custom_id, conversation, line)
    SELECT c.batch, 'k' || i, c.id, i FROM n JOIN conversations c ON c.id = i""",
    f"""{_MANY} INSERT INTO turns SELECT i, 1, 1, c.batch, c.request, NULL, 0, 0, 0, 0, 0, 0
    FROM n JOIN conversations c ON c.id = i""",
    f"""{_MANY} INSERT INTO memo SELECT randomblob(32), 'look', 'é', 2, i FROM n""",
    f"""{_MANY} INSERT INTO tool_calls (conversation, turn, position, call_id, name, arguments)
    SELECT i, 1, 1, 'c', 'look', '{{}}' FROM n""",
)


def _steps(state: Path, rows: int) -> dict[str, int]:
    """Return how many steps of SQLite's machine each rule takes, with so many rows more."""
    found: dict[str, int] = {}
    with closing(sqlite3.connect(state / "batchspec.db")) as db:
        for statement in _FILL:
            db.execute(statement, {"rows": rows} if ":rows" in statement else {})
        for told, sql in EVERY_RULE.items():
            steps: list[None] = []
            db.set_progress_handler(lambda steps=steps: steps.append(None), 10)  # type: ignore[misc]
            db.execute(sql).fetchall()
            found[told] = len(steps)
        db.set_progress_handler(None, 0)
    return found


def test_no_rule_takes_the_square_of_the_rows(state: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(state, tmp_path / "other"))
    few, many = _steps(state, 200), _steps(other, 1600)
    grown = {told: n / max(few[told], 100) for told, n in many.items()}
    assert not {told: times for told, times in grown.items() if times > 24}
    assert max(grown.values()) > 4  # the rows are looked at


def _segment(state: Path) -> Path:
    return min((state / "artifacts").iterdir())


def test_a_file_of_bodies_that_is_gone_is_told(state: Path) -> None:
    _segment(state).unlink()
    told = verify(state)
    assert f"the file {_segment(state).name} of bodies is gone" not in told
    assert any("of bodies is gone" in sentence for sentence in told)
    assert any("of item 1 cannot be read" in sentence for sentence in told)


def test_failure_24_a_file_of_bodies_that_is_torn_is_told(state: Path) -> None:
    path = _segment(state)
    path.write_bytes(path.read_bytes()[:-5])
    told = verify(state)
    assert any("bytes and should have" in sentence for sentence in told)
    assert any("cannot be read" in sentence for sentence in told)


def test_batches_of_an_older_schema_are_not_held_against_the_journal(state: Path) -> None:
    """Its events meant other things; what they tell is told all the same."""
    with closing(sqlite3.connect(state / "batchspec.db")) as db:
        db.executescript(
            "UPDATE journal SET payload = json_set(json_remove(payload, '$.parts', '$.via'), "
            "'$.first', 1, '$.last', 2) WHERE kind = 'BatchIntended'; "
            "UPDATE batches SET next_at = 5"
        )
    assert verify(state) == []
    with StateReader(state) as reader:
        events = [entry.event for entry in journal(reader) if entry.kind == "BatchIntended"]
    assert all(isinstance(event, BatchIntended) and event.members for event in events)


def test_a_file_that_rows_point_at_is_never_removed(state: Path) -> None:
    """Whoever takes the lease removes what a killed process left; a wrong record is not that."""
    left = state / "artifacts" / "00000099.jsonl.zst"
    left.write_bytes(b"half")
    files = set((state / "artifacts").iterdir()) - {left}
    with closing(sqlite3.connect(state / "batchspec.db")) as db:
        db.executescript("UPDATE artifacts SET records = 0")
    with closing(StateStore(state, time.time)) as store:
        store.acquire("me", "test")
        store.release()
    assert set((state / "artifacts").iterdir()) == files


def test_requests_of_a_state_fingerprinted_anew_are_taken_as_they_are(state: Path) -> None:
    """Those that became equal keep what they had."""
    with closing(sqlite3.connect(state / "batchspec.db")) as db:
        db.executescript(
            "UPDATE meta SET value = 2 WHERE key = 'fingerprints'; "
            "UPDATE conversations SET fingerprint = randomblob(32)"
        )
    assert verify(state) == []


def test_a_file_that_no_row_knows_is_no_harm(state: Path) -> None:
    """A killed process leaves one; the next that writes removes it."""
    (state / "artifacts" / "00000099.jsonl.zst").write_bytes(b"half")
    assert verify(state) == []
