"""SIGKILL of a real process at every boundary: every line is paid once."""

from pathlib import Path

from sweep.scoring import Bench, boundaries, figure, played, table


def test_failures_01_02_28_29_32_the_kill_score_is_1(tmp_path: Path, told: list[str]) -> None:
    """Before and after each call, in the middle of each download, of parsing and of a tool.

    A call that only looks leaves the world as it was: after it is as before it, and it is
    `make kill-score` that kills at both.
    """
    (folder := tmp_path / "calm").mkdir()
    calm = Bench(folder)
    try:
        undisturbed = calm.play(None)
    finally:
        calm.close()
    assert (undisturbed.figure, undisturbed.problems) == (1.0, [])
    scores = list(played(tmp_path, [b for b in boundaries(undisturbed) if not b.repeats]))
    told.append(figure(scores))
    wrong = {
        f"python tests/sweep/scoring.py '{score.boundary}'": found
        for score in scores
        if (found := score.differs(undisturbed))
    }
    assert not wrong, "\n".join(table(scores))
    assert {score.figure for score in scores} == {1.0}, "\n".join(table(scores))
