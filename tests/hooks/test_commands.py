"""Hooks that are commands: what they are given, and how they end."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest

from batchspec.apply.commands import CommandFailed, run_command


def run(
    *argv: str,
    given: bytes = b"",
    environment: Mapping[str, str] | None = None,
    folder: Path = Path(),
    timeout: float = 20,
) -> None:
    async def main() -> None:
        with anyio.fail_after(timeout):
            await run_command(argv, given, environment or {}, folder)

    anyio.run(main)


def test_a_command_gets_its_input_variables_and_folder(tmp_path: Path) -> None:
    script = "cat > said; echo $HOOK_KEY >> said"
    run("/bin/sh", "-c", script, given=b"{}\n", environment={"HOOK_KEY": "k 1"}, folder=tmp_path)
    assert (tmp_path / "said").read_text() == "{}\nk 1\n"


def test_what_a_command_says_when_it_fails_is_told() -> None:
    with pytest.raises(CommandFailed, match=r"it ended with code 3: no\nway\Z"):
        run("/bin/sh", "-c", "echo no >&2; echo way >&2; exit 3")
    with pytest.raises(CommandFailed, match=r"it was killed \(SIGTERM\)"):
        run("/bin/sh", "-c", "kill $$")
    with pytest.raises(CommandFailed, match="could not be started"):
        run("./is-not-there")


def test_only_the_end_of_what_it_says_is_kept() -> None:
    talk = "import sys; sys.stderr.write('x' * 1_000_000 + 'end'); sys.exit(1)"
    with pytest.raises(CommandFailed) as failed:
        run(sys.executable, "-c", talk)
    assert len(str(failed.value)) < 2_100
    assert str(failed.value).endswith("xend")


def test_one_that_reads_nothing_is_well(tmp_path: Path) -> None:
    run("/bin/sh", "-c", "exec <&-; echo done > said", given=b"x" * 1_000_000, folder=tmp_path)
    assert (tmp_path / "said").read_text() == "done\n"


def test_one_that_leaves_somebody_behind_is_over(tmp_path: Path) -> None:
    run("/bin/sh", "-c", "sleep 30 & echo $! > pid", folder=tmp_path)
    os.kill(int((tmp_path / "pid").read_text()), 9)


def test_one_that_hangs_is_cut_off_with_all_it_started(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gone")
    # Whoever holds the pipe open lets the reader wait: it reads its end once all of them are dead.
    with pytest.raises(TimeoutError):
        run("/bin/sh", "-c", "sleep 30 > gone & sleep 30", folder=tmp_path, timeout=0.3)
    reader = os.open(tmp_path / "gone", os.O_RDONLY | os.O_NONBLOCK)
    # The last of them may still be on its way out.
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_one_that_ignores_signals_and_floods_its_outputs_is_cut_off() -> None:
    flood = (
        "trap '' TERM INT HUP; while :; do head -c 1000000 /dev/zero; done 2>&1 | tee /dev/stderr"
    )
    with pytest.raises(TimeoutError):
        run("/bin/sh", "-c", flood, given=b"x" * 1_000_000, timeout=0.3)


def test_what_a_command_says_takes_no_memory() -> None:
    flood = "head -c 100000000 /dev/zero | tee /dev/stderr; echo end >&2; exit 1"
    with pytest.raises(CommandFailed) as failed:
        run("/bin/sh", "-c", flood)
    assert len(str(failed.value)) < 2_100
    assert str(failed.value).endswith("end")
