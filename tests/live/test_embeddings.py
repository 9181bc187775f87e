"""Vectors of a live endpoint: the embedded server runs the batch, in process."""

from collections.abc import Callable

from .conftest import Folder

SPEC = """\
from batchspec import EmbeddingJob, rows

j = EmbeddingJob(
    model="laptop:nomic-embed",
    rows=rows.inline([{"id": f"r{n}"} for n in range(5)]),
    input="text {id}",
    dimensions=16,
    settings={"encoding_format": FORMAT},
)
"""


def test_a_live_endpoint_gives_vectors_in_either_form(
    folder: Folder, serve: Callable[..., str]
) -> None:
    """Asked for numbers it sends them; what is kept is the same."""
    lines = [
        "[providers.laptop]",
        'type = "live"',
        f'base_url = "{serve()}"',
        'api_key_env = "KEY"',
    ]
    folder.write("batchspec.toml", "\n".join(lines))
    folder.variables["KEY"] = "any"
    kept = []
    for form in ("base64", "float"):
        folder.write("specs/m.py", SPEC.replace("FORMAT", repr(form)))
        assert folder.apply() == 0, folder.said
        kept.append(folder.results(job="m.j"))
    assert kept[0] == kept[1]
    assert {len(vector) for vector in kept[0].values()} == {16}
    assert len({tuple(vector) for vector in kept[0].values()}) == 5
