"""Let a watcher live for weeks: `make endure DAYS=30 SEED=7`."""

import argparse
import sys
import warnings
from dataclasses import asdict
from time import monotonic

from endurance.life import Life


def main() -> int:
    """Live, and print each day; a life that fails says how it is lived again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    # A process that is dead does not close its files; one that only plays dead leaves it to chance.
    warnings.simplefilter("ignore", ResourceWarning)
    began = monotonic()
    with Life(given.seed) as life:
        try:
            life.live(given.days)
        except BaseException:
            life.disk.empty()
            print("\n".join(life.happened), *life.diary.last, sep="\n", file=sys.stderr)
            print(f"Again: make endure DAYS={given.days:g} SEED={given.seed}", file=sys.stderr)
            raise
        finally:
            for number, day in enumerate(life.days, 1):
                print(number, " ".join(f"{name}={n:,}" for name, n in asdict(day).items()))
        took, lines = monotonic() - began, life.echo.asked.total()
        print(f"{given.days:g} days in {took:.0f} s: {lines:,} lines were answered,")
        print(f"{life.paid.again:,} of them again, because an answer was lost or too old.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
