"""Soak a watcher in troubles with real processes: `make soak MINUTES=10 SEED=7`."""

import argparse
import sys
import tempfile
from pathlib import Path

from soak.soak import Soak


def main() -> int:
    """Soak, and print what was done how often; one that fails says what happened last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as folder,
        Soak(Path(folder), given.seed, lambda line: print(line, flush=True)) as soak,
    ):
        try:
            soak.live(60 * given.minutes)
            soak.settle()
            soak.stage.run("state", "verify", codes={0})
        except BaseException:
            for service in soak.stage.services[-2:]:
                print(f"watcher {service.pid} said last:", *service.last, sep="\n")
            print(f"Again: make soak MINUTES={given.minutes:g} SEED={given.seed}", file=sys.stderr)
            raise
        finally:
            print(soak.table(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
