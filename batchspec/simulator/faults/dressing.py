"""Writes a result file anew in another manner: behaviours 32 and 36."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate, pairwise
from pathlib import Path
from random import Random

from batchspec.simulator.faults.batches import OddFiles
from batchspec.simulator.jobs.database import open_private

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Dressed:
    """The file that stands in for another one."""

    id: str
    bytes: int


def dress(file_id: str, folder: Path, fault: OddFiles) -> Dressed:
    """Write a copy of a result file, line by line; done again it gives the same file.

    The original stays, so that a server which dies before it says so can begin anew.

    Args:
        file_id: The original, a name in the folder.
        folder: Where files are.
        fault: Says how.
    """
    dressed = "file-" + blake2b(file_id.encode(), digest_size=11).hexdigest()
    descriptor = open_private(folder / dressed)
    with os.fdopen(descriptor, "wb") as target:
        target.truncate(0)
        if fault.bom:
            target.write(_BOM)
        end = b"\r\n" if fault.crlf else b"\n"
        for number, line in enumerate(_lines(folder / file_id, file_id, shuffled=fault.shuffled)):
            if number:
                target.write(end * (2 if fault.blank_lines else 1))
            target.write(line)
        if fault.final_newline:
            target.write(end)
        return Dressed(dressed, target.tell())


def _lines(path: Path, seed: str, *, shuffled: bool) -> Iterator[bytes]:
    with path.open("rb") as file:
        if not shuffled:
            yield from (line.rstrip(b"\n") for line in file)
            return
        offsets = list(accumulate((len(line) for line in file), initial=0))
        places = list(pairwise(offsets))
        Random(seed).shuffle(places)  # noqa: S311  an order that can be had again
        for start, end in places:
            file.seek(start)
            yield file.read(end - start).rstrip(b"\n")
