"""Play one case again: `python tests/sweep/again.py tools --kill '1 after POST /batches #1'`.

Without a case it lists the points of a scene.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from sweep.cases import tried, undisturbed
from sweep.points import Point
from sweep.scenes import SCENES
from sweep.sweeping import Case


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", choices=SCENES)
    parser.add_argument("--kill", action="append", default=[], help="a point; may come twice")
    parser.add_argument("--trouble", action="append", default=[], help="`reset POINT` or a status")
    parser.add_argument("--unwinds", action="store_true")
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--order", type=int, default=0)
    given = parser.parse_args()
    if not given.kill and not given.trouble:
        print(*undisturbed(given.scene).points, sep="\n")
        return 0
    troubles = [text.partition(" ") for text in given.trouble]
    case = Case(
        given.scene,
        tuple(map(Point.parse, given.kill)),
        given.unwinds,
        given.pause,
        tuple((Point.parse(point), kind) for kind, _, point in troubles),
        given.order,
    )
    end = tried(case)
    print(*(end.problems or ["nothing is wrong"]), sep="\n")
    return bool(end.problems)


if __name__ == "__main__":
    sys.exit(main())
