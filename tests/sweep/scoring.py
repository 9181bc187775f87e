"""The kill score: SIGKILL at every boundary of a run, then apply to the end.

The run has three batches, a tool and two turns, and talks to `simulator serve` through a proxy. The
score of a case is lines executed at the server divided by lines needed: 1.000 is what must be paid.

As a program it prints a table: `python tests/sweep/scoring.py` plays every boundary,
`python tests/sweep/scoring.py 'after create 2'` one of them.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, get_args

sys.path.insert(0, str(Path(__file__).parents[1]))

from acceptance.proxy import Kind, Proxy, Trap, When
from acceptance.rig import HERE, ProjectOnDisk, Server, environment

from batchspec.store.verify import verify
from sweep.forks import Forked, Forks

ROWS, TURNS = 6, 2
NEEDED = ROWS * TURNS
PLACES = ("tool:1", "tool:4", "tool:6", "parsing:1", "parsing:2", "parsing:4", "parsing:6")
"""In the middle of a tool, and of the transaction that settles a batch."""
_REPEATED: frozenset[Kind] = frozenset({"poll", "list"})
"""Calls whose number depends on time."""


@dataclass(frozen=True)
class Boundary:
    """Where a process is killed: at a call, or at a place of its own code."""

    kind: Kind | None = None
    when: When = "before"
    nth: int = 1
    place: str = ""

    def __str__(self) -> str:
        return f"in {self.place}" if self.place else f"{self.when} {self.kind} {self.nth}"

    @property
    def repeats(self) -> bool:
        """Whether everything outside the process is as at another boundary."""
        return self.kind in _REPEATED and self.when == "after"

    @classmethod
    def parse(cls, text: str) -> "Boundary":
        """Read what `str` wrote."""
        if text.startswith("in "):
            return cls(place=text.removeprefix("in "))
        when, kind, nth = text.split()
        return cls(kind, when, int(nth))  # type: ignore[arg-type]


@dataclass
class Score:
    """What a case came to."""

    boundary: Boundary | None
    killed: bool
    executed: int
    batches: int
    results: list[dict[str, Any]]
    calls: Counter[str]
    problems: list[str]
    tool_runs: Counter[str]

    @property
    def figure(self) -> float:
        """Lines executed divided by lines needed."""
        return self.executed / NEEDED

    def differs(self, undisturbed: "Score") -> list[str]:
        """Return what is wrong with it, a sentence each."""
        wrong = list(self.problems)
        if [_said(r) for r in self.results] != [_said(r) for r in undisturbed.results]:
            wrong.append("the results are not those of the undisturbed run")
        if self.tool_runs.keys() != undisturbed.tool_runs.keys():
            wrong.append("other tool calls were made")
        return wrong


class _ForkedServer(Server):
    """A server that starts at once."""

    forks: Forks

    def start(self) -> int:
        log = self.directory.with_suffix(".fifo")
        os.mkfifo(log)
        serve = ["simulator", "serve", "--port", "0", "--directory", str(self.directory)]
        self._forked = self.forks.start(
            *serve, *self.options, cwd=self.directory.parent, log=log, env=environment()
        )
        self._said = log.open(encoding="utf-8")
        said = self._said.readline()
        assert said.startswith("listening on "), said
        self.port = int(said.split(";")[0].rsplit(":", 1)[1].split("/")[0])
        return self.port

    def stop(self) -> None:
        os.kill(self._forked.pid, signal.SIGTERM)
        said = self._said.read()
        self._said.close()
        self._forked.wait()
        assert "Traceback" not in said, said


class Bench:
    """Plays cases, one at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._commands, self._servers = Forks(environment()), Forks(environment())
        self._played = 0
        self.play(None)  # what it imports is imported from now on

    def play(self, boundary: Boundary | None) -> Score:
        """Apply, die at a boundary, and apply to the end."""
        self._played += 1
        folder = self._folder / f"{self._played:04}"
        folder.mkdir()
        try:
            with ExitStack() as stack:
                server = _ForkedServer(folder / "server", ("--pace", "0.01", *_answers()))
                server.forks = self._servers
                stack.callback(server.stop)
                proxy = Proxy(server.start())
                stack.callback(proxy.close)
                return self._score(boundary, server, proxy, folder / "project")
        finally:
            shutil.rmtree(folder)

    def _score(
        self, boundary: Boundary | None, server: Server, proxy: Proxy, folder: Path
    ) -> Score:
        variables = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": proxy.base_url}
        project = ProjectOnDisk("calls", "calls.doubled", folder, self._commands, variables)
        killed = boundary is not None and _killed(project, proxy, boundary)
        proxy.wait_until_idle()
        problems = [] if killed or boundary is None or may_miss(boundary) else ["it was not killed"]
        if (code := project.run("apply", "--auto-approve")) != 0:
            problems.append(f"the last apply ended with {code}: {project.said()[-500:]}")
        calls = proxy.counts.copy()
        executed, batches = _executed(server)
        problems += _problems(executed, server)
        problems += verify(folder / "state" / "default")
        runs = Counter((folder / "calls.log").read_text(encoding="utf-8").split())
        results = project.results()
        return Score(boundary, killed, executed.total(), batches, results, calls, problems, runs)

    def close(self) -> None:
        """Let go of the processes."""
        self._commands.close()
        self._servers.close()


def _answers() -> tuple[str, ...]:
    return "--answers", f"{HERE / 'projects' / 'calls' / 'answers.py'}:answer"


def _killed(project: ProjectOnDisk, proxy: Proxy, boundary: Boundary) -> bool:
    """Apply with a process that is killed at a boundary; tells whether it came by it."""
    if boundary.place:
        return project.run("apply", "--auto-approve", DIE_AT=boundary.place) == -signal.SIGKILL
    assert boundary.kind is not None
    begun = SimpleQueue[Forked]()
    proxy.trap = Trap(boundary.kind, boundary.when, boundary.nth, lambda: begun.get().kill())
    begun.put(process := project.start("apply", "--auto-approve"))
    code = process.wait()
    proxy.trap = None
    return code == -signal.SIGKILL


def _executed(server: Server) -> tuple[Counter[str], int]:
    """Return how often each custom_id was executed, and how many batches there are."""
    lines: Counter[str] = Counter()
    batches = server.batches()
    for batch in batches:
        for file in (batch["output_file_id"], batch["error_file_id"]):
            for line in server.get(f"files/{file}/content").splitlines() if file else ():
                result = json.loads(line)
                lines[result["custom_id"]] += result["response"] is not None
    return lines, len(batches)


def _problems(executed: Counter[str], server: Server) -> Iterator[str]:
    for custom_id, times in executed.items():
        if times != 1:
            yield f"{custom_id} was executed {times} times"
    for batch in server.batches():
        if batch["status"] != "completed":
            yield f"a batch is {batch['status']}"
    for file in json.loads(server.get("files?purpose=batch"))["data"]:
        yield f"input file left: {file['filename']}"


def _said(result: dict[str, Any]) -> tuple[Any, ...]:
    return result["key"], result["outcome"], result["output"], result["turns"]


def boundaries(undisturbed: Score) -> list[Boundary]:
    """Return every boundary of a run that nobody disturbed."""
    found = []
    for kind in get_args(Kind):
        whens: Sequence[When] = ("before", "after")
        if kind == "download":
            whens = ("before", "inside", "after")
        for nth in range(1, undisturbed.calls[kind] + 1):
            found += [Boundary(kind, when, nth) for when in whens]
    return found + [Boundary(place=place) for place in PLACES]


def played(folder: Path, cases: Sequence[Boundary], workers: int = 2) -> Iterator[Score]:
    """Play cases, some at a time; yields their scores in the order of the cases."""
    benches: SimpleQueue[Bench] = SimpleQueue()
    with ExitStack() as stack:
        for number in range(workers):
            (folder / str(number)).mkdir()
            bench = Bench(folder / str(number))
            stack.callback(bench.close)
            benches.put(bench)

        def play(case: Boundary) -> Score:
            bench = benches.get()
            try:
                return bench.play(case)
            finally:
                benches.put(bench)

        pool = stack.enter_context(ThreadPoolExecutor(workers))
        yield from pool.map(play, cases)


def may_miss(boundary: Boundary) -> bool:
    """Whether a run may come to its end before a boundary: how often it looks depends on time."""
    return boundary.kind in _REPEATED and boundary.nth > 1


# --- the table


def table(scores: Sequence[Score]) -> list[str]:
    """Return a line per case, and the figure."""
    lines = [f"{'boundary':22} {'killed':>6} {'executed':>8} {'needed':>6} {'score':>6}"]
    lines += [
        f"{score.boundary!s:22} {'yes' if score.killed else 'missed':>6} {score.executed:>8} "
        f"{NEEDED:>6} {score.figure:>6.3f}"
        for score in scores
    ]
    return [*lines, figure(scores)]


def figure(scores: Sequence[Score]) -> str:
    """Say the figure of all cases."""
    figures = [score.figure for score in scores]
    total = sum(score.executed for score in scores) / (NEEDED * len(scores))
    return (
        f"kill score {total:.3f} (from {min(figures):.3f} to {max(figures):.3f}) over "
        f"{len(scores)} cases, {sum(score.killed for score in scores)} of them killed"
    )


def main(wanted: Sequence[str]) -> int:
    """Play boundaries, print the table, and say whether all is as it must be."""
    with tempfile.TemporaryDirectory() as name:
        (folder := Path(name, "calm")).mkdir()
        calm = Bench(folder)
        undisturbed = calm.play(None)
        calm.close()
        cases = [Boundary.parse(text) for text in wanted] or boundaries(undisturbed)
        scores = list(played(Path(name), cases))
    print(*table(scores), sep="\n")
    wrong = {str(s.boundary): s.differs(undisturbed) for s in scores}
    print(*(f"{case}: {'; '.join(told)}" for case, told in wrong.items() if told), sep="\n")
    return any(wrong.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
