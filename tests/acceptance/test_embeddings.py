"""3,080 real questions embedded by a process that dies on the way; matrices hold every bit."""

import json
from base64 import b64decode
from typing import Any

import numpy as np
import polars as pl
import pytest

from acceptance.conftest import Bench, Service
from acceptance.proxy import Trap
from acceptance.rig import ProjectOnDisk, executed

ROWS = 3080
SIZE = 256
PACE = ("--pace", "0.02")

Reference = tuple[ProjectOnDisk, Service]


@pytest.fixture(scope="module")
def embedded(bench: Bench) -> Reference:
    """A project whose process was killed twice before it was done."""
    service = bench.service("vectors", *PACE)
    project = bench.vectors("vectors", service)
    project.apply_and_kill(service.proxy, Trap("create", "after", nth=2))
    project.apply_and_kill(service.proxy, Trap("download", "inside"))
    project.apply()
    return project, service


def written(project: ProjectOnDisk, name: str) -> Any:
    """Export the vectors and load them as people do."""
    file = project.folder / name
    assert project.run("results", project.address, "-o", str(file)) == 0, project.said()
    return pl.read_parquet(file) if file.suffix == ".parquet" else np.load(file, mmap_mode="r")


def sent(service: Service) -> dict[str, bytes]:
    """Return the vectors the server sent, as bytes, by custom_id."""
    found: dict[str, bytes] = {}
    for batch in service.server.batches():
        assert batch["endpoint"] == "/v1/embeddings"
        for line in service.server.get(f"files/{batch['output_file_id']}/content").splitlines():
            answer = json.loads(line)
            (data,) = answer["response"]["body"]["data"]
            found[answer["custom_id"]] = b64decode(data["embedding"])
    return found


def test_every_row_has_the_vector_that_was_sent(bench: Bench, embedded: Reference) -> None:
    """Npy and Parquet hold what the server's own files hold, row for row; each was paid once."""
    project, service = embedded
    done = executed(service.server, service.proxy.uploads)
    assert (done.total, done.doubled) == (ROWS, 0)
    matrix, table = written(project, "vectors.npy"), written(project, "vectors.parquet")
    lines = (project.folder / "vectors.npy.keys.jsonl").read_text().splitlines()
    keys = [json.loads(line)["key"] for line in lines]
    assert (matrix.dtype, matrix.shape) == (np.dtype("<f4"), (ROWS, SIZE))
    assert keys == table["key"].to_list() == [f"q-{n:04}" for n in range(1, ROWS + 1)]
    assert table.schema["output"] == pl.Array(pl.Float32, SIZE)
    assert table["output"].to_numpy().tobytes() == matrix.tobytes()
    vectors = sent(service)
    assert {row.tobytes() for row in matrix} == set(vectors.values())
    bench.count("embeddings, killed", table.to_dicts(), done, str(project.kills))


def test_texts_that_share_words_are_near(embedded: Reference) -> None:
    """Each vector is that of its own row: questions of one intent are nearer than others."""
    project, _ = embedded
    table = written(project, "near.parquet")
    matrix = table["output"].to_numpy()
    intents = table["row.category"].to_numpy()
    near = matrix @ matrix.T
    same = intents[:, None] == intents[None, :]
    others = ~same
    np.fill_diagonal(same, val=False)
    assert near[same].mean() > 1.5 * near[others].mean()
    texts = table["row.text"].to_list()
    assert len({row.tobytes() for row in matrix}) == len(set(texts))


def test_a_changed_text_sends_one_row(embedded: Reference) -> None:
    project, service = embedded
    before = service.executed().total
    table = project.folder / "data" / "test.csv"
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("How do I locate my card?", "Where is my card?", 1), "utf-8")
    project.apply()
    assert service.executed().total == before + 1
