"""What a project should say at a moment: its files, and the answers its rows must have in the end.

The model of the soak (`answers.py` in the project) says back what it was asked, so that each answer
shows which request it is for.
"""

import json
from dataclasses import dataclass, field
from random import Random

ANSWERS = """
import json


def answer(body):
    messages = body["messages"]
    asked = [said["content"] for said in messages if said["role"] == "user"][-1]
    if body.get("tools") and messages[-1]["role"] != "tool":
        arguments = json.dumps({"word": asked.split()[1]})
        call = {"name": "look_up", "arguments": arguments}
        return {"tool_calls": [{"id": "call_1", "type": "function", "function": call}]}
    said = f"re: {asked}"
    return {"said": said} if body.get("response_format") else said
"""
_WORDS = """
from shared import PROMPT
from batchspec import Job, rows

say = Job(model="openai:gpt-5-mini", rows=rows.jsonl("data/rows.jsonl"), prompt=PROMPT)
again = Job(model="openai:gpt-5-mini", rows=rows.outputs_of(say), prompt="again{again} {{output}}")
"""
_DESK = """
from pydantic import BaseModel
from batchspec import Job, rows, tool


class Triage(BaseModel):
    said: str


@tool
def look_up(word: str) -> str:
    return word[::-1]


triage = Job(
    model="openai:gpt-5-mini",
    rows=rows.csv("data/current/tickets.csv", key="id"),
    prompt="ticket{triage} {{id}} {{text}}",
    output=Triage,
    tools=[look_up],
)
"""
_NOTES = """
from batchspec import Job, rows

note = Job(
    model="openai:gpt-5-mini", rows=rows.files("notes/*.txt"), prompt="note{note} {{name}} {{text}}"
)
"""
SHARED, ROWS, TICKETS = "shared.py", "data/rows.jsonl", "data/current/tickets.csv"
SPECS = {"specs/words.py": _WORDS, "specs/desk.py": _DESK, "specs/notes.py": _NOTES}
_JOBS = ("say", "again", "triage", "note")
_LONGEST = 40
"""Rows of a job; the oldest of more go."""


@dataclass
class Wanted:
    """What people want at a moment.

    Attributes:
        wordings: How often the prompt of each job was changed.
        rows: What each row of each source says, by key.
    """

    wordings: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_JOBS, 0))
    rows: dict[str, dict[str, int]] = field(
        default_factory=lambda: {name: {} for name in ("say", "triage", "note")}
    )
    _last: int = 0

    # --- what people change

    def grow(self, source: str, count: int = 1) -> None:
        """Add rows."""
        for _ in range(count):
            self._last += 1
            self.rows[source][f"{source[0]}{self._last}"] = self._last
        for key in list(self.rows[source])[:-_LONGEST]:
            del self.rows[source][key]

    def change(self, source: str, random: Random) -> None:
        """Let a row say something else."""
        self._last += 1
        self.rows[source][random.choice(list(self.rows[source]))] = self._last

    def drop(self, source: str, random: Random) -> None:
        """Let a row be gone, unless few are left."""
        if len(self.rows[source]) > 2:
            del self.rows[source][random.choice(list(self.rows[source]))]

    def reword(self, job: str, random: Random) -> None:
        """Change the prompt of a job, now and then to one it had before."""
        self.wordings[job] = random.randrange(self.wordings[job] + 2)

    # --- what that means

    def files(self) -> dict[str, str]:
        """Return what each file says, by its path in the project."""
        said = {name: text.format_map(_Wordings(self.wordings)) for name, text in SPECS.items()}
        tickets = "".join(f"{key},text {v}\n" for key, v in self.rows["triage"].items())
        lines = (json.dumps({"id": key, "v": v}) for key, v in self.rows["say"].items())
        notes = {f"notes/{key}.txt": f"text {v}" for key, v in self.rows["note"].items()}
        return {
            SHARED: f'PROMPT = "say{self.wordings["say"]} {{id}} {{v}}"\n',
            ROWS: "".join(line + "\n" for line in lines),
            TICKETS: "id,text\n" + tickets,
            **said,
            **notes,
        }

    def answers(self) -> dict[str, dict[str, object]]:
        """Return the output that each row of each job must have, by address and key."""
        word = self.wordings
        say = {k: f"re: say{word['say']} {k} {v}" for k, v in self.rows["say"].items()}
        return {
            "words.say": dict(say),
            "words.again": {k: f"re: again{word['again']} {said}" for k, said in say.items()},
            "desk.triage": {
                k: {"said": f"re: ticket{word['triage']} {k} text {v}"}
                for k, v in self.rows["triage"].items()
            },
            "notes.note": {
                f"notes/{k}.txt": f"re: note{word['note']} {k}.txt text {v}"
                for k, v in self.rows["note"].items()
            },
        }


class _Wordings(dict[str, int]):
    """Numbers for `format_map`."""
