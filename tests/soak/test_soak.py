"""A soak of seconds; `make soak` makes it one of ten minutes."""

from pathlib import Path

from soak.soak import Soak


def test_a_watcher_comes_through_signals_broken_files_and_a_provider_that_dies(
    tmp_path: Path,
) -> None:
    with Soak(tmp_path, seed=3) as soak:
        edits, troubles = soak.edits, soak.troubles
        soak.stage.until_told("batch_collected")
        for deed in (edits.half_written, troubles.break_connection, troubles.kill_engine):
            soak.do(deed)
        soak.stage.until_told("batch_collected")
        for deed in (edits.check_out, troubles.kill_server):
            soak.do(deed)
        soak.stage.until_told("batch_collected")
        soak.do(edits.grow)
        soak.settle()
    assert soak.figures["requests answered again"] == 0
