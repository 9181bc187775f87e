"""Jobs and what they depend on, as text, Mermaid or DOT."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from batchspec.cli.views.streams import stdout
from batchspec.cli.views.words import clean

if TYPE_CHECKING:
    from batchspec.project.values import Graph

_Children = Mapping[str, Sequence[tuple[str, str]]]


def show_graph(graph: "Graph", form: str) -> None:
    """Print a graph; `form` is `text`, `mermaid` or `dot`."""
    lines = {"text": text_lines, "mermaid": mermaid_lines, "dot": dot_lines}[form](graph)
    for line in lines:
        stdout().print(line)


def text_lines(graph: "Graph") -> list[str]:
    """Return a tree: each job stands below those whose answers it needs."""
    if not graph.jobs:
        return ["No jobs."]
    children: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for upstream, downstream, kind in graph.edges:
        children[upstream].append((downstream, kind))
    below = {downstream for _, downstream, _ in graph.edges}
    lines: list[str] = []
    seen: set[str] = set()
    for job in graph.jobs:
        if job not in below:
            lines.append(clean(job))
            lines += _below(job, children, "", seen)
    return lines


def _below(job: str, children: _Children, indent: str, seen: set[str]) -> list[str]:
    lines: list[str] = []
    mine = children.get(job, ())
    for place, (child, kind) in enumerate(mine, 1):
        last = place == len(mine)
        again = " (see above)" if child in seen and children.get(child) else ""
        lines.append(f"{indent}{'└' if last else '├'}─ {kind} ─ {clean(child)}{again}")
        if not again:
            seen.add(child)
            lines += _below(child, children, indent + ("   " if last else "│  "), seen)
    return lines


def mermaid_lines(graph: "Graph") -> list[str]:
    """Return a Mermaid flowchart."""
    names = {job: f"job{place}" for place, job in enumerate(graph.jobs)}
    nodes = [f'  {name}["{clean(job)}"]' for job, name in names.items()]
    edges = [f"  {names[up]} -->|{kind}| {names[down]}" for up, down, kind in graph.edges]
    return ["flowchart LR", *nodes, *edges]


def dot_lines(graph: "Graph") -> list[str]:
    """Return a DOT digraph."""
    nodes = [f"  {json.dumps(job)};" for job in graph.jobs]
    edges = [
        f"  {json.dumps(up)} -> {json.dumps(down)} [label={json.dumps(kind)}];"
        for up, down, kind in graph.edges
    ]
    return ["digraph batchspec {", "  rankdir=LR;", "  node [shape=box];", *nodes, *edges, "}"]
